"""The list of model files as the room gets it: when it asks, and whenever something in it changed."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import CivitaiError
from ..model_files.index import HashIndex
from .aside import Aside
from .command import LinkServices
from .listing import Listed, list_files
from .loading import Loading
from .outbox import Outbox
from .timings import LinkTimings, iso_time

log = logging.getLogger(__name__)


class Lists:
    """Used on one loop. `open_services` gives the index, as the settings are now."""

    def __init__(
        self, open_services: Callable[[], Awaitable[LinkServices]], outbox: Outbox, aside: Aside, timings: LinkTimings
    ) -> None:
        self.loading = Loading(self.changed)
        self._open_services, self._outbox, self._aside, self._timings = open_services, outbox, aside, timings
        self._sending: asyncio.Task[None] | None = None
        self._index: HashIndex | None = None  # as a list was made from it last, and what was in it
        self._files: object = None

    async def current(self, types: tuple[str, ...] = ()) -> Listed:
        """What is here. Raises BadSetting, StateTrouble."""
        index = (await self._open_services()).catalog.index
        loading = self.loading.now

        def make() -> tuple[Listed, object]:
            files = index.files()
            return list_files(files.all, loading, types), files

        listed, self._files = await self._aside(make)
        self._index = index
        if listed.left_out:
            log.info("The list for CivitAI Link had no room for %d files that were not used lately.", listed.left_out)
        return listed

    def changed(self) -> None:
        """Send the list in a moment: something in it changed."""
        if self._sending is None or self._sending.done():
            self._sending = asyncio.ensure_future(self._send())

    async def look(self, *, at_folders: bool) -> None:
        """Send the list where the index changed since the last one: by a scan, a download of another program. With
        `at_folders` whoever keeps the index is asked first to look at the folders, which costs more."""
        if self._index is None:
            return  # nobody has seen one yet
        try:
            if at_folders:
                await self._open_services()
            if await self._aside(self._index.files) is not self._files:
                self.changed()
        except CivitaiError as error:
            log.debug("Whether the model files changed cannot be seen: %s", error)

    async def _send(self) -> None:
        await asyncio.sleep(self._timings.settle)
        self._sending = None  # what changes from here on makes another one
        try:
            listed = await self.current()
        except CivitaiError as error:
            log.warning("The list for CivitAI Link could not be made: %s", error)
            return
        self._outbox.push(list_status({"type": "resources:list", "id": uuid.uuid4().hex}, listed, self._timings))

    async def close(self) -> None:
        """Send nothing any more."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)


def list_status(envelope: dict[str, Any], listed: Listed, timings: LinkTimings) -> dict[str, Any]:
    """A `resources:list` as the wire has it."""
    return {**envelope, "status": "success", "updatedAt": iso_time(timings), "resources": listed.entries}
