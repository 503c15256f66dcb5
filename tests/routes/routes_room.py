"""One server of the routes with its state, for the tests of this folder."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from aiohttp import web

from pack.civitai_bridge.app import App, ModelFolders, Tuning
from pack.civitai_bridge.model_files.folders import folders_below
from pack.civitai_bridge.network.background import BackgroundLoop
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.orchestration.timings import Timings
from pack.civitai_bridge.routes.access import Gate
from pack.civitai_bridge.routes.context import Context, Host
from pack.civitai_bridge.routes.table import add_routes
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.settings import Settings

LORA, CHECKPOINT, IMAGE = 300001, 128078, 900002
ADMIN = {"Authorization": "Bearer the-admin-token"}
JSON = {"Content-Type": "application/json"}
EVERY = (
    ("GET", "/admin/civitai/image/900002"),
    ("GET", "/admin/civitai/catalog"),
    ("POST", "/admin/civitai/add/300001"),
    ("POST", "/admin/civitai/promote-to-lora/300001"),
)


def serving(context: Context) -> web.Application:
    """As ComfyUI serves them: as they are, and below /api."""
    app = web.Application()
    for prefix in ("", "/api"):
        table = web.RouteTableDef()
        add_routes(table, context)
        for route in table:
            assert isinstance(route, web.RouteDef)
            app.router.add_route(route.method, prefix + route.path, route.handler)
    return app


class Room:
    """One server with its state, and what a client says to it."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self.sandbox, self.models, self.home = sandbox, root / "models", root / "state"
        self.models.mkdir()
        self.output = root / "output"
        self.events: list[tuple[str, dict[str, Any], str]] = []
        self.settings = Settings(
            key="me", site_url=sandbox.site_url, orchestration_url=sandbox.orchestration_url, home=self.home
        )
        self.behind = BackgroundLoop()
        self.app = App(
            self._network,
            load=lambda: self.settings,
            folders=lambda _: ModelFolders(lambda: folders_below(self.models), self.models),
            tuning=Tuning(Timings(sleep=lambda _: asyncio.sleep(0))),  # between two tries
        )
        self.context = Context(
            start=self.behind.start,
            catalog=self.app.catalog,
            reader=self.app.reader,
            gate=Gate(lambda: "the-admin-token", lambda: self.settings, in_container=lambda: False),
            patience=20.0,
            app=lambda: self.app,
            fleet=self.app.fleet,
            host=Host(
                send=lambda event, data, client: self.events.append((event, dict(data), client)),
                output=lambda: self.output,
            ),
        )

    async def _network(self) -> HttpClient:
        network = await self.behind.network()
        network.allow_loopback(self.sandbox.storage_url)
        return network

    async def app_on_loop(self, opened: Any, story: Any) -> Any:
        """What a story gives with something that the App opens, on the loop behind."""

        async def run() -> Any:
            return await story(await opened(self.app))

        return await asyncio.wrap_future(self.behind.start(run()))

    def forget(self, **more: Any) -> None:
        """Everything that was looked up, and settings; blocks."""
        self.behind.start(self.app.close()).result(10)
        self.settings = replace(self.settings, **more)

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> SimpleNamespace:
        headers = {**(JSON if method == "POST" else {}), **(headers or {})}
        async with self.session.request(method, self.url + path, headers=headers, **more) as answer:
            content = await answer.read()
            data = json.loads(content) if "json" in answer.content_type else None
            return SimpleNamespace(
                status=answer.status, headers=answer.headers, data=data, text=content.decode("utf-8", "replace")
            )

    async def admin(self, method: str, path: str, **more: Any) -> SimpleNamespace:
        return await self.ask(method, path, ADMIN, **more)

    def entries(self, name: str = "models.json") -> list[dict[str, Any]]:
        text = (self.home / name).read_text(encoding="utf-8")
        return [entry for category in json.loads(text)["categories"] for entry in category["models"]]
