"""Removing an entry: only where its file is gone, and all that went is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from versions import entries, lora

from pack.civitai_bridge.catalog.add import add
from pack.civitai_bridge.catalog.entries import MODELS, Entry
from pack.civitai_bridge.catalog.remove import remove
from pack.civitai_bridge.catalog.state import Catalogs
from pack.civitai_bridge.catalog.store import CatalogStore
from pack.civitai_bridge.errors import NotInCatalog, StillOnDisk


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    return CatalogStore(tmp_path, clock=lambda: datetime(2026, 11, 20, 14, 5))


def of_version(version_id: int) -> Callable[[Entry], bool]:
    return lambda entry: entry.version_id == version_id


def test_an_entry_goes_only_when_its_file_is_gone(store: CatalogStore):
    root = store.folder / "models"
    (root / "loras").mkdir(parents=True)
    catalogs = Catalogs(store, None, lambda: {"loras": [root / "loras"]}, root)
    add(store, lora(7))
    add(store, lora(8))
    (root / "loras" / "ink7.safetensors").write_text("x")
    with pytest.raises(StillOnDisk, match="Delete the file first"):
        remove(catalogs, of_version(7), "Version 7")
    (root / "loras" / "ink7.safetensors").unlink()
    assert remove(catalogs, of_version(7), "Version 7").as_json() == {"status": "removed", "file": "ink7.safetensors"}
    assert [entry["civitai_version_id"] for entry in entries(store)] == [8]
    with pytest.raises(NotInCatalog, match="Version 7 is in no catalog"):
        remove(catalogs, of_version(7), "Version 7")


def test_all_that_was_removed_is_said(store: CatalogStore):
    with store.changing() as change:
        for name in ("a.pt", "b.pt"):
            change.append(MODELS, "loras", {"file": name, "dest": "loras", "civitai_version_id": 7})
    done = remove(Catalogs(store, None, dict), of_version(7), "Version 7")
    assert done.as_json() == {"status": "removed", "file": "a.pt", "more": ["b.pt"]} and "a.pt, b.pt" in done.report
