"""buzz: what the wallets hold, what was spent here, what the limits leave."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import CivitaiError, NoKey
from .context import Context, runs

if TYPE_CHECKING:
    from ..app import App
    from ..orchestration.limits import Limits
    from ..orchestration.spendings import Spent


def add_to(commands: Any) -> None:
    """The command `buzz`."""
    parser = commands.add_parser("buzz", help="what the wallets hold, what was spent here, what the limits leave")
    parser.set_defaults(run=runs(_buzz))


async def _buzz(context: Context, arguments: argparse.Namespace) -> int:
    from ..orchestration.reserve import limits
    from ..orchestration.spendings import spendings_of, spent_until

    async with context.marked_app() as app:
        (balance, why_none), refunded = await asyncio.gather(balance_of(app), _refunded(app))
        settings, _ = await app.connected()
        journal = await app.journal()
        most = limits(settings)
        spendings = await asyncio.to_thread(spendings_of, journal, settings.service)
        spent = spent_until(spendings, most, journal.clock())
    document = {
        "balance": balance,
        "balance_unknown": why_none,
        "spent": asdict(spent),
        "limits": asdict(most),
        "refunds_just_seen": refunded,
    }
    context.data(document, "\n".join(_lines(balance, why_none, spent, most, refunded)))
    return 0


def _lines(balance: dict[str, int] | None, why_none: str, spent: Spent, most: Limits, refunded: int) -> list[str]:
    held = ", ".join(f"{amount} {name}" for name, amount in balance.items()) if balance is not None else ""
    return [
        f"Balance: {held} Buzz." if held else f"Balance: not known. {why_none}",
        f"Spent here, refunds taken off: {spent.today} Buzz today, {spent.month} this month.",
        f"Of the {most.per_day} Buzz that 24 hours may take (setting limit_buzz_per_day) {spent.last_24_hours} "
        f"{'is' if spent.last_24_hours == 1 else 'are'} spent or reserved and {spent.left} left.",
        f"One queued graph or one order may take {most.per_prompt} Buzz (setting limit_buzz_per_prompt).",
        *([f"CivitAI has paid {refunded} Buzz back for what went wrong, seen just now."] if refunded else []),
    ]


async def balance_of(app: App) -> tuple[dict[str, int] | None, str]:
    """What the wallets hold; None and a sentence where nobody tells."""
    from ..website.wallets import wallets_or_reason

    try:
        settings, network = await app.connected()
        if not settings.key:
            raise NoKey
    except CivitaiError as error:
        return None, str(error)
    return await wallets_or_reason(app.site(settings, network).best)


async def _refunded(app: App) -> int:
    """Buzz that came back since anybody looked. Without a key or network nothing is seen."""
    from ..orchestration.spendings import look_for_refunds

    try:
        fleet = await app.fleet()
        if not fleet.settings.key:
            return 0
        before = {purchase.key: purchase.credited for purchase in await asyncio.to_thread(fleet.journal.rows)}
        refunded = await look_for_refunds(fleet.runs, fleet.settings)
        return sum(purchase.credited - before.get(purchase.key, 0) for purchase in refunded)
    except CivitaiError:
        return 0
