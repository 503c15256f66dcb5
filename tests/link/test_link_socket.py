"""The key travels to the configured relay alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("socketio")

from aiohttp import web
from aiohttp.test_utils import TestServer

from pack.civitai_bridge.errors import BadSetting, Unreachable
from pack.civitai_bridge.link.socket import open_socket
from pack.civitai_bridge.settings import Settings


def nothing(event: str, data: Any) -> None:
    raise AssertionError(event)


@pytest.fixture
async def elsewhere() -> AsyncIterator[tuple[TestServer, list[str]]]:
    seen: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hear)
    async with TestServer(app) as server:
        yield server, seen


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed(elsewhere: tuple[TestServer, list[str]], status: int):
    other, seen = elsewhere

    async def lead_on(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": str(other.make_url("/api/socketio/"))})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", lead_on)
    async with TestServer(app) as server:
        settings = Settings(link_url=str(server.make_url("")).rstrip("/"), home=Path("."))
        with pytest.raises(Unreachable) as caught:
            await open_socket(settings, nothing, 5.0)
    assert seen == [] and "api/socketio" not in str(caught.value)


async def test_a_server_that_is_no_relay_and_nobody_at_all_are_unreachable(elsewhere: tuple[TestServer, list[str]]):
    other, seen = elsewhere
    with pytest.raises(Unreachable):
        await open_socket(Settings(link_url=str(other.make_url("")).rstrip("/")), nothing, 5.0)
    assert seen  # it was asked, by websocket and by polling
    with pytest.raises(Unreachable):
        await open_socket(Settings(link_url="http://127.0.0.1:9"), nothing, 5.0)


async def test_a_socks_proxy_is_a_sentence():
    with pytest.raises(BadSetting, match="SOCKS"):
        await open_socket(Settings(link_url="https://link.example", proxy="socks5://127.0.0.1:1"), nothing, 5.0)
