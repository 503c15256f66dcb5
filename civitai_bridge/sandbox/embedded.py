"""A sandbox in a thread of its own, for faces that are not on its loop: nodes, the demo."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from pathlib import Path

from .server import Sandbox


class Embedded:
    """Started when it is made; `stop` ends it. `port`, `pace` and `folder` are the Sandbox's."""

    def __init__(self, *, port: int = 0, pace: float = 1.0, folder: Path | None = None) -> None:
        self.sandbox = Sandbox(port=port, pace=pace, folder=folder)
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="civitai-bridge-sandbox", daemon=True)
        self._thread.start()
        self._started.result(30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self.sandbox.__aenter__())
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        self._loop.run_forever()

    def stop(self) -> None:
        async def close() -> None:
            await self.sandbox.__aexit__()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._loop.shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(15)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
