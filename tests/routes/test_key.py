"""The API key, entered on the page: kept, used, forgotten, and never sent back."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from routes_room import ADMIN, JSON, Room

from pack.civitai_bridge.routes.access import SESSION
from pack.civitai_bridge.routes.key import keep_key, key_state
from pack.civitai_bridge.settings import Settings, load_settings

KEY = "0123456789abcdef0123456789abcdef"


async def test_a_key_is_kept_for_the_owner_alone_and_never_sent_back(room: Room):
    answer = await room.admin("POST", "/civitai_bridge/key", json={"key": f"  '{KEY}' "})
    assert (answer.status, answer.data) == (200, {"status": "saved", "set": True, "source": "file"})
    path = room.home / "credentials.json"
    assert json.loads(path.read_text())["key"] == KEY and load_settings({}, home=room.home).key == KEY
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    state = await room.admin("GET", "/civitai_bridge/key")
    assert state.data == {"set": True, "source": "file"} and KEY not in state.text + answer.text


async def test_our_own_page_may_enter_it_and_nobody_else(room: Room):
    here = {"Host": f"127.0.0.1:{room.port}", "Origin": f"http://127.0.0.1:{room.port}", **JSON}
    assert (await room.ask("POST", "/civitai_bridge/key", here, json={"key": KEY})).status == 401
    session = (await room.ask("POST", "/civitai_bridge/session", here)).data["session"]
    assert (await room.ask("POST", "/civitai_bridge/key", here | {SESSION: session}, json={"key": KEY})).status == 200
    foreign = here | {SESSION: session, "Origin": "https://evil.example"}
    assert (await room.ask("POST", "/civitai_bridge/key", foreign, json={"key": "x" * 32})).status == 401
    assert json.loads((room.home / "credentials.json").read_text())["key"] == KEY


async def test_an_empty_key_forgets_it(room: Room):
    await room.admin("POST", "/civitai_bridge/key", json={"key": KEY})
    answer = await room.admin("POST", "/civitai_bridge/key", json={"key": ""})
    assert answer.data == {"status": "deleted", "set": False, "source": "none"}
    assert KEY not in (room.home / "credentials.json").read_text()


@pytest.mark.parametrize("body", [{}, {"key": 7}, {"key": "two words"}, {"key": "ключ"}, {"key": "x" * 5000}, [], "k"])
async def test_what_is_no_key_is_refused_without_being_shown(room: Room, body: object):
    answer = await room.admin("POST", "/civitai_bridge/key", json=body)
    assert answer.status == 400 and "two words" not in answer.text and "xxx" not in answer.text
    assert not (room.home / "credentials.json").exists()


async def test_a_body_that_is_no_json_or_too_long_is_refused(room: Room):
    for content in (b"{", b'{"key": "' + b"x" * 20_000 + b'"}'):
        assert (await room.admin("POST", "/civitai_bridge/key", data=content)).status == 400


async def test_a_body_may_arrive_in_pieces(room: Room):
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"key": "', KEY.encode(), b'"', b"}"):
            yield piece
            await asyncio.sleep(0.02)

    assert (await room.admin("POST", "/civitai_bridge/key", data=pieces())).data["status"] == "saved"
    assert (await room.admin("POST", "/civitai_bridge/key", data=b"[" * 16_000)).status == 400


def test_a_key_of_the_environment_is_said_to_win(tmp_path):
    settings = lambda: Settings(home=tmp_path)  # noqa: E731
    answer = keep_key(settings, KEY, {"CIVITAI_API_TOKEN": "other"})
    assert answer["source"] == "environment" and "CIVITAI_API_TOKEN" in str(answer["note"])
    assert key_state(settings, {}) == {"set": True, "source": "file"}
    assert key_state(lambda: Settings(home=tmp_path, sandbox=True), {}) == {"set": True, "source": "sandbox"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/admin/civitai/add/300001", "POST"),
        ("DELETE", "/admin/civitai/image/900002", "GET"),
        ("PUT", "/admin/civitai/catalog", "GET"),
        ("POST", "/admin/civitai/catalog", "GET"),
        ("GET", "/civitai_bridge/session", "POST"),
        ("DELETE", "/civitai_bridge/key", "GET, POST"),
        ("GET", "/admin/civitai/nothing", ""),
        ("GET", "/admin/civitai", ""),
        ("GET", "/civitai_bridge/nothing", ""),
        ("POST", "/civitai_bridge/key/", ""),
        ("GET", "/admin/civitai/image/abc", ""),
        ("POST", "/admin/civitai/add/", ""),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_another_method_or_path_is_said_in_json(room: Room, prefix: str, method: str, path: str, allowed: str):
    answer = await room.ask(method, prefix + path, ADMIN)
    assert answer.status == (405 if allowed else 404) and answer.headers.get("Allow", "") == allowed
    assert answer.data["code"] == ("method_not_allowed" if allowed else "not_found") and path in answer.data["error"]
