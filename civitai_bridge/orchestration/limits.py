"""What may be spent: Buzz for one prompt and for the last 24 hours, refunds given back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import LimitReached
from .purchase import CANCELED, PlannedPurchase

DAY = 24 * 3600.0  # seconds


@dataclass(frozen=True)
class Limits:
    """Buzz for one prompt and for the last 24 hours."""

    per_prompt: int
    per_day: int


@dataclass(frozen=True)
class Spending:
    """One purchase as the limits see it: when it was made, for which prompt, and its net Buzz, reserved ones
    included."""

    created: float
    prompt_id: str
    cost: int


def net_cost(state: str, workflow_id: str, price: int, debited: int, credited: int) -> int:
    """Whole Buzz that a purchase counts: the higher of price and debit, less what came back. One that was cancelled
    before it left never cost anything."""
    return 0 if state == CANCELED and not workflow_id else max(0, max(price, debited) - credited)


def spent(purchases: Iterable[Spending], *, prompt_id: str = "", since: float | None = None) -> int:
    """Net Buzz of one prompt, since a moment, or of all of them."""
    return sum(
        each.cost
        for each in purchases
        if (not prompt_id or each.prompt_id == prompt_id) and (since is None or each.created > since)
    )


def check_limits(planned: Sequence[PlannedPurchase], limits: Limits, purchases: Sequence[Spending], now: float) -> None:
    """Raise LimitReached where the planned purchases together pass a limit beside what was bought, oldest first. What
    a clock that was ahead has dated into the future counts for today."""
    price = sum(each.price for each in planned)
    for name, limit in (("limit_buzz_per_day", limits.per_day), ("limit_buzz_per_prompt", limits.per_prompt)):
        if limit <= 0 < price:
            raise LimitReached(
                f"The setting {name} is 0, so nothing may be bought; this would cost {price} Buzz. Nothing was bought.",
                limit=name,
                left=0,
            )
    left = limits.per_day - spent(purchases, since=now - DAY)
    if price > left:
        limit = f"the day's limit of {limits.per_day}"
        frees_at = next((each.created + DAY for each in purchases if each.cost and each.created > now - DAY), None)
        when = f" The oldest part frees at {time.strftime('%H:%M', time.localtime(frees_at))}." if frees_at else ""
        raise LimitReached(
            f"This would cost {price} Buzz, and {_left(left, limit)} "
            f"(setting limit_buzz_per_day).{when} Nothing was bought.",
            limit="limit_buzz_per_day",
            left=max(0, left),
            frees_at=frees_at,
        )
    for prompt_id in sorted({each.prompt_id for each in planned}):
        before = spent(purchases, prompt_id=prompt_id) if prompt_id else 0
        _check_prompt(sum(each.price for each in planned if each.prompt_id == prompt_id), limits, before)


def _check_prompt(price: int, limits: Limits, before: int) -> None:
    left = limits.per_prompt - before
    if price > left:
        limit = f"the limit of {limits.per_prompt} for one prompt"
        bought = f" {before} Buzz of this prompt {'is' if before == 1 else 'are'} spent or reserved." if before else ""
        raise LimitReached(
            f"This would cost {price} Buzz, and {_left(left, limit)} "
            f"(setting limit_buzz_per_prompt).{bought} Nothing more was bought.",
            limit="limit_buzz_per_prompt",
            left=max(0, left),
        )


def _left(buzz: int, limit: str) -> str:
    return f"1 of {limit} is left" if buzz == 1 else f"{max(0, buzz)} of {limit} are left"
