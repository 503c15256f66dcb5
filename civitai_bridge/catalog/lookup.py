"""What is here and what is missing: a resource against both catalogs and the files that are really on disk.

The order is version id, full hash, short hash, exact name, then the entry of a file that the index knows; a part of a
name never counts. What the four statuses cannot say is said in notes.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..resources.hashes import bare_hash, is_of_nothing
from .answers import MISSING, NOT_FOUND, PRESENT, UNKNOWN, Located, Note
from .entries import Entry
from .entry_lookup import differences, entry_of_file, find_entry, is_another_file, other_versions, same_title
from .file_lookup import FileMatch, Snapshot, file_of_entry, uncatalogued_file, with_bytes
from .parts import missing_parts, version_parts
from .query import Query


def locate(snapshot: Snapshot, query: Query) -> Located:
    """The answer for one resource; looks at the disk, asks nobody."""
    hashes = tuple(value for value in map(bare_hash, query.hashes) if value and not is_of_nothing(value))
    how, ref, unsure = find_entry(snapshot, query, hashes)
    match = FileMatch()
    if ref is None:
        match = uncatalogued_file(snapshot, query, hashes)
        if match.row is not None and not match.changed and (ref := entry_of_file(snapshot, match.row)):
            how = "file"
    if ref is not None:
        return locate_entry(snapshot, snapshot.entries.entry(ref), query, hashes, how, unsure)
    return _without_entry(snapshot, query, hashes, match, unsure)


def locate_entry(
    snapshot: Snapshot,
    entry: Entry,
    query: Query | None = None,
    hashes: Sequence[str] = (),
    how: str = "",
    unsure: Sequence[Note] = (),
) -> Located:
    """The answer for an entry. `query` and `hashes` are what was asked for, where it may be another file of the
    version."""
    query = query or Query(version_id=entry.version_id)
    if is_another_file(query, hashes, entry):
        match = with_bytes(snapshot, query, hashes)
    else:
        match = file_of_entry(snapshot, query, hashes, entry)
    status = UNKNOWN if match.changed else PRESENT if match.place else MISSING
    parts = version_parts(snapshot, query, entry)
    notes = (*unsure, *match.notes, *differences(query, hashes, entry), *missing_parts(parts))
    return Located(status, how, entry, match.place, notes, match.changed, parts)


def _without_entry(
    snapshot: Snapshot, query: Query, hashes: Sequence[str], match: FileMatch, unsure: Sequence[Note]
) -> Located:
    place = match.place
    notes = [*unsure, *match.notes]
    if place is not None and not match.changed:
        text = f"It is on disk as {place.name} in {place.folder}, and neither in models.json nor in loras.json."
        notes.append(Note("on_disk", text))
    if place is None:
        notes += other_versions(snapshot, query, query.model_id)
    notes += same_title(snapshot.entries, query)
    if query.trouble:
        notes.append(Note("not_asked", f"CivitAI could not be asked: {query.trouble}"))
    notes += [Note("damaged", trouble) for trouble in snapshot.troubles]
    is_known = (query.version_id is not None or hashes) and not query.trouble and not snapshot.troubles
    status = NOT_FOUND if is_known and not match.changed else UNKNOWN
    return Located(status, "", None, place, tuple(notes), match.changed, version_parts(snapshot, query, None))
