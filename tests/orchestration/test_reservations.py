"""The orders of one prompt are gathered before the first of them leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pack.civitai_bridge.errors import LimitReached
from pack.civitai_bridge.orchestration.purchase import Buyer, PlannedPurchase
from pack.civitai_bridge.orchestration.reservations import Reservations


class Reserve:
    def __init__(self, error: Exception | None = None) -> None:
        self.rounds: list[list[str]] = []
        self.error = error

    async def __call__(self, plans: Sequence[PlannedPurchase]) -> Sequence[Any]:
        self.rounds.append(sorted(plan.key for plan in plans))
        if self.error:
            raise self.error
        return [plan.key for plan in plans]


def plan(key: str) -> PlannedPurchase:
    return PlannedPurchase(key, key, Buyer("me", "base"), "{}", 1)


async def order(
    reservations: Reservations, key: str, *, prompt: str = "p", delay: float = 0.0, fail: bool = False
) -> Any:
    with reservations.enter(prompt) as place:
        await asyncio.sleep(delay)
        if fail:
            raise ValueError("no price")
        return await place.reserve(plan(key))


async def test_all_who_are_ready_are_one_round():
    reserve = Reserve()
    reservations = Reservations(reserve, quiet=0.03)
    got = await asyncio.gather(*(order(reservations, str(n), delay=n * 0.01) for n in range(8)))
    assert got == [str(n) for n in range(8)] and len(reserve.rounds) == 1


async def test_a_slow_price_is_waited_for_and_a_failed_one_is_not():
    reserve = Reserve()
    reservations = Reservations(reserve, quiet=0.02)
    results = await asyncio.gather(
        order(reservations, "quick"),
        order(reservations, "slow", delay=0.15),
        order(reservations, "bad", fail=True),
        return_exceptions=True,
    )
    assert isinstance(results[2], ValueError) and reserve.rounds == [["quick", "slow"]]


async def test_prompts_do_not_wait_for_each_other():
    reserve = Reserve()
    reservations = Reservations(reserve, quiet=0.02)
    await asyncio.gather(
        order(reservations, "a", prompt="1"), order(reservations, "b", prompt="2"), order(reservations, "c", prompt="")
    )
    assert sorted(reserve.rounds) == [["a"], ["b"], ["c"]]


async def test_who_comes_later_is_the_next_round():
    reserve = Reserve()
    reservations = Reservations(reserve, quiet=0.02)
    await order(reservations, "a")
    await order(reservations, "b")
    assert reserve.rounds == [["a"], ["b"]]


async def test_a_no_is_told_to_all():
    reserve = Reserve(LimitReached("no", limit="x", left=0))
    reservations = Reservations(reserve, quiet=0.02)
    results = await asyncio.gather(*(order(reservations, str(n)) for n in range(3)), return_exceptions=True)
    assert all(isinstance(result, LimitReached) for result in results)


async def test_who_withdraws_is_not_reserved():
    reserve = Reserve()
    reservations = Reservations(reserve, quiet=0.02)

    async def changes_mind() -> None:
        with reservations.enter("p") as place:
            mine = plan("gone")
            waiting = asyncio.ensure_future(place.reserve(mine))
            await asyncio.sleep(0)
            assert place.withdraw(mine)
            waiting.cancel()

    await asyncio.gather(changes_mind(), order(reservations, "stays"))
    assert reserve.rounds == [["stays"]]
