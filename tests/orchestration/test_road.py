"""Whole roads: the real clients against the sandbox over real sockets, with every fault it can play.

What is right is read from the sandbox's own ledger and request log, not from our journal."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.app import Tuning, open_fleet
from pack.civitai_bridge.errors import CivitaiError, OutOfBuzz, StillRunning, TooExpensive, WorkflowFailed
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, Terms
from pack.civitai_bridge.orchestration.request import GenerationRequest, LoraInput
from pack.civitai_bridge.orchestration.timings import Timings
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.schema import input_problems, problems
from pack.civitai_bridge.settings import Settings

WANTED = GenerationRequest(model="128078", prompt="a lighthouse", seed=3, width=64, height=64, quantity=2)


async def short(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.02))


HURRIED = Timings(sleep=short, quiet=0.01)


class Road:
    def __init__(self, sandbox: Sandbox, make: Callable[..., Fleet]) -> None:
        self.sandbox = sandbox
        self.bridge = make()
        self.another = make
        self.twins = 0  # workflows that the service makes and charges besides

    def check(self) -> None:
        """Nothing charged twice, every body and every workflow as the contract has it, no key where none belongs."""
        charged = Counter(e.key for e in self.sandbox.ledger if e.kind == "debit" and e.wallet == "blue")
        assert sum(charged.values()) == len(charged) + self.twins, charged
        for seen in self.sandbox.requests:
            if seen.route in ("submit", "price"):
                body = json.loads(seen.body)
                assert problems("WorkflowTemplate", body) == {}
                assert input_problems(body["steps"][0]["input"], "input")[0] == {}
                assert ("externalId" in body) is (seen.route == "submit")
            if seen.route in ("poll", "list", "submit", "price"):
                assert "hideMatureContent=false" in seen.query
            if seen.route == "content" or "sig=" in seen.query:
                assert "Authorization" not in seen.headers
        for workflow in self.sandbox.workflows.values():
            if self.sandbox.script.dialect == "S":
                assert problems("Workflow", workflow) == {}


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Sandbox(pace=0.05) as sandbox, HttpClient() as network:
        network.allow_loopback(sandbox.storage_url)
        bridges: list[Fleet] = []

        def make(*, timings: Timings = HURRIED, **more: Any) -> Fleet:
            settings = Settings(**{"key": "KEY-OF-THE-ROAD", "home": tmp_path / "state", **more})
            at = settings.at(orchestration_url=sandbox.orchestration_url, site_url=sandbox.site_url)
            bridges.append(open_fleet(at, network, tuning=Tuning(timings)))
            return bridges[-1]

        made = Road(sandbox, make)
        yield made
        made.check()
        for bridge in bridges:
            await bridge.close()
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert b"KEY-OF-THE-ROAD" not in path.read_bytes() and b"?sig=" not in path.read_bytes()


async def test_a_new_key_of_the_same_user_collects_what_the_old_one_paid(road: Road):
    road.sandbox.script.job(seconds=15)
    with pytest.raises(StillRunning):
        await road.bridge.generate(WANTED, Terms(wait_minutes=0.001))
    await road.bridge.close()
    outcome = await road.another(key="KEY-OF-THE-ROAD~2").generate(WANTED, Terms())
    stranger = await road.another(key="KEY-OF-SOMEBODY").generate(WANTED, Terms())
    assert not outcome.paid_now and stranger.paid_now and stranger.key != outcome.key
    assert len(road.sandbox.workflows) == 2


async def test_what_creators_take_counts_before_it_is_paid(road: Road):
    priced = await road.bridge.estimate(WANTED)
    road.sandbox.script.fees = {"urn:air:sdxl:checkpoint:civitai:101055@128078": 2.5}
    fees = 5  # for two pictures
    with pytest.raises(TooExpensive, match=f"cost {priced.cost + fees} Buzz"):
        await road.bridge.generate(WANTED, Terms(max_buzz=priced.cost))
    outcome = await road.bridge.generate(WANTED, Terms(max_buzz=priced.cost + fees))
    assert outcome.cost == priced.cost + fees and "more than" not in outcome.report
    assert sum(entry.amount for entry in road.sandbox.ledger if entry.kind == "debit") == priced.cost + fees
    for workflow in road.sandbox.workflows.values():
        del workflow["cost"]["fees"]  # the contract that the fixture checks them by is older


@pytest.mark.parametrize("dialect", ["S", "S+"])
async def test_the_road(road: Road, dialect: str):
    road.sandbox.script.dialect = dialect
    wanted = GenerationRequest(**{**vars(WANTED), "loras": (LoraInput("300001", 0.7),)})
    outcome = await road.bridge.generate(wanted, Terms())
    assert len(outcome.pictures) == 2 and outcome.cost == 1 and "1 blue" in outcome.report
    assert [p.width for p in outcome.pictures] == [64, 64]


@pytest.mark.parametrize(
    "reference",
    ["https://civitai.com/models/101055", "101055@128078", "civitai.red/models/101055?modelVersionId=126601"],
)
async def test_any_reference_leads_there(road: Road, reference: str):
    outcome = await road.bridge.generate(GenerationRequest(model=reference, prompt="x", width=64, height=64), Terms())
    assert outcome.air.startswith("urn:air:sdxl:checkpoint:civitai:101055@12")


async def test_a_hash_leads_there(road: Road):
    found = await road.bridge.resolve("128078")
    hashed = found.files[0].hashes["AutoV2"]
    outcome = await road.bridge.generate(GenerationRequest(model=hashed, prompt="x", width=64, height=64), Terms())
    assert outcome.air == found.air


@pytest.mark.parametrize(
    "faults",
    [
        {"submit": "lost"}, {"submit": "lost500"}, {"submit": "drop"}, {"submit": "html"}, {"submit": "limit"}, {"submit": "late"},
        {"submit": "cut"}, {"price": "drop"}, {"price": "html"}, {"price": "limit"}, {"poll": "drop"}, {"poll": "html"}, {"poll": "limit"},
        {"poll": "cut"}, {"blob": "drop"}, {"blob": "html"}, {"content": "drop"}, {"content": "cut"}, {"content": "wrong"}, {"site": "limit"},
        {"submit": "lost", "list": "drop"}, {"submit": "lost", "list": "html", "poll": "drop", "content": "cut"},
    ],
    ids=str,
)  # fmt: skip
async def test_one_fault_costs_nothing(road: Road, faults: dict[str, str]):
    for route, kind in faults.items():
        road.sandbox.script.fault(route, kind, seconds=0.1)
    outcome = await road.bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2
    await asyncio.sleep(0.15)
    assert sum(entry.amount for entry in road.sandbox.ledger) == 1


@pytest.mark.parametrize(
    "switches",
    [{"list_lag": 0.2}, {"omit_next": True}, {"none_reason": True}, {"omit_type": True}, {"on_storage": True}, {"wait_refused": True},
     {"whatif_claims_key": True}, {"strict": True}],
    ids=str,
)  # fmt: skip
async def test_every_deployment_will_do(road: Road, switches: dict[str, Any]):
    for name, value in switches.items():
        road.sandbox.script.switch(name, value)
    road.sandbox.script.fault("submit", "lost")
    assert len((await road.bridge.generate(WANTED, Terms())).pictures) == 2


async def test_addresses_that_have_expired_are_refreshed(road: Road):
    road.sandbox.script.fault("blob", "status", status=403, times=2)
    assert len((await road.bridge.generate(WANTED, Terms())).pictures) == 2
    assert sum(1 for seen in road.sandbox.requests if seen.route == "refresh") == 2


async def test_a_status_nobody_knows_and_a_bounce_are_waited_out(road: Road):
    road.sandbox.script.job(odd_status="pondering", bounce=True)
    assert len((await road.bridge.generate(WANTED, Terms())).pictures) == 2


async def test_a_blocked_and_an_unavailable_picture(road: Road):
    road.sandbox.script.job(blocked=(0,), reason="ChildReference")
    outcome = await road.bridge.generate(WANTED, Terms())
    assert [p.index for p in outcome.pictures] == [1] and "moderation" in dict(outcome.missing)[0]
    road.sandbox.script.job(unavailable=(1,))
    outcome = await road.bridge.generate(WANTED, Terms(), Caller(progress=lambda _: None))
    assert [p.index for p in outcome.pictures] == [1], "the first purchase is still the answer"
    outcome = await road.bridge.generate(GenerationRequest(**{**vars(WANTED), "seed": 9}), Terms())
    assert [p.index for p in outcome.pictures] == [0] and 1 in dict(outcome.missing)


@pytest.mark.parametrize(("refund", "words"), [(True, "came back"), (False, "No refund seen yet")])
async def test_a_failed_workflow_says_why_and_about_the_money(road: Road, refund: bool, words: str):
    road.sandbox.script.job(end="failed", reason="CUDA out of memory", refund=refund)
    with pytest.raises(WorkflowFailed, match="CUDA out of memory") as caught:
        await road.bridge.generate(WANTED, Terms())
    assert words in str(caught.value)


async def test_a_price_that_grew_is_the_first_line(road: Road):
    road.sandbox.script.job(extra=4)
    outcome = await road.bridge.generate(WANTED, Terms())
    assert outcome.report.startswith("CivitAI charged 5 Buzz, more than the 1 it had named.")


@pytest.mark.parametrize("status", [403, 400, 402])
async def test_a_wallet_that_is_too_small_at_the_last_moment(road: Road, status: int):
    road.sandbox.script.insufficient_status = status
    await road.bridge.estimate(WANTED)
    road.sandbox.script.fault("price", "status", status=200, body=json.loads(_answer(road, "price")))
    road.sandbox.bank.opening = {"blue": 0, "yellow": 0}
    road.sandbox.bank.balances.clear()
    with pytest.raises(OutOfBuzz):
        await road.bridge.generate(WANTED, Terms())
    assert road.sandbox.ledger == []


def _answer(road: Road, route: str) -> bytes:
    """A whatif's answer, so that the price says yes and the submit no."""
    seen = next(seen for seen in road.sandbox.requests if seen.route == route)
    step = json.loads(seen.body)["steps"][0]
    return json.dumps({"id": "x", "status": "unassigned", "cost": {"total": 1}, "steps": [step]}).encode()


async def test_two_servers_race_for_one_request(road: Road):
    outcomes = await asyncio.gather(*(road.another().generate(WANTED, Terms()) for _ in range(3)))
    assert len({o.workflow_id for o in outcomes}) == 1 and len(road.sandbox.workflows) == 1


async def test_a_resume_after_the_wait_and_after_the_process(road: Road):
    road.sandbox.script.job(seconds=20)
    with pytest.raises(StillRunning):
        await road.bridge.generate(WANTED, Terms(wait_minutes=0.002))
    await road.bridge.close()
    later = road.another()
    (row,) = await later.resume()
    assert row.state == "accepted"
    await asyncio.sleep(1.1)
    (row,) = await later.resume()
    assert row.state == "finished" and all(slot.fetched for slot in row.slots)
    assert len(road.sandbox.workflows) == 1


async def test_random_faults_never_lose_or_double(road: Road):
    """A short plan of the harder ones; its seed is in the failing test's name of course, and can be run again."""
    road.sandbox.script.at_random(20261121, 0.12)
    requests = [GenerationRequest(model="128078", prompt=f"p{n}", width=64, height=64) for n in range(30)]
    results = await asyncio.gather(*(road.bridge.generate(r, Terms()) for r in requests), return_exceptions=True)
    assert all(not isinstance(r, BaseException) or isinstance(r, CivitaiError) for r in results), results
    road.sandbox.script.at_random(0, 0.0)
    await asyncio.sleep(1.0)
    for request in requests:
        assert len((await road.bridge.generate(request, Terms())).pictures) == 1
    assert len(road.sandbox.workflows) == len({e.key for e in road.sandbox.ledger}) == 30


@pytest.mark.parametrize(
    "switches",
    [{"dialect": "S"}, {"dialect": "S+", "list_lag": 0.4}, {"wait_refused": True, "omit_next": True}],
    ids=str,
)
async def test_jobs_that_are_listed_end_as_those_that_are_polled(road: Road, switches: dict[str, Any]):
    for name, value in switches.items():
        road.sandbox.script.switch(name, value)
    for seconds in (4, 8, 2, 6, 1):
        road.sandbox.script.job(seconds=seconds)
    road.sandbox.script.fault("list", "html")
    road.sandbox.script.fault("list", "cut")
    watched = road.another(timings=Timings(sleep=short, quiet=0.01, long_polls=1, list_patience=0.5))
    requests = [GenerationRequest(model="128078", prompt=f"p{n}", width=64, height=64) for n in range(5)]
    outcomes = await asyncio.gather(*(watched.generate(each, Terms()) for each in requests))
    assert all(len(outcome.pictures) == 1 and outcome.paid_now for outcome in outcomes)
    assert sum(seen.route == "list" for seen in road.sandbox.requests) > 3


async def test_a_placeholder_for_signed_addresses_does_not_keep_paid_pictures_back(road: Road):
    road.sandbox.script.signed = "blocked"
    assert len((await road.bridge.generate(WANTED, Terms())).pictures) == 2
    by_id = [seen for seen in road.sandbox.requests if seen.route == "blob" and "sig=" not in seen.query]
    assert len(by_id) == 2 and all("Authorization" in seen.headers for seen in by_id)


async def test_a_key_that_shows_up_late_makes_a_twin_that_is_named_and_collected(road: Road):
    road.twins = 1
    road.sandbox.script.key_lag = road.sandbox.script.list_lag = 0.5
    road.sandbox.script.fault("submit", "lost500")
    outcome = await road.bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(road.sandbox.workflows) == 2
    await asyncio.sleep(0.6)
    await road.bridge.close()
    later = road.another()
    later.journal.record(outcome.key, about={**later.journal.get(outcome.key).about, "twin_look": 0})  # type: ignore[union-attr]
    later.look_for_twins()
    later.take_care()
    (twin,) = (name for name in road.sandbox.workflows if name != outcome.workflow_id)
    for _ in range(200):
        row = later.journal.get(twin)
        if row is not None and row.state == "finished" and all(image.fetched for image in row.slots):
            break
        await asyncio.sleep(0.02)
    else:
        raise AssertionError(row)
    road.sandbox.script.key_lag = road.sandbox.script.list_lag = 0
    assert sum(1 for seen in road.sandbox.requests if seen.route == "submit") == 2


async def test_a_deployment_that_takes_no_wait_on_an_order_sells_all_the_same(road: Road):
    road.sandbox.script.submit_wait_refused = True
    assert len((await road.bridge.generate(WANTED, Terms())).pictures) == 2


async def test_cloudflares_page_in_the_wait_is_waited_out(road: Road):
    road.sandbox.script.fault("poll", "challenge", times=2)
    assert len((await road.bridge.generate(WANTED, Terms())).pictures) == 2


async def test_a_service_that_repeats_the_key_writes_it_nowhere(road: Road):
    road.sandbox.script.fault("submit", "tells")
    with pytest.raises(CivitaiError) as caught:
        await road.bridge.generate(WANTED, Terms())
    assert "KEY-OF-THE-ROAD" not in str(caught.value) + repr(road.bridge.journal.rows())
