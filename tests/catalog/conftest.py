"""The room of the service's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from catalog_room import Room

from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.sandbox import Sandbox


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with Sandbox() as sandbox, HttpClient() as network:
        network.allow_loopback(sandbox.storage_url)
        room = Room(sandbox, network, tmp_path)
        yield room
        room.catalog.close()
