"""The link of this process for who is not the room: page, command line, the server's start and end.

Nothing is opened and no thread begun before there is a pairing; then the agent runs by itself."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CivitaiError
from ..settings import Settings
from .book import LINK_BOOK, LinkBook
from .pairing import NAME, Pairing, PairingFile, is_held, read_code
from .questions import ALLOW, DENY, answer, open_questions
from .state import ELSEWHERE, WAITING, LinkState
from .trash import Trashed, empty, list_trash, restore

if TYPE_CHECKING:
    from .agent import LinkAgent

log = logging.getLogger(__name__)
_PATIENCE = 2.0  # seconds for an agent to end in good order


class LinkRunner:
    """`load` reads the settings; `open_agent` makes an agent that does not run yet. Used on one loop."""

    def __init__(self, load: Callable[[], Settings], open_agent: Callable[[], Awaitable[LinkAgent]]) -> None:
        self._load, self._open_agent = load, open_agent
        self._agent: LinkAgent | None = None
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> bool:
        """Run the agent where there is a pairing and none runs yet; whether one runs. Raises BadSetting,
        StateTrouble."""
        async with self._starting:
            if self.is_running:
                return True
            home = (await asyncio.to_thread(self._load)).home
            if not os.path.isfile(home / NAME) or not await asyncio.to_thread(PairingFile(home).load):
                return False
            self._agent = await self._open_agent()
            self._task = asyncio.ensure_future(self._run(self._agent))
            return True

    async def _run(self, agent: LinkAgent) -> None:
        try:
            await agent.run()
        except CivitaiError as error:
            log.warning("CivitAI Link has ended: %s", error)
        except Exception:  # nobody waits for it who could say it
            log.exception("CivitAI Link has ended.")
        finally:
            await agent.dispatcher.close()

    async def stop(self) -> None:
        """End the agent; what is at work goes on in the next process."""
        agent, task = self._agent, self._task
        if agent is not None and task is not None:
            agent.stop()
            done, _ = await asyncio.wait({task}, timeout=_PATIENCE)
            if not done:  # it is connecting
                task.cancel()
                await asyncio.wait({task})

    @property
    def is_running(self) -> bool:
        """Whether the agent of this process runs."""
        return self._task is not None and not self._task.done()

    @property
    def state(self) -> LinkState:
        """How the link of this process stands."""
        return self._agent.state if self._agent is not None else LinkState()

    async def pair(self, code: object) -> None:
        """Enter a pairing code and run the agent. A key that is there stays until the relay gives another. Raises
        BadInput, BadSetting."""
        await self.enter(code)
        await self.start()

    async def enter(self, code: object) -> None:
        """Keep a pairing code for the agent that runs, or for the next one. Raises BadInput, BadSetting."""
        code = read_code(code if isinstance(code, str) else "")
        home = (await asyncio.to_thread(self._load)).home
        await asyncio.to_thread(PairingFile(home).enter, code)

    async def pairing(self) -> Pairing:
        """What link.json holds. Raises BadSetting."""
        home = (await asyncio.to_thread(self._load)).home
        return await asyncio.to_thread(PairingFile(home).load)

    async def unpair(self) -> bool:
        """Forget key and code; the agent leaves the room by itself, wherever it runs. True when there was one. Raises
        BadSetting, StateTrouble."""
        home = (await asyncio.to_thread(self._load)).home
        was_paired = await asyncio.to_thread(PairingFile(home).forget_all)
        if was_paired and os.path.isfile(home / LINK_BOOK):  # a later room is not to get what this one asked for
            await self.with_book(_forget_room)
        return was_paired

    async def status(self) -> dict[str, Any]:
        """As `look`; an agent is started where there is a pairing: a command may have entered it."""
        await self.start()
        return await self.look()

    async def look(self) -> dict[str, Any]:
        """Everything that a person may want to know; no key in it. Raises BadSetting, StateTrouble."""
        settings = await asyncio.to_thread(self._load)
        pairing = await asyncio.to_thread(PairingFile(settings.home).load)
        state = (
            self.state if self.is_running or not pairing else await asyncio.to_thread(_state_elsewhere, settings.home)
        )
        jobs = list(self._agent.dispatcher.jobs.now.values()) if self._agent is not None else []

        def read(book: LinkBook) -> dict[str, Any]:
            return {
                "questions": [asdict(question) for question in open_questions(book)],
                "trash": len(list_trash(book)),
            }

        kept = await self.with_book(read) if os.path.isfile(settings.home / LINK_BOOK) else {}
        names = ("link_downloads", "link_removals", "link_generate")
        return {
            "paired": bool(pairing.key),
            "paired_at": pairing.paired_at or None,
            "waiting_for_page": bool(pairing.code),
            **state.as_json(),
            "activities": [dict(job.status) for job in jobs],
            "questions": [],
            "trash": 0,
            **kept,
            "settings": {name: getattr(settings, name) for name in names},
        }

    async def answer(self, number: object, *, allow: bool) -> None:
        """Answer a question, whichever process asked it. Raises BadInput."""
        if not isinstance(number, int) or isinstance(number, bool):
            raise BadInput("The number of a question is a whole number.")
        if not await self.with_book(lambda book: answer(book, number, ALLOW if allow else DENY)):
            raise BadInput(f"No question with the number {number} waits for an answer.")
        if self._agent is not None:
            self._agent.dispatcher.jobs.person.look()

    async def cancel(self, id_: object) -> None:
        """Stop what the room asked for, because the person says so. Raises BadInput."""
        jobs = self._agent.dispatcher.jobs if self._agent is not None else None
        job = jobs.now.get(id_) if jobs is not None and isinstance(id_, str) else None
        if jobs is None or job is None:
            raise BadInput("Nothing with this id is at work here.")
        await jobs.cancel(job)

    async def with_book(self, read: Callable[[LinkBook], Any]) -> Any:
        """What `read` makes of `link.sqlite3`, in a thread. Raises StateTrouble."""
        home: Path = (await asyncio.to_thread(self._load)).home

        def work() -> Any:
            book = LinkBook(home / LINK_BOOK)
            try:
                return read(book)
            finally:
                book.close()

        return await asyncio.to_thread(work)


def _forget_room(book: LinkBook) -> None:
    book.cancel_all()
    book.forget_room()


def _state_elsewhere(home: Path) -> LinkState:
    """How the link of a paired machine stands where no agent runs in this process."""
    return LinkState(ELSEWHERE if is_held(home) else WAITING)


async def log_lines(link: LinkRunner, most: int = 100) -> list[dict[str, Any]]:
    """What rooms asked for, the newest last. Raises StateTrouble."""
    return [asdict(line) for line in await link.with_book(lambda book: book.lines(most))]


async def removed_files(link: LinkRunner) -> list[dict[str, Any]]:
    """What was removed and can be brought back. Raises StateTrouble."""
    return [_trashed(each) for each in await link.with_book(list_trash)]


async def restore_file(link: LinkRunner, number: object) -> dict[str, Any]:
    """Bring a removed file back. The next scan lists it. Raises BadInput, FileTrouble, StateTrouble."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise BadInput("The number of a removed file is a whole number.")
    return _trashed(await link.with_book(lambda book: restore(book, number)))


async def empty_trash(link: LinkRunner, numbers: Sequence[object] | None = None) -> int:
    """Delete for good what was removed, or what has these numbers; how many bytes that gave back. Raises FileTrouble,
    StateTrouble."""
    known = None if numbers is None else [number for number in numbers if isinstance(number, int)]
    return await link.with_book(lambda book: empty(book, known))


def _trashed(trashed: Trashed) -> dict[str, Any]:
    """A removed file for a person: what ComfyUI called it, not where it lies."""
    names = ("number", "at", "folder", "name", "sha256", "size")
    return {name: getattr(trashed, name) for name in names}
