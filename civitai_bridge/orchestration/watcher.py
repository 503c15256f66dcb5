"""How news of all the jobs of one Fleet come in: by a long poll each while they are few, else by one list for all.

The list is only another way to be told. A job that it leaves out is asked by its id, and so is one of which it tells
too little, or nothing new for minutes; a list that fails or hangs leaves everybody out. The oldest job keeps its long
poll beside the list: its end shows at once, and the list is then asked without delay, for others are often over by
then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from datetime import datetime, timedelta

from ..errors import BadRequest, CivitaiError
from ..resources.moments import moment_of
from .body import TAG
from .client import OrchestrationClient
from .timings import Timings, pause_before
from .workflow import Workflow

PAGE = 100  # workflows; the service's own default, and as many as its pages are known to hold
_PAGES_BESIDE = 3  # beyond those that our jobs fill, for what the account ordered elsewhere meanwhile
_EARLIER = timedelta(minutes=1)  # than the oldest job: how the service rounds its dates is not known
_FIRST_YEAR = 2000  # an earlier date of a job is none

log = logging.getLogger(__name__)


class Watcher:
    """The watched jobs of one Fleet, and the list that is asked for all of them while they are many. Lives on one event
    loop."""

    def __init__(self, client: OrchestrationClient, timings: Timings) -> None:
        self.client = client
        self.timings = timings
        self._jobs: dict[WatchedJob, None] = {}  # oldest first
        self._scout: WatchedJob | None = None  # the one with a long poll beside the list
        self._listing: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()

    @contextmanager
    def watching(self, workflow: Workflow | None) -> Iterator[WatchedJob]:
        """One job among the watched; `workflow` is what the service said of it last, None where nobody has asked."""
        job = WatchedJob(self, workflow)
        self._jobs[job] = None
        self._settle()
        try:
            yield job
        finally:
            del self._jobs[job]
            self._settle()

    def asks_for(self, job: WatchedJob) -> bool:
        """Whether a job is asked by its id now; else the list tells of it."""
        stale = job.listed >= self.timings.list_believed
        return self._listing is None or job is self._scout or job.by_id or stale or self._left_out(job)

    def hurry(self) -> None:
        """Something has ended, or is about to: the list is asked soon instead of in its turn."""
        self._hurried.set()

    def _left_out(self, job: WatchedJob) -> bool:
        return job.unseen >= self.timings.list_patience

    def _settle(self) -> None:
        """Begin with the list, or end it, as the number of jobs wants it. A long poll that is out is not broken
        off."""
        crowded = len(self._jobs) > self.timings.long_polls
        if crowded and self._listing is None:
            # In a context of its own: what one node listens to is not what all of them wait for.
            self._listing = Context().run(asyncio.get_running_loop().create_task, self._list_on())
            self._send_scout()
        elif not crowded and self._listing is not None:
            self._listing.cancel()
            self._listing = self._scout = None
            for job in self._jobs:
                job.stir()

    def _send_scout(self) -> None:
        """Let the oldest job that goes on, for all that the list tells, keep a long poll. Not at once when the last one
        has ended: the list is asked then, and jobs that end together would be asked one after the other besides."""
        if self._scout not in self._jobs or self._left_out(self._scout):
            self._scout = next((job for job in self._jobs if not job.ended and not self._left_out(job)), None)
            if self._scout is not None:
                self._scout.stir()

    async def _list_on(self) -> None:
        failures, passed = 0, await self._rest(self.timings.list_every)
        # Asked each time: until Python 3.12 a cancel that meets the end of a `wait_for` is lost in it.
        while self._listing is asyncio.current_task():
            error = await self._round(passed)
            failures = failures + 1 if error else 0
            if error:
                passed = max(self.timings.list_every, pause_before(failures, error))
                await self.timings.sleep(passed)
            else:
                passed = await self._rest(self.timings.list_every)

    async def _rest(self, seconds: float) -> float:
        """Wait for the next turn of the list, or a shorter time when it is hurried; gives the seconds."""
        least = min(self.timings.list_least, seconds)
        await self.timings.sleep(least)
        turn = asyncio.ensure_future(self.timings.sleep(seconds - least))
        hurried = asyncio.ensure_future(self._hurried.wait())
        try:
            await asyncio.wait({turn, hurried}, return_when=asyncio.FIRST_COMPLETED)
            return seconds if turn.done() else least
        finally:
            turn.cancel()
            hurried.cancel()
            self._hurried.clear()

    async def _round(self, passed: float) -> CivitaiError | None:
        """Ask the list once and tell every job, `passed` seconds after the last time. Gives what went wrong; what had
        come by then is told all the same."""
        loop = asyncio.get_running_loop()
        jobs, listed, trouble, began = list(self._jobs), dict[str, Workflow](), None, loop.time()
        try:
            await asyncio.wait_for(self._read(jobs, listed), self.timings.list_patience)
        except CivitaiError as error:
            trouble = error
        except asyncio.TimeoutError:
            trouble = CivitaiError("It took too long.")
        except Exception:  # whatever it is: nobody may wait for ever for a list that does not come
            log.exception("The list of workflows could not be read")
            trouble = CivitaiError("It could not be read.")
        passed += loop.time() - began
        for job in jobs:
            job.hear(listed.get(job.workflow_id), passed)
        if self._listing is not None:
            self._send_scout()
        if trouble:
            log.info("The list of workflows did not come, so jobs are asked one by one: %s", trouble)
        return trouble

    async def _read(self, jobs: Sequence[WatchedJob], listed: dict[str, Workflow]) -> None:
        """Read pages into `listed`, newest first, until every job was seen. One that was left out before is not looked
        for: it may be weeks old."""
        near = [job for job in jobs if not self._left_out(job)] or jobs
        since = min((job.created for job in near if job.created), default=None)
        since = since and since - _EARLIER
        cursor, sought = "", {job.workflow_id for job in near}
        for _ in range(len(jobs) // PAGE + _PAGES_BESIDE):
            workflows, cursor = await self.client.page(TAG, since=since, cursor=cursor, take=PAGE)
            listed.update((workflow.id, workflow) for workflow in workflows)
            if not cursor or sought <= listed.keys():
                return


class WatchedJob:
    """One job of a Watcher. `unseen` is for how many seconds the list has left it out, `listed` for how many it alone
    has told of it, `created` when the service made it, `ended` whether an answer had it over; with `by_id` only its own
    route is asked, which tells all that there is."""

    def __init__(self, watcher: Watcher, workflow: Workflow | None) -> None:
        self._watcher = watcher
        self._wait = watcher.timings.long_poll
        self._earliest = 0.0  # of the next question by id, by the loop's clock
        self._news: Workflow | None = None
        self._stirred = asyncio.Event()
        self._enter(workflow.id if workflow else "", workflow)

    def _enter(self, workflow_id: str, workflow: Workflow | None) -> None:
        self.workflow_id = workflow_id
        self.created = moment(workflow.created_at) if workflow else None
        # Of what nobody has asked it is not known whether it is over, so the list is not waited for.
        self.unseen = 0.0 if workflow else self._watcher.timings.list_patience
        self.listed = 0.0
        self.by_id = self.ended = False
        self._news = None

    async def look(self, workflow_id: str) -> Workflow:
        """What the service says of the workflow, when there is news or after half a minute. Raises what the client
        raises."""
        if workflow_id != self.workflow_id:
            self._enter(workflow_id, None)
        while not self._watcher.asks_for(self):
            await self._stirred.wait()
            self._stirred.clear()
            if (news := self._news) is not None:
                self._news = None
                return news
        return await self._ask()

    def stir(self) -> None:
        """Have it decided anew how the job is asked."""
        self._stirred.set()

    def hear(self, workflow: Workflow | None, passed: float) -> None:
        """What the list told: of this job, or `None`; `passed` seconds after the last one."""
        if workflow is None:
            self.unseen += passed
        else:
            self.unseen, self._news = 0.0, workflow
            self.listed += passed
            if workflow.done and not self.ended:
                self.ended = True
                self._watcher.hurry()
        self.stir()

    async def _ask(self) -> Workflow:
        timings, loop = self._watcher.timings, asyncio.get_running_loop()
        if (early := self._earliest - loop.time()) > 0:  # the service did not hold the last question
            await timings.sleep(early)
        asked = loop.time()
        workflow = await self._answer()
        self._earliest = 0.0 if workflow.done else asked + timings.short_poll
        self.listed = 0.0
        if workflow.done:
            self.by_id = self.ended = True
            self._watcher.hurry()
        elif self.created is None and (created := moment(workflow.created_at)):
            self.created, self.unseen = created, 0.0  # from now on the list may know it
        return workflow

    async def _answer(self) -> Workflow:
        client = self._watcher.client
        try:
            return await client.workflow(self.workflow_id, wait=self._wait)
        except BadRequest:
            if not self._wait:
                raise
        self._wait = 0  # an older deployment that takes no number of seconds
        return await client.workflow(self.workflow_id)


def moment(text: str) -> datetime | None:
    """When the service says that it made a job; None where it says nothing, or the year 1 of an empty .NET date."""
    when = moment_of(text)
    return when if when is not None and when.year >= _FIRST_YEAR else None
