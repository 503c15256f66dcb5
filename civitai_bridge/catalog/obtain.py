"""Have a version's file on disk: found where it is, or downloaded to where its entry or its type says."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import (
    BadInput,
    CatalogTrouble,
    DownloadForbidden,
    DownloadRefused,
    DownloadStopped,
    DownloadTrouble,
    FileTrouble,
    StateTrouble,
)
from ..model_files.components import CHECKPOINTS, DIFFUSION_MODELS, folder_by_content
from ..model_files.download import Downloads
from ..model_files.download_rules import check_allowed, forbidden_to_graphs
from ..model_files.hashing import Digests
from ..model_files.index import HashIndex
from ..model_files.names import is_safetensors, safe_name
from ..model_files.progress import DownloadProgress, never
from ..model_files.sidecars import write_sidecars
from ..model_files.verify import DownloadedFile, is_file, stated_hashes
from ..network.background import until_cancelled
from ..network.fetch import Fetch
from ..resources.reference import AirReference, HashReference, Reference, VersionReference
from ..resources.version import ModelFile, ModelVersion, VersionImage
from ..settings import Settings
from .add import add, choose_file, is_entry_of, names_of, unavailable
from .answers import DOWNLOADED, PRESENT, Downloaded
from .entries import MODELS, Entry, category_of, entry_from_json, folder_of_file, place_of
from .identify import ownership
from .local_file import catalogued_file, file_of_version, uncatalogued_file
from .places import ModelFolders, Place
from .query import Query
from .state import Catalogs
from .store import CatalogStore

_OF_EITHER_KIND = ("Model", "Pruned Model")  # file types of a checkpoint that do not say what is in the file
Resolve = Callable[[], Awaitable[ModelVersion]]


@dataclass(frozen=True)
class Library:
    """What having a file needs: the settings, what is catalogued, what is here, and how a file is loaded."""

    settings: Settings
    catalogs: Catalogs
    index: HashIndex
    downloads: Downloads
    fetch: Fetch | None = None  # gets pictures; without it nothing is written beside a model file
    preview: VersionImage | None = None  # that somebody chose for a file


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
    try:
        check_graph(library, text, permission)
    except DownloadForbidden:
        query = Query.from_reference(reference)
        present = await asyncio.to_thread(uncatalogued_file, library.catalogs, text, query, watch.progress)
        if directory is None and present is not None:
            return present  # nothing is loaded
        raise
    version = await resolve()
    file = choose_file(version, file_meant(version, reference))
    return await obtain_file(library, version, file, directory=directory, permission=permission, watch=watch)


async def obtain_all(
    library: Library,
    text: str,
    resolve: Resolve,
    *,
    directory: Path | None,
    permission: Permission,
    watch: Watch,
) -> list[Downloaded]:
    """Have every file of a version on disk that ComfyUI has a folder for, one after the other. Raises as `obtain`."""
    check_graph(library, text, permission)
    version = await resolve()
    files = [choose_file(version, file.id) for file in version.files if folder_of_file(version, file)]
    if not files:
        files = [choose_file(version)]
    return [
        await obtain_file(library, version, file, directory=directory, permission=permission, watch=watch)
        for file in files
    ]


def check_graph(library: Library, text: str, permission: Permission) -> None:
    """Raises DownloadForbidden where no graph may load anything; known before anything is looked up."""
    if permission.from_graph:
        if reason := forbidden_to_graphs(library.settings, text, permission.allow_download):
            raise DownloadForbidden(reason)


async def obtain_file(
    library: Library,
    version: ModelVersion,
    file: ModelFile,
    *,
    directory: Path | None,
    permission: Permission,
    watch: Watch,
) -> Downloaded:
    """Have one file of a version on disk. Raises DownloadTrouble and its kin, FileRefused, BadInput."""
    if reason := unavailable(version):
        raise DownloadRefused(f"{reason}.")
    check_allowed(library.settings, file, from_graph=permission.from_graph, allow_download=permission.allow_download)
    if directory is not None:
        target = directory / _usable_name(file)
        loaded = await _load(library, version, file, target, watch)
        notes = await _write_beside(library, version, file, loaded, watch)
        return _downloaded(version, loaded, Place("", "", str(target)), str(directory), notes)
    present, is_catalogued = await asyncio.to_thread(file_of_version, library.catalogs, version, file, watch.progress)
    if present is not None:
        return present if is_catalogued else await asyncio.to_thread(_catalogued, library, version, file, present)
    usual, places = await asyncio.to_thread(_targets, library.catalogs, version, file)

    def choose(part: Path) -> Path:
        return Path(places.get(folder_by_content(part), places[usual]).path)

    loaded = await _load(library, version, file, Path(places[usual].path), watch, choose if len(places) > 1 else None)
    dest = next(dest for dest, place in places.items() if place.path == str(loaded.path))
    notes = await asyncio.to_thread(_register, library, version, file, dest, places[dest], loaded)
    notes += await _write_beside(library, version, file, loaded, watch)
    return _downloaded(version, loaded, places[dest], dest, notes)


async def _write_beside(
    library: Library, version: ModelVersion, file: ModelFile, loaded: DownloadedFile, watch: Watch
) -> tuple[str, ...]:
    """Description and preview beside a file that has just been loaded, unless the setting says no. Who stops it then
    has the file all the same."""
    if loaded.was_there or library.fetch is None or library.settings.sidecars != "on":
        return ()
    settings, fetch, preview = library.settings, library.fetch, library.preview
    work = write_sidecars(loaded.path, loaded.sha256, version, file, settings, fetch, preview=preview)
    with contextlib.suppress(DownloadStopped):
        return await until_cancelled(work, watch.cancelled, lambda: DownloadStopped("The file is here."))
    return ()


async def find_here(
    library: Library, text: str, reference: Reference, progress: Callable[[DownloadProgress], None] = lambda _: None
) -> Downloaded | None:
    """What would be had without asking anybody; None where CivitAI must be asked. `text` is what was asked for."""
    return await asyncio.to_thread(catalogued_file, library.catalogs, text, Query.from_reference(reference), progress)


def _catalogued(library: Library, version: ModelVersion, file: ModelFile, present: Downloaded) -> Downloaded:
    """A file that is here and in no catalog, put into one."""
    note = ""
    if present.file:
        note = _add_entry(library, version, file, present.file, present.dest)
    notes = (*present.notes, note) if note else present.notes
    return replace(present, version_id=version.version_id, notes=notes)


def _add_entry(library: Library, version: ModelVersion, file: ModelFile, name: str, dest: str) -> str:
    """Catalog a file that is here; the file is here whatever becomes of that, so what goes wrong is a sentence."""
    try:
        _correct_dest(library.catalogs.store, version, file, name, dest)
        add(library.catalogs.store, version, file_id=file.id or None, name=name, dest=dest)
    except (CatalogTrouble, BadInput, DownloadTrouble) as error:
        return f"It stands in no catalog: {error}"
    return ""


def _correct_dest(store: CatalogStore, version: ModelVersion, file: ModelFile, name: str, dest: str) -> None:
    """Let an entry that was made before the file was seen name the folder where it is; what else it says stays."""

    def is_meant(raw: Mapping[str, Any]) -> bool:
        entry = entry_from_json(raw)
        is_guess = {entry.dest, dest} == {CHECKPOINTS, DIFFUSION_MODELS}
        return is_guess and entry.file == name and is_entry_of(entry, version, file)

    if not any(is_meant(raw) for _, raw in store.load(MODELS).document.entries()):
        return
    with store.changing() as change:
        meant = [raw for _, raw in change.load(MODELS).document.entries() if is_meant(raw)]
        for raw in meant:  # first the new one: a kill in between leaves one too many, never one too few
            change.append(MODELS, category_of(dest), {**raw, "dest": dest})
        change.remove(MODELS, is_meant)


async def _load(
    library: Library,
    version: ModelVersion,
    file: ModelFile,
    target: Path,
    watch: Watch,
    choose_target: Callable[[Path], Path] | None = None,
) -> DownloadedFile:
    return await library.downloads.load(
        version.version_id,
        file,
        target,
        progress=watch.progress,
        cancelled=watch.cancelled,
        choose_target=choose_target,
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


def is_free(catalogs: Catalogs, dest: str, name: str, file: ModelFile) -> bool:
    """Whether nothing has a name, or this very file."""
    place = catalogs.folders.find(dest, name)
    return place is None or is_file(Path(place.path), file)


def _targets(catalogs: Catalogs, version: ModelVersion, file: ModelFile) -> tuple[str, dict[str, Place]]:
    """Where a file is to be: where its own entry says, else in the folder of its type; and where a checkpoint is to be
    when its bytes say whether it has a text encoder and a VAE in it. Raises BadInput."""
    models, loras = catalogs.store.load(MODELS), catalogs.store.load_readable()[0][1]
    entries = [*models.entries(), *loras.entries()]
    own = next((entry for entry in entries if is_entry_of(entry, version, file)), None)
    by_type = place_of(version, file)[1]
    usual = own.dest if own else by_type
    dests = [usual]
    if usual == by_type and by_type in (CHECKPOINTS, DIFFUSION_MODELS) and is_safetensors(file.name):
        if file.type in _OF_EITHER_KIND:
            dests = [usual, *({CHECKPOINTS, DIFFUSION_MODELS} - {usual})]
    return usual, {dest: _target(catalogs.folders, entries, own, dest, version, file) for dest in dests}


def _target(
    folders: ModelFolders,
    entries: Sequence[Entry],
    own: Entry | None,
    dest: str,
    version: ModelVersion,
    file: ModelFile,
) -> Place:
    """A place in a folder under a name that nothing else there has. Raises BadInput."""
    own = own if own and own.dest == dest else None
    names = [*([own.file] if own else []), *names_of(version, file)]
    used = {entry.file.casefold() for entry in entries if entry.dest == dest and entry is not own}
    for name in dict.fromkeys(names):
        if (own and name == own.file) or name.casefold() not in used:
            place = folders.find(dest, name) or folders.target(dest, name)
            if not os.path.lexists(place.path) or is_file(Path(place.path), file):
                return place
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
    if note := _add_entry(library, version, file, Path(place.path).name, dest):
        notes.append(note)
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
