"""Who may spend what: the orders of one prompt are gathered, then reserved together, before the first of them leaves.

ComfyUI starts all ready nodes of a prompt within some 50 ms (measured on 0.8.0 and 0.33.0). Each enters here when it
starts and adds its planned purchase when it knows the price; once nobody new has come for a moment and all who came
have added theirs (or gone), one transaction reserves all of them or none. What becomes ready later forms the next batch
against what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from .purchase import PlannedPurchase, Purchase

QUIET = 0.1  # seconds without a newcomer after which a batch is closed

Reserve = Callable[[Sequence[PlannedPurchase]], Awaitable[Sequence[Purchase]]]


class Reservations:
    """The batches of all prompts; lives on one event loop."""

    def __init__(self, reserve: Reserve, *, quiet: float = QUIET) -> None:
        self._reserve = reserve
        self._quiet = quiet
        self._open: dict[str, _Batch] = {}

    def enter(self, prompt_id: str) -> Reservation:
        """Take a place in the open batch of a prompt. Without a prompt (scripts, the shell) everybody is alone."""
        if not prompt_id:
            return Reservation(_Batch(self._reserve, 0.0, lambda _: None))
        batch = self._open.get(prompt_id)
        if batch is None:
            batch = self._open[prompt_id] = _Batch(self._reserve, self._quiet, partial(self._close, prompt_id))
        return Reservation(batch)

    def _close(self, prompt_id: str, batch: _Batch) -> None:
        if self._open.get(prompt_id) is batch:
            del self._open[prompt_id]


class Reservation:
    """One order's place in a batch; `with` gives it back whatever happens."""

    def __init__(self, batch: _Batch) -> None:
        self._batch = batch
        self._waiting = True
        batch.arrive()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    async def reserve(self, planned: PlannedPurchase) -> Purchase:
        """The row that serves this order, once the whole batch is reserved. Raises LimitReached for all of a batch
        alike."""
        reserved = self._batch.add(planned)
        self._leave()
        return await reserved

    def withdraw(self, planned: PlannedPurchase) -> bool:
        """Take an added order back; False when its batch is being reserved already."""
        return self._batch.withdraw(planned)

    def _leave(self) -> None:
        if self._waiting:
            self._waiting = False
            self._batch.leave()


class _Batch:
    def __init__(self, reserve: Reserve, quiet: float, closed: Callable[[_Batch], None]) -> None:
        self._reserve = reserve
        self._quiet = quiet
        self._closed = closed
        self._undecided = 0
        self._orders: list[tuple[PlannedPurchase, asyncio.Future[Purchase]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def arrive(self) -> None:
        self._undecided += 1
        self._wait_again()

    def leave(self) -> None:
        self._undecided -= 1
        self._wait_again()

    def add(self, planned: PlannedPurchase) -> asyncio.Future[Purchase]:
        reserved: asyncio.Future[Purchase] = asyncio.get_running_loop().create_future()
        self._orders.append((planned, reserved))
        return reserved

    def withdraw(self, planned: PlannedPurchase) -> bool:
        if self._task:
            return False
        self._orders = [order for order in self._orders if order[0].key != planned.key]
        self._wait_again()
        return True

    def _wait_again(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._quiet, self._close_if_complete)

    def _close_if_complete(self) -> None:
        if self._undecided or self._task:
            return
        self._closed(self)
        if self._orders:
            self._task = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        waiting = [reserved for _, reserved in self._orders]
        try:
            rows = await self._reserve([planned for planned, _ in self._orders])
        except Exception as error:  # whatever it is belongs to those who wait, each of them
            for reserved in waiting:
                if not reserved.done():
                    reserved.set_exception(error)
            return
        for reserved, row in zip(waiting, rows, strict=True):
            if not reserved.done():
                reserved.set_result(row)
