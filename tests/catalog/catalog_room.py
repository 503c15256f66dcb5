"""A CatalogService on the sandbox with folders of its own, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.app import ModelFolders, open_catalog
from pack.civitai_bridge.catalog.service import CatalogService
from pack.civitai_bridge.model_files.download import Downloads
from pack.civitai_bridge.model_files.folders import folders_below
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.network.exchange import Request, Response, Send
from pack.civitai_bridge.sandbox import Sandbox, files, models
from pack.civitai_bridge.settings import Settings
from pack.civitai_bridge.website import SiteClient

LORA, OTHER = 300001, 300003


def content(version_id: int, number: int = 0) -> bytes:
    return files.content(models.VERSIONS[version_id].files[number])


def digests(version_id: int, number: int = 0) -> dict[str, str]:
    return files.hashes(models.VERSIONS[version_id].files[number])


class Room:
    def __init__(self, sandbox: Sandbox, network: HttpClient, root: Path) -> None:
        self.sandbox, self.network, self.models = sandbox, network, root / "models"
        self.models.mkdir()
        self.settings = Settings(key="me", site_url=sandbox.site_url, home=root / "state")
        self.catalog = self.open()

    def open(self, **more: Any) -> CatalogService:
        settings = replace(self.settings, **more)
        return open_catalog(settings, self.network, ModelFolders(lambda: folders_below(self.models), self.models))

    def service(self, answer: Callable[[Send], Send], **more: Any) -> CatalogService:
        """A service whose site answers through `answer`, which is given the way to the real one."""
        settings = replace(self.settings, **more)
        send = self.network.send_to(settings.site_url, settings.key)
        downloads = Downloads(settings, send, self.network.open_file)
        return CatalogService(
            settings, SiteClient(answer(send)), downloads, lambda: folders_below(self.models), self.models
        )

    def nobody(self) -> CatalogService:
        """A service whose site cannot be reached, asked once."""
        return self.service(lambda _: self.network.send_to("http://127.0.0.1:9"))

    def put(self, path: str, data: bytes) -> Path:
        target = self.models / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def asked(self) -> list[str]:
        return [seen.path for seen in self.sandbox.requests]

    def entries(self, name: str = "models.json") -> list[dict[str, Any]]:
        text = (self.settings.home / name).read_text()
        return [entry for category in json.loads(text)["categories"] for entry in category["models"]]


def changed(
    change: Callable[[dict[str, Any]], Any], asked: Callable[[str], str] = lambda path: path
) -> Callable[[Send], Send]:
    """Answers of the site with their JSON changed; `asked` is the path that is really asked."""

    def answer(send: Send) -> Send:
        async def send_changed(request: Request) -> Response:
            response = await send(replace(request, path=asked(request.path)))
            data = json.loads(response.content)
            change(data)
            return replace(response, content=json.dumps(data).encode())

        return send_changed

    return answer
