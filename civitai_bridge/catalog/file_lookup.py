"""Which file on disk is meant: an entry's own, the same bytes under another name, or one that no entry names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..model_files.indexed import Files, ModelPath, Ownership
from ..model_files.names import stem_of
from ..resources.hashes import AUTO_V2, AUTO_V3, SHA256, names_file, spellings
from .answers import Note
from .entries import Entry
from .entry_index import EntryIndex
from .places import ModelFolders, Place, folder_key
from .query import Query

SHORT = (8, AUTO_V2, AUTO_V3)  # hex digits of the hashes that may fit several files


@dataclass(frozen=True)
class Snapshot:
    """One state of catalogs, files and folders, against which any number of questions is answered. `troubles` are the
    sentences about a catalog that cannot be read."""

    entries: EntryIndex
    files: Files
    folders: ModelFolders
    roots: Mapping[str, tuple[str, ...]]  # folder key -> its paths, each with a separator at its end
    owner_of: Callable[[str], Ownership | None]  # by SHA-256
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileMatch:
    """A file on disk and the index's row of it, where it has one. `changed`: it was written since it was hashed, so
    that nobody knows its bytes."""

    place: Place | None = None
    row: ModelPath | None = None
    changed: bool = False
    notes: tuple[Note, ...] = ()


NO_FILE = FileMatch()


def is_other(file: ModelPath, hashes: Sequence[str]) -> bool:
    """Whether a file's bytes are known, and none of these bare hashes is theirs."""
    hashes_of_file = {file.sha256, file.sha256[:AUTO_V2], file.autov1, file.autov3, file.blake3, file.crc32}
    return bool(file.sha256 and hashes) and not any(names_file(value, hashes_of_file) for value in hashes)


def file_of_entry(snapshot: Snapshot, query: Query, hashes: Sequence[str], entry: Entry) -> FileMatch:
    """The file of an entry: its own, else the same bytes under another name, else its own that was changed."""
    own = _own_file(snapshot, entry)
    if own.place is not None and not own.changed and not own.notes:
        return own
    elsewhere = with_bytes(snapshot, query, (*hashes, *(value for value in entry.hashes if len(value) == SHA256)))
    if elsewhere.place is None or elsewhere.changed:
        return own if own.changed else elsewhere if elsewhere.changed else FileMatch(notes=own.notes)
    text = f"The same bytes are here under another name: {elsewhere.place.name} in {elsewhere.place.folder}."
    return FileMatch(elsewhere.place, elsewhere.row, notes=(*own.notes, Note("same_bytes", text)))


def _own_file(snapshot: Snapshot, entry: Entry) -> FileMatch:
    """What is under an entry's name; a note where other bytes are known to be there."""
    place = snapshot.folders.find(entry.dest, entry.file)
    row = snapshot.files.by_name.get((place.folder, place.name)) if place is not None else None
    if place is None or row is None or row.path != place.path or not row.sha256:
        return FileMatch(place, None)
    if not row.is_as_hashed():
        return _changed(place, row)
    if entry.sha256 and row.sha256 != entry.sha256:
        return FileMatch(
            place, row, notes=(Note("other_bytes", f"{place.name} has other bytes than the catalog says."),)
        )
    return FileMatch(place, row)


def _changed(place: Place, row: ModelPath) -> FileMatch:
    text = f"{place.name} was changed since it was hashed; the next scan or download reads it again."
    return FileMatch(place, row, True, (Note("changed", text),))


def uncatalogued_file(snapshot: Snapshot, query: Query, hashes: Sequence[str]) -> FileMatch:
    """A file that no entry was found for: by its bytes, then whose they are, then by its exact name."""
    match = with_bytes(snapshot, query, hashes)
    if match.place is not None:
        return match
    is_full = any(len(value) == SHA256 for value in hashes)
    if query.version_id is not None:
        if query.file_id is not None and is_full:
            return NO_FILE  # this very file is asked for, and its bytes are not here
        match = _first_on_disk(snapshot, query, snapshot.files.by_version.get(query.version_id, ()))
        if match.place is None or match.changed or not is_full:
            return match
        text = f"Another file of the same version is here: {match.place.name} in {match.place.folder}."
        return FileMatch(match.place, match.row, notes=(Note("other_file", text),))
    if query.name and not is_full:
        named = [file for file in snapshot.files.by_stem.get(stem_of(query.name), ()) if _fits(file, query)]
        named = [file for file in named if not is_other(file, hashes)]
        if len({file.path for file in named}) == 1:
            return _first_on_disk(snapshot, query, named)
    return NO_FILE


def with_bytes(snapshot: Snapshot, query: Query, hashes: Sequence[str]) -> FileMatch:
    """The file that has one of the full hashes, or a short one that only its bytes have."""
    by_hash = snapshot.files.by_hash
    changed = NO_FILE
    for value in sorted(dict.fromkeys(hashes), key=len, reverse=True):
        if len(value) == SHA256:
            files = by_hash.get(value, ())
        elif len(value) in SHORT:
            files = next((by_hash[spelling] for spelling in spellings(value) if spelling in by_hash), ())
            if len({file.sha256 for file in files}) != 1:
                continue
        else:
            continue
        match = _first_on_disk(snapshot, query, files)
        if match.place is not None and not match.changed:
            return match
        changed = match if match.changed else changed
    return changed


def _first_on_disk(snapshot: Snapshot, query: Query, files: Sequence[ModelPath]) -> FileMatch:
    """The first of them that is there still as it was hashed, in the folder that is asked for; else one that was
    changed. None of them is below a path that its key no longer has."""
    changed = NO_FILE
    for file in sorted(files, key=lambda file: not _fits(file, query)):
        roots = snapshot.roots.get(file.folder)
        if (not roots or file.path.startswith(roots)) and os.path.isfile(file.path):
            place = Place(file.folder, file.name, file.path)
            if not file.sha256 or file.is_as_hashed():
                return FileMatch(place, file)
            changed = _changed(place, file)
    return changed


def _fits(file: ModelPath, query: Query) -> bool:
    return not query.folder or folder_key(file.folder) == folder_key(query.folder)
