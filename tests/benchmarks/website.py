"""Rows of `make bench` about the site: from an image's address to its resources.

(Not called site.py: this folder is first on sys.path when the bench runs, and the standard library has that name.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from civitai_bridge.network.client import HttpClient
from civitai_bridge.network.exchange import Request, Response, Send
from civitai_bridge.network.retries import retrying
from civitai_bridge.resources.reference import ImageReference, read_image_reference
from civitai_bridge.sandbox import Sandbox
from civitai_bridge.website import GenerationPayload, ImageClient, Lookups, SiteClient, identify

ROUND_TRIP = 0.05
ADDRESS = "https://civitai.com/images/900011"  # ten resources by version, ten by a short hash, one of them Forge's


class Counted:
    """A Send that remembers when each of its requests began and ended."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.spans: list[tuple[float, float]] = []

    async def __call__(self, request: Request) -> Response:
        start = time.perf_counter()
        try:
            return await self._send(request)
        finally:
            self.spans.append((start, time.perf_counter()))


async def looking_up(row: Callable[..., None]) -> None:
    """An image address -> its data and every resource that only a short hash names, with 50 ms for each answer."""
    async with Sandbox() as sandbox, HttpClient() as network:
        public = Counted(network.send_to(sandbox.site_url))
        keyed = Counted(network.send_to(sandbox.site_url, "bench"))
        client = ImageClient(retrying(public), retrying(keyed))
        site = SiteClient(retrying(public))

        async def look(lookups: Lookups) -> tuple[int, float]:
            reference = read_image_reference(ADDRESS)
            assert isinstance(reference, ImageReference)
            start = time.perf_counter()
            payload = await lookups.image(client, reference.image_id)
            assert isinstance(payload, GenerationPayload) and payload.meta and len(payload.resources) == 10
            hashes: dict[str, Any] = payload.meta["hashes"]
            found = await identify(site, hashes.values(), lookups)
            assert not found.unknown and len({resource.version_id for resource in found.values() if resource}) == 10
            return len(hashes), time.perf_counter() - start

        await look(Lookups())  # the sandbox makes its files, connections are opened
        sandbox.site.delay = ROUND_TRIP
        public.spans.clear()
        keyed.spans.clear()
        lookups = Lookups()
        unresolved, seconds = await look(lookups)
        spans = public.spans + keyed.spans
        asked = len(spans)
        row("questions for an image of 20 resources, 10 by short hash", asked, f"<= {unresolved} + 2",
            asked <= unresolved + 2, "sandbox on loopback; one hash of 12 digits takes two")  # fmt: skip
        row("… round trips of 50 ms", seconds / ROUND_TRIP, "<= 5", seconds / ROUND_TRIP <= 5,
            f"wall time / 50 ms, {seconds * 1000:.0f} ms")  # fmt: skip
        _, again = await look(lookups)
        more = len(public.spans + keyed.spans) - asked
        row("… questions of a second run", more, "0", more == 0, f"{again * 1000:.2f} ms")
