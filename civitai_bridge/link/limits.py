"""How often a room may ask for what: buckets of tokens by command type."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_JOBS = 100  # commands at work or waiting at once


@dataclass(frozen=True)
class Rate:
    """`burst` commands at once, then `per_second`."""

    burst: int
    per_second: float


# One click can send an add for every file of a version, and a page that is opened asks for both lists; a person with
# many tabs stays far below these. The first head that fits.
RATES: tuple[tuple[str, Rate], ...] = (
    ("resources:add:cancel", Rate(60, 2.0)),
    ("resources:add", Rate(200, 2.0)),
    ("resources:remove", Rate(60, 1.0)),
    ("resources:list", Rate(30, 1.0)),
    ("activities:", Rate(60, 4.0)),
    ("image:", Rate(20, 0.5)),
    ("", Rate(20, 1.0)),
)


class RateLimits:
    """`clock` gives seconds; one that is set back gives nothing and takes nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens left, when

    def take(self, type_: str) -> bool:
        """Whether a command of this type may be obeyed now."""
        head, rate = next((head, rate) for head, rate in RATES if type_.startswith(head))
        now = self._clock()
        left, then = self._buckets.get(head, (float(rate.burst), now))
        left = min(float(rate.burst), left + max(0.0, now - then) * rate.per_second)
        is_free = left >= 1
        self._buckets[head] = (left - 1 if is_free else left), now
        return is_free
