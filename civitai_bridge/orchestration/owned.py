"""A purchase that we own: its row in the journal as we know it, its heartbeat, and writes that respect ownership."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from ..errors import StateTrouble
from .purchase import Purchase
from .services import Services
from .workflow import Workflow


class RowLost(Exception):
    """Somebody else owns the row now; nothing of ours is written any more."""


class OwnedPurchase:
    """One purchase between taking its row and releasing it. `purchase` is the row as it stands, `workflow` what the
    service said last. `on_cancel` is called on the loop when a cancel is wanted, `on_lost` when the row has another
    owner (the machine slept, and somebody else drives it now)."""

    def __init__(
        self,
        services: Services,
        purchase: Purchase,
        owner: str,
        *,
        on_cancel: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.services = services
        self.purchase = purchase
        self.owner = owner
        self.workflow: Workflow | None = None
        self.activity = ""  # what is waited for, in words, where the state of the purchase does not say it
        self.over = False
        self._on_cancel = on_cancel
        self._on_lost = on_lost

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """The row with its heart beating; released at the end, whatever happens."""
        heart = asyncio.get_running_loop().create_task(self._beat())
        try:
            yield
        finally:
            heart.cancel()
            self.over = True
            # Only handed over: what is torn down cannot wait, and neither may the loop.
            self.services.journal_thread.submit(self._release)

    def _release(self) -> None:
        with contextlib.suppress(StateTrouble):  # the heart has stopped by itself; the row is taken over soon
            self.services.journal.release(self.purchase.key, self.owner)

    async def _beat(self) -> None:
        services = self.services
        while True:
            await asyncio.sleep(services.timings.heartbeat)
            try:
                purchase = await services.in_thread(services.journal.beat, self.purchase.key, self.owner)
            except StateTrouble:
                continue  # the disk is full or locked; the next write of the story says so
            if purchase.owner != self.owner:
                self._on_lost()
                return
            if purchase.cancel_wanted:
                self.want_cancel()

    def want_cancel(self) -> None:
        """A person wants it cancelled. Called on the loop."""
        self.purchase = replace(self.purchase, cancel_wanted=True)
        self._on_cancel()

    async def write(self, **facts: Any) -> None:
        """Write facts (see `Journal.record`) into the row. Raises RowLost when it has another owner."""
        await self.apply(lambda: self.services.journal.record(self.purchase.key, owner=self.owner, **facts))

    async def apply(self, write: Callable[[], Purchase]) -> None:
        """Write by `write`, and go on with what the row is now; a cancel that came meanwhile is carried out at once.
        Raises RowLost."""
        purchase = await self.services.in_thread(write)
        if purchase.owner != self.owner:
            raise RowLost
        self.purchase = replace(purchase, cancel_wanted=purchase.cancel_wanted or self.purchase.cancel_wanted)
        if self.purchase.cancel_wanted:
            self.want_cancel()

    def age(self) -> float:
        """Seconds since the purchase was made; of a clock that jumped, the distance."""
        return abs(self.services.timings.clock() - self.purchase.created)
