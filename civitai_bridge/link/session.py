"""One connection to the relay, from `iam` to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..errors import BadSetting, Unreachable
from .dispatch import Dispatcher
from .pairing import Pairing, PairingFile, read_key
from .socket import OnEvent, Socket
from .state import CONNECTING, JOINED, LinkState
from .timings import LinkTimings
from .words import without_own_affairs

log = logging.getLogger(__name__)
# How it ended, besides "" for a connection that was lost.
KICKED, REFUSED_KEY, CHANGED, STOPPED = "kicked", "refused", "changed", "stopped"
_INDEX_EVERY, _FOLDERS_EVERY = 5, 30  # looks at the pairing for each at the index of files, and at the folders


class Session:
    """`secret` is the key that the room has now; `detail` what the relay said; `was_joined` whether it ever was."""

    def __init__(
        self,
        file: PairingFile,
        pairing: Pairing,
        dispatcher: Dispatcher,
        timings: LinkTimings,
        show: Callable[[LinkState], None],
        stopped: asyncio.Event,
    ) -> None:
        self.secret, self.detail, self.was_joined = pairing.secret, "", False
        self._file, self._dispatcher, self._timings, self._show = file, dispatcher, timings, show
        self._stopped = stopped
        self._stamp = file.stamp()
        self._is_pairing = bool(pairing.code)
        self._browsers = 0
        self._events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._joined = asyncio.Event()
        self._was_kicked = False
        self._unkept = ""  # a new key that is not on disk yet
        self._keeping = asyncio.Lock()
        self._writing: asyncio.Future[None] | None = None

    async def run(self, connect: Callable[[OnEvent], Awaitable[Socket]]) -> str:
        """Connect, join and stay until something ends it; how it ended. Raises Unreachable where there was no
        connection, BadSetting."""
        socket = await connect(lambda event, data: self._events.put_nowait((event, data)))
        work = [
            asyncio.ensure_future(each)
            for each in (self._join(socket), self._hear(socket), self._send(socket), self._look(socket))
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            ends = await asyncio.gather(*work, return_exceptions=True)
            await self._hear_the_rest()
            await socket.close()
        if self._was_kicked:
            return KICKED
        for end in ends:
            if isinstance(end, Unreachable):
                self.detail = str(end)
            elif isinstance(end, Exception):
                raise end
        return next((end for end in ends if isinstance(end, str)), "")

    async def _hear_the_rest(self) -> None:
        """What came before the end and was not heard yet: a new key is not lost with a connection, and no key that is
        forgotten now is written after that."""
        while not self._events.empty():
            event, data = self._events.get_nowait()
            if event == "kicked":
                self._was_kicked = True
            elif event == "upgradeKey" and (key := read_key(data)):
                self.secret = self._unkept = key
        if self._writing is not None:
            await asyncio.wait({self._writing})
        while self._unkept and not self._was_kicked:
            await self._keep()
            if not self._unkept or self._stopped.is_set():
                return
            await self._timings.sleep(self._timings.look)

    async def _join(self, socket: Socket) -> str:
        """`iam` first, always; then the key. Ends only where the relay says no or nothing."""
        await socket.emit("iam", {"type": "sd"})
        try:
            answer = await socket.call("join", self.secret, self._timings.join)
        except Unreachable:
            if not self._joined.is_set():
                raise
            answer = None
        if not self._joined.is_set():
            if not isinstance(answer, Mapping) or answer.get("success") is not True:
                self.detail = _said(answer)
                return REFUSED_KEY
            self._enter()
        await asyncio.Event().wait()  # the others say how it ends
        return ""

    async def _hear(self, socket: Socket) -> str:
        """Everything that the relay says, in its order."""
        while True:
            event, data = await self._events.get()
            if event == "disconnect":
                return ""
            if event == "kicked":
                self._was_kicked = True
                return KICKED
            if event == "command":
                self._dispatcher.receive(data)
            elif event == "upgradeKey" and (key := read_key(data)):
                await self._upgrade(socket, key)
            elif event == "roomPresence":
                self._presence(data)
            elif event == "error":
                self.detail = _said(data)
                self._tell()

    async def _upgrade(self, socket: Socket, key: str) -> None:
        """The new key is on disk before anything else is done; joined again, for not every relay moves its members."""
        self.secret, self._unkept, self._is_pairing = key, key, False
        await self._keep()
        self._enter()
        with contextlib.suppress(Unreachable):
            await socket.emit("join", key)

    async def _keep(self) -> None:
        async with self._keeping:
            if not self._unkept:
                return
            self._writing = asyncio.ensure_future(asyncio.to_thread(self._file.upgrade, self._unkept))
            try:
                await asyncio.shield(self._writing)
                self._unkept, self.detail = "", ""
            except BadSetting as error:
                self.detail = f"The new key could not be kept, and is lost if this process ends: {error}"
                log.error("CivitAI Link: %s", self.detail)

    def _presence(self, data: Any) -> None:
        browsers = data.get("client") if isinstance(data, Mapping) else None
        if not isinstance(browsers, int) or isinstance(browsers, bool) or not 0 <= browsers < 10**6:
            return
        came, self._browsers = browsers > self._browsers, browsers
        if came and self._joined.is_set():
            self._dispatcher.outbox.rejoined()  # who has just come has seen nothing yet
            self._dispatcher.lists.changed()
        self._tell()

    def _enter(self) -> None:
        """In the room: what was held goes out, what may have been lost goes out again, and a list."""
        if not self._joined.is_set():
            self._joined.set()
            self.was_joined = True
            self._dispatcher.outbox.rejoined()
            self._dispatcher.lists.changed()
        self._tell()

    def _tell(self) -> None:
        state = JOINED if self._joined.is_set() else CONNECTING
        self._show(LinkState(state, self.detail, self._browsers, self._is_pairing))

    async def _send(self, socket: Socket) -> str:
        await self._joined.wait()
        await self._dispatcher.outbox.send_all(lambda status: socket.emit("commandStatus", status))
        return ""

    async def _look(self, socket: Socket) -> str:
        """Whether this process is to stop, or another one entered or forgot a pairing; and now and then whether the
        model files changed."""
        looks = 0
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._timings.look)
            if self._stopped.is_set():
                return STOPPED
            if self._unkept:
                await self._keep()
            elif self._is_pairing or self._file.stamp() != self._stamp:  # a code grows old by itself
                self._stamp = self._file.stamp()
                if await self._is_other():
                    with contextlib.suppress(Unreachable):
                        await socket.emit("leave")
                    return CHANGED
            looks += 1
            if self._browsers and self._joined.is_set() and looks % _INDEX_EVERY == 0:
                await self._dispatcher.lists.look(at_folders=looks % _FOLDERS_EVERY == 0)

    async def _is_other(self) -> bool:
        secret = self.secret
        try:
            kept = await asyncio.to_thread(self._file.load)
            return kept.secret != secret == self.secret  # a new key may have come while it was read
        except BadSetting as error:  # half a file of another program; the room is kept
            log.warning("CivitAI Link: %s", error)
            return False


def _said(answer: Any) -> str:
    """What the relay says, as a person may read it."""
    message = answer.get("msg") if isinstance(answer, Mapping) else None
    return f"The relay says: {without_own_affairs(message)[:200]}" if isinstance(message, str) and message else ""
