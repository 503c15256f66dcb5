"""A page's connection to the relay: it stays in its instance's room whatever the relay does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp

from .rest import COOKIE

_PATH = "api/socketio"
_PATIENCE = 2.0  # seconds for a connection to end in good order
_AGAIN = 0.05  # seconds before it connects again: nobody else is in this house


class PageConnection:
    """`key` is what it joins with; `kicked` says that the relay took the key away, after which it joins no more.
    `presence` is how many of each role the relay counts in the room. Subclasses take statuses and the moment at
    which both sides are there."""

    def __init__(self, url: str, cookie: str) -> None:
        self.url, self.cookie, self.key = url, cookie, ""
        self.presence = {"client": 0, "sd": 0}
        self.joined = self.kicked = False
        self.changed = asyncio.Event()
        self._gone = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._sio: Any = None

    @property
    def linked(self) -> bool:
        """Whether commands can be sent: this page is in the room, and so is an agent."""
        return self.joined and self.presence["client"] > 0 and self.presence["sd"] > 0

    def stay(self, key: str) -> None:
        """Be in the room of a key from now on."""
        self.key, self.kicked = key, False
        if self._task is None:
            self._task = asyncio.ensure_future(self._stay())

    async def close(self) -> None:
        """Go away."""
        self._closed = True
        while self._task is not None and not self._task.done():  # the library swallows a cancel now and then
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)

    async def reload(self, *_: Any) -> None:
        """Connect anew: when the connection is lost, or because a person has a page that shows nothing."""
        self._gone.set()

    async def send_raw(self, content: Any, event: str = "command") -> None:
        """Send anything at all; a connection that is down loses it, as the site has no queue."""
        from socketio.exceptions import SocketIOError

        with contextlib.suppress(SocketIOError):
            await self._sio.emit(event, content)

    async def site_call(self, method: str, query: str = "", body: Any = None) -> Any:
        """One of the site's own calls to the relay, with its session cookie. Raises ClientResponseError."""
        async with aiohttp.ClientSession(headers={"Cookie": f"{COOKIE}={self.cookie}"}) as session:
            async with session.request(method, f"{self.url}/api/link{query}", json=body) as answer:
                answer.raise_for_status()
                return await answer.json()

    async def on_status(self, *data: Any) -> None:
        """A `commandStatus` came."""

    async def on_linked(self) -> None:
        """This page and an agent are in the room, and the page's own join was acknowledged."""

    async def _stay(self) -> None:
        """Connect again after every end, whatever its reason."""
        import socketio
        from socketio.exceptions import SocketIOError

        while not self._closed:
            self._gone.clear()
            websocket = None
            session = aiohttp.ClientSession()  # handed in, because the library leaves its own open where it fails
            self._sio = socketio.AsyncClient(reconnection=False, handle_sigint=False, http_session=session)
            for event, handler in (
                ("commandStatus", self.on_status), ("roomPresence", self._presence), ("upgradeKey", self._upgrade),
                ("kicked", self._kick), ("disconnect", self.reload),
            ):  # fmt: skip
                self._sio.on(event, handler)
            try:
                # A relay that is away is tried again below, as CivitAI's page does.
                with contextlib.suppress(SocketIOError, asyncio.TimeoutError, aiohttp.ClientError):
                    await self._sio.connect(self.url, socketio_path=_PATH, transports=["websocket"], wait_timeout=5)
                    websocket = self._sio.eio.ws
                    await self._enter()
                    await self._gone.wait()
                self.joined, self.presence = False, {"client": 0, "sd": 0}
                self.changed.set()
            finally:
                with contextlib.suppress(asyncio.TimeoutError):  # a peer that does not close is left
                    await asyncio.wait_for(_end(self._sio, websocket), _PATIENCE)
                await session.close()
            await asyncio.sleep(_AGAIN)

    async def _enter(self) -> None:
        await self._sio.emit("iam", {"type": "client"})
        if self.key:
            answer = await self._sio.call("join", self.key, timeout=5)
            self.joined = isinstance(answer, dict) and bool(answer.get("success"))
            await self._look()

    async def _look(self) -> None:
        self.changed.set()
        if self.linked:
            await self.on_linked()

    async def _presence(self, *data: Any) -> None:
        self.presence = {"client": 0, "sd": 0, **data[0]}
        await self._look()

    async def _upgrade(self, *data: Any) -> None:
        self.key = data[0]["key"]
        self.changed.set()

    async def _kick(self, *data: Any) -> None:
        self.kicked, self.joined, self.key = True, False, ""
        self.changed.set()


async def _end(client: Any, websocket: Any) -> None:
    """Leave in good order; the library forgets a websocket that fell silent without closing it."""
    await client.disconnect()
    if websocket is not None:
        await websocket.close()
