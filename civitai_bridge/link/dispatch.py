"""A room's commands on their way in: who is let in, and what answers it.

Only the event `command` comes here; whatever other members of the room send beside it is never looked at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from ..errors import BadInput, CivitaiError, StateTrouble
from ..resources.plain_text import one_line
from .activities import QUICK, Quick, nothing_of
from .aside import Aside
from .book import LinkBook
from .command import Handler, LinkServices
from .commands import HANDLERS, RESUMED
from .jobs import ABOUT_RESOURCES, ID_OF_ANOTHER, Jobs, Notify
from .kinds import echoed
from .limits import MOST_JOBS, RateLimits
from .lists import Lists
from .message import Command, read_command
from .outbox import Outbox
from .timings import USUAL, LinkTimings, iso_time
from .words import UNEXPECTED

log = logging.getLogger(__name__)


class Dispatcher:
    """Everything that a room asks of one state folder. Used on one loop, on which it is closed."""

    def __init__(
        self,
        book: LinkBook,
        open_services: Callable[[], Awaitable[LinkServices]],
        *,
        timings: LinkTimings = USUAL,
        secrets: Callable[[], tuple[str, ...]] = lambda: (),
        notify: Notify = lambda _: None,
        handlers: Mapping[str, Handler] = HANDLERS,
    ) -> None:
        """See `Jobs`."""
        self.book = book
        self.outbox = Outbox(resend=timings.resend)
        self.aside = Aside()
        self.lists = Lists(open_services, self.outbox, self.aside, timings)
        self.jobs = Jobs(
            book,
            self.lists,
            self.outbox,
            self.aside,
            open_services,
            handlers=handlers,
            resumed=RESUMED,
            timings=timings,
            secrets=secrets,
            notify=notify,
        )
        self._limits = RateLimits()
        self._timings = timings
        self._tasks: set[asyncio.Task[Any]] = set()
        self._logged: dict[tuple[str, str], float] = {}

    def receive(self, data: object) -> None:
        """One message of the event `command`, in the order in which they came; never raises, never waits."""
        try:
            command = read_command(data)
        except BadInput as error:
            self._log_now_and_then("unknown", "ignored", str(error))
            return
        handlers, jobs = self.jobs.handlers, self.jobs.now
        if command.id in jobs and command.type in handlers:
            if jobs[command.id].command.type != command.type:
                self._refuse(command, ID_OF_ANOTHER)
            return  # the same one again, while it is at work
        is_free = self._limits.take(command.type)
        if self.outbox.knows(command.type, command.id):
            if is_free:  # the same one again; how it ended is said again
                self.outbox.again(command.type, command.id)
            return
        if not is_free:
            self._refuse(command, "Too many commands of this kind at once; send it again in a minute.")
        elif quick := QUICK.get(command.type):
            self._spawn(self._answer(command, quick))
        elif command.type not in handlers:
            known = ", ".join((*QUICK, *handlers))
            self._refuse(command, f"This ComfyUI knows no such command. It knows {known}.")
        elif len(jobs) >= MOST_JOBS:
            self._refuse(command, f"{MOST_JOBS} commands are at work already; send it again when some are done.")
        else:
            self.jobs.start(command)

    async def _answer(self, command: Command, quick: Quick) -> None:
        try:
            fields = {**await quick(command, self.jobs, self.lists), "status": "success"}
        except CivitaiError as error:
            fields = {**nothing_of(command, self.jobs), "status": "error", "error": await self.jobs.sentence(error)}
        except Exception:  # the door: whatever it is, the room gets its end and the console the story
            log.exception("A question of CivitAI Link failed.")
            fields = {**nothing_of(command, self.jobs), "status": "error", "error": UNEXPECTED}
        self.outbox.put({**command.envelope, "updatedAt": iso_time(self._timings), **fields})
        await self._log(command.type, "", str(fields["status"]), str(fields.get("error", "")))

    def _refuse(self, command: Command, sentence: str) -> None:
        is_about_files = command.type in ABOUT_RESOURCES
        echo = echoed(command.fields) if is_about_files else nothing_of(command, self.jobs)
        status = {"status": "error", "error": sentence, "updatedAt": iso_time(self._timings)}
        self.outbox.put({**command.envelope, **echo, **status})
        self._log_now_and_then(command.type, "error", sentence)

    def _log_now_and_then(self, type_: str, outcome: str, detail: str) -> None:
        """A line of each kind a second at most: who floods this machine is not to fill its disk and its log."""
        now, kind = self._timings.clock(), (type_[:20], detail)
        if 0 <= now - self._logged.get(kind, -1.0) < 1.0:
            return
        if len(self._logged) > 100:
            self._logged.clear()
        self._logged[kind] = now
        self._spawn(self._log(type_, "", outcome, detail))

    async def close(self) -> None:
        """This process ends: what is at work stops without a final status and goes on in the next one."""
        await self.jobs.close()
        await self.lists.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.aside(self.book.close)
        self.aside.close()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _log(self, type_: str, subject: str, outcome: str, detail: str) -> None:
        try:
            await self.aside(self.book.log, type_ or "unknown", subject, outcome, one_line(detail))
        except StateTrouble as error:
            log.warning("What CivitAI Link asked for could not be written down: %s", error)
