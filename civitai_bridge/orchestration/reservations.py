"""Who may spend what: the orders of one prompt are gathered, then reserved together, before the first of them leaves.

ComfyUI starts all ready nodes of a prompt within some 50 ms (facts/comfyui-probes.md §12). Each enters here when it
starts and tells its plan when it knows the price; once nobody new has come for a moment and all who came have told
(or gone), one transaction reserves all of them or none. What becomes ready later forms the next round against what is
left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from .purchase import PlannedPurchase, Purchase

QUIET = 0.1  # seconds without a newcomer after which a round is closed

Reserve = Callable[[Sequence[PlannedPurchase]], Awaitable[Sequence[Purchase]]]


class Reservations:
    """The rounds of all prompts; lives on one event loop."""

    def __init__(self, reserve: Reserve, *, quiet: float = QUIET) -> None:
        self._reserve = reserve
        self._quiet = quiet
        self._open: dict[str, _Batch] = {}

    def enter(self, prompt_id: str) -> Reservation:
        """Take a place in the open round of a prompt. Without a prompt (scripts, the shell) everybody is alone."""
        if not prompt_id:
            return Reservation(_Batch(self._reserve, 0.0, lambda _: None))
        round_ = self._open.get(prompt_id)
        if round_ is None:
            round_ = _Batch(self._reserve, self._quiet, lambda r: self._close(prompt_id, r))
            self._open[prompt_id] = round_
        return Reservation(round_)

    def _close(self, prompt_id: str, round_: _Batch) -> None:
        if self._open.get(prompt_id) is round_:
            del self._open[prompt_id]


class Reservation:
    """One order's place in a round; `with` gives it back whatever happens."""

    def __init__(self, round_: _Batch) -> None:
        self._round = round_
        self._waiting = True
        round_.arrive()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    async def reserve(self, plan: PlannedPurchase) -> Purchase:
        """The row that serves this plan, once the whole round is reserved. Raises LimitReached for all of a round
        alike."""
        future = self._round.tell(plan)
        self._leave()
        return await future

    def withdraw(self, plan: PlannedPurchase) -> bool:
        """Take a told plan back; False when its round is being reserved already."""
        return self._round.withdraw(plan)

    def _leave(self) -> None:
        if self._waiting:
            self._waiting = False
            self._round.leave()


class _Batch:
    def __init__(self, reserve: Reserve, quiet: float, closed: Callable[[_Batch], None]) -> None:
        self._reserve = reserve
        self._quiet = quiet
        self._closed = closed
        self._undecided = 0
        self._told: list[tuple[PlannedPurchase, asyncio.Future[Purchase]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def arrive(self) -> None:
        self._undecided += 1
        self._again()

    def leave(self) -> None:
        self._undecided -= 1
        self._again()

    def tell(self, plan: PlannedPurchase) -> asyncio.Future[Purchase]:
        future: asyncio.Future[Purchase] = asyncio.get_running_loop().create_future()
        self._told.append((plan, future))
        return future

    def withdraw(self, plan: PlannedPurchase) -> bool:
        if self._task:
            return False
        self._told = [(told, future) for told, future in self._told if told.key != plan.key]
        self._again()
        return True

    def _again(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._quiet, self._look)

    def _look(self) -> None:
        if self._undecided or self._task:
            return
        self._closed(self)
        if self._told:
            self._task = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        plans = [plan for plan, _ in self._told]
        try:
            rows = await self._reserve(plans)
        except Exception as error:  # whatever it is belongs to those who wait, each of them
            for _, future in self._told:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), row in zip(self._told, rows, strict=True):
            if not future.done():
                future.set_result(row)
