"""The pack as the nodes of this process share it: one App, and the little that outlives a node."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import logging
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...civitai_bridge.errors import BadSetting, CivitaiError
from ...civitai_bridge.model_files.atomic import reason
from ...civitai_bridge.network.background import background_loop
from ...civitai_bridge.settings import Settings
from . import folders
from .watch import ModelWatch

if TYPE_CHECKING:
    from ...civitai_bridge.app import App
    from ...civitai_bridge.catalog.service import CatalogService
    from ...civitai_bridge.link.runner import LinkRunner
    from ...civitai_bridge.orchestration.fleet import Fleet
    from .interrupt import NodeRun

log = logging.getLogger(__name__)
_LISTS_REMEMBERED = 200  # of LoRAs that were applied
_WORKS_REMEMBERED = 2000  # workflows, jobs and blobs that a node looked at


class Services:
    """The App of this ComfyUI, and what its nodes remember. Coroutines are awaited on the background loop alone."""

    def __init__(self) -> None:
        self.leaving: dict[NodeRun, concurrent.futures.Future[Any]] = {}  # torn down, their stories not ended yet
        self.unanswered = 0  # look-ups that nobody answered; in a fingerprint it makes ComfyUI ask again
        self.watches: dict[Path, ModelWatch] = {}  # by state folder, as the index of files is
        self._accounts: list[str] = []
        self._applied: dict[str, tuple[str, ...]] = {}
        self._works: dict[tuple[int, str], bool] = {}
        self.fetching = asyncio.Semaphore(4)  # works whose pictures are fetched at once; a list may run hundreds
        self._seen: weakref.WeakSet[Fleet] = weakref.WeakSet()

    @functools.cached_property
    def app(self) -> App:
        """The pack; loaded with the first node that runs."""
        from ...civitai_bridge.app import App, ModelFolders

        return App(
            background_loop().network,
            load=load_server_settings,
            folders=lambda _: ModelFolders(folders.model_folders, folders.models_root()),
        )

    @functools.cached_property
    def link(self) -> LinkRunner:
        """CivitAI Link in this server; nothing runs before there is a pairing."""
        from ...civitai_bridge.link.runner import LinkRunner
        from .link import open_agent

        return LinkRunner(load_server_settings, lambda: open_agent(self.app, self.catalog))

    @property
    def is_linked(self) -> bool:
        """Whether anybody has asked for the link in this process."""
        return "link" in self.__dict__

    async def fleet(self) -> Fleet:
        """The Fleet for the settings as they are now. The first time, what was left open is looked after: pictures
        that are there are fetched, nothing is ordered."""
        fleet = await self.app.fleet()
        if fleet not in self._seen:
            self._seen.add(fleet)
            fleet.take_care()
        return fleet

    async def catalog(self) -> CatalogService:
        """The catalogs; the model files are hashed in the background as they come. The first time, it is written down
        for the command line where they are."""
        catalog = await self.app.catalog()
        home = catalog.settings.home
        if home not in self.watches:
            self.watches[home] = ModelWatch(self.app)
            if not catalog.settings.sandbox:
                await asyncio.to_thread(_note_folders, home)
        await self.watches[home].look(catalog)
        return catalog

    def account(self) -> int:
        """A number for the key and address that the settings name now, for what hangs on who asks. It tells nothing
        about the key: ComfyUI writes fingerprints into the graph that pictures carry."""
        try:
            settings = load_server_settings()
        except CivitaiError:
            return -1
        name = f"{settings.account} {settings.site_url} {settings.sandbox}"
        if name not in self._accounts:
            self._accounts.append(name)
        return self._accounts.index(name)

    def note_applied(self, loras: Any, files: Sequence[str]) -> None:
        """Remember which files the LoRAs of a list were applied from, `""` for one that was not applied."""
        self._applied[_as_key(loras)] = tuple(files)
        while len(self._applied) > _LISTS_REMEMBERED:
            del self._applied[next(iter(self._applied))]

    def applied(self, loras: Any) -> tuple[str, ...] | None:
        """The files from which Apply LoRAs really applied a list in this server, `""` for a LoRA that it did not apply;
        None when it never saw the list."""
        return self._applied.get(_as_key(loras))

    def note_work(self, name: str, is_final: bool) -> None:
        """Remember of a workflow, job or blob of this account whether what came of it can change no more."""
        self._works[self.account(), name] = is_final
        while len(self._works) > _WORKS_REMEMBERED:
            del self._works[next(iter(self._works))]

    def is_final(self, name: str) -> bool | None:
        """What was noted of a workflow, job or blob of this account; None for one that nobody looked at yet."""
        return self._works.get((self.account(), name))


@functools.cache
def services() -> Services:
    """The one of this process; nothing else in `nodes/` remembers anything."""
    return Services()


def load_server_settings() -> Settings:
    """The settings of this server, as they are in its `server_home`. Raises BadSetting."""
    from ...civitai_bridge.settings import load_settings

    return load_settings(home=server_home())


def server_home() -> Path:
    """The state folder of this server: CIVITAI_BRIDGE_HOME, else ComfyUI's system user directory, which is noted for
    the command line. Raises BadSetting."""
    from ...civitai_bridge.settings import note_state_folder, state_folder

    if os.environ.get("CIVITAI_BRIDGE_HOME"):
        return state_folder(os.environ)
    home = folders.state_folder()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadSetting(f"The state folder {home} cannot be made: {reason(error)}.") from error
    try:
        note_state_folder(home)
    except CivitaiError as error:
        log.warning("The command line will not find this server's state folder: %s", error)
    return home


def _note_folders(home: Path) -> None:
    from ...civitai_bridge.model_files.folders import note_folders

    try:
        note_folders(home, folders.model_folders(), folders.models_root())
    except (CivitaiError, OSError) as error:
        log.warning("The command line will not know where the models are: %s", error)


def _as_key(loras: Any) -> str:
    return json.dumps(list(loras or ()), sort_keys=True, default=str)
