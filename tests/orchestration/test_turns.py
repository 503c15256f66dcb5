"""The setting `parallel_jobs`: who waits for its turn, in which order, and what never waits."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from fake_service import WANTED, FakeService, Servers, buy, states
from stories import MOST_PATIENT, until

from pack.civitai_bridge.errors import BadSetting, Interrupted, StillRunning, TooExpensive, Unconfirmed, Unreachable
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, State, Terms
from pack.civitai_bridge.orchestration.request import GenerationRequest
from pack.civitai_bridge.orchestration.turns import Turn, Turns
from pack.civitai_bridge.settings import check_setting


def order(name: str) -> GenerationRequest:
    return GenerationRequest(model="128078", prompt=name)


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / 200)


async def test_the_first_that_came_is_the_first_that_goes():
    turns, gone = Turns(2), []

    async def go(number: int, leave: asyncio.Event) -> None:
        with turns.turn() as turn:
            await turn.come()
            gone.append(number)
            await leave.wait()

    leaves = [asyncio.Event() for _ in range(6)]
    work = [asyncio.ensure_future(go(number, leave)) for number, leave in enumerate(leaves)]
    await asyncio.sleep(0)
    assert gone == [0, 1]
    for number, leave in enumerate(leaves):
        leave.set()
        await asyncio.wait({work[number]})
        await asyncio.sleep(0)
        assert gone == list(range(min(6, number + 3)))
    await asyncio.gather(*work)


async def test_what_is_paid_takes_a_place_that_is_not_there_and_counts():
    turns = Turns(1)
    with ExitStack() as held:
        paid = [held.enter_context(turns.turn()) for _ in range(3)]
        for turn in paid:
            turn.occupy()
        waits = asyncio.ensure_future(_come(turns))
        await asyncio.sleep(0)
        assert not waits.done()
    assert await waits, "it had to wait"


async def _come(turns: Turns) -> bool:
    with turns.turn() as turn:
        return await turn.come()


@pytest.mark.parametrize("ends", ["gives up", "torn down"])
async def test_who_leaves_the_line_takes_no_place_and_holds_up_nobody(ends: str):
    turns = Turns(1)
    async with AsyncExitStack() as held:
        first = held.enter_context(turns.turn())
        assert not await first.come()
        leaver: list[Turn] = []

        async def leave() -> bool:
            with turns.turn() as turn:
                leaver.append(turn)
                return await turn.come()

        leaving, last = asyncio.ensure_future(leave()), asyncio.ensure_future(_come(turns))
        await asyncio.sleep(0)
        assert leaver[0].before == 0 and not last.done()
        if ends == "gives up":
            leaver[0].give_up()
        else:
            leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert not last.done()
    assert await last


async def test_without_a_limit_nobody_waits():
    turns = Turns()
    with ExitStack() as held:
        for _ in range(500):
            assert not await held.enter_context(turns.turn()).come()


@pytest.mark.parametrize("value", ["-1", "many", "1.5"])
def test_a_number_of_jobs_that_is_none_is_refused_by_name(value: str):
    with pytest.raises(BadSetting, match="parallel_jobs"):
        check_setting("parallel_jobs", value)


async def one_running(server: Fleet, fleet: FakeService) -> asyncio.Future[Any]:
    """A job that has the only place until `polls_until_done` is lowered."""
    fleet.polls_until_done = MOST_PATIENT
    work = asyncio.ensure_future(buy(server, order("first")))
    await until(lambda: "accepted" in states(server))
    return work


async def test_orders_are_held_back_in_the_order_in_which_they_came_and_the_node_says_so(
    make: Servers, fleet: FakeService
):
    server, texts = make(parallel_jobs=1, sleep=sleep), dict[str, list[str]]()
    first, held = await one_running(server, fleet), []
    for name in "abc":
        seen = texts[name] = []

        def show(state: State, seen: list[str] = seen) -> None:
            seen.append(state.text)

        held.append(asyncio.ensure_future(buy(server, order(name), caller=Caller(progress=show))))
        await until(lambda seen=seen: any("turn" in text for text in seen))
    assert len(fleet.submits) == 1 and states(server) == ["accepted", "planned", "planned", "planned"]
    assert texts["a"][-1].startswith("Waits for its turn, the next one · 16 Buzz · ")
    assert texts["c"][-1].startswith("Waits for its turn, 2 before it · 16 Buzz · ")
    fleet.polls_until_done = 1
    await asyncio.gather(first, *held)
    prompts = [submit["steps"][0]["input"]["prompt"] for submit in fleet.submits]
    assert prompts == ["first", "a", "b", "c"] and states(server) == ["collected"] * 4


async def held_back(server: Fleet, wanted: GenerationRequest = WANTED, **options: Any) -> asyncio.Future[Any]:
    before = states(server).count("planned")
    work = asyncio.ensure_future(server.generate(wanted, options.pop("terms", None) or Terms(), **options))
    await until(lambda: states(server).count("planned") > before and any(run.held for run in server.runs))
    return work


async def test_an_order_that_is_held_back_is_cancelled_by_its_person_and_never_leaves(
    make: Servers, fleet: FakeService
):
    server, pressed = make(parallel_jobs=1, sleep=sleep), asyncio.Event()
    first = await one_running(server, fleet)
    held = await held_back(server, caller=Caller(cancelled=pressed.is_set))
    pressed.set()
    with pytest.raises(Interrupted, match=r"Cancelled before it was sent\. Nothing was bought\."):
        await held
    await until(lambda: states(server) == ["accepted", "canceled"] and len(server.runs) == 1)
    fleet.polls_until_done = 1
    await first
    assert len(fleet.submits) == 1 and fleet.count("cancel") == 0


async def test_the_shell_cancels_an_order_that_a_server_holds_back(make: Servers, fleet: FakeService):
    server, shell = make(parallel_jobs=1, sleep=sleep, heartbeat=0.05), make()
    first = await one_running(server, fleet)
    held = await held_back(server)
    (row,) = (row for row in shell.journal.rows() if row.state == "planned")
    assert "was never sent; it is cancelled and cost nothing" in await shell.cancel(row.key)
    with pytest.raises(Exception, match="was cancelled before it left and cost nothing"):
        await held
    fleet.polls_until_done = 1
    await first
    assert len(fleet.submits) == 1


async def test_the_minutes_of_a_wait_do_not_run_while_an_order_is_held_back(make: Servers, fleet: FakeService):
    server = make(parallel_jobs=1, sleep=sleep)
    first = await one_running(server, fleet)
    held = await held_back(server, terms=Terms(wait_minutes=0.005))
    await asyncio.sleep(0.5)
    assert not held.done()
    fleet.polls_until_done = 1
    await first
    assert len((await held).pictures) == 2


async def test_what_is_paid_is_watched_though_no_place_is_free(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    earlier = make(heart_stops=0.2)
    for name in "ab":
        with pytest.raises(StillRunning):
            await earlier.generate(order(name), Terms(wait_minutes=0.001))
    await earlier.close()
    server = make(parallel_jobs=1, sleep=sleep, heart_stops=0.2)
    paid = [asyncio.ensure_future(buy(server, order(name))) for name in "ab"]
    await until(lambda: len(server.runs) == 2)
    held = await held_back(server, order("c"))
    await asyncio.sleep(0.1)
    assert len(fleet.submits) == 2, "they count, so a new order waits for them"
    fleet.polls_until_done = 1
    assert not any(outcome.paid_now for outcome in await asyncio.gather(*paid))
    assert (await held).paid_now


async def test_an_order_without_an_answer_is_looked_for_before_it_waits_for_its_turn(make: Servers, fleet: FakeService):
    server = make(parallel_jobs=1, sleep=sleep)
    fleet.after["submit"] = [Unreachable("the answer was lost")] * 4
    fleet.before["list"] = [Unreachable("down")] * 99
    with pytest.raises(Unconfirmed):
        await server.generate(order("lost"), Terms())
    fleet.before.clear()
    fleet.after.clear()
    submits = len(fleet.submits)
    first = await one_running(make(parallel_jobs=1, sleep=sleep), fleet)
    fleet.workflows["7-1"]["polls"] = MOST_PATIENT
    found = await make.made[-1].generate(order("lost"), Terms())
    assert len(found.pictures) == 1 and len(fleet.submits) == submits + 1 and not first.done()
    fleet.polls_until_done = 1
    await first


async def test_nothing_is_bought_for_those_who_left_while_it_was_held_back(make: Servers, fleet: FakeService):
    server, over = make(parallel_jobs=1, sleep=sleep), asyncio.Event()
    first = await one_running(server, fleet)
    held = await held_back(server, caller=Caller(abandoned=over.is_set))
    await asyncio.sleep(0.25)
    over.set()
    fleet.polls_until_done = 1
    await first
    with pytest.raises(Interrupted, match="Nobody waited for it any more"):
        await held
    assert len(fleet.submits) == 1
    assert (await buy(server)).paid_now, "asked for again it is bought"
    assert states(server) == ["collected", "canceled", "collected"]


async def test_a_price_that_rose_while_an_order_was_held_back_is_not_paid_unasked(make: Servers, fleet: FakeService):
    server = make(parallel_jobs=1, sleep=sleep, waits={"price_holds": 0.1})
    first = await one_running(server, fleet)
    held = await held_back(server, terms=Terms(max_buzz=20))
    await asyncio.sleep(0.25)
    fleet.asked_price = 21
    fleet.polls_until_done = 1
    await first
    with pytest.raises(TooExpensive, match="21 Buzz, more than the max_buzz of 20"):
        await held
    assert len(fleet.submits) == 1 and states(server)[1:] == ["refused"]


async def test_a_server_that_stops_sends_nothing_that_it_held_back(make: Servers, fleet: FakeService):
    server = make(parallel_jobs=1, sleep=sleep)
    first = await one_running(server, fleet)
    held = await held_back(server)
    for work in (first, held):
        work.cancel()
    await server.close()
    fleet.polls_until_done = 1
    later = make(sleep=sleep)
    assert (await buy(later)).paid_now and not (await buy(later, order("first"))).paid_now
    assert len(fleet.submits) == 2 and states(later) == ["collected", "canceled", "collected"]
