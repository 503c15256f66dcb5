"""The ledger: what purchases took and gave back, together by day, model and engine, and as a spreadsheet reads them."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fake_orders import plan, reserve
from fake_service import BASE, WANTED, Shifted, buy
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.errors import CivitaiError
from pack.civitai_bridge.orchestration.answers import learn_money
from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.ledger import WALLETS, Entry, all_totals, as_csv, entry_of, harmless, totals
from pack.civitai_bridge.orchestration.limits import Limits, Spending
from pack.civitai_bridge.orchestration.outcome import Terms
from pack.civitai_bridge.orchestration.owned import OwnedPurchase
from pack.civitai_bridge.orchestration.spendings import look_for_refunds, spendings_of, spent_until

NOON = datetime(2026, 11, 28, 12).timestamp()
HOUR, DAY = 3600.0, 24 * 3600.0


def entry(**more: Any) -> Entry:
    facts = {
        **dict.fromkeys(("key", "workflow_id", "asked_by", "model", "air", "engine", "prompt", "error"), "x"),
        **{"when": NOON, "state": "collected", "charged": 10, "wallets": {}, "refunded": 0, "quantity": 1},
        **{"pictures": 1, "tags": ()},
    }
    return Entry(**{**facts, **more})


entries = st.lists(
    st.builds(
        entry,
        when=st.floats(NOON - 40 * DAY, NOON),
        model=st.sampled_from(["", "a", "b"]),
        engine=st.sampled_from(["comfy/sdxl", "flux2/dev"]),
        charged=st.integers(0, 500),
        refunded=st.integers(0, 500),
        prompt=st.text(max_size=20),
        error=st.text(max_size=20),
        wallets=st.dictionaries(st.sampled_from(["blue", "yellow", "fakeRed", "=x"]), st.integers(1, 9)),
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(entries)
def test_every_way_to_add_up_gives_the_same_sum(made: list[Entry]):
    groups = all_totals(made)
    (all_,) = groups["all"]
    for name in ("by_day", "by_model", "by_engine"):
        for column in ("purchases", "pictures", "charged", "refunded", "net"):
            assert sum(getattr(total, column) for total in groups[name]) == getattr(all_, column)
    assert [total.name for total in groups["by_day"]] == sorted({each.day for each in made})


@settings(max_examples=60)
@given(entries)
def test_a_spreadsheet_gets_every_purchase_and_no_formula(made: list[Entry]):
    rows = list(csv.DictReader(io.StringIO(as_csv(made), newline="")))
    assert [int(row["net"]) for row in rows] == [each.charged - each.refunded for each in made]
    for row, each in zip(rows, made, strict=True):
        assert sum(int(row[name]) for name in WALLETS) + sum(
            int(amount) for name, amount in row.items() if name in ("fakeRed", "'=x")
        ) == sum(each.wallets.values())
        assert row["prompt"] in (each.prompt, "'" + each.prompt)
        for cell in [*row, *row.values()]:
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")) or cell.lstrip("-").isdigit()


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("a cat", "a cat"),
        ("a=1", "a=1"),
        ("", ""),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
    ],
)
def test_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe(cell: str, shown: str):
    assert harmless(cell) == shown


async def test_what_was_paid_by_which_wallet_stays_known_after_a_refund(bridge: Any, fleet: Any):
    fleet.end = {"status": "failed"}
    with pytest.raises(CivitaiError):
        await bridge.generate(WANTED, Terms(asked_by="CivitAI Generate, node 7"))
    (workflow,) = fleet.workflows.values()
    workflow["transactions"]["list"].append({"type": "credit", "amount": 6, "accountType": "blue"})
    assert [purchase.credited for purchase in await look_for_refunds(bridge.runs, bridge.settings)] == [6]
    made = entry_of(bridge.journal.rows()[0])
    assert (made.charged, made.wallets, made.refunded, made.net) == (16, {"blue": 16}, 6, 10)
    assert (made.asked_by, made.engine, made.state) == ("CivitAI Generate, node 7", "comfy/sdxl", "failed")
    assert await look_for_refunds(bridge.runs, bridge.settings) == [], "nothing more has come back"


async def test_refunds_are_looked_for_during_thirty_days(make: Any, fleet: Any):
    clock = Shifted()
    bridge = make(clock=clock)
    fleet.image = lambda index: {"available": index == 0, "blockedReason": "" if index == 0 else "ChildReference"}
    await buy(bridge)
    (workflow,) = fleet.workflows.values()
    before = len(fleet.requests)
    clock.ahead = 29 * DAY
    workflow["transactions"]["list"].append({"type": "credit", "amount": 4, "accountType": "blue"})
    assert [purchase.credited for purchase in await look_for_refunds(bridge.runs, bridge.settings)] == [4]
    assert {fleet.name(request) for request in fleet.requests[before:]} == {"poll"}, "nothing is ordered or fetched"
    clock.ahead = 31 * DAY
    workflow["transactions"]["list"].append({"type": "credit", "amount": 4, "accountType": "blue"})
    assert await look_for_refunds(bridge.runs, bridge.settings) == []


async def test_a_purchase_with_all_its_pictures_and_one_of_another_user_are_not_asked_about(make: Any, fleet: Any):
    await buy(make())
    fleet.users["other"] = 8
    fleet.end = {"status": "failed"}
    with pytest.raises(CivitaiError):
        await make(key="other").generate(replace(WANTED, seed=1), Terms())
    bridge, before = make(), len(fleet.requests)
    assert await look_for_refunds(bridge.runs, bridge.settings) == [] and len(fleet.requests) == before


def test_what_never_left_or_was_refused_took_nothing(tmp_path: Path):
    journal = Journal(tmp_path / "journal.sqlite3")
    (refused,) = reserve(journal, plan("a"))
    journal.record(refused.key, state="refused")
    (canceled,) = reserve(journal, plan("b"))
    journal.want_cancel(canceled.key)
    (waiting,) = reserve(journal, plan("c"))
    made = {each.key: entry_of(each) for each in journal.rows()}
    assert [made[each.key].charged for each in (refused, canceled, waiting)] == [0, 0, 10]
    assert [each.cost for each in journal.rows()] == [0, 0, 10] and made[waiting.key].model == ""
    assert [total.name for total in totals(made.values(), lambda each: each.model)] == ["(not known)"]
    assert sum(each.cost for each in spendings_of(journal, "https://a")) == 10
    journal.close()


def test_a_day_and_a_month_begin_at_midnight_and_a_limit_looks_back_24_hours():
    midnight = datetime(2026, 11, 28).timestamp()
    whens = [datetime(2026, 10, 31, 23).timestamp(), datetime(2026, 11, 1).timestamp(), midnight - HOUR, midnight, NOON]
    made = spent_until([Spending(when, "", 10**place) for place, when in enumerate(whens)], Limits(1, 12_000), NOON)
    assert (made.today, made.month, made.last_24_hours, made.left) == (11_000, 11_110, 11_100, 900)
    assert spent_until([Spending(NOON, "", 99)], Limits(1, 50), NOON).left == 0


async def test_spent_is_what_the_limits_count(bridge: Any, fleet: Any):
    await buy(bridge)
    made = spent_until(spendings_of(bridge.journal, BASE), Limits(1000, 5000), time.time())
    assert (made.last_24_hours, made.left) == (16, 4984)


async def test_a_second_look_at_the_money_keeps_what_was_noted_meanwhile(bridge: Any, fleet: Any):
    outcome = await buy(bridge)
    owned_row = bridge.journal.take(outcome.key, "me")
    bridge.journal.record(outcome.key, about={**owned_row.about, "handed_over": True})
    owned = OwnedPurchase(bridge.runs.services, owned_row, "me")
    await learn_money(owned, await bridge.client.workflow(outcome.workflow_id))
    assert bridge.journal.get(outcome.key).about["handed_over"] is True
