"""A pretend CivitAI on loopback: site, orchestrator and storage, with its own money, faults and pictures.

It imports nothing of the clients and checks requests by CivitAI's contract alone, so that it cannot agree with them
by accident.
"""

from __future__ import annotations

from .script import Fault, Job, Script
from .server import Embedded, Sandbox, Seen

__all__ = ["Embedded", "Fault", "Job", "Sandbox", "Script", "Seen"]
