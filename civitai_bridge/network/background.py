"""One background thread with one event loop for the process: every story that touches the network runs there.

ComfyUI runs each prompt in a loop of its own, and a sampler blocks it for minutes.
Here a submit leaves, a job is watched and a cancel is sent whatever the prompt's loop does, and one connection serves
all prompts.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..errors import CivitaiError
from .client import HttpClient

T = TypeVar("T")


class BackgroundLoop:
    """The thread and its loop; both start with the first story. The thread is a daemon: nothing waits for it at the
    end, because everything that matters is on disk as it happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._network: HttpClient | None = None
        self._opening: asyncio.Lock | None = None

    def start(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the background loop; from any thread. Context variables of the caller cross over."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop())

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._run, args=(self._loop,), name="civitai-bridge", daemon=True).start()
            return self._loop

    async def network(self) -> HttpClient:
        """The process's HttpClient, opened on first use. To be awaited on the background loop."""
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._network is None:
                self._network = await HttpClient().__aenter__()
            return self._network

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def stop(self) -> None:
        """Close the network and end the thread (tests; a process just ends)."""
        loop, self._loop = self._loop, None
        if loop is None:
            return

        async def close() -> None:
            if self._network is not None:
                await self._network.__aexit__()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await loop.shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        while loop.is_running():
            threading.Event().wait(0.005)
        loop.close()
        self._network = self._opening = None


_BACKSTAGE = BackgroundLoop()


def background_loop() -> BackgroundLoop:
    """The one of this process."""
    return _BACKSTAGE


async def wait_for(work: concurrent.futures.Future[T]) -> T:
    """Wait in a prompt's loop for work that runs on the background loop, without ever handing a cancellation
    either way.

    A CancelledError here can only be the prompt's teardown, and the work goes on; work that was cancelled is an
    ordinary error here, for a CancelledError of its own would kill ComfyUI's worker thread."""
    loop = asyncio.get_running_loop()
    here: asyncio.Future[None] = loop.create_future()

    def wake(_: object) -> None:
        try:
            loop.call_soon_threadsafe(lambda: here.done() or here.set_result(None))
        except RuntimeError:
            pass  # the prompt's loop is gone; the work goes on without it

    work.add_done_callback(wake)
    await here
    if work.cancelled():
        raise CivitaiError("The work in the background was stopped; the journal knows what became of it.")
    return work.result()


async def until_cancelled(
    work: Coroutine[Any, Any, T],
    cancelled: Callable[[], bool],
    stopped: Callable[[], CivitaiError],
    *,
    every: float = 0.2,
) -> T:
    """Run something to its end; when `cancelled()` turns true it is torn down within `every` seconds, whatever it waits
    for, and what `stopped` makes is raised. Only for work that has cost nothing and may end anywhere."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=every))[0]:
            if cancelled():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):  # our own; it may have ended all the same
                    return await task
                raise stopped()
        return task.result()
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
