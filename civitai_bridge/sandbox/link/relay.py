"""The Link relay: a server whose rooms are keys. It passes commands to agents and statuses to browsers, checks
nothing and stores nothing, and does what its script says wrong.

A member names its role with `iam`, then joins a room by its key; whoever knows the key is in. When a browser and an
agent first meet in the room of a code, the room is moved to a long key that both are sent."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from .connections import Connections
from .delivery import Delivery, Member
from .instances import Instances
from .rest import link_routes
from .script import RelayScript

_ROLES = {"command": "client", "commandStatus": "sd"}
_UNIDENTIFIED = "You must identify yourself first"


class Relay:
    """The relay on one port of loopback: `await relay.start()`, `await relay.restart(away=2)`, `await relay.stop()`.
    `connections` has its port and how often it pings, `delivery` its members, `log` every message so far, the oldest of
    very many left out."""

    def __init__(self, instances: Instances, script: RelayScript, *, port: int = 0) -> None:
        self.instances, self.script = instances, script
        self.connections = Connections(script, port)
        self.delivery = Delivery(self.connections, script)
        self.log = self.delivery.log

    @property
    def url(self) -> str:
        """Where the relay listens."""
        return f"http://127.0.0.1:{self.connections.port}"

    async def start(self) -> None:
        """Listen. Raises BadSetting where the port is taken."""
        handlers = {
            "connect": self._connected, "disconnect": self._disconnected, "iam": self._iam, "join": self._join,
            "leave": self._leave, **{event: partial(self._pass, event) for event in _ROLES},
        }  # fmt: skip
        await self.connections.start(handlers, link_routes(self.instances, self.script, self.kick))

    async def stop(self) -> None:
        """Close the port and every connection; who was in which room is forgotten, the instances are not."""
        await self.connections.stop()
        self.delivery.clear()

    async def restart(self, away: float = 0.0) -> None:
        """Stop, stay away for some seconds, and listen on the same port again."""
        await self.stop()
        await asyncio.sleep(away)
        await self.start()

    async def kick(self, key: str) -> None:
        """Tell all members of a room that its key is gone, and empty it."""
        for member in self.delivery.room(key):
            member.key = ""
            await self.delivery.deliver(member, "kicked")

    async def sever(self, role: str, kind: str = "cut") -> None:
        """End the connections of all members of a role: `cut` without a word, `drop` by the server's."""
        for member in [member for member in self.delivery.members.values() if member.role == role]:
            await self.delivery.sever(member, kind)

    # --- events of members

    async def _connected(self, sid: str, environ: dict[str, Any], auth: Any = None) -> bool | None:
        member = Member(sid)
        if not self.connections.admit(sid, environ):
            self.delivery.note("state", member, "connect", None, "refuse")
            return False
        self.delivery.members[sid] = member
        fault = self.script.next_fault("ping")
        self.delivery.note("state", member, "connect", None, fault.kind if fault else "")
        if fault is not None:
            self.connections.disturb_pings(sid, fault, lambda: setattr(member, "frozen", True))
        return None

    async def _disconnected(self, sid: str, reason: Any = None) -> None:
        member = self.delivery.members.pop(sid, None)
        if member is not None:
            self.delivery.note("state", member, "disconnect", str(reason))
            await self.delivery.announce(member.key)

    async def _iam(self, sid: str, *data: Any) -> None:
        member = self.delivery.heard(sid, "iam", data)
        if member and data and isinstance(data[0], dict) and data[0].get("type") in ("sd", "client"):
            member.role = data[0]["type"]

    async def _join(self, sid: str, *data: Any) -> Any:
        """The answer is the acknowledgement; presence follows it."""
        member = self.delivery.heard(sid, "join", data)
        if member is None:
            return self.connections.server.not_handled
        fault = self.script.next_fault("join")
        if fault is not None:
            self.delivery.note("state", member, "join", None, fault.kind)
            if fault.kind == "refused":
                return {"success": False, "msg": "The relay was told to refuse this."}
            if fault.kind in ("silent", "cut", "drop"):
                if fault.kind != "silent":
                    await self.delivery.sever(member, fault.kind)
                return self.connections.server.not_handled
        answer = await self._enter(member, data[0] if data else None)
        if fault is not None:
            await asyncio.sleep(fault.seconds)
        return answer

    async def _enter(self, member: Member, key: Any) -> dict[str, Any]:
        if not member.role:
            return {"success": False, "msg": _UNIDENTIFIED}
        if not isinstance(key, str) or not key:
            return {"success": False, "msg": "Invalid key"}
        key = key.lower()
        known = self.instances.by_key(key) is not None
        if not known and self.script.unknown_key in ("refuse", "disconnect"):
            if self.script.unknown_key == "disconnect":
                self.delivery.soon(self.delivery.sever(member, "drop"))
            return {"success": False, "msg": "Invalid key"}
        before, member.key = member.key, key
        if before != key:
            await self.delivery.announce(before)
        self.delivery.soon(self._settle(key, kick=not known and self.script.unknown_key == "kick"))
        return {"success": True, "msg": "Joined"}

    async def _settle(self, key: str, *, kick: bool) -> None:
        """After somebody came into a room: one whose key is nobody's is emptied, that of a code is moved."""
        row = self.instances.by_key(key)
        members = self.delivery.room(key)
        if kick or (row is None and len(members) > 1):
            await self.kick(key)
            return
        if row is not None and not row.activated and {"sd", "client"} <= {member.role for member in members}:
            key = self.instances.upgrade(row).key
            for member in members:
                member.key = key
            for member in members:
                await self.delivery.deliver(member, "upgradeKey", {"key": key})
        await self.delivery.announce(key)

    async def _leave(self, sid: str, *data: Any) -> None:
        member = self.delivery.heard(sid, "leave", data)
        if member is not None:
            before, member.key = member.key, ""
            await self.delivery.announce(before)

    async def _pass(self, event: str, sid: str, *data: Any) -> None:
        """From one member to all others of its room; from one in no room to nobody."""
        member = self.delivery.heard(sid, event, data)
        if member is None or not member.key or (self.script.roles and member.role != _ROLES[event]):
            return
        for other in self.delivery.room(member.key):
            if other is not member or self.script.echo:
                await self.delivery.deliver(other, event, *data)
