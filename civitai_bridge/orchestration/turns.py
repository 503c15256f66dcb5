"""Whose turn it is: how many orders of one Fleet are at CivitAI at once (the setting `parallel_jobs`), first come,
first served, whichever graph or node they come from.

Only an order that has not left waits in the line. What is paid is watched whatever the limit says, and counts for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """The places at CivitAI and the line before them; `most` orders at once, 0 = as many as come. Lives on one event
    loop."""

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._placed: set[Turn] = set()
        self._line: dict[Turn, asyncio.Future[None]] = {}

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """The turn of one order; its place is free again when the block is left, whatever happens."""
        turn = Turn(self)
        try:
            yield turn
        finally:
            self.leave_line(turn)
            self._placed.discard(turn)
            while self._line and self._has_room():
                self.place(next(iter(self._line)))

    async def join(self, turn: Turn) -> bool:
        """Take a place, or stand in the line until one is free or the line is left; gives whether that was needed."""
        if turn in self._placed or (not self._line and self._has_room()):
            self.place(turn)
            return False
        self._line[turn] = asyncio.get_running_loop().create_future()
        await self._line[turn]
        return True

    def leave_line(self, turn: Turn) -> None:
        """Stand in the line no longer, with a place or without."""
        called = self._line.pop(turn, None)
        if called is not None and not called.done():
            called.set_result(None)

    def place(self, turn: Turn) -> None:
        """Give a place, whether there is room or not."""
        self._placed.add(turn)
        self.leave_line(turn)

    def before(self, turn: Turn) -> int | None:
        """How many stand before this one in the line; None when it does not stand there."""
        return list(self._line).index(turn) if turn in self._line else None

    def _has_room(self) -> bool:
        return not self._most or len(self._placed) < self._most


class Turn:
    """One order's place, or its wait for one."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    @property
    def before(self) -> int | None:
        """How many orders stand before this one; None when it does not wait."""
        return self._turns.before(self)

    async def come(self) -> bool:
        """Wait until the order may leave, or until `give_up`; gives whether there was a wait."""
        return await self._turns.join(self)

    def give_up(self) -> None:
        """End the wait without a place: the order is not to leave any more."""
        self._turns.leave_line(self)

    def occupy(self) -> None:
        """Count from now on, without a wait: the job is at CivitAI already."""
        self._turns.place(self)
