"""The real `Send` and `Fetch` on httpx: one pool of connections for all, a key only on what `Send` sends.

- The key goes to one exact origin over https or loopback. Redirects are never followed with it.
- Bytes come from the same hosts as answers do, so they share connections: one host is one connection on HTTP/2.
- httpx is imported when the first HttpClient is opened: it takes 40-60 ms, which ComfyUI's start should not pay.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

from .. import VERSION
from ..errors import BadInput, BadSetting, Unreachable, Unreadable
from . import fetch as _fetch
from .exchange import Request, Response, Send, retry_after
from .hosts import SHORT_PAUSE, HostMemory, is_loopback, origin_of
from .notices import tell
from .tls import trusted

USER_AGENT = f"civitai-bridge/{VERSION}"  # no browser's name in it: the site answers those with HTML
_SHORTEST_SECRET = 8
_CUT = b"[key]"
_ESCAPES_IN = 64 * 1024  # bytes of an answer in which an escaped key is looked for; no error text is longer
LARGEST_ANSWER = 32 * 1024 * 1024  # bytes
LONGEST_SILENCE = 30.0  # seconds without a byte, after which a download is taken up again
CONNECT_SECONDS = 15.0  # for a connection that an order waits for
LOOK_UP_CONNECT_SECONDS = 5.0  # for one that only a question waits for


class HttpClient:
    """The connections of one event loop: `async with HttpClient() as network`, or kept by the background loop for the
    process.

    `tls` makes the TLS context when the first https connection needs one."""

    def __init__(
        self,
        *,
        tls: Callable[[], ssl.SSLContext] = trusted,
        hosts: HostMemory | None = None,
    ) -> None:
        self._tls = tls
        self._proxy = ""
        self._http: Any = None
        self._loopback: set[str] = set()
        self._configured: set[str] = set()  # hosts that a person set; the rest must be public
        self.hosts = HostMemory() if hosts is None else hosts
        self.opened: Counter[str] = Counter()  # connections made so far to each host:port, for the bench

    async def __aenter__(self) -> HttpClient:
        import httpx

        from .transport import PoolTransport

        for name in ("httpx", "httpcore", "h2", "hpack"):
            logging.getLogger(name).setLevel(logging.WARNING)  # below it they print whole URLs and headers
        self._http = httpx.AsyncClient(
            transport=PoolTransport(self._tls, self._is_trusted, self.opened, proxy=lambda: self._proxy),
            # A jar that takes nothing: no cookie of one answer goes along with the next request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": USER_AGENT},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def use_proxy(self, address: str) -> None:
        """Reach CivitAI through this proxy from now on (the setting `proxy`); `""` = what the environment says."""
        self._proxy = address

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
            self._loopback.add(origin_of(base_url))

        async def send(request: Request) -> Response:
            return await self._send(base, key, request)

        return send

    async def fetch(self, url: str, **limits: Any) -> _fetch.Fetched:
        """Get bytes without any credential; see fetch.py for the `limits`, what is followed and what is raised."""
        return await _fetch.fetch(self._open, url, loopback=frozenset(self._loopback), **limits)

    def allow_loopback(self, url: str) -> None:
        """Let `fetch` follow addresses of this loopback origin (the sandbox's storage)."""
        if is_loopback(url):
            self._loopback.add(origin_of(url))

    def open_file(self, url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[tuple[_fetch.Opened, str]]:
        """Begin to get a file, without any credential; only silence of half a minute ends it, no length of time."""
        return _fetch.open_file(self._open_part, url, headers, loopback=frozenset(self._loopback))

    def _is_trusted(self, host: str, port: int) -> bool:
        return host.lower() in self._configured or f"http://{host.lower()}:{port}" in self._loopback

    async def _send(self, base: str, key: str | None, request: Request) -> Response:
        """One exchange with a service: the memory of hosts before it and after it, foreign errors as ours."""
        if not request.path.startswith("/"):
            raise ValueError("a path begins with /: anything else could name another host")
        origin = origin_of(base)
        if request.of_order:
            await self._sit_out(origin, request.is_wanted)
        else:
            self.hosts.check(origin)
        response = await self._exchange(base, key, request)
        self.hosts.answered(origin)
        pause = retry_after(response)
        if pause is not None and response.status in (429, 503) and (request.of_order or pause > SHORT_PAUSE):
            self.hosts.asked_for_pause(origin, pause)
        return response

    async def _sit_out(self, origin: str, is_wanted: Callable[[], bool]) -> None:
        """Wait until a service that asked for a pause may be asked again: what belongs to an order never fails for
        that, and never asks too early. Raises Unreachable (not sent) for what is no longer wanted."""
        while (pause := self.hosts.pause_of(origin)) > 0:
            if not is_wanted():
                raise Unreachable(f"{urlsplit(origin).hostname} was not asked; it is no longer wanted.", sent=False)
            tell(f"{urlsplit(origin).hostname} asked for a pause; it goes on in {pause:.0f} s")
            await asyncio.sleep(min(pause, 1.0))

    async def _exchange(self, base: str, key: str | None, request: Request) -> Response:
        import httpx

        # Nothing packed: a few packed bytes may unpack to more than there is memory.
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        if request.content_type:
            headers["content-type"] = request.content_type
        connect = CONNECT_SECONDS if request.of_order or request.fresh else LOOK_UP_CONNECT_SECONDS
        body = {"json": request.json} if request.json is not None else {"content": request.content}
        host = urlsplit(base).hostname or ""
        try:
            async with (
                _deadline(request.timeout),
                self._http.stream(
                    request.method,
                    base + request.path,
                    params=list(request.query),
                    headers=headers,
                    timeout=httpx.Timeout(request.timeout, connect=connect, pool=None),
                    extensions={"fresh": request.fresh},
                    **body,
                ) as answer,
            ):
                response = await _whole(answer, host)
                return without_key(response, key) if key else response
        except UnicodeError:
            raise BadInput("The request holds characters that cannot be sent; remove them and try again.") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, asyncio.TimeoutError, OSError) as error:
            sentence, is_down = _in_words(host, error), False
            if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
                waited = isinstance(error, httpx.ConnectTimeout)
                is_down = self.hosts.failed(origin_of(base), sentence, waited=waited)
            unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL))
            timed_out = isinstance(error, (httpx.ReadTimeout, asyncio.TimeoutError))
            raise Unreachable(sentence, sent=not unsent, timed_out=timed_out, again=not is_down) from None

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
                timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS, pool=None),
            ) as answer:
                yield _fetch.Opened(answer.status_code, _headers(answer), answer.aiter_raw())
        except httpx.RemoteProtocolError as error:
            raise Unreachable(f"{host} broke off in the middle of {what}.") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            sentence = _in_words(host, error)
            if "private network" in sentence:
                self.hosts.refused(host, "its name leads into a private network")
            raise Unreachable(sentence) from None


async def _whole(answer: Any, host: str) -> Response:
    """An httpx answer read to its end. Raises Unreadable: packed, or larger than any answer of these services."""
    content = bytearray()
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Unreadable(f"{host} sent a packed answer.", status=answer.status_code)
    async for chunk in answer.aiter_raw():
        content += chunk
        if len(content) > LARGEST_ANSWER:
            raise Unreadable(f"{host} sent more than 32 MB.", status=answer.status_code)
    return Response(answer.status_code, _headers(answer), bytes(content))


def without_key(response: Response, key: str) -> Response:
    """An answer in which the key that was sent does not stand, plain or escaped: services repeat what they were sent in
    their error texts, which are shown, logged and kept, and in the addresses that they redirect to, which are followed.
    Keys shorter than 8 characters stay, for they may be ordinary words."""
    if len(key) < _SHORTEST_SECRET:
        return response
    headers = {name: _cut_out(key, value.encode()).decode() for name, value in response.headers.items()}
    return replace(response, headers=headers, content=_cut_out(key, response.content))


def _cut_out(key: str, text: bytes) -> bytes:
    """A text without the key; in a short one also without each spelling that JSON and addresses have for it."""
    text = text.replace(key.encode(), _CUT)
    if len(text) > _ESCAPES_IN or not (b"\\" in text or b"%" in text):
        return text
    letters = (rf"(?:{re.escape(letter)}|\\u00{ord(letter):02x}|%{ord(letter):02x})" for letter in key)
    return re.sub("".join(letters).encode(), _CUT, text, flags=re.IGNORECASE)


def _headers(answer: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


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
