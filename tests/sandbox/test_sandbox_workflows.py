"""The sandbox's reading routes, held against what CivitAI's contract says of them."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("aiohttp")

import aiohttp

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.made import fill, picture_json, put_workflow
from pack.civitai_bridge.sandbox.users import user_id
from pack.civitai_bridge.sandbox.workflows import RETENTION

LIST = "/v2/consumer/workflows"


class Caller:
    """Asks a sandbox as the user of one key."""

    def __init__(self, sandbox: Sandbox, session: Any, key: str = "mine") -> None:
        self.sandbox, self.session, self.key = sandbox, session, key

    async def __call__(self, path: str, *, method: str = "GET", headers: Any = None, **query: Any) -> tuple[int, Any]:
        pairs = [(name, each) for name, value in query.items() for each in (value if type(value) is list else [value])]
        sent = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        url = self.sandbox.orchestration_url + path
        async with self.session.request(method, url, params=pairs, headers=sent, allow_redirects=False) as answer:
            if answer.content_type.endswith("json"):
                return answer.status, await answer.json()
            return answer.status, dict(answer.headers)


@pytest.fixture
async def ask():
    async with Sandbox(pace=0.01) as sandbox, aiohttp.ClientSession() as session:
        fill(sandbox.orchestrator, str(user_id("mine")), count=25)
        yield Caller(sandbox, session)


async def test_pages_follow_each_other_and_a_cursor_belongs_to_its_query(ask: Caller):
    status, first = await ask(LIST, take=10)
    assert status == 200 and len(first["items"]) == 10
    _, second = await ask(LIST, take=10, cursor=first["next"])
    _, third = await ask(LIST, take=10, cursor=second["next"])
    ids = [each["id"] for page in (first, second, third) for each in page["items"]]
    assert len(set(ids)) == 25 and third["next"] is None
    assert [each["createdAt"] for each in first["items"]] == sorted(e["createdAt"] for e in first["items"])[::-1]
    status, refused = await ask(LIST, take=10, cursor=first["next"], tags="made")
    assert status == 400 and "cursor" in refused["errors"]
    _, oldest = await ask(LIST, take=1, ascending="true")
    assert oldest["items"][0]["id"] == ids[-1]


async def test_tags_are_all_to_match_and_the_query_is_over_the_metadata(ask: Caller):
    _, tagged = await ask(LIST, tags=["made", "made:3"])
    assert len(tagged["items"]) == 3
    assert (await ask(LIST, tags=["made", "other"]))[1]["items"] == []
    _, asked = await ask(LIST, query='"number": 7')
    assert [each["metadata"]["number"] for each in asked["items"]] == [7]


async def test_dates_failures_and_takes_are_kept(ask: Caller):
    user = str(user_id("mine"))
    for number, day in enumerate(("2024-01-19T23:59:59Z", "2024-01-20T00:00:00Z", "2024-01-21T00:00:00Z")):
        put_workflow(ask.sandbox.orchestrator, user, {"id": f"w{number}", "createdAt": day, "status": "failed"})
    day = {"fromDate": "2024-01-20T00:00:00Z", "toDate": "2024-01-20T23:59:59Z"}
    assert [each["id"] for each in (await ask(LIST, **day))[1]["items"]] == ["w1"]
    assert (await ask(LIST, excludeFailed="true", **day))[1]["items"] == []
    for take in ("0", "99999", "x"):
        assert (await ask(LIST, take=take))[0] == 400
    assert (await ask(LIST, fromDate="soon"))[0] == 400
    ask.sandbox.script.switch("ignored_filters", ("fromDate", "toDate", "excludeFailed"))
    assert len((await ask(LIST, excludeFailed="true", **day))[1]["items"]) == 28


async def test_a_zip_is_refused_and_so_are_strangers(ask: Caller):
    assert (await ask(LIST, headers={"Accept": "application/zip"}))[0] == 406
    workflow_id = (await ask(LIST, take=1))[1]["items"][0]["id"]
    stranger = Caller(ask.sandbox, ask.session, "other")
    for path in (f"{LIST}/{workflow_id}", f"{LIST}/{workflow_id}/steps/$0"):
        assert (await ask(path))[0] == 200 and (await stranger(path))[0] == 404
    status, _ = await ask("/v1/manager/workflows", UserId=user_id("mine"))
    assert status == 401
    staff = Caller(ask.sandbox, ask.session, "staff-key")
    status, listed = await staff("/v1/manager/workflows", UserId=user_id("mine"), Take=10, Inverse="true")
    assert status == 200 and type(listed) is list and len(listed) == 10
    assert (await staff("/v1/manager/workflows", UserId=user_id("mine"), Take=11))[0] == 400


async def test_a_deleted_workflow_is_gone_from_every_route(ask: Caller):
    workflow_id = (await ask(LIST, take=1))[1]["items"][0]["id"]
    assert (await ask(f"{LIST}/{workflow_id}", method="DELETE"))[0] == 204
    assert (await ask(f"{LIST}/{workflow_id}"))[0] == 404
    assert workflow_id not in [each["id"] for each in (await ask(LIST))[1]["items"]]


async def test_a_step_has_its_name_and_a_job_its_scans(ask: Caller):
    workflow = (await ask(LIST, take=1))[1]["items"][0]
    assert (await ask(f"{LIST}/{workflow['id']}/steps/$0"))[1]["$type"] == "imageGen"
    assert (await ask(f"{LIST}/{workflow['id']}/steps/other"))[0] == 404
    path = f"/v1/consumer/jobs/{workflow['steps'][0]['jobs'][0]['id']}"
    status, job = await ask(path, detailed="true")
    assert status == 200 and job["job"]["properties"]["workflowId"] == workflow["id"]
    assert "hive_csam_score" in job["lastEvent"]["context"] and job["result"][0]["available"]
    assert "job" not in (await ask(path))[1]
    for route, expected in (("staff", 403), ("gone", 404)):
        ask.sandbox.script.switch("jobs_route", route)
        assert (await ask(path, detailed="true"))[0] == expected


async def test_blobs_answer_head_redirect_ranges_and_expire_after_thirty_days(ask: Caller):
    orchestrator, user = ask.sandbox.orchestrator, str(user_id("mine"))
    step = {"name": "a", "output": {"images": [picture_json("OLD.png", 8, 8)]}}
    run = put_workflow(orchestrator, user, {"steps": [step]}, {"OLD.png": (b"0123456789", "image/png")})
    blob = "/v2/consumer/blobs/OLD.png"
    assert (await ask(blob, method="HEAD"))[0] == 204
    status, headers = await ask(blob)
    assert status == 301 and headers["Location"].startswith("/v2/consumer/blobs/content/")
    assert headers["x-nsfw-level"] == "pg"
    async with ask.session.get(
        ask.sandbox.orchestration_url + headers["Location"], headers={"Range": "bytes=6-"}
    ) as answer:
        assert (answer.status, await answer.read()) == (206, b"6789")
    orchestrator.blobs["OLD.png"].mature = True
    assert (await ask(blob, nsfwLevel="r"))[0] == 403
    orchestrator.blobs["OLD.png"].renewed = time.time() - RETENTION - 1
    assert (await ask(blob, method="HEAD"))[0] == 404 and (await ask(f"{blob}/refresh", method="POST"))[0] == 404
    seen = (await ask(f"{LIST}/{run.id}"))[1]["steps"][0]["output"]["images"][0]
    assert (seen["available"], seen["url"]) == (False, None)


async def test_the_newer_dialect_has_no_jobs_and_unknown_fields_may_be_large(ask: Caller):
    ask.sandbox.script.switch("dialect", "S+")
    ask.sandbox.script.switch("extra_bytes", 1_000_000)
    workflow = (await ask(LIST, take=1))[1]["items"][0]
    assert "jobs" not in workflow["steps"][0] and workflow["deletedAt"] is None
    assert len(workflow["unknownField"]["text"]) == 1_000_000
