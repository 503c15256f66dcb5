"""The sandbox by itself: its answers are CivitAI's contract, its money adds up, its faults do what they say."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from PIL import Image

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.drawing import draw
from pack.civitai_bridge.sandbox.schema import problems

FLEET = "/v2/consumer/workflows"
INPUT = {
    "engine": "comfy", "ecosystem": "sdxl", "operation": "createImage", "model": "urn:air:sdxl:checkpoint:civitai:101055@128078",
    "prompt": "a lighthouse", "width": 64, "height": 64, "seed": 1, "quantity": 2, "outputFormat": "png",
}  # fmt: skip


def body(key: str | None = None, **more: Any) -> dict[str, Any]:
    data = {
        "currencies": [],
        "tags": ["t"],
        "steps": [{"$type": "imageGen", "name": "gen", "input": {**INPUT, **more}}],
    }
    return data | ({"externalId": key} if key else {})


class Caller:
    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.key = "mine"

    async def __call__(
        self, method: str, path: str, data: Any = None, *, site: bool = False, key: str | None = ""
    ) -> tuple[int, Any]:
        headers = {} if key is None else {"Authorization": f"Bearer {key or self.key}"}
        base = self.sandbox.site_url if site else self.sandbox.orchestration_url
        url = path if path.startswith("http") else base + path
        async with self.session.request(method, url, json=data, headers=headers, allow_redirects=False) as answer:
            content = await answer.read()
            if "json" in answer.headers.get("Content-Type", ""):
                return answer.status, json.loads(content)
            return answer.status, answer.headers.get("Location") or content

    async def done(self, workflow_id: str) -> dict[str, Any]:
        status, data = await self("GET", f"{FLEET}/{workflow_id}?wait=20")
        assert status == 200, data
        return data


@pytest.fixture
async def call() -> AsyncIterator[Caller]:
    async with Sandbox(pace=0.02) as sandbox, aiohttp.ClientSession() as session:
        yield Caller(sandbox, session)


async def test_a_run_from_order_to_bytes_follows_the_contract(call: Caller):
    status, first = await call("POST", FLEET, body("k-1"))
    assert status == 202 and problems("Workflow", first) == {}
    assert first["externalId"].endswith("-k-1") and first["status"] in ("unassigned", "scheduled")
    last = await call.done(first["id"])
    assert problems("Workflow", last) == {} and last["status"] == "succeeded"
    for image in last["steps"][0]["output"]["images"]:
        status, location = await call("GET", image["url"], key=None)
        assert status == 301 and location.startswith("/v2/consumer/blobs/content/")
        status, content = await call("GET", location, key=None)
        with Image.open(io.BytesIO(content)) as picture:
            assert status == 200 and picture.size == (64, 64) and picture.format == "PNG"


async def test_a_key_is_charged_once(call: Caller):
    (_, one), (status, two) = await call("POST", FLEET, body("k")), await call("POST", FLEET, body("k", seed=2))
    assert status == 200 and one["id"] == two["id"]
    assert sum(entry.amount for entry in call.sandbox.ledger) == one["cost"]["total"]


async def test_a_whatif_charges_nothing_and_echoes_defaults(call: Caller):
    status, priced = await call("POST", FLEET + "?whatif=true", body())
    assert status == 200 and priced["status"] == "unassigned" and priced["cost"]["total"] == 1
    assert priced["steps"][0]["input"]["steps"] == 30 and priced["transactions"]["insufficientBuzz"] is False
    assert call.sandbox.ledger == [] and problems("Workflow", priced) == {}


async def test_wallets_are_split_and_refunded(call: Caller):
    call.sandbox.bank.opening = {"blue": 3, "yellow": 100}
    call.sandbox.script.job(end="failed", reason="CUDA out of memory")
    _, order = await call("POST", FLEET, body(width=1024, height=1024, quantity=1))
    assert [(t["accountType"], t["amount"]) for t in order["transactions"]["list"]] == [("blue", 3), ("yellow", 5)]
    last = await call.done(order["id"])
    assert last["status"] == "failed" and last["cost"]["total"] == 0
    assert sum(t["amount"] for t in last["transactions"]["list"] if t["type"] == "credit") == 8
    (balances,) = call.sandbox.bank.balances.values()
    assert balances == {"blue": 3, "yellow": 100}


async def test_creators_fees_are_charged_beside_the_total(call: Caller):
    call.sandbox.script.fees = {INPUT["model"]: 2.5, "urn:air:sdxl:lora:civitai:1@2": 7}
    for path in (FLEET + "?whatif=true", FLEET):
        _, order = await call("POST", path, body())
        assert order["cost"]["total"] == 1 and order["cost"]["fees"] == {INPUT["model"]: 5}
        assert sum(entry["amount"] for entry in order["transactions"]["list"]) == 6


async def test_too_little_buzz(call: Caller):
    call.sandbox.bank.opening = {"blue": 0, "yellow": 0}
    assert await call("POST", FLEET, body()) == (403, "Insufficient buzz")
    _, priced = await call("POST", FLEET + "?whatif=true", body())
    assert priced["transactions"]["insufficientBuzz"] is True


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"width": 9999}, "steps[0].input.width"), ({"steps": 0}, "steps[0].input.steps"), ({"sampler": "nope"}, "steps[0].input.sampler"),
        ({"engine": "nope"}, "$.steps[0].input"), ({"model": None}, "steps[0].input"), ({"prompt": "x" * 10_001}, "steps[0].input.prompt"),
    ],
)  # fmt: skip
async def test_what_the_contract_forbids_is_a_400(call: Caller, change: dict[str, Any], path: str):
    status, data = await call("POST", FLEET, body(**change))
    assert status == 400 and path in data["errors"], data


async def test_unknown_fields_are_dropped_unless_it_is_strict(call: Caller):
    _, priced = await call("POST", FLEET + "?whatif=true", body(negative_prompt="x"))
    assert "negative_prompt" not in priced["steps"][0]["input"]
    call.sandbox.script.strict = True
    assert (await call("POST", FLEET + "?whatif=true", body(negative_prompt="x")))[0] == 400


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"steps": []},
        {"steps": [{"$type": "nope", "input": {}}]},
        body("not legal!"),
        {**body(), "tags": ["x" * 201]},
    ],
)
async def test_bad_bodies(call: Caller, data: Any):
    assert (await call("POST", FLEET, data))[0] == 400


async def test_keys_and_strangers(call: Caller):
    for key in ("wrong", "expired", None):
        assert (await call("POST", FLEET, body(), key=key))[0] == 401
    _, mine = await call("POST", FLEET, body())
    assert (await call("GET", f"{FLEET}/{mine['id']}", key="another"))[0] == 404


async def test_the_list_hides_lags_and_pages(call: Caller):
    for number in range(3):
        await call("POST", FLEET, {**body(f"k{number}"), "tags": ["a", f"n{number}"]})
    _, page = await call("GET", FLEET + "?tags=a&take=2")
    assert len(page["items"]) == 2 and page["next"]
    _, rest = await call("GET", FLEET + f"?tags=a&take=2&cursor={page['next']}")
    assert len(rest["items"]) == 1 and rest["next"] is None
    assert len((await call("GET", FLEET + "?tags=a&tags=n1"))[1]["items"]) == 1
    call.sandbox.script.list_lag = 60
    assert (await call("GET", FLEET + "?tags=a"))[1]["items"] == []


@pytest.mark.parametrize(("dialect", "status"), [("S", 204), ("S+", 200)])
async def test_cancel_in_both_dialects(call: Caller, dialect: str, status: int):
    call.sandbox.script.dialect = dialect
    call.sandbox.script.job(seconds=1000)
    _, order = await call("POST", FLEET, body())
    assert ("jobs" in order["steps"][0]) is (dialect == "S")
    assert (await call("PUT", f"{FLEET}/{order['id']}", {"status": "canceled"}))[0] == status
    assert (await call("PUT", f"{FLEET}/{order['id']}", {"status": "canceled"}))[0] == 409
    assert [entry.kind for entry in call.sandbox.ledger] == ["debit", "credit"]


async def test_a_long_poll_waits_no_longer_than_asked(call: Caller):
    call.sandbox.script.job(seconds=1000)
    _, order = await call("POST", FLEET, body())
    status, data = await call("GET", f"{FLEET}/{order['id']}?wait=1")
    assert status == 202 and data["status"] != "succeeded"
    assert (await call("GET", f"{FLEET}/{order['id']}?wait=true"))[0] == 400


async def test_blobs_expire_refresh_and_never_want_the_key(call: Caller):
    call.sandbox.script.blob_seconds = -1
    _, order = await call("POST", FLEET, body())
    blob = (await call.done(order["id"]))["steps"][0]["output"]["images"][0]
    assert (await call("GET", blob["url"], key=None))[0] == 403
    call.sandbox.script.blob_seconds = 60
    _, fresh = await call("POST", f"/v2/consumer/blobs/{blob['id']}/refresh")
    status, location = await call("GET", fresh["url"], key=None)
    assert status == 301
    assert (await call("GET", location))[0] == 400, "storage refuses a forwarded key"


async def test_a_scripted_job(call: Caller):
    call.sandbox.script.none_reason = True
    call.sandbox.script.job(blocked=(0,), reason="ChildReference", extra=5, bounce=True)
    _, order = await call("POST", FLEET, body(quantity=2))
    assert order["cost"]["total"] == 6
    first, second = (await call.done(order["id"]))["steps"][0]["output"]["images"]
    assert (first["available"], first["blockedReason"], second["available"], second["blockedReason"]) == (
        False,
        "ChildReference",
        True,
        "none",
    )


async def test_faults_do_what_they_say(call: Caller):
    script = call.sandbox.script
    for kind in ("drop", "lost", "late"):
        script.fault("submit", kind, seconds=0.1)
        with pytest.raises(aiohttp.ClientError):
            await call("POST", FLEET, body(kind))
    script.fault("submit", "lost500")
    assert (await call("POST", FLEET, body("lost500")))[0] == 500
    script.fault("submit", "html")
    assert (await call("POST", FLEET, body("html")))[0] == 502
    script.fault("submit", "limit", after="3")
    assert (await call("POST", FLEET, body("limit")))[0] == 429
    await asyncio.sleep(0.3)
    assert sorted(entry.key for entry in call.sandbox.ledger) == ["late", "lost", "lost500"]
    script.fault("submit", "twin")
    with pytest.raises(aiohttp.ClientError):
        await call("POST", FLEET, body("twin"))
    assert sum(1 for entry in call.sandbox.ledger if entry.key == "twin") == 2


async def test_the_control_address(call: Caller):
    status, _ = await call(
        "POST",
        "/sandbox/control",
        {"faults": [{"route": "poll", "kind": "status", "status": 404}], "switches": {"dialect": "S+"}},
    )
    assert status == 200 and call.sandbox.script.dialect == "S+"
    assert (await call("POST", "/sandbox/control", {"switches": {"nothing": 1}}))[0] == 400
    assert (await call("GET", "/sandbox/ledger"))[1] == []
    assert (await call("GET", "/sandbox/requests"))[0] == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/model-versions/128078", 200), ("/api/v1/model-versions/mini/128078", 200), ("/api/v1/model-versions/0", 400),
        ("/api/v1/model-versions/abc", 400), ("/api/v1/model-versions/300009", 404), ("/api/v1/model-versions/300017", 404),
        ("/api/v1/model-versions/5", 404), ("/api/v1/models/101055", 200), ("/api/v1/models/1", 404), ("/api/v1/me", 200),
    ],
)  # fmt: skip
async def test_the_site(call: Caller, path: str, status: int):
    assert (await call("GET", path, site=True))[0] == status


async def test_hashes_of_every_kind(call: Caller):
    _, version = await call("GET", "/api/v1/model-versions/128078", site=True)
    hashes = version["files"][0]["hashes"]
    assert set(hashes) == {"AutoV1", "AutoV2", "AutoV3", "SHA256", "CRC32", "BLAKE3"}
    for value in hashes.values():
        status, found = await call("GET", f"/api/v1/model-versions/by-hash/{value.lower()}", site=True)
        assert status == 200 and found["id"] == 128078
    assert (await call("GET", f"/api/v1/model-versions/by-hash/{hashes['SHA256'][:12]}", site=True))[0] == 404
    assert (await call("POST", "/api/v1/model-versions/by-hash", [hashes["SHA256"]], site=True))[1][0]["id"] == 128078
    assert (await call("POST", "/api/v1/model-versions/by-hash", ["x"], site=True))[0] == 400
    _, ids = await call("POST", "/api/v1/model-versions/by-hash/ids", [hashes["SHA256"]], site=True)
    assert ids == [{"modelVersionId": 128078, "modelId": 101055, "hash": hashes["SHA256"]}]


def test_pictures_are_of_prompt_and_seed():
    assert draw("a cat", 1, 64, 48) == draw("a cat", 1, 64, 48) != draw("a cat", 2, 64, 48) != draw("a dog", 2, 64, 48)
    for kind, name in (("png", "PNG"), ("jpeg", "JPEG"), ("webP", "WEBP")):
        with Image.open(io.BytesIO(draw("night city lighthouse forest", 3, 96, 64, kind))) as picture:
            assert (picture.format, picture.size) == (name, (96, 64))


async def test_mature_pictures_are_hidden_from_who_asks_for_it(call: Caller):
    call.sandbox.script.job(mature=(0,))
    _, order = await call("POST", FLEET, body(quantity=1))
    await call.done(order["id"])
    for hide, there in (("true", False), ("false", True)):
        _, data = await call("GET", f"{FLEET}/{order['id']}?hideMatureContent={hide}")
        assert data["steps"][0]["output"]["images"][0]["available"] is there


async def test_a_source_that_is_no_picture_is_refused_before_it_is_charged(call: Caller):
    source = {"operation": "createVariant", "image": "data:image/png;base64,aGVsbG8="}
    assert (await call("POST", FLEET, body(**source)))[0] == 400 and call.sandbox.ledger == []
