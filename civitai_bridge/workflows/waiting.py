"""The wait for the end of a workflow, whoever ordered it: long polls, and no trouble of a look ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import BadRequest, Forbidden, NotFound, RegionBlocked
from ..orchestration.timings import Timings, pause_before
from ..orchestration.watch import NO_ANSWER
from .client import Answer, WorkflowClient
from .details import WorkflowDetails

_LOOKS_AT_REFUSAL = 2  # a firewall on the way may say no once


async def wait_for_end(
    client: WorkflowClient,
    workflow_id: str,
    seconds: float,
    timings: Timings,
    on_look: Callable[[WorkflowDetails], None] = lambda _: None,
) -> tuple[WorkflowDetails, Answer]:
    """The workflow at its end, or as it stands after `seconds`. `on_look` sees it after every look. Cancelling the wait
    leaves the job alone. Raises what the first look raises, and what the service says for good: NotFound, Unauthorized
    and the like."""
    clock = asyncio.get_running_loop().time
    end, failures, refusals, holds, pause = clock() + seconds, 0, 0, True, 0.0

    def is_wanted() -> bool:
        return clock() < end

    last = await client.workflow(workflow_id)  # the first look tells what is wrong, if anything is
    while True:
        on_look(last[0])
        if last[0].is_over or not is_wanted():
            return last
        await timings.sleep(max(0.0, min(pause, end - clock())))
        asked, wait = clock(), min(timings.long_poll, max(0, int(end - clock()))) if holds else 0
        try:
            last, failures, refusals = await client.workflow(workflow_id, wait=wait, is_wanted=is_wanted), 0, 0
            pause = timings.short_poll - (clock() - asked)  # where the service does not hold the question
        except BadRequest:
            if not wait:
                raise
            holds, pause = False, 0.0  # an older deployment that takes no number of seconds
        except NO_ANSWER as error:
            failures += 1
            pause = pause_before(failures, error)
        except (Forbidden, RegionBlocked, NotFound) as error:
            refusals += 1
            if refusals >= _LOOKS_AT_REFUSAL:
                raise
            pause = pause_before(refusals, error)
