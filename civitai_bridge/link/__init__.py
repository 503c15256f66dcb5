"""Civitai Link: this ComfyUI, managed from CivitAI's pages. A relay carries the commands of a room; every field of them
is a stranger's until it was looked at here.

    socket -> agent -> dispatch -> commands (a table: type -> handler) -> outbox -> socket
"""
