"""A purchase belongs to a user, not to a key: keys expire, are replaced, and one person has several."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_service import BASE, WANTED, FakeService, Servers, buy, reply, states

from pack.civitai_bridge.errors import AnotherAccount, StillRunning
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Terms
from pack.civitai_bridge.orchestration.purchase import ACCEPTED, CANCELED, COLLECTED, FAILED

WRITTEN_BEFORE = Path(__file__).parent.parent / "data" / "journal_42d62df.sql"
IMPATIENT = Terms(wait_minutes=0.001)
NEVER = 10**9


@pytest.fixture
def users(fleet: FakeService) -> dict[str, int]:
    fleet.users |= {"replaced": 7, "other": 7, "somebody": 8}
    return fleet.users


async def leave_running(bridge: Fleet, fleet: FakeService, request=WANTED) -> None:
    """Buy, and stop waiting while the job runs."""
    done, fleet.polls_until_done = fleet.polls_until_done, NEVER
    with pytest.raises(StillRunning):
        await bridge.generate(request, IMPATIENT)
    await bridge.close()
    fleet.polls_until_done = done


async def test_a_key_replaced_while_the_job_runs_collects_what_the_old_one_paid(
    make: Servers, fleet: FakeService, users: dict[str, int]
):
    await leave_running(make(), fleet)
    bridge = make(key="replaced")
    (seen,) = await bridge.resume()
    outcome = await buy(bridge)
    assert seen.key == outcome.key and not outcome.paid_now
    assert fleet.count("submit") == 1 and states(bridge) == [COLLECTED]


async def test_a_key_replaced_after_it_was_collected_pays_nothing_again(
    make: Servers, fleet: FakeService, users: dict[str, int]
):
    first = await buy(make())
    again = await buy(make(key="replaced"))
    assert again.key == first.key and fleet.count("submit") == 1


async def test_a_replaced_key_cancels_what_the_old_one_ordered(
    make: Servers, fleet: FakeService, users: dict[str, int]
):
    bridge = make()
    await leave_running(bridge, fleet)
    fleet.polls_until_done = NEVER
    assert "is cancelled" in await make(key="replaced").cancel(bridge.journal.rows()[0].key)


async def test_whose_a_key_is_is_asked_once(make: Servers, fleet: FakeService):
    for seed in range(3):
        await buy(make(), replace(WANTED, seed=seed))
    assert fleet.count("me") == 1


async def test_a_users_id_may_be_written_as_text(make: Servers, fleet: FakeService, users: dict[str, int]):
    await leave_running(make(), fleet)
    fleet.before["me"] = [reply(200, {"id": "7"})]
    assert not (await buy(make(key="replaced"))).paid_now


async def test_a_really_different_user_stays_apart_though_the_service_shows_it_the_workflow(
    make: Servers, fleet: FakeService, users: dict[str, int]
):
    bridge = make()
    await leave_running(bridge, fleet)
    stranger = make(key="somebody")
    assert await stranger.resume() == []
    with pytest.raises(AnotherAccount, match="by another user"):
        await stranger.resume(bridge.journal.rows()[0].key)
    await buy(stranger)
    assert fleet.count("submit") == 2
    assert [row.user_id for row in bridge.journal.rows()] == ["7", "8"]


@pytest.mark.parametrize("away", [reply(404), reply(503), reply(200, {"id": None}), reply(401)])
async def test_nothing_is_bought_while_nobody_can_say_whose_an_equal_order_is(
    make: Servers, fleet: FakeService, users: dict[str, int], away
):
    await leave_running(make(), fleet)
    fleet.before["me"] = [away] * 100
    bridge = make(key="replaced")
    with pytest.raises(AnotherAccount, match=r"nothing was bought.*--no-reuse"):
        await bridge.generate(WANTED, Terms())
    assert fleet.count("price") == 1 and fleet.count("submit") == 1
    await buy(bridge, replace(WANTED, seed=9))
    await buy(bridge, terms=Terms(reuse_paid=False))
    assert fleet.count("submit") == 3
    assert {row.user_id for row in bridge.journal.rows()} == {"7"}, "the accepted workflow says whose it is"


async def test_another_address_of_the_same_service_buys_nothing_again(make: Servers, fleet: FakeService):
    first = await buy(make())
    for name in ("orchestration-new", "orchestration-proxy"):
        again = await buy(make(orchestration_url=f"https://{name}.civitai.com"))
        assert again.key == first.key
    assert fleet.count("submit") == 1


def written_before(make: Servers, fleet: FakeService) -> None:
    """The state folder as the commit before left it, and the service that still has its workflows."""
    make.home.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(make.home / "journal.sqlite3")
    database.executescript(WRITTEN_BEFORE.read_text(encoding="utf-8"))
    database.execute("UPDATE purchases SET created = ?", (time.time(),))
    database.commit()
    for key, workflow_id, body in database.execute("SELECT key, workflow_id, body FROM purchases WHERE body != ''"):
        order = json.loads(body)
        fleet.keys[key] = workflow_id
        fleet.workflows[workflow_id] = {
            "id": workflow_id, "status": "scheduled", "createdAt": "2026-11-21T00:00:00Z", "externalId": f"7-{key}",
            "tags": order["tags"], "cost": {"total": 16}, "steps": order["steps"], "polls": 0,
            "transactions": {"list": [{"type": "debit", "amount": 16, "accountType": "blue", "id": "t"}]},
        }  # fmt: skip
    database.close()


@pytest.mark.parametrize("key", ["k", "other", "replaced"])
@pytest.mark.parametrize("seed", [2, 3, 4])
async def test_orders_of_the_version_before_are_taken_over_by_every_key_of_their_user(
    make: Servers, fleet: FakeService, users: dict[str, int], key: str, seed: int
):
    """Seed 3 was bought at another address of the service, seed 4 with another key."""
    written_before(make, fleet)
    bridge = make(key=key)
    outcome = await buy(bridge, replace(WANTED, seed=seed))
    assert outcome.workflow_id == f"7-{seed}" and not outcome.paid_now and fleet.count("submit") == 0
    assert bridge.journal.get(f"7-{seed}").user_id == "7"


async def test_one_no_of_a_firewall_makes_nobody_a_stranger_to_what_is_paid(
    make: Servers, fleet: FakeService, users: dict[str, int]
):
    written_before(make, fleet)
    fleet.before["poll"] = [reply(403)]
    outcome = await buy(make(key="replaced"), replace(WANTED, seed=2))
    assert outcome.workflow_id == "7-2" and not outcome.paid_now and fleet.count("submit") == 0


async def test_at_the_first_contact_all_rows_of_the_version_before_get_their_owner(
    make: Servers, fleet: FakeService, users: dict[str, int]
):
    written_before(make, fleet)
    bridge = make(key="replaced")
    seen = await bridge.resume()
    assert {row.workflow_id for row in seen} == {"7-2", "7-3", "7-4", "7-5"}
    assert [row.user_id for row in bridge.journal.rows()] == ["7"] * 5
    assert {row.base for row in bridge.journal.rows()} == {BASE}


async def test_a_stranger_gets_none_of_the_rows_of_the_version_before(
    make: Servers, fleet: FakeService, users: dict[str, int]
):
    written_before(make, fleet)
    bridge = make(key="somebody")
    assert await bridge.resume() == []
    await buy(bridge, replace(WANTED, seed=2))
    assert fleet.count("submit") == 1
    assert states(bridge)[:5] == [COLLECTED, ACCEPTED, ACCEPTED, ACCEPTED, FAILED]


async def test_ended_orders_of_the_version_before_keep_no_pictures(make: Servers, fleet: FakeService):
    written_before(make, fleet)
    body = make().journal.get("7-5").body
    image = json.loads(body)["steps"][0]["input"]["image"]
    assert image.startswith("sha256:") and len(image) == 71


async def test_a_hundred_purchases_with_a_key_that_is_replaced_at_any_moment(
    make: Servers, fleet: FakeService, users: dict[str, int]
):
    fleet.polls_until_done = 3
    requests = [replace(WANTED, seed=seed, quantity=1) for seed in range(100)]
    old = make(limit_buzz_per_day=10**6)
    tasks = [asyncio.ensure_future(buy(old, request)) for request in requests]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await old.close()
    new = make(key="replaced", limit_buzz_per_day=10**6)
    await asyncio.gather(*(buy(new, request) for request in requests))
    # What was given back before it left is closed, and its request was ordered under another key.
    ordered = [row.state for row in new.journal.rows() if row.workflow_id or row.state != CANCELED]
    assert len(fleet.workflows) == 100 and ordered == [COLLECTED] * 100
