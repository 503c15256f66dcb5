"""The story of one purchase against a small fleet that remembers what it was sent and what it charged."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_service import BASE, WANTED, FakeService, Servers, buy, picture, reply, spent, states
from stories import FullJournal, stop_after_the_order

from pack.civitai_bridge.errors import (
    AnotherAccount,
    BadInput,
    EchoLost,
    LimitReached,
    NoKey,
    NotGeneratable,
    OutOfBuzz,
    StateTrouble,
    TooExpensive,
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


async def test_a_higher_charge_is_the_first_line(bridge: Fleet, fleet: FakeService):
    fleet.charged = 20
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.report.splitlines()[0].startswith("CivitAI charged 20 Buzz, more than the 16")
    assert spent(bridge.journal, bridge.settings.base) == 20 and outcome.cost == 20
    assert fleet.count("cancel") == 0


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


async def test_nobody_is_asked_whose_the_key_is_any_more_once_the_order_cannot_be_made(
    bridge: Fleet, fleet: FakeService
):
    asked, ended, site = asyncio.Event(), [], fleet.site

    async def silent(request: Request) -> Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(request.path)
        raise AssertionError

    async def after_it(request: Request) -> Response:
        await asked.wait()
        return await site(request)

    fleet.me, fleet.site, fleet.can_generate = silent, after_it, False
    with pytest.raises(NotGeneratable):
        await bridge.generate(WANTED, Terms())
    assert len(ended) == 1


async def test_mature_needs_the_setting(bridge: Fleet, make: Servers, fleet: FakeService):
    wanted = GenerationRequest(model="128078", prompt="x", mature_content="allowed")
    with pytest.raises(BadInput, match="mature_content"):
        await bridge.generate(wanted, Terms())
    await make(mature_content="allowed").generate(wanted, Terms())
    assert fleet.submits[-1]["allowMatureContent"] is True
    await make(mature_content="blocked").generate(GenerationRequest(model="128078", prompt="y"), Terms())
    assert fleet.submits[-1]["allowMatureContent"] is False


async def test_what_is_worth_knowing_is_in_the_notes_for_programs(bridge: Fleet, fleet: FakeService):
    fleet.charged = 20
    request = GenerationRequest(model="128078", prompt="x <lora:y:1>", seed=2**53 - 1, quantity=2)
    outcome = await bridge.generate(request, Terms())
    assert outcome.notes[0].startswith("CivitAI charged 20 Buzz") and all(
        note in outcome.report for note in outcome.notes
    )
    assert any("<lora:y:1>" in note for note in outcome.notes) and any("seed" in note.lower() for note in outcome.notes)
    assert "<lora:y:1>" in str((await bridge.estimate(request)).notes)


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


async def test_no_signed_address_and_no_key_is_written_down(make: Servers, fleet: FakeService, tmp_path: Path):
    bridge = make(key="SECRETKEY")
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.blob_urls
    await bridge.close()
    for file in (tmp_path / "state").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"SECRETSIG" not in content and b"SECRETKEY" not in content, file.name


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


async def test_a_signed_address_in_a_reason_is_written_nowhere(make: Servers, fleet: FakeService):
    address = f"{BASE}/v2/consumer/blobs/A.png?sig=SECRETSIG&exp=2026"
    fleet.end = {"status": "failed"}
    real = fleet.poll

    async def tells(request: Request) -> Response:
        data = json.loads((await real(request)).content)
        data["steps"][0]["output"] = {"errors": [f"Input image failed to download from {address}"]}
        return reply(200, data)

    fleet.poll = tells  # type: ignore[method-assign]
    bridge = make()
    with pytest.raises(WorkflowFailed, match="failed to download") as caught:
        await bridge.generate(WANTED, Terms())
    assert "SECRETSIG" not in str(caught.value) + repr(bridge.journal.rows())


@pytest.mark.parametrize(
    ("method", "sent"),
    [("reserve", 0), ("begin_attempt", 0), ("accepted", 1), ("record", 1)],
    ids=["before the row", "before the POST", "after the POST", "while fetching"],
)
async def test_a_disk_that_is_full_loses_nothing_and_pays_nothing_twice(
    make: Servers, fleet: FakeService, method: str, sent: int
):
    bridge = make(journal=(journal := FullJournal(make.home / "journal.sqlite3")))
    journal.full = method
    with pytest.raises(StateTrouble, match="full"):
        await bridge.generate(WANTED, Terms())
    assert fleet.count("submit") == sent
    journal.full = ""
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1


async def test_the_generation_of_a_picture_tells_guidance_and_cfg_apart(bridge: Fleet):
    outcome = await bridge.generate(replace(WANTED, engine="flux2/dev", model="", guidance=4.0), Terms())
    assert (outcome.generation.guidance, outcome.generation.cfg) == (4.0, None)
    outcome = await bridge.generate(replace(WANTED, cfg=5.0, guidance=4.0), Terms())
    assert (outcome.generation.guidance, outcome.generation.cfg) == (None, 5.0)
    assert "guidance" in outcome.report, "an engine without one does not use it, and it is said"
