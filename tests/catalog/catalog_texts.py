"""Catalogs as texts, and adding to them, for the tests of this folder."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from pack.civitai_bridge.catalog.entries import MODELS
from pack.civitai_bridge.catalog.store import CatalogStore

NEW = {"name": "Ink é", "file": "ink.safetensors", "dest": "loras", "civitai_version_id": 7, "tags": [], "trigger_words": ["a", "b"]}  # fmt: skip
NOW = datetime(2026, 11, 20, 14, 5)


def make(folder: Path, text: str | bytes | None = None, name: str = MODELS, **more: Any) -> CatalogStore:
    if text is not None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return CatalogStore(folder, clock=lambda: NOW, **more)


def add(store: CatalogStore, category: str = "loras", entry: Any = NEW, name: str = MODELS) -> str:
    with store.changing() as change:
        change.append(name, category, entry)
    return (store.folder / name).read_bytes().decode()


ODD = """{ "version": 12, "date": "2026-11-20 14:05", "x-tool": 1.50,
  "categories": [ { "id": "checkpoints", "name": "Checkpoints", "colour": "#\\u0066f0",
    "models": [ { "name": "Juggernaut \\u00e9 \\/ XL", "file": "j.safetensors", "dest": "checkpoints",
      "civitai_version_id": "123456", "size_gb": 6.620, "n": 1E+3, "big": 123456789012345678901234567890 } ] },
    { "id": "loras", "name": "L", "models": [ { "name": "a", "file": "a.safetensors" }, {"name":"b"  ,  "file":"b"} ] }, 7,
    { "id": "mine", "models": [] } ], "after": [1,2 , 3] }"""
