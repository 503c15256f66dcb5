"""Who is alive: an owner of a purchase beats every 3 s, and one whose heart stopped may be followed by another."""

from __future__ import annotations

from collections.abc import Callable

from .purchase import Purchase

HEART_STOPS = 20.0  # seconds without a beat after which a row may be taken over


class Hearts:
    """What this process saw of the owners' beats. `monotonic` is seconds that only pass: the clock that the beats are
    written by may jump."""

    def __init__(self, stops_after: float, monotonic: Callable[[], float]) -> None:
        self._stops_after = stops_after
        self._monotonic = monotonic
        self._seen: dict[str, tuple[tuple[str, float], float]] = {}

    def stopped(self, purchase: Purchase, now: float) -> bool:
        """Whether a purchase's owner is gone: no beat for long by the clock (`now`), and none while we watched."""
        beat, passed = (purchase.owner, purchase.heartbeat), self._monotonic()
        last, since = self._seen.get(purchase.key, (None, 0.0))
        if last != beat:
            self._seen[purchase.key] = (beat, passed)
            since = passed
        return abs(now - purchase.heartbeat) >= self._stops_after and passed - since >= self._stops_after / 3
