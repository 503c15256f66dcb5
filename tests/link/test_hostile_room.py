"""Whoever holds a room's key can send anything. The real agent in a room that does: every message that can be answered
gets one final status with a sentence, nothing is written outside the model folders, and nothing is lost."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from link_agent import LinkedAgent, linked_agent

from pack.civitai_bridge.sandbox import Sandbox

LORA, OTHER, CHECKPOINT, PICKLE = 300001, 300003, 128078, 300029
HASH = "ab" * 32


@pytest.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LinkedAgent]:
    """One agent for all that it has to refuse."""
    folder = tmp_path_factory.mktemp("hostile")
    async with Sandbox() as sandbox, linked_agent(sandbox, folder) as room:
        yield room


in_one_loop = pytest.mark.asyncio(loop_scope="module")


def resource(**fields: Any) -> dict[str, Any]:
    """A resource as the site sends it, with fields replaced; those that are None are left out."""
    whole = {"type": "LORA", "hash": HASH.upper(), "name": "x.safetensors", "modelName": "X", "modelVersionName": "1"}
    whole["url"] = "https://example.r2.cloudflarestorage.com/x?X-Amz-Signature=abc"
    return {key: value for key, value in {**whole, **fields}.items() if value is not None}


def deep(levels: int) -> Any:
    nested: Any = "bottom"
    for _ in range(levels):
        nested = [nested]
    return nested


HOSTILE_NAMES = [
    "../../evil.py", "..\\..\\evil.py", "/etc/cron.d/evil", "C:\\Windows\\evil.safetensors", "..", ".", "",
    ".hidden.safetensors", "nul\x00byte.safetensors", "line\nbreak.safetensors", "CON.safetensors", "aux", "a:b.safetensors",
    "trailing. ", "x" * 300 + ".safetensors", "__init__.py", "\u202egnp.exe", "\ud800.safetensors", "evil.py", "sub/ok.safetensors",
    {"a": 1}, 7, ["x.safetensors"], True,
]  # fmt: skip
HOSTILE_ADDRESSES = [
    "http://127.0.0.1:1/x", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "ftp://example.com/x",
    "https://user:pass@civitai.com/x", "https://[::1]/x", "https://0x7f000001/x", "https://localhost/x", "javascript:alert(1)",
    "//evil.example/x", "https://civitai.com.evil.example/x", "https://" + "a" * 5000, 7, {"href": "x"}, ["x"],
]  # fmt: skip
REFUSED = [
    ("resources:add", {}),
    ("resources:add", {"resource": None}),
    ("resources:add", {"resource": "a string"}),
    ("resources:add", {"resource": [resource()]}),
    ("resources:add", {"resource": {}}),
    ("resources:add", {"resources": []}),
    ("resources:add", {"resources": {}}),
    ("resources:add", {"resources": "all"}),
    ("resources:add", {"resources": [None, 7, "x"]}),
    ("resources:add", {"resources": [resource()] * 5000}),
    *(("resources:add", {"resource": resource(hash=bad)}) for bad in (None, 7, "", "zz" * 32, "ab" * 31, "../" * 21 + "a", "%2e" * 20, ["ab" * 32], "ab" * 5000)),
    *(("resources:add", {"resource": resource(type=bad)}) for bad in (None, 7, "", "custom_nodes", "../../custom_nodes", ["LORA"], {"a": 1}, "Workflows", "x" * 9000)),
    *(("resources:add", {"resource": resource(name=bad)}) for bad in HOSTILE_NAMES),
    *(("resources:add", {"resource": resource(url=bad)}) for bad in HOSTILE_ADDRESSES),
    ("resources:add", {"resource": resource()}),  # a hash that CivitAI does not know
    ("resources:add", {"resource": resource(modelName=deep(60), previewImage={"a": deep(60)})}),
    ("resources:remove", {}),
    ("resources:remove", {"resource": resource()}),
    ("resources:remove", {"resource": {"path": "loras/mine.safetensors"}}),
    ("resources:remove", {"resource": resource(path="../../../etc/passwd")}),
    ("resources:remove", {"resource": resource(hash=None, path="/etc/passwd")}),
    ("resources:remove", {"resources": [resource(hash=7)]}),
    ("resources:add:cancel", {}),
    ("resources:add:cancel", {"resources": [resource()]}),
    ("activities:cancel", {}),
    ("activities:cancel", {"activityId": 7}),
    ("activities:cancel", {"activityId": {"$ne": None}}),
    ("activities:cancel", {"activityId": "nobody's"}),
    ("image:txt2img", {}),
    ("image:txt2img", {"params": 7, "model": None, "quantity": -1}),
    ("image:img2img", {"params": {"initImage": "file:///etc/passwd"}, "model": HASH}),
    ("vault:sync", {}),
    ("__proto__", {}),
    ("../../resources:add", {}),
    ("resources:add:cancel:now", {}),
    ("x" * 5000, {}),
]  # fmt: skip


@in_one_loop
@pytest.mark.parametrize(("kind", "fields"), REFUSED, ids=[f"{n}-{kind[:22]}" for n, (kind, _) in enumerate(REFUSED)])
async def test_what_cannot_be_obeyed_is_answered_with_one_sentence(room: LinkedAgent, kind: str, fields: dict[str, Any]):
    before = room.files()
    end = await room.browser.finish(await room.browser.send(kind, **fields))
    assert end["status"] == "error" and 15 < len(end["error"]) < 600
    room.holds_nothing_of_ours(end)
    if kind.startswith("resources:") and not kind.endswith(("cancel", "now")):
        assert isinstance(end["resource"], dict) and isinstance(end["resource"]["modelName"], str)
    assert room.files() == before


@in_one_loop
@pytest.mark.parametrize("content", [
    None, 7, "text", [], {}, {"type": "resources:list"}, {"id": "a"}, {"id": None, "type": "resources:list"},
    {"id": 7, "type": "resources:list"}, {"id": "x" * 10_000, "type": "resources:list"}, {"id": "a\nb", "type": "resources:list"},
    {"id": {"a": 1}, "type": "resources:list"}, {"id": "", "type": "resources:list"}, {"id": "b", "type": None},
    {"id": "c", "type": ["resources:list"]}, {"id": "d", "type": {"a": 1}}, deep(400),
], ids=lambda content: str(content)[:30])  # fmt: skip
async def test_what_is_no_command_harms_nothing(room: LinkedAgent, content: Any):
    await room.browser.send_raw(content)
    assert (await room.browser.finish(await room.browser.send("activities:list")))["status"] == "success"


@in_one_loop
async def test_events_that_only_the_relay_may_send_are_not_taken_from_a_room(room: LinkedAgent):
    key = room.key_file()
    for event, content in (
        ("commandStatus", {"type": "resources:add", "id": "x", "status": "success", "resource": resource()}),
        ("upgradeKey", {"key": "a" * 128}), ("kicked", None), ("join", "b" * 128), ("error", {"msg": "x" * 100_000}),
        ("roomPresence", {"client": -1, "sd": "many"}), ("unheard of", {}),
    ):  # fmt: skip
        if event in ("join",):
            continue  # the relay itself obeys this one
        await room.browser.send_raw(content, event)
    assert (await room.browser.finish(await room.browser.send("activities:list")))["status"] == "success"
    assert room.key_file() == key


@in_one_loop
@pytest.mark.parametrize("content", [None, 7, {}, {"key": None}, {"key": "short"}, {"key": "../../x"}, {"key": "g" * 128}, {"key": ["a" * 128]}])
async def test_a_new_key_that_is_none_does_not_replace_the_old_one(room: LinkedAgent, content: Any):
    key = room.key_file()
    await room.relay_says("upgradeKey", content)
    await room.relay_says("roomPresence", content)
    await room.relay_says("error", content)
    assert (await room.browser.finish(await room.browser.send("activities:list")))["status"] == "success"
    assert room.key_file() == key


@in_one_loop
async def test_one_id_is_obeyed_once(room: LinkedAgent):
    name = await room.browser.send("resources:add", resource=room.link.resource(LORA))
    for other in (room.browser.sent[name], {**room.browser.sent[name], "resource": room.link.resource(OTHER)}):
        await room.browser.send_raw(other)
    assert (await room.browser.finish(name))["status"] == "success"
    assert (await room.browser.finish(await room.browser.send("resources:list")))["status"] == "success"
    assert room.models() == {"loras/storybookLight_v2.safetensors"}
    assert (await room.remove(LORA))["status"] == "success"
