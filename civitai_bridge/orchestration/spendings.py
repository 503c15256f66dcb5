"""What was spent here, as the limits count it, and whether refunds came of what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..settings import Settings
from . import purchase_table as table
from .accounts import buyer_in
from .journal import Journal
from .limits import DAY, Limits, Spending, spent
from .purchase import CANCELED, COLLECTED, FAILED, Purchase, still_open
from .resume import look_after_all
from .run import Runs


@dataclass(frozen=True)
class Spent:
    """Net Buzz, what is reserved included: since midnight and since the first of the month by this machine's clock, in
    the last 24 hours; and what the limits leave for now."""

    today: int
    month: int
    last_24_hours: int
    left: int


def spent_until(spendings: Sequence[Spending], limits: Limits, now: float) -> Spent:
    """What was spent until `now`, seconds since the epoch."""
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    last = spent(spendings, since=now - DAY)
    return Spent(
        today=spent(spendings, since=midnight.timestamp() - 1e-3),
        month=spent(spendings, since=midnight.replace(day=1).timestamp() - 1e-3),
        last_24_hours=last,
        left=max(0, limits.per_day - last),
    )


def spendings_of(journal: Journal, base: str) -> list[Spending]:
    """What every purchase at the service's address counts, oldest first (waits for the disk; not for the loop)."""
    with journal.database.transaction("Nothing was changed.") as connection:
        return table.spendings(connection, base)


async def look_for_refunds(runs: Runs, settings: Settings) -> list[Purchase]:
    """Ask about what went wrong and was not paid back as far as is known, for 30 days after the order. Gives those of
    which more has come back than was known; what cannot be asked now is left for another time."""
    services = runs.services
    now = services.timings.clock()
    buyer = await services.in_thread(buyer_in, services.journal, settings)
    over = [
        purchase
        for purchase in await services.in_thread(services.journal.rows, (FAILED, CANCELED, COLLECTED))
        if buyer.owns(purchase) and still_open(purchase, now)
    ]
    looked = await look_after_all(runs, over, lambda _: None)
    return [after for before, after in zip(over, looked, strict=True) if after.credited > before.credited]
