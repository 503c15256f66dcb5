"""A browser of the site on one Link instance, driven by a script over a real connection to the relay.

browser = await sandbox.link.browse()            # asks for an instance and waits in the room of its code
… an agent is paired with browser.code …
await browser.until_linked()
end = await browser.finish(await browser.send("resources:add", resource=…))
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from .page_connection import PageConnection
from .page_state import PageState

_PATIENCE = 20.0  # seconds


class Browser(PageConnection):
    """A page of the site. `instance` is the id of its row; `page` what it shows and complains of; `sent` its commands
    by id; `arrived` every status with its second of this process. With `asks`, it asks for activities and list when
    both sides are first there, as the site does."""

    def __init__(self, url: str, *, cookie: str = "sandbox", asks: bool = True) -> None:
        super().__init__(url, cookie)
        self.instance = 0
        self.page = PageState()
        self.sent: dict[str, list[dict[str, Any]]] = {}
        self.arrived: list[tuple[float, Any]] = []
        self._asks = asks

    @property
    def code(self) -> str:
        """The pairing code, while it is one."""
        return self.key if len(self.key) == 6 else ""

    async def pair(self) -> str:
        """Ask for a new instance and wait in the room of its code. Returns the code."""
        answer = await self.site_call("POST", body={})
        self.instance = answer["id"]
        await self._enter_room(answer["key"])
        return answer["key"]

    async def open(self, instance: int) -> None:
        """Join the room of an instance of this user."""
        rows = await self.site_call("GET")
        self.instance = instance
        await self._enter_room(next(row["key"] for row in rows if row["id"] == instance))

    async def forget(self) -> None:
        """Delete the instance; the relay kicks its room."""
        await self.site_call("DELETE", f"?id={self.instance}")

    async def send(self, kind: str, *, id: str | None = None, **fields: Any) -> str:
        """Send a command as the site writes it. Returns its id."""
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        command = {"type": kind, "id": id or str(uuid.uuid4()), "createdAt": stamp, **fields}
        self.sent.setdefault(command["id"], []).append(command)
        await self.send_raw(command)
        return command["id"]

    async def finish(self, id: str, seconds: float = _PATIENCE) -> dict[str, Any]:
        """Wait for the final status of a command. Raises TimeoutError with what came so far."""
        await self.until(lambda: self.page.final(id) is not None, seconds, lambda: self.page.statuses.get(id))
        final = self.page.final(id)
        assert final is not None
        return final

    async def until_linked(self, seconds: float = _PATIENCE) -> None:
        """Wait until an agent is in the room."""
        await self.until(lambda: self.linked, seconds, lambda: self.presence)

    async def until(
        self, true: Callable[[], bool], seconds: float = _PATIENCE, seen: Callable[[], Any] | None = None
    ) -> None:
        """Wait until something is so; it is looked at whenever a message came. Raises TimeoutError."""
        ends = time.monotonic() + seconds
        while not true():
            self.changed.clear()
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"after {seconds} s still: {str(seen() if seen else self.page)[:2000]}")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.changed.wait(), min(left, 0.25))

    async def on_status(self, *data: Any) -> None:
        """Show it as the page does, and judge it."""
        status = data[0] if data else None
        self.arrived.append((time.monotonic(), status))
        name = status.get("id") if isinstance(status, dict) else None
        self.page.take(status, self.sent.get(name, ()) if isinstance(name, str) else ())
        self.changed.set()

    async def on_linked(self) -> None:
        """The site's first questions, once."""
        if self._asks:
            self._asks = False
            await self.send("activities:list")
            await self.send("resources:list")

    async def _enter_room(self, key: str) -> None:
        self.stay(key)
        await self.until(lambda: self.joined or self.kicked)
