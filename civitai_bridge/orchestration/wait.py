"""The caller's wait for a purchase, whoever drives it: this process, for this or an equal request, or another server.

A caller may cancel, be torn down or be tired of waiting; the run of the purchase does not notice but for a person's
cancel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from ..errors import ApiError, Interrupted, Unreachable
from . import report
from .cancel import cancel_in_passing
from .outcome import Caller, State
from .owners import new_owner
from .purchase import ACCEPTED, CANCELED, COLLECTED, FAILED, PLANNED, REFUSED, SENT, UNCONFIRMED, Purchase
from .run import PurchaseRun, Runs
from .submit import Admit

T = TypeVar("T")

_PHASES = {
    "submitting": "Sending the order",
    "fetching": "Fetching the pictures",
    "unassigned": "In the queue",
    "scheduled": "In the queue",
    "preparing": "A worker loads the model",
}


async def until_stopped(stopped: Callable[[], bool], work: Coroutine[Any, Any, T], *, tick: float) -> T:
    """Do something that has cost nothing yet; drop it as soon as nobody wants it. Raises Interrupted."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        while not stopped():
            if task.done():
                return task.result()
            await asyncio.wait({task}, timeout=tick)
        raise Interrupted("Cancelled before anything was bought.")
    finally:
        if not task.cancel() and not task.cancelled():
            task.exception()  # looked at, so that nobody is told of what does not matter any more


async def wait_for_purchase(
    runs: Runs, purchase: Purchase, caller: Caller, minutes: float, admit: Admit
) -> tuple[Purchase, bool]:
    """Wait until the pictures of a purchase are here, or it came to none. The second value says whether an order that
    nobody had answered was sent again for us. Raises Interrupted, StillRunning and what the run raises."""
    timings, loop = runs.services.timings, asyncio.get_running_loop()
    began, leaving = loop.time(), purchase.cancels
    until = began + minutes * 60
    own: PurchaseRun | None = None
    ordered = False
    while purchase.state not in (COLLECTED, FAILED, CANCELED, REFUSED):
        run = runs.get(purchase.key)
        if run is None and not caller.cancelled():
            purchase, own = await _take(runs, purchase, 0 if caller.abandoned() else leaving, admit, own)
            run = runs.get(purchase.key)
        if caller.cancelled():
            raise report.interrupted(await cancel_in_passing(runs, purchase))
        if run is None:
            text = f"An equal request is under way elsewhere · {loop.time() - began:.0f} s"
            caller.progress(State("sharing", text, price=purchase.price))
            await timings.sleep(timings.tick)
        else:
            caller.progress(_state(run, loop.time() - began))
            with run.awaited(caller, admit):
                await asyncio.wait({run.task}, timeout=timings.tick)
            if run.held:
                until = loop.time() + minutes * 60  # they are for the job, which has not been sent
            purchase, ordered = run.purchase, ordered or (run is own and run.ordered)
            if run.task.done():
                runs.forget(run)
                if not run.task.cancelled() and _result(run).state not in (PLANNED, SENT, UNCONFIRMED, ACCEPTED):
                    return _result(run), ordered
                purchase = await _read(runs, purchase)  # somebody else drives it now, or it was only looked for
        if loop.time() > until:
            raise report.still_running(purchase, minutes)
    return purchase, ordered


async def _take(
    runs: Runs, purchase: Purchase, forget_cancels: int, admit: Admit, own: PurchaseRun | None
) -> tuple[Purchase, PurchaseRun | None]:
    """Become the owner of a purchase that nobody drives, and drive it. An order without a workflow is sent again only
    as `admit` says."""
    services, owner = runs.services, new_owner()
    take = partial(services.journal.take, purchase.key, owner, forget_cancels=forget_cancels)
    row = await services.in_thread(take)
    if row is None:
        return await _read(runs, purchase), own
    return row, runs.start(row, owner, None if row.workflow_id else admit)


def _result(run: PurchaseRun) -> Purchase:
    """What a run came to; what stopped one that is paid says so."""
    try:
        return run.task.result()
    except (ApiError, Unreachable) as error:
        if run.purchase.workflow_id:
            raise report.already_paid(error, run.purchase) from error
        raise


async def _read(runs: Runs, purchase: Purchase) -> Purchase:
    return await runs.services.in_thread(runs.services.journal.get, purchase.key) or purchase


def _state(run: PurchaseRun, seconds: float) -> State:
    """One line for the node: phase, queue position, price, seconds."""
    purchase, workflow, phase = run.purchase, run.workflow, run.phase
    text, fraction = run.activity or _PHASES.get(phase, phase.capitalize()), None
    if workflow and workflow.preceding_jobs and phase in ("unassigned", "scheduled"):
        text = f"{text} · {workflow.preceding_jobs} before"
    if phase == "fetching":
        fraction = 0.95
    elif workflow and phase == "processing":
        fraction = workflow.progress
    text = f"{text} · {purchase.price} Buzz · {seconds:.0f} s"
    return State(phase, text, fraction, purchase.price, purchase.workflow_id)
