"""The catalogs in a real ComfyUI server: its routes for a plain HTTP client, its nodes from a graph."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from pack.civitai_bridge.routes.peers import in_container

LORA, OTHER, CHECKPOINT, IMAGE = 300001, 300003, 128078, 900002
NAME = "storybookLight_v2.safetensors"


@pytest.fixture
def server(own_comfyui: Any) -> Any:
    return own_comfyui


def ask(server: Any, method: str, path: str, headers: dict[str, str] | None = None) -> SimpleNamespace:
    data = b"" if method == "POST" else None
    given = {"Content-Type": "application/json"} if method == "POST" else {}
    request = urllib.request.Request(server.url + path, data, {**given, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return SimpleNamespace(status=answer.status, headers=answer.headers, data=json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        content = error.read()
        data_ = json.loads(content) if "json" in error.headers.get("content-type", "") else None
        return SimpleNamespace(status=error.code, headers=error.headers, data=data_)


def admin(server: Any) -> dict[str, str]:
    token = json.loads((Path(server.state) / "credentials.json").read_text())["admin_token"]
    return {"Authorization": f"Bearer {token}"}


def settings(server: Any, **values: Any) -> None:
    (Path(server.state) / "settings.json").write_text(json.dumps(values))


def models(server: Any) -> Path:
    return Path(server.log).parent / "base" / "models"


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": f"CivitaiBridge{kind}", "inputs": inputs}


# --- a plain HTTP client


def test_the_token_was_made_at_the_start(server: Any):
    kept = Path(server.state) / "credentials.json"
    assert os.name == "nt" or kept.stat().st_mode & 0o777 == 0o600
    assert len(admin(server)["Authorization"]) > 40


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/admin/civitai/image/{IMAGE}"),
        ("GET", "/admin/civitai/catalog"),
        ("POST", f"/admin/civitai/add/{LORA}"),
        ("POST", f"/admin/civitai/promote-to-lora/{LORA}"),
    ],
)
def test_without_a_token_nothing(server: Any, prefix: str, method: str, path: str):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Content-Type": "text/plain"}):
        answer = ask(server, method, prefix + path, headers)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer" and answer.data["error"]
    assert not (Path(server.state) / "models.json").exists()


def test_the_routes_answer_as_the_source_document_says(server: Any):
    key, add, promote = admin(server), f"/api/admin/civitai/add/{LORA}", f"/api/admin/civitai/promote-to-lora/{LORA}"
    assert ask(server, "POST", promote, key).status == 404
    assert ask(server, "POST", add, key).data == {
        "status": "added", "file": NAME, "name": "Storybook Light v2 [SDXL 1.0 FP16]", "category": "loras",
        "dest": "loras",
    }  # fmt: skip
    assert ask(server, "POST", add, key).data == {"status": "already_exists", "file": NAME}
    restricted = ask(server, "POST", "/api/admin/civitai/add/300013", key)
    assert restricted.status == 200 and restricted.data == {
        "status": "restricted",
        "reason": "This model is 'InternalGeneration' only — download not allowed by the creator",
    }
    assert ask(server, "POST", promote, key).data == {"status": "promoted", "file": NAME, "category": "sdxl_loras"}
    assert ask(server, "POST", promote, key).data == {"status": "already_exists"}
    assert ask(server, "POST", f"/api/admin/civitai/add/{CHECKPOINT}", key).data["category"] == "checkpoints"
    wrong = ask(server, "POST", f"/api/admin/civitai/promote-to-lora/{CHECKPOINT}", key)
    assert wrong.status == 400 and "loras" in wrong.data["error"]
    image = ask(server, "GET", f"/api/admin/civitai/image/{IMAGE}", key).data
    assert {"raw", "resources", "detected_deps", "clean_prompt", "meta", "type", "process", "techniques", "tools",
            "detected_type"} <= set(image)  # fmt: skip
    assert [one["catalog_status"] for one in image["resources"]] == ["missing", "missing", "not_found"]
    assert image["detected_deps"][0]["source"] == "prompt" and image["detected_type"] == "t2i"
    found = ask(server, "GET", "/api/admin/civitai/catalog", key).data
    assert found["by_version"][str(LORA)]["catalog"] == "loras.json" and found["by_model"]["300000"] == [LORA]


def test_errors_are_json_with_the_right_status(server: Any):
    key = admin(server)
    for path, status in (
        ("/api/admin/civitai/image/999999", 404),
        ("/api/admin/civitai/image/" + "9" * 3000, 400),
        ("/api/admin/civitai/image/abc", 404),
    ):
        answer = ask(server, "GET", path, key)
        assert answer.status == status and (status == 404 or answer.data["error"])
    text = ask(server, "POST", f"/api/admin/civitai/add/{OTHER}", key | {"Content-Type": "text/plain"})
    assert text.status == 415
    # As many faults as are used up: the public list is asked when the key is not accepted, and five times in a row.
    server.control(faults=[{"route": route, "kind": "status", "status": 401} for route in ("trpc", "site")])
    away = ask(server, "GET", "/api/admin/civitai/image/900003", key)
    assert away.status == 424 and away.data["error"], away
    server.control(faults=[{"route": "trpc", "kind": "limit", "after": "0"}] * 5)
    busy = ask(server, "GET", "/api/admin/civitai/image/900003", key)
    assert busy.status == 503 and busy.headers["Retry-After"] == "0"


def test_our_own_page_is_let_in_and_others_are_not(server: Any):
    port = urlsplit(server.url).port
    here = {"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"}
    made = ask(server, "POST", "/civitai_bridge/session", here)
    if in_container():
        assert made.status == 401
        pytest.skip("a container's loopback leads to whoever published its port; run where the server is none")
    assert made.status == 200 and made.headers["Cache-Control"] == "no-store"
    session = {"X-Civitai-Bridge-Session": made.data["session"]}
    assert ask(server, "GET", "/api/admin/civitai/catalog", session).status == 200
    assert ask(server, "POST", f"/api/admin/civitai/add/{LORA}", here | session).status == 200
    for odd in (
        {"Origin": "null"},
        {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Via": "1.1 caddy"},
        {"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:1"},
    ):
        assert ask(server, "POST", "/civitai_bridge/session", here | odd).status == 401, odd
        assert ask(server, "GET", "/api/admin/civitai/catalog", here | odd | session).status == 401, odd
    # Core itself turns these away before they come to us.
    assert ask(server, "POST", "/civitai_bridge/session", here | {"Origin": "https://evil.example"}).status in (
        401,
        403,
    )
    assert ask(server, "POST", "/civitai_bridge/session", {"Host": here["Host"]}).status == 401


# --- the graph


async def test_a_graph_checks_adds_and_promotes(server: Any):
    settings(server)
    run = await server.run({"1": node("CatalogCheck", resources=f"{OTHER}\n999999")})
    assert run.text("1").endswith("2 not found."), run.text("1")
    run = await server.run({"1": node("CatalogAdd", reference=str(OTHER))})
    assert run.text("1").startswith("Added: Harbour Ink")
    run = await server.run({"1": node("CatalogPromote", reference=str(OTHER))})
    assert "loras.json" in run.text("1") and "sd15_loras" in run.text("1")
    resolve = node("Resolve", reference=str(OTHER))
    run = await server.run({"1": resolve, "2": node("CatalogCheck", resources=["1", 0])})
    assert run.text("2").endswith("1 missing."), run.text("2")
    run = await server.run({"1": node("CatalogAdd", reference="no such thing")})
    assert "no such thing" in run.error


async def test_wires_of_other_nodes_are_taken(server: Any):
    image = node("ImageData", reference=str(IMAGE))
    for output in (0, 3, 4):
        run = await server.run({"1": image, "2": node("CatalogCheck", resources=["1", output])})
        assert run.history["status"]["status_str"] == "success", run.error
        assert "missing" in run.text("2") or "not found" in run.text("2")


async def test_a_graph_downloads_only_where_both_switches_are_on(server: Any):
    for values, allow, words in (({}, True, "graph_downloads"), ({"graph_downloads": "on"}, False, "allow_download")):
        settings(server, **values)
        run = await server.run({"1": node("Download", reference=str(LORA), allow_download=allow)})
        assert words in run.text("1") and run.history["status"]["status_str"] == "success"
    run = await server.run(into_a_loader(node("Download", reference=str(LORA))))
    assert "allow_download" in run.error, "whoever needs the file is told why it is not there"
    assert not any(r["route"] in ("download", "storage") for r in server.requests())


def cached(run: Any) -> set[str]:
    return {name for _, kind, data in run.events if kind == "execution_cached" for name in data.get("nodes", ())}


def into_a_loader(download: dict[str, Any]) -> dict[str, Any]:
    """Core's own LoRA loader reads the file; it patches no model, for none is here."""
    loader = {"lora_name": ["1", 0], "strength_model": 0.5, "model": ["2", 0]}
    return {
        "1": download,
        "2": {"class_type": "TestModel", "inputs": {}},
        "3": {"class_type": "LoraLoaderModelOnly", "inputs": loader},
        "4": {"class_type": "TestSink", "inputs": {"model": ["3", 0]}},
    }


async def test_a_downloaded_file_is_accepted_by_a_loader_of_the_same_prompt(server: Any):
    settings(server, graph_downloads="on")
    run = await server.run(into_a_loader(node("Download", reference=str(LORA), allow_download=True)))
    assert run.history["status"]["status_str"] == "success", run.error
    assert "Downloaded: Storybook Light" in run.text("1") and (models(server) / "loras" / NAME).is_file()
    assert run.text("4") == "reached"
    info = server.get("/object_info/LoraLoaderModelOnly")["LoraLoaderModelOnly"]
    assert NAME in info["input"]["required"]["lora_name"][0]
    leaks = [r for r in server.requests() if r["route"] == "storage" and "Authorization" in r["headers"]]
    assert leaks == []
    again = [await server.run(into_a_loader(node("Download", reference=str(LORA)))) for _ in range(2)]
    assert all("Here already" in run.text("1") for run in again)
    assert "3" in cached(again[1]) and "1" in cached(again[1]), "what follows a file that is here is not run again"
    check = {"1": node("CatalogCheck", resources=str(LORA))}
    assert [cached(await server.run(check)) for _ in range(2)] == [set(), set()], "it is asked each time"
    run = await server.run({"1": node("CatalogCheck", resources=str(LORA))})
    assert run.text("1").endswith("1 present.")
    image = ask(server, "GET", f"/api/admin/civitai/image/{IMAGE}", admin(server)).data
    assert image["resources"][1]["catalog_status"] == "present"


async def test_the_button_stops_a_download(server: Any):
    settings(server, graph_downloads="on")
    server.control(faults=[{"route": "storage", "kind": "slow", "seconds": 30.0}])
    run = await server.run({"1": node("Download", reference=str(OTHER), allow_download=True)}, cancel_after=2.0)
    assert run.had("execution_interrupted") and not run.had("execution_error") and run.seconds < 10
    await asyncio.sleep(0.5)
    run = await server.run({"1": node("Download", reference=str(OTHER), allow_download=True)})
    assert "Downloaded" in run.text("1")
    progress = b"".join(run.binary).decode("utf-8", "replace")
    assert "harbour" in progress.lower()


def test_nothing_secret_was_written_anywhere(server: Any):
    token = admin(server)["Authorization"].split()[1].encode()
    for path in [server.log, *Path(server.state).rglob("*")]:
        if path.is_file() and path.name != "credentials.json":
            content = path.read_bytes()
            assert b"SECRET-KEY-OF-THE-TESTS" not in content and token not in content, path.name
    assert token.decode() not in json.dumps(server.get("/history"))
