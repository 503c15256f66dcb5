"""One reader for everybody who wants to know what made a picture: nodes, command line and routes."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from ..network.retries import retrying
from ..resources.reference import HOSTS
from ..settings import Settings
from .client import SiteClient
from .image_data import ImageData, fetch_image_data, read_file_data
from .images import ImageClient
from .lookup import Lookups


class Reader:
    """Remembers what CivitAI answered for some minutes, so that a second look asks nothing."""

    def __init__(self, site: SiteClient, images: ImageClient, *, hosts: frozenset[str] = HOSTS) -> None:
        self._site = site
        self._images = images
        self._hosts = hosts
        self.lookups = Lookups()

    async def image(self, reference: str) -> ImageData:
        """What CivitAI knows of an image: by its id, its address, or its post's. Raises as `fetch_image_data` does."""
        return await fetch_image_data(reference, self._images, self._site, self.lookups, hosts=self._hosts)

    async def file(self, source: bytes | str | os.PathLike[str], *, look_up: bool = True) -> ImageData:
        """What a picture file says; with `look_up`, CivitAI is asked whose the hashes in it are. Raises OSError."""
        return await read_file_data(source, self._site if look_up else None, self.lookups)


def connect_reader(settings: Settings, network: Any) -> Reader:
    """A Reader on a `Network` of this loop. The public list is asked without the key, so that a wrong one cannot hide
    what everybody may see."""
    public = retrying(network.send_to(settings.site_url))
    keyed = retrying(network.send_to(settings.site_url, settings.key)) if settings.key else None
    # Addresses of the configured site are references too; it is the person's choice, no graph's.
    hosts = HOSTS | {(urlsplit(settings.site_url).hostname or "").lower()}
    return Reader(SiteClient(keyed or public), ImageClient(public, keyed), hosts=hosts)
