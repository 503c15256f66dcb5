"""What every purchase works with, put together once for a loop: the client, the journal on its thread, the results."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import CivitaiError
from ..network.fetch import Fetch
from .client import OrchestrationClient
from .journal import Journal
from .purchase import kept_files
from .results import Results
from .timings import Timings
from .turns import Turns
from .watcher import Watcher

MOST_REMEMBERED = 200  # purchases whose signed addresses are kept in memory

T = TypeVar("T")


class BackgroundTasks:
    """Work that nobody waits for. What fails in it is in the journal, and a later `resume` looks at it again."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine to its end on the running loop."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # also when it was torn down before its first step

    @property
    def idle(self) -> bool:
        return not self._tasks

    async def close(self) -> None:
        """Tear down what still runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _quietly(work: Awaitable[Any]) -> None:
    with contextlib.suppress(CivitaiError):
        await work


class SignedAddresses:
    """Signed addresses of bought pictures by the purchase's key: in memory alone, and of the last purchases only."""

    def __init__(self) -> None:
        self._by_key: dict[str, tuple[str, ...]] = {}

    def remember(self, key: str, urls: tuple[str, ...]) -> None:
        self._by_key[key] = tuple(url for url in urls if url)
        while len(self._by_key) > MOST_REMEMBERED:
            del self._by_key[next(iter(self._by_key))]

    def of(self, key: str) -> tuple[str, ...]:
        return self._by_key.get(key, ())


@dataclass(frozen=True)
class Services:
    """The collaborators of every purchase on one event loop.

    `journal_thread` is one thread of its own: decoding pictures may fill the loop's threads for seconds, and a
    heartbeat must not wait for that. It does first what is asked first."""

    client: OrchestrationClient
    journal: Journal
    results: Results
    fetch: Fetch
    timings: Timings
    watcher: Watcher
    turns: Turns
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    addresses: SignedAddresses = field(default_factory=SignedAddresses)
    journal_thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "civitai-bridge journal"))

    async def prune(self, now: float) -> None:
        """Remove kept pictures that are too old or too many; `now` is seconds since the epoch."""
        await self.in_thread(lambda: self.results.prune(kept_files(self.journal.rows()), now=now))

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call something of the journal off the loop: it waits for the disk, the loop does not."""
        return await asyncio.get_running_loop().run_in_executor(self.journal_thread, work, *arguments)
