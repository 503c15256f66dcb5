"""The files of a version that has several: which of them are here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..resources.ecosystems import folder_of
from ..resources.json_values import identifier, objects, text
from ..resources.version import ModelFile
from .answers import MISSING, Note, Part
from .entries import FILES, Entry
from .file_lookup import Snapshot, file_of_entry, with_bytes
from .query import Query

_NOT_NEEDED = ("", "configs")  # folders of what no loader asks for: training data, archives, settings of a trainer
_ALTERNATIVES = frozenset({"Model", "Pruned Model", ""})  # files of these types stand in for each other
# Two models that sample one after the other: the experts of Wan 2.2, whose files are alike but for this word.
_HALF = re.compile(r"(?i)(?<![a-z])(high|low)(?:[ _.-]?noise)?(?![a-z])")


def version_parts(snapshot: Snapshot, query: Query, entry: Entry | None) -> tuple[Part, ...]:
    """Every file of the version, as CivitAI or the entry lists them; nothing where it has one."""
    files = query.files or (_files_of(entry) if entry is not None and FILES in entry.raw else ())
    if len(files) < 2:
        return ()
    version_id = entry.version_id if entry else query.version_id
    refs = snapshot.entries.by_version.get(version_id, ()) if version_id is not None else ()
    entries = [snapshot.entries.entry(ref) for ref in refs]
    return tuple(_part(snapshot, file, entries) for file in files)


def _part(snapshot: Snapshot, file: ModelFile, entries: Iterable[Entry]) -> Part:
    own = next((entry for entry in entries if _is_of(entry, file)), None)
    if own is not None:
        match = file_of_entry(snapshot, Query(), (), own)
    else:
        match = with_bytes(snapshot, Query(), (file.sha256,))
    return Part(file.id, file.name, file.type, None if match.changed else match.place)


def _is_of(entry: Entry, file: ModelFile) -> bool:
    if entry.file_id is not None and file.id:
        return entry.file_id == file.id
    return bool(file.sha256) and file.sha256 == entry.sha256


def _files_of(entry: Entry) -> tuple[ModelFile, ...]:
    return tuple(
        ModelFile(
            identifier(raw.get("id")) or 0,
            text(raw.get("name")),
            text(raw.get("type")),
            None,
            {"SHA256": text(raw.get("sha256"))},
        )
        for raw in objects(entry.raw.get(FILES))
    )


def missing_parts(parts: Sequence[Part]) -> Iterable[Note]:
    """That a part is missing without which the rest does not work: a text encoder, a VAE, the other half of a pair.
    Another precision or format of a file that is here is none."""
    present = [part for part in parts if part.status != MISSING]
    missing = needed_parts(parts)
    if present and missing:
        names = ", ".join(f"{part.name} ({part.type})" if part.type else part.name for part in missing)
        yield Note("parts", f"{len(present)} of the {len(parts)} files of this version are here; not here: {names}.")


def needed_parts(parts: Sequence[Part], meant: int = 0) -> list[Part]:
    """The parts that are not here and without which the rest does not work; `meant` is the id of a file that will be
    loaded for the model itself, and counts as here."""
    present = [part for part in parts if part.status != MISSING or (meant and part.file_id == meant)]
    return [part for part in parts if part not in present and _is_needed(part, present)]


def _is_needed(part: Part, present: Sequence[Part]) -> bool:
    if part.type not in _ALTERNATIVES and folder_of("", part.type) in _NOT_NEEDED:
        return False
    if part.type in _ALTERNATIVES:
        half = _HALF.search(part.name)
        return half is not None and not any(_half(other) == half[1].lower() for other in present)
    return not any(other.type == part.type for other in present)


def _half(part: Part) -> str:
    half = _HALF.search(part.name)
    return half[1].lower() if half else ""
