"""Repeats what may be repeated. A submit never may: only its story knows what a second one would mean."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from ..errors import Unreachable
from .exchange import Request, Response, Send

_HARMLESS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_READING_POSTS = ("/refresh", "/model-versions/by-hash", "/model-versions/by-hash/ids")
LONGEST_PAUSE = 30.0


def may_repeat(request: Request) -> bool:
    """Reads, cancels (PUT) and deletes may; of the POSTs the refresh of a blob and the batches of hashes, which change
    nothing."""
    return request.method in _HARMLESS or (request.method == "POST" and request.path.endswith(_READING_POSTS))


def retrying(
    send: Send,
    *,
    attempts: int = 5,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    jitter: Callable[[], float] = random.random,
) -> Send:
    """A Send that repeats on no answer, 429 and 5xx, with exponential pauses, jitter and the service's
    `Retry-After`."""

    async def send_again(request: Request) -> Response:
        if not may_repeat(request):
            return await send(request)
        for attempt in range(1, attempts + 1):
            asked = ""
            try:
                response = await send(request)
            except Unreachable:
                if attempt == attempts:
                    raise
            else:
                if attempt == attempts or (response.status != 429 and response.status < 500):
                    return response
                asked = response.headers.get("retry-after", "")
            await (asyncio.sleep if sleep is None else sleep)(_pause(attempt, asked, jitter()))
        raise AssertionError("unreachable: the last attempt returns or raises")

    return send_again


def _pause(attempt: int, asked: str, chance: float) -> float:
    try:
        return min(LONGEST_PAUSE, max(0.0, float(asked)))
    except ValueError:
        return min(LONGEST_PAUSE, 0.5 * 2 ** (attempt - 1) * (1 + chance))
