"""Have a version's file on disk: found where it is, or downloaded to where its entry or its type says."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput, CatalogTrouble, DownloadForbidden, FileTrouble, StateTrouble
from ..model_files.download import Downloads
from ..model_files.download_rules import check_allowed, forbidden_to_graphs
from ..model_files.hashing import Digests
from ..model_files.index import HashIndex
from ..model_files.indexed import ModelPath
from ..model_files.names import is_safetensors, safe_name
from ..model_files.progress import DownloadProgress, never
from ..model_files.verify import DownloadedFile, is_file, stated_hashes
from ..resources.reference import AirReference, HashReference, Reference, VersionReference
from ..resources.version import ModelFile, ModelVersion
from ..settings import Settings
from .add import add, choose_file, is_entry_of, names_of
from .answers import DOWNLOADED, PRESENT, Downloaded, Located
from .entries import Entry, place_of
from .identify import ownership
from .places import Place
from .query import Query
from .state import Catalogs

Resolve = Callable[[], Awaitable[ModelVersion]]


@dataclass(frozen=True)
class Library:
    """What having a file needs: the settings, what is catalogued, what is here, and how a file is loaded."""

    settings: Settings
    catalogs: Catalogs
    index: HashIndex
    downloads: Downloads


@dataclass(frozen=True)
class Permission:
    """Who wants a file, and what was said about loading it; a graph may be a stranger's."""

    from_graph: bool = False
    allow_download: bool = True


@dataclass(frozen=True)
class Watch:
    """How far a download is goes to `progress`; it ends when `cancelled()` is true."""

    progress: Callable[[DownloadProgress], None] = lambda _: None
    cancelled: Callable[[], bool] = never


async def obtain(
    library: Library,
    text: str,
    reference: Reference,
    resolve: Resolve,
    *,
    directory: Path | None,
    permission: Permission,
    watch: Watch,
) -> Downloaded:
    """Have a version's file on disk: where its entry says, else in the folder of its type, else in `directory`. What is
    here already is not loaded again, and CivitAI is not asked about it where its entry says enough. Raises
    DownloadTrouble and its kin, and what `resolve` raises."""
    if directory is None and (present := await find_here(library, text, reference, watch.progress)):
        return present
    if permission.from_graph:
        if reason := forbidden_to_graphs(library.settings, text, permission.allow_download):
            raise DownloadForbidden(reason)
    version = await resolve()
    file = choose_file(version, file_meant(version, reference))
    check_allowed(library.settings, file, from_graph=permission.from_graph, allow_download=permission.allow_download)
    if directory is not None:
        target = directory / _usable_name(file)
        loaded = await _load(library, version, file, target, watch)
        return _downloaded(version, loaded, Place("", "", str(target)), str(directory), ())
    query = Query.from_version(version, file)
    if present := await asyncio.to_thread(_this_file, library, text, query, watch.progress):
        return present
    dest, place = await asyncio.to_thread(_target, library.catalogs, version, file)
    loaded = await _load(library, version, file, Path(place.path), watch)
    notes = await asyncio.to_thread(_register, library, version, file, dest, place, loaded)
    return _downloaded(version, loaded, place, dest, notes)


async def _load(library: Library, version: ModelVersion, file: ModelFile, target: Path, watch: Watch) -> DownloadedFile:
    return await library.downloads.load(
        version.version_id, file, target, progress=watch.progress, cancelled=watch.cancelled
    )


def file_meant(version: ModelVersion, reference: Reference) -> int | None:
    """The id of the file that a reference names; None = the primary one."""
    match reference:
        case AirReference(air):
            return air.file_id
        case VersionReference(_, file_id):
            return file_id
        case HashReference(hash_):
            file = version.file_of_hash(hash_)
            return file.id if file is not None and file != version.primary else None
    return None


async def find_here(
    library: Library, text: str, reference: Reference, progress: Callable[[DownloadProgress], None] = lambda _: None
) -> Downloaded | None:
    """What would be had without asking anybody; None where CivitAI must be asked. `text` is what was asked for."""
    query = Query.from_reference(reference)

    def look() -> Downloaded | None:
        located = library.catalogs.locate(query)
        if located.entry is None or located.how != "version id" or query.file_id or located.has_note("other_file"):
            return None
        return _as_it_is(library, text, query, located, progress)

    return await asyncio.to_thread(look)


def _this_file(
    library: Library, text: str, query: Query, progress: Callable[[DownloadProgress], None]
) -> Downloaded | None:
    """This very file of a version, where it is here."""
    located = library.catalogs.locate(query)
    return None if located.has_note("other_file") else _as_it_is(library, text, query, located, progress)


def _as_it_is(
    library: Library, text: str, query: Query, located: Located, progress: Callable[[DownloadProgress], None]
) -> Downloaded | None:
    """The file that was located, unless it is unsure which one is meant, or its bytes are not its entry's."""
    place, entry = located.place, located.entry
    if place is None or located.how == "name" or located.has_note("ambiguous"):
        return None
    if entry is not None and not _is_whole(library, place, entry, progress):
        return None
    return Downloaded(
        PRESENT,
        place.name if place.folder else "",
        place.path,
        entry.dest if entry else place.folder,
        (entry.name or entry.file) if entry else text,
        (entry.version_id if entry else query.version_id) or 0,
        notes=tuple(note.text for note in located.notes),
    )


def _is_whole(library: Library, place: Place, entry: Entry, progress: Callable[[DownloadProgress], None]) -> bool:
    """Whether a file has its entry's bytes, as far as that says; one that no scan has hashed yet is hashed now."""
    if not entry.sha256:
        return True
    path = Path(place.path)
    try:
        size = path.stat().st_size
        known = _indexed(library.index, place)
        if known is not None and known.size == size:
            return known.sha256 == entry.sha256
        progress(DownloadProgress(path.name, 0, size, f"{path.name} is here; reading whether it is whole"))
        digests = library.index.hashing.digest(path)
    except (FileTrouble, OSError):
        return False
    if place.folder:
        with contextlib.suppress(StateTrouble, FileTrouble):  # then it is read again the next time
            rank = library.catalogs.folders.rank(place)
            library.index.learn(place.folder, place.name, place.path, rank, digests)
    return digests.sha256 == entry.sha256


def _indexed(index: HashIndex, place: Place) -> ModelPath | None:
    """What the index knows of a file, if it has hashed it."""
    file = index.files().by_name.get((place.folder, place.name))
    return file if file is not None and file.sha256 and file.path == place.path else None


def is_free(catalogs: Catalogs, dest: str, name: str, file: ModelFile) -> bool:
    """Whether nothing has a name, or this very file."""
    place = catalogs.folders.find(dest, name)
    return place is None or is_file(Path(place.path), file)


def _target(catalogs: Catalogs, version: ModelVersion, file: ModelFile) -> tuple[str, Place]:
    """Where a file is to be: where its own entry says, else in the folder of its type; under a name that nothing else
    there has. Raises BadInput."""
    entries = [entry for catalog in catalogs.store.load_both() for entry in catalog.entries()]
    own = next((entry for entry in entries if is_entry_of(entry, version, file)), None)
    dest = own.dest if own else place_of(version, file)[1]
    names = [*([own.file] if own else []), *names_of(version, file)]
    used = {entry.file.casefold() for entry in entries if entry.dest == dest and entry is not own}
    folders = catalogs.folders
    for name in dict.fromkeys(names):
        if (own and name == own.file) or name.casefold() not in used:
            place = folders.find(dest, name) or folders.target(dest, name)
            if not os.path.lexists(place.path) or is_file(Path(place.path), file):
                return dest, place
    raise BadInput(f"Every name for {file.name} is taken in {dest} by other files; move one of them away.")


def _register(
    library: Library, version: ModelVersion, file: ModelFile, dest: str, place: Place, loaded: DownloadedFile
) -> tuple[str, ...]:
    """Tell index and catalog of a file that has arrived. It is here whatever they say, so their troubles are notes."""
    notes = [] if loaded.verified else [f"CivitAI states no hash of {file.name} yet; only its size was checked."]
    try:
        rank = library.catalogs.folders.rank(place)
        digests = _digests(file, loaded, library.index.hashing.digest)
        library.index.learn(place.folder, place.name, place.path, rank, digests)
        library.index.own([ownership(loaded.sha256, version)])
    except (StateTrouble, FileTrouble) as error:
        notes.append(f"The index of files was not told: {error}")
    try:
        add(library.catalogs.store, version, file_id=file.id or None, name=Path(place.path).name, dest=dest)
    except (CatalogTrouble, BadInput) as error:
        notes.append(f"It stands in no catalog: {error}")
    return tuple(notes)


def _usable_name(file: ModelFile) -> str:
    name = safe_name(file.name)
    if not name:
        raise BadInput(f"{file.name!r} is no name for a file; CivitAI's file cannot be kept under it.")
    return name


def _downloaded(
    version: ModelVersion, loaded: DownloadedFile, place: Place, dest: str, notes: tuple[str, ...]
) -> Downloaded:
    return Downloaded(
        PRESENT if loaded.was_there else DOWNLOADED,
        place.name if place.folder else "",
        str(loaded.path),
        dest,
        version.title,
        version.version_id,
        loaded.size,
        loaded.sha256,
        notes,
    )


def _digests(file: ModelFile, loaded: DownloadedFile, digest: Callable[[Path], Digests]) -> Digests:
    """The hashes of a verified file as CivitAI states them; it is read again only where it states too few."""
    stated = stated_hashes(file)
    if not loaded.verified or "AUTOV1" not in stated or (is_safetensors(loaded.path.name) and "AUTOV3" not in stated):
        return digest(loaded.path)
    return Digests(
        size=loaded.size,
        mtime_ns=loaded.path.stat().st_mtime_ns,
        sha256=loaded.sha256,
        autov1=stated["AUTOV1"],
        autov3=stated.get("AUTOV3", ""),
        blake3=stated.get("BLAKE3", ""),
        crc32=stated.get("CRC32", ""),
    )
