"""What nobody waits for: cancels that were not heard, jobs of a process that is gone, twins, late pictures, refunds.

A server looks after all of it when it starts and every hour from then on; each command of the shell looks for twins
that are due. Never sends an order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from ..errors import CivitaiError
from .accounts import Accounts
from .owned import OwnedPurchase, RowLost
from .owners import new_owner
from .purchase import ACCEPTED, FINISHED, PLANNED, SENT, UNCONFIRMED, Purchase, still_open
from .resume import look_after
from .run import Runs
from .services import Services
from .stop import ask_to_stop
from .twins import enter_twins, workflows_of

TAKES = 60  # tries to take a purchase over, twice as long as a heart needs to count as stopped

log = logging.getLogger(__name__)


async def take_care(runs: Runs, accounts: Accounts) -> None:
    """Look after what is open now, and again every hour; ends only when it is cancelled."""
    look = look_after_open
    while True:
        try:
            await look(runs, accounts)
        except CivitaiError as error:
            log.warning("What is open in the journal could not be looked after: %s", error)
        look = look_again
        await runs.services.timings.sleep(runs.services.timings.look_again)


async def look_after_open(runs: Runs, accounts: Accounts) -> None:
    """At the start: every cancel that was not heard is sent at once, every job is watched to its end by us unless
    somebody else does it, and its pictures are fetched. First what the journal knows to be ours, without a question."""
    now = runs.services.timings.clock()
    sure = [purchase for purchase in await accounts.surely_owned() if still_open(purchase, now)]
    await send_cancels(runs.services, sure)
    await asyncio.gather(_take_all_over(runs, sure), second_looks(runs, accounts))
    keys = {purchase.key for purchase in sure}
    asked = [purchase for purchase in await open_purchases(runs.services, accounts) if purchase.key not in keys]
    await send_cancels(runs.services, asked)
    await _take_all_over(runs, asked)


async def look_again(runs: Runs, accounts: Accounts) -> None:
    """After the start: what is open and not driven by us, one after the other."""
    await second_looks(runs, accounts)
    for purchase in await open_purchases(runs.services, accounts):
        if runs.get(purchase.key) is None:
            await look_after(runs, purchase)


async def _take_all_over(runs: Runs, purchases: Iterable[Purchase]) -> None:
    await asyncio.gather(*(_take_over(runs, purchase) for purchase in purchases), return_exceptions=True)


async def open_purchases(services: Services, accounts: Accounts) -> list[Purchase]:
    """Our purchases that want another look, oldest first."""
    now = services.timings.clock()
    return [purchase for purchase in await accounts.owned() if still_open(purchase, now)]


async def send_cancels(services: Services, purchases: Iterable[Purchase]) -> None:
    """Ask for the end of every workflow that a person wanted cancelled, all at once. Whoever drives one goes on asking
    until it is over."""
    unheard = [each for each in purchases if each.cancel_wanted and each.state == ACCEPTED and each.workflow_id]
    asked = (ask_to_stop(services.client, purchase.workflow_id) for purchase in unheard)
    await asyncio.gather(*asked, return_exceptions=True)


async def _take_over(runs: Runs, purchase: Purchase) -> None:
    """Drive a purchase whose owner is gone to its end. One with an owner that may be alive is tried again until its
    heart counts as stopped."""
    journal, services = runs.services.journal, runs.services
    pending = purchase.state == FINISHED and any(image.pending for image in purchase.slots)
    if purchase.state in (SENT, UNCONFIRMED, ACCEPTED) or pending:
        for _ in range(TAKES):
            owner = new_owner()
            row = None if runs.get(purchase.key) else await services.in_thread(journal.take, purchase.key, owner)
            if row is not None:
                runs.start(row, owner, orders=False)
            if runs.get(purchase.key):
                return
            await asyncio.sleep(2 * journal.heart_stops / TAKES)  # real seconds, as the heart's are
    elif purchase.state not in (PLANNED, FINISHED):
        await look_after(runs, purchase)  # over; its refund has not been seen


async def second_looks(runs: Runs, accounts: Accounts) -> None:
    """Look again for twins of the orders whose answer was lost, where their minute has passed."""
    timings = runs.services.timings
    for purchase in await accounts.surely_owned():
        due = purchase.about.get("twin_look")
        # Of a clock that was set back meanwhile it is due too.
        if isinstance(due, (int, float)) and not 0 < due - timings.clock() <= timings.twin_look:
            await second_look(runs, purchase.key)


async def second_look(runs: Runs, key: str) -> None:
    """Look once again for twins of an order; those that go on are watched to their end."""
    services, owner = runs.services, new_owner()
    row = await services.in_thread(services.journal.take, key, owner)
    if row is None:
        return
    owned = OwnedPurchase(services, row, owner)
    with contextlib.suppress(RowLost, CivitaiError):
        async with owned.held():
            workflows = await workflows_of(services.client, key)
            twins = [workflow for workflow in workflows if workflow.id != row.workflow_id]
            if twins:
                await enter_twins(owned, row.workflow_id, twins)
            await owned.write(about={**owned.purchase.about, "twin_look": None})
    for purchase in await services.in_thread(services.journal.rows, (ACCEPTED,)):
        if purchase.about.get("twin_of") == key:
            services.background.start(_take_over(runs, purchase))


async def second_look_after(runs: Runs, key: str) -> None:
    """Wait for the end of a purchase whose caller has left, and then as `second_look_later`."""
    if (run := runs.get(key)) is not None:
        await asyncio.wait({run.task})
    purchase = await runs.services.in_thread(runs.services.journal.get, key)
    if purchase is not None:
        await second_look_later(runs, purchase)


async def second_look_later(runs: Runs, purchase: Purchase) -> None:
    """Wait until the second look for twins of a purchase is due, and do it."""
    timings = runs.services.timings
    due = purchase.about.get("twin_look")
    if isinstance(due, (int, float)):
        await timings.sleep(max(0.0, min(due - timings.clock(), timings.twin_look)))
        await second_look(runs, purchase.key)
