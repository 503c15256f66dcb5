"""The story of one purchase against a small fleet that remembers what it was sent and what it charged."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_service import WANTED, Answer, FakeService, Servers, Shifted, buy, picture, reply, spent, states

from pack.civitai_bridge.errors import (
    AnotherAccount,
    ApiError,
    BadInput,
    BlobUnavailable,
    EchoLost,
    Interrupted,
    LimitReached,
    NoKey,
    NotFound,
    NotGeneratable,
    OutOfBuzz,
    StillRunning,
    TooExpensive,
    Unauthorized,
    Unconfirmed,
    Unreachable,
    WorkflowFailed,
)
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, State, Terms
from pack.civitai_bridge.orchestration.request import GenerationRequest


async def test_a_request_becomes_pictures(bridge: Fleet, fleet: FakeService):
    seen: list[State] = []
    outcome = await buy(bridge, caller=Caller(progress=seen.append))
    assert [p.seed for p in outcome.pictures] == [42, 43]
    assert all(p.path.read_bytes() == picture(p.index) for p in outcome.pictures)
    assert (outcome.cost, outcome.workflow_id, outcome.air) == (
        16,
        "7-1",
        "urn:air:sdxl:checkpoint:civitai:101055@128078",
    )
    assert "16 blue" in outcome.report and "SECRETSIG" not in outcome.report
    assert len(outcome.blob_urls) == 2
    assert states(bridge) == ["collected"]
    assert {"pricing", "reserving"} <= {state.phase for state in seen}


async def test_one_look_up_one_price_one_submit(bridge: Fleet, fleet: FakeService):
    await bridge.generate(WANTED, Terms())
    assert {name: fleet.count(name) for name in ("site", "price", "submit", "poll", "list")} == {
        "site": 1, "price": 1, "submit": 1, "poll": 1, "list": 0,
    }  # fmt: skip


async def test_the_price_is_asked_with_the_same_body_without_a_key(bridge: Fleet, fleet: FakeService):
    await bridge.generate(WANTED, Terms())
    asked = next(r.json for r in fleet.requests if fleet.name(r) == "price")
    sent = fleet.submits[0]
    assert "externalId" not in asked
    key = sent.pop("externalId")
    sent["tags"].remove(key)
    assert asked == sent
    assert (sent["upgradeMode"], sent["currencies"]) == ("manual", [])
    assert "allowMatureContent" not in sent and sent["steps"][0]["input"]["outputFormat"] == "png"


async def test_key_and_body_are_on_disk_when_the_post_leaves(bridge: Fleet, fleet: FakeService):
    stored: list[Any] = []
    real = fleet.submit

    async def look(request: Request) -> Response:
        rows = [bridge.journal.get(row.key) for row in bridge.journal.rows()]
        stored.extend((row.state, row.key, row.body.encode() == request.content) for row in rows if row)
        return await real(request)

    fleet.submit = look  # type: ignore[method-assign]
    await bridge.generate(WANTED, Terms())
    assert stored == [("sent", fleet.submits[0]["externalId"], True)]


async def test_a_repeat_is_answered_from_disk(bridge: Fleet, fleet: FakeService):
    first = await buy(bridge)
    again = await buy(bridge)
    assert again.pictures == first.pictures and not again.paid_now
    assert "nothing was paid now" in again.report
    assert fleet.count("submit") == fleet.count("price") == 1


async def test_a_deliberate_repeat_is_a_new_purchase(bridge: Fleet, fleet: FakeService):
    await buy(bridge)
    await buy(bridge, WANTED, Terms(reuse_paid=False))
    assert len({body["externalId"] for body in fleet.submits}) == 2


async def test_equal_nodes_of_one_prompt_share_one_purchase(bridge: Fleet, fleet: FakeService):
    outcomes = await asyncio.gather(*(bridge.generate(WANTED, Terms(prompt_id="p")) for _ in range(5)))
    assert fleet.count("submit") == 1
    assert len({outcome.workflow_id for outcome in outcomes}) == 1
    assert sum(outcome.paid_now for outcome in outcomes) == 1


async def test_two_servers_on_one_folder_share_one_purchase(make: Servers, fleet: FakeService):
    fleet.polls_until_done = 5
    outcomes = await asyncio.gather(*(make().generate(WANTED, Terms()) for _ in range(2)))
    assert fleet.count("submit") == 1 and len({o.workflow_id for o in outcomes}) == 1


async def test_those_that_join_an_order_that_is_under_way_say_so_though_they_wanted_a_new_one(
    make: Servers, fleet: FakeService
):
    """`--no-reuse` four times at once, each in a process of its own."""
    fleet.polls_until_done = 5
    await buy(make())
    outcomes = await asyncio.gather(*(make().generate(WANTED, Terms(reuse_paid=False)) for _ in range(4)))
    (buyer,) = (outcome for outcome in outcomes if outcome.paid_now)
    assert fleet.count("submit") == 2 and "Paid 16 Buzz" in buyer.report
    assert [("Joined an equal order" in outcome.report) is not outcome.paid_now for outcome in outcomes] == [True] * 4
    assert [any("Joined" in note for note in outcome.notes) for outcome in outcomes].count(True) == 3


async def test_another_key_buys_for_itself(make: Servers, fleet: FakeService):
    await make().generate(WANTED, Terms())
    other = make(key="another")
    await other.generate(WANTED, Terms())
    assert fleet.count("submit") == 2
    first = other.journal.rows()[0]
    with pytest.raises(AnotherAccount):
        await other.resume(first.key)


@pytest.mark.parametrize(
    "lost",
    [
        Unreachable("cut"),
        reply(500),
        Response(502, {"content-type": "text/html"}, (b"<!DOCTYPE html><p>Bad gateway")),
        Response(200, {}, b"{cut"),
    ],
    ids=["dropped", "500", "html", "cut json"],
)
async def test_a_lost_answer_is_found_and_never_paid_twice(bridge: Fleet, fleet: FakeService, lost: Answer):
    fleet.after["submit"] = [lost]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1


async def test_a_post_that_never_arrived_is_sent_again_under_its_key(bridge: Fleet, fleet: FakeService):
    fleet.before["submit"] = [Unreachable("refused"), reply(503)]
    await bridge.generate(WANTED, Terms())
    assert len(fleet.submits) == 3 and len({json.dumps(body) for body in fleet.submits}) == 1
    assert len(fleet.workflows) == 1


async def test_too_many_requests_are_waited_out(bridge: Fleet, fleet: FakeService):
    fleet.before["submit"] = [Response(429, {"retry-after": "7"}, b"")]
    await bridge.generate(WANTED, Terms())
    assert len(fleet.workflows) == 1


async def test_a_no_after_an_unclear_attempt_is_looked_up_before_it_is_believed(bridge: Fleet, fleet: FakeService):
    """The first POST arrived and emptied the wallet; the second is refused for lack of Buzz."""
    fleet.after["submit"] = [Unreachable("cut")]
    fleet.before["list"] = [reply(200, {"items": []})] * 2
    fleet.before["submit"] = [None, reply(403, "Insufficient buzz")]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1


async def test_a_clear_no_costs_nothing_and_says_why(bridge: Fleet, fleet: FakeService):
    fleet.before["submit"] = [reply(403, "Insufficient buzz")]
    with pytest.raises(OutOfBuzz):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["refused"] and spent(bridge.journal, bridge.settings.base) == 0
    await bridge.generate(WANTED, Terms())
    assert len({body["externalId"] for body in fleet.submits}) == 2


async def test_when_nobody_knows_the_row_waits_and_the_next_run_uses_its_key(bridge: Fleet, fleet: FakeService):
    fleet.before["submit"] = [Unreachable("down")] * 4
    fleet.before["list"] = [Unreachable("down")] * 20
    with pytest.raises(Unconfirmed, match="not known"):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["unconfirmed"]
    fleet.before.clear()
    outcome = await bridge.generate(WANTED, Terms())
    assert len({body["externalId"] for body in fleet.submits}) == 1 and len(outcome.pictures) == 2


async def test_a_killed_process_is_followed_by_one_that_finds_the_run(make: Servers, fleet: FakeService):
    first = make()
    fleet.gate = asyncio.Event()
    errand = asyncio.ensure_future(first.generate(WANTED, Terms()))
    while not fleet.workflows:
        await asyncio.sleep(0.01)
    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)
    await first.close()  # the row is left in `sent`, its attempt without an outcome
    fleet.gate = None
    outcome = await make().generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1 and fleet.count("submit") == 1


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


async def test_a_higher_charge_is_the_first_line(bridge: Fleet, fleet: FakeService):
    fleet.charged = 20
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.report.splitlines()[0].startswith("CivitAI charged 20 Buzz, more than the 16")
    assert spent(bridge.journal, bridge.settings.base) == 20 and outcome.cost == 20
    assert fleet.count("cancel") == 0


async def test_the_generation_of_a_picture_tells_guidance_and_cfg_apart(bridge: Fleet):
    outcome = await bridge.generate(replace(WANTED, engine="flux2/dev", model="", guidance=4.0), Terms())
    assert (outcome.generation.guidance, outcome.generation.cfg) == (4.0, None)
    outcome = await bridge.generate(replace(WANTED, cfg=5.0, guidance=4.0), Terms())
    assert (outcome.generation.guidance, outcome.generation.cfg) == (None, 5.0)
    assert "guidance" in outcome.report, "an engine without one does not use it, and it is said"


async def test_a_max_buzz_of_0_buys_nothing_but_answers_from_what_was_bought(bridge: Fleet, fleet: FakeService):
    with pytest.raises(TooExpensive, match="16 Buzz, more than the max_buzz of 0"):
        await bridge.generate(WANTED, Terms(max_buzz=0))
    assert fleet.count("submit") == 0
    assert "above the max_buzz of 0" in (await bridge.estimate(WANTED, Terms(max_buzz=0))).report
    await buy(bridge)
    assert not (await buy(bridge, terms=Terms(max_buzz=0))).paid_now


async def test_a_price_above_max_buzz_buys_nothing(bridge: Fleet, fleet: FakeService):
    with pytest.raises(TooExpensive, match="16 Buzz, more than the max_buzz of 15"):
        await bridge.generate(WANTED, Terms(max_buzz=15))
    assert states(bridge) == [] and fleet.count("submit") == 0


async def test_a_small_wallet_buys_nothing(bridge: Fleet, fleet: FakeService):
    fleet.insufficient = True
    with pytest.raises(OutOfBuzz, match="16 Buzz"):
        await bridge.generate(WANTED, Terms())
    assert fleet.count("submit") == 0


async def test_a_price_that_is_not_confirmed_buys_nothing(bridge: Fleet, fleet: FakeService):
    async def no(price: int) -> bool:
        return False

    with pytest.raises(TooExpensive, match="not confirmed"):
        await bridge.generate(WANTED, Terms(confirm=no))
    assert fleet.count("submit") == 0


async def test_an_echo_that_lost_something_stops(bridge: Fleet, fleet: FakeService):
    fleet.echo = lambda sent: {name: value for name, value in sent.items() if name != "seed"}
    with pytest.raises(EchoLost, match="seed"):
        await bridge.generate(WANTED, Terms())
    assert fleet.count("submit") == 0


async def test_the_limit_of_a_prompt_stops_all_of_a_round_before_any_leaves(make: Servers, fleet: FakeService):
    bridge = make(limit_buzz_per_prompt=50)
    wanted = [GenerationRequest(model="128078", prompt="x", seed=n) for n in range(4)]
    results = await asyncio.gather(*(bridge.generate(w, Terms(prompt_id="p")) for w in wanted), return_exceptions=True)
    assert all(isinstance(result, LimitReached) for result in results) and fleet.count("submit") == 0


async def test_no_key_is_said_before_anything_is_sent(make: Servers, fleet: FakeService):
    with pytest.raises(NoKey, match="CIVITAI_API_TOKEN"):
        await make(key="").generate(WANTED, Terms())
    assert fleet.requests == []


async def test_a_model_that_does_not_generate_is_found_before_the_price(bridge: Fleet, fleet: FakeService):
    fleet.can_generate = False
    with pytest.raises(NotGeneratable):
        await bridge.generate(WANTED, Terms())
    assert fleet.count("price") == 0


async def test_mature_needs_the_setting(bridge: Fleet, make: Servers, fleet: FakeService):
    wanted = GenerationRequest(model="128078", prompt="x", mature_content="allowed")
    with pytest.raises(BadInput, match="mature_content"):
        await bridge.generate(wanted, Terms())
    await make(mature_content="allowed").generate(wanted, Terms())
    assert fleet.submits[-1]["allowMatureContent"] is True
    await make(mature_content="blocked").generate(GenerationRequest(model="128078", prompt="y"), Terms())
    assert fleet.submits[-1]["allowMatureContent"] is False


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


async def test_purchases_of_the_same_prompt_are_not_called_earlier_ones_that_wait(bridge: Fleet, fleet: FakeService):
    requests = [GenerationRequest(model="128078", prompt="x", seed=n) for n in range(4)]
    outcomes = await asyncio.gather(*(bridge.generate(r, Terms(prompt_id="p")) for r in requests))
    for outcome in outcomes:
        await bridge.collected(outcome.key)
    assert not any("to be collected" in outcome.report for outcome in outcomes)


async def test_what_is_worth_knowing_is_in_the_notes_for_programs(bridge: Fleet, fleet: FakeService):
    fleet.charged = 20
    request = GenerationRequest(model="128078", prompt="x <lora:y:1>", seed=2**53 - 1, quantity=2)
    outcome = await bridge.generate(request, Terms())
    assert outcome.notes[0].startswith("CivitAI charged 20 Buzz") and all(
        note in outcome.report for note in outcome.notes
    )
    assert any("<lora:y:1>" in note for note in outcome.notes) and any("seed" in note.lower() for note in outcome.notes)
    assert "<lora:y:1>" in str((await bridge.estimate(request)).notes)


async def test_a_blocked_picture_leaves_the_good_ones(bridge: Fleet, fleet: FakeService):
    fleet.image = lambda index: (
        {"available": False, "url": None, "blockedReason": "ChildReference"} if index == 0 else {}
    )
    outcome = await bridge.generate(WANTED, Terms())
    assert [(p.index, p.seed) for p in outcome.pictures] == [(1, 43)]
    assert outcome.missing[0][0] == 0 and "moderation" in outcome.missing[0][1]
    assert outcome.generation.arrived == (1,) and 0 in outcome.generation.missing
    assert "Picture 1 of " in outcome.report and " is missing" in outcome.report


async def test_when_all_are_blocked_it_is_said_once_and_not_bought_again(bridge: Fleet, fleet: FakeService):
    fleet.image = lambda index: {"available": False, "url": None, "blockedReason": "ChildReference"}
    for _ in range(2):
        with pytest.raises(WorkflowFailed, match="moderation"):
            await bridge.generate(WANTED, Terms())
    assert fleet.count("submit") == 1


@pytest.mark.parametrize("credit", [True, False])
def test_nothing_is_called_refunded_that_was_not(credit: bool, make: Servers, fleet: FakeService):
    async def story() -> None:
        bridge = make()
        money = [{"type": "debit", "amount": 16, "accountType": "blue"}]
        money += [{"type": "credit", "amount": 16, "accountType": "blue"}] * credit
        fleet.end = {"status": "failed", "transactions": {"list": money}}
        with pytest.raises(WorkflowFailed, match="came back" if credit else "No refund seen yet"):
            await bridge.generate(WANTED, Terms())
        assert spent(bridge.journal, bridge.settings.base) == (0 if credit else 16)
        if not credit:
            fleet.workflows["7-1"]["transactions"]["list"].append(
                {"type": "credit", "amount": 16, "accountType": "blue"}
            )
            await bridge.resume()
            assert spent(bridge.journal, bridge.settings.base) == 0, "the ledger looks again"

    asyncio.run(story())


async def test_a_refused_address_is_refreshed(bridge: Fleet, fleet: FakeService):
    fleet.fetch_answers = [BlobUnavailable("403"), picture(0)[:50]]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and fleet.count("refresh") == 2


async def test_pictures_that_do_not_come_wait_in_the_journal(bridge: Fleet, fleet: FakeService):
    fleet.fetch_answers = [Unreachable("down")] * 6
    with pytest.raises(BlobUnavailable, match="not paid again"):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["finished"]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and fleet.count("submit") == 1


async def test_no_signed_address_and_no_key_is_written_down(make: Servers, fleet: FakeService, tmp_path: Path):
    bridge = make(key="SECRETKEY")
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.blob_urls
    await bridge.close()
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"SECRETSIG" not in content and b"SECRETKEY" not in content, file.name


async def test_the_service_making_two_of_one_order_is_named(bridge: Fleet, fleet: FakeService):
    real = fleet.submit

    async def twice(request: Request) -> Response:
        answer = await real(request)
        fleet.workflows["7-twin"] = {**fleet.workflows["7-1"], "id": "7-twin", "createdAt": "2026-11-22T00:00:00Z"}
        return answer

    fleet.submit = twice  # type: ignore[method-assign]
    fleet.after["submit"] = [Unreachable("cut")]
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and "7-twin" in outcome.report


async def test_cancel_by_name(bridge: Fleet, fleet: FakeService):
    fleet.polls_until_done = 10**6
    with pytest.raises(StillRunning):
        await bridge.generate(WANTED, Terms(wait_minutes=0.001))
    assert "asked to cancel" in await bridge.cancel("7-1") or "cancelled" in await bridge.cancel("7-1")
    assert fleet.workflows["7-1"]["status"] == "canceled"


async def test_an_estimate_buys_nothing(bridge: Fleet, fleet: FakeService):
    estimate = await bridge.estimate(WANTED)
    assert (estimate.cost, estimate.affordable) == (16, True)
    assert fleet.count("submit") == 0 and states(bridge) == []


async def test_a_lora_goes_along(bridge: Fleet, fleet: FakeService):
    from pack.civitai_bridge.orchestration.request import LoraInput

    wanted = GenerationRequest(model="128078", prompt="x <lora:y:1>", loras=(LoraInput("200", 0.8),))
    outcome = await bridge.generate(wanted, Terms())
    assert fleet.submits[0]["steps"][0]["input"]["loras"] == {"urn:air:sdxl:lora:civitai:101055@200": 0.8}
    assert "<lora:y:1>" in outcome.report and outcome.generation.networks[0].weight == 0.8


@pytest.mark.parametrize("damage", [b"", b"half", None], ids=["empty", "cut", "gone"])
async def test_a_picture_that_the_disk_lost_is_fetched_again_and_not_paid_again(
    bridge: Fleet, fleet: FakeService, damage: bytes | None
):
    outcome = await buy(bridge)
    path = outcome.pictures[0].path
    path.unlink() if damage is None else path.write_bytes(path.read_bytes()[:40] if damage else b"")
    again = await buy(bridge)
    assert not again.paid_now and fleet.count("submit") == 1
    assert [p.path.read_bytes() for p in again.pictures] == [picture(0), picture(1)]


async def test_other_bytes_of_the_same_size_are_not_handed_over(bridge: Fleet, fleet: FakeService):
    outcome = await buy(bridge)
    path = outcome.pictures[1].path
    path.write_bytes(bytes(len(path.read_bytes())))
    again = await buy(bridge)
    assert again.pictures[1].path.read_bytes() == picture(1) and fleet.count("submit") == 1


async def test_what_the_disk_lost_and_civitai_does_not_answer_for_is_not_bought_again_without_a_person(
    bridge: Fleet, fleet: FakeService
):
    outcome = await buy(bridge)
    outcome.pictures[0].path.unlink()
    fleet.before["poll"] = [Unreachable("down")]
    with pytest.raises(BlobUnavailable, match="reuse_paid"):
        await buy(bridge)
    assert fleet.count("submit") == 1
    assert (await buy(bridge, WANTED, Terms(reuse_paid=False))).paid_now


async def test_what_neither_the_disk_nor_civitai_has_is_bought_again(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge = make(clock=clock)
    outcome = await buy(bridge)
    outcome.pictures[0].path.unlink()
    fleet.workflows.clear()
    fleet.before |= {"refresh": [reply(404)] * 9, "blob": [reply(404)] * 9}
    clock.ahead = 25 * 3600.0
    again = await buy(bridge)
    assert again.paid_now and len(again.pictures) == 2 and fleet.count("submit") == 2


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


async def test_pictures_that_civitai_no_longer_keeps_are_named(make: Servers, fleet: FakeService):
    fleet.fetch_answers = [Unreachable("down")] * 6
    with pytest.raises(BlobUnavailable):
        await make().generate(WANTED, Terms())
    fleet.workflows.clear()
    fleet.before |= {"refresh": [reply(404)] * 99, "blob": [reply(404)] * 99}
    with pytest.raises(BlobUnavailable, match="not paid again"):
        await make().generate(WANTED, Terms())
    with pytest.raises(WorkflowFailed, match="no longer keeps"):
        await make(clock=lambda: time.time() + 31 * 24 * 3600).generate(WANTED, Terms())


# --- repeats (issue "Under fire" 3) and limits (2)


async def stop_after_the_order(bridge: Fleet, fleet: FakeService) -> None:
    with pytest.raises(Interrupted):
        await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: bool(fleet.workflows)))


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


async def test_nothing_new_is_bought_when_nobody_waits_any_more(bridge: Fleet, fleet: FakeService):
    """A sibling failed while the price was asked: the prompt is over, and its person would pay for nothing."""
    with pytest.raises(Interrupted, match="before anything was bought"):
        await bridge.generate(WANTED, Terms(), Caller(abandoned=lambda: fleet.count("price") > 0))
    assert fleet.count("submit") == 0 and fleet.count("cancel") == 0


async def test_what_was_bought_is_no_longer_abandoned(bridge: Fleet, fleet: FakeService):
    outcome = await bridge.generate(WANTED, Terms(), Caller(abandoned=lambda: bool(fleet.workflows)))
    assert len(outcome.pictures) == 2 and fleet.count("cancel") == 0


async def test_an_engine_without_a_seed_is_a_new_purchase_only_for_another_seed(bridge: Fleet, fleet: FakeService):
    """The node's seed is part of the request also where the variant takes none."""
    wanted = GenerationRequest(model="", engine="google/nano-banana-pro", prompt="a lighthouse", seed=1)
    one = await buy(bridge, wanted)
    same = await buy(bridge, wanted)
    other = await buy(
        bridge, GenerationRequest(model="", engine="google/nano-banana-pro", prompt="a lighthouse", seed=2)
    )
    assert one.workflow_id == same.workflow_id != other.workflow_id
    assert all("seed" not in body["steps"][0]["input"] for body in fleet.submits)


async def test_the_same_graph_in_two_prompts_is_one_purchase(bridge: Fleet, fleet: FakeService):
    outcomes = [await buy(bridge, terms=Terms(prompt_id=name)) for name in ("a", "b")]
    assert len({o.workflow_id for o in outcomes}) == 1 and [o.paid_now for o in outcomes] == [True, False]


async def test_what_failed_is_not_what_is_answered_with(bridge: Fleet, fleet: FakeService):
    fleet.end = {"status": "failed"}
    with pytest.raises(WorkflowFailed):
        await bridge.generate(WANTED, Terms())
    fleet.end = {"status": "succeeded"}
    assert (await bridge.generate(WANTED, Terms())).workflow_id == "7-2"


async def test_the_sandbox_and_the_real_address_never_share(make: Servers, fleet: FakeService):
    real = await buy(make())
    pretended = await buy(make(orchestration_url="http://127.0.0.1:4321"))
    assert real.workflow_id != pretended.workflow_id


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


async def test_a_limit_met_half_way_says_which_what_is_left_and_what_was_bought(make: Servers, fleet: FakeService):
    bridge = make(limit_buzz_per_prompt=40)
    wanted = [GenerationRequest(model="128078", prompt="x", seed=n) for n in range(3)]
    for request in wanted[:2]:
        await buy(bridge, request, Terms(prompt_id="p"))
    with pytest.raises(LimitReached, match="limit_buzz_per_prompt") as caught:
        await bridge.generate(wanted[2], Terms(prompt_id="p"))
    assert caught.value.left == 40 - 2 * fleet.charged
    assert f"{2 * fleet.charged} Buzz of this prompt are spent" in str(caught.value)
    await buy(bridge, wanted[2], Terms(prompt_id="q"))


async def test_a_refund_gives_the_day_back(make: Servers, fleet: FakeService):
    bridge = make(limit_buzz_per_day=fleet.charged)
    fleet.polls_until_done = 10**6
    await stop_after_the_order(bridge, fleet)
    while states(bridge) != ["canceled"]:
        await asyncio.sleep(0.01)
    fleet.polls_until_done = 1
    await buy(bridge, GenerationRequest(model="128078", prompt="another"))
    with pytest.raises(LimitReached, match=r"limit_buzz_per_day.*frees at \d\d:\d\d"):
        await bridge.generate(GenerationRequest(model="128078", prompt="a third"), Terms())
