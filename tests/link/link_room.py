"""The sandbox with its relay, and agents on state folders of their own, for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("socketio")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.app import App, ModelFolders, Tuning
from pack.civitai_bridge.link.agent import LinkAgent
from pack.civitai_bridge.link.pairing import PairingFile
from pack.civitai_bridge.link.timings import LinkTimings
from pack.civitai_bridge.model_files.folders import folders_below
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.sandbox import Sandbox, files, models
from pack.civitai_bridge.sandbox.link import Browser
from pack.civitai_bridge.settings import Settings

LORA, OTHER = 300001, 300003
QUICK = LinkTimings(
    jitter=lambda: 0.5, first_pause=0.02, longest_pause=0.1, refused_pause=0.1, steady=0.0, look=0.02, settle=0.01,
    join=1.0, connect=5.0,
)  # fmt: skip


def content(version_id: int, number: int = 0) -> bytes:
    return files.content(models.VERSIONS[version_id].files[number])


def sha256(version_id: int, number: int = 0) -> str:
    return files.hashes(models.VERSIONS[version_id].files[number])["SHA256"].lower()


async def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    for _ in range(int(seconds * 100)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


class Machine:
    """One state folder with model folders, and the processes on it one after the other."""

    def __init__(self, sandbox: Sandbox, root: Path, timings: LinkTimings = QUICK, **settings: Any) -> None:
        self.sandbox, self.models, self.timings = sandbox, root / "models", timings
        self.models.mkdir(exist_ok=True)
        self.settings = Settings(
            key="the-api-key",
            site_url=sandbox.site_url,
            link_url=sandbox.link_url,
            home=root / "state",
            **{"link_keep_free_gb": 0, **settings},
        )
        self.file = PairingFile(self.settings.home)
        self.told: list[Any] = []
        self.apps: list[App] = []
        self.networks: list[HttpClient] = []
        self.running: list[tuple[LinkAgent, asyncio.Task[None]]] = []

    async def start(self) -> LinkAgent:
        """Another process."""
        network = await HttpClient().__aenter__()
        network.allow_loopback(self.sandbox.storage_url)
        self.networks.append(network)

        async def its_network() -> HttpClient:
            return network

        app = App(
            its_network,
            load=lambda: self.settings,
            folders=lambda _: ModelFolders(lambda: folders_below(self.models), self.models),
            tuning=Tuning(link=self.timings),
        )
        self.apps.append(app)
        agent = await app.link(notify=self.told.append)
        self.running.append((agent, asyncio.ensure_future(agent.run())))
        return agent

    async def pair(self, browser: Browser) -> LinkAgent:
        """Enter the browser's code, and wait until both have the key."""
        self.file.enter(browser.code)
        agent = await self.start()
        await browser.until_linked()
        await until(lambda: len(self.file.load().key) == 128)
        return agent

    async def kill(self) -> None:
        """The last process dies: nothing more is written or sent."""
        agent, task = self.running.pop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await agent.dispatcher.close()
        await self.apps.pop().close()
        await self.networks.pop().__aexit__()

    async def close(self) -> None:
        while self.running:
            await self.kill()

    def put(self, path: str, data: bytes) -> Path:
        target = self.models / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def change(self, **settings: Any) -> None:
        self.settings = replace(self.settings, **settings)

    async def scan(self) -> None:
        await (await self.apps[-1].catalog()).scan(identified=False)

    def files(self) -> list[str]:
        paths = (path for path in self.models.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(str(path.relative_to(self.models)) for path in paths)
