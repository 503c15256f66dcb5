"""Pictures that are paid and hard to get: withheld, late, damaged, lost on the way, on the service and on this disk."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import time
from typing import Any

import pytest
from fake_service import BASE, WANTED, FakeService, Servers, Shifted, buy, picture, reply, spent, states
from stories import MOST_PATIENT, without_pictures

from pack.civitai_bridge.errors import (
    BlobBlocked,
    BlobUnavailable,
    CivitaiError,
    StillRunning,
    Unreachable,
    WorkflowFailed,
)
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Terms


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


BLOCKED = BlobBlocked("The picture is withheld by CivitAI's moderation.")


@pytest.mark.parametrize("error", [BLOCKED, BlobUnavailable("HTTP 403"), BlobUnavailable("HTTP 404")], ids=str)
async def test_where_no_signed_address_works_the_picture_is_asked_for_by_its_id(
    make: Servers, fleet: FakeService, error: Exception
):
    fleet.signed_error = error
    outcome = await buy(make())
    assert [one.path.read_bytes() for one in outcome.pictures] == [picture(0), picture(1)]
    assert fleet.count("blob") == 2 and f"{BASE}/v2/consumer/blobs/content/7-1-0.png" in fleet.fetches


async def test_a_placeholder_on_all_ways_is_withheld_for_now_and_looked_at_again(make: Servers, fleet: FakeService):
    fleet.fetch_answers = [BLOCKED] * 6
    bridge = make()
    with pytest.raises(BlobUnavailable, match="withholds it for now"):
        await bridge.generate(WANTED, Terms())
    assert states(bridge) == ["finished"] and fleet.count("blob") == 2
    (row,) = await bridge.resume()
    assert all(image.fetched for image in row.slots), "an hour later moderation may have changed its mind"
    assert not (await buy(bridge)).paid_now and fleet.count("submit") == 1


async def test_only_the_workflows_own_word_withholds_a_picture_for_good(make: Servers, fleet: FakeService):
    fleet.fetch_answers = [BLOCKED] * 6
    bridge = make()
    with pytest.raises(BlobUnavailable):
        await bridge.generate(WANTED, Terms())
    for image in fleet.workflows["7-1"]["steps"][0]["output"]["images"]:
        image |= {"available": False, "url": None, "blockedReason": "ChildReference"}
    (row,) = await bridge.resume()
    assert all(image.blocked and not image.pending for image in row.slots)


def nothing_gives(fleet: FakeService) -> None:
    """All routes of the pictures answer 404 from now on."""
    fleet.before |= {"refresh": [reply(404)] * 999, "blob": [reply(404)] * 999}
    fleet.signed_error = BlobUnavailable("The storage does not give the picture (HTTP 404).")


@pytest.mark.parametrize("bytes_", [False, True], ids=["404 for good", "bytes that are never a picture"])
async def test_after_the_last_look_the_loss_is_told_the_refund_asked_for_and_the_request_is_free_again(
    make: Servers, fleet: FakeService, bytes_: bool
):
    clock = Shifted()
    bridge = make(clock=clock)
    if bytes_:
        fleet.fetch_answers = [b"<html>no picture</html>"] * 99
    else:
        nothing_gives(fleet)
    for clock.ahead in (0.0, 3600.0, 23 * 3600.0):
        with pytest.raises(BlobUnavailable, match="not paid again"):
            await bridge.generate(WANTED, Terms())
    clock.ahead = 24.1 * 3600
    with pytest.raises(WorkflowFailed, match=r"it is lost.*2 pictures of workflow 7-1 cannot be had.*refund"):
        await bridge.generate(WANTED, Terms())
    assert fleet.count("submit") == 1
    fleet.before.clear()
    fleet.fetch_answers.clear()
    fleet.signed_error = None
    assert (await bridge.generate(WANTED, Terms())).paid_now


async def test_a_person_gets_past_pictures_that_cannot_be_had_at_once_with_reuse_paid_off(
    make: Servers, fleet: FakeService
):
    bridge = make()
    fleet.fetch_answers = [BlobUnavailable("HTTP 404")] * 6
    with pytest.raises(BlobUnavailable, match="turn `reuse_paid` off"):
        await bridge.generate(WANTED, Terms())
    outcome = await bridge.generate(WANTED, Terms(reuse_paid=False))
    assert outcome.paid_now and fleet.count("submit") == 2


async def test_a_network_that_is_away_at_the_last_look_gives_nothing_up(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge: Fleet = make(clock=clock)
    fleet.fetch_answers = [Unreachable("down")] * 6
    with pytest.raises(BlobUnavailable):
        await bridge.generate(WANTED, Terms())
    clock.ahead = 30 * 3600.0
    fleet.fetch_answers = [Unreachable("down")] * 6
    with pytest.raises(BlobUnavailable):
        await bridge.generate(WANTED, Terms())
    assert len((await bridge.generate(WANTED, Terms())).pictures) == 2


async def test_a_refund_for_pictures_that_were_lost_is_seen_for_a_month(make: Servers, fleet: FakeService):
    clock = Shifted()
    bridge = make(clock=clock)
    fleet.image = lambda index: {"available": False, "url": None, "blockedReason": "ChildReference"} if index else {}
    outcome = await buy(bridge)
    assert states(bridge) == ["collected"] and len(outcome.pictures) == 1
    clock.ahead = 20 * 24 * 3600.0
    fleet.workflows["7-1"]["transactions"]["list"].append({"type": "credit", "amount": 8, "accountType": "blue"})
    await bridge.resume()
    assert states(bridge) == ["collected"] and spent(bridge.journal, BASE) == 8


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


async def test_a_disk_that_is_full_while_pictures_are_kept_keeps_the_purchase(
    make: Servers, fleet: FakeService, monkeypatch: pytest.MonkeyPatch
):
    bridge = make()

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CivitaiError, match="results folder"):
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
