"""Both catalogs, the index of files and ComfyUI's folders, asked together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import FileTrouble, StateTrouble
from ..model_files.folders import Folders
from ..model_files.index import HashIndex
from ..model_files.indexed import Files, ModelPath, Ownership
from ..resources.json_values import identifier
from .answers import MISSING, Located
from .catalog_file import Catalog
from .entries import MODELS, Entry
from .entry_index import EntryIndex, index_entries
from .file_lookup import Snapshot
from .lookup import locate, locate_entry
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
        """One state of everything. A catalog that cannot be read is an empty one with a sentence. Raises
        StateTrouble."""
        both, troubles = self.store.load_readable()
        entries = self._entries
        if entries is None or any(map(_differ, entries.catalogs, both)):
            self._entries = entries = index_entries(both)
        folders = self.folders
        roots = {
            key: tuple(os.path.join(os.path.abspath(path), "") for path in paths)
            for key, paths in folders.folders.items()
        }
        files = self._index.files() if self._index else Files()
        return Snapshot(entries, files, folders, roots, self._owner_of, troubles)

    def _owner_of(self, sha256: str) -> Ownership | None:
        return self._index.owner_of(sha256) if self._index else None

    def whole_snapshot(self) -> Snapshot:
        """For who wants all entries. Raises CatalogTrouble and its kin where models.json cannot be read."""
        self.store.load(MODELS)
        return self.snapshot()

    def row_of(self, place: Place) -> ModelPath | None:
        """What the index knows of a file."""
        row = self._index.files().by_name.get((place.folder, place.name)) if self._index else None
        return row if row is not None and row.path == place.path else None

    def hash_again(self, place: Place) -> str:
        """The SHA-256 of a file as it is now, which the index learns; `""` where it cannot be read."""
        if self._index is None:
            return ""
        try:
            digests = self._index.hashing.digest(place.path, two_threads=True)
        except (FileTrouble, OSError):
            return ""
        if place.folder:
            with contextlib.suppress(StateTrouble, FileTrouble):  # then it is read again the next time
                self._index.learn(place.folder, place.name, place.path, self.folders.rank(place), digests)
        return digests.sha256

    def locate(self, query: Query) -> Located:
        """The answer for one resource."""
        return locate(self.snapshot(), query)

    def locate_all(self, queries: Iterable[Query]) -> Iterator[Located]:
        """Look up many against one state of catalogs and disk."""
        snapshot = self.snapshot()
        return (locate(snapshot, each) for each in queries)


def _differ(catalog: Catalog, now: Catalog) -> bool:
    return catalog.document is not now.document


def list_entries(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Every entry of both catalogs with the answer about its file, for `catalog list`."""
    entries = (entry for catalog in snapshot.entries.catalogs for entry in catalog.entries())
    return [_listed(entry, locate_entry(snapshot, entry)) for entry in entries]


def _listed(entry: Entry, located: Located) -> dict[str, Any]:
    return {
        "catalog": entry.catalog, "category": entry.category, "name": entry.name, "file": entry.file,
        "dest": entry.dest, "version_id": entry.version_id, "base_model": entry.base_model,
        "status": located.status, "notes": [note.text for note in located.notes], **located.facts(),
    }  # fmt: skip


def map_entries(snapshot: Snapshot) -> dict[str, Any]:
    """All entries, doubly indexed, as `GET /admin/civitai/catalog` answers it: `by_version` maps a version id to file,
    dest, name, base model, catalog and the answer about its file, `by_model` a model id to its version ids. A version
    in both catalogs shows the entry whose file is here. `troubles` are there where a catalog cannot be read."""
    entries = snapshot.entries
    by_version: dict[str, dict[str, Any]] = {}
    for version_id, refs in entries.by_version.items():
        for entry in map(entries.entry, refs):
            located = locate_entry(snapshot, entry)
            shown = by_version.get(str(version_id))
            if shown is None or (located.place is not None and shown["status"] == MISSING):
                by_version[str(version_id)] = {
                    "file": entry.file,
                    "dest": entry.dest,
                    "name": entry.name,
                    "base_model": entry.base_model,
                    "status": located.status,
                    **located.facts(),
                }
    by_model: dict[str, list[int]] = {}
    for model_id, refs in entries.by_model.items():
        versions = {identifier(ref[2].get("civitai_version_id")) for ref in refs}
        by_model[str(model_id)] = sorted(version for version in versions if version is not None)
    troubles = {"troubles": list(snapshot.troubles)} if snapshot.troubles else {}
    return {"by_version": by_version, "by_model": by_model, **troubles}
