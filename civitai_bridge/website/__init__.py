"""The site's API: who a reference is."""

from __future__ import annotations

from .client import SiteClient
from .resolve import resolve

__all__ = ["SiteClient", "resolve"]
