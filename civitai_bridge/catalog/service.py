"""Where nodes, command line and routes ask: check, add, promote, remove, map, list, scan and download, once each.

Every answer is a frozen value with `as_json()` (snake_case) and `report` (sentences for a person). What reads or writes
files is done in threads, so that no loop waits for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CivitaiError, NotInCatalog
from ..model_files.download import Downloads
from ..model_files.folders import Folders
from ..model_files.index import HashIndex
from ..model_files.progress import DownloadProgress, HashingProgress, ScanControl, never
from ..model_files.scan import scan
from ..network.fetch import Fetch
from ..resources.addresses import hosts_with
from ..resources.reference import FileReference, read_reference
from ..resources.version import ModelFile, ModelVersion, VersionImage
from ..settings import Settings
from ..website import Lookups, SiteClient, resolve
from .add import add
from .answers import ALREADY, Added, Checked, Downloaded, DownloadedFiles, Promoted, Scanned
from .check import Asking, check
from .identify import ask_owners, chosen_folders, count_known
from .obtain import Library, Permission, Watch, file_meant, find_here, is_free, obtain, obtain_all, obtain_file
from .promote import promote
from .query import Query, Question, questions_from
from .remove import meant_entries, remove
from .state import Catalogs, list_entries, map_entries
from .store import CatalogStore


class CatalogService:
    """`folders` gives ComfyUI's folder keys with their paths, again each time; `models_root` is where a `dest` that is
    no key begins; `fetch` gets the pictures that are written beside downloads."""

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
        fetch: Fetch | None = None,
    ) -> None:
        self.settings = settings
        self.site = site
        self.index = index or HashIndex(settings.home / "hashes.sqlite3")
        self.store = store or CatalogStore(settings.catalog_place)
        self.catalogs = Catalogs(self.store, self.index, folders, models_root)
        self.lookups = lookups or Lookups()
        self.scanning: HashingProgress | None = None  # how far the scan is that runs now
        self.library = Library(settings, self.catalogs, self.index, downloads, fetch)
        self._hosts = hosts_with(settings.site_url)

    def close(self) -> None:
        """Let go of the index's file."""
        self.index.close()

    async def resolve(self, text: str) -> ModelVersion:
        """The version that a reference means, as CivitAI knows it."""
        return await resolve(self.site, text, hosts=self._hosts)

    async def check(self, asked: object, *, ask: bool = True) -> Checked:
        """The status of everything that is named: text with one reference a line, an AIR, a list of LoRAs, or
        GenerationData. CivitAI is asked only about what the catalogs do not know, and not at all without `ask`."""
        return await self.check_each(questions_from(asked, self._hosts), ask=ask)

    async def check_each(self, questions: Sequence[Question], *, ask: bool = True) -> Checked:
        """The same for questions that are put together already, in their order."""
        asking = Asking(self.site, self.lookups) if ask else None
        return await check(self.catalogs, self.index, asking, questions, self.scanning)

    async def map(self) -> dict[str, Any]:
        """All entries by version and by model."""
        return await asyncio.to_thread(lambda: map_entries(self.catalogs.whole_snapshot()))

    async def list(self) -> list[dict[str, Any]]:
        """Every entry of both catalogs with its status."""
        return await asyncio.to_thread(lambda: list_entries(self.catalogs.whole_snapshot()))

    async def add(self, text: str) -> Added:
        """Put a version into models.json without downloading it. What is there already needs no question."""
        reference = read_reference(text, hosts=self._hosts)
        query = Query.from_reference(reference)
        if query.version_id and query.file_id is None:
            located = await asyncio.to_thread(self.catalogs.locate, query)
            if located.entry is not None and located.how == "version id":
                return Added(ALREADY, file=located.entry.file)
        version = await self.resolve(text)
        file_id = file_meant(version, reference)

        def add_it() -> Added:
            return add(
                self.store,
                version,
                file_id=file_id,
                is_free=lambda dest, name, file: is_free(self.catalogs, dest, name, file),
            )

        return await asyncio.to_thread(add_it)

    async def promote(self, text: str) -> Promoted:
        """Move a LoRA's entry to loras.json."""
        return await asyncio.to_thread(promote, self.store, await self._version_id(text))

    async def remove(self, text: str) -> Added:
        """Take entries out of the catalogs whose files are not on disk: those of a version, or the one that a file id,
        a hash or a file name means."""
        is_meant, name = await meant_entries(self.catalogs, text, self._hosts, self.resolve)
        return await asyncio.to_thread(remove, self.catalogs, is_meant, name)

    async def _version_id(self, text: str) -> int:
        """The version of a reference; by the catalogs alone where they know it."""
        reference = read_reference(text, hosts=self._hosts)
        query = Query.from_reference(reference)
        if query.version_id:
            return query.version_id
        entry = (await asyncio.to_thread(self.catalogs.locate, query)).entry
        if entry is not None and entry.version_id:
            return entry.version_id
        if isinstance(reference, FileReference):
            why = "has no version id of CivitAI in the catalog" if entry else "is in no catalog"
            raise NotInCatalog(f"{reference.name} {why}.", path=str(self.store.folder))
        return (await self.resolve(text)).version_id

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
        folders, whole = chosen_folders(folder, self.catalogs.folders.folders)

        def tell(scanning: HashingProgress) -> None:
            self.scanning = scanning
            progress(scanning)

        self.scanning = HashingProgress(0, 0, 0, 0)
        try:
            control = ScanControl(pause=pause, cancelled=cancelled, progress=tell)
            disk = await asyncio.to_thread(scan, self.index, folders, control, whole=whole)
        finally:
            self.scanning = None
        described, trouble = [], ""
        if identified and not disk.stopped:
            try:
                async for owner in ask_owners(self.site, self.index):
                    described.append(owner)
            except CivitaiError as error:
                trouble = str(error)
        return await asyncio.to_thread(count_known, self.catalogs, self.index, disk, described, trouble)

    async def download(
        self,
        text: str,
        *,
        directory: Path | None = None,
        from_graph: bool = False,
        allow_download: bool = True,
        progress: Callable[[DownloadProgress], None] = lambda _: None,
        cancelled: Callable[[], bool] = never,
    ) -> Downloaded:
        """Have a version's file on disk: where its entry says, else in the folder of its type, else in `directory`.
        What is here already is not loaded again. Raises DownloadTrouble and its kin with a sentence for each case."""
        return await obtain(
            self.library,
            text,
            read_reference(text, hosts=self._hosts),
            lambda: self.resolve(text),
            directory=directory,
            permission=Permission(from_graph, allow_download),
            watch=Watch(progress, cancelled),
        )

    async def download_all(
        self,
        text: str,
        *,
        directory: Path | None = None,
        from_graph: bool = False,
        allow_download: bool = True,
        progress: Callable[[DownloadProgress], None] = lambda _: None,
        cancelled: Callable[[], bool] = never,
    ) -> DownloadedFiles:
        """As `download`, every file of the version that ComfyUI has a folder for."""
        files = await obtain_all(
            self.library,
            text,
            lambda: self.resolve(text),
            directory=directory,
            permission=Permission(from_graph, allow_download),
            watch=Watch(progress, cancelled),
        )
        return DownloadedFiles(tuple(files))

    async def on_disk(self, text: str) -> Downloaded | None:
        """What `download` would have without asking anybody; None where it would have to."""
        return await find_here(self.library, text, read_reference(text, hosts=self._hosts))


async def download_file(
    catalog: CatalogService,
    version: ModelVersion,
    file: ModelFile,
    *,
    preview: VersionImage | None = None,
    progress: Callable[[DownloadProgress], None] = lambda _: None,
    cancelled: Callable[[], bool] = never,
) -> Downloaded:
    """As `CatalogService.download`, one file of a version that was looked up; `preview` is shown beside it in place of
    the creator's pictures."""
    library = replace(catalog.library, preview=preview)
    watch = Watch(progress, cancelled)
    return await obtain_file(library, version, file, directory=None, permission=Permission(), watch=watch)
