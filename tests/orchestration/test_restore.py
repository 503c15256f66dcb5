"""Pictures that were collected and are gone from this disk: fetched again, never bought again while they may be had."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fake_service import WANTED, FakeService, Servers, buy

from pack.civitai_bridge.errors import BlobUnavailable, Interrupted, Unreachable, WorkflowFailed
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, Terms

STORAGE_IS_DOWN = Unreachable("The storage does not answer.")


async def bought_and_pruned(bridge: Fleet, pictures: int = 2) -> Any:
    """A collected purchase whose first pictures are gone from the disk."""
    outcome = await buy(bridge)
    for picture in outcome.pictures[:pictures]:
        picture.path.unlink()
    return outcome


async def test_pictures_that_could_not_be_fetched_again_are_not_bought_again_by_the_next_try(
    bridge: Fleet, fleet: FakeService
):
    await bought_and_pruned(bridge)
    for _ in range(2):
        fleet.fetch_answers = [STORAGE_IS_DOWN] * 6
        with pytest.raises(BlobUnavailable, match="not paid again"):
            await buy(bridge)
    fleet.fetch_answers = []
    again = await buy(bridge)
    assert len(again.pictures) == 2 and not again.paid_now and fleet.count("submit") == 1


async def test_one_picture_that_could_not_be_fetched_again_is_asked_for_by_the_next_try(
    bridge: Fleet, fleet: FakeService
):
    await bought_and_pruned(bridge, 1)
    fleet.fetch_answers = [STORAGE_IS_DOWN] * 3
    assert len((await buy(bridge)).pictures) == 1
    fleet.fetch_answers = []
    assert len((await buy(bridge)).pictures) == 2 and fleet.count("submit") == 1


async def test_what_was_given_once_and_is_withheld_by_now_ends_with_the_reason_and_is_not_bought_again(
    bridge: Fleet, fleet: FakeService
):
    outcome = await bought_and_pruned(bridge)
    for image in fleet.workflows[outcome.workflow_id]["steps"][0]["output"]["images"]:
        image.update(available=False, url=None, blockedReason="ChildReference")
    for _ in range(2):
        with pytest.raises(WorkflowFailed, match="moderation"):
            await asyncio.wait_for(buy(bridge), 10)
    assert fleet.count("submit") == 1
    assert len((await buy(bridge, terms=Terms(reuse_paid=False))).missing) == 0


class SlowStorage(FakeService):
    """Gives pictures only while `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self, url: str, **more: Any) -> Any:
        await self.open.wait()
        return await super().fetch(url, **more)


async def test_two_who_want_the_same_lost_pictures_both_get_them(make: Servers):
    storage = make.fleet = SlowStorage()
    bridge, other = make(sleep=asyncio.sleep), make(sleep=asyncio.sleep)
    await bought_and_pruned(bridge)
    storage.open.clear()
    waits = [asyncio.ensure_future(buy(each)) for each in (bridge, bridge, other)]
    await asyncio.sleep(0.3)
    storage.open.set()
    assert [len(outcome.pictures) for outcome in await asyncio.gather(*waits)] == [2, 2, 2]
    assert storage.count("submit") == 1


async def test_a_cancel_ends_the_wait_for_lost_pictures(make: Servers):
    storage = make.fleet = SlowStorage()
    bridge = make()
    await bought_and_pruned(bridge)
    storage.open.clear()
    with pytest.raises(Interrupted):
        await asyncio.wait_for(_cancelled(bridge, storage), 5)
    storage.open.set()
    assert len((await buy(bridge)).pictures) == 2 and storage.count("submit") == 1


async def _cancelled(bridge: Fleet, storage: SlowStorage) -> None:
    polls = storage.count("poll")
    await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: storage.count("poll") > polls))


async def test_a_resume_by_name_fetches_collected_pictures_that_are_gone_from_the_disk(
    bridge: Fleet, fleet: FakeService
):
    outcome = await bought_and_pruned(bridge)
    (row,) = await bridge.resume(outcome.key)
    assert all(bridge.results.has(image.file) for image in row.slots)
    assert row.state == "collected" and fleet.count("submit") == 1


async def test_where_the_newest_purchase_has_no_pictures_an_older_one_serves(bridge: Fleet, fleet: FakeService):
    first = await buy(bridge)
    fleet.image = lambda _: {"id": "", "available": False, "url": None, "blockedReason": None}
    second = await _bought_without_pictures(bridge)
    assert second != first.key
    again = await buy(bridge)
    assert again.key == first.key and len(again.pictures) == 2 and fleet.count("submit") == 2


async def _bought_without_pictures(bridge: Fleet) -> str:
    """A purchase that is collected though nothing of it could be had. Returns its key."""
    with pytest.raises(BlobUnavailable):
        await bridge.generate(WANTED, Terms(reuse_paid=False))
    row = bridge.journal.rows()[-1]
    bridge.journal.record(
        row.key, slots=[replace(image, pending=False, reason="it is lost") for image in row.slots], state="collected"
    )
    return row.key


async def test_a_refund_is_seen_while_pictures_are_still_asked_for(bridge: Fleet, fleet: FakeService):
    fleet.fetch_answers = [STORAGE_IS_DOWN] * 6
    with pytest.raises(BlobUnavailable):
        await bridge.generate(WANTED, Terms())
    fleet.workflows["7-1"]["transactions"]["list"].append({"type": "credit", "amount": 16, "accountType": "blue"})
    fleet.fetch_answers = [STORAGE_IS_DOWN] * 6
    (row,) = await bridge.resume()
    assert (row.state, row.credited, row.cost) == ("finished", 16, 0)
