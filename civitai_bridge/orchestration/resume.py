"""Looking after what is open in the journal: found by id or tag, its pictures fetched. Never sends an order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import ApiError, CivitaiError, StateTrouble, Unreachable
from . import report
from .answers import accept, find_by_tag, learn, learn_money
from .cancel import until_cancelled
from .collect import collect, with_damaged_pending
from .owned import OwnedPurchase, RowLost
from .owners import new_owner
from .purchase import ACCEPTED, CANCELED, COLLECTED, FAILED, FINISHED, PLANNED, SENT, UNCONFIRMED, Purchase
from .run import Runs
from .services import Services
from .stop import ask_to_stop

LOOKS_AT_ONCE = 16
TAKES = 20  # tries to take a purchase whose owner may be dead; that shows after some seconds

log = logging.getLogger(__name__)


async def look_after_all(
    runs: Runs, purchases: Sequence[Purchase], on_row: Callable[[Purchase], None]
) -> list[Purchase]:
    """Several purchases as they stand after a look, some of them at once; `on_row` is told of each as it is done."""
    room = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(purchase: Purchase) -> Purchase:
        async with room:
            purchase = await look_after(runs, purchase)
        on_row(purchase)
        return purchase

    return await asyncio.gather(*(look(purchase) for purchase in purchases))


async def look_after(runs: Runs, purchase: Purchase) -> Purchase:
    """One purchase as it stands after a look. What is wrong with it alone is its `error`; StateTrouble is raised, for
    it concerns all."""
    try:
        purchase = await _look(runs.services, purchase)
    except StateTrouble:
        raise
    except CivitaiError as error:
        return replace(purchase, error=str(error))
    except Exception as error:  # one row that cannot be read must not keep the rest from being found
        log.exception("The purchase %s could not be looked at", purchase.key)
        text = f"It could not be looked at ({type(error).__name__}); see the log."
        return replace(purchase, error=text)
    if purchase.cancel_wanted and purchase.state == ACCEPTED and not purchase.error:
        return await until_cancelled(runs, purchase.key, runs.services.timings.cancel_patience)
    return purchase


async def restore(services: Services, purchase: Purchase) -> Purchase:
    """A collected purchase with its pictures whole: what is gone from the disk, or has other bytes, is fetched again;
    while somebody else is at it, that is waited for. Where CivitAI has them no longer the purchase is `gone`, and
    serves nobody any more; what it withholds by now would be withheld again. Raises BlobUnavailable while CivitAI does
    not answer."""
    owner = new_owner()
    while True:
        images = await asyncio.to_thread(with_damaged_pending, purchase, services.results)
        if purchase.state != COLLECTED or not any(image.pending for image in images):
            return purchase
        row = await services.in_thread(services.journal.take, purchase.key, owner)
        if row is not None:
            break
        await services.timings.sleep(services.timings.tick)
        purchase = await services.in_thread(services.journal.get, purchase.key) or purchase
    owned = OwnedPurchase(services, row, owner)
    try:
        async with owned.held():
            await collect(owned)
            pairs = zip(images, owned.purchase.slots, strict=True)
            if any(old.pending and not (new.fetched or new.pending or new.blocked) for old, new in pairs):
                await owned.write(about={**owned.purchase.about, "gone": True})
    except RowLost:
        pass
    except (Unreachable, ApiError) as error:
        raise report.not_restored(purchase, error) from error
    return owned.purchase


async def _look(services: Services, purchase: Purchase) -> Purchase:
    """Take the row, ask what is known now, fetch what is there, give it back."""
    if purchase.state == PLANNED:
        return purchase
    journal, owner = services.journal, new_owner()
    for _ in range(TAKES):
        row = await services.in_thread(journal.take, purchase.key, owner)
        if row is not None:
            try:
                await _ask(OwnedPurchase(services, row, owner))
            except RowLost:
                pass  # somebody else has it now, and goes on with it
            break
        if abs(services.timings.clock() - purchase.heartbeat) < journal.heart_stops:
            break
        await asyncio.sleep(journal.heart_stops / TAKES)  # real seconds, as the heart's are
    return await services.in_thread(journal.get, purchase.key) or purchase


async def _ask(owned: OwnedPurchase) -> None:
    async with owned.held():
        if owned.purchase.state in (SENT, UNCONFIRMED):
            workflow = await find_by_tag(owned)
            if workflow is None:
                return
            await accept(owned, workflow)
        if owned.purchase.state == COLLECTED:
            await learn_money(owned, await owned.services.client.workflow(owned.purchase.workflow_id))
        elif owned.purchase.state in (ACCEPTED, FAILED, CANCELED) and owned.purchase.workflow_id:
            client, workflow_id = owned.services.client, owned.purchase.workflow_id
            workflow = await client.workflow(workflow_id)
            if owned.purchase.cancel_wanted and not workflow.done:
                await ask_to_stop(client, workflow_id)
                workflow = await client.workflow(workflow_id)
            await learn(owned, workflow)
        if owned.purchase.state == FINISHED:
            await collect(owned)
