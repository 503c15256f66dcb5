"""Both catalogs, the index of files and ComfyUI's folders, asked together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..model_files.folders import Folders
from ..model_files.index import HashIndex
from ..model_files.indexed import Files
from ..resources.json_values import identifier
from .answers import MISSING, PRESENT, Located
from .catalog_file import Catalog
from .entries import Entry
from .entry_index import EntryIndex, index_entries
from .file_lookup import Snapshot, own_file
from .lookup import locate
from .places import ModelFolders, Place
from .query import Query
from .store import CatalogStore


class Catalogs:
    """What is catalogued and what is here, as it is at the time of each question."""

    def __init__(
        self,
        store: CatalogStore,
        index: HashIndex | None,
        folders: Callable[[], Folders],
        models_root: str | Path | None = None,
    ) -> None:
        """`folders` gives ComfyUI's folder keys with all their paths; `models_root` is for a `dest` that is no key."""
        self.store = store
        self._index = index
        self._folders = folders
        self._root = models_root
        self._entries: EntryIndex | None = None

    @property
    def folders(self) -> ModelFolders:
        """The model folders as they are now."""
        return ModelFolders(self._folders(), self._root)

    def snapshot(self) -> Snapshot:
        """One state of everything. Raises CatalogTrouble and its kin, StateTrouble."""
        both = self.store.load_both()
        entries = self._entries
        if entries is None or any(map(_differ, entries.catalogs, both)):
            self._entries = entries = index_entries(both)
        folders = self.folders
        roots = {
            key: tuple(os.path.join(os.path.abspath(path), "") for path in paths)
            for key, paths in folders.folders.items()
        }
        return Snapshot(entries, self._index.files() if self._index else Files(), folders, roots)

    def locate(self, query: Query) -> Located:
        """The answer for one resource."""
        return locate(self.snapshot(), query)

    def locate_all(self, queries: Iterable[Query]) -> Iterator[Located]:
        """Look up many against one state of catalogs and disk."""
        snapshot = self.snapshot()
        return (locate(snapshot, each) for each in queries)

    def place(self, entry: Entry) -> Place | None:
        """Where an entry's own file is, None where it is not on disk: also where another has its name."""
        return own_file(self.snapshot(), entry)


def _differ(catalog: Catalog, now: Catalog) -> bool:
    return catalog.document is not now.document


def list_entries(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Every entry of both catalogs with its status, for `catalog list`."""
    entries = (entry for catalog in snapshot.entries.catalogs for entry in catalog.entries())
    return [
        {
            "catalog": entry.catalog, "category": entry.category, "name": entry.name, "file": entry.file,
            "dest": entry.dest, "version_id": entry.version_id, "base_model": entry.base_model,
            "status": PRESENT if place else MISSING, "path": place.path if place else None,
        }
        for entry in entries
        for place in [own_file(snapshot, entry)]
    ]  # fmt: skip


def map_entries(snapshot: Snapshot) -> dict[str, Any]:
    """All entries, doubly indexed, as `GET /admin/civitai/catalog` answers it: `by_version` maps a version id to file,
    dest, name, base model, status and catalog, `by_model` a model id to its version ids. A version in both catalogs
    shows the entry whose file is here."""
    entries = snapshot.entries
    by_version: dict[str, dict[str, Any]] = {}
    for version_id, refs in entries.by_version.items():
        for entry in map(entries.entry, refs):
            is_here = own_file(snapshot, entry) is not None
            shown = by_version.get(str(version_id))
            if shown is None or (is_here and shown["status"] == MISSING):
                by_version[str(version_id)] = {
                    "file": entry.file,
                    "dest": entry.dest,
                    "name": entry.name,
                    "base_model": entry.base_model,
                    "status": PRESENT if is_here else MISSING,
                    "catalog": entry.catalog,
                }
    by_model: dict[str, list[int]] = {}
    for model_id, refs in entries.by_model.items():
        versions = {identifier(ref[2].get("civitai_version_id")) for ref in refs}
        by_model[str(model_id)] = sorted(version for version in versions if version is not None)
    return {"by_version": by_version, "by_model": by_model}
