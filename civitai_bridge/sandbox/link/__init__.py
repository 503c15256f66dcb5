"""The sandbox's Civitai Link: the relay, the instances behind its REST calls, and a browser of the site that a script
drives."""

from __future__ import annotations

from .browser import Browser
from .relay import Relay
from .script import RelayScript
from .service import LinkService

__all__ = ["Browser", "LinkService", "Relay", "RelayScript"]
