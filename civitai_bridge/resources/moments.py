"""Moments as CivitAI writes them."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2})?(\.\d+)?\s*(Z|z|[+-]\d{2}:?\d{2})?")


def moment_of(text: str) -> datetime | None:
    """What the service writes as a moment, with however many digits; None where it is none."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return None
    day, minutes, seconds, fraction, zone = match.groups()
    fraction = (fraction or ".0")[:7].ljust(7, "0")
    offset = "+00:00" if zone in (None, "Z", "z") else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    try:
        return datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}{fraction}{offset}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
