"""Which entry of the catalogs is meant, and what is close where none is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model_files.names import below, stem_of
from ..resources.hashes import AUTO_V2, SHA256
from ..resources.json_values import identifier
from .answers import Note
from .entries import Entry, hashes_of
from .entry_index import EntryIndex, EntryRef, identity
from .file_lookup import SHORT, Snapshot, own_file
from .places import Place, folder_key
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
        return is_same_file, has_hash, own_file(snapshot, snapshot.entries.entry(ref)) is not None

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


def differences(query: Query, hashes: Sequence[str], entry: Entry) -> Iterable[Note]:
    """How an entry differs from what was asked for."""
    full = next((value for value in hashes if len(value) == SHA256), "")
    is_other_id = query.file_id is not None and entry.file_id is not None and query.file_id != entry.file_id
    if is_other_id or (full and entry.sha256 and full != entry.sha256):
        yield Note("other_file", f"The entry is another file of the same version: {entry.file}.")
    if below("x", entry.file) is None:
        yield Note("bad_name", f"The entry's file name {entry.file!r} leads out of its folder.")


def what_is_near(entries: EntryIndex, query: Query, place: Place | None) -> Iterable[Note]:
    """What comes close where no entry fits."""
    if place is not None:
        yield Note("on_disk", f"It is on disk as {place.name} in {place.folder}, and in no catalog.")
    if query.model_id is not None and (refs := entries.by_model.get(query.model_id)):
        files = [str(ref[2].get("file") or ref[2].get("name")) for ref in refs]
        some = ", ".join(files[:3]) + (" …" if len(files) > 3 else "")
        lead = "Another version of the same model" if query.version_id is not None else "A version of the model"
        yield Note("other_version", f"{lead} is catalogued: {some}.")
    if query.name and query.version_id is None and (refs := entries.by_title.get(query.name.casefold())):
        yield Note("same_title", f"An entry is called so ({refs[0][2].get('file')}), which proves nothing.")
