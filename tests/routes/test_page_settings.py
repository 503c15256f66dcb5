"""The settings on the page: read, tightened by anybody who may be there, loosened by whoever has the admin token."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from routes_room import ADMIN, JSON, Room

from pack.civitai_bridge.routes.access import SESSION, Gate
from pack.civitai_bridge.routes.context import Asked
from pack.civitai_bridge.routes.setting_answers import loosens, setting_answer
from pack.civitai_bridge.settings import SETTINGS, load_settings

WAY = "/civitai_bridge/settings"


async def page(room: Room) -> dict[str, str]:
    """The headers of our own page in a browser of this machine."""
    here = {"Host": f"127.0.0.1:{room.port}", "Origin": f"http://127.0.0.1:{room.port}", **JSON}
    return here | {SESSION: (await room.ask("POST", "/civitai_bridge/session", here)).data["session"]}


async def test_every_setting_is_there_with_what_it_takes(room: Room):
    room.forget(limit_buzz_per_day=77, proxy="http://me:secret@proxy:3128")
    answer = await room.admin("GET", WAY)
    listed = {setting["name"]: setting for setting in answer.data["settings"]}
    assert set(listed) == set(SETTINGS) and "secret" not in answer.text and answer.data["damage"] is None
    assert (listed["limit_buzz_per_day"]["value"], listed["limit_buzz_per_day"]["type"]) == (77, "number")
    assert listed["mature_content"]["choices"] == ["blocked", "auto", "allowed"]
    assert listed["allow_pickle"]["type"] == "switch" and listed["currencies"]["value"] == []


async def test_the_page_tightens_freely_and_loosens_with_the_token_once(room: Room):
    here = await page(room)
    tighter = await room.ask("POST", WAY, here, json={"name": "limit_buzz_per_day", "value": 10})
    assert (tighter.status, tighter.data) == (200, {"name": "limit_buzz_per_day", "value": 10})
    assert json.loads((room.home / "settings.json").read_text()) == {"limit_buzz_per_day": 10}
    room.forget(limit_buzz_per_day=10)
    looser = {"name": "limit_buzz_per_day", "value": 11}
    refused = await room.ask("POST", WAY, here, json=looser)
    assert (refused.status, refused.data["code"]) == (403, "admin_needed") and "token" in refused.data["command"]
    assert (await room.ask("POST", WAY, here | {"Authorization": "Bearer wrong"}, json=looser)).status == 403
    assert json.loads((room.home / "settings.json").read_text()) == {"limit_buzz_per_day": 10}
    assert (await room.ask("POST", WAY, here | ADMIN, json=looser)).status == 200
    again = await room.ask("POST", WAY, here, json={"name": "graph_downloads", "value": "on"})
    assert again.status == 200, "once in a server process is enough"
    assert (await room.ask("GET", WAY, here)).data["is_admin"] is True


async def test_the_token_of_a_program_does_not_open_the_page(room: Room):
    assert (await room.admin("POST", WAY, json={"name": "graph_downloads", "value": "on"})).status == 200
    here = await page(room)
    assert (await room.ask("POST", WAY, here, json={"name": "allow_pickle", "value": True})).status == 403


@pytest.mark.parametrize(
    "body", [{}, {"name": "nothing", "value": 1}, {"name": ["x"], "value": 1}, {"name": "limit_buzz_per_day"},
             {"name": "limit_buzz_per_day", "value": "much"}, {"name": "mature_content", "value": "all"}]
)  # fmt: skip
async def test_what_is_no_setting_changes_nothing(room: Room, body: dict[str, object]):
    assert (await room.admin("POST", WAY, json=body)).status == 400
    assert not (room.home / "settings.json").exists()


async def test_changes_at_once_undo_nothing_of_each_other(room: Room):
    values = {name: 7 for name in ("limit_buzz_per_prompt", "limit_buzz_per_day", "max_download_gb", "link_max_gb")}
    values |= {"mature_content": "blocked", "page_session": "off", "sidecars": "off", "newer_versions": "off"}
    context = replace(room.context, gate=Gate(lambda: "", lambda: load_settings(home=room.home)))
    every = (setting_answer(context, Asked(body={"name": name, "value": value})) for name, value in values.items())
    await asyncio.gather(*every)
    assert json.loads((room.home / "settings.json").read_text()) == values


async def test_damaged_settings_are_not_written_over(room: Room):
    room.forget(damage="settings.json cannot be read.")
    answer = await room.admin("POST", WAY, json={"name": "limit_buzz_per_day", "value": 1})
    assert answer.status == 400 and answer.data["error"] == "settings.json cannot be read."


@pytest.mark.parametrize(
    ("name", "before", "after", "looser"),
    [
        ("limit_buzz_per_prompt", 0, 1, True), ("limit_buzz_per_prompt", 5, 5, False), ("max_download_gb", 20, 1, False),
        ("allow_pickle", False, True, True), ("allow_pickle", True, False, False),
        ("mature_content", "auto", "blocked", False), ("mature_content", "blocked", "auto", True),
        ("graph_downloads", "on", "off", False), ("lora_family_mismatch", "refuse", "warn", True),
        ("page_session", "auto", "off", False), ("link_keep_free_gb", 5, 1, True), ("link_keep_free_gb", 1, 5, False), ("link_generate", False, True, True),
        ("currencies", (), ("blue",), False), ("currencies", ("blue",), (), True), ("currencies", ("blue",), ("green",), True),
        ("currencies", ("blue", "green"), ("green", "blue"), False), ("proxy", "", "http://x:1", True),
        ("catalog_folder", "/a", "/b", True), ("sidecars", "off", "on", False), ("a_newer_setting", 1, 2, True),
    ],
)  # fmt: skip
def test_which_way_a_setting_loosens(name: str, before: object, after: object, looser: bool):
    assert loosens(name, before, after) is looser


async def test_a_proxy_that_comes_back_as_it_was_shown_keeps_its_password(room: Room):
    room.forget(proxy="http://me:secret@proxy:3128")
    same = await room.admin("POST", WAY, json={"name": "proxy", "value": "http://proxy:3128"})
    assert (same.status, same.data["value"]) == (200, "http://proxy:3128")
    assert not (room.home / "settings.json").exists(), "its login was forgotten"
    assert (await room.admin("POST", WAY, json={"name": "proxy", "value": "http://proxy:8080"})).status == 200
    assert "8080" in (room.home / "settings.json").read_text()
