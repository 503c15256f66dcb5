"""Where nodes, command line and routes ask: check, add, promote, remove, map, list, scan and download, once each.

Every answer is a frozen value with `as_json()` (snake_case; to the letter of facts/catalog.md where that has one) and
`report` (sentences for a person). What reads or writes files is done in threads, so that no loop waits for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import (
    BadInput,
    CatalogTrouble,
    CivitaiError,
    DownloadForbidden,
    FileTrouble,
    NotFound,
    NotInCatalog,
    StateTrouble,
    UnknownReference,
)
from ..model_files.download import Downloads
from ..model_files.download_rules import check_allowed, forbidden_to_graphs
from ..model_files.folders import folders_below
from ..model_files.hashing import BLAKE3, CRC32, Digests
from ..model_files.index import HashIndex
from ..model_files.indexed import ModelPath, Ownership
from ..model_files.names import is_safetensors, safe_name
from ..model_files.progress import DownloadProgress, HashingProgress, ScanControl, never
from ..model_files.scan import ScanReport, scan
from ..model_files.verify import DownloadedFile, is_file, stated_hashes
from ..resources.addresses import hosts_with
from ..resources.reference import (
    AirReference,
    FileReference,
    HashReference,
    Reference,
    VersionReference,
    read_reference,
)
from ..resources.version import ModelFile, ModelVersion
from ..settings import Settings
from ..website import Lookups, SiteClient, describe, identify, resolve
from .add import ALREADY, Added, add, choose_file, is_entry_of, names_of, remove
from .answers import DOWNLOADED, Answer, Checked, Downloaded, Scanned
from .check import MISSING, NOT_FOUND, PRESENT, UNKNOWN, Catalogs, Folders, Located, Place, Wanted
from .entries import Entry, bare_hash, place_of
from .promote import Promoted, promote
from .store import CatalogStore
from .wanted import Question, questions_from

T = TypeVar("T")
_AT_ONCE = 8
_KIND_BY_LENGTH = {64: BLAKE3, 8: CRC32}  # what a hash may be that is of no usual kind


class CatalogService:
    """`folders` gives ComfyUI's folder keys with their paths, anew each time; `models_root` is where a `dest` that is
    no key begins."""

    def __init__(
        self,
        settings: Settings,
        site: SiteClient,
        downloads: Downloads,
        folders: Callable[[], Folders],
        models_root: Path | None = None,
        *,
        index: HashIndex | None = None,
        store: CatalogStore | None = None,
        lookups: Lookups | None = None,
    ) -> None:
        self.settings = settings
        self.site = site
        self.downloads = downloads
        self.folders = folders
        self.index = index or HashIndex(settings.home / "hashes.sqlite3")
        self.store = store or CatalogStore(Path(settings.catalog_folder) if settings.catalog_folder else settings.home)
        self.catalogs = Catalogs(self.store, self.index, folders, models_root)
        self.lookups = lookups or Lookups()
        self.scanning: HashingProgress | None = None  # how far the scan is that runs now
        self._hosts = hosts_with(settings.site_url)

    def close(self) -> None:
        self.index.close()

    async def resolve(self, text: str) -> ModelVersion:
        return await resolve(self.site, text, hosts=self._hosts)

    # --- what is here

    async def check(self, asked: object, *, ask: bool = True) -> Checked:
        """The status of everything that is named: text with one reference a line, an AIR, a list of LoRAs, or
        GenerationData. CivitAI is asked only about what the catalogs do not know, and not at all without `ask`."""
        questions = questions_from(asked, self._hosts)
        located = await self._locate(question.wanted for question in questions)
        answers = [Answer(q.text, found) for q, found in zip(questions, located, strict=True)]
        open_ = [n for n, found in enumerate(located) if found.status in (NOT_FOUND, UNKNOWN)]
        if ask and open_:
            better = await self._told([questions[n] for n in open_])
            again = await self._locate(wanted for wanted, _ in better)
            for n, found, (_, resource) in zip(open_, again, better, strict=True):
                answers[n] = Answer(questions[n].text, found, resource)
        return Checked(tuple(answers), await self._caveat(questions, answers))

    async def _caveat(self, questions: Sequence[Question], answers: Sequence[Answer]) -> str:
        """Why more may be here than was found: files that are not hashed yet, or not in a way that a hash asked for.
        Such kinds are remembered, and scans take them from then on."""
        open_ = [(q, a) for q, a in zip(questions, answers, strict=True) if a.located.place is None]
        # Only a hash that a person named: those of pictures are of usual kinds, of models that were never here.
        unknown = [
            q for q, a in open_ if isinstance(q.reference, HashReference) and not (a.located.entry or a.resource)
        ]
        kinds = {_KIND_BY_LENGTH.get(len(bare_hash(q.wanted.hashes[0]))) for q in unknown}
        sentences = []
        for kind in sorted(filter(None, kinds)):
            if await asyncio.to_thread(self.index.is_missing, kind):
                await asyncio.to_thread(self.index.require, [kind])
                sentences.append(
                    f"It may be the {kind} of a file here: the next scan takes that too."
                    if kind in self.index.hashing.kinds
                    else f"It may be the {kind} of a file here, which needs the package {kind.lower()} to be found."
                )
        if open_ and self.scanning is not None:
            sentences.append(f"{self.scanning.sentence} More may be found later.")
        return " ".join(sentences)

    async def _locate(self, wanted: Iterable[Wanted]) -> list[Located]:
        every = list(wanted)
        return await asyncio.to_thread(lambda: list(self.catalogs.locate_all(every)))

    async def _told(self, questions: Sequence[Question]) -> list[tuple[Wanted, ModelVersion | None]]:
        """What CivitAI adds to each question, in as few requests as it allows."""
        gate = asyncio.Semaphore(_AT_ONCE)
        models = {q.wanted.model_id for q in questions if q.wanted.model_id and not _names_bytes(q.wanted)}
        newest: dict[int, int | CivitaiError] = {}

        async def look(model_id: int) -> None:
            async with gate:
                try:
                    newest[model_id] = await self.site.newest_version(model_id)
                except CivitaiError as error:
                    newest[model_id] = error

        await asyncio.gather(*(look(model_id) for model_id in models))
        wanted = [_with_newest(q.wanted, newest) for q in questions]
        versions = await describe(self.site, {w.version_id for w in wanted if w.version_id}, self.lookups)
        hashes = {w.hashes[0] for w in wanted if w.hashes and not w.version_id}
        by_hash = await identify(self.site, hashes, self.lookups)
        found = []
        for one in wanted:
            try:
                resource = (
                    versions[one.version_id] if one.version_id else by_hash[one.hashes[0]] if one.hashes else None
                )
            except CivitaiError as error:
                found.append((replace(one, trouble=str(error)), None))
                continue
            found.append((_joined(one, resource), resource))
        return found

    async def map_(self) -> dict[str, Any]:
        """All entries, doubly indexed (facts/catalog.md)."""
        return await asyncio.to_thread(self.catalogs.map)

    async def list_(self) -> list[dict[str, Any]]:
        """Every entry of both catalogs with its status."""

        def read() -> list[dict[str, Any]]:
            return [
                {
                    "catalog": entry.catalog, "category": entry.category, "name": entry.name, "file": entry.file,
                    "dest": entry.dest, "version_id": entry.version_id, "base_model": entry.base_model,
                    "status": PRESENT if place else MISSING, "path": place.path if place else None,
                }
                for entry, place in self.catalogs.list_()
            ]  # fmt: skip

        return await asyncio.to_thread(read)

    # --- what the catalogs are to hold

    async def add(self, reference: str) -> Added:
        """Put a version into models.json without downloading it. What is there already needs no question."""
        parsed = self._read(reference)
        known = Wanted.from_reference(parsed)
        if known.version_id and known.file_id is None:
            located = (await self._locate([known]))[0]
            if located.entry is not None and located.how == "version id":
                return Added(ALREADY, file=located.entry.file)
        resource = await self.resolve(reference)
        file_id = _file_meant(resource, parsed)
        return await asyncio.to_thread(lambda: add(self.store, resource, file_id=file_id, free=self._is_free))

    async def promote(self, reference: str) -> Promoted:
        """Move a LoRA's entry to loras.json."""
        version_id = await self._version(reference)
        return await asyncio.to_thread(promote, self.store, version_id)

    async def remove(self, reference: str) -> Added:
        """Take entries out of the catalogs whose files are not on disk: those of a version, or the one that a file id,
        a hash or a file name means."""
        meant, what = await self._meant(reference)
        return await asyncio.to_thread(remove, self.catalogs, meant, what)

    async def _meant(self, reference: str) -> tuple[Callable[[Entry], bool], str]:
        """Which entries a reference means, and what to call them."""
        try:
            parsed = self._read(reference)
        except UnknownReference:
            parsed = FileReference(reference.strip().strip("\"'"))
            if not await asyncio.to_thread(self._called, parsed.name):
                raise
        if isinstance(parsed, FileReference):
            return await self._named(reference.strip().strip("\"'")), reference
        wanted = Wanted.from_reference(parsed)
        if isinstance(parsed, HashReference):
            found = (await self._locate([wanted]))[0].entry
            if found is not None:
                return lambda entry: _key(entry) == _key(found), reference
            resource = await self.resolve(reference)
            file = next((one for one in resource.files if _has_hash(one, parsed.hash)), None)
            if file is not None:
                return lambda entry: is_entry_of(entry, resource, file), reference
            wanted = Wanted.from_resource(resource)
        version_id = wanted.version_id or (await self.resolve(reference)).version_id
        if wanted.file_id:
            file_id = wanted.file_id
            what = f"File {file_id} of version {version_id}"
            return lambda entry: (entry.version_id, entry.file_id) == (version_id, file_id), what
        return lambda entry: entry.version_id == version_id, f"Version {version_id}"

    async def _named(self, name: str) -> Callable[[Entry], bool]:
        """The one entry of a file name. Raises NotInCatalog, BadInput where there are several."""
        found = await asyncio.to_thread(self._called, name)
        keys = {_key(entry) for entry in found}
        if len(keys) > 1:
            some = ", ".join(sorted({f"{one.dest}/{one.file} (version {one.version_id})" for one in found}))
            raise BadInput(f"Several entries are called {name}: {some}. Name the version.")
        if not keys:
            raise NotInCatalog(f"{name} is in no catalog.", path=str(self.store.folder))
        return lambda entry: _key(entry) in keys

    def _called(self, name: str) -> list[Entry]:
        """The entries of a file name: exactly as written, else by its last part in any case."""
        name = name.replace("\\", "/")
        every = [entry for loaded in self.store.load_both() for entry in loaded.entries() if entry.file]
        files = [entry.file.replace("\\", "/") for entry in every]
        exact = [entry for entry, file in zip(every, files, strict=True) if name in (file, f"{entry.dest}/{file}")]
        last = name.rsplit("/", 1)[-1].casefold()
        alike = (entry for entry, file in zip(every, files, strict=True) if file.rsplit("/", 1)[-1].casefold() == last)
        return exact or list(alike)

    def _read(self, reference: str) -> Reference:
        return read_reference(reference, hosts=self._hosts)

    async def _version(self, reference: str) -> int:
        """The version of a reference; by the catalogs alone where they know it."""
        parsed = self._read(reference)
        wanted = Wanted.from_reference(parsed)
        if wanted.version_id:
            return wanted.version_id
        located = (await self._locate([wanted]))[0]
        if located.entry is not None and located.entry.version_id:
            return located.entry.version_id
        if isinstance(parsed, FileReference):
            why = "has no version id of CivitAI in the catalog" if located.entry else "is in no catalog"
            raise NotInCatalog(f"{parsed.name} {why}.", path=str(self.store.folder))
        return (await self.resolve(reference)).version_id

    # --- what is on disk

    async def scan(
        self,
        folder: str = "",
        *,
        identified: bool = True,
        pause: Callable[[], bool] = never,
        cancelled: Callable[[], bool] = never,
        progress: Callable[[HashingProgress], None] = lambda _: None,
    ) -> Scanned:
        """Hash what is new, then ask CivitAI whose it is: 10,000 hashes a call, details in hundreds and only of what is
        new. `folder` is a key of ComfyUI, a path that one of them has, or a models root."""
        folders, whole = _chosen(folder, self.folders())

        def tell(told: HashingProgress) -> None:
            self.scanning = told
            progress(told)

        self.scanning = HashingProgress(0, 0, 0, 0)
        try:
            control = ScanControl(pause=pause, cancelled=cancelled, progress=tell)
            disk = await asyncio.to_thread(scan, self.index, folders, control, whole=whole)
        finally:
            self.scanning = None
        described: list[Ownership] = []
        trouble = ""
        if identified and not disk.stopped:
            try:
                await self._identify(described)
            except CivitaiError as error:
                trouble = str(error)
        return await asyncio.to_thread(self._counted, disk, tuple(described), trouble)

    async def _identify(self, described: list[Ownership]) -> None:
        """Ask whose the bytes are; each answer is kept as it comes."""
        for part in _parts(await asyncio.to_thread(self.index.unasked), 10_000):
            owners = await self.site.ids_by_hashes(part)
            told = [
                Ownership(sha, owners[sha].version_id, owners[sha].model_id) if sha in owners else Ownership(sha, 0)
                for sha in part
            ]
            await asyncio.to_thread(self.index.own, told)
        for part in _parts(await asyncio.to_thread(self.index.undescribed), 100):
            resources = await self.site.by_hashes(part)
            told = [_owned(sha, resource) for sha, resource in resources.items()]
            stated = {sha: file.hashes for sha, one in resources.items() for file in one.files if _has_hash(file, sha)}
            await asyncio.to_thread(self.index.state, stated)
            # A version without a usable file has no details (site-api §3.3); it is not asked for again and again.
            known = await asyncio.to_thread(self.index.owners)
            told += [replace(known[sha], about={"name": ""}) for sha in part if sha not in resources]
            await asyncio.to_thread(self.index.own, told)
            described += [one for one in told if one.about.get("name")]

    def _counted(self, disk: ScanReport, described: tuple[Ownership, ...], trouble: str) -> Scanned:
        every = {one.path: one for one in self.index.files().all}.values()
        known = [one for one in every if one.version_id]
        hashed = [Wanted(hashes=(one.sha256,), version_id=one.version_id or None) for one in every if one.sha256]
        catalogued = sum(located.entry is not None for located in self.catalogs.locate_all(hashed))
        return Scanned(disk, len(known), len(hashed) - len(known), catalogued, described, trouble)

    async def download(
        self,
        reference: str,
        *,
        directory: Path | None = None,
        from_graph: bool = False,
        allow_download: bool = True,
        progress: Callable[[DownloadProgress], None] = lambda _: None,
        cancelled: Callable[[], bool] = never,
    ) -> Downloaded:
        """Have a version's file on disk: where its entry says, else in the folder of its type, else in `directory`.
        What is here already is not loaded again. Raises DownloadTrouble and its kin with a sentence for each case."""
        parsed = self._read(reference)
        if directory is None and (here := await self._here(reference, Wanted.from_reference(parsed), progress)):
            return here
        if from_graph and (reason := forbidden_to_graphs(self.settings, reference, allow_download)):
            raise DownloadForbidden(reason)
        resource = await self.resolve(reference)
        file = choose_file(resource, _file_meant(resource, parsed))
        check_allowed(self.settings, file, from_graph=from_graph, allow_download=allow_download)
        if directory is not None:
            target = directory / _usable(file)
            landed = await self.downloads.load(
                resource.version_id, file, target, progress=progress, cancelled=cancelled
            )
            return _downloaded(resource, landed, Place("", "", str(target)), str(directory), ())
        if here := await self._here(reference, Wanted.from_resource(resource, file), progress, exactly=True):
            return here
        dest, place = await asyncio.to_thread(self._target, resource, file)
        landed = await self.downloads.load(
            resource.version_id, file, Path(place.path), progress=progress, cancelled=cancelled
        )
        notes = await asyncio.to_thread(self._settle, resource, file, dest, place, landed)
        return _downloaded(resource, landed, place, dest, notes)

    async def here(self, reference: str) -> Downloaded | None:
        """What `download` would find here without asking anybody; None where it would have to."""
        return await self._here(reference, Wanted.from_reference(self._read(reference)))

    async def _here(
        self,
        reference: str,
        wanted: Wanted,
        progress: Callable[[DownloadProgress], None] = lambda _: None,
        *,
        exactly: bool = False,
    ) -> Downloaded | None:
        """What is on disk already; `exactly` this file of the version where the version has several."""
        located = (await self._locate([wanted]))[0]
        place, entry = located.place, located.entry
        codes = {shade.code for shade in located.shades}
        if place is None or located.how == "name" or "ambiguous" in codes:
            return None
        if exactly and "other_file" in codes:
            return None
        if not exactly and (entry is None or located.how != "version id" or wanted.file_id or "other_file" in codes):
            return None
        if entry is not None and not await asyncio.to_thread(self._is_whole, place, entry, progress):
            return None
        return Downloaded(
            PRESENT,
            place.name if place.folder else "",
            place.path,
            entry.dest if entry else place.folder,
            (entry.name or entry.file) if entry else reference,
            (entry.version_id if entry else wanted.version_id) or 0,
            notes=tuple(shade.text for shade in located.shades),
        )

    def _is_whole(self, place: Place, entry: Entry, progress: Callable[[DownloadProgress], None]) -> bool:
        """Whether a file has its entry's bytes, as far as that says; one that no scan has hashed yet is hashed now."""
        if not entry.sha256:
            return True
        path = Path(place.path)
        try:
            size = path.stat().st_size
            if (known := self._known(place)) and known.size == size:
                return known.sha256 == entry.sha256
            progress(DownloadProgress(path.name, 0, size, f"{path.name} is here; reading whether it is whole"))
            taken = self.index.hashing.digest(path)
        except (FileTrouble, OSError):
            return False
        if place.folder:
            with contextlib.suppress(StateTrouble, FileTrouble):  # then it is read again the next time
                self.index.learn(place.folder, place.name, place.path, self.catalogs.rank(place), taken)
        return taken.sha256 == entry.sha256

    def _known(self, place: Place) -> ModelPath | None:
        """What the index knows of a file, if it has hashed it."""
        found = self.index.files().by_name.get((place.folder, place.name))
        return found if found is not None and found.sha256 and found.path == place.path else None

    def _is_free(self, dest: str, name: str, file: ModelFile) -> bool:
        """Whether nothing lies under a name, or this very file."""
        place = self.catalogs.lying(dest, name)
        return place is None or is_file(Path(place.path), file)

    def _target(self, resource: ModelVersion, file: ModelFile) -> tuple[str, Place]:
        """Where a file is to lie: where its own entry says, else in the folder of its type; under a name that nothing
        else there has."""
        entries = [entry for loaded in self.store.load_both() for entry in loaded.entries()]
        own = next((entry for entry in entries if is_entry_of(entry, resource, file)), None)
        dest = own.dest if own else place_of(resource, file)[1]
        names = [*([own.file] if own else []), *names_of(resource, file)]
        taken = {entry.file.casefold() for entry in entries if entry.dest == dest and entry is not own}
        for name in dict.fromkeys(names):
            if (own and name == own.file) or name.casefold() not in taken:
                place = self.catalogs.lying(dest, name) or self.catalogs.target(dest, name)
                if not os.path.lexists(place.path) or is_file(Path(place.path), file):
                    return dest, place
        raise BadInput(f"Every name for {file.name} is taken in {dest} by other files; move one of them away.")

    def _settle(
        self, resource: ModelVersion, file: ModelFile, dest: str, place: Place, landed: DownloadedFile
    ) -> tuple[str, ...]:
        """Tell index and catalog of a file that has arrived. It is there whatever they say, so their troubles are
        notes."""
        notes = [] if landed.verified else [f"CivitAI states no hash of {file.name} yet; only its size was checked."]
        try:
            rank, digests = self.catalogs.rank(place), _digests(file, landed, self.index.hashing.digest)
            self.index.learn(place.folder, place.name, place.path, rank, digests)
            owned = _owned(landed.sha256, resource)
            self.index.own([owned])
        except (StateTrouble, FileTrouble) as error:
            notes.append(f"The index of files was not told: {error}")
        try:
            add(self.store, resource, file_id=file.id or None, name=Path(place.path).name, dest=dest)
        except (CatalogTrouble, BadInput) as error:
            notes.append(f"It stands in no catalog: {error}")
        return tuple(notes)


def _key(entry: Entry) -> tuple[int | None, str, str]:
    """What makes entries of both catalogs the same one."""
    return entry.version_id, entry.dest, entry.file


def _names_bytes(wanted: Wanted) -> bool:
    return bool(wanted.version_id or wanted.hashes)


def _with_newest(wanted: Wanted, newest: Mapping[int, int | CivitaiError]) -> Wanted:
    if wanted.model_id is None or _names_bytes(wanted):
        return wanted
    told = newest.get(wanted.model_id)
    if isinstance(told, int):
        return replace(wanted, version_id=told)
    return wanted if told is None or isinstance(told, NotFound) else replace(wanted, trouble=str(told))


def _joined(wanted: Wanted, resource: ModelVersion | None) -> Wanted:
    """What was known, and what CivitAI adds to it; a hash that was named stays the one that is looked for."""
    if resource is None:
        return wanted
    file = next((one for one in resource.files if one.id == wanted.file_id), None) if wanted.file_id else None
    if file is None and wanted.hashes:
        file = next((one for one in resource.files if _has_hash(one, wanted.hashes[0])), None)
    told = Wanted.from_resource(resource, file)
    return replace(told, hashes=tuple(dict.fromkeys((*wanted.hashes, *told.hashes))), folder=wanted.folder)


def _has_hash(file: ModelFile, hash_: str) -> bool:
    """Of any kind; twelve digits may be the head of a whole SHA-256 (site-api §4)."""
    value = bare_hash(hash_)
    theirs = {one.lower() for one in file.hashes.values()}
    return value in theirs or (len(value) == 12 and value[:10] in theirs)


def _file_meant(resource: ModelVersion, reference: Reference) -> int | None:
    """The id of the file that a reference names; None = the primary one."""
    match reference:
        case AirReference(air):
            return air.file_id
        case VersionReference(_, file_id):
            return file_id
        case HashReference(hash_):
            file = next((one for one in resource.files if _has_hash(one, hash_)), None)
            return file.id if file is not None and file != resource.primary else None
    return None


# --- small things


def _chosen(folder: str, folders: Folders) -> tuple[Folders, bool]:
    """The folders that a scan is to read, and whether these are all of them."""
    if not folder:
        if not folders:
            raise BadInput("No model folder is known here: set CIVITAI_BRIDGE_MODELS, or name a folder.")
        return folders, True
    if folder in folders:
        return {folder: folders[folder]}, False
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise BadInput(f"{folder} is no folder, and no folder key of ComfyUI ({', '.join(sorted(folders)) or 'none'}).")
    inside = {
        key: roots for key, paths in folders.items() if (roots := [root for root in paths if _holds(Path(root), path)])
    }
    if inside:
        return inside, False
    below = {key: [root for root in roots if root.is_dir()] for key, roots in folders_below(path).items()}
    if not any(below.get(key) for key in ("checkpoints", "loras", "vae", "diffusion_models", "embeddings")):
        raise BadInput(f"{folder} is no model folder of ComfyUI and has none in it (checkpoints, loras, vae, …).")
    return {key: roots for key, roots in below.items() if roots}, not folders


def _holds(root: Path, path: Path) -> bool:
    root = root.absolute()
    return path == root or root in path.parents


def _parts(items: Sequence[T], most: int) -> Iterable[Sequence[T]]:
    return (items[start : start + most] for start in range(0, len(items), most))


def _owned(sha256: str, resource: ModelVersion) -> Ownership:
    about = {
        "name": resource.title,
        "base_model": resource.base_model,
        "type": resource.type,
        "air": resource.air,
    }
    return Ownership(sha256, resource.version_id, resource.model_id, about)


def _usable(file: ModelFile) -> str:
    name = safe_name(file.name)
    if not name:
        raise BadInput(f"{file.name!r} is no name for a file; CivitAI's file cannot be kept under it.")
    return name


def _downloaded(
    resource: ModelVersion, landed: DownloadedFile, place: Place, dest: str, notes: tuple[str, ...]
) -> Downloaded:
    return Downloaded(
        PRESENT if landed.was_there else DOWNLOADED,
        place.name if place.folder else "",
        str(landed.path),
        dest,
        resource.title,
        resource.version_id,
        landed.size,
        landed.sha256,
        notes,
    )


def _digests(file: ModelFile, landed: DownloadedFile, digest: Callable[[Path], Digests]) -> Digests:
    """The hashes of a verified file as CivitAI states them; it is read again only where it states too few."""
    stated = stated_hashes(file)
    if not landed.verified or "AUTOV1" not in stated or (is_safetensors(landed.path.name) and "AUTOV3" not in stated):
        return digest(landed.path)
    return Digests(
        size=landed.size,
        mtime_ns=landed.path.stat().st_mtime_ns,
        sha256=landed.sha256,
        autov1=stated["AUTOV1"],
        autov3=stated.get("AUTOV3", ""),
        blake3=stated.get("BLAKE3", ""),
        crc32=stated.get("CRC32", ""),
    )
