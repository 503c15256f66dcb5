"""Messages from the relay to its members: each may be lost, doubled, late, overtaken, or meet a broken connection."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from .connections import Connections
from .script import RelayFault, RelayScript

_SWAP_WAITS = 0.5  # seconds after which a message that waits to be overtaken goes anyway


@dataclass
class Member:
    """One connection: its role from `iam`, and the key whose room it is in. `frozen`: nothing travels any more;
    `behind` waits for a later message."""

    sid: str
    role: str = ""
    key: str = ""
    frozen: bool = False
    behind: tuple[str, tuple[Any, ...]] | None = None


@dataclass(frozen=True)
class Passed:
    """One line of the relay's log. `way` is `in` (from a member), `out` (to it) or `state` (connect, disconnect);
    `fate` the fault that it met. `when` is seconds since the epoch."""

    when: float
    way: str
    sid: str
    role: str
    event: str
    data: Any
    fate: str = ""


class Delivery:
    """Who is connected, and what is on its way to them."""

    def __init__(self, connections: Connections, script: RelayScript) -> None:
        self.members: dict[str, Member] = {}
        self.log: deque[Passed] = deque(maxlen=200_000)
        self._connections, self._script = connections, script
        self._later: set[asyncio.Task[None]] = set()

    def room(self, key: str) -> list[Member]:
        """The members of a key's room."""
        return [member for member in self.members.values() if key and member.key == key]

    def heard(self, sid: str, event: str, data: tuple[Any, ...]) -> Member | None:
        """The member that an event comes from; None where the relay hears nothing of it."""
        member = self.members.get(sid)
        if member is None or member.frozen:
            return None
        self.note("in", member, event, data[0] if data else None)
        return member

    async def announce(self, key: str) -> None:
        """Tell a room how many of each role are in it."""
        members = self.room(key)
        counts = {role: sum(member.role == role for member in members) for role in ("client", "sd")}
        for member in members:
            await self.deliver(member, "roomPresence", counts)

    async def deliver(self, member: Member, event: str, *data: Any) -> None:
        """Send, or do what the script says instead."""
        fault = self._script.next_fault(event)
        kind = fault.kind if fault else ""
        self.note("out", member, event, data[0] if data else None, kind)
        if fault is None or kind in ("twice", "cut after"):
            await self._emit(member, event, data)
        if fault is not None:
            await self._go_wrong(member, event, data, fault)

    async def sever(self, member: Member, kind: str) -> None:
        """End a connection: `drop` by the server's word, `cut…` without one."""
        if kind == "drop":
            await self._connections.server.disconnect(member.sid)
        else:
            await asyncio.sleep(0.02 if kind == "cut after" else 0)  # so that what was written leaves
            if member.sid in self.members:
                self._connections.abort(member.sid)

    def soon(self, work: Any, seconds: float = 0.005) -> None:
        """Do it after what is being answered now."""

        async def later() -> None:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                work.close()
                raise
            with contextlib.suppress(KeyError, ValueError):  # the member has gone meanwhile
                await work

        task = asyncio.ensure_future(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def clear(self) -> None:
        """Forget everybody, and what was on its way."""
        for task in list(self._later):
            task.cancel()
        for member in self.members.values():
            self.note("state", member, "disconnect", "the relay stopped")
        self.members.clear()

    def note(self, way: str, member: Member, event: str, data: Any, fate: str = "") -> None:
        """One line of the log."""
        self.log.append(Passed(time.time(), way, member.sid, member.role, event, data, fate))

    async def _go_wrong(self, member: Member, event: str, data: tuple[Any, ...], fault: RelayFault) -> None:
        if fault.kind == "twice":
            await self._emit(member, event, data)
        elif fault.kind == "late":
            self.soon(self._emit(member, event, data), fault.seconds)
        elif fault.kind == "swap":
            await self._release(member)
            member.behind = (event, data)
            self.soon(self._release(member), _SWAP_WAITS)
        elif fault.kind != "lost":
            await self.sever(member, fault.kind)

    async def _release(self, member: Member) -> None:
        """Send what waited to be overtaken."""
        behind, member.behind = member.behind, None
        if behind is not None and not member.frozen and member.sid in self.members:
            await self._connections.server.emit(*behind, to=member.sid)

    async def _emit(self, member: Member, event: str, data: tuple[Any, ...]) -> None:
        if not member.frozen and member.sid in self.members:
            await self._connections.server.emit(event, data, to=member.sid)
            await self._release(member)
