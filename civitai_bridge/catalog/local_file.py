"""A file that is here already, with the bytes that are wanted; what nobody has hashed yet is hashed first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..model_files.progress import DownloadProgress
from ..resources.version import ModelFile, ModelVersion
from .answers import PRESENT, Downloaded, Located
from .places import Place
from .query import Query
from .state import Catalogs

Show = Callable[[DownloadProgress], None]


def catalogued_file(catalogs: Catalogs, text: str, query: Query, show: Show) -> Downloaded | None:
    """The file of an entry of the version that is named, without asking anybody; None where CivitAI must be asked."""
    located = _located(catalogs, query, show)
    if located.entry is None or located.how != "version id" or query.file_id or located.has_note("other_file"):
        return None
    return _as_present(catalogs, text, located, located.entry.sha256, show)


def uncatalogued_file(catalogs: Catalogs, text: str, query: Query, show: Show) -> Downloaded | None:
    """A file whose bytes are those that are named, or of which CivitAI has said that they are the version's, without
    asking anybody; it is in no catalog."""
    located = _located(catalogs, query, show)
    if located.entry is not None or not query.names_bytes or query.file_id or located.has_note("other_file"):
        return None
    row = catalogs.row_of(located.place) if located.place is not None else None
    return _as_present(catalogs, text, located, row.sha256, show) if row is not None and row.sha256 else None


def file_of_version(
    catalogs: Catalogs, version: ModelVersion, file: ModelFile, show: Show
) -> tuple[Downloaded | None, bool]:
    """This very file of a version where it is here, and whether an entry says so."""
    located = _located(catalogs, Query.from_version(version, file), show)
    is_catalogued = located.entry is not None and not located.has_note("other_file")
    sha256 = file.sha256 or (located.entry.sha256 if located.entry and is_catalogued else "")
    if not sha256 and not is_catalogued:
        return None, False  # nothing says that it is this file
    return _as_present(catalogs, version.title, located, sha256, show), is_catalogued


def _located(catalogs: Catalogs, query: Query, show: Show) -> Located:
    located = catalogs.locate(query)
    if located.changed and located.place is not None:
        _hash(catalogs, located.place, show)
        located = catalogs.locate(query)
    return located


def _as_present(catalogs: Catalogs, title: str, located: Located, sha256: str, show: Show) -> Downloaded | None:
    """The file that was located, unless it is unsure which one is meant, or its bytes are others."""
    place, entry = located.place, located.entry
    if place is None or not located.is_here or located.how == "name" or not _has_bytes(catalogs, place, sha256, show):
        return None
    return Downloaded(
        PRESENT,
        place.name if place.folder else "",
        place.path,
        entry.dest if entry else place.folder,
        (entry.name or entry.file) if entry else title,
        (entry.version_id if entry else 0) or 0,
        notes=tuple(note.text for note in located.notes if note.code != "on_disk"),
    )


def _has_bytes(catalogs: Catalogs, place: Place, sha256: str, show: Show) -> bool:
    """Whether a file has these bytes (`""` = whatever they are)."""
    if not sha256:
        return True
    row = catalogs.row_of(place)
    if row is not None and row.sha256 and row.proved and row.is_as_hashed():
        return row.sha256 == sha256
    return _hash(catalogs, place, show) == sha256


def _hash(catalogs: Catalogs, place: Place, show: Show) -> str:
    path = Path(place.path)
    if path.exists():
        show(DownloadProgress(path.name, 0, path.stat().st_size, f"{path.name} is here; reading whether it is whole"))
    return catalogs.hash_again(place)
