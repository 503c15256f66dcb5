"""Entries out of the catalogs: which ones a reference means, and taking them away while no file of theirs is here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import BadInput, NotInCatalog, StillOnDisk, UnknownReference
from ..resources.reference import FileReference, HashReference, read_reference
from ..resources.version import ModelVersion
from .add import is_entry_of
from .answers import REMOVED, Added
from .entries import LORAS, MODELS, Entry, entry_from_json
from .lookup import locate_entry
from .query import Query
from .state import Catalogs

IsMeant = Callable[[Entry], bool]


def remove(catalogs: Catalogs, is_meant: IsMeant, label: str) -> Added:
    """Take the entries that are meant out of both catalogs; `label` says which these are. Raises StillOnDisk while a
    file of theirs is here, NotInCatalog."""
    _prove_files(catalogs, is_meant)
    with catalogs.store.changing() as change:
        both = change.load(MODELS), change.readable(LORAS)
        entries = [entry for catalog in both for entry in catalog.entries() if is_meant(entry)]
        if not entries:
            raise NotInCatalog(f"{label} is in no catalog.", path=str(catalogs.store.folder))
        snapshot = catalogs.snapshot()
        for entry in entries:
            if path := locate_entry(snapshot, entry).path:
                raise StillOnDisk(
                    f"{entry.file} is on disk ({path}); its entry stays. Delete the file first.", path=path
                )
        for name in {entry.catalog for entry in entries}:
            change.remove(name, lambda raw: is_meant(entry_from_json(raw)))
    first, *also = dict.fromkeys(entry.file for entry in entries)
    return Added(REMOVED, file=first, also=tuple(also))


def _prove_files(catalogs: Catalogs, is_meant: IsMeant) -> None:
    """Hash the files that are only taken for those of the entries, before anything leans on that; the catalogs are not
    held for so long."""
    snapshot = catalogs.snapshot()
    both, _ = catalogs.store.load_readable()
    for entry in (entry for catalog in both for entry in catalog.entries() if is_meant(entry)):
        place = locate_entry(snapshot, entry).place
        row = catalogs.row_of(place) if place is not None else None
        if place is not None and row is not None and not row.proved:
            catalogs.hash_again(place)


async def meant_entries(
    catalogs: Catalogs,
    reference: str,
    hosts: frozenset[str],
    resolve: Callable[[str], Awaitable[ModelVersion]],
) -> tuple[IsMeant, str]:
    """Which entries a reference means (those of a version, or the one that a file id, a hash or a file name means), and
    what to call them. Raises UnknownReference, NotInCatalog, BadInput, and what `resolve` raises."""
    name = reference.strip().strip("\"'")
    try:
        parsed = read_reference(reference, hosts=hosts)
    except UnknownReference:
        if not await asyncio.to_thread(_called, catalogs, name):
            raise
        parsed = FileReference(name)
    if isinstance(parsed, FileReference):
        return await asyncio.to_thread(_named, catalogs, name), reference
    query = Query.from_reference(parsed)
    if isinstance(parsed, HashReference):
        entry = (await asyncio.to_thread(catalogs.locate, query)).entry
        if entry is not None:
            return lambda other: _key(other) == _key(entry), reference
        version = await resolve(reference)
        file = version.file_of_hash(parsed.hash)
        if file is not None:
            return lambda other: is_entry_of(other, version, file), reference
        query = Query.from_version(version)
    version_id = query.version_id or (await resolve(reference)).version_id
    if query.file_id:
        key = version_id, query.file_id
        return lambda other: (other.version_id, other.file_id) == key, f"File {key[1]} of version {version_id}"
    return lambda other: other.version_id == version_id, f"Version {version_id}"


def _named(catalogs: Catalogs, name: str) -> IsMeant:
    """The one entry of a file name. Raises NotInCatalog, BadInput where there are several."""
    entries = _called(catalogs, name)
    keys = {_key(entry) for entry in entries}
    if len(keys) > 1:
        some = ", ".join(sorted({f"{entry.dest}/{entry.file} (version {entry.version_id})" for entry in entries}))
        raise BadInput(f"Several entries are called {name}: {some}. Name the version.")
    if not keys:
        raise NotInCatalog(f"{name} is in no catalog.", path=str(catalogs.store.folder))
    return lambda other: _key(other) in keys


def _called(catalogs: Catalogs, name: str) -> list[Entry]:
    """The entries of a file name: exactly as written, else by its last part in any case."""
    name = name.replace("\\", "/")
    entries = [entry for catalog in catalogs.store.load_readable()[0] for entry in catalog.entries() if entry.file]
    exact = [entry for entry in entries if name in (_path(entry), f"{entry.dest}/{_path(entry)}")]
    last = _last_part(name)
    return exact or [entry for entry in entries if _last_part(_path(entry)) == last]


def _path(entry: Entry) -> str:
    return entry.file.replace("\\", "/")


def _last_part(path: str) -> str:
    return path.rsplit("/", 1)[-1].casefold()


def _key(entry: Entry) -> tuple[int | None, str, str]:
    """What makes entries of both catalogs the same one."""
    return entry.version_id, entry.dest, entry.file
