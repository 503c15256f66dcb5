"""Which entry of the catalogs is meant, and what is close where none is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ..model_files.indexed import ModelPath
from ..model_files.names import below, stem_of
from ..resources.hashes import AUTO_V2, SHA256
from ..resources.json_values import identifier
from .answers import Note
from .entries import Entry, hashes_of
from .entry_index import EntryIndex, EntryRef, identity
from .file_lookup import SHORT, Snapshot, file_of_entry
from .places import folder_key
from .query import Query


def find_entry(
    snapshot: Snapshot, query: Query, hashes: Sequence[str]
) -> tuple[str, EntryRef | None, tuple[Note, ...]]:
    """How an entry was found (`""` = not), the entry, and what was too unsure to take."""
    entries, unsure = snapshot.entries, []
    refs: Sequence[EntryRef]
    if query.version_id is not None and (refs := entries.by_version.get(query.version_id, ())):
        return "version id", _best(snapshot, refs, query, hashes), ()
    for value in hashes:
        if len(value) == SHA256 and (refs := entries.by_hash.get(value, ())):
            return "full hash", _best(snapshot, refs, query, hashes), ()
    for value in hashes:
        if len(value) in SHORT and (refs := entries.with_hash(value)):
            if len({identity(ref[2]) for ref in refs}) == 1:
                return "short hash", _best(snapshot, refs, query, hashes), tuple(unsure)
            unsure.append(Note("ambiguous", f"The short hash {value} fits several entries; none is taken."))
    if query.name:
        named = entries.by_stem.get(stem_of(query.name), ())
        refs = [ref for ref in named if not _contradicts(ref, query, hashes) and _is_in_folder(ref, query)]
        if len({identity(ref[2]) for ref in refs}) == 1:
            return "name", _best(snapshot, refs, query, hashes), tuple(unsure)
        if refs:
            unsure.append(Note("ambiguous", f"Several entries have the file name {query.name}; none is taken."))
    return "", None, tuple(unsure)


def _best(snapshot: Snapshot, refs: Sequence[EntryRef], query: Query, hashes: Sequence[str]) -> EntryRef:
    """Of several entries of one version: the very file, then one that is here."""
    if len(refs) == 1:
        return refs[0]

    def rank(ref: EntryRef) -> tuple[bool, bool, bool]:
        is_same_file = query.file_id is not None and identifier(ref[2].get("civitai_file_id")) == query.file_id
        has_hash = any(value in hashes for value in hashes_of(ref[2]))
        return (
            is_same_file,
            has_hash,
            file_of_entry(snapshot, query, hashes, snapshot.entries.entry(ref)).place is not None,
        )

    return max(refs, key=rank)


def _contradicts(ref: EntryRef, query: Query, hashes: Sequence[str]) -> bool:
    """Whether an entry of the right name is known to be something else."""
    version_id = identifier(ref[2].get("civitai_version_id"))
    if query.version_id is not None and version_id is not None and version_id != query.version_id:
        return True
    full = [value for value in hashes_of(ref[2]) if len(value) == SHA256]
    asked = [value for value in hashes if len(value) in (AUTO_V2, SHA256)]
    return any(not sha256.startswith(value[:AUTO_V2]) for sha256 in full for value in asked)


def _is_in_folder(ref: EntryRef, query: Query) -> bool:
    dest = str(ref[2].get("dest") or "").split("/")[0]
    return not query.folder or folder_key(dest) == folder_key(query.folder)


def entry_of_file(snapshot: Snapshot, file: ModelPath) -> EntryRef | None:
    """The entry of a file that the index knows: of its bytes, else the one whose file it is."""
    if not file.sha256:
        return None
    if refs := snapshot.entries.by_hash.get(file.sha256):
        return refs[0]
    for ref in snapshot.entries.by_stem.get(stem_of(file.name), ()):
        entry = snapshot.entries.entry(ref)
        is_other = entry.sha256 or (entry.version_id and file.version_id and entry.version_id != file.version_id)
        place = None if is_other else snapshot.folders.find(entry.dest, entry.file)
        if place is not None and place.path == file.path:
            return ref
    return None


def is_another_file(query: Query, hashes: Sequence[str], entry: Entry) -> bool:
    """Whether one file of a version is asked for, and the entry is of another one."""
    if query.file_id is None:
        return False
    if entry.file_id is not None:
        return entry.file_id != query.file_id
    full = next((value for value in hashes if len(value) == SHA256), "")
    return bool(full and entry.sha256) and full != entry.sha256


def differences(query: Query, hashes: Sequence[str], entry: Entry) -> Iterable[Note]:
    """How an entry differs from what was asked for."""
    full = next((value for value in hashes if len(value) == SHA256), "")
    is_other_id = query.file_id is not None and entry.file_id is not None and query.file_id != entry.file_id
    if is_other_id or (full and entry.sha256 and full != entry.sha256):
        yield Note("other_file", f"The entry is another file of the same version: {entry.file}.")
    if below("x", entry.file) is None:
        yield Note("bad_name", f"The entry's file name {entry.file!r} leads out of its folder.")


def other_versions(snapshot: Snapshot, query: Query, model_id: int | None) -> Iterable[Note]:
    """Which other versions of the same model are here, or at least catalogued."""
    if model_id is None:
        return
    entries = [snapshot.entries.entry(ref) for ref in snapshot.entries.by_model.get(model_id, ())]
    entries = [entry for entry in entries if entry.version_id != query.version_id]
    files = [file for file in snapshot.files.by_model.get(model_id, ()) if file.version_id != query.version_id]
    present = [entry for entry in entries if snapshot.folders.find(entry.dest, entry.file)]
    names = [_entry_name(entry) for entry in present]
    names = names or [_owned_name(snapshot, file) for file in files if os.path.isfile(file.path)]
    state = "here" if names else "catalogued"
    names = names or [_entry_name(entry) for entry in entries]
    if names:
        asked = query.title or (f"Version {query.version_id}" if query.version_id else "")
        lead = f"{asked} is asked for; another" if asked else "A"
        some = ", ".join(dict.fromkeys(names[:3])) + (" …" if len(names) > 3 else "")
        yield Note("other_version", f"{lead} version of the same model is {state}: {some}.")


def _entry_name(entry: Entry) -> str:
    return f"{entry.name or f'version {entry.version_id}'} ({entry.file})"


def _owned_name(snapshot: Snapshot, file: ModelPath) -> str:
    owner = snapshot.owner_of(file.sha256)
    name = owner.about.get("name") if owner else ""
    return f"{name or f'version {file.version_id}'} ({file.name})"


def same_title(entries: EntryIndex, query: Query) -> Iterable[Note]:
    """An entry that is only called like what is asked for."""
    if query.name and query.version_id is None and (refs := entries.by_title.get(query.name.casefold())):
        yield Note("same_title", f"An entry is called so ({refs[0][2].get('file')}), which proves nothing.")
