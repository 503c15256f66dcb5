"""The rooms of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("socketio")
pytest.importorskip("jsonschema")

from link_room import Machine

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def machine(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(sandbox, tmp_path)
    yield machine
    await machine.close()


@pytest.fixture
async def browser(sandbox: Sandbox) -> Browser:
    return await sandbox.link.browse()
