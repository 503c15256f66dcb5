"""One reader for everybody who wants to know what made a picture: nodes, command line and routes."""

from __future__ import annotations

import os

from ..resources.addresses import SITE_HOSTS
from .client import SiteClient
from .image_data import ImageData, fetch_image_data, read_file_data
from .images import ImageClient
from .lookup import Lookups


class Reader:
    """Remembers what CivitAI answered for some minutes, so that a second look asks nothing."""

    def __init__(self, site: SiteClient, images: ImageClient, *, hosts: frozenset[str] = SITE_HOSTS) -> None:
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
