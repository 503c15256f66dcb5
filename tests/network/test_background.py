"""The background loop, and waiting for it without handing a cancellation either way."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import pytest

from pack.civitai_bridge.errors import CivitaiError
from pack.civitai_bridge.network.background import BackgroundLoop, wait_for


@pytest.fixture
def background_loop() -> Iterator[BackgroundLoop]:
    made = BackgroundLoop()
    yield made
    made.stop()


def test_work_runs_in_one_thread_across_many_loops(background_loop: BackgroundLoop):
    async def where() -> int:
        return threading.get_ident()

    async def prompt() -> int:
        return await wait_for(background_loop.start(where()))

    threads = {asyncio.run(prompt()) for _ in range(3)}
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_a_torn_down_wait_leaves_the_work_alone(background_loop: BackgroundLoop):
    done = threading.Event()

    async def story() -> None:
        await asyncio.sleep(0.1)
        done.set()

    async def prompt() -> None:
        waiting = asyncio.ensure_future(wait_for(background_loop.start(story())))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(prompt())
    assert done.wait(2)


def test_cancelled_work_is_an_ordinary_error(background_loop: BackgroundLoop):
    async def story() -> None:
        raise asyncio.CancelledError

    async def prompt() -> None:
        work = background_loop.start(story())
        with pytest.raises(CivitaiError, match="stopped"):
            await wait_for(work)

    asyncio.run(prompt())


def test_errors_come_through(background_loop: BackgroundLoop):
    async def story() -> None:
        raise CivitaiError("why")

    async def prompt() -> None:
        with pytest.raises(CivitaiError, match="why"):
            await wait_for(background_loop.start(story()))

    asyncio.run(prompt())


def test_context_crosses_over(background_loop: BackgroundLoop):
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")

    async def story() -> str:
        return name.get()

    async def prompt() -> str:
        name.set("prompt 7")
        return await wait_for(background_loop.start(story()))

    assert asyncio.run(prompt()) == "prompt 7"


def test_one_network_for_all(background_loop: BackgroundLoop):
    async def story() -> int:
        return id(await background_loop.network())

    assert len({background_loop.start(story()).result(5) for _ in range(3)}) == 1
