"""The agent: in the room of its key for as long as there is one, whatever happens to the connection.

no key -> ends
connect -> iam -> join (acknowledged, or a new key came) -> commands and statuses -> lost -> pause -> connect …
kicked -> the key is forgotten, ends            a no to the key -> it is kept, asked again after a longer pause
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import BadSetting, CivitaiError
from ..settings import Settings
from .dispatch import Dispatcher
from .pairing import LOCK, Pairing, PairingFile
from .session import CHANGED, KICKED, REFUSED_KEY, STOPPED, Session
from .socket import OpenSocket, open_socket
from .state import CONNECTING, ELSEWHERE, REFUSED, UNPAIRED, WAITING, LinkState
from .timings import USUAL, LinkTimings

log = logging.getLogger(__name__)


class LinkAgent:
    """One agent of a state folder. Used on one loop: `run` until it ends or `stop` is called.

    `settings` reads them as they are now; `on_state` hears of every change."""

    def __init__(
        self,
        home: Path,
        settings: Callable[[], Awaitable[Settings]],
        dispatcher: Dispatcher,
        *,
        timings: LinkTimings = USUAL,
        connect: OpenSocket = open_socket,
        on_state: Callable[[LinkState], None] = lambda _: None,
    ) -> None:
        self.file = PairingFile(home, timings.clock)
        self.dispatcher = dispatcher
        self.state = LinkState(CONNECTING)
        self._settings, self._connect, self._timings, self._on_state = settings, connect, timings, on_state
        self._lock = FileLock(home / LOCK)
        self._stopped = asyncio.Event()
        self._failures = 0

    async def run(self) -> None:
        """Be in the room until there is no key any more, or `stop` is called. Commands that were left open go on.
        Raises StateTrouble, BadSetting where the state folder cannot be used."""
        try:
            if await self._alone():
                await self.dispatcher.jobs.resume()
                await self._stay()
        finally:
            self._lock.release()
            if self.state.state != UNPAIRED:
                self._show(LinkState(UNPAIRED if not self._stopped.is_set() else WAITING))

    def stop(self) -> None:
        """End `run` soon; what is at work goes on in the next process."""
        self._stopped.set()

    async def _alone(self) -> bool:
        """Wait until no other process is the agent of this state folder; False where it is stopped or unpaired
        first."""
        while not self._stopped.is_set() and await asyncio.to_thread(self.file.load):
            try:
                self._lock.acquire(timeout=0)
                return True
            except Timeout:
                self._show(LinkState(ELSEWHERE))
            except (OSError, NotImplementedError) as error:
                raise BadSetting("The state folder cannot be locked, so Link cannot run here.") from error
            await self._pause(self._timings.look)
        return False

    async def _stay(self) -> None:
        while not self._stopped.is_set():
            pairing = await asyncio.to_thread(self.file.load)
            if not pairing:
                await self.dispatcher.jobs.cancel_all()
                return
            await self._once(pairing)

    async def _once(self, pairing: Pairing) -> None:
        """One connection, and the pause after it."""
        self._show(LinkState(CONNECTING, self.state.detail))
        session = Session(self.file, pairing, self.dispatcher, self._timings, self._show, self._stopped)
        began = self._timings.clock()
        try:
            settings = await self._settings()
            end = await session.run(lambda on_event: self._connect(settings, on_event, self._timings.connect))
        except CivitaiError as error:  # no connection, or settings that cannot be used at the moment
            end = ""
            self._show(LinkState(CONNECTING, str(error)))
        except Exception:  # whatever it is, the next connection is another one
            end = ""
            log.exception("A connection to CivitAI's relay failed.")
        if session.was_joined and self._timings.clock() - began >= self._timings.steady:
            self._failures = 0
        if end in (CHANGED, STOPPED):
            self._failures = 0
        elif end == KICKED:
            self._show(LinkState(UNPAIRED, "CivitAI has ended the link; add it there again and enter the new code."))
            await asyncio.to_thread(self.file.forget, session.secret)
        elif end == REFUSED_KEY and pairing.code:
            # A code that is not taken is given up: later it may be that of a stranger. Who waits for that looks at the
            # file, so why stands in the state before.
            self._show(LinkState(UNPAIRED, f"CivitAI's relay does not take the code. {session.detail}".strip()))
            await asyncio.to_thread(self.file.forget, pairing.code)
        elif end == REFUSED_KEY:
            self._show(LinkState(REFUSED, session.detail))
            await self._pause(self._timings.refused_pause * (1 + self._timings.jitter() / 2))
        else:
            await self._back_off()

    async def _back_off(self) -> None:
        pause = min(self._timings.longest_pause, self._timings.first_pause * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        await self._pause(pause * (0.5 + self._timings.jitter()))

    async def _pause(self, seconds: float) -> None:
        """Wait, unless it is stopped or another pairing is entered meanwhile."""
        stamp, ends = self.file.stamp(), self._timings.clock() + seconds
        while not self._stopped.is_set() and self.file.stamp() == stamp:
            left = ends - self._timings.clock()
            if left <= 0 or left > seconds:  # a clock that was set back must not make it longer
                return
            await self._timings.sleep(min(left, self._timings.look))

    def _show(self, state: LinkState) -> None:
        if state != self.state:
            self.state = state
            log.info("CivitAI Link: %s", state.sentence)
            self._on_state(state)
