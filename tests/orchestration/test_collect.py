"""Pictures that are paid and hard to get: signed addresses that lead nowhere, moderation's placeholder, the last look."""

from __future__ import annotations

import pytest
from fake_service import BASE, WANTED, FakeService, Servers, Shifted, buy, picture, reply, spent, states

from pack.civitai_bridge.errors import BlobBlocked, BlobUnavailable, Unreachable, WorkflowFailed
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Terms

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
