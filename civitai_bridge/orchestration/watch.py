"""The wait: one look after the other until the workflow is over. No error of a look ever cancels."""

from __future__ import annotations

from ..errors import (
    ApiError,
    CloudflareChallenge,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    RateLimited,
    RegionBlocked,
    ServerTrouble,
    Unreachable,
    Unreadable,
)
from .answers import learn, look_by_tag, still_attaching
from .owned import OwnedPurchase
from .purchase import ACCEPTED, FAILED, Purchase
from .timings import pause_before
from .watcher import WatchedJob
from .workflow import Workflow

# No answer, or one that says nothing about the workflow: it is asked again, however often.
NO_ANSWER = (Unreachable, ServerTrouble, RateLimited, Unreadable, Conflict, CloudflareChallenge)
_LOOKS_AT_UNKNOWN = 5
_LOOKS_AT_FORBIDDEN = 2  # a firewall on the way may say no once


async def watch(owned: OwnedPurchase) -> None:
    """Look at an accepted purchase until its end is written down. Raises Unauthorized, Forbidden and the like, and
    NotFound or Gone while CivitAI does not know the workflow."""
    with owned.services.watcher.watching(owned.workflow) as job:
        await _until_over(owned, job)


async def _until_over(owned: OwnedPurchase, job: WatchedJob) -> None:
    timings = owned.services.timings
    failures = unknown = forbidden = late = 0
    while owned.purchase.state == ACCEPTED:
        try:
            workflow = await job.look(owned.purchase.workflow_id)
        except (NotFound, Gone) as error:
            unknown = await _after_unknown(owned, unknown + 1, error)
            continue
        except (Forbidden, RegionBlocked) as error:
            forbidden += 1
            if forbidden >= _LOOKS_AT_FORBIDDEN:
                raise
            await timings.sleep(pause_before(forbidden, error))
            continue
        except NO_ANSWER as error:
            failures += 1
            await timings.sleep(pause_before(failures, error))
            continue
        failures = unknown = forbidden = 0
        await _known_again(owned, workflow)
        if not workflow.done:
            continue
        if not job.by_id and not _tells_all(owned.purchase, workflow):
            job.by_id = True
        elif late < timings.late_looks and still_attaching(owned.purchase, workflow):
            late += 1
            await timings.sleep(pause_before(late, None))
        else:
            await learn(owned, workflow)


def _tells_all(purchase: Purchase, workflow: Workflow) -> bool:
    """Whether an answer about a finished workflow has all that there is to know. A list may leave parts out, or hide
    pictures that the workflow's own route shows."""
    if workflow.status != "succeeded":
        return bool(workflow.reasons and workflow.transactions)
    to_be_had = all(blob.available and blob.url for blob in workflow.images)
    return to_be_had and bool(workflow.transactions) and not still_attaching(purchase, workflow)


async def _known_again(owned: OwnedPurchase, workflow: Workflow) -> None:
    owned.workflow = workflow
    if owned.purchase.about.get("unknown_since") is not None:
        await owned.write(about={**owned.purchase.about, "unknown_since": None})


async def _after_unknown(owned: OwnedPurchase, times: int, error: ApiError) -> int:
    """CivitAI does not know the workflow, for the `times`-th time in a row. It may be young, or a server of theirs may
    be behind; only one that stays unknown for an hour, by id and by tag, is gone for good. Gives how often it was
    unknown when it is to be asked again, else raises the error."""
    timings = owned.services.timings
    if times < _LOOKS_AT_UNKNOWN:
        await timings.sleep(pause_before(times, error))
        return times
    now = timings.clock()
    since = owned.purchase.about.get("unknown_since")
    since = since if isinstance(since, (int, float)) else now
    over = abs(now - since) > timings.gone_after
    if over and await look_by_tag(owned):
        return 0
    state = {"state": FAILED} if over else {}
    await owned.write(error=str(error), about={**owned.purchase.about, "unknown_since": since}, **state)
    raise error
