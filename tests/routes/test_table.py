"""The routes on a bare aiohttp server, the sandbox behind them: the source document's examples, and what goes wrong."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from aiohttp.test_utils import TestServer
from routes_room import CHECKPOINT, EVERY, IMAGE, LORA, Room, serving

from pack.civitai_bridge.resources.json_values import finite
from pack.civitai_bridge.sandbox import files, models
from pack.civitai_bridge.sandbox.images import IMAGES


async def test_an_image_as_the_source_document_has_it(room: Room):
    await room.admin("POST", f"/api/admin/civitai/add/{LORA}")
    answer = await room.admin("GET", f"/api/admin/civitai/image/{IMAGE}")
    assert answer.status == 200
    data = answer.data
    assert {"raw", "resources", "detected_deps", "clean_prompt", "meta", "type", "process", "techniques", "tools",
            "detected_type"} <= set(data)  # fmt: skip
    first, lora, embedding = data["resources"]
    assert (first["modelName"], first["versionId"], first["catalog_status"], first["catalog_file"]) == (
        "SD XL", CHECKPOINT, "not_found", None,
    )  # fmt: skip
    assert (lora["strength"], lora["catalog_status"]) == (0.8, "missing")
    assert (lora["catalog_file"], lora["catalog_dest"]) == ("storybookLight_v2.safetensors", "loras")
    assert lora["catalog_name"] == "Storybook Light v2 [SDXL 1.0 FP16]" and first["strength"] is None
    assert (embedding["modelType"], embedding["catalog_status"]) == ("TextualInversion", "not_found")
    assert data["clean_prompt"] == "portrait of a sailor, storybook light"
    assert data["meta"]["steps"] == 28 and "<lora:" in data["meta"]["prompt"]
    assert (data["type"], data["process"], data["detected_type"]) == ("image", "txt2img", "t2i")
    assert data["techniques"] == data["tools"] == []
    assert data["raw"]["result"]["data"]["json"]["resources"][1]["modelVersionId"] == LORA


async def test_what_hides_in_the_texts_is_named_with_what_its_hash_tells(room: Room):
    deps = {
        dep["name"]: dep for dep in (await room.admin("GET", f"/admin/civitai/image/{IMAGE}")).data["detected_deps"]
    }
    ink = deps["harbour ink"]
    assert (ink["source"], ink["weight"], ink["catalog_status"]) == ("prompt", -0.5, "unknown")
    assert deps["nobody knows"]["catalog_status"] == "not_found" and deps["nobody knows"]["hash"] == "a1b2c3d4e5f6"
    vae = deps["clearSkyVAE_v1.safetensors"]
    assert {name: vae[name] for name in vae if name.startswith("civitai_")} == {
        "civitai_model_id": 300004, "civitai_version_id": 300005, "civitai_model_name": "Clear Sky VAE",
        "civitai_version_name": "v1", "civitai_base_model": "SDXL 1.0", "civitai_type": "VAE",
        "civitai_file": "clearSkyVAE_v1.safetensors",
        "civitai_download_url": "https://civitai.com/api/download/models/300005?fileId=3000050",
    }  # fmt: skip
    assert "storybookLight_v2" not in deps, "no resource is listed twice"


async def test_a_file_that_is_here_is_present(room: Room):
    await room.admin("POST", f"/admin/civitai/add/{LORA}")
    target = room.models / "loras" / "storybookLight_v2.safetensors"
    target.parent.mkdir()
    target.write_bytes(files.content(models.VERSIONS[LORA].files[0]))
    lora = (await room.admin("GET", f"/admin/civitai/image/{IMAGE}")).data["resources"][1]
    assert lora["catalog_status"] == "present"
    found = (await room.admin("GET", "/admin/civitai/catalog")).data
    assert found["by_version"][str(LORA)]["status"] == "present" and found["by_model"] == {"300000": [LORA]}


async def test_without_a_key_the_public_list_answers(room: Room):
    room.forget(key="")
    await room.admin("POST", f"/admin/civitai/add/{LORA}")
    data = (await room.admin("GET", f"/admin/civitai/image/{IMAGE}")).data
    assert [one["versionId"] for one in data["resources"]] == [CHECKPOINT, LORA, 300031]
    assert [one["catalog_status"] for one in data["resources"]] == ["not_found", "missing", "not_found"]
    assert data["resources"][1]["modelName"] == "Storybook Light" and data["resources"][1]["strength"] == 0.8
    assert data["raw"]["id"] == IMAGE and data["process"] == "" and data["detected_type"] == "t2i"
    assert {dep["name"] for dep in data["detected_deps"]} == {
        "harbour ink",
        "nobody knows",
        "clearSkyVAE_v1.safetensors",
    }


async def test_hidden_settings_leave_the_resources(room: Room):
    data = (await room.admin("GET", "/admin/civitai/image/900004")).data
    assert data["meta"] == {} and data["clean_prompt"] == "" and len(data["resources"]) == 2


@pytest.mark.parametrize("image", sorted(IMAGES))
@pytest.mark.parametrize("key", ["me", ""])
async def test_every_family_of_the_sandbox_is_answered(room: Room, image: int, key: str):
    room.forget(key=key)
    answer = await room.admin("GET", f"/admin/civitai/image/{image}")
    assert answer.status in ((200,) if key else (200, 404)), answer.text
    if answer.status == 200:
        assert answer.data["detected_type"] in ("t2i", "i2i", "t2v", "i2v", "unknown")
        statuses = {one["catalog_status"] for one in (*answer.data["resources"], *answer.data["detected_deps"])}
        assert statuses <= {"present", "missing", "not_found", "unknown"}
        versions = [one["versionId"] for one in answer.data["resources"]]
        again = [dep["civitai_version_id"] for dep in answer.data["detected_deps"] if "civitai_version_id" in dep]
        assert not set(versions) & set(again)


async def test_add_and_promote_to_the_letter(room: Room):
    add, promote = f"/api/admin/civitai/add/{LORA}", f"/api/admin/civitai/promote-to-lora/{LORA}"
    answers = [await room.admin("POST", path) for path in (promote, add, add, promote, promote)]
    assert [answer.status for answer in answers] == [404, 200, 200, 200, 200]
    assert [answer.data for answer in answers[1:]] == [
        {"status": "added", "file": "storybookLight_v2.safetensors", "name": "Storybook Light v2 [SDXL 1.0 FP16]",
         "category": "loras", "dest": "loras"},
        {"status": "already_exists", "file": "storybookLight_v2.safetensors"},
        {"status": "promoted", "file": "storybookLight_v2.safetensors", "category": "sdxl_loras"},
        {"status": "already_exists"},
    ]  # fmt: skip
    assert [entry["file"] for entry in room.entries("loras.json")] == ["storybookLight_v2.safetensors"]
    found = (await room.admin("GET", "/api/admin/civitai/catalog")).data
    assert found["by_version"][str(LORA)] == {
        "file": "storybookLight_v2.safetensors", "dest": "loras", "name": "Storybook Light v2 [SDXL 1.0 FP16]",
        "base_model": "SDXL 1.0", "status": "missing", "catalog": "loras.json", "changed": False, "parts": [],
        "loader_name": "", "path": None,
    }  # fmt: skip


async def test_what_its_creator_restricts_is_not_added(room: Room):
    answer = await room.admin("POST", "/admin/civitai/add/300013")
    assert (answer.status, answer.data) == (
        200,
        {
            "status": "restricted",
            "reason": "This model is 'InternalGeneration' only — download not allowed by the creator",
        },
    )
    assert not (room.home / "models.json").exists()


async def test_only_a_lora_is_promoted(room: Room):
    await room.admin("POST", f"/admin/civitai/add/{CHECKPOINT}")
    answer = await room.admin("POST", f"/admin/civitai/promote-to-lora/{CHECKPOINT}")
    assert answer.status == 400 and "loras" in answer.data["error"] and answer.data["code"] == "not_a_lora"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin/civitai/image/999999", 404),
        ("POST", "/admin/civitai/add/999999", 404),
        ("POST", "/admin/civitai/promote-to-lora/999999", 404),
        ("GET", "/admin/civitai/image/" + "9" * 5000, 400),
        ("GET", "/admin/civitai/image/%D9%A3", 400),
        ("POST", "/admin/civitai/add/0", 400),
        ("POST", "/admin/civitai/add/" + "9" * 18, 404),
        ("POST", "/admin/civitai/add/2147483648", 404),
        ("POST", "/admin/civitai/promote-to-lora/3000000000", 404),
        ("POST", "/admin/civitai/add/300009", 404),
    ],
)
async def test_unknown_ids_are_json_with_the_right_status(room: Room, method: str, path: str, status: int):
    answer = await room.admin(method, path)
    assert answer.status == status and set(answer.data) == {"error", "code"} and answer.data["error"], answer.text
    assert answer.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("digits", ["123456789012", "3000000000", "0000300001"])
async def test_the_id_of_a_route_is_never_looked_up_as_a_hash(room: Room, digits: str):
    for path in ("add", "promote-to-lora"):
        await room.admin("POST", f"/admin/civitai/{path}/{digits}")
    asked = [seen.path for seen in room.sandbox.requests]
    assert not [path for path in asked if "by-hash" in path]
    assert digits != "0000300001" or room.entries("loras.json")[0]["civitai_version_id"] == LORA


@pytest.mark.parametrize("path", ["/admin/civitai/image/abc", "/admin/civitai/add/1/2", "/admin/civitai/image/"])
async def test_what_is_no_id_is_no_route(room: Room, path: str):
    assert (await room.admin("GET", path)).status == 404


@pytest.mark.parametrize(
    ("fault", "status", "after"),
    [
        ({"kind": "status", "status": 401}, 424, None),
        ({"kind": "status", "status": 403}, 424, None),
        ({"kind": "status", "status": 451}, 424, None),
        ({"kind": "status", "status": 404}, 404, None),
        ({"kind": "limit", "after": "0"}, 503, "0"),
        ({"kind": "status", "status": 500, "after": "0"}, 503, "0"),
        ({"kind": "drop"}, 503, "10"),
        ({"kind": "html"}, 503, "10"),
    ],
)
async def test_a_service_that_says_no_does_not_look_like_us(
    room: Room, fault: dict[str, Any], status: int, after: str | None
):
    for route in ("trpc", "site"):
        room.sandbox.script.fault(route, times=40, **fault)
    for method, path in (("GET", f"/admin/civitai/image/{IMAGE}"), ("POST", f"/admin/civitai/add/{LORA}")):
        answer = await room.admin(method, path)
        assert (answer.status, answer.headers.get("Retry-After")) == (status, after), answer.text
        assert answer.data["error"] and "WWW-Authenticate" not in answer.headers
    assert not (room.home / "models.json").exists()


async def test_a_service_that_is_silent_is_not_waited_for_endlessly(room: Room):
    room.sandbox.script.fault("site", "hang", times=9, seconds=30.0)
    async with TestServer(serving(replace(room.context, patience=0.2))) as server:
        room.url = f"http://127.0.0.1:{server.port}"
        answer = await room.admin("POST", f"/admin/civitai/add/{LORA}")
    assert answer.status == 503 and answer.headers["Retry-After"]


async def test_a_damaged_catalog_is_said_with_its_place(room: Room):
    room.home.mkdir(parents=True, exist_ok=True)
    (room.home / "models.json").write_text('{"version": 1,\n "categories": [}')
    for method, path in EVERY[1:]:
        answer = await room.admin(method, path)
        assert answer.status == 500 and "line 2" in answer.data["error"], answer.text
    assert (room.home / "models.json").read_text().endswith("[}")


async def test_a_damaged_loras_json_stops_no_image(room: Room):
    await room.admin("POST", f"/admin/civitai/add/{LORA}")
    (room.home / "loras.json").write_text("{")
    answer = await room.admin("GET", f"/admin/civitai/image/{IMAGE}")
    assert answer.status == 200
    missing = [one for one in answer.data["resources"] if one["catalog_status"] == "missing"]
    assert [one["versionId"] for one in missing] == [LORA]
    unknown = [one for one in answer.data["resources"] if one["catalog_status"] == "unknown"]
    assert unknown and all("loras.json" in " ".join(one["catalog_notes"]) for one in unknown)
    answer = await room.admin("POST", f"/admin/civitai/promote-to-lora/{LORA}")
    assert answer.status == 500 and "loras.json" in answer.data["error"]


async def test_what_nobody_foresaw_is_json_too(room: Room, caplog: pytest.LogCaptureFixture):
    async def broken() -> Any:
        raise ZeroDivisionError("secret detail")

    async with TestServer(serving(replace(room.context, catalog=broken))) as server:
        room.url = f"http://127.0.0.1:{server.port}"
        answer = await room.admin("GET", "/admin/civitai/catalog")
    assert answer.status == 500 and "console" in answer.data["error"] and "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_what_json_cannot_say_becomes_null():
    assert finite({1: (float("nan"), [float("-inf"), 1.5]), "a": None}) == {"1": [None, [None, 1.5]], "a": None}


async def test_the_servers_loop_is_free_while_a_story_runs(room: Room):
    """A route that waits for CivitAI holds up no other request."""
    room.sandbox.script.fault("site", "slow", seconds=0.6)
    slow = asyncio.ensure_future(room.admin("POST", f"/admin/civitai/add/{LORA}"))
    await asyncio.sleep(0.1)
    assert (await room.ask("GET", "/admin/civitai/catalog")).status == 401
    assert not slow.done()
    assert (await slow).data["status"] == "added"


async def test_half_a_letter_in_a_body_is_read_as_one_that_cannot_be_shown(room: Room):
    for path, body in (
        ("collect", '{"key": "\\ud83d"}'),
        ("settings", '{"name": "catalog_folder", "value": "/models/\\uDC00x"}'),
        ("paste", '{"text": "\\ud83d\\ude00 whole, \\ud83d half\\nSteps: 20, Seed: 1"}'),
    ):
        answer = await room.admin("POST", f"/civitai_bridge/{path}", data=body)
        assert answer.status < 500, answer.text
    assert answer.data["nodes"][0]["widgets"]["text"].startswith("\U0001f600 whole, \ufffd half")
