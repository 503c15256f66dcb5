"""Planned purchases without a service behind them, and a clock, for tests of the journal."""

from __future__ import annotations

from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.limits import Limits
from pack.civitai_bridge.orchestration.purchase import Buyer, PlannedPurchase, Purchase, new_key

WIDE = Limits(10_000, 10_000)


class Clock:
    """Seconds since the epoch, which may jump, and seconds that only pass."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.passed = 0.0

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.passed

    def goes_on(self, seconds: float) -> None:
        self.now += seconds
        self.passed += seconds


def plan(
    request: str = "same",
    *,
    price: int = 10,
    prompt: str = "",
    base: str = "https://a",
    account: str = "me",
    user: str = "",
) -> PlannedPurchase:
    return PlannedPurchase(new_key(), request, Buyer(account, base, user), '{"steps":[]}', price, prompt)


def reserve(
    journal: Journal, *plans: PlannedPurchase, limits: Limits = WIDE, reuse: bool = True, owner: str = "o"
) -> list[Purchase]:
    return journal.reserve(plans, limits, usable=lambda *_: reuse, owner=lambda _: owner)
