"""What is here and what is missing: a resource against both catalogs and the files that are really on disk.

The order is version id, full hash, short hash, exact name; a part of a name never counts. What the four statuses cannot
say is said in notes.
"""

from __future__ import annotations

from ..resources.hashes import bare_hash, is_of_nothing
from .answers import MISSING, NOT_FOUND, PRESENT, UNKNOWN, Located, Note
from .entry_lookup import differences, find_entry, what_is_near
from .file_lookup import Snapshot, file_of_entry, uncatalogued_file
from .query import Query


def locate(snapshot: Snapshot, query: Query) -> Located:
    """The answer for one resource; looks at the disk, asks nobody."""
    hashes = tuple(value for value in map(bare_hash, query.hashes) if value and not is_of_nothing(value))
    how, ref, unsure = find_entry(snapshot, query, hashes)
    entry = snapshot.entries.entry(ref) if ref else None
    if entry is not None:
        place, notes = file_of_entry(snapshot, query, hashes, entry)
        notes = (*unsure, *notes, *differences(query, hashes, entry))
        return Located(PRESENT if place else MISSING, how, entry, place, notes)
    place, other_file = uncatalogued_file(snapshot, query, hashes)
    notes = (*unsure, *other_file, *what_is_near(snapshot.entries, query, place))
    if query.trouble:
        notes = (*notes, Note("not_asked", f"CivitAI could not be asked: {query.trouble}"))
    is_known = (query.version_id is not None or hashes) and not query.trouble
    return Located(NOT_FOUND if is_known else UNKNOWN, "", None, place, notes)
