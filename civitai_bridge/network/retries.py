"""Repeats what may be repeated. A submit never may: only its story knows what a second one would mean."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from ..errors import Unreachable
from .exchange import Request, Response, Send, retry_after
from .hosts import SHORT_PAUSE
from .notices import tell

_HARMLESS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_READING_POSTS = ("/refresh", "/model-versions/by-hash", "/model-versions/by-hash/ids")


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
    """A Send that repeats on no answer, 429 and 5xx, with exponential pauses, jitter and the service's `Retry-After`.

    A look-up that finds no host is repeated once, and not at all once the host counts as down: whoever asks next is not
    to wait for it again. A pause of more than
    half a minute that the service asks for is not sat out here; the answer says so."""

    async def send_again(request: Request) -> Response:
        if not may_repeat(request):
            return await send(request)
        for attempt in range(1, attempts + 1):
            asked = None
            try:
                response = await send(request)
            except Unreachable as error:
                useless = not error.again or (attempt > 1 and not error.sent)
                if attempt == attempts or (useless and not request.of_order):
                    raise
                tell(f"{error} Trying again.")
            else:
                asked = retry_after(response)
                trouble = response.status == 429 or response.status >= 500
                if attempt == attempts or not trouble or (asked or 0) > SHORT_PAUSE:
                    return response
                tell("CivitAI asks for a pause" if response.status == 429 else "CivitAI has trouble; trying again")
            await (asyncio.sleep if sleep is None else sleep)(_pause(attempt, asked, jitter()))
        raise AssertionError("unreachable: the last attempt returns or raises")

    return send_again


def _pause(attempt: int, asked: float | None, chance: float) -> float:
    """Seconds before the next attempt: what the service asks for, else 0.5, 1, 2, … and up to as much again."""
    return min(SHORT_PAUSE, 0.5 * 2 ** (attempt - 1) * (1 + chance)) if asked is None else asked
