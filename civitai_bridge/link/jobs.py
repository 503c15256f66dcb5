"""A room's commands at work: each is written down before it begins, can be cancelled, and ends in one final status."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import CivitaiError, StateTrouble
from ..resources.plain_text import one_line
from .aside import Aside
from .book import LinkBook
from .command import Handler, LinkContext, LinkServices
from .kinds import echoed, kept_fields
from .lists import Lists
from .message import Command
from .outbox import FINAL, Outbox
from .questions import Person
from .timings import LinkTimings, iso_time
from .words import UNEXPECTED, room_sentence

log = logging.getLogger(__name__)
Notify = Callable[[Mapping[str, Any]], None]
ABOUT_RESOURCES = ("resources:add", "resources:remove")  # what pages draw among the activities
ID_OF_ANOTHER = "Another command has this id; each needs an id of its own."
_WHOLE = "*"
_LONGEST_SUBJECT = 200
_LARGEST_KEPT = 20_000  # bytes of a final status with a row for each resource; of larger ones the rows are not kept


@dataclass(eq=False)
class Job:
    """A command at work. `status` is its newest; `canceled` holds the hashes that the room cancelled, or `*`."""

    command: Command
    status: dict[str, Any]
    canceled: set[str] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    line: int = 0  # in the log
    notes: list[str] = field(default_factory=list)
    sent_at: float = 0.0
    is_ending: bool = False

    def is_canceled(self, hash_: str = _WHOLE) -> bool:
        """Whether the room cancelled one resource, or all of it."""
        return _WHOLE in self.canceled or hash_ in self.canceled

    @property
    def hashes(self) -> frozenset[str]:
        """What it is about."""
        rows = self.status.get("resources") or [self.status.get("resource") or {}]
        return frozenset(row["hash"] for row in rows if row.get("hash"))

    def cancel(self, hash_: str = _WHOLE) -> None:
        """The room wants no more of it, or of one resource in it."""
        self.canceled.add(hash_)
        if self.is_canceled() or (self.hashes and self.hashes <= self.canceled):
            self.canceled.add(_WHOLE)
            if self.task is not None and not self.is_ending:  # else its end would be lost on the way
                self.task.cancel()


class Jobs:
    """The jobs of one state folder, by id. Used on one loop. `open_services` gives what they stand on, as the settings
    are now; `secrets` are cut out of every sentence; `notify` tells the page."""

    def __init__(
        self,
        book: LinkBook,
        lists: Lists,
        outbox: Outbox,
        aside: Aside,
        open_services: Callable[[], Awaitable[LinkServices]],
        *,
        handlers: Mapping[str, Handler],
        resumed: frozenset[str],
        timings: LinkTimings,
        secrets: Callable[[], tuple[str, ...]],
        notify: Notify,
    ) -> None:
        self.book, self.outbox, self.timings, self.handlers = book, outbox, timings, handlers
        self.now: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of these and of what ends at the moment
        self._lists, self.aside, self._open_services = lists, aside, open_services
        self._resumed, self._secrets, self._notify = resumed, secrets, notify
        self.person = Person(book, aside, timings, notify)

    def start(self, command: Command, *, resumed: bool = False) -> None:
        """Begin a command, or go on with one that an earlier process began."""
        job = self.now[command.id] = self._job(command)
        job.task = asyncio.ensure_future(self._run(job, resumed))
        self._tasks.add(job.task)
        job.task.add_done_callback(self._tasks.discard)

    async def resume(self) -> None:
        """Go on with what an earlier process of this state folder did not end, and say again how what it ended at last
        did: it may not have come to that. Raises StateTrouble."""
        finals = await self.aside(self.book.finals_since, self.timings.clock() - self.timings.resend)
        for status in finals:
            self.outbox.put(status)
        for open_job in await self.aside(self.book.open_jobs):
            command = open_job.command
            if command.id in self.now:
                continue
            if open_job.is_canceled:
                await self._end(self._job(command), "canceled")
            elif command.type in self._resumed and command.type in self.handlers:
                self.start(command, resumed=True)
            else:
                why = "ComfyUI was stopped before this was done; send it again."
                await self._end(self._job(command), "error", error=why)

    async def cancel(self, job: Job, hash_: str = _WHOLE) -> None:
        """End a job, or one resource of it, because the room or the person says so. What has arrived is kept for the
        next time. It is ended on a full disk too, where that cannot be written down."""
        if hash_ == _WHOLE or job.hashes <= job.canceled | {hash_}:
            try:
                await self.aside(self.book.cancel, job.command.id)
            except StateTrouble as error:
                log.warning("That a command of CivitAI Link was cancelled could not be written down: %s", error)
        job.cancel(hash_)

    async def cancel_all(self) -> None:
        """The room is no more: everything that it asked for ends as cancelled."""
        for job in list(self.now.values()):
            job.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.aside(self.book.forget_room)

    async def close(self) -> None:
        """This process ends: what is at work stops without a final status, and goes on in the next one."""
        for job in list(self.now.values()):
            if job.task is not None:
                job.task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def sentence(self, error: CivitaiError) -> str:
        """An error as the room may read it."""
        try:
            services = await self._open_services()
        except CivitaiError:
            return room_sentence(error, secrets=self._secrets())
        return room_sentence(error, secrets=self._secrets(), folders=_folders(services))

    def _job(self, command: Command) -> Job:
        echo = echoed(command.fields) if command.type in ABOUT_RESOURCES else {}
        return Job(command, {**command.envelope, "status": "pending", "updatedAt": iso_time(self.timings), **echo})

    async def _run(self, job: Job, resumed: bool) -> None:
        outcome = await self._outcome(job, resumed)
        if outcome is not None:
            status, fields = outcome
            await self._end(job, status, **fields)

    async def _outcome(self, job: Job, resumed: bool) -> tuple[str, Mapping[str, Any]] | None:
        """Do what the command asks: its final status and the fields of that; None where it has had its end already."""
        try:
            if not resumed and (known := await self._begun(job)) is not None:
                self.now.pop(job.command.id, None)
                if known:
                    self.outbox.put(_repeated(job, json.loads(known)))
                return None
            self._say(job)
            context = await self._context(job)
            fields = await self.handlers[job.command.type](job.command, context, self._reporter(job))
        except asyncio.CancelledError:
            if not job.is_canceled():
                raise  # this process ends; the job goes on in the next one
            return "canceled", {}
        except CivitaiError as error:
            job.is_ending = True
            job.notes.insert(0, str(error))
            return "error", {"error": await self.sentence(error)}
        except Exception:  # the door: whatever it is, the room gets its end and the console the story
            log.exception("A command of CivitAI Link failed.")
            return "error", {"error": UNEXPECTED}
        return "success", {"progress": 100, **fields}

    async def _begun(self, job: Job) -> str | None:
        """Write it down; what is known of it already, see `LinkBook.begin`. A cancel waits until that is done."""
        command = job.command
        kept = kept_fields(command.fields) if command.type in self._resumed else {}
        shown = Command(command.id, command.type, command.asked_type, command.created_at, kept)
        writing = asyncio.ensure_future(self.aside(self.book.begin, shown, _subject(job.status)))
        try:
            known, job.line = await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            raise
        return known

    async def _end(self, job: Job, status: str, **fields: Any) -> None:
        """The one final status: kept, then sent."""
        job.is_ending = True
        for name in ("speed", "remainingTime", "progress"):
            job.status.pop(name, None)
        job.status |= {**fields, "status": status, "updatedAt": iso_time(self.timings)}
        self.now.pop(job.command.id, None)
        kept = _kept(job.status)
        detail = one_line(" ".join(job.notes) or str(fields.get("error", "")))
        try:
            await self.aside(self.book.end, job.command.id, kept, job.line, _subject(job.status), detail)
        except StateTrouble as error:
            log.warning("How a command of CivitAI Link ended could not be written down: %s", error)
        self.outbox.put(dict(job.status))
        self._notify({"activity": kept})
        if job.command.type in ABOUT_RESOURCES:
            self._lists.changed()

    def _say(self, job: Job) -> None:
        job.sent_at = self.timings.clock()
        self.outbox.put(dict(job.status))
        self._notify({"activity": dict(job.status)})

    def _reporter(self, job: Job) -> Callable[..., None]:
        loop, thread = asyncio.get_running_loop(), threading.get_ident()

        def take(progress: float, fields: Mapping[str, Any]) -> None:
            if job.status["status"] in FINAL or self.now.get(job.command.id) is not job:
                return
            is_first = job.status["status"] != "processing"
            number = round(min(100.0, max(0.0, progress)), 1)
            job.status |= {**fields, "status": "processing", "progress": number, "updatedAt": iso_time(self.timings)}
            if is_first or not 0 <= self.timings.clock() - job.sent_at < self.timings.progress:
                self._say(job)

        def report(progress: float, **fields: Any) -> None:
            if threading.get_ident() == thread:
                take(progress, fields)
            else:
                loop.call_soon_threadsafe(take, progress, fields)

        return report

    async def _context(self, job: Job) -> LinkContext:
        services = await self._open_services()
        folders = _folders(services)
        return LinkContext(
            services.settings,
            services.catalog,
            services.fetch,
            job.notes.append,
            lambda sentence: self.person.ask(job.command.id, sentence),
            services.generate,
            sentence=lambda error: room_sentence(error, secrets=self._secrets(), folders=folders),
            loading=self._lists.loading,
            cancelled=job.is_canceled,
            book=self.book,
        )


def _folders(services: LinkServices) -> list[str]:
    """This machine's folders that no sentence for a room may name."""
    roots = services.catalog.catalogs.folders
    paths = [str(path) for several in roots.folders.values() for path in several]
    return [*paths, str(services.settings.home), *([str(roots.root)] if roots.root else [])]


def _repeated(job: Job, final: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of a command that was obeyed long ago: how it ended, unless that was another one of its id."""
    is_same = str(final.get("type")).lower() == job.command.type
    return final if is_same else {**job.status, "status": "error", "error": ID_OF_ANOTHER}


def _kept(status: Mapping[str, Any]) -> dict[str, Any]:
    """A final status as it is kept: without pictures, which it says, and within a size."""
    kept = dict(status)
    if kept.get("images"):
        kept |= {"images": [], "notes": [*kept.get("notes", ()), "The pictures are not kept; ask for them again."]}
    if "resources" in kept and len(json.dumps(kept)) > _LARGEST_KEPT:
        del kept["resources"]
    return kept


def _subject(status: Mapping[str, Any]) -> str:
    """What a command is about, for the log."""
    rows = status.get("resources") or ([status["resource"]] if status.get("resource") else [])
    titles = (" ".join(filter(None, (row["type"], row["modelName"] or row["name"], row["hash"][:12]))) for row in rows)
    return ", ".join(titles)[:_LONGEST_SUBJECT]
