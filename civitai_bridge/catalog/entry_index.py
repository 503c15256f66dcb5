"""The entries of both catalogs under everything that they can be looked up by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..model_files.names import stem_of
from ..resources.collector import collector_paused
from ..resources.hashes import AUTO_V2, SHA256, is_of_nothing, spellings
from ..resources.json_values import identifier, text
from .catalog_file import Catalog
from .entries import Entry, entry_from_json, hashes_of

EntryRef = tuple[str, str, Mapping[str, Any]]  # catalog, category, entry as written: cheaper than an Entry


@dataclass(frozen=True)
class EntryIndex:
    """One state of both catalogs. An entry becomes a value when it is asked for."""

    catalogs: tuple[Catalog, Catalog]
    by_version: Mapping[int, list[EntryRef]] = field(repr=False)
    by_hash: Mapping[str, list[EntryRef]] = field(repr=False)
    by_stem: Mapping[str, list[EntryRef]] = field(repr=False)
    _entries: dict[int, Entry] = field(repr=False, default_factory=dict)  # by the identity of what was written

    def refs(self) -> Iterator[EntryRef]:
        """Every entry as it is written."""
        return _refs(self.catalogs)

    def entry(self, ref: EntryRef) -> Entry:
        """An entry as a value; the same one is not read twice."""
        entry = self._entries.get(id(ref[2]))
        if entry is None:
            entry = self._entries[id(ref[2])] = entry_from_json(ref[2], ref[0], ref[1])
        return entry

    def with_hash(self, value: str) -> Sequence[EntryRef]:
        """The entries of a bare hash of any kind."""
        return next((self.by_hash[spelling] for spelling in spellings(value) if spelling in self.by_hash), ())

    @cached_property
    def by_model(self) -> Mapping[int, list[EntryRef]]:
        by_model: dict[int, list[EntryRef]] = {}
        for ref in self.refs():
            model_id = identifier(ref[2].get("civitai_model_id"))
            if model_id is not None:
                by_model.setdefault(model_id, []).append(ref)
        return by_model

    @cached_property
    def by_title(self) -> Mapping[str, list[EntryRef]]:
        by_title: dict[str, list[EntryRef]] = {}
        for ref in self.refs():
            name = ref[2].get("name")
            if isinstance(name, str) and name:
                by_title.setdefault(name.casefold(), []).append(ref)
        return by_title


def index_entries(catalogs: tuple[Catalog, Catalog]) -> EntryIndex:
    """Takes a second for 500,000 entries; other threads go on meanwhile."""
    by_version: dict[int, list[EntryRef]] = {}
    by_hash: dict[str, list[EntryRef]] = {}
    by_stem: dict[str, list[EntryRef]] = {}
    with collector_paused():
        for ref in _refs(catalogs):
            raw = ref[2]
            version_id = identifier(raw.get("civitai_version_id"))
            if version_id is not None:
                by_version.setdefault(version_id, []).append(ref)
            for value in hashes_of(raw):
                if not is_of_nothing(value):
                    by_hash.setdefault(value, []).append(ref)
                    if len(value) == SHA256:
                        by_hash.setdefault(value[:AUTO_V2], []).append(ref)
            file = text(raw.get("file"))
            if file:
                by_stem.setdefault(stem_of(file), []).append(ref)
    return EntryIndex(catalogs, by_version, by_hash, by_stem)


def _refs(catalogs: tuple[Catalog, Catalog]) -> Iterator[EntryRef]:
    for catalog in catalogs:
        for category, raw in catalog.document.entries():
            yield catalog.name, category, raw


def identity(raw: Mapping[str, Any]) -> object:
    """What makes two entries one model file: the version, else the bytes, else the name."""
    return identifier(raw.get("civitai_version_id")) or next(iter(hashes_of(raw)), None) or raw.get("file")
