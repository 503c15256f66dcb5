"""The journal: one transaction each, limits that races cannot pass, rows that outlive their owners."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fake_orders import WIDE, Clock, plan, reserve
from fake_service import spent

from pack.civitai_bridge.errors import AnotherAccount, LimitReached, StateTrouble
from pack.civitai_bridge.orchestration.echo import request_hash
from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.limits import Limits
from pack.civitai_bridge.orchestration.owners import HEART_STOPS
from pack.civitai_bridge.orchestration.purchase import (
    ACCEPTED,
    CANCELED,
    COLLECTED,
    FAILED,
    FINISHED,
    PLANNED,
    REFUSED,
    SENT,
    UNCONFIRMED,
    PurchasedImage,
    new_key,
)


def test_key_and_body_are_on_disk_before_anything_is_sent(journal: Journal, tmp_path: Path):
    (row,) = reserve(journal, plan())
    other = sqlite3.connect(tmp_path / "state" / "journal.sqlite3")
    assert other.execute("SELECT key, state, body FROM purchases").fetchall() == [(row.key, PLANNED, '{"steps":[]}')]
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


def test_keys_are_random_and_legal():
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(key.replace("-", "").isalnum() and key.isascii() and len(key) <= 128 for key in keys)


@pytest.mark.parametrize("state", [SENT, UNCONFIRMED, ACCEPTED, FINISHED])
def test_an_equal_request_shares_the_living_row(journal: Journal, state: str):
    (first,) = reserve(journal, plan())
    journal.record(first.key, state=state)
    for reuse in (True, False):
        (second,) = reserve(journal, plan(), reuse=reuse)
        assert second.key == first.key


@pytest.mark.parametrize("state", [REFUSED, CANCELED, FAILED])
def test_what_came_to_nothing_is_bought_anew(journal: Journal, state: str):
    (first,) = reserve(journal, plan())
    journal.record(first.key, state=state)
    (second,) = reserve(journal, plan())
    assert second.key != first.key


def test_a_collected_one_answers_only_when_reuse_is_on(journal: Journal):
    (first,) = reserve(journal, plan())
    journal.record(first.key, state=COLLECTED)
    assert reserve(journal, plan())[0].key == first.key
    assert reserve(journal, plan(), reuse=False)[0].key != first.key


def test_the_oldest_living_row_is_taken_first(journal: Journal, clock: Clock):
    first, second = plan(), plan()
    for each in (first, second):
        journal.reserve([each], WIDE, usable=lambda *_: True, owner=lambda _: "o")
        journal.record(each.key, state=COLLECTED) if journal.get(each.key) else None
        clock.now += 1
    (third,) = reserve(journal, plan(), reuse=False)
    journal.record(third.key, state=ACCEPTED)
    clock.now += 1
    assert reserve(journal, plan())[0].key == third.key


def test_two_equal_plans_of_one_round_are_one_purchase(journal: Journal):
    a, b = plan(), plan()
    rows = reserve(journal, a, b)
    assert [row.key for row in rows] == [a.key, a.key]
    assert len(journal.rows()) == 1


@pytest.mark.parametrize("other", [{"account": "you", "user": "8"}, {"base": "http://127.0.0.1:1"}])
def test_another_user_or_address_never_shares(journal: Journal, other: dict[str, str]):
    (first,) = reserve(journal, plan(user="7"))
    journal.record(first.key, state=ACCEPTED)
    assert reserve(journal, plan(**other))[0].key != first.key


def test_another_key_of_the_same_user_shares(journal: Journal):
    (first,) = reserve(journal, plan(user="7"))
    journal.record(first.key, state=ACCEPTED)
    assert reserve(journal, plan(account="new", user="7"))[0].key == first.key


@pytest.mark.parametrize(("bought_by", "asks"), [("", ""), ("7", ""), ("", "7")])
def test_an_equal_living_order_of_a_key_that_nobody_knows_is_not_bought_again(
    journal: Journal, bought_by: str, asks: str
):
    (first,) = reserve(journal, plan(user=bought_by))
    journal.record(first.key, state=UNCONFIRMED)
    other = plan(account="new", user=asks)
    with pytest.raises(AnotherAccount, match=r"nothing was bought.*--no-reuse"):
        reserve(journal, other)
    assert len(journal.rows()) == 1
    shown = replace(other, buyer=replace(other.buyer, strangers=frozenset({first.key})))
    assert reserve(journal, shown)[0].key == other.key, "it was shown to be somebody else's"
    journal.record(other.key, state=FAILED)
    assert reserve(journal, replace(plan(account="third"), reuse_paid=False))[0].key not in (first.key, other.key)


def test_the_limit_of_a_prompt_counts_all_of_it(journal: Journal):
    limits = Limits(25, 1000)
    reserve(journal, plan("a", prompt="p"), plan("b", prompt="p"), limits=limits)
    with pytest.raises(LimitReached, match="5 of the limit of 25 for one prompt are left") as caught:
        reserve(journal, plan("c", prompt="p"), limits=limits)
    assert (caught.value.limit, caught.value.left) == ("limit_buzz_per_prompt", 5)
    reserve(journal, plan("c", prompt="q"), limits=limits)


def test_a_round_is_reserved_whole_or_not_at_all(journal: Journal):
    with pytest.raises(LimitReached):
        reserve(journal, *(plan(str(n), prompt="p") for n in range(3)), limits=Limits(25, 1000))
    assert journal.rows() == []


def test_the_limit_of_a_day_frees_after_a_day(journal: Journal, clock: Clock):
    limits = Limits(1000, 15)
    reserve(journal, plan("a"), limits=limits)
    with pytest.raises(LimitReached) as caught:
        reserve(journal, plan("b"), limits=limits)
    assert caught.value.frees_at == clock.now + 24 * 3600
    journal.record(journal.rows()[0].key, state=COLLECTED)
    clock.now += 24 * 3600 + 1
    reserve(journal, plan("b"), limits=limits)


def test_a_clock_that_jumps_back_frees_nothing(journal: Journal, clock: Clock):
    (row,) = reserve(journal, plan("a"), limits=Limits(1000, 15))
    journal.record(row.key, state=COLLECTED)
    clock.now -= 7 * 24 * 3600
    with pytest.raises(LimitReached):
        reserve(journal, plan("b"), limits=Limits(1000, 15))


def test_refunds_give_back_and_higher_charges_count(journal: Journal):
    (row,) = reserve(journal, plan("a"))
    journal.record(row.key, state=ACCEPTED, price=14, debited=14)
    assert spent(journal, "https://a") == 14
    journal.record(row.key, price=3)
    assert spent(journal, "https://a") == 14, "the higher figure counts"
    journal.record(row.key, state=FAILED, credited=14)
    assert spent(journal, "https://a") == 0


@pytest.mark.parametrize(("state", "counts"), [(REFUSED, 0), (UNCONFIRMED, 10), (SENT, 10), (FAILED, 10)])
def test_what_may_have_been_paid_counts(journal: Journal, state: str, counts: int):
    (row,) = reserve(journal, plan())
    journal.record(row.key, state=state)
    assert spent(journal, "https://a") == counts


def test_a_row_that_never_left_stops_counting_when_its_process_died(journal: Journal, clock: Clock):
    limits = Limits(15, 15)
    (dead,) = reserve(journal, plan("a"), limits=limits)
    clock.goes_on(HEART_STOPS + 1)
    with pytest.raises(LimitReached):
        reserve(journal, plan("b"), limits=limits)
    clock.goes_on(HEART_STOPS / 3)
    reserve(journal, plan("b"), limits=limits)
    assert journal.get(dead.key).state == CANCELED
    assert journal.begin_attempt(dead.key, "o") is None, "and it never leaves any more"


def test_one_owner_at_a_time(journal: Journal, clock: Clock):
    (row,) = reserve(journal, plan(), owner="a")
    assert journal.take(row.key, "b") is None
    clock.goes_on(HEART_STOPS - 1)
    journal.beat(row.key, "a")
    clock.goes_on(HEART_STOPS - 1)
    assert journal.take(row.key, "b") is None
    clock.goes_on(HEART_STOPS / 3 + 1)
    assert journal.take(row.key, "b").owner == "b"
    assert journal.begin_attempt(row.key, "a") is None
    assert journal.begin_attempt(row.key, "b") == 1
    journal.release(row.key, "a")
    assert journal.get(row.key).owner == "b"
    journal.release(row.key, "b")
    assert journal.take(row.key, "c").owner == "c"


@pytest.mark.parametrize("jump", [3600, -3600, 400 * 24 * 3600])
def test_a_clock_that_jumps_kills_no_owner(journal: Journal, clock: Clock, jump: float):
    """A laptop that wakes, a clock that is set: the heart counts as stopped only when no beat came while we watched."""
    (row,) = reserve(journal, plan(), owner="a")
    clock.now += jump
    assert journal.take(row.key, "b") is None
    clock.goes_on(HEART_STOPS / 3 - 1)
    journal.beat(row.key, "a")
    clock.goes_on(HEART_STOPS / 3 - 1)
    assert journal.take(row.key, "b") is None


def test_nothing_is_written_over_the_next_owner(journal: Journal, clock: Clock):
    (row,) = reserve(journal, plan(), owner="a")
    journal.begin_attempt(row.key, "a")
    journal.release(row.key, "a")
    journal.take(row.key, "b")
    after = journal.record(row.key, owner="a", state=REFUSED, error="from the past")
    assert (after.state, after.error, after.owner) == (SENT, "", "b")
    late = journal.accepted(row.key, 1, owner="a", workflow_id="w", state=ACCEPTED)
    assert (late.workflow_id, late.state) == ("w", ACCEPTED), "an id is never lost, whoever owns the row"
    assert journal.attempts(row.key)[0].workflow_id == "w"
    assert journal.record(row.key, owner="b", state=REFUSED).state == ACCEPTED, "what has a workflow was not refused"


def test_a_row_that_is_admitted_again_counts_again(journal: Journal, clock: Clock):
    limits = Limits(15, 15)
    (old,) = reserve(journal, plan("a", price=10), limits=limits)
    journal.record(old.key, state=UNCONFIRMED)
    clock.goes_on(3 * 24 * 3600)
    (_new,) = reserve(journal, plan("b", price=10), limits=limits)
    with pytest.raises(LimitReached):
        journal.readmit(old.key, 10, "p", limits)
    clock.goes_on(24 * 3600)
    again = journal.readmit(old.key, 12, "p", limits)
    assert (again.price, again.prompt_id, again.created) == (12, "p", clock.now)
    assert spent(journal, "https://a", since=clock.now - 60) == 12


def test_attempts_are_noted_one_by_one(journal: Journal):
    (row,) = reserve(journal, plan())
    assert journal.begin_attempt(row.key, "o") == 1
    (first,) = journal.attempts(row.key)
    assert (first.outcome, first.unclear) == ("", True), "cut off now, nobody knows what came of it"
    journal.end_attempt(row.key, 1, "unclear: 502")
    assert journal.begin_attempt(row.key, "o") == 2
    journal.end_attempt(row.key, 2, "accepted: w")
    seen = [(one.number, one.unclear, one.workflow_id) for one in journal.attempts(row.key)]
    assert seen == [(1, True, ""), (2, False, "w")]


def test_a_cancel_before_the_post_keeps_it_from_leaving(journal: Journal):
    (row,) = reserve(journal, plan())
    assert journal.want_cancel(row.key).state == CANCELED
    assert journal.begin_attempt(row.key, "o") is None
    assert spent(journal, "https://a") == 0


def test_a_cancel_after_the_post_is_kept_for_later(journal: Journal):
    (row,) = reserve(journal, plan())
    journal.begin_attempt(row.key, "o")
    row = journal.want_cancel(row.key)
    assert (row.state, row.cancel_wanted) == (SENT, True)
    assert journal.begin_attempt(row.key, "o") is None, "a wish to cancel is never answered by another order"
    assert reserve(journal, plan())[0].key == row.key, "nor by another purchase while nobody knows how it ends"
    journal.release(row.key, "o")
    again = journal.want_cancel(row.key)
    taken = journal.take(row.key, "p", forget_cancels=row.cancels)
    assert taken is not None and taken.cancel_wanted, "a wish that came since then stands"
    taken = journal.take(row.key, "p", forget_cancels=again.cancels)
    assert taken is not None and not taken.cancel_wanted, "who asks anew takes back what nobody carried out"


def test_collected_stays_collected(journal: Journal):
    (row,) = reserve(journal, plan())
    journal.record(row.key, state=COLLECTED)
    assert journal.record(row.key, state=ACCEPTED, error="late").state == COLLECTED


def test_slots_come_back_as_they_went_in(journal: Journal):
    (row,) = reserve(journal, plan())
    slots = (
        PurchasedImage(0, 7, "b0", "ab", "ab.png", 64, 64),
        PurchasedImage(1, 8, "b1", reason="blocked"),
        PurchasedImage(2, None, pending=True),
    )
    assert journal.record(row.key, slots=slots).slots == slots


def test_two_connections_race_for_one_limit(tmp_path: Path):
    """16 racing nodes on two connections, room for 5 of them."""
    limits, reached = Limits(1000, 50), []
    journals = [Journal(tmp_path / "j.sqlite3") for _ in range(2)]

    def buy(number: int) -> None:
        try:
            reserve(journals[number % 2], plan(str(number)), limits=limits)
        except LimitReached:
            reached.append(number)

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reached) == 11
    assert spent(journals[0], "https://a") == 50
    for journal in journals:
        journal.close()


def test_an_unknown_purchase_is_a_sentence(journal: Journal):
    with pytest.raises(StateTrouble, match="journal list"):
        journal.want_cancel("nothing")


def test_what_had_finished_before_the_cancel_is_not_bought_again(journal: Journal):
    (row,) = reserve(journal, plan())
    journal.record(row.key, state=ACCEPTED)
    journal.want_cancel(row.key)
    assert reserve(journal, plan("other"))[0].key != row.key
    journal.record(row.key, state=FINISHED)
    assert reserve(journal, plan())[0].key == row.key


def test_a_collected_row_that_is_not_usable_is_bought_anew(journal: Journal):
    (row,) = reserve(journal, plan())
    journal.record(row.key, state=COLLECTED)
    seen: list[str] = []
    (other,) = journal.reserve([plan()], WIDE, usable=lambda _, row: bool(seen.append(row.key)), owner=lambda _: "o")
    assert seen == [row.key] and other.key != row.key


@pytest.mark.parametrize("state", [FINISHED, COLLECTED, REFUSED, FAILED, CANCELED])
def test_an_order_that_is_over_keeps_its_text_but_no_pictures(journal: Journal, state: str):
    body = {"steps": [{"input": {"prompt": "x", "images": ["data:image/png;base64,QUJD"], "seed": 1}}], "tags": ["t"]}
    asked = replace(plan(), body=json.dumps(body))
    (row,) = reserve(journal, asked)
    journal.record(row.key, state=ACCEPTED)
    assert "base64" in journal.get(row.key).body
    journal.record(row.key, state=state) if state != REFUSED else None
    if state == REFUSED:
        (row,) = reserve(journal, replace(plan("another"), body=json.dumps(body)))
        journal.record(row.key, state=state)
    kept = json.loads(journal.get(row.key).body)
    (image,) = kept["steps"][0]["input"]["images"]
    assert image.startswith("sha256:") and len(image) == 71 and kept["steps"][0]["input"]["prompt"] == "x"
    assert request_hash("", "https://a", kept, 1) == request_hash("", "https://a", body, 1)


def test_a_cancel_before_the_post_keeps_no_pictures_either(journal: Journal):
    (row,) = reserve(journal, replace(plan(), body='{"image": "data:image/png;base64,QUJD"}'))
    assert "base64" not in journal.want_cancel(row.key).body


@pytest.mark.parametrize("outcome", [None, "refused: HTTP 429", "not sent: no such host"])
def test_a_row_that_was_given_back_before_its_order_left_holds_no_buzz(journal: Journal, outcome: str | None):
    limits = Limits(15, 15)
    (left,) = reserve(journal, plan("a"), limits=limits)
    if outcome is not None:
        journal.end_attempt(left.key, journal.begin_attempt(left.key, "o") or 0, outcome)
    journal.release(left.key, "o")
    reserve(journal, plan("b"), limits=limits)
    assert journal.get(left.key).state == CANCELED


@pytest.mark.parametrize("outcome", ["", "cut off: broken", "unclear: HTTP 500"])
def test_a_row_that_was_given_back_after_its_order_may_have_left_goes_on_to_count(journal: Journal, outcome: str):
    limits = Limits(15, 15)
    (left,) = reserve(journal, plan("a"), limits=limits)
    journal.end_attempt(left.key, journal.begin_attempt(left.key, "o") or 0, outcome)
    journal.release(left.key, "o")
    with pytest.raises(LimitReached):
        reserve(journal, plan("b"), limits=limits)
    assert journal.get(left.key).state == SENT
