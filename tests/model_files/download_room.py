"""A sandbox, a network and a folder for downloads."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pack.civitai_bridge.model_files.download import Downloads
from pack.civitai_bridge.model_files.verify import DownloadedFile
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.network.fetch import Opened
from pack.civitai_bridge.resources.version import ModelFile
from pack.civitai_bridge.sandbox import Sandbox, files, models
from pack.civitai_bridge.settings import Settings
from pack.civitai_bridge.website import SiteClient

LORA, CHECKPOINT = 300001, 128078


async def no_sleep(_: float) -> None:
    return None


class Room:
    """A sandbox, a network and a folder."""

    def __init__(self, sandbox: Sandbox, network: HttpClient, folder: Path, key: str = "me") -> None:
        self.sandbox, self.network, self.folder = sandbox, network, folder
        self.settings = Settings(key=key, site_url=sandbox.site_url, home=folder)
        self.site = SiteClient(network.send_to(sandbox.site_url))
        self.downloads = self.with_key(key)

    def with_key(self, key: str, *, settings: Mapping[str, Any] | None = None, **more: Any) -> Downloads:
        """Downloads for a key, with other `settings` or other arguments of Downloads."""
        more.setdefault("send", self.network.send_to(self.sandbox.site_url, key or None))
        more.setdefault("open_", self.network.open_file)
        more.setdefault("sleep", no_sleep)
        return Downloads(replace(self.settings, key=key, **(settings or {})), **more)

    async def file(self, version_id: int, number: int = 0) -> ModelFile:
        return (await self.site.version(version_id)).files[number]

    async def load(self, version_id: int, file: ModelFile | None = None, **more: Any) -> DownloadedFile:
        file = file or await self.file(version_id)
        return await self.downloads.load(version_id, file, self.folder / "x.safetensors", **more)

    def seen(self, host: str) -> list[Any]:
        return [seen for seen in self.sandbox.requests if seen.host == host and "/models/" in seen.path]

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def content(version_id: int, number: int = 0) -> bytes:
    return files.content(models.VERSIONS[version_id].files[number])


def blind(version_id: int = 1, name: str = "x.safetensors", **more: Any) -> ModelFile:
    return ModelFile(**{"id": version_id * 10, "name": name, "type": "Model", "size_kb": 24.0, "hashes": {}, **more})


def answering(status: int, headers: dict[str, str], *chunks: bytes) -> Any:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    @contextlib.asynccontextmanager
    async def open_(*_: object) -> AsyncIterator[tuple[Opened, str]]:
        yield Opened(status, headers, body()), "https://storage.example/x"

    return open_


@contextlib.asynccontextmanager
async def opened_room(folder: Path) -> AsyncIterator[Room]:
    async with Sandbox() as sandbox, HttpClient() as network:
        network.allow_loopback(sandbox.storage_url)
        loras = folder / "loras"
        loras.mkdir()
        yield Room(sandbox, network, loras)
