"""The wait: one long poll after the other until the workflow is over. No error of a look ever cancels."""

from __future__ import annotations

import asyncio

from ..errors import (
    ApiError,
    BadRequest,
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
from .purchase import ACCEPTED, FAILED
from .timings import pause_before
from .workflow import Workflow

# No answer, or one that says nothing about the workflow: it is asked again, however often.
NO_ANSWER = (Unreachable, ServerTrouble, RateLimited, Unreadable, Conflict, CloudflareChallenge)
_LOOKS_AT_UNKNOWN = 5
_LOOKS_AT_FORBIDDEN = 2  # a firewall on the way may say no once


async def watch(owned: OwnedPurchase) -> None:
    """Poll an accepted purchase until its end is written down. Raises Unauthorized, Forbidden and the like, and
    NotFound or Gone while CivitAI does not know the workflow."""
    timings = owned.services.timings
    wait, failures, unknown, forbidden, late = timings.long_poll, 0, 0, 0, 0
    while owned.purchase.state == ACCEPTED:
        asked = asyncio.get_running_loop().time()
        try:
            workflow = await owned.services.client.workflow(owned.purchase.workflow_id, wait=wait)
        except BadRequest:
            if not wait:
                raise
            wait = 0  # an older deployment that takes no number of seconds
            continue
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
        if workflow.done and late < timings.late_looks and still_attaching(owned.purchase, workflow):
            late += 1
            await timings.sleep(pause_before(late, None))
        elif workflow.done:
            await learn(owned, workflow)
        elif (held := asyncio.get_running_loop().time() - asked) < timings.short_poll:
            await timings.sleep(timings.short_poll - held)


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
