"""What could lose money although every single step looks right: the findings of a review of the money path, kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fake_service import BASE, WANTED, FakeService, Servers, Shifted, buy, picture, reply, spent, states

from pack.civitai_bridge.errors import (
    AnotherAccount,
    BlobUnavailable,
    CivitaiError,
    Interrupted,
    NotFound,
    OutOfBuzz,
    StateTrouble,
    StillRunning,
    Unconfirmed,
    Unreachable,
    WorkflowCanceled,
    WorkflowFailed,
)
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, Terms
from pack.civitai_bridge.orchestration.timings import pause_before

NO = reply(403, "Insufficient Buzz")
MOST_PATIENT = 10**6


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0.01)


async def killed(bridge: Fleet, errand: asyncio.Future[Any]) -> None:
    """The process dies: nothing more is written, nobody gives anything back."""
    bridge.journal.close()
    for run in bridge.runs:
        run.task.cancel()
    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)


async def test_an_accepted_order_is_never_believed_refused(make: Servers, fleet: FakeService):
    """The process died (or its disk filled) between the answer to the POST and its row; then the wallet is empty."""
    bridge = make()
    real = bridge.journal.accepted

    def full(*_: Any, **__: Any) -> Any:
        raise StateTrouble("the disk is full")

    bridge.journal.accepted = full  # type: ignore[method-assign]
    with pytest.raises(StateTrouble):
        await bridge.generate(WANTED, Terms())
    bridge.journal.accepted = real  # type: ignore[method-assign]
    fleet.before["submit"] = [NO] * 9
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1


async def test_a_cancel_of_an_order_whose_row_is_behind_still_reaches_it(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    bridge = make()

    def full(*_: Any, **__: Any) -> Any:
        raise StateTrouble("the disk is full")

    bridge.journal.accepted = full  # type: ignore[method-assign]
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


async def test_a_run_is_found_with_a_clock_that_is_an_hour_ahead(make: Servers, fleet: FakeService):
    clock = Shifted()
    clock.ahead = 3600.0
    fleet.after["submit"] = [Unreachable("lost answer")]
    fleet.before["submit"] = [None, NO]  # type: ignore[list-item]
    outcome = await make(clock=clock).generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1"
    asked = [dict(r.query) for r in fleet.requests if fleet.name(r) == "list"]
    assert asked and all("fromDate" not in query for query in asked)


class Slow(FakeService):
    """Looks whether the key is known first and inserts after its work, so two orders that overlap are both charged
    (facts §3.1)."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.most = self.charges = 0
        self.work: asyncio.Event = asyncio.Event()

    async def submit(self, request: Request) -> Response:
        async def server() -> Response:
            self.live += 1
            self.most = max(self.most, self.live)
            known = json.loads(request.content or b"")["externalId"] in self.keys
            await self.work.wait()
            self.live -= 1
            self.charges += not known
            return await FakeService.submit(self, request)

        return await asyncio.shield(asyncio.create_task(server()))


async def test_a_post_that_is_still_worked_on_gets_no_second_one_beside_it(make: Servers):
    fleet = make.fleet = Slow()
    first = make()
    errand = asyncio.ensure_future(first.generate(WANTED, Terms()))
    await until(lambda: fleet.live == 1)
    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)
    await first.close()
    later = make(sleep=lambda seconds: asyncio.sleep(seconds / 50))
    again = asyncio.ensure_future(later.generate(WANTED, Terms()))
    asyncio.get_running_loop().call_later(0.5, fleet.work.set)  # 25 s by the clock of `later`
    outcome = await again
    assert (fleet.most, fleet.charges) == (1, 1) and len(outcome.pictures) == 2


async def test_a_clock_that_jumps_while_the_post_is_under_way_sends_no_second_one(make: Servers):
    fleet, clock = Slow(), Shifted()
    make.fleet = fleet
    first, second = make(clock=clock), make(clock=clock)
    errands = [asyncio.ensure_future(first.generate(WANTED, Terms()))]
    await until(lambda: fleet.live == 1)
    errands.append(asyncio.ensure_future(second.generate(WANTED, Terms())))
    await asyncio.sleep(0.1)
    clock.ahead = 60.0
    await asyncio.sleep(0.5)
    fleet.work.set()
    outcomes = await asyncio.gather(*errands)
    assert (fleet.most, fleet.charges) == (1, 1) and len({o.workflow_id for o in outcomes}) == 1


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


async def test_one_404_while_fetching_gives_no_picture_up(make: Servers, fleet: FakeService):
    fleet.fetch_answers = [Unreachable("down")] * 6
    bridge = make()
    with pytest.raises(BlobUnavailable):
        await bridge.generate(WANTED, Terms())
    await bridge.close()
    fleet.before["poll"] = [reply(404)]
    outcome = await make().generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and fleet.count("submit") == 1


async def test_what_is_handed_over_again_is_not_pruned_at_once(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge = make(clock=clock)
    await buy(bridge)
    await bridge.close()
    clock.ahead = 31 * 24 * 3600.0
    later = make(clock=clock)
    outcome = await buy(later)
    await asyncio.sleep(0.2)
    assert not outcome.paid_now and all(picture.path.is_file() for picture in outcome.pictures)


async def test_a_finished_purchase_whose_file_vanished_is_fetched_again(make: Servers, fleet: FakeService):
    bridge = make()
    outcome = await bridge.generate(WANTED, Terms())  # nobody says that they arrived
    for one in outcome.pictures:
        one.path.unlink()
    outcome = await bridge.generate(WANTED, Terms())
    assert all(picture.path.is_file() for picture in outcome.pictures) and fleet.count("submit") == 1


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


async def test_pictures_that_are_attached_a_moment_after_the_end_are_waited_for(make: Servers, fleet: FakeService):
    looks, real = 0, fleet.poll

    async def late(request: Request) -> Response:
        nonlocal looks
        looks += 1
        answer = await real(request)
        if looks == 1:
            data = json.loads(answer.content)
            data["steps"][0].pop("output")
            return reply(200, data)
        return answer

    fleet.poll = late  # type: ignore[method-assign]
    outcome = await make().generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and not outcome.missing


async def test_blobs_without_names_keep_their_own_pictures(make: Servers, fleet: FakeService):
    fleet.image = lambda index: {"id": ""}
    outcome = await make().generate(WANTED, Terms())
    assert len({picture.sha256 for picture in outcome.pictures}) == 2


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


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_list_that_refuses_finds_nothing_and_the_key_keeps_a_second_run_away(
    make: Servers, fleet: FakeService, status: int
):
    fleet.after["submit"] = [Unreachable("lost answer")]
    fleet.before["list"] = [reply(status)] * 50
    outcome = await make().generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and len(fleet.workflows) == 1


@pytest.mark.parametrize("status", [408, 409, 418, 425, 499, 500])
async def test_an_odd_answer_to_a_submit_is_no_refusal(make: Servers, fleet: FakeService, status: int):
    fleet.after["submit"] = [reply(status)]
    fleet.before["list"] = [reply(200, {"items": []})]
    outcome = await make().generate(WANTED, Terms())
    assert outcome.workflow_id == "7-1" and len(fleet.workflows) == 1


async def test_an_old_order_is_sent_again_only_at_a_price_and_limits_that_are_allowed_today(
    make: Servers, fleet: FakeService
):
    clock = Shifted()
    bridge = make(clock=clock, limit_buzz_per_day=20)
    fleet.before["submit"] = [Unreachable("down")] * 4
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms(prompt_id="old"))
    clock.ahead = 3 * 24 * 3600.0
    fleet.asked_price = 25
    with pytest.raises(Unconfirmed, match=r"limit_buzz_per_day.*may have arrived") as caught:
        await bridge.generate(WANTED, Terms(prompt_id="new"))
    assert "Nothing was bought" not in str(caught.value)
    assert fleet.count("submit") == 4 and states(bridge) == ["unconfirmed"]
    fleet.asked_price = 16
    outcome = await bridge.generate(WANTED, Terms(prompt_id="new"))
    assert outcome.paid_now and len({body["externalId"] for body in fleet.submits}) == 1
    assert bridge.journal.rows()[0].prompt_id == "new"


async def test_pauses_are_bounded_however_often_it_failed():
    assert [pause_before(n, None) for n in (1, 2, 3, 4, 700)] == [0.5, 1.5, 4.5, 13.5, 30.0]


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


# --- rows of others, and state folders that do not work (issue "Under fire", Bad input)


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


class FullDisk:
    """Makes the journal's disk full at its n-th write, by name of the method that writes."""

    def __init__(self, bridge: Fleet, method: str) -> None:
        self.journal, self.method = bridge.journal, method
        self.real = getattr(bridge.journal, method)
        setattr(bridge.journal, method, self)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        raise StateTrouble("The journal in the state folder cannot be used: the disk is full.")

    def free(self) -> None:
        setattr(self.journal, self.method, self.real)


@pytest.mark.parametrize(
    ("method", "sent"),
    [("reserve", 0), ("begin_attempt", 0), ("accepted", 1), ("record", 1)],
    ids=["before the row", "before the POST", "after the POST", "while fetching"],
)
async def test_a_disk_that_is_full_loses_nothing_and_pays_nothing_twice(
    make: Servers, fleet: FakeService, method: str, sent: int
):
    bridge = make()
    full = FullDisk(bridge, method)
    with pytest.raises(StateTrouble, match="full"):
        await bridge.generate(WANTED, Terms())
    assert fleet.count("submit") == sent
    full.free()
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and len(fleet.workflows) == 1


async def test_a_disk_that_is_full_while_pictures_are_kept_keeps_the_purchase(
    make: Servers, fleet: FakeService, monkeypatch: pytest.MonkeyPatch
):
    bridge = make()

    def full(*_: Any) -> Any:
        raise StateTrouble("The picture could not be kept: the disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(bridge.results, "keep", full)
        with pytest.raises(CivitaiError, match="full"):
            await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["finished"]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and not outcome.paid_now and fleet.count("submit") == 1


@pytest.mark.parametrize("bad", [b"<html>no picture</html>", b"\x89PNG\r\n\x1a\n", b""], ids=["html", "cut", "empty"])
async def test_bytes_that_are_no_picture_are_never_handed_over_nor_given_up(
    make: Servers, fleet: FakeService, bad: bytes
):
    bridge = make()
    fleet.fetch_answers = [bad] * 6
    with pytest.raises(BlobUnavailable, match="not paid again"):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["finished"]
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 2 and fleet.count("submit") == 1


async def test_an_empty_wallet_says_so_on_the_node_and_costs_nothing(make: Servers, fleet: FakeService):
    fleet.before["submit"] = [NO]
    bridge = make()
    with pytest.raises(OutOfBuzz, match="Buzz"):
        await bridge.generate(WANTED, Terms())
    assert spent(bridge.journal, BASE) == 0


# --- the second review


def without_pictures(answer: Response) -> Response:
    data = json.loads(answer.content)
    for step in data["steps"]:
        step.pop("output", None)
    return reply(200, data)


async def test_a_look_that_meets_the_end_before_its_pictures_gives_none_up(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    bridge = make()
    with pytest.raises(StillRunning):
        await bridge.generate(WANTED, Terms(wait_minutes=0.001))
    await bridge.close()
    fleet.polls_until_done = 1
    real, looks = fleet.poll, 0

    async def late(request: Request) -> Response:
        nonlocal looks
        looks += 1
        answer = await real(request)
        return without_pictures(answer) if looks == 1 else answer

    fleet.poll = late  # type: ignore[method-assign]
    later = make()
    (row,) = await later.resume()
    assert all(slot.pending for slot in row.slots)
    assert len((await later.generate(WANTED, Terms())).pictures) == 2


async def test_a_picture_that_never_comes_is_given_up_after_an_hour(make: Servers, fleet: FakeService):
    clock, real = Shifted(), fleet.poll

    async def never(request: Request) -> Response:
        return without_pictures(await real(request))

    fleet.poll = never  # type: ignore[method-assign]
    bridge = make(clock=clock)
    with pytest.raises(BlobUnavailable):
        await bridge.generate(WANTED, Terms())
    clock.ahead = 4000.0
    with pytest.raises(WorkflowFailed, match="sent no picture"):
        await bridge.generate(WANTED, Terms())
    assert fleet.count("submit") == 1


async def test_what_came_to_no_picture_at_all_answers_nothing_for_ever(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge = make(clock=clock)
    fleet.fetch_answers = [Unreachable("down")] * 6
    with pytest.raises(BlobUnavailable):
        await bridge.generate(WANTED, Terms())
    clock.ahead = 31 * 24 * 3600.0
    kept, fleet.workflows = fleet.workflows, {}
    fleet.before |= {"refresh": [reply(404)] * 9, "blob": [reply(404)] * 9}
    with pytest.raises(WorkflowFailed, match="no longer keeps"):
        await bridge.generate(WANTED, Terms())
    fleet.before.clear()
    fleet.workflows = kept
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.paid_now and len(outcome.pictures) == 2


async def test_what_was_withheld_is_not_bought_again_and_says_how_to(make: Servers, fleet: FakeService):
    fleet.image = lambda index: {"available": False, "url": None, "blockedReason": "ChildReference"}
    bridge = make()
    for words in ("moderation", "Nothing was paid now"):
        with pytest.raises(WorkflowFailed, match=words):
            await bridge.generate(WANTED, Terms())
    assert fleet.count("submit") == 1
    fleet.image = lambda index: {}
    assert (await bridge.generate(WANTED, Terms(reuse_paid=False))).paid_now


async def test_a_picture_with_a_good_head_and_damaged_pixels_is_fetched_again(make: Servers, fleet: FakeService):
    damaged = bytearray(picture(3))
    start = damaged.index(b"IDAT") + 6
    damaged[start : start + 14] = bytes(14)
    fleet.fetch_answers = [bytes(damaged)]
    outcome = await make().generate(WANTED, Terms())
    assert all(one.path.read_bytes() == picture(one.index) for one in outcome.pictures)


@pytest.mark.parametrize("refusal", ["max_buzz", "wallet"])
async def test_nothing_was_bought_is_never_said_of_an_order_that_may_have_arrived(
    make: Servers, fleet: FakeService, refusal: str
):
    fleet.after["submit"] = [Unreachable("lost")] * 4
    fleet.before["list"] = [reply(503)] * 999
    bridge = make()
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms())
    fleet.insufficient = refusal == "wallet"
    with pytest.raises(Unconfirmed, match="may have arrived") as caught:
        await bridge.generate(WANTED, Terms(max_buzz=10 if refusal == "max_buzz" else None))
    assert "Nothing was bought" not in str(caught.value) and len(fleet.workflows) == 1


async def test_an_old_order_is_not_sent_again_for_a_prompt_that_is_over(make: Servers, fleet: FakeService):
    fleet.before["submit"] = [Unreachable("down")] * 4
    bridge = make()
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms())
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms(), Caller(abandoned=lambda: fleet.count("price") > 1))
    assert fleet.count("submit") == 4 and states(bridge) == ["unconfirmed"]


@pytest.mark.parametrize("cuts", [1, 3])
async def test_a_cut_connection_gets_its_time_before_the_next_post(make: Servers, cuts: int):
    fleet = make.fleet = Slow()
    real, posts = fleet.submit, []

    async def cut(request: Request) -> Response:
        posts.append(asyncio.ensure_future(real(request)))
        await asyncio.sleep(0.02)
        if len(posts) <= cuts:
            raise Unreachable("the connection broke off")
        return await posts[-1]

    fleet.submit = cut  # type: ignore[method-assign]
    bridge = make(sleep=lambda seconds: asyncio.sleep(seconds / 20))
    asyncio.get_running_loop().call_later(0.5, fleet.work.set)  # 10 s by the clock of the bridge
    outcome = await bridge.generate(WANTED, Terms())
    await asyncio.gather(*posts)
    assert (fleet.most, fleet.charges) == (1, 1) and len(outcome.pictures) == 2


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


async def test_a_clear_no_is_believed_when_an_hour_has_shown_nothing(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge = make(clock=clock)
    fleet.before["submit"] = [reply(500)] + [reply(400, {"detail": "no such sampler"})] * 9
    with pytest.raises(Unconfirmed):
        await bridge.generate(WANTED, Terms())
    clock.ahead = 2 * 3600.0
    with pytest.raises(CivitaiError, match="no such sampler"):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["refused"] and spent(bridge.journal, BASE) == 0


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


async def test_one_malformed_redirect_takes_no_other_picture_with_it(make: Servers, fleet: FakeService):
    fleet.fetch_answers = [ValueError("Invalid IPv6 URL")]
    fleet.image = lambda index: {}
    bridge = make()
    outcome = await bridge.generate(WANTED, Terms())
    assert len(outcome.pictures) == 1
    again = await bridge.generate(WANTED, Terms())
    assert len(again.pictures) == 2 and fleet.count("submit") == 1


async def test_a_deliberate_repeat_is_served_although_a_picture_may_still_come(make: Servers, fleet: FakeService):
    fleet.image = lambda index: {"available": False, "url": None} if index == 0 else {}
    fleet.before |= {"refresh": [reply(404)] * 99, "blob": [reply(404)] * 99}
    bridge = make()
    first = await buy(bridge)
    assert len(first.pictures) == 1 and states(bridge) == ["finished"]
    same = await buy(bridge)
    assert same.workflow_id == first.workflow_id and not same.paid_now
    fleet.image = lambda index: {}
    other = await buy(bridge, WANTED, Terms(reuse_paid=False))
    assert other.paid_now and len(other.pictures) == 2


async def test_an_estimate_ends_with_its_cancel(make: Servers, fleet: FakeService):
    never = asyncio.Event()

    async def hangs(_: Request) -> Response:
        await never.wait()
        raise AssertionError

    fleet.price = hangs  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        await make().estimate(WANTED, caller=Caller(cancelled=lambda: fleet.count("price") > 0))


@pytest.mark.parametrize("lost", [True, False])
async def test_of_two_runs_of_one_order_the_one_with_pictures_is_taken(make: Servers, fleet: FakeService, lost: bool):
    """The service made two workflows of an order whose first answer was lost; the one that we know of fails."""
    real, real_poll = fleet.submit, fleet.poll

    async def twice(request: Request) -> Response:
        answer = await real(request)
        first = fleet.workflows["7-1"]
        fleet.workflows.setdefault("7-twin", {**first, "id": "7-twin", "createdAt": "2026-11-22T00:00:00Z"})
        return answer

    async def first_fails(request: Request) -> Response:
        if request.path.endswith("/7-1"):
            money = [{"type": "debit", "amount": 16}, {"type": "credit", "amount": 16}]
            return reply(200, fleet.workflows["7-1"] | {"status": "failed", "transactions": {"list": money}})
        return await real_poll(request)

    fleet.submit, fleet.poll = twice, first_fails  # type: ignore[method-assign]
    fleet.after["submit"] = [Unreachable("cut")] if lost else []
    bridge = make()
    if not lost:
        with pytest.raises(WorkflowFailed):
            await bridge.generate(WANTED, Terms())
        return
    outcome = await bridge.generate(WANTED, Terms())
    assert outcome.workflow_id == "7-twin" and len(outcome.pictures) == 2
    assert "made more than one workflow of this order (7-twin)" in outcome.report
    twin = bridge.journal.get("7-1")
    assert twin is not None and (twin.state, twin.cost) == ("failed", 0), "the money of the other is looked after too"


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
