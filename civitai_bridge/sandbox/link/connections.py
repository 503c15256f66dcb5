"""The relay's port: a Socket.IO server on loopback with the REST calls beside it, whose connections can be broken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from ...errors import BadSetting
from .script import RelayFault, RelayScript

PATH = "/api/socketio"
_QUIET: Any = logging.getLogger(f"{__name__}.wire")  # the library takes a logger too, though its types say bool
_QUIET.setLevel(logging.CRITICAL)  # what goes wrong goes wrong on purpose


class Connections:
    """The listening half of the relay. `ping_interval` (a whole number) and `ping_timeout` are seconds; a message of
    more than `most_bytes` closes its sender's connection. They hold from the next `start` on. `server` is the Socket.IO
    server of this start."""

    def __init__(self, script: RelayScript, port: int) -> None:
        self.port = port
        self.ping_interval, self.ping_timeout = 25, 20.0
        self.most_bytes = 1_000_000
        self.server: Any = None
        self._script = script
        self._runner: web.AppRunner | None = None
        self._transports: dict[str, Any] = {}  # of websockets, by Engine.IO's session
        self._refused: set[Any] = set()  # transports whose connection shall be turned down

    async def start(self, handlers: Mapping[str, Callable[..., Any]], routes: Iterable[web.RouteDef]) -> None:
        """Listen. Raises BadSetting where the port is taken."""
        import socketio  # costs a tenth of a second, and only a sandbox that runs needs it

        self.server = socketio.AsyncServer(
            async_mode="aiohttp", ping_interval=self.ping_interval, ping_timeout=self.ping_timeout,
            max_http_buffer_size=self.most_bytes, logger=_QUIET, engineio_logger=_QUIET,
        )  # fmt: skip
        app = web.Application(middlewares=[self._before])
        self.server.attach(app, socketio_path=PATH.strip("/"))
        for event, handler in handlers.items():
            self.server.on(event, handler)
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
        except OSError as error:
            await runner.cleanup()
            raise BadSetting(f"The sandbox cannot take port {self.port}: {error.strerror}.") from error
        self._runner, self.port = runner, runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection, without a word to anybody."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in list(runner.sites):
            await site.stop()
        for transport in self._transports.values():
            if transport is not None:
                transport.abort()
        await runner.cleanup()
        await self.server.shutdown()
        self._transports.clear()

    def admit(self, sid: str, environ: dict[str, Any]) -> bool:
        """Note a new connection; False where the script turns it down."""
        transport = environ["aiohttp.request"].transport
        if transport in self._refused:
            self._refused.clear()
            return False
        self._transports.setdefault(self._session(sid), transport)
        return True

    def abort(self, sid: str) -> None:
        """Break a connection without a word."""
        transport = self._transports.pop(self._session(sid), None)
        if transport is not None:
            transport.abort()

    def disturb_pings(self, sid: str, fault: RelayFault, freeze: Callable[[], None]) -> None:
        """From its second ping on a connection hears late from the relay, or (`silent`) never: then it is frozen."""
        socket = self.server.eio.sockets[self._session(sid)]
        punctual = socket._send_ping

        async def late() -> None:
            await asyncio.sleep(fault.seconds)
            await punctual()

        async def never() -> None:
            freeze()

        socket._send_ping = late if fault.kind == "slow" else never

    def _session(self, sid: str) -> str:
        return self.server.manager.eio_sid_from_sid(sid, "/")

    @web.middleware
    async def _before(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Note which transport a websocket has, and what a new connection meets."""
        if request.path.startswith(PATH):
            if "sid" in request.query:
                self._transports[request.query["sid"]] = request.transport
            else:
                fault = self._script.next_fault("connect")
                if fault is not None and fault.kind == "status":
                    return web.Response(status=503, text="Service Unavailable")
                if fault is not None:
                    self._refused.add(request.transport)
        try:
            return await handler(request)
        except KeyError:  # of a connection that is over: this library raises where the real relay's answers
            return web.json_response({"code": 1, "message": "Session ID unknown"}, status=400)
