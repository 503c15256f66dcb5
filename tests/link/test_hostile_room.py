"""Whoever holds a room's key can send anything. The real agent in a room that does: every message that can be answered
gets one final status with a sentence, nothing is written outside the model folders, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from engineio.packet import MESSAGE, Packet
from link_room import LORA, OTHER, Machine, content, sha256

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser

HASH = "ab" * 32


@dataclass
class Room:
    """An agent and a browser that wishes it ill."""

    machine: Machine
    browser: Browser
    sandbox: Sandbox

    def tree(self) -> dict[str, bytes]:
        """Everything on this machine's disk but the agent's own state."""
        root = self.machine.models.parent
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and "state" not in path.relative_to(root).parts[:1]
        }

    async def ends(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its end."""
        return await self.browser.finish(await self.browser.send(kind, **fields))

    async def is_well(self) -> None:
        """The agent answers, in the same room; a question that it missed while it came back is asked again."""
        for _ in range(6):
            with contextlib.suppress(TimeoutError):
                assert (await self.browser.finish(await self.browser.send("activities:list"), 1))["status"] == "success"
                return
        raise AssertionError("the agent answers nothing any more")

    async def relay_says(self, event: str, *data: Any) -> None:
        """Something that only the relay can send, and a hostile one may."""
        delivery = self.sandbox.link.relay.delivery
        for member in [member for member in delivery.members.values() if member.role == "sd"]:
            await delivery.deliver(member, event, *data)

    async def relay_sends(self, packet: str) -> None:
        """Raw text of the protocol, to every agent."""
        server = self.sandbox.link.relay.connections.server
        for member in self.sandbox.link.relay.delivery.members.values():
            if member.role == "sd":
                session = server.manager.eio_sid_from_sid(member.sid, "/")
                await server.eio.send_packet(session, Packet(MESSAGE, data=packet))

    def keeps_to_itself(self, status: dict[str, Any]) -> None:
        """No folder of this machine, no key and no signed address stands in what the room is sent."""
        text = json.dumps(status)
        own = (
            str(self.machine.models.parent),
            self.machine.settings.key,
            self.browser.key,
            "X-Amz-Signature",
            "Traceback",
        )
        assert [word for word in own if word in text] == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    """One agent for all that it has to refuse."""
    async with Sandbox() as sandbox:
        machine = Machine(sandbox, tmp_path_factory.mktemp("hostile"))
        browser = await sandbox.link.browse()
        await machine.pair(browser)
        (machine.models.parent / "secret.txt").write_text("nobody's business")
        machine.put("loras/mine.safetensors", b"mine")
        yield Room(machine, browser, sandbox)
        await machine.close()


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
    ("resources:add", {"resource": b"bytes"}),
    ("resources:add", {"resource": resource(hash=b"ab" * 32), "beside": b"\xff"}),
    ("resources:add", {"resource": [resource()]}),
    ("resources:add", {"resource": {}}),
    ("resources:add", {"resources": []}),
    ("resources:add", {"resources": {}}),
    ("resources:add", {"resources": "all"}),
    ("resources:add", {"resources": [None, 7, "x"]}),
    ("resources:add", {"resources": [resource()] * 2000}),
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
    ("x" * 60, {}),
]  # fmt: skip


@in_one_loop
@pytest.mark.parametrize(("kind", "fields"), REFUSED, ids=[f"{n}-{kind[:22]}" for n, (kind, _) in enumerate(REFUSED)])
async def test_what_cannot_be_obeyed_is_answered_with_one_sentence(room: Room, kind: str, fields: dict[str, Any]):
    before = room.tree()
    end = await room.ends(kind, **fields)
    assert end["status"] == "error" and 15 < len(end["error"]) < 600, end
    room.keeps_to_itself(end)
    if kind in ("resources:add", "resources:remove"):
        assert isinstance(end["resource"], dict) and isinstance(end["resource"]["modelName"], str)
    assert room.tree() == before
    assert room.browser.page.complaints == []


@in_one_loop
@pytest.mark.parametrize("content", [
    None, 7, "text", [], {}, {"type": "resources:list"}, {"id": "a"}, {"id": None, "type": "resources:list"},
    {"id": 7, "type": "resources:list"}, {"id": "x" * 10_000, "type": "resources:list"}, {"id": "a\nb", "type": "resources:list"},
    {"id": {"a": 1}, "type": "resources:list"}, {"id": "", "type": "resources:list"}, {"id": "b", "type": None},
    {"id": "c", "type": ["resources:list"]}, {"id": "d", "type": {"a": 1}}, deep(400),
], ids=lambda content: str(content)[:30])  # fmt: skip
async def test_what_is_no_command_harms_nothing(room: Room, content: Any):
    await room.browser.send_raw(content)
    await room.is_well()


@in_one_loop
async def test_events_that_only_the_relay_may_send_are_not_taken_from_a_room(room: Room):
    kept = room.machine.file.load()
    for event, said in (
        ("commandStatus", {"type": "resources:add", "id": "x", "status": "success", "resource": resource()}),
        ("upgradeKey", {"key": "a" * 128}), ("kicked", None), ("error", {"msg": "x" * 100_000}),
        ("roomPresence", {"client": -1, "sd": "many"}), ("unheard of", {}),
    ):  # fmt: skip
        await room.browser.send_raw(said, event)
    await room.is_well()
    assert room.machine.file.load() == kept


@in_one_loop
@pytest.mark.parametrize("content", [
    None, 7, {}, {"key": None}, {"key": "short"}, {"key": "../../x"}, {"key": "g" * 128}, {"key": ["a" * 128]},
    {"client": 10**40}, {"client": True}, {"msg": {"a": 1}},
])  # fmt: skip
async def test_a_relay_that_says_nonsense_takes_no_key_away(room: Room, content: Any):
    kept = room.machine.file.load()
    for event in ("upgradeKey", "roomPresence", "error", "commandStatus", "disconnect me", "join"):
        await room.relay_says(event, content)
        await room.relay_says(event)
        await room.relay_says(event, content, content)
    await room.is_well()
    assert room.machine.file.load() == kept


@in_one_loop
@pytest.mark.parametrize("packet", [
    '2["command",' + "[" * 100_000 + "]" * 100_000 + "]", '2["command",{', '2["command",' + "9" * 5000 + "]", "2[]", "2{}", "",
    '9["x"]', '0{"sid":"x"}', "3999[]", '2["disconnect","x"]', '2["connect"]', '4{"message":"x"}', '2/other,["command",{}]',
], ids=lambda packet: packet[:24])  # fmt: skip
async def test_a_packet_that_is_none_costs_at_most_the_connection(room: Room, packet: str):
    kept = room.machine.file.load()
    await room.relay_sends(packet)
    await room.browser.until_linked()
    await room.is_well()
    assert room.machine.file.load() == kept


# --- what could be obeyed, and is still not to do harm


@pytest.mark.parametrize(("version", "type_", "words"), [
    (LORA, "Checkpoint", "LORA"), (128078, "LORA", "Checkpoint"), (300031, "TextualInversion", "link_allow_pickle"),
    (300061, "Checkpoint", ""), (300077, "LORA", ""), (300081, "LORA", ""), (300083, "LORA", ""), (300047, "LORA", ""),
    (300055, "LORA", ""), (300035, "LORA", ""), (300095, "Workflows", ""), (300013, "Checkpoint", ""),
])  # fmt: skip
@in_one_loop
async def test_what_is_not_what_it_says_or_may_not_be_had_leaves_nothing_behind(
    room: Room, version: int, type_: str, words: str
):
    before = room.tree()
    end = await room.ends("resources:add", resource={**room.sandbox.link.resource(version), "type": type_})
    assert end["status"] == "error" and words in end["error"]
    room.keeps_to_itself(end)
    assert room.tree() == before and room.browser.page.complaints == []


@in_one_loop
async def test_one_id_is_obeyed_once_whatever_it_asks_the_second_time(room: Room):
    name = await room.browser.send("resources:add", resource=room.sandbox.link.resource(LORA))
    for version in (LORA, OTHER):
        await room.browser.send("resources:add", id=name, resource=room.sandbox.link.resource(version))
    assert (await room.browser.finish(name))["status"] == "success"
    await room.browser.send("resources:add", id=name, resource=room.sandbox.link.resource(OTHER))
    await room.is_well()
    assert [path for path in room.machine.files() if "harbour" in path.lower()] == []
    assert room.browser.page.complaints == []


@in_one_loop
async def test_a_removal_needs_the_hash_whatever_path_it_names(room: Room):
    await room.ends("resources:add", resource=room.sandbox.link.resource(LORA))
    before = room.tree()
    entry = {"type": "LORA", "hash": "cd" * 32, "path": "loras/storybookLight_v2.safetensors", "modelName": "X"}
    assert (await room.ends("resources:remove", resource=entry))["status"] == "error"
    entry = {**entry, "hash": sha256(LORA), "type": "Checkpoint"}
    assert (await room.ends("resources:remove", resource=entry))["status"] == "error"
    assert room.tree() == before


@in_one_loop
async def test_a_link_that_leads_out_of_the_model_folders_is_not_followed_by_a_removal(room: Room):
    outside = room.machine.models.parent / "outside.safetensors"
    outside.write_bytes(content(OTHER))
    (room.machine.models / "loras" / "inside.safetensors").symlink_to(outside)
    await room.machine.scan()
    end = await room.ends("resources:remove", resource={"type": "LORA", "hash": sha256(OTHER), "modelName": "X"})
    assert end["status"] == "error" and outside.read_bytes() == content(OTHER)
    room.keeps_to_itself(end)
    (room.machine.models / "loras" / "inside.safetensors").unlink()
    outside.unlink()
    await room.machine.scan()


@in_one_loop
async def test_a_preview_is_had_from_nowhere_but_civitais_media(room: Room):
    asked = len(room.sandbox.requests)
    address = f"{room.sandbox.orchestration_url}/v2/consumer/workflows"
    for preview in (
        address,
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "https://civitai.com.evil.example/x.png",
        7,
        {},
    ):
        resource = {**room.sandbox.link.resource(OTHER), "previewImage": preview}
        await room.ends("resources:add", resource=resource)
        entry = {"type": "LORA", "hash": sha256(OTHER), "modelName": "X"}
        assert (await room.ends("resources:remove", resource=entry))["status"] == "success"
    assert [seen for seen in room.sandbox.requests[asked:] if seen.host == "orchestrator"] == []
