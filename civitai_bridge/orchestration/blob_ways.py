"""The ways to the bytes of a blob: its signed address, a fresh one, its id with the key (its redirect without it).

Signed addresses may be refused, moved or led to moderation's placeholder where the id still works, and any of them may
give damaged bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from ..errors import ApiError, BlobBlocked, BlobTrouble
from .client import OrchestrationClient
from .timings import Timings, pause_before
from .watch import NO_ANSWER

T = TypeVar("T")


@dataclass(frozen=True)
class Refused:
    """Why a blob cannot be had now, as part of a sentence; `final` = CivitAI answered, and the answer was no."""

    reason: str
    final: bool


async def by_any_way(
    client: OrchestrationClient,
    blob_id: str,
    signed: str,
    take: Callable[[str], Awaitable[T]],
    timings: Timings,
) -> tuple[T, str] | Refused:
    """What `take` makes of the first address that works, and that address. `signed` is the one that the workflow names
    (`""` = none), `blob_id` may be `""` where there is only that. `take` fetches an address without any credential, and
    raises BlobTrouble, Unreachable or ApiError for one that is of no use."""
    ways: list[Callable[[str], Awaitable[str]]] = [client.refreshed_url, client.refreshed_url, client.blob_url]
    reason, final = "CivitAI gives no address for it", True
    for attempt, way in enumerate(ways, 1):
        try:
            url = signed if attempt == 1 and signed else await way(blob_id) if blob_id else signed
            if url:
                return await take(url), url
        except NO_ANSWER as error:
            reason, final = str(error).rstrip("."), False
        except BlobBlocked:
            reason = "CivitAI's moderation withholds it for now"
        except (BlobTrouble, ApiError) as error:
            reason = str(error).rstrip(".")
        if attempt < len(ways):
            await timings.sleep(pause_before(attempt, None))
    return Refused(reason, final)
