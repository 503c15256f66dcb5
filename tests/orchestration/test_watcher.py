"""Many jobs watched by one list: what it leaves out, gets wrong or never answers, and the way back to long polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from fake_service import WANTED, FakeService, Servers, buy, reply, states
from fakes import Fake
from fakes import reply as answer
from stories import until

from pack.civitai_bridge.errors import Interrupted, NotFound, Unauthorized, Unreachable, WorkflowFailed
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.client import OrchestrationClient
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, State, Terms
from pack.civitai_bridge.orchestration.request import GenerationRequest
from pack.civitai_bridge.orchestration.watcher import moment

MANY = {"long_polls": 2, "list_patience": 10.0}


async def hurry(seconds: float) -> None:
    """Time runs two hundred times faster."""
    await asyncio.sleep(seconds / 200)


class Listing(FakeService):
    """Holds its long polls until a workflow ends, and shows in its list what a test lets it show. `hidden` ids are left
    out, `bare` ones come without steps, `page` is how many it shows at once."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[str] = set()
        self.bare = False
        self.page = 100
        self.ended = asyncio.Event()
        self.hold = 0.15

    def finish(self, *ids: str) -> None:
        """Let workflows end as `end` says; all without a name."""
        for workflow_id in ids or list(self.workflows):
            workflow = self.workflows[workflow_id]
            if workflow["status"] == "scheduled":
                workflow |= self.end
                step = workflow["steps"][0]
                if workflow["status"] == "succeeded":
                    step["output"] = {
                        "images": [self.picture(workflow, i) for i in range(step["input"].get("quantity", 1))]
                    }
        self.ended.set()
        self.ended = asyncio.Event()

    async def poll(self, request: Request) -> Response:
        workflow_id = request.path.rsplit("/", 1)[1]
        until_held = asyncio.get_running_loop().time() + (self.hold if dict(request.query).get("wait") else 0)
        while (left := until_held - asyncio.get_running_loop().time()) > 0:
            workflow = self.workflows.get(workflow_id)
            if workflow is None or workflow["status"] != "scheduled":
                break
            try:
                await asyncio.wait_for(self.ended.wait(), left)
            except asyncio.TimeoutError:
                break
        workflow = self.workflows.get(workflow_id)
        return reply(404, {"title": "Not Found", "status": 404}) if workflow is None else reply(200, workflow)

    async def list(self, request: Request) -> Response:
        query = dict(request.query)
        tags = [value for name, value in request.query if name == "tags"]
        shown = [w for w in reversed(self.workflows.values()) if set(tags) <= set(w["tags"])]
        shown = [w for w in shown if w["id"] not in self.hidden and w["createdAt"] >= query.get("fromDate", "")]
        start = int(query.get("cursor", "0"))
        page = [{**w, "steps": []} if self.bare else w for w in shown[start : start + self.page]]
        return reply(200, {"items": page, "next": str(start + self.page) if start + self.page < len(shown) else None})


@pytest.fixture
def listing(make: Servers) -> Listing:
    make.fleet = service = Listing()
    return service


def orders(count: int) -> list[GenerationRequest]:
    return [GenerationRequest(model="128078", prompt=f"p{number}") for number in range(count)]


def begin(server: Fleet, count: int, **options: Any) -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(buy(server, order, **options)) for order in orders(count)]


async def running(server: Fleet, listing: Listing, count: int) -> None:
    await until(lambda: len(listing.workflows) == count and states(server) == ["accepted"] * count)


def polled(listing: Listing) -> list[str]:
    return [seen.path.rsplit("/", 1)[1] for seen in listing.requests if listing.name(seen) == "poll"]


@pytest.mark.parametrize(("count", "lists"), [(2, False), (3, True), (12, True)])
async def test_few_jobs_are_polled_and_many_are_listed(make: Servers, listing: Listing, count: int, lists: bool):
    server = make(sleep=hurry, waits=MANY)
    work = begin(server, count)
    await running(server, listing, count)
    await asyncio.sleep(0.2)
    assert (listing.count("list") > 0) is lists
    asked = len(polled(listing))
    listing.finish()
    outcomes = await asyncio.gather(*work)
    assert all(len(outcome.pictures) == 1 and outcome.paid_now for outcome in outcomes)
    assert states(server) == ["collected"] * count and len(listing.submits) == count
    if count == 12:  # at the end the oldest and those that were left when the list was given up
        assert len(polled(listing)) - asked <= 4


async def test_the_list_is_asked_for_our_tag_since_the_oldest_job_and_for_mature_ones_too(
    make: Servers, listing: Listing
):
    server = make(sleep=hurry, waits=MANY)
    work = begin(server, 5)
    listing.page = 2
    await running(server, listing, 5)
    await until(lambda: listing.count("list") >= 3)
    seen = [dict(request.query) for request in listing.requests if listing.name(request) == "list"]
    assert {query["tags"] for query in seen} == {"civitai-bridge"}
    assert {query["fromDate"] for query in seen} == {"2026-11-20T23:59:00Z"}
    assert {query["hideMatureContent"] for query in seen} == {"false"} and "excludeFailed" not in seen[0]
    assert [query.get("cursor") for query in seen[:3]] == [None, "2", "4"]
    listing.finish()
    await asyncio.gather(*work)


async def test_a_job_that_the_list_leaves_out_is_not_gone(make: Servers, listing: Listing):
    server = make(sleep=hurry, waits=MANY)
    listing.hidden = {"7-3", "7-5"}
    work = begin(server, 6)
    await running(server, listing, 6)
    await until(lambda: {"7-3", "7-5"} <= set(polled(listing)))
    listing.finish("7-3", "7-5")
    listing.hold = 0.01
    await until(lambda: states(server).count("collected") == 2)
    listing.finish()
    await asyncio.gather(*work)
    assert states(server) == ["collected"] * 6 and listing.count("cancel") == 0


async def test_an_end_that_the_list_tells_without_its_pictures_is_asked_for_by_id(make: Servers, listing: Listing):
    server = make(sleep=hurry, waits=MANY)
    listing.bare = True
    work = begin(server, 5)
    await running(server, listing, 5)
    await until(lambda: listing.count("list") > 0)
    listing.finish()
    outcomes = await asyncio.gather(*work)
    assert all(len(outcome.pictures) == 1 for outcome in outcomes)


async def test_a_picture_that_the_list_hides_is_asked_for_by_id(make: Servers, listing: Listing):
    server, real = make(sleep=hurry, waits=MANY), listing.list

    async def hiding(request: Request) -> Response:
        page = (await real(request)).json()
        for step in (step for workflow in page["items"] for step in workflow["steps"]):
            for image in step.get("output", {}).get("images", ()):
                image |= {"available": False, "url": None, "blockedReason": "MatureContent"}
        return reply(200, page)

    listing.list = hiding  # type: ignore[method-assign]
    work = begin(server, 5)
    await running(server, listing, 5)
    await until(lambda: listing.count("list") > 0)
    listing.finish()
    outcomes = await asyncio.gather(*work)
    assert all(len(outcome.pictures) == 1 for outcome in outcomes)


async def test_each_node_shows_what_the_list_tells_of_its_job(make: Servers, listing: Listing):
    server, states_ = make(sleep=hurry, waits=MANY), [list[State]() for _ in range(4)]
    callers = [Caller(progress=seen.append) for seen in states_]
    work = [
        asyncio.ensure_future(buy(server, order, caller=caller))
        for order, caller in zip(orders(4), callers, strict=True)
    ]
    await running(server, listing, 4)
    for number, workflow in enumerate(listing.workflows.values()):
        workflow["steps"][0]["queuePosition"] = {"precedingJobs": 10 + number}
    places = {
        int(workflow["steps"][0]["input"]["prompt"][1:]): n for n, workflow in enumerate(listing.workflows.values())
    }
    await until(lambda: sum(" before" in seen[-1].text for seen in states_) >= 3)
    for number, seen in enumerate(states_):
        shown = [state.text for state in seen if " before" in state.text]
        assert all(text.startswith(f"In the queue · {10 + places[number]} before · 16 Buzz · ") for text in shown)
    for workflow in listing.workflows.values():
        workflow["status"] = "processing"
        workflow["steps"][0]["estimatedProgressRate"] = 0.25
    await until(lambda: sum(seen[-1].fraction == 0.25 for seen in states_) >= 3)
    for workflow in listing.workflows.values():
        workflow["status"] = "scheduled"
    listing.finish()
    await asyncio.gather(*work)


async def test_a_failure_that_the_list_tells_without_a_reason_is_asked_for_by_id(make: Servers, listing: Listing):
    server = make(sleep=hurry, waits=MANY)
    listing.bare, listing.end = True, {"status": "failed"}
    work = begin(server, 4)
    await running(server, listing, 4)
    for workflow in listing.workflows.values():
        workflow["steps"][0]["jobs"] = [{"reason": "no_provider_available"}]
    listing.finish()
    for end in await asyncio.gather(*work, return_exceptions=True):
        assert isinstance(end, WorkflowFailed) and "no worker on the fleet" in str(end)


async def hang(_: Request) -> Response:
    await asyncio.sleep(1000)
    raise AssertionError


def always(wrong: Response | Exception) -> Callable[[Request], Any]:
    async def list_(_: Request) -> Response:
        if isinstance(wrong, Exception):
            raise wrong
        return wrong

    return list_


@pytest.mark.parametrize(
    "list_",
    [
        always(reply(500)),
        always(reply(401)),
        always(reply(403, "no")),
        always(Response(200, {}, b"<html>")),
        always(reply(200, {"items": None})),
        always(reply(200, ["odd"])),
        always(reply(200, {"items": [], "next": "for ever"})),
        always(Unreachable("down")),
        always(RuntimeError("a fault of ours")),
        hang,
    ],
    ids=["500", "401", "403", "html", "no items", "a list", "for ever", "down", "a fault of ours", "hangs"],
)
async def test_a_list_that_does_not_come_costs_nothing(make: Servers, listing: Listing, list_: Any):
    server = make(sleep=hurry, waits={"long_polls": 2, "list_patience": 0.1})
    listing.list = list_  # type: ignore[method-assign]
    work = begin(server, 5)
    await running(server, listing, 5)
    await until(lambda: len(set(polled(listing))) == 5)
    listing.finish()
    outcomes = await asyncio.gather(*work)
    assert all(len(outcome.pictures) == 1 for outcome in outcomes) and listing.count("cancel") == 0


async def test_a_list_that_comes_back_is_believed_again(make: Servers, listing: Listing):
    server = make(sleep=hurry, waits={"long_polls": 2, "list_patience": 4.0})
    real, listing.list = listing.list, always(reply(500))  # type: ignore[method-assign]
    work = begin(server, 6)
    await running(server, listing, 6)
    await until(lambda: len(set(polled(listing))) == 6)
    listing.list = real  # type: ignore[method-assign]
    asked = listing.count("list")
    await until(lambda: listing.count("list") >= asked + 3)
    await asyncio.sleep(listing.hold + 0.05)
    before = len(polled(listing))
    await asyncio.sleep(0.3)
    assert len(polled(listing)) - before <= 3, "the oldest alone"
    listing.finish()
    await asyncio.gather(*work)


async def test_a_list_that_tells_old_news_for_ever_is_not_believed_for_ever(make: Servers, listing: Listing):
    server, real = make(sleep=hurry, waits={**MANY, "list_believed": 20.0}), listing.list

    async def old(request: Request) -> Response:
        page = (await real(request)).json()
        return reply(200, {"items": [{**w, "status": "scheduled"} for w in page["items"]], "next": page["next"]})

    listing.list = old  # type: ignore[method-assign]
    work = begin(server, 5)
    await running(server, listing, 5)
    listing.finish()
    outcomes = await asyncio.gather(*work)
    assert all(len(outcome.pictures) == 1 for outcome in outcomes)


async def test_when_few_are_left_each_is_polled_again_and_nothing_is_lost_or_doubled(make: Servers, listing: Listing):
    server = make(sleep=hurry, waits=MANY)
    work = begin(server, 8)
    await running(server, listing, 8)
    listing.finish(*(f"7-{number}" for number in range(1, 7)))
    await until(lambda: states(server).count("collected") == 6)
    asked = listing.count("list")
    await until(lambda: {"7-7", "7-8"} <= set(polled(listing)))
    more = begin_more(server, 3)
    await until(lambda: len(listing.workflows) == 11)
    await until(lambda: listing.count("list") > asked)
    listing.finish()
    outcomes = await asyncio.gather(*work, *more)
    assert len({outcome.workflow_id for outcome in outcomes}) == len(listing.submits) == 11
    assert states(server) == ["collected"] * 11
    asked = listing.count("list")
    await asyncio.sleep(0.1)
    assert listing.count("list") == asked, "nobody is watched any more"


def begin_more(server: Fleet, count: int) -> list[asyncio.Future[Any]]:
    wanted = [GenerationRequest(model="128078", prompt=f"more {number}") for number in range(count)]
    return [asyncio.ensure_future(buy(server, each)) for each in wanted]


async def test_a_cancel_among_many_reaches_its_job_alone(make: Servers, listing: Listing):
    server, pressed = make(sleep=hurry, waits=MANY), asyncio.Event()
    work = begin(server, 4)
    stopped = asyncio.ensure_future(server.generate(WANTED, Terms(), Caller(cancelled=pressed.is_set)))
    await running(server, listing, 5)
    await until(lambda: listing.count("list") > 0)
    pressed.set()
    with pytest.raises(Interrupted):
        await stopped
    await until(lambda: "canceled" in states(server))
    assert [w["status"] for w in listing.workflows.values()].count("canceled") == 1
    listing.finish()
    assert all(len(outcome.pictures) == 1 for outcome in await asyncio.gather(*work))


async def test_a_workflow_that_is_unknown_everywhere_is_said_so_and_keeps_its_row(make: Servers, listing: Listing):
    server = make(sleep=hurry, waits=MANY)
    work = begin(server, 4)
    await running(server, listing, 4)
    lost = listing.workflows.pop("7-4")
    key = next(tag for tag in lost["tags"] if tag.startswith("cb-"))
    (gone,) = (
        each for each, order in zip(work, orders(4), strict=True) if order.prompt == lost["steps"][0]["input"]["prompt"]
    )
    with pytest.raises(NotFound, match="is not paid again"):
        await gone
    assert server.journal.get(key).state == "accepted"  # type: ignore[union-attr]
    listing.finish()
    await asyncio.gather(*(each for each in work if each is not gone))


async def test_a_key_that_is_refused_among_many_ends_every_wait_and_keeps_every_row(make: Servers, listing: Listing):
    server = make(sleep=hurry, waits={"long_polls": 2, "list_patience": 4.0})
    work = begin(server, 4)
    await running(server, listing, 4)
    listing.list = listing.poll = always(reply(401))  # type: ignore[method-assign]
    ends = await asyncio.gather(*work, return_exceptions=True)
    assert all(isinstance(end, Unauthorized) and "is not paid again" in str(end) for end in ends)
    assert states(server) == ["accepted"] * 4


async def test_pictures_that_are_attached_late_are_waited_for_by_id(make: Servers, listing: Listing):
    server = make(sleep=hurry, waits=MANY)
    work = begin(server, 4)
    await running(server, listing, 4)
    listing.finish()
    late = [workflow["steps"][0].pop("output") for workflow in listing.workflows.values()]
    await until(lambda: len(polled(listing)) >= 8)
    for workflow, output in zip(listing.workflows.values(), late, strict=True):
        workflow["steps"][0]["output"] = output
    assert all(len(outcome.pictures) == 1 for outcome in await asyncio.gather(*work))


async def test_jobs_that_were_over_before_a_restart_do_not_wait_for_the_list(make: Servers, listing: Listing):
    first = make(sleep=hurry, waits=MANY, heart_stops=0.1)
    work = begin(first, 6)
    await running(first, listing, 6)
    for each in work:
        each.cancel()
    await first.close()
    listing.finish()
    listing.list = hang  # type: ignore[method-assign]
    later = make(sleep=hurry, waits=MANY, heart_stops=0.1)
    outcomes = await asyncio.gather(*begin(later, 6))
    assert not any(outcome.paid_now for outcome in outcomes) and len(listing.submits) == 6


async def test_each_account_is_watched_for_itself(make: Servers, listing: Listing):
    many, few = make(sleep=hurry, waits=MANY), make(sleep=hurry, waits=MANY, key="another-key")
    work = [*begin(many, 4), *begin(few, 1)]
    await until(lambda: len(listing.workflows) == 5)
    await until(lambda: listing.count("list") > 1)
    assert many.runs.services.watcher is not few.runs.services.watcher
    (own,) = (row.workflow_id for row in few.journal.rows() if row.user_id == str(1000 + len("another-key")))
    await until(lambda: own in polled(listing))
    listing.finish()
    assert all(outcome.paid_now for outcome in await asyncio.gather(*work))


async def test_a_page_of_the_list_is_read_whatever_it_lacks():
    fake = Fake(
        answer(200, {"items": [{"id": "7-1", "status": "failed"}, "odd", None], "next": "c"}),
        answer(200, {"items": []}),
    )
    client = OrchestrationClient(fake, fake)
    workflows, cursor = await client.page("t", since=datetime(2026, 11, 1, 2, tzinfo=timezone.utc), take=5)
    assert ([workflow.id for workflow in workflows], cursor) == (["7-1"], "c")
    assert await client.page("t", cursor="c") == ([], "")
    first, second = (dict(request.query) for request in fake.requests)
    assert first == {"tags": "t", "take": "5", "hideMatureContent": "false", "fromDate": "2026-11-01T02:00:00Z"}
    assert second["cursor"] == "c" and "fromDate" not in second


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-10-01T10:00:00.0Z", 10),
        ("2026-10-01T10:00:00.1234567Z", 10),
        ("2026-10-01T10:00:00", 10),
        ("2026-10-01T10:00:00+02:00", 8),
        ("2026-13-01T10:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("2999-12-31T23:59:59-14:00", 13),
        ("", None),
        ("yesterday", None),
    ],
)
def test_a_date_of_the_service_is_read_or_not_believed(text: str, hour: int | None):
    read = moment(text)
    assert (read.hour if read else None) == hour
