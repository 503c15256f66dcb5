"""What every command stands in: where words and data go, and how a story gets its settings, network and sandbox."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ..settings import BADGE, Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from ..network.client import HttpClient
    from ..orchestration.fleet import Fleet

T = TypeVar("T")


class Context:
    def __init__(self, *, json: bool) -> None:
        self.json = json

    def talk(self) -> Console:
        """For people: stderr, so that stdout stays data."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self.talk().print(text, markup=False)

    def data(self, document: dict[str, Any] | list[Any], text: str) -> None:
        """The command's result: the document with `--json`, else the text."""
        print(json.dumps(document, ensure_ascii=False, indent=2, default=str) if self.json else text)

    def fail(self, code: str, message: str) -> None:
        if self.json:
            print(json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False))
        else:
            self.talk().print(f"civitai-bridge: {message}", style="red", markup=False)

    def settings(self) -> Settings:
        return load_settings()

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(story)

    @asynccontextmanager
    async def site(self) -> AsyncIterator[tuple[Settings, HttpClient]]:
        """The site's address and the network for one command; with CIVITAI_BRIDGE_SANDBOX=1 a sandbox of its own."""
        async with self._reached(None) as (settings, network):
            if settings.sandbox:
                self.say(BADGE)
            yield settings, network

    @asynccontextmanager
    async def _reached(self, settings: Settings | None) -> AsyncIterator[tuple[Settings, HttpClient]]:
        from ..network.client import HttpClient
        from ..network.hosts import is_loopback, next_port

        settings = settings or self.settings()
        async with HttpClient() as network:
            if settings.sandbox and settings.site_url == Settings().site_url:
                from ..sandbox import Sandbox

                async with Sandbox() as sandbox:
                    network.allow_loopback(sandbox.storage_url)
                    yield (
                        settings.at(orchestration_url=sandbox.orchestration_url, site_url=sandbox.site_url),
                        network,
                    )
            else:
                if is_loopback(settings.site_url):  # `civitai-bridge sandbox`: its storage is the next port
                    network.allow_loopback(next_port(settings.site_url))
                yield settings, network

    @asynccontextmanager
    async def bridge(self, settings: Settings | None = None) -> AsyncIterator[Fleet]:
        """A Fleet for one command; with CIVITAI_BRIDGE_SANDBOX=1 on a sandbox of its own."""
        from ..orchestration.fleet import connect

        async with self._reached(settings) as (at, network), _closing(connect(at, network)) as bridge:
            yield bridge


@asynccontextmanager
async def _closing(bridge: Fleet) -> AsyncIterator[Fleet]:
    try:
        yield bridge
    finally:
        await bridge.close()


def is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
