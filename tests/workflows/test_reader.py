"""The reader on a remembering fake: pages that follow each other, waits that survive trouble, ids of any kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pack.civitai_bridge.errors import Forbidden, NoKey, NotFound, Unauthorized, Unreachable, Unreadable
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.client import OrchestrationClient
from pack.civitai_bridge.orchestration.timings import Timings
from pack.civitai_bridge.settings import Settings
from pack.civitai_bridge.website import SiteClient
from pack.civitai_bridge.workflows.client import WorkflowClient
from pack.civitai_bridge.workflows.query import WorkflowFilter
from pack.civitai_bridge.workflows.reader import WorkflowReader
from pack.civitai_bridge.workflows.works import work_of

JOB = "58de87d7-d594-4d71-ae43-dd8fc1bcbd23"
BLOB = "JNFDW54JNTATNW42HACYCWSQP0.jpeg"


def reply(data: Any, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(data).encode())


class Service:
    """Answers from a table of path -> answers, the last one for ever; it remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.requests: list[Request] = []
        self.naps: list[float] = []

    def on(self, path: str, *answers: Any) -> None:
        self.answers[path] = list(answers)

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        answers = self.answers.get(request.path, [reply({"title": "Not Found"}, 404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer = answer(request) if isinstance(answer, Callable) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    def reader(self, key: str = "k") -> WorkflowReader:
        async def nothing(*_: Any, **__: Any) -> Any:
            raise AssertionError("nothing is fetched here")

        timings = Timings(sleep=self.nap, long_poll=5, short_poll=0.01)
        orchestrator = OrchestrationClient(self, self)
        return WorkflowReader(
            Settings(key=key),
            WorkflowClient(self),
            orchestrator,
            SiteClient(self),
            nothing,
            nothing,
            timings,  # type: ignore[arg-type]
        )


@pytest.fixture
def service() -> Service:
    return Service()


def page(*ids: str, next_: Any = None) -> Response:
    items = [{"id": each, "status": "succeeded", "createdAt": "2026-10-01T10:00:00Z", "steps": []} for each in ids]
    return reply({"items": items, "next": next_})


async def ids_of(reader: WorkflowReader, **query: Any) -> list[str]:
    return [each.id async for page in reader.pages(WorkflowFilter(**query)) for each in page.workflows]


async def test_pages_follow_their_cursors_and_a_cursor_that_comes_again_is_no_silent_end(service: Service):
    service.on("/v2/consumer/workflows", page("1", "2", next_="a"), page("3", next_=7), page("4", next_="a"))
    ids: list[str] = []
    with pytest.raises(Unreadable, match="there before"):
        async for each in service.reader().pages(WorkflowFilter(take=2)):
            ids += [workflow.id for workflow in each.workflows]
    assert ids == ["1", "2", "3", "4"]
    cursors = [dict(request.query).get("cursor") for request in service.requests]
    assert cursors == [None, "a", "7"]
    assert all(dict(request.query)["hideMatureContent"] == "false" for request in service.requests)


@pytest.mark.parametrize("end", [None, "", {"odd": 5}])
async def test_a_last_page_may_say_so_in_any_way(service: Service, end: Any):
    service.on("/v2/consumer/workflows", page("1", next_=end))
    assert await ids_of(service.reader()) == ["1"]
    service.on(
        "/v2/consumer/workflows", reply({"items": [{"id": "1"}], "nextCursor": "c"}), reply({"items": [None, 3]})
    )
    assert await ids_of(service.reader()) == ["1"]


async def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(service: Service):
    def answer(request: Request) -> Any:
        is_large = int(dict(request.query)["take"]) > 10
        return Unreadable("sent more than 32 MB", status=200) if is_large else page("1")

    service.on("/v2/consumer/workflows", answer)
    assert await ids_of(service.reader(), take=100) == ["1"]
    assert [dict(request.query)["take"] for request in service.requests] == ["100", "25", "6"]
    service.on("/v2/consumer/workflows", Unreadable("a page", status=200))
    with pytest.raises(Unreadable):
        await ids_of(service.reader(), take=3)


async def test_without_a_key_nothing_is_asked(service: Service):
    with pytest.raises(NoKey):
        await service.reader(key="").workflow("w")
    with pytest.raises(NoKey):
        await ids_of(service.reader(key=""))
    assert service.requests == []


async def test_a_wait_survives_trouble_and_ends_with_the_workflow(service: Service):
    at_work, over = ({"id": "w", "status": status, "steps": []} for status in ("processing", "succeeded"))
    service.on(
        "/v2/consumer/workflows/w", reply(at_work), Unreachable("no"), reply({"title": "x"}, 502),
        reply({"title": "x"}, 403), reply({**at_work, "status": "pondering"}), reply(over),
    )  # fmt: skip
    seen: list[str] = []
    workflow, answer = await service.reader().wait("w", 60, lambda each: seen.append(each.status))
    assert workflow.status == "succeeded" and json.loads(answer.content) == over
    assert seen[0] == "processing" and "pondering" in seen and seen[-1] == "succeeded"
    waits = [dict(request.query).get("wait") for request in service.requests]
    assert waits[0] is None and set(waits[1:]) == {"5"}


async def test_a_wait_for_what_is_not_known_says_so_at_once(service: Service):
    with pytest.raises(NotFound, match="30 days"):
        await service.reader().wait("w", 60)
    service.on("/v2/consumer/workflows/w", reply({"title": "x"}, 401))
    with pytest.raises(Unauthorized):
        await service.reader().wait("w", 60)
    assert len(service.requests) == 2


async def test_the_list_of_a_user_is_the_staffs_or_ones_own(service: Service):
    service.on("/v1/manager/workflows", reply([{"id": "1", "status": "succeeded"}]))
    listed, is_own = await service.reader().of_user("7", WorkflowFilter(take=5, tags=("t",), oldest_first=True))
    assert not is_own and listed.came == 1 and listed.workflows == () and listed.ignored == {"tags"}
    asked = dict(service.requests[-1].query)
    assert (asked["UserId"], asked["Take"], asked["Tags"], asked["Inverse"]) == ("7", "5", "t", "true")
    for status in (401, 403, 404, 410):
        service.on("/v1/manager/workflows", reply({"title": "no"}, status))
        service.on("/api/v1/me", reply({"id": 7}))
        service.on("/v2/consumer/workflows", page("own"))
        listed, is_own = await service.reader().of_user("7", WorkflowFilter(take=5))
        assert is_own and [each.id for each in listed.workflows] == ["own"]
        with pytest.raises(Forbidden, match="civitai-bridge workflows"):
            await service.reader().of_user("8", WorkflowFilter(take=5))
    service.on("/api/v1/me", reply({"title": "no"}, 401))
    with pytest.raises(Unauthorized):
        await service.reader().of_user("8", WorkflowFilter(take=5))


async def test_a_step_is_known_by_its_place_too(service: Service):
    step = {"$type": "echo", "name": "a b", "status": "succeeded"}
    service.on("/v2/consumer/workflows/w", reply({"id": "w", "status": "succeeded", "steps": [{"name": "x"}, step]}))
    service.on("/v2/consumer/workflows/w/steps/a%20b", reply(step))
    for name in ("a b", "$1", "1"):
        seen, answer = await service.reader().step("w", name)
        assert (seen.name, seen.index) == ("a b", 1) and json.loads(answer.content) == step
    with pytest.raises(NotFound, match=r"It has: x \(\$0\), a b \(\$1\)"):
        await service.reader().step("w", "$2")
    twice = [{**step, "status": "failed"}, step]
    service.on("/v2/consumer/workflows/w", reply({"id": "w", "status": "succeeded", "steps": twice}))
    assert (await service.reader().step("w", "$0"))[0].status == "failed"


async def test_one_field_takes_a_workflow_a_job_or_a_blob(service: Service):
    image, other = ({"id": name, "available": True, "url": "https://x/y"} for name in (BLOB, "B.png"))
    workflow = {"id": "w", "status": "succeeded", "steps": [{"name": "g", "output": {"images": [image, other]}}]}
    service.on("/v2/consumer/workflows/w", reply(workflow))
    service.on(f"/v2/consumer/blobs/{BLOB}/refresh", reply(image))
    result = [{"blobKey": BLOB, "available": True}]
    service.on(
        f"/v1/consumer/jobs/{JOB}", reply({"jobId": JOB, "job": {"properties": {"workflowId": "w"}}, "result": result})
    )
    reader = service.reader()
    assert [each.id for each in (await work_of(reader, "w")).outputs] == [BLOB, "B.png"]
    of_job = await work_of(reader, JOB)
    assert [each.id for each in of_job.outputs] == [BLOB] and of_job.workflow is not None
    of_blob = await work_of(reader, BLOB)
    assert [(each.id, each.kind) for each in of_blob.outputs] == [(BLOB, "image")] and of_blob.workflow is None
    service.on(f"/v2/consumer/workflows/{JOB}", reply({**workflow, "id": JOB}))
    service.on(f"/v1/consumer/jobs/{JOB}", reply({"title": "gone"}, 404))
    assert len((await work_of(reader, JOB)).outputs) == 2
    with pytest.raises(NotFound, match="Workflow not found"):
        await work_of(reader, "unknown")
