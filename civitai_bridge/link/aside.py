"""Threads of Link's own for its disk: the process's are busy with downloads and hashing, and a room's command is to be
answered meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_THREADS = 2


class Aside:
    """`await aside(function, …)` runs a function that may wait for the disk."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="civitai-link")
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def close(self) -> None:
        """End the threads when what they do is done."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None
