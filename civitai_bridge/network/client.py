"""The real `Send` and `Fetch` on httpx: one pool of connections for all, a key only on what `Send` sends.

- The key goes to one exact origin over https or loopback. Redirects are never followed with it.
- Bytes come from the same hosts as answers do, so they share connections: one host is one connection on HTTP/2.
- Loopback never goes through a proxy; elsewhere HTTPS_PROXY and NO_PROXY are obeyed.
- httpx is imported when the first HttpClient is opened: it takes 40-60 ms, which ComfyUI's start should not pay.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

from ..errors import BadInput, BadSetting, Unreachable, Unreadable
from . import fetch as _fetch
from .exchange import Request, Response, Send
from .hosts import is_loopback

USER_AGENT = "civitai-bridge/0.1.0"  # no browser's name in it: the site answers those with HTML (site-api §6.2)
LARGEST_ANSWER = 32 * 1024 * 1024
READ_AT_ONCE = 256 * 1024  # what asyncio takes from a socket in one go
LONGEST_SILENCE = 30.0  # seconds without a byte, after which a download is taken up anew
_DIRECT = ("127.0.0.1", "localhost", "::1")  # never through a proxy


class HttpClient:
    """The connections of one event loop: `async with HttpClient() as network`, or kept by the background loop for the
    process."""

    def __init__(self, *, verify: ssl.SSLContext | None = None) -> None:
        self._verify = verify
        self._http: Any = None
        self._loopback: set[str] = set()
        self._configured: set[str] = set()  # hosts that a person set; the rest must be public
        self.opened: Counter[str] = Counter()  # connections made so far to each host:port, for the bench

    async def __aenter__(self) -> HttpClient:
        import httpx

        for name in ("httpx", "httpcore", "h2", "hpack"):
            logging.getLogger(name).setLevel(logging.WARNING)  # below it they print whole URLs and headers
        tls = self._verify or httpx.create_ssl_context(trust_env=True)
        # Without a highest number: a cancel must not queue behind a hundred long polls.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=300)
        try:
            mounts = self._proxies(tls, limits)
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            # Not in its own words: they may repeat a proxy's name and password.
            why = (
                "a package for this kind of proxy is missing" if isinstance(error, ImportError) else "one is no address"
            )
            raise BadSetting(f"The proxy settings (HTTPS_PROXY, ALL_PROXY, NO_PROXY) cannot be used: {why}.") from None
        self._http = httpx.AsyncClient(
            transport=self._transport(tls, limits, None),
            mounts=mounts,
            # A jar that takes nothing: no cookie of one answer goes along with the next request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": USER_AGENT},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def send_to(self, base_url: str, key: str | None = None) -> Send:
        """A Send to one service. With a key the base must be https or loopback, else BadSetting."""
        parts = urlsplit(base_url)
        if not parts.hostname or parts.scheme not in ("https", "http"):
            raise BadSetting(f"The address {base_url!r} is no http address.")
        if parts.scheme == "http" and not is_loopback(base_url):
            raise BadSetting(
                f"The address of {parts.hostname} must begin with https://, so that the key cannot be read on its way."
            )
        base = base_url.rstrip("/")
        self._configured.add(parts.hostname.lower())
        if is_loopback(base_url):
            self._loopback.add(_origin(base_url))

        async def send(request: Request) -> Response:
            import httpx

            if not request.path.startswith("/"):
                raise ValueError("a path begins with /: anything else could name another host")
            # Nothing packed: a few packed bytes may unpack to more than there is memory.
            headers = {"accept": "application/json", "accept-encoding": "identity"}
            if key:
                headers["authorization"] = f"Bearer {key}"
            if request.content_type:
                headers["content-type"] = request.content_type
            body = {"json": request.json} if request.json is not None else {"content": request.content}
            try:
                async with (
                    _deadline(request.timeout),
                    self._http.stream(
                        request.method,
                        base + request.path,
                        params=list(request.query),
                        headers=headers,
                        timeout=httpx.Timeout(request.timeout, connect=15.0, pool=None),
                        **body,
                    ) as answer,
                ):
                    content = bytearray()
                    if answer.headers.get("content-encoding", "identity") != "identity":
                        raise Unreadable(f"{parts.hostname} sent a packed answer.", status=answer.status_code)
                    async for chunk in answer.aiter_raw():
                        content += chunk
                        if len(content) > LARGEST_ANSWER:
                            raise Unreadable(f"{parts.hostname} sent more than 32 MB.", status=answer.status_code)
                    return Response(
                        answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, bytes(content)
                    )
            except UnicodeError:
                raise BadInput("The request holds characters that cannot be sent; remove them and try again.") from None
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, asyncio.TimeoutError, OSError) as error:
                unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL))
                raise Unreachable(_in_words(parts.hostname or "", error), sent=not unsent) from None

        return send

    async def fetch(self, url: str, *, cap: int = _fetch.CAP, timeout: float = 120.0) -> _fetch.Fetched:
        """Get bytes without any credential; see fetch.py for what is followed and what is raised."""
        return await _fetch.fetch(self._open, url, loopback=frozenset(self._loopback), cap=cap, timeout=timeout)

    def allow_loopback(self, url: str) -> None:
        """Let `fetch` follow addresses of this loopback origin (the sandbox's storage)."""
        if is_loopback(url):
            self._loopback.add(_origin(url))

    def open_file(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[tuple[_fetch.Opened, str]]:
        """Begin to get a file, without any credential; only silence of half a minute ends it, no length of time."""
        return _fetch.open_file(self._open_part, url, headers, loopback=frozenset(self._loopback))

    @asynccontextmanager
    async def _open(self, url: str, timeout: float) -> AsyncIterator[_fetch.Opened]:
        host = urlsplit(url).hostname or ""
        try:
            async with _deadline(timeout), self._stream(url, {}, timeout, "the picture") as opened:
                yield opened
        except asyncio.TimeoutError as error:
            raise Unreachable(_in_words(host, error)) from None

    def _open_part(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[_fetch.Opened]:
        return self._stream(url, headers, LONGEST_SILENCE, "the file")

    @asynccontextmanager
    async def _stream(
        self, url: str, headers: Mapping[str, str], timeout: float, what: str
    ) -> AsyncIterator[_fetch.Opened]:
        import httpx

        host = urlsplit(url).hostname or ""
        try:
            async with self._http.stream(
                "GET",
                url,
                headers={**headers, "accept-encoding": "identity"},
                timeout=httpx.Timeout(timeout, connect=15.0, pool=None),
            ) as answer:
                found = {k.lower(): v for k, v in answer.headers.items()}
                yield _fetch.Opened(answer.status_code, found, answer.aiter_raw())
        except httpx.RemoteProtocolError as error:
            raise Unreachable(f"{host} broke off in the middle of {what}.") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise Unreachable(_in_words(host, error)) from None

    def _transport(self, tls: ssl.SSLContext, limits: Any, proxy: str | None) -> Any:
        import httpx

        transport = httpx.AsyncHTTPTransport(verify=tls, http2=True, limits=limits, proxy=proxy, trust_env=False)
        pool: Any = transport._pool  # httpx has no public way to see or guard a connection as it is made
        if proxy is None:
            pool._network_backend = _Backend(pool._network_backend, self)
        return transport

    def _proxies(self, tls: ssl.SSLContext, limits: Any) -> dict[str, Any]:
        """Mounts for HTTPS_PROXY/ALL_PROXY and NO_PROXY; loopback is always direct."""
        found = urllib.request.getproxies()
        proxy = found.get("https") or found.get("all")
        if not proxy:
            return {}
        mounts: dict[str, Any] = {
            "https://": self._transport(tls, limits, proxy if "://" in proxy else f"http://{proxy}")
        }
        direct = [*_DIRECT, *(host.strip() for host in found.get("no", "").split(","))]
        for host in filter(None, direct):
            if host == "*":
                return {}
            if host.count(":") == 1:
                host = host.split(":")[0]  # NO_PROXY may name a port; the whole host is then direct
            name = f"[{host}]" if ":" in host and not host.startswith("[") else host.lstrip(".")
            mounts[f"all://{name}"] = None
            if ":" not in host and not host.replace(".", "").isdigit():
                mounts[f"all://*.{name}"] = None
        return mounts


class _Backend:
    """httpcore's way to make connections, with two additions: it counts, and it looks where it arrives. Only hosts
    that a person configured may lie in a private network; an address that the service or a page named may not."""

    def __init__(self, inner: Any, network: HttpClient) -> None:
        self._inner = inner
        self._network = network

    async def connect_tcp(self, host: str, port: int, **options: Any) -> Any:
        stream = await self._inner.connect_tcp(host, port, **options)
        self._network.opened[f"{host}:{port}"] += 1
        if host.lower() not in self._network._configured and f"http://{host}:{port}" not in self._network._loopback:
            address = (stream.get_extra_info("server_addr") or ("",))[0]
            if not address or not _fetch.is_public(str(address)):
                await stream.aclose()
                raise OSError(f"{host} leads into a private network")
        return _Wide(stream)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> Any:
        raise OSError("unix sockets are not used")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Wide:
    """A connection that reads as much as the system has: httpcore asks for 64 KiB at a time, and going through its
    layers for each of them is what a large download waits for."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max(max_bytes, READ_AT_ONCE), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(self, *arguments: Any, **options: Any) -> _Wide:
        return _Wide(await self._inner.start_tls(*arguments, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    """Raise asyncio.TimeoutError when the whole exchange takes longer (httpx bounds only its single reads)."""
    task = asyncio.current_task()
    assert task is not None
    late = False

    def stop() -> None:
        nonlocal late
        late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, stop)
    try:
        yield
    except asyncio.CancelledError:
        if late:
            uncancel = getattr(task, "uncancel", None)  # from Python 3.11 on; the cancellation was ours and ends here
            if uncancel is not None:
                uncancel()
            raise asyncio.TimeoutError from None
        raise
    finally:
        timer.cancel()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _in_words(host: str, error: Exception) -> str:
    """Why there was no answer, without the address's query."""
    name = type(error).__name__
    if "Timeout" in name:
        why = "it took too long to answer"
    elif "private network" in str(error):
        why = "its name leads into a private network"
    elif name in ("ConnectError", "OSError", "ConnectionRefusedError"):
        text = str(error).lower()
        if "name or service" in text or "getaddrinfo" in text or "nodename" in text:
            why = "there is no such host, or no network"
        elif "certificate" in text or "ssl" in text:
            why = "its certificate is not trusted"
        else:
            why = "the connection was refused or failed"
    elif name in ("InvalidURL", "UnsupportedProtocol", "LocalProtocolError"):
        why = "the address cannot be used"
    elif name == "ProxyError":
        why = "the proxy (HTTPS_PROXY) refused"
    else:
        why = "the connection broke off"
    return f"{host or 'The service'} could not be reached: {why}."
