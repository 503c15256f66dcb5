"""A pretend CivitAI on loopback: site, orchestrator and storage, with its own money, faults and pictures.

It imports nothing of the clients and checks requests by CivitAI's contract alone, so that it cannot agree with them
by accident.
"""

from __future__ import annotations

from .embedded import Embedded
from .faults import Seen
from .script import Fault, Job, Script
from .server import Sandbox

__all__ = ["Embedded", "Fault", "Job", "Sandbox", "Script", "Seen"]
