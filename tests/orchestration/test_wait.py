"""The wait for a job: errors of a look, other servers, clocks that jump, and a resume without a wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from fake_service import BASE, WANTED, FakeService, Servers, Shifted, buy, reply, spent, states
from stories import MOST_PATIENT, NO, until

from pack.civitai_bridge.errors import (
    AnotherAccount,
    ApiError,
    Interrupted,
    NotFound,
    StillRunning,
    Unauthorized,
    Unconfirmed,
    Unreachable,
)
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.limits import Limits
from pack.civitai_bridge.orchestration.outcome import Caller, Terms
from pack.civitai_bridge.orchestration.purchase import CANCELED, Buyer, PlannedPurchase
from pack.civitai_bridge.orchestration.request import GenerationRequest


async def test_resume_finds_and_fetches_but_never_orders(make: Servers, fleet: FakeService):
    bridge = make()
    fleet.before["submit"] = [Unreachable("down")] * 4
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms())
    posts = fleet.count("submit")
    (row,) = await bridge.resume()
    assert row.state == "unconfirmed" and fleet.count("submit") == posts
    await fleet(Request("POST", "/v2/consumer/workflows", content=row.body.encode()))  # the first POST arrives late
    (row,) = await bridge.resume()
    assert row.state == "finished" and all(slot.fetched for slot in row.slots)
    assert fleet.count("submit") == posts + 1, "only the late one of this test"
    outcome = await buy(bridge)
    assert len(outcome.pictures) == 2 and states(bridge) == ["collected"]


async def test_a_wait_that_is_torn_down_leaves_the_job_alone(bridge: Fleet, fleet: FakeService):
    fleet.polls_until_done = 4
    errand = asyncio.ensure_future(bridge.generate(WANTED, Terms()))
    while not fleet.workflows:
        await asyncio.sleep(0.01)
    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)
    while states(bridge) != ["finished"] or bridge.runs:
        await asyncio.sleep(0.01)
    assert fleet.count("cancel") == 0 and len(bridge.waiting()) == 1
    other = await bridge.generate(GenerationRequest(model="128078", prompt="another"), Terms())
    assert "1 earlier purchase waits" in other.report
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and fleet.count("submit") == 2


async def test_waiting_ends_but_the_job_goes_on(bridge: Fleet, fleet: FakeService):
    fleet.polls_until_done = 20
    with pytest.raises(StillRunning, match="journal resume"):
        await bridge.generate(WANTED, Terms(wait_minutes=0.002))
    while states(bridge) != ["finished"]:
        await asyncio.sleep(0.01)
    assert fleet.count("cancel") == 0


async def test_errors_of_a_look_never_cancel(bridge: Fleet, fleet: FakeService):
    fleet.before["poll"] = [
        Unreachable("down"),
        reply(500),
        Response(429, {}, b""),
        Response(200, {}, b"<html>"),
        reply(404),
    ]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and fleet.count("cancel") == 0


async def test_a_server_that_knows_no_long_poll_is_asked_plainly(bridge: Fleet, fleet: FakeService):
    fleet.before["poll"] = [reply(400, {"title": "Bad Request", "status": 400})]
    await bridge.generate(WANTED, Terms())
    polls = [dict(r.query).get("wait") for r in fleet.requests if fleet.name(r) == "poll"]
    assert polls == ["30", None]


async def test_a_wrong_key_in_the_wait_ends_the_wait_and_keeps_the_row(bridge: Fleet, fleet: FakeService):
    fleet.before["poll"] = [reply(401)]
    with pytest.raises(Unauthorized):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["accepted"]


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
async def test_a_no_while_waiting_names_what_is_paid_and_how_to_collect_it(
    bridge: Fleet, fleet: FakeService, status: int
):
    fleet.before["poll"] = [reply(status)] * 5
    with pytest.raises(ApiError) as caught:
        await bridge.generate(WANTED, Terms())
    error, (row,) = caught.value, bridge.journal.rows()
    assert error.status == status and states(bridge) == ["accepted"]
    assert (error.key, error.workflow_id, error.cost) == (row.key, "7-1", 16)
    assert f"The order is paid (16 Buzz) and is not paid again: workflow 7-1, key {row.key}" in str(error)
    assert f"`civitai-bridge journal resume {row.key}`" in str(error)
    fleet.before.clear()
    assert len((await bridge.generate(WANTED, Terms())).pictures) == 2 and fleet.count("submit") == 1


@pytest.mark.parametrize("status", [403, 451])
async def test_a_firewall_that_says_no_once_is_asked_again(bridge: Fleet, fleet: FakeService, status: int):
    fleet.polls_until_done = 3
    fleet.before["poll"] = [reply(status), None, reply(status)]
    assert len((await bridge.generate(WANTED, Terms())).pictures) == 2


async def test_purchases_of_the_same_prompt_are_not_called_earlier_ones_that_wait(bridge: Fleet, fleet: FakeService):
    requests = [GenerationRequest(model="128078", prompt="x", seed=n) for n in range(4)]
    outcomes = await asyncio.gather(*(bridge.generate(r, Terms(prompt_id="p")) for r in requests))
    for outcome in outcomes:
        await bridge.collected(outcome.key)
    assert not any("to be collected" in outcome.report for outcome in outcomes)


async def test_a_workflow_that_is_gone_for_good_is_not_waited_for_for_ever(make: Servers, fleet: FakeService):
    bridge = make()
    fleet.polls_until_done = 10**6
    with pytest.raises(StillRunning):
        await bridge.generate(WANTED, Terms(wait_minutes=0.001))
    await bridge.close()
    kept, fleet.workflows = fleet.workflows, {}
    clock = Shifted()
    later = make(clock=clock)
    for clock.ahead in (0.0, 3000.0):
        with pytest.raises(NotFound):
            await later.generate(WANTED, Terms())
        assert states(later) == ["accepted"], "a server of theirs may be behind; it is asked for again"
    clock.ahead = 5000.0
    fleet.workflows = {"7-moved": {**kept["7-1"], "id": "7-moved"}}
    with pytest.raises(StillRunning):
        await later.generate(WANTED, Terms(wait_minutes=0.005))
    await later.close()
    later = make(clock=clock)
    assert states(later) == ["accepted"] and later.journal.rows()[0].workflow_id == "7-moved", "found by its tag"
    fleet.workflows = {}
    for clock.ahead in (6000.0, 10_000.0):
        with pytest.raises(NotFound):
            await later.generate(WANTED, Terms())
    assert states(later) == ["failed"]
    assert fleet.count("submit") == 1


async def test_nothing_new_is_bought_when_nobody_waits_any_more(bridge: Fleet, fleet: FakeService):
    """A sibling failed while the price was asked: the prompt is over, and its person would pay for nothing."""
    with pytest.raises(Interrupted, match="before anything was bought"):
        await bridge.generate(WANTED, Terms(), Caller(abandoned=lambda: fleet.count("price") > 0))
    assert fleet.count("submit") == 0 and fleet.count("cancel") == 0


async def test_what_was_bought_is_no_longer_abandoned(bridge: Fleet, fleet: FakeService):
    outcome = await bridge.generate(WANTED, Terms(), Caller(abandoned=lambda: bool(fleet.workflows)))
    assert len(outcome.pictures) == 2 and fleet.count("cancel") == 0
    other = await bridge.generate(replace(WANTED, seed=9), Terms())
    assert "1 earlier purchase waits" in other.report, "nobody took its pictures"


async def test_a_resume_days_later_still_fetches(make: Servers, fleet: FakeService):
    fleet.polls_until_done = 10
    with pytest.raises(StillRunning):
        await make().generate(WANTED, Terms(wait_minutes=0.001))
    for bridge in (made := [make(clock=lambda: time.time() + 9 * 24 * 3600)]):
        await asyncio.sleep(0.3)
        (row,) = await bridge.resume()
        assert row.state == "finished" and all(slot.fetched for slot in row.slots)
    outcome = await made[0].generate(WANTED, Terms())
    assert not outcome.paid_now and fleet.count("submit") == 1


@pytest.mark.parametrize("jump", [-3 * 24 * 3600.0, 40.0, 3 * 24 * 3600.0])
async def test_a_clock_that_jumps_in_the_middle_buys_nothing_twice(make: Servers, fleet: FakeService, jump: float):
    offset = 0.0
    one, other = make(clock=lambda: time.time() + offset), make(clock=lambda: time.time() + offset)
    fleet.polls_until_done = 8
    first = asyncio.ensure_future(one.generate(WANTED, Terms()))
    while not fleet.workflows:
        await asyncio.sleep(0.01)
    offset = jump
    outcomes = await asyncio.gather(first, other.generate(WANTED, Terms()))
    assert len({o.workflow_id for o in outcomes}) == 1 and fleet.count("submit") == 1


async def test_some_minutes_of_404_never_make_it_buy_again(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge = make(clock=clock)
    fleet.polls_until_done = 20
    with pytest.raises(StillRunning):
        await bridge.generate(WANTED, Terms(wait_minutes=0.001))
    await bridge.close()
    clock.ahead = 700.0
    fleet.before["poll"] = [reply(404)] * 5
    later = make(clock=clock)
    with pytest.raises(NotFound):
        await later.generate(WANTED, Terms())
    assert states(later) == ["accepted"]
    outcome = await later.generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and not outcome.paid_now


async def test_a_carriage_that_lost_its_row_writes_nothing_over_the_next_one(make: Servers, fleet: FakeService):
    """The first server was stopped for a minute (a laptop that slept) while its POST was refused."""
    fleet.polls_until_done = MOST_PATIENT
    go, number, real = asyncio.Event(), 0, fleet.submit

    async def first_is_late(request: Request) -> Response:
        nonlocal number
        number += 1
        if number == 1:
            await go.wait()
            return NO
        return await real(request)

    fleet.submit = first_is_late  # type: ignore[method-assign]
    asleep = make(heart_stops=0.3, heartbeat=3600.0)  # it sleeps, and so does its heart
    other = make(heart_stops=0.3)
    one = asyncio.ensure_future(asleep.generate(WANTED, Terms(wait_minutes=1)))
    await until(lambda: states(asleep) == ["sent"])
    two = asyncio.ensure_future(other.generate(WANTED, Terms(wait_minutes=1)))
    await until(lambda: states(other) == ["accepted"])
    go.set()
    await asyncio.sleep(0.1)
    assert states(other) == ["accepted"] and other.journal.rows()[0].workflow_id == "7-1"
    fleet.polls_until_done = 1
    outcomes = await asyncio.gather(one, two)
    assert {outcome.workflow_id for outcome in outcomes} == {"7-1"}


async def test_a_row_that_cannot_be_read_keeps_no_other_from_being_found(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    bridge = make()
    for seed in (1, 2):
        wanted = type(WANTED)(model="128078", prompt="x", seed=seed)
        with pytest.raises(StillRunning):
            await bridge.generate(wanted, Terms(wait_minutes=0.001))
    await bridge.close()
    fleet.polls_until_done = 1
    fleet.workflows["7-1"]["steps"] = [{"$type": "imageGen", "name": 7, "output": {"images": [3]}}]
    fleet.workflows["7-1"]["status"] = "succeeded"
    rows = await make().resume()
    assert sorted(row.workflow_id for row in rows) == ["7-1", "7-2"]
    assert "finished" in [row.state for row in rows if row.workflow_id == "7-2"]


@pytest.mark.parametrize("other", [{"key": "another"}, {"orchestration_url": "http://127.0.0.1:4321"}])
async def test_a_row_of_another_account_or_address_is_left_alone(
    make: Servers, fleet: FakeService, other: dict[str, str]
):
    fleet.polls_until_done = MOST_PATIENT
    mine = make()
    with pytest.raises(StillRunning):
        await mine.generate(WANTED, Terms(wait_minutes=0.001))
    (row,) = mine.journal.rows()
    asked = len(fleet.requests)
    foreign = make(**other)
    for name in (row.key, row.workflow_id):
        with pytest.raises(AnotherAccount, match="left alone"):
            await foreign.cancel(name)
        with pytest.raises(AnotherAccount, match="left alone"):
            await foreign.resume(name)
    assert await foreign.resume() == [] and foreign.waiting() == []
    assert fleet.count("cancel") == 0 and not any(
        r for r in fleet.requests[asked:] if fleet.name(r) not in ("poll", "me")
    )


async def test_who_waits_for_an_order_that_never_left_orders_it_when_its_process_ends(
    make: Servers, fleet: FakeService
):
    bridge = make(sleep=asyncio.sleep)
    bought = await buy(bridge)
    row = bridge.journal.get(bought.key)
    buyer = Buyer(row.account, row.base, row.user_id)
    elsewhere = PlannedPurchase("cb-elsewhere", row.request_hash, buyer, row.body, 16)
    bridge.journal.reserve([elsewhere], Limits(100, 100), usable=lambda *_: False, owner=lambda _: "elsewhere")
    waits = asyncio.ensure_future(buy(bridge, terms=Terms(reuse_paid=False)))
    await asyncio.sleep(0.5)
    assert not waits.done() and fleet.count("submit") == 1
    assert not bridge.idle, "somebody waits, though another drives it"
    bridge.journal.record("cb-elsewhere", state=CANCELED, error="never sent")  # as the next journal closes it
    outcome = await waits
    assert len(outcome.pictures) == 2 and fleet.count("submit") == 2
    assert spent(bridge.journal, BASE) == 32


async def test_a_fleet_is_not_idle_before_its_pictures_are_collected(bridge: Fleet, fleet: FakeService):
    outcome = await bridge.generate(WANTED, Terms())
    assert not bridge.idle
    await bridge.collected(outcome.key)
    await until(lambda: bridge.idle)
