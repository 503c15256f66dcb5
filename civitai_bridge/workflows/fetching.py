"""What a workflow made, as bytes in memory: for pictures that are shown; keeping.py puts them into a folder."""

from __future__ import annotations

import asyncio

from ..errors import BlobBlocked, BlobUnavailable
from ..network.fetch import Fetch, Fetched
from ..orchestration.blob_ways import Refused, by_any_way
from ..orchestration.client import OrchestrationClient
from ..orchestration.timings import Timings
from ..pictures import check
from .outputs import Output


async def fetch_picture(client: OrchestrationClient, fetch: Fetch, output: Output, timings: Timings) -> Fetched:
    """The bytes of an image (at most 64 MB), decoded once to see that they are whole. `fetch` knows no key.

    Raises BlobBlocked where moderation withholds it by the workflow's word, else BlobUnavailable; both say why."""
    if output.is_withheld:
        raise BlobBlocked(f"It is withheld: {output.absence}.", blob_id=output.id)

    async def take(url: str) -> Fetched:
        answer = await fetch(url)
        await asyncio.to_thread(check, answer.content, blob_id=output.id)
        return answer

    fetched = await by_any_way(client, output.id, output.url if output.available else "", take, timings)
    if isinstance(fetched, Refused):
        raise BlobUnavailable(f"It cannot be had: {fetched.reason}.", blob_id=output.id)
    return fetched[0]
