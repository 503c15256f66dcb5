"""The room of the routes' tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

import aiohttp
from aiohttp.test_utils import TestServer
from routes_room import Room, serving

from pack.civitai_bridge.sandbox import Sandbox


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with Sandbox() as sandbox:
        room = Room(sandbox, tmp_path)
        async with TestServer(serving(room.context)) as server, aiohttp.ClientSession() as session:
            room.url, room.session = f"http://127.0.0.1:{server.port}", session
            room.port = server.port
            yield room
        await asyncio.to_thread(lambda: (room.forget(), room.behind.stop()))
