"""The second seam, for bytes: an address that the service, a page or a graph named -> a capped buffer, hashed on the
way.

This is the only place that follows such an address. https only (or a loopback origin that was configured), public
addresses only (checked when the connection is made, so that no name can change its mind), redirects by hand, never a
credential.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from ..errors import BlobBlocked, BlobDamaged, BlobUnavailable, Unreachable
from .addresses import may_be_public

CAP = 64 * 1024 * 1024  # the site's own limit for an upload; no picture of any variant comes near it
LARGEST_DRAINED = 64 * 1024
MOST_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Fetched:
    """The bytes and their SHA-256 (64 lower-case hex). The address is not kept: it is signed."""

    content: bytes = field(repr=False)
    sha256: str
    content_type: str
    url_host: str


Fetch = Callable[..., Awaitable[Fetched]]


@dataclass(frozen=True)
class Opened:
    """An answer whose body has not been read: what a transport must give."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


Open = Callable[[str, float], AbstractAsyncContextManager[Opened]]
OpenWith = Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[Opened]]  # address, headers
OpenFile = Callable[[str, Mapping[str, str]], AbstractAsyncContextManager["tuple[Opened, str]"]]


def check_address(url: str, loopback: frozenset[str]) -> None:
    """Refuse what may not be followed: BlobUnavailable names the host, never the query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BlobUnavailable("The service named an address that cannot be read.") from error
    if f"{parts.scheme}://{host}:{port}" in loopback:
        return
    if parts.scheme != "https" or not host or parts.username or parts.password:
        raise BlobUnavailable(
            f"The service named an address that is not https ({parts.scheme or 'none'}://{host}); it is not followed."
        )
    if not may_be_public(host):
        raise BlobUnavailable(f"The service named an address inside a private network ({host}); it is not followed.")


def check_placeholder(url: str) -> None:
    """Raises BlobBlocked for the address of moderation's placeholder."""
    if "/blobs/blocked/" in urlsplit(url).path:
        raise BlobBlocked("The picture is withheld by CivitAI's moderation.")


def expect_content(status: int, url: str, what: str = "the picture") -> None:
    """Raises Unreachable (trouble on their side) or BlobUnavailable (refused, gone) for any status but 200."""
    host = urlsplit(url).hostname or ""
    if status >= 500 or status == 429:
        raise Unreachable(f"{host} has trouble giving {what} (HTTP {status}).")
    if status != 200:
        raise BlobUnavailable(f"{host} does not give {what} (HTTP {status}).")


async def fetch(
    open_: Open,
    url: str,
    *,
    loopback: frozenset[str] = frozenset(),
    cap: int = CAP,
    timeout: float = 120.0,
    is_allowed: Callable[[str], bool] = lambda _: True,
) -> Fetched:
    """Get the bytes of an address. `loopback` holds allowed origins as `http://127.0.0.1:port`; `timeout` is in
    seconds a hop; of every address on the way `is_allowed` is asked too.

    Raises BlobBlocked (moderation's placeholder), BlobUnavailable (refused, gone: ask for a fresh address), BlobDamaged
    (cut off, too large), Unreachable (no answer)."""
    for _ in range(MOST_REDIRECTS + 1):
        check_address(url, loopback)
        host = urlsplit(url).hostname or ""
        if not is_allowed(url):
            raise BlobUnavailable(f"{host} is not asked for this picture.")
        check_placeholder(url)
        async with open_(url, timeout) as answer:
            if answer.status != 200:
                await _drain(answer)
            if answer.status in _REDIRECTS:
                location = answer.headers.get("location", "")
                if not location:
                    raise BlobUnavailable(f"{host} redirected the picture to nowhere.")
                url = _onward(url, location)
                continue
            expect_content(answer.status, url)
            content = await _read(answer, host, cap)
            return Fetched(content, hashlib.sha256(content).hexdigest(), answer.headers.get("content-type", ""), host)
    raise BlobUnavailable(f"The picture's address redirects more than {MOST_REDIRECTS} times.")


@asynccontextmanager
async def open_file(
    open_: OpenWith, url: str, headers: Mapping[str, str], *, loopback: frozenset[str] = frozenset()
) -> AsyncIterator[tuple[Opened, str]]:
    """The answer of an address by the same rules, and the address it came from; its body and status are the caller's.
    `headers` hold a range, never a credential. Raises BlobUnavailable for an address that is not followed."""
    for _ in range(MOST_REDIRECTS + 1):
        check_address(url, loopback)
        async with open_(url, headers) as answer:
            location = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or not location:
                yield answer, url
                return
            await _drain(answer)
        url = _onward(url, location)
    raise BlobUnavailable(f"The address redirects more than {MOST_REDIRECTS} times.")


def _onward(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise BlobUnavailable(f"{urlsplit(url).hostname} redirected the picture to no address.") from error


async def _drain(answer: Opened) -> None:
    """Read what nobody needs to its end, if that is near: a connection left in the middle of an answer is lost."""
    size = 0
    async for chunk in answer.chunks:
        size += len(chunk)
        if size > LARGEST_DRAINED:
            return


async def _read(answer: Opened, host: str, cap: int) -> bytes:
    length = answer.headers.get("content-length", "")
    expected = int(length) if length.isdigit() and "content-encoding" not in answer.headers else None
    if expected is not None and expected > cap:
        raise BlobDamaged(f"{host} sends {expected} bytes for one picture, more than {cap} are taken.")
    parts, size = [], 0
    async for chunk in answer.chunks:
        size += len(chunk)
        if size > cap:
            raise BlobDamaged(f"{host} sends more than {cap} bytes for one picture.")
        parts.append(chunk)
    if expected is not None and size != expected:
        raise BlobDamaged(f"The picture arrived cut off after {size} of {expected} bytes.")
    return b"".join(parts)
