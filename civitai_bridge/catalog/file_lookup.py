"""Which file on disk is meant: an entry's own, the same bytes under another name, or one that no entry names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..model_files.indexed import Files, ModelPath
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
    """One state of catalogs, files and folders, against which any number of questions is answered."""

    entries: EntryIndex
    files: Files
    folders: ModelFolders
    roots: dict[str, tuple[str, ...]]  # folder key -> its paths, each with a separator at its end


def own_file(snapshot: Snapshot, entry: Entry) -> Place | None:
    """Where an entry's file is; None where it is not there, or other bytes are known to have its name."""
    place = snapshot.folders.find(entry.dest, entry.file)
    return place if place is None or not _has_other_bytes(snapshot, entry, place) else None


def is_other(file: ModelPath, hashes: Sequence[str]) -> bool:
    """Whether a file's bytes are known, and none of these bare hashes is theirs."""
    hashes_of_file = {file.sha256, file.sha256[:AUTO_V2], file.autov1, file.autov3, file.blake3, file.crc32}
    return bool(file.sha256 and hashes) and not any(names_file(value, hashes_of_file) for value in hashes)


def file_of_entry(
    snapshot: Snapshot, query: Query, hashes: Sequence[str], entry: Entry
) -> tuple[Place | None, tuple[Note, ...]]:
    """The file of an entry: its own, else the same bytes under another name."""
    notes: tuple[Note, ...] = ()
    own = snapshot.folders.find(entry.dest, entry.file)
    if own is not None:
        if not _has_other_bytes(snapshot, entry, own):
            return own, notes
        notes = (Note("other_bytes", f"{own.name} has other bytes than the catalog says."),)
    place = _with_bytes(snapshot, query, hashes, entry.hashes)
    if place is not None:
        text = f"The same bytes are here under another name: {place.name} in {place.folder}."
        notes = (*notes, Note("same_bytes", text))
    return place, notes


def _has_other_bytes(snapshot: Snapshot, entry: Entry, place: Place) -> bool:
    file = snapshot.files.by_name.get((place.folder, place.name)) if entry.sha256 else None
    if file is None or not file.sha256 or file.path != place.path or file.sha256 == entry.sha256:
        return False
    with contextlib.suppress(OSError):  # gone just now: nothing is known of its bytes
        return os.stat(place.path).st_size == file.size  # else it was written anew since it was hashed
    return False


def uncatalogued_file(snapshot: Snapshot, query: Query, hashes: Sequence[str]) -> tuple[Place | None, tuple[Note, ...]]:
    """A file that no entry names: by its bytes, then whose they are, then by its exact name."""
    place = _with_bytes(snapshot, query, hashes, ())
    if place is not None:
        return place, ()
    is_full = any(len(value) == SHA256 for value in hashes)
    if query.version_id is not None:
        place = _first_on_disk(snapshot, query, snapshot.files.by_version.get(query.version_id, ()))
        if place is None or not is_full:
            return place, ()
        text = f"Another file of the same version is here: {place.name} in {place.folder}."
        return place, (Note("other_file", text),)
    if query.name and not is_full:
        named = [file for file in snapshot.files.by_stem.get(stem_of(query.name), ()) if _fits(file, query)]
        named = [file for file in named if not is_other(file, hashes)]
        if len({file.path for file in named}) == 1:
            return _first_on_disk(snapshot, query, named), ()
    return None, ()


def _with_bytes(snapshot: Snapshot, query: Query, hashes: Sequence[str], catalogued: Sequence[str]) -> Place | None:
    """The file that has one of the full hashes, or a short one that only its bytes have; `catalogued` are the hashes of
    the entry."""
    by_hash = snapshot.files.by_hash
    for value in dict.fromkeys(value for value in (*hashes, *catalogued) if len(value) == SHA256):
        if place := _first_on_disk(snapshot, query, by_hash.get(value, ())):
            return place
    for value in hashes:
        if len(value) in SHORT:
            files = next((by_hash.get(spelling, ()) for spelling in spellings(value) if spelling in by_hash), ())
            if len({file.sha256 for file in files}) == 1 and (place := _first_on_disk(snapshot, query, files)):
                return place
    return None


def _first_on_disk(snapshot: Snapshot, query: Query, files: Sequence[ModelPath]) -> Place | None:
    """The first of them that is there still, in the folder that is asked for; not below a path that its key no
    longer has."""
    for file in sorted(files, key=lambda file: not _fits(file, query)):
        roots = snapshot.roots.get(file.folder)
        if (not roots or file.path.startswith(roots)) and os.path.isfile(file.path):
            return Place(file.folder, file.name, file.path)
    return None


def _fits(file: ModelPath, query: Query) -> bool:
    return not query.folder or folder_key(file.folder) == folder_key(query.folder)
