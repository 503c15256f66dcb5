"""The relay's Socket.IO connection: one at a time, told about in the order in which things happened, never coming back
by itself.

The room's key travels on it, so it goes to the configured address alone: no redirect is followed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..errors import BadSetting, Unreachable
from ..network.hosts import is_loopback
from ..network.proxies import proxy_for
from ..network.tls import trusted
from ..settings import Settings

PATH = "api/socketio"
LARGEST_IN = 80 * 1024 * 1024  # bytes of one message: what is too large for a command is answered, not cut off
_QUIET: Any = logging.getLogger(f"{__name__}.wire")  # the library takes a logger too, though its types say bool
_QUIET.setLevel(logging.CRITICAL)  # what it would log may hold keys
_MISSING = "CivitAI Link needs the Python package python-socketio; install this pack's requirements.txt."

OnEvent = Callable[[str, Any], None]


class Socket(Protocol):
    """A connection that is open. `on_event` of whoever opened it hears `(event, data)` in order, `disconnect` last."""

    async def emit(self, event: str, data: Any = None) -> None:
        """Send an event. Raises Unreachable where the connection is gone."""
        ...

    async def call(self, event: str, data: Any, timeout: float) -> Any:
        """Send an event and wait for its answer. Raises Unreachable where none comes in time."""
        ...

    async def close(self) -> None:
        """Close it, in good order where that is possible."""
        ...


OpenSocket = Callable[[Settings, OnEvent, float], Awaitable[Socket]]


async def open_socket(settings: Settings, on_event: OnEvent, timeout: float) -> Socket:
    """Connect to the relay of the settings: by WebSocket, else by long polling. Raises Unreachable, BadSetting."""
    proxy = proxy_for(urlsplit(settings.link_url).hostname or "", settings.proxy)
    if proxy.startswith("socks"):
        raise BadSetting("CivitAI Link cannot use a SOCKS proxy; give an http:// one in the setting `proxy`.")
    try:
        return await _connect(settings, on_event, timeout, "websocket", proxy)
    except Unreachable:
        if proxy:  # polling could not be told of it
            raise
        return await _connect(settings, on_event, timeout, "polling", proxy)


async def _connect(settings: Settings, on_event: OnEvent, timeout: float, transport: str, proxy: str) -> Socket:
    try:
        import aiohttp
        import socketio
        from socketio.exceptions import SocketIOError
    except ImportError as error:
        raise BadSetting(_MISSING) from error

    session = await _session(settings)
    options: Mapping[str, Any] = {"max_msg_size": LARGEST_IN, **({"proxy": proxy} if proxy else {})}
    client = socketio.AsyncClient(
        reconnection=False,
        handle_sigint=False,
        logger=_QUIET,
        engineio_logger=_QUIET,
        http_session=session,
        websocket_extra_options=dict(options),
        request_timeout=timeout,
    )
    client.on("*", lambda event, *data: on_event(event, data[0] if data else None))
    client.on("disconnect", lambda *_: on_event("disconnect", None))
    connecting = client.connect(
        settings.link_url, socketio_path=PATH, transports=[transport], wait_timeout=math.ceil(timeout), namespaces=["/"]
    )
    try:
        await asyncio.wait_for(connecting, timeout)
    except BaseException as error:
        with contextlib.suppress(Exception):
            await client.disconnect()
        await session.close()
        known = (SocketIOError, aiohttp.ClientError, OSError, asyncio.TimeoutError, ValueError)
        if not isinstance(error, (*known, _Redirected)):
            raise
        host = urlsplit(settings.link_url).hostname
        raise Unreachable(f"CivitAI's relay ({host}) cannot be reached.") from None  # its words may hold addresses
    return _SocketIo(client, session)


class _Redirected(Exception):
    """The relay leads elsewhere."""


async def _session(settings: Settings) -> Any:
    import aiohttp

    async def refuse(*_: Any) -> None:
        raise _Redirected

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    is_plain = is_loopback(settings.link_url)
    context = None if is_plain else await asyncio.to_thread(trusted)
    connector = aiohttp.TCPConnector() if context is None else aiohttp.TCPConnector(ssl=context)
    return aiohttp.ClientSession(connector=connector, trace_configs=[trace], cookie_jar=aiohttp.DummyCookieJar())


class _SocketIo:
    """See `Socket`."""

    def __init__(self, client: Any, session: Any) -> None:
        self._client, self._session = client, session

    async def emit(self, event: str, data: Any = None) -> None:
        from socketio.exceptions import SocketIOError

        try:
            await self._client.emit(event, data)
        except SocketIOError as error:
            raise Unreachable("The connection to CivitAI's relay is lost.") from error

    async def call(self, event: str, data: Any, timeout: float) -> Any:
        from socketio.exceptions import SocketIOError

        try:
            return await self._client.call(event, data, timeout=timeout)
        except SocketIOError as error:
            raise Unreachable("CivitAI's relay does not answer.") from error

    async def close(self) -> None:
        with contextlib.suppress(Exception):  # it may be half gone, and nothing hangs on it any more
            await asyncio.wait_for(self._client.disconnect(), 5)
        await self._session.close()
