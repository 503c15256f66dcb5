"""A person's cancel: the wish is written down, the service is asked, and the end is waited for."""

from __future__ import annotations

import asyncio

from ..errors import BadRequest, Gone, NotFound
from ..settings import Settings
from . import report
from .accounts import need_key
from .client import OrchestrationClient
from .owners import new_owner
from .purchase import ACCEPTED, CANCELED, COLLECTED, FAILED, FINISHED, PLANNED, REFUSED, SENT, UNCONFIRMED, Purchase
from .run import Runs
from .services import Services
from .stop import ask_to_stop


async def cancel_purchase(runs: Runs, purchase: Purchase, settings: Settings) -> str:
    """Cancel a purchase of the journal and wait a while for its end. Returns a sentence that says how it stands.
    Raises NoKey where CivitAI has to be asked and there is none."""
    services = runs.services
    if purchase.state not in (REFUSED, FAILED, CANCELED, FINISHED, COLLECTED):
        purchase = await services.in_thread(services.journal.want_cancel, purchase.key)
        if purchase.state != CANCELED:
            need_key(settings)
            if purchase.workflow_id:  # at once; whoever drives it sees the wish later
                await ask_to_stop(services.client, purchase.workflow_id)
            purchase = await until_cancelled(runs, purchase.key, services.timings.cancel_patience)
    never_arrived = not purchase.workflow_id and await _never_arrived(services, purchase)
    return report.cancel_answer(purchase, never_arrived=never_arrived)


async def cancel_unknown(client: OrchestrationClient, workflow_id: str) -> str:
    """Cancel a workflow that is not in the journal. Raises NotFound where CivitAI knows none of this id."""
    unknown = NotFound(f"CivitAI knows no workflow {workflow_id!r} of your account.", status=404)
    await ask_to_stop(client, workflow_id)
    try:
        workflow = await client.workflow(workflow_id)
    except (NotFound, Gone, BadRequest) as error:
        raise unknown from error
    if not workflow.id:  # an answer, but of no workflow: `.` leads to their list
        raise unknown
    return report.cancelled_unknown(workflow_id, workflow.status)


async def until_cancelled(runs: Runs, key: str, seconds: float) -> Purchase:
    """Have a wish to cancel carried out, by whoever owns the purchase or by us, and wait some seconds for its end."""
    loop, driven = asyncio.get_running_loop(), False
    services, until = runs.services, asyncio.get_running_loop().time() + seconds
    while True:
        run, purchase = runs.get(key), await services.in_thread(services.journal.get, key)
        assert purchase is not None
        over = purchase.state not in (PLANNED, SENT, UNCONFIRMED, ACCEPTED)
        if over or loop.time() > until or (driven and run is None):
            return purchase
        if run is not None:
            driven = True
            run.want_cancel()
            await asyncio.wait({run.task}, timeout=services.timings.tick)
            continue
        owner = new_owner()
        purchase = await services.in_thread(services.journal.take, key, owner)
        if purchase is not None:
            runs.start(purchase, owner)  # it sees the wish, sends nothing, and asks until CivitAI says that it is over
        else:
            await asyncio.sleep(services.timings.tick)


async def cancel_in_passing(runs: Runs, purchase: Purchase) -> Purchase:
    """Cancel without waiting for the end; gives the row with the wish. The run is told, which asks the service at once
    or as soon as the workflow is known, and the wish is written down. Without a run, somebody else drives the purchase
    and sees the wish, or is gone and we drive it to its end."""
    services, run = runs.services, runs.get(purchase.key)
    if run is not None:
        run.want_cancel()
    purchase = await services.in_thread(services.journal.want_cancel, purchase.key)
    if run is None:
        if purchase.workflow_id:
            services.background.start(ask_to_stop(services.client, purchase.workflow_id))
        patience = 10 * services.timings.cancel_patience
        services.background.start(until_cancelled(runs, purchase.key, patience))
    return purchase


async def _never_arrived(services: Services, purchase: Purchase) -> bool:
    """Close an order that a person cancelled and that the list does not show an hour after its last attempt."""
    if purchase.state not in (SENT, UNCONFIRMED):
        return False
    attempts = await services.in_thread(services.journal.attempts, purchase.key)
    last = max((attempt.started for attempt in attempts), default=purchase.created)
    purchase = await services.in_thread(services.journal.get, purchase.key) or purchase
    timings = services.timings
    if abs(timings.clock() - last) < timings.gone_after or purchase.owner or purchase.workflow_id:
        return False
    await services.in_thread(lambda: services.journal.record(purchase.key, state=CANCELED, error="never arrived"))
    return True
