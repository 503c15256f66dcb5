"""Which files may be loaded here, by whom."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from download_room import LORA, Room, blind, opened_room

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.errors import (
    DownloadForbidden,
)
from pack.civitai_bridge.model_files.download_rules import check_allowed, forbidden
from pack.civitai_bridge.resources.version import ModelFile
from pack.civitai_bridge.settings import Settings


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened_room(tmp_path) as opened:
        yield opened


OPEN = Settings(graph_downloads="on", max_download_gb=20)


HASHED = blind(hashes={"SHA256": "A" * 64})


RULES = [
    ("a person may", Settings(), blind(), {}, ""),
    ("a graph may not", Settings(), blind(), {"from_graph": True}, "graphs may not download here"),
    ("a graph that may", OPEN, HASHED, {"from_graph": True}, ""),
    ("… and is switched off", OPEN, blind(), {"from_graph": True, "allow_download": False}, "allow_download"),
    ("the setting alone decides", Settings(), blind(), {"from_graph": True, "allow_download": True}, "graph_downloads on"),
    ("an unknown size, a graph", OPEN, blind(size_kb=None), {"from_graph": True}, "how large"),
    ("an unknown size, a person", OPEN, blind(size_kb=None), {}, ""),
    ("too large", OPEN, blind(size_kb=20e9 / 1024 + 1), {}, "max_download_gb 21"),
    ("just not too large", OPEN, replace(HASHED, size_kb=20e9 / 1024), {"from_graph": True}, ""),
    ("pickle", OPEN, blind(name="x.ckpt"), {}, "allow_pickle true"),
    ("pickle in another coat", OPEN, blind(format="PickleTensor"), {}, "run code"),
    ("an unknown ending", OPEN, blind(name="x.exe"), {}, "run code"),
    ("pickle allowed", Settings(allow_pickle=True), blind(name="x.ckpt"), {}, ""),
    ("dangerous all the same", Settings(allow_pickle=True), blind(name="x.ckpt", danger="a virus"), {}, "found a virus"),
    ("gguf", OPEN, replace(HASHED, name="x.gguf"), {"from_graph": True}, ""),
    ("no hash, a graph", OPEN, blind(), {"from_graph": True}, "states no hash"),
    ("a hash of a piece, a graph", OPEN, blind(hashes={"AutoV1": "A" * 8}), {"from_graph": True}, "states no hash"),
    ("a short hash, a graph", OPEN, blind(hashes={"AutoV2": "A" * 10}), {"from_graph": True}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "file", "more", "words"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_who_may_load_what(settings: Settings, file: ModelFile, more: dict[str, bool], words: str):
    reason = forbidden(settings, file, **more)
    assert bool(reason) == bool(words) and words in reason
    with pytest.raises(DownloadForbidden) if words else contextlib.nullcontext():
        check_allowed(settings, file, **more)


async def test_the_limit_holds_where_only_the_storage_knows_the_size(room: Room):
    room.downloads = room.with_key("me", settings={"max_download_gb": 0})
    with pytest.raises(DownloadForbidden, match="max_download_gb"):
        await room.load(LORA, blind(LORA, size_kb=None))
    assert "x.safetensors" not in room.left()
