"""The model files, looked at in the background while somebody asks about them."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...civitai_bridge.errors import CivitaiError
from ...civitai_bridge.network.background import background_loop
from . import comfyui, folders

if TYPE_CHECKING:
    from ...civitai_bridge.app import App
    from ...civitai_bridge.catalog.service import CatalogService
    from ...civitai_bridge.model_files.progress import HashingProgress

log = logging.getLogger(__name__)


class ModelWatch:
    """Starts a scan at first, when ComfyUI lists other files than before, when a look-up wanted another kind of hash,
    and after a while, for a file may have other bytes under its old name. Used on the background loop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._seen: object = None
        self._looked = self._began = -math.inf
        self.is_running = False

    async def look(self, catalog: CatalogService) -> None:
        """Start a scan where one is due; it goes on by itself."""
        now, tuning = time.monotonic(), self._app.tuning
        if self.is_running or now - self._looked < tuning.look_every:
            return
        self._looked, self.is_running = now, True
        try:
            seen = await asyncio.to_thread(_listing, catalog)
        except Exception as error:  # other packs replace core's lists, and who asks for the catalog is to have it
            log.warning("Whether model files have come or gone cannot be seen: %r", error)
            seen = self._seen
        finally:
            self.is_running = False
        if seen != self._seen or now - self._began >= tuning.scan_every:
            self._seen, self._began, self.is_running = seen, now, True
            background_loop().start(self._scan(catalog))

    async def _scan(self, catalog: CatalogService) -> None:
        try:
            await _scan(catalog)
        finally:
            self.is_running = False


def _listing(catalog: CatalogService) -> object:
    """What makes a scan due when it changes."""
    return {key: folders.listing_of(key) for key in folders.model_folders()}, catalog.index.required()


async def _scan(catalog: CatalogService) -> None:
    """Know the model files by their hashes; while a prompt runs, half the cores are left to it."""
    try:
        scanned = await catalog.scan(pause=comfyui.is_generating, progress=log_tenths())
    except CivitaiError as error:
        log.warning("The model files could not all be looked at: %s", error)
    except Exception:  # nobody waits for it who could say it
        log.exception("The model files could not be looked at.")
    else:
        disk = scanned.disk
        is_news = disk.hashed or disk.moved or disk.gone or disk.troubles or scanned.described or scanned.trouble
        log.log(logging.INFO if is_news else logging.DEBUG, "%s", scanned.report)


def log_tenths() -> Callable[[HashingProgress], None]:
    """Logs each tenth of the bytes that are hashed; called from several threads."""
    lock, logged = threading.Lock(), 0

    def tell(progress: HashingProgress) -> None:
        nonlocal logged
        with lock:
            tenth = progress.bytes * 10 // max(1, progress.of_bytes)
            if tenth <= logged:
                return
            logged = tenth
        log.info("%d %% of the bytes; %s", tenth * 10, progress.sentence)

    return tell
