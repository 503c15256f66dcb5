"""What nobody waits for: twins that show up late, cancels that were not heard, jobs of a server that is gone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from fake_service import BASE, WANTED, FakeService, Servers, Shifted, buy, reply, spent

from pack.civitai_bridge.errors import Interrupted, StillRunning, Unreachable
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.outcome import Caller, Terms
from pack.civitai_bridge.orchestration.request import GenerationRequest

MOST_PATIENT = 10**6


class LateTwin(FakeService):
    """A submit that is answered 500 and carried out; its workflow shows up when `visible` is set, so that the POST
    after it makes a second one."""

    def __init__(self) -> None:
        super().__init__()
        self.visible = False
        self.twin_status = "scheduled"

    async def submit(self, request: Request) -> Response:
        if not self.workflows:
            await super().submit(request)
            workflow = self.workflows.pop(self.keys.pop(json.loads(request.content or b"")["externalId"]))
            self.workflows["7-twin"] = {**workflow, "id": "7-twin", "status": self.twin_status}
            return reply(500)
        return await super().submit(request)

    async def list(self, request: Request) -> Response:
        answer = json.loads((await super().list(request)).content)
        return reply(200, {"items": [w for w in answer["items"] if self.visible or w["id"] != "7-twin"]})


async def twice(make: Servers, service: LateTwin, **options: Any) -> tuple[Fleet, Any]:
    make.fleet = service
    server = make(**options)
    return server, await buy(server)


async def test_a_twin_that_shows_up_when_the_job_ends_is_named_with_its_price_and_its_pictures(make: Servers):
    service = LateTwin()

    def show() -> None:
        service.visible = True

    service.on_poll = show
    server, outcome = await twice(make, service)
    assert len(service.submits) == 2 and len(outcome.pictures) == 2
    assert "made more than one workflow of this order" in outcome.report and "7-twin (16 Buzz" in outcome.report
    assert "`civitai-bridge cancel 7-twin`" in outcome.report
    assert spent(server.journal, BASE) == 32, "both count for the limits"
    twin = server.journal.get("7-twin")
    assert twin is not None and twin.about["twin_of"] == outcome.key
    (row,) = await server.resume(twin.key)
    assert row.state == "finished" and all(image.fetched for image in row.slots), "its pictures are offered"
    assert len(service.submits) == 2


async def test_a_twin_that_shows_up_within_the_minute_after_is_found_by_the_second_look(make: Servers):
    service, minute = LateTwin(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        await (minute.wait() if 55 < seconds <= 60 else asyncio.sleep(0))

    server, outcome = await twice(make, service, sleep=sleep)
    assert "more than one" not in outcome.report and server.journal.get("7-twin") is None
    service.visible = True
    minute.set()
    while (twin := server.journal.get("7-twin")) is None or twin.state != "finished":
        await asyncio.sleep(0.01)
    notes = server.journal.get(outcome.key).about["notes"]  # type: ignore[union-attr]
    assert any("7-twin" in note for note in notes) and spent(server.journal, BASE) == 32


async def test_the_next_command_of_the_shell_makes_the_second_look(make: Servers):
    clock = Shifted()
    service = LateTwin()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(1000 if 55 < seconds <= 60 else 0)

    server, outcome = await twice(make, service, sleep=sleep, clock=clock)
    await server.close()
    service.visible = True
    early = make(clock=clock)
    early.look_for_twins()
    await early.close()
    assert early.journal.get("7-twin") is None, "its minute has not passed"
    clock.ahead = 61
    later = make(clock=clock)
    later.look_for_twins()
    await later.close()
    asked = service.count("list")
    assert later.journal.get("7-twin") is not None
    again = make(clock=clock)
    again.look_for_twins()
    await again.close()
    assert service.count("list") == asked, "and once is enough"
    assert "7-twin" in str(later.journal.get(outcome.key).about["notes"])  # type: ignore[union-attr]


async def test_a_list_that_hangs_at_the_end_of_the_job_does_not_keep_its_pictures_back(make: Servers):
    service = LateTwin()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(1000 if 55 < seconds <= 60 else 0)

    async def hang(_: Request) -> Response:
        await asyncio.sleep(1000)
        raise AssertionError

    def end() -> None:
        service.list = hang  # type: ignore[method-assign]

    service.on_poll = end
    began = time.monotonic()
    _, outcome = await twice(make, service, sleep=sleep)
    assert len(outcome.pictures) == 2 and time.monotonic() - began < 10


async def test_a_twin_that_still_runs_is_cancelled_by_its_name(make: Servers):
    service = LateTwin()

    def show() -> None:
        service.visible = True

    service.on_poll = show
    server, _ = await twice(make, service)
    assert "7-twin is cancelled" in await server.cancel("7-twin")
    assert service.workflows["7-twin"]["status"] == "canceled" and spent(server.journal, BASE) == 16


async def left_open(make: Servers, fleet: FakeService, count: int, **options: Any) -> None:
    """Jobs at work when their server dies: nothing is released, as after a kill."""
    fleet.polls_until_done = MOST_PATIENT
    server = make(**options)
    requests = [GenerationRequest(model="128078", prompt=f"p{n}") for n in range(count)]
    waits = [server.generate(request, Terms(wait_minutes=0.005)) for request in requests]
    assert all(isinstance(end, StillRunning) for end in await asyncio.gather(*waits, return_exceptions=True))
    server.journal.close()
    for run in server.runs:
        run.task.cancel()


@pytest.mark.parametrize("warm", [True, False], ids=["the heart is warm", "the heart has stopped"])
async def test_jobs_of_a_server_that_died_are_watched_to_their_end_by_the_next_without_a_post(
    make: Servers, fleet: FakeService, warm: bool
):
    await left_open(make, fleet, 16, heart_stops=1.0)
    if not warm:
        await asyncio.sleep(1.1)
    posts = fleet.count("submit")
    later = make(heart_stops=1.0)
    later.take_care()
    await asyncio.sleep(0.1)
    fleet.polls_until_done = 1
    await until(
        lambda: (
            [row.state for row in later.journal.rows()] == ["finished"] * 16
            and all(image.fetched for row in later.journal.rows() for image in row.slots)
        ),
        seconds=8,
    )
    assert fleet.count("submit") == posts
    await later.close()


async def test_an_order_without_an_answer_is_looked_for_at_the_start_and_never_sent(make: Servers, fleet: FakeService):
    fleet.before["submit"] = [Unreachable("down")] * 4
    fleet.before["list"] = [Unreachable("down")] * 99
    first = make()
    with pytest.raises(Exception, match="not known"):
        await first.generate(WANTED, Terms())
    await first.close()
    posts = fleet.count("submit")
    fleet.before.clear()
    later = make()
    later.take_care()
    await asyncio.sleep(0.2)
    assert [row.state for row in later.journal.rows()] == ["unconfirmed"] and fleet.count("submit") == posts
    outcome = await later.generate(WANTED, Terms())
    assert outcome.paid_now and len(outcome.pictures) == 2
    await later.close()


async def test_cancels_that_were_not_heard_are_sent_all_at_once_at_the_next_start(make: Servers, fleet: FakeService):
    fleet.polls_until_done = MOST_PATIENT
    first = make(sleep=lambda seconds: asyncio.sleep(seconds / 100))
    deaf, real = True, fleet.cancel

    async def cancel(request: Request) -> Response:
        return reply(502) if deaf else await real(request)

    fleet.cancel = cancel  # type: ignore[method-assign]
    requests = [GenerationRequest(model="128078", prompt=f"p{n}") for n in range(16)]

    async def one(number: int) -> None:
        key = f"p{number}"
        with pytest.raises(Interrupted):
            await first.generate(requests[number], Terms(), Caller(cancelled=lambda: _ordered(fleet, key)))

    await asyncio.gather(*(one(number) for number in range(16)))
    first.journal.close()
    for run in first.runs:
        run.task.cancel()
    await first.runs.services.background.close()
    deaf, asked = False, fleet.count("cancel")
    later = make()  # the heart of the first is warm
    later.take_care()
    await until(lambda: fleet.count("cancel") >= asked + 16, seconds=1)
    assert {workflow["status"] for workflow in fleet.workflows.values()} == {"canceled"}
    await later.close()


async def until(true: Callable[[], bool], *, seconds: float) -> None:
    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), seconds)


def _ordered(fleet: FakeService, prompt: str) -> bool:
    return any(w["steps"][0]["input"]["prompt"] == prompt for w in fleet.workflows.values())


async def test_a_resume_looks_after_many_at_once(make: Servers, fleet: FakeService):
    await left_open(make, fleet, 12, heart_stops=0.2)
    await asyncio.sleep(0.3)
    real, live, most = fleet.poll, 0, 0

    async def poll(request: Request) -> Response:
        nonlocal live, most
        live += 1
        most = max(most, live)
        await asyncio.sleep(0.5)
        live -= 1
        return await real(request)

    fleet.poll = poll  # type: ignore[method-assign]
    fleet.polls_until_done = 1
    rows = await make(heart_stops=0.2).resume()
    assert [row.state for row in rows] == ["finished"] * 12 and most >= 8


async def test_a_twin_of_a_cancelled_order_that_shows_up_late_is_cancelled_too(make: Servers):
    service, minute = LateTwin(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        await (minute.wait() if 55 < seconds <= 60 else asyncio.sleep(0))

    make.fleet = service
    service.polls_until_done = MOST_PATIENT
    server = make(sleep=sleep)
    with pytest.raises(Interrupted):
        await server.generate(WANTED, Terms(), Caller(cancelled=lambda: len(service.workflows) == 2))
    while [row.state for row in server.journal.rows()] != ["canceled"]:
        await asyncio.sleep(0.01)
    service.visible = True
    minute.set()
    while (twin := server.journal.get("7-twin")) is None or twin.state != "canceled":
        await asyncio.sleep(0.01)
    assert service.workflows["7-twin"]["status"] == "canceled" and spent(server.journal, BASE) == 0


async def test_a_repeat_is_answered_from_disk_though_a_twin_still_runs(make: Servers):
    service = LateTwin()

    def show() -> None:
        service.visible = True

    service.on_poll = show
    server, outcome = await twice(make, service)
    twin = server.journal.get("7-twin")
    assert twin is not None
    server.journal.record(twin.key, state="accepted")
    service.workflows["7-twin"]["status"] = "processing"
    again = await asyncio.wait_for(buy(server), 10)
    assert again.key == outcome.key and not again.paid_now and len(service.submits) == 2


async def test_a_second_look_that_a_clock_dated_into_the_future_is_due(make: Servers):
    clock, service = Shifted(), LateTwin()
    clock.ahead = 3 * 24 * 3600.0

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(1000 if 55 < seconds <= 60 else 0)

    server, _ = await twice(make, service, sleep=sleep, clock=clock)
    await server.close()
    service.visible, clock.ahead = True, 0.0
    later = make(clock=clock)
    later.look_for_twins()
    await later.close()
    assert later.journal.get("7-twin") is not None


class ShownWithTheSecond(LateTwin):
    """The first workflow shows up when the second is made."""

    async def submit(self, request: Request) -> Response:
        self.visible = bool(self.workflows)
        return await super().submit(request)


async def test_a_twin_that_is_seen_while_the_job_runs_has_a_row_beside_the_jobs_own(make: Servers):
    service = make.fleet = ShownWithTheSecond()
    service.polls_until_done = MOST_PATIENT
    server = make()
    with pytest.raises(StillRunning):
        await server.generate(WANTED, Terms(wait_minutes=0.005))
    own, twin = server.journal.rows()
    assert (own.workflow_id, twin.workflow_id, twin.about["twin_of"]) == ("7-2", "7-twin", own.key)
    assert "`civitai-bridge cancel 7-twin`" in str(own.about["notes"])
