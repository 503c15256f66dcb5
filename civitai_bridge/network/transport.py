"""Connections: httpcore's pools behind httpx, on a network backend of ours that looks where it arrives.

Imports httpx and httpcore, which takes 40-60 ms; `client` imports this module when the first connection is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import httpcore
import httpx

from .addresses import is_public, is_stand_in, may_stand_in
from .proxies import proxy_for

READ_AT_ONCE = 256 * 1024  # bytes: what asyncio takes from a socket in one go
IDLE_SECONDS = 3.0  # for which an idle connection is kept; servers close theirs after some more
FRESH_SECONDS = 2.0  # the longest silence after which a connection is trusted with an order
LIFE_SIGN_SECONDS = 2.0  # for which a connection may take to show that it lives
_EACH_ADDRESS = 4.0  # seconds for one address of a name that has several


class PoolTransport(httpx.AsyncBaseTransport):
    """One pool for plain http (loopback alone), one for https, one for https through a proxy; each opened when it is
    first needed, so that nothing on this machine waits for certificates or proxies.

    `trusts(host, port)` says which hosts may lie in a private network. `opened` counts connections by host:port.
    `proxy` is asked at each request."""

    def __init__(
        self,
        tls: Callable[[], ssl.SSLContext],
        trusts: Callable[[str, int], bool],
        opened: Counter[str],
        *,
        proxy: Callable[[], str] = str,
    ) -> None:
        self._tls = tls
        self._backend = CheckedBackend(trusts, opened)
        self._proxy = proxy
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. `extensions["fresh"]` keeps it off connections that have been silent for long."""
        assert isinstance(request.stream, httpx.AsyncByteStream)
        pool = await self._pool(request.url)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _as_httpx():
            if request.extensions.get("fresh"):
                await _retire_silent(pool, url, self._backend.silence_of(self._reached_at(request.url)))
            answer = await pool.handle_async_request(
                httpcore.Request(
                    request.method,
                    url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    def _proxy_of(self, url: httpx.URL) -> str:
        return proxy_for(url.host, self._proxy()) if url.scheme == "https" else ""

    def _reached_at(self, url: httpx.URL) -> str:
        """Host and port that connections for an address are made to: its own, or the proxy's."""
        address = urlsplit(self._proxy_of(url) or str(url))
        return f"{address.hostname}:{address.port or (443 if address.scheme == 'https' else 80)}"

    async def _pool(self, url: httpx.URL) -> httpcore.AsyncConnectionPool:
        proxy = self._proxy_of(url)
        name = proxy or url.scheme
        if name not in self._pools:
            # The system's store of certificates is read from the disk.
            tls = await asyncio.to_thread(self._tls) if url.scheme == "https" else None
            # Without a highest number of connections: a cancel must not queue behind a hundred long polls.
            self._pools.setdefault(
                name,
                httpcore.AsyncConnectionPool(
                    ssl_context=tls,
                    proxy=_proxy(proxy, tls) if proxy else None,
                    max_connections=None,
                    max_keepalive_connections=100,
                    keepalive_expiry=IDLE_SECONDS,
                    http2=True,
                    network_backend=self._backend if not proxy else ProxyBackend(self._backend),
                ),
            )
        return self._pools[name]


def _proxy(address: str, tls: ssl.SSLContext | None) -> httpcore.Proxy:
    parts = urlsplit(address)
    login = unquote_to_bytes(parts.username or ""), unquote_to_bytes(parts.password or "")
    plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return httpcore.Proxy(
        plain, auth=login if any(login) else None, ssl_context=tls if parts.scheme == "https" else None
    )


async def _retire_silent(pool: httpcore.AsyncConnectionPool, url: httpcore.URL, silence: float) -> None:
    """Close the connections to a server that have been silent for so many seconds that they may be dead.

    httpcore asks only HTTP/1.1 connections whether the server hung up, so an order could leave on one that nobody
    reads any more. An HTTP/2 connection on which others wait is asked for a sign of life first."""
    connections = [each for each in pool.connections if each.can_handle_request(url.origin) and each.is_available()]
    if not connections or silence <= FRESH_SECONDS:
        return
    if any(not each.is_idle() for each in connections):
        question = httpcore.Request(
            "HEAD",
            httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target="/"),
            headers={"host": url.host},
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), LIFE_SIGN_SECONDS)},
        )
        with contextlib.suppress(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
            await (await pool.handle_async_request(question)).aclose()
            return
    for connection in connections:
        await connection.aclose()


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """httpcore's way to make connections, with three additions: it counts them, it notes when a server was last heard,
    and it looks where it arrives. Only hosts that `trusts` names may lie in a private network."""

    def __init__(self, trusts: Callable[[str, int], bool], opened: Counter[str]) -> None:
        self._inner: Any = httpcore.AnyIOBackend()
        self._trusts = trusts
        self._opened = opened
        self._heard: dict[str, float] = {}

    def silence_of(self, place: str) -> float:
        """Seconds since the last bytes from this `host:port`."""
        return time.monotonic() - self._heard.get(place, -FRESH_SECONDS)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        if self._trusts(host, port):
            return await self.connect_unchecked(host, port, timeout)
        addresses = await self._addresses(host, port, timeout)
        for address in addresses[:-1]:
            patience = _EACH_ADDRESS if timeout is None else min(timeout, _EACH_ADDRESS)
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._counted(host, port, await self._inner.connect_tcp(address, port, patience))
        return self._counted(host, port, await self._inner.connect_tcp(addresses[-1], port, timeout))

    async def connect_unchecked(self, host: str, port: int, timeout: float | None) -> httpcore.AsyncNetworkStream:
        """A connection to a host that a person named: the configured services, a proxy."""
        return self._counted(host, port, await self._inner.connect_tcp(host, port, timeout))

    def _counted(self, host: str, port: int, stream: httpcore.AsyncNetworkStream) -> httpcore.AsyncNetworkStream:
        place = f"{host}:{port}"
        self._opened[place] += 1

        def heard() -> None:
            self._heard[place] = time.monotonic()

        heard()
        return _WideStream(stream, heard)

    async def _addresses(self, host: str, port: int, timeout: float | None) -> list[str]:
        """The addresses of a name that may be connected to; the connection goes to one of these and no other."""
        loop = asyncio.get_running_loop()
        try:
            question = loop.getaddrinfo(host, port, type=1)  # SOCK_STREAM
            answers = await asyncio.wait_for(question, timeout)
        except asyncio.TimeoutError:
            raise httpcore.ConnectTimeout("looking the name up took too long") from None
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        allowed = [each for each in addresses if is_public(each) or (is_stand_in(each) and may_stand_in(host))]
        if not allowed:
            raise httpcore.ConnectError(f"{host} leads into a private network")
        return allowed

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("unix sockets are not used")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ProxyBackend(httpcore.AsyncNetworkBackend):
    """Connections to a proxy that a person named. It looks the names up, so nothing is looked up or checked here."""

    def __init__(self, checked: CheckedBackend) -> None:
        self._checked = checked

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._checked.connect_unchecked(host, port, timeout)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _WideStream(httpcore.AsyncNetworkStream):
    """A connection that reads as much as the system has: httpcore asks for 64 KiB at a time, and going through its
    layers for each of them is what a large download waits for."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, heard: Callable[[], None]) -> None:
        self._inner = inner
        self._heard = heard

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received = await self._inner.read(max(max_bytes, READ_AT_ONCE), timeout)
        if received:
            self._heard()
        return received

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(self, *arguments: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _WideStream(await self._inner.start_tls(*arguments, **options), self._heard)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        with _as_httpx():
            await self._answer.aclose()


_FOREIGN = (
    httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError,
    httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable,
)  # fmt: skip


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """httpcore's errors as httpx's of the same name, the most specific that there is."""
    try:
        yield
    except _FOREIGN as error:
        names = (kind.__name__ for kind in type(error).__mro__)
        kind = next((getattr(httpx, name) for name in names if hasattr(httpx, name)), httpx.TransportError)
        raise kind(str(error)) from error
