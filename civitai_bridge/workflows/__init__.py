"""Workflows of the account, found again: listed, read, waited for, and what came of them fetched. Nothing here buys.

Values: `outputs` (what a step made), `details` (a workflow, its steps and jobs), `job_details`, `query`, `moments`.
Doors: `client` (one method per route), `listing`, `reading`, `fetching`, `keeping`.
"""
