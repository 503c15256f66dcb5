"""A person's cancel: before, while and after an order is sent; heard, lost, and asked again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fake_service import BASE, WANTED, FakeService, Servers, Shifted, buy, reply, spent, states
from stories import MOST_PATIENT, NO, FullJournal, stop_after_the_order, until

from pack.civitai_bridge.errors import (
    Interrupted,
    NotFound,
    OutOfBuzz,
    StateTrouble,
    StillRunning,
    Unconfirmed,
    Unreachable,
    WorkflowCanceled,
)
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, Terms


async def test_a_cancel_reaches_the_job_and_the_refund_is_noted(bridge: Fleet, fleet: FakeService):
    fleet.polls_until_done = 10**6
    pressed = False

    def press() -> None:
        nonlocal pressed
        pressed = True

    fleet.on_poll = press
    with pytest.raises(Interrupted):
        await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: pressed))
    while fleet.workflows["7-1"]["status"] != "canceled" or states(bridge) != ["canceled"]:
        await asyncio.sleep(0.01)
    assert spent(bridge.journal, bridge.settings.base) == 0


async def test_a_cancel_during_the_post_is_carried_out_when_the_id_is_known(bridge: Fleet, fleet: FakeService):
    fleet.gate = asyncio.Event()
    fleet.polls_until_done = 10**6
    with pytest.raises(Interrupted):
        await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: bool(fleet.workflows)))
    assert fleet.count("cancel") == 0
    fleet.gate.set()
    while states(bridge) != ["canceled"]:
        await asyncio.sleep(0.01)
    assert fleet.workflows["7-1"]["status"] == "canceled"


async def test_a_cancel_before_the_post_buys_nothing(bridge: Fleet, fleet: FakeService):
    with pytest.raises(Interrupted, match="before anything was bought"):
        await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: True))
    assert fleet.count("submit") == 0


@pytest.mark.parametrize("known", [True, False])
async def test_a_cancel_of_what_the_journal_does_not_have_says_whether_civitai_knows_it(
    bridge: Fleet, fleet: FakeService, known: bool
):
    if known:
        await fleet(
            Request(
                "POST", "/v2/consumer/workflows", content=b'{"externalId": "x", "tags": [], "steps": [{"input": {}}]}'
            )
        )
        assert "it says canceled. It is not in this journal" in await bridge.cancel("7-1")
        fleet.workflows["7-1"]["status"] = "succeeded"
        assert "was over before: succeeded" in await bridge.cancel("7-1")
    else:
        with pytest.raises(NotFound, match="knows no workflow 'nonsense-123'"):
            await bridge.cancel("nonsense-123")


async def test_cancel_by_name(bridge: Fleet, fleet: FakeService):
    fleet.polls_until_done = 10**6
    with pytest.raises(StillRunning):
        await bridge.generate(WANTED, Terms(wait_minutes=0.001))
    assert "asked to cancel" in await bridge.cancel("7-1") or "cancelled" in await bridge.cancel("7-1")
    assert fleet.workflows["7-1"]["status"] == "canceled"


async def test_a_job_that_finished_before_its_cancel_is_handed_over(bridge: Fleet, fleet: FakeService):
    async def too_late(request: Request) -> Response:
        return reply(409, {"title": "Conflict"})

    fleet.cancel = too_late  # type: ignore[method-assign]
    fleet.polls_until_done = 30
    with pytest.raises(Interrupted):
        await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: bool(fleet.workflows)))
    while states(bridge) != ["finished"] or bridge.runs:
        await asyncio.sleep(0.01)
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and fleet.count("submit") == 1


async def test_asked_again_while_it_is_being_cancelled_waits_for_the_end_and_buys_once_more(
    bridge: Fleet, fleet: FakeService
):
    fleet.gate = asyncio.Event()  # the first order's answer is on its way when the person cancels
    fleet.polls_until_done = 3
    await stop_after_the_order(bridge, fleet)
    again = asyncio.ensure_future(bridge.generate(WANTED, Terms()))
    await asyncio.sleep(0.1)
    assert fleet.count("submit") == 1, "nobody knows yet whether the first is paid"
    fleet.gate.set()
    outcome = await again
    assert fleet.workflows["7-1"]["status"] == "canceled" and outcome.workflow_id == "7-2" and outcome.paid_now


async def test_asked_again_while_a_lost_cancel_is_under_way_gets_the_first_run(bridge: Fleet, fleet: FakeService):
    async def lost(request: Request) -> Response:
        raise Unreachable("cut")

    fleet.cancel = lost  # type: ignore[method-assign]
    fleet.polls_until_done = 20
    await stop_after_the_order(bridge, fleet)
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and fleet.count("submit") == 1 and len(outcome.pictures) == 2


async def test_a_cancel_that_died_with_its_process_is_taken_back_by_who_asks_anew(make: Servers, fleet: FakeService):
    """Its order's answer was lost, so nobody could cancel it; the new run finds it and never orders a second one."""
    first = make()
    fleet.gate = asyncio.Event()
    await stop_after_the_order(first, fleet)
    await first.close()
    fleet.gate = None
    outcome = await make().generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and fleet.count("cancel") == 0 and fleet.count("submit") == 1


async def test_a_cancel_is_carried_out_after_a_restart(make: Servers, fleet: FakeService):
    first = make()
    fleet.gate = asyncio.Event()
    fleet.polls_until_done = 10**6
    await stop_after_the_order(first, fleet)
    await first.close()
    (row,) = await make().resume()
    assert row.state == "canceled" and fleet.workflows["7-1"]["status"] == "canceled"


async def test_a_cancel_of_an_order_whose_row_is_behind_still_reaches_it(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    bridge = make(journal=(journal := FullJournal(make.home / "journal.sqlite3")))
    journal.full = "accepted"
    with pytest.raises(StateTrouble):
        await bridge.generate(WANTED, Terms())
    await bridge.close()
    later = make()
    (row,) = later.journal.rows()
    assert "cancelled" in await later.cancel(row.key)
    assert fleet.workflows["7-1"]["status"] == "canceled" and states(later) == ["canceled"]


@pytest.mark.parametrize("answer", [reply(503), reply(404), reply(400), Unreachable("cut")], ids=str)
async def test_a_cancel_is_asked_until_it_was_heard(make: Servers, fleet: FakeService, answer: Any):
    fleet.polls_until_done = MOST_PATIENT
    fleet.before["cancel"] = [answer] * 7
    bridge = make()
    with pytest.raises(Interrupted):
        await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: bool(fleet.workflows)))
    await until(lambda: states(bridge) == ["canceled"])
    assert fleet.count("cancel") >= 8 and fleet.workflows["7-1"]["status"] == "canceled"


async def test_somebody_elses_cancel_does_not_look_like_ours(make: Servers, fleet: FakeService):
    """Core's interrupt would take the siblings with it; only our own prompt's button may become that."""
    fleet.before["submit"] = [Response(429, {}, b"")] * 3
    cancelled = asyncio.Event()

    async def pause(_: float) -> None:
        await cancelled.wait()

    bridge, other = make(sleep=pause), make()
    errand = asyncio.ensure_future(bridge.generate(WANTED, Terms()))
    await until(lambda: fleet.count("submit") > 0)
    cancel = asyncio.ensure_future(other.cancel(bridge.journal.rows()[0].key))
    await until(lambda: bridge.journal.rows()[0].cancel_wanted)
    cancelled.set()
    await cancel
    with pytest.raises(WorkflowCanceled, match="cancelled"):
        await errand


async def test_a_job_that_finished_as_its_cancel_came_is_not_bought_again(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    never, pressed = asyncio.Event(), False

    async def hangs(_: Request) -> Response:
        await never.wait()
        raise AssertionError

    real, fleet.poll = fleet.poll, hangs  # type: ignore[method-assign]
    bridge = make()
    errand = asyncio.ensure_future(bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: pressed)))
    await until(lambda: states(bridge) == ["accepted"])
    workflow = fleet.workflows["7-1"]
    workflow["status"] = "succeeded"
    workflow["steps"][0]["output"] = {"images": [fleet.picture(workflow, index) for index in range(2)]}
    pressed = True
    with pytest.raises(Interrupted):
        await errand
    await bridge.close()
    fleet.poll = real  # type: ignore[method-assign]
    outcome = await make().generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and not outcome.paid_now and len(fleet.workflows) == 1


async def test_a_cancelled_order_that_never_arrived_is_closed_after_an_hour(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge = make(clock=clock)
    fleet.before["submit"] = [Unreachable("down")] * 4
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms())
    key = bridge.journal.rows()[0].key
    assert "not known yet" in await bridge.cancel(key)
    clock.ahead = 7200.0
    assert "closed and no longer counts" in await bridge.cancel(key)
    assert spent(bridge.journal, BASE) == 0


async def test_a_cancel_of_what_ended_says_how_it_ended(make: Servers, fleet: FakeService):
    bridge = make()
    fleet.before["submit"] = [NO]
    with pytest.raises(OutOfBuzz):
        await bridge.generate(WANTED, Terms())
    assert "refused by CivitAI before; it cost nothing" in await bridge.cancel(bridge.journal.rows()[0].key)
    outcome = await buy(bridge)
    assert "had finished before" in await bridge.cancel(outcome.workflow_id)
    assert fleet.count("cancel") == 0


async def test_a_cancel_while_another_looks_at_the_row_reaches_the_service(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    first = make()
    with pytest.raises(StillRunning):
        await first.generate(WANTED, Terms(wait_minutes=0.001))
    while not fleet.workflows:  # on a busy machine the wait may end before the order has left
        await asyncio.sleep(0.01)
    await first.close()
    later = make()
    (row,) = later.journal.rows()
    later.journal.take(row.key, "a look of the start")
    fleet.before["cancel"] = [reply(404)] * 3
    with pytest.raises(Interrupted):
        await later.generate(WANTED, Terms(), Caller(cancelled=lambda: True))
    errand = asyncio.ensure_future(later.cancel(row.key))
    await asyncio.sleep(0.1)
    later.journal.release(row.key, "a look of the start")
    assert "is cancelled" in await errand and fleet.workflows["7-1"]["status"] == "canceled"


async def test_an_estimate_ends_with_its_cancel(make: Servers, fleet: FakeService):
    never = asyncio.Event()

    async def hangs(_: Request) -> Response:
        await never.wait()
        raise AssertionError

    fleet.price = hangs  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        await make().estimate(WANTED, caller=Caller(cancelled=lambda: fleet.count("price") > 0))


async def test_a_cancel_reaches_both_runs_of_one_order(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    real = fleet.submit

    async def twice(request: Request) -> Response:
        answer = await real(request)
        twin = json.loads(json.dumps(fleet.workflows["7-1"]))
        fleet.workflows.setdefault("7-twin", {**twin, "id": "7-twin", "createdAt": "2026-11-22T00:00:00Z"})
        return answer

    fleet.submit = twice  # type: ignore[method-assign]
    fleet.after["submit"] = [Unreachable("cut")]
    bridge = make()
    with pytest.raises(Interrupted):
        await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: "accepted" in states(bridge)))
    await until(lambda: set(states(bridge)) == {"canceled"})
    assert {workflow["status"] for workflow in fleet.workflows.values()} == {"canceled"}


class Paused(FakeService):
    """Loses its first order and then asks for a pause, which ends when nobody wants the next one any more."""

    async def submit(self, request: Request) -> Response:
        if len(self.submits) == 1:
            raise Unreachable("cut")
        while request.is_wanted():
            await asyncio.sleep(0.01)
        raise Unreachable("not asked", sent=False)


async def test_a_cancel_while_a_second_post_sits_a_pause_out_keeps_it_back(make: Servers):
    service = make.fleet = Paused()
    server = make()
    with pytest.raises(Interrupted):
        await server.generate(WANTED, Terms(), Caller(cancelled=lambda: len(service.submits) == 2))
    await until(lambda: server.idle)
    (row,) = server.journal.rows()
    assert service.workflows == {} and len(service.submits) == 2 and row.state == "unconfirmed"


async def test_a_cancel_that_is_answered_by_something_else_than_a_workflow_says_that_none_is_known(
    bridge: Fleet, fleet: FakeService
):
    fleet.before = {"cancel": [reply(405)], "poll": [reply(200, {"items": [], "next": None})]}
    with pytest.raises(NotFound, match="knows no workflow"):
        await bridge.cancel(".")
