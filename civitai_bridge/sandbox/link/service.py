"""Civitai Link in one place for the sandbox: its relay, and the browsers of the site that a script drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import files, models
from ..website import Website
from .browser import Browser
from .instances import Instances
from .relay import Relay
from .script import RelayScript


class LinkService:
    """`relay` and `browsers` (by instance) of one sandbox. `folder` keeps the instances for the next sandbox."""

    def __init__(self, site: Website, *, port: int = 0, folder: Path | None = None) -> None:
        self.script = RelayScript()
        self.relay = Relay(Instances(folder), self.script, port=port)
        self.browsers: dict[int, Browser] = {}
        self._site = site

    async def start(self) -> str:
        """Open the relay's port. Returns its address. Raises BadSetting."""
        await self.relay.start()
        return self.relay.url

    async def stop(self) -> None:
        """Close browsers and relay."""
        for browser in self.browsers.values():
            await browser.close()
        await self.relay.stop()

    async def browse(self, instance: int | None = None, **options: Any) -> Browser:
        """A browser in the room of an instance, or of a new one whose code it holds then."""
        browser = Browser(self.relay.url, **options)
        await (browser.pair() if instance is None else browser.open(instance))
        self.browsers[browser.instance] = browser
        return browser

    def resource(self, version_id: int, place: int = 0) -> dict[str, Any]:
        """The resource that the site's button sends for a file of a version: hash in capitals, a signed address."""
        version = models.VERSIONS[version_id]
        file = version.files[place]
        return {
            "type": version.type,
            "hash": files.fast_hashes(file)["SHA256"],
            "name": models.shown_name(version, file),
            "modelName": version.model,
            "modelVersionName": version.name,
            "url": self._site.storage.address(version, file),
        }
