"""The routes on a bare aiohttp server, the sandbox behind them: the source document's examples, and who is let in."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request

from pack.civitai_bridge.app import App, ModelFolders
from pack.civitai_bridge.errors import BadSetting
from pack.civitai_bridge.model_files.folders import folders_below
from pack.civitai_bridge.network import retries
from pack.civitai_bridge.network.background import BackgroundLoop
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.routes.access import SESSION, is_own_page
from pack.civitai_bridge.routes.table import Context, add_routes, finite
from pack.civitai_bridge.sandbox import Sandbox, files
from pack.civitai_bridge.sandbox import models as catalogue
from pack.civitai_bridge.sandbox.images import IMAGES
from pack.civitai_bridge.settings import Settings

LORA, CHECKPOINT, IMAGE = 300001, 128078, 900002
ADMIN = {"Authorization": "Bearer the-admin-token"}
JSON = {"Content-Type": "application/json"}
EVERY = (
    ("GET", "/admin/civitai/image/900002"),
    ("GET", "/admin/civitai/catalog"),
    ("POST", "/admin/civitai/add/300001"),
    ("POST", "/admin/civitai/promote-to-lora/300001"),
)


def serving(context: Context) -> web.Application:
    """As ComfyUI serves them: as they are, and below /api."""
    app = web.Application()
    for prefix in ("", "/api"):
        table = web.RouteTableDef()
        add_routes(table, context)
        for route in table:
            assert isinstance(route, web.RouteDef)
            app.router.add_route(route.method, prefix + route.path, route.handler)
    return app


class Room:
    """One server with its state, and what a client says to it."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self.sandbox, self.models, self.home = sandbox, root / "models", root / "state"
        self.models.mkdir()
        self.settings = Settings(key="me", site_url=sandbox.site_url, home=self.home)
        self.behind = BackgroundLoop()
        self.app = App(
            self._network,
            load=lambda: self.settings,
            folders=lambda _: ModelFolders(lambda: folders_below(self.models), self.models),
        )
        self.context = Context(
            start=self.behind.start,
            catalog=self.app.catalog,
            reader=self.app.reader,
            admin_token=lambda: "the-admin-token",
            patience=20.0,
        )

    async def _network(self) -> HttpClient:
        network = await self.behind.network()
        network.allow_loopback(self.sandbox.storage_url)
        return network

    def forget(self, **more: Any) -> None:
        """Everything that was looked up, and settings; blocks."""
        self.behind.start(self.app.close()).result(10)
        self.settings = replace(self.settings, **more)

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> SimpleNamespace:
        headers = {**(JSON if method == "POST" else {}), **(headers or {})}
        async with self.session.request(method, self.url + path, headers=headers, **more) as answer:
            content = await answer.read()
            data = json.loads(content) if "json" in answer.content_type else None
            return SimpleNamespace(status=answer.status, headers=answer.headers, data=data, text=content.decode())

    async def admin(self, method: str, path: str, **more: Any) -> SimpleNamespace:
        return await self.ask(method, path, ADMIN, **more)

    def entries(self, name: str = "models.json") -> list[dict[str, Any]]:
        text = (self.home / name).read_text(encoding="utf-8")
        return [entry for category in json.loads(text)["categories"] for entry in category["models"]]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with Sandbox() as sandbox:
        room = Room(sandbox, tmp_path)
        async with TestServer(serving(room.context)) as server, aiohttp.ClientSession() as session:
            room.url, room.session = f"http://127.0.0.1:{server.port}", session
            room.port = server.port
            yield room
        await asyncio.to_thread(lambda: (room.forget(), room.behind.stop()))


# --- the source document's examples


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
    target.write_bytes(files.content(catalogue.VERSIONS[LORA].files[0]))
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
        "base_model": "SDXL 1.0", "status": "missing", "catalog": "loras.json",
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


# --- unknown ids, and a service that says no


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
    room: Room, fault: dict[str, Any], status: int, after: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retries, "_pause", lambda *_: 0.0)
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


# --- who is let in


def browser(room: Room, **more: str) -> dict[str, str]:
    """What a browser sends with a POST from our own page."""
    here = f"127.0.0.1:{room.port}"
    return {"Host": here, "Origin": f"http://{here}", "Sec-Fetch-Site": "same-origin", **JSON, **more}


async def session_of(room: Room) -> str:
    answer = await room.ask("POST", "/civitai_bridge/session", browser(room))
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    return answer.data["session"]


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic the-admin-token"},
        {"Authorization": "the-admin-token"},
        {"Authorization": "Bearer thé-admin-tokén"},
        {SESSION: "wrong"},
        {SESSION: ""},
        {SESSION: "the-admin-token"},
        {"Cookie": "session=the-admin-token"},
    ],
)
async def test_nobody_else_gets_anything(room: Room, method: str, path: str, headers: dict[str, str]):
    answer = await room.ask(method, path, {**headers, "Content-Type": "text/plain"})
    assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.data["error"] and "the-admin-token" not in answer.text
    assert room.sandbox.requests == [] and not room.home.exists(), "nothing is read or fetched"


async def test_the_token_in_the_address_does_not_count(room: Room):
    assert (await room.ask("GET", "/admin/civitai/catalog?token=the-admin-token")).status == 401


async def test_a_token_that_cannot_be_read_lets_nobody_in(room: Room):
    def broken() -> str:
        raise BadSetting("The admin token cannot be kept in /a/secret/place.")

    for token in (broken, lambda: ""):
        async with TestServer(serving(replace(room.context, admin_token=token))) as server:
            room.url = f"http://127.0.0.1:{server.port}"
            answer = await room.ask("GET", "/admin/civitai/catalog", {"Authorization": "Bearer x"})
            assert answer.status == 401 and "/a/secret/place" not in answer.text


async def test_the_admin_comes_from_anywhere(room: Room):
    """A script on another machine, a proxy, a page elsewhere: whoever knows the token."""
    strange = {"Host": "pod.example.com", "Origin": "https://pod.example.com", "X-Forwarded-For": "9.9.9.9"}
    assert (await room.ask("GET", "/admin/civitai/catalog", {**ADMIN, **strange})).status == 200
    lower = {"authorization": "bearer  the-admin-token "}
    assert (await room.ask("GET", "/admin/civitai/catalog", lower)).status == 200


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_a_change_is_json_or_nothing(room: Room, kind: str | None):
    """A form of a foreign page can be posted without asking; JSON cannot."""
    headers = {**ADMIN, "Content-Type": kind or ""}
    for method, path in EVERY[2:]:
        assert (await room.ask(method, path, headers, data=b"{}")).status == 415
    assert room.sandbox.requests == []
    answer = await room.ask("POST", "/civitai_bridge/session", browser(room) | {"Content-Type": kind or ""})
    assert answer.status == 415


async def test_a_change_needs_a_post(room: Room):
    for _, path in EVERY[2:]:
        assert (await room.admin("GET", path)).status == 405
    assert (await room.ask("GET", "/civitai_bridge/session", browser(room))).status == 405


async def test_our_own_page_gets_a_session_and_works_with_it(room: Room):
    session = await session_of(room)
    for method, path in EVERY[1:]:
        headers = browser(room) | {SESSION: session}
        if method == "GET":
            del headers["Origin"]
        assert (await room.ask(method, path, headers)).status == 200
    assert session == await session_of(room) != "the-admin-token", "one for the process"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LocalHost"])
async def test_every_loopback_name_is_ours(room: Room, name: str):
    here = f"{name}:{room.port}"
    headers = browser(room) | {"Host": here, "Origin": f"http://{here.lower()}"}
    assert (await room.ask("POST", "/civitai_bridge/session", headers)).status == 200


REFUSED = {
    "a foreign page": {"Origin": "https://evil.example"},
    "a foreign page on this machine, another port": {"Origin": "http://127.0.0.1:1"},
    "another name of this machine": {"Origin": "http://localhost:{port}"},
    "https against http": {"Origin": "https://127.0.0.1:{port}"},
    "a rebound name": {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    "a rebound name that looks local": {"Host": "localhost.evil.example:{port}", "Origin": "http://localhost.evil.example:{port}"},
    "a sandboxed frame or a file": {"Origin": "null"},
    "an empty Origin": {"Origin": ""},
    "an Origin without its port": {"Origin": "http://127.0.0.1"},
    "an Origin with a path": {"Origin": "http://127.0.0.1:{port}/x"},
    "an Origin with a user": {"Origin": "http://a@127.0.0.1:{port}"},
    "an Origin that is no address": {"Origin": "http://[::1:{port}"},
    "an Origin with an odd port": {"Origin": "http://127.0.0.1:{port}x"},
    "a tunnel or container with another port": {"Host": "127.0.0.1:9000", "Origin": "http://127.0.0.1:9000"},
    "a Host without a port": {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"},
    "a name in the network": {"Host": "studio.local:{port}", "Origin": "http://studio.local:{port}"},
    "an address in the network": {"Host": "192.168.1.7:{port}", "Origin": "http://192.168.1.7:{port}"},
    "every address": {"Host": "0.0.0.0:{port}", "Origin": "http://0.0.0.0:{port}"},
    "a proxy that says whom it serves": {"X-Forwarded-For": "203.0.113.9"},
    "a proxy that says its name": {"X-Forwarded-Host": "pod.example.com"},
    "a proxy that says its scheme": {"x-forwarded-proto": "https"},
    "a proxy by the standard": {"Forwarded": "for=203.0.113.9"},
    "a proxy with Via": {"Via": "1.1 caddy"},
    "nginx's own": {"X-Real-IP": "203.0.113.9"},
    "a proxy behind another": {"X-Original-Forwarded-For": "203.0.113.9"},
    "a proxy of a cluster": {"X-Cluster-Client-IP": "203.0.113.9"},
    "a proxy with underscores": {"X_Forwarded_For": "203.0.113.9"},
    "a CDN": {"True-Client-IP": "203.0.113.9"},
    "a tunnel of a CDN": {"CF-Connecting-IP": "203.0.113.9"},
}  # fmt: skip


@pytest.mark.parametrize("who", REFUSED)
async def test_no_session_for(room: Room, who: str):
    session = await session_of(room)
    odd = {name: value.format(port=room.port) for name, value in REFUSED[who].items()}
    answer = await room.ask("POST", "/civitai_bridge/session", browser(room) | odd)
    assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer" and session not in answer.text
    used = await room.ask("GET", "/admin/civitai/catalog", browser(room) | odd | {SESSION: session})
    assert used.status == 401, "nor does one that was carried away serve there"


async def test_no_session_for_http_1_0(room: Room):
    """nginx asks so by itself, with a Host of its own making and no word of whom it serves."""
    text = f"POST /civitai_bridge/session HTTP/1.0\r\nHost: 127.0.0.1:{room.port}\r\n"
    text += f"Origin: http://127.0.0.1:{room.port}\r\nContent-Type: application/json\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
    writer.write(text.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b" 401 " in answer.splitlines()[0]


async def test_no_session_without_an_origin(room: Room):
    """curl, a form of an old browser, a GET turned POST: nothing proves that our page asks."""
    headers = browser(room)
    del headers["Origin"]
    assert (await room.ask("POST", "/civitai_bridge/session", headers)).status == 401
    assert (await room.ask("GET", "/admin/civitai/catalog", headers)).status == 401


async def test_a_get_without_an_origin_needs_the_session(room: Room):
    """A link, an image or a script of a foreign page is a GET without Origin; it cannot add a header."""
    assert (await room.ask("GET", f"/admin/civitai/image/{IMAGE}", {"Sec-Fetch-Site": "cross-site"})).status == 401
    session = await session_of(room)
    assert (await room.ask("GET", "/admin/civitai/catalog", {SESSION: session})).status == 200


async def test_a_session_of_another_process_is_nothing_here(room: Room):
    other = Context(room.context.start, room.context.catalog, room.context.reader, room.context.admin_token)
    assert (await room.ask("GET", "/admin/civitai/catalog", browser(room) | {SESSION: other.session})).status == 401


def proxy(to: str, change: Callable[[web.Request, dict[str, str]], None]) -> web.Application:
    """A reverse proxy on this machine."""

    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        change(request, headers)
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, to + request.path_qs, headers=headers, data=await request.read()) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", forward)
    return app


@pytest.mark.parametrize("said", [True, False], ids=["with forwarded headers", "without any"])
@pytest.mark.parametrize("rewrites", [True, False], ids=["rewrites Host", "keeps Host"])
async def test_a_proxy_on_this_machine_gets_no_session(room: Room, said: bool, rewrites: bool):
    def change(request: web.Request, headers: dict[str, str]) -> None:
        if said:
            headers["X-Forwarded-For"] = "203.0.113.9"
        if rewrites:  # as nginx does by itself
            headers["Host"] = f"127.0.0.1:{room.port}"

    session = await session_of(room)
    async with TestServer(proxy(room.url, change)) as server:
        room.url = f"http://127.0.0.1:{server.port}"
        outside = {"Host": "pod.example.com", "Origin": "https://pod.example.com", **JSON}
        near = {"Host": f"127.0.0.1:{server.port}", "Origin": f"http://127.0.0.1:{server.port}", **JSON}
        for headers in (outside, near):
            assert (await room.ask("POST", "/civitai_bridge/session", headers)).status == 401
            stolen = await room.ask("GET", "/admin/civitai/catalog", headers | {SESSION: session})
            assert stolen.status == 401
        assert (await room.ask("GET", "/admin/civitai/catalog", outside | ADMIN)).status == 200


async def test_a_neighbour_in_the_network_gets_no_session(room: Room):
    """A real connection to an address of this machine that is not loopback; the names are forged."""
    address = lan_address()
    if not address:
        pytest.skip("this machine has no address in a network")
    session = await session_of(room)
    async with TestServer(serving(room.context), host="0.0.0.0") as server:
        room.url, room.port = f"http://{address}:{server.port}", server.port
        forged = browser(room)
        honest = browser(room, Host=f"{address}:{server.port}", Origin=f"http://{address}:{server.port}")
        for headers in (forged, honest):
            assert (await room.ask("POST", "/civitai_bridge/session", headers)).status == 401
            assert (await room.ask("GET", "/admin/civitai/catalog", headers | {SESSION: session})).status == 401
        assert (await room.ask("GET", "/admin/civitai/catalog", ADMIN)).status == 200


def lan_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        found = probe.getsockname()[0]
    return "" if found.startswith(("127.", "0.")) else found


@pytest.mark.parametrize(
    ("peer", "own", "host", "mine"),
    [
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "127.0.0.1:8188", True),
        (("127.0.0.5", 50000), ("127.0.0.1", 8188), "localhost:8188", True),
        (("::1", 50000, 0, 0), ("::1", 8188, 0, 0), "[::1]:8188", True),
        (("::ffff:127.0.0.1", 50000, 0, 0), ("::ffff:127.0.0.1", 8188, 0, 0), "127.0.0.1:8188", True),
        (("127.0.0.1", 50000), ("127.0.0.1", 80), "localhost", True),
        (("127.0.0.1", 50000), ("127.0.0.1", 443), "localhost", False),
        (("192.168.1.20", 50000), ("192.168.1.7", 8188), "127.0.0.1:8188", False),
        (("::ffff:192.168.1.20", 50000, 0, 0), ("::1", 8188, 0, 0), "127.0.0.1:8188", False),
        (("fe80::1%eth0", 50000, 0, 2), ("::1", 8188, 0, 0), "127.0.0.1:8188", False),
        (("", 0), ("127.0.0.1", 8188), "127.0.0.1:8188", False),
        ("/run/comfy.sock", "/run/comfy.sock", "127.0.0.1:8188", False),
        (None, None, "127.0.0.1:8188", False),
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "user@127.0.0.1:8188", False),
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "127.0.0.1:8188/x", False),
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "127.0.0.1:99999", False),
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "", False),
    ],
)
def test_what_is_this_machine(peer: Any, own: Any, host: str, mine: bool):
    known = {"peername": peer, "sockname": own}
    transport = SimpleNamespace(get_extra_info=lambda name, default=None: known.get(name, default))
    request = make_mocked_request("GET", "/", headers={"Host": host}, transport=transport)
    assert is_own_page(request) is mine


async def test_the_servers_loop_is_free_while_a_story_runs(room: Room):
    """A route that waits for CivitAI holds up no other request."""
    room.sandbox.script.fault("site", "slow", seconds=0.6)
    slow = asyncio.ensure_future(room.admin("POST", f"/admin/civitai/add/{LORA}"))
    await asyncio.sleep(0.1)
    assert (await room.ask("GET", "/admin/civitai/catalog")).status == 401
    assert not slow.done()
    assert (await slow).data["status"] == "added"
