"""The sandbox's Link relay and the browser of its site, held by a bare Socket.IO client in the agent's place."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio
from pack_root import ROOT

from pack.civitai_bridge.app import App
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link.instances import Instances, LimitReached
from pack.civitai_bridge.sandbox.link.page_state import PageState
from pack.civitai_bridge.sandbox.link.script import RelayScript
from pack.civitai_bridge.settings import Settings

NOW = "2026-11-28T12:00:00.000Z"


class BareAgent:
    """Remembers every event; answers nothing by itself."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.reasons: list[str] = []
        self.http = aiohttp.ClientSession()
        self.sio = socketio.AsyncClient(reconnection=False, handle_sigint=False, http_session=self.http)
        for name in ("command", "upgradeKey", "roomPresence", "kicked", "error"):
            self.sio.on(name, self._listener(name))
        self.sio.on("disconnect", self._left)

    def _listener(self, name: str) -> Any:
        async def listen(*data: Any) -> None:
            self.events.append((name, data[0] if data else None))

        return listen

    async def _left(self, reason: str = "") -> None:
        self.reasons.append(reason)

    def of(self, name: str) -> list[Any]:
        return [data for event, data in self.events if event == name]

    async def connect(self, url: str) -> BareAgent:
        try:
            await self.sio.connect(url, socketio_path="/api/socketio", transports=["websocket"])
        except socketio.exceptions.ConnectionError:
            await self.http.close()
            raise
        self.websocket = self.sio.eio.ws  # the library forgets one that fell silent without closing it
        return self

    async def close(self) -> None:
        await self.sio.disconnect()
        await self.websocket.close()
        await self.http.close()

    async def join(self, key: str) -> Any:
        await self.sio.emit("iam", {"type": "sd"})
        return await self.sio.call("join", key, timeout=3)

    async def answer(self, command: dict[str, Any], status: str = "success", **fields: Any) -> None:
        await self.sio.emit("commandStatus", {**command, "status": status, "updatedAt": NOW, **fields})


async def until(true: Any) -> None:
    for _ in range(300):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def agent(sandbox: Sandbox) -> AsyncIterator[BareAgent]:
    agent = await BareAgent().connect(sandbox.link_url)
    yield agent
    await agent.close()


async def linked(sandbox: Sandbox, agent: BareAgent) -> Any:
    browser = await sandbox.link.browse()
    assert await agent.join(browser.code) == {"success": True, "msg": "Joined"}
    await browser.until_linked()
    return browser


async def test_a_code_is_upgraded_when_both_sides_have_met_and_works_no_more(sandbox: Sandbox, agent: BareAgent):
    browser = await sandbox.link.browse()
    code = browser.code
    assert len(code) == 6 and await agent.join(code.upper()) == {"success": True, "msg": "Joined"}
    await browser.until_linked()
    assert agent.of("upgradeKey") == [{"key": browser.key}] and len(browser.key) == 128
    assert await agent.join(browser.key) == {"success": True, "msg": "Joined"}  # once more is harmless
    await until(lambda: [c["type"] for c in agent.of("command")] == ["activities:list", "resources:list"])
    sandbox.link.script.switch("unknown_key", "refuse")
    assert (await agent.join(code))["success"] is False


async def test_nobody_joins_without_a_role(sandbox: Sandbox, agent: BareAgent):
    answer = await agent.sio.call("join", "abcdef", timeout=3)
    assert answer == {"success": False, "msg": "You must identify yourself first"}


@pytest.mark.parametrize("policy", ["second", "kick", "disconnect", "refuse"])
async def test_a_key_that_nobody_has_meets_the_policy(sandbox: Sandbox, agent: BareAgent, policy: str):
    sandbox.link.script.switch("unknown_key", policy)
    answer = await agent.join("f" * 128)
    assert answer["success"] is (policy in ("second", "kick"))
    if policy == "second":
        assert agent.of("kicked") == []
        second = await BareAgent().connect(sandbox.link_url)
        await second.join("f" * 128)
        await until(lambda: second.of("kicked"))
        await second.close()
    if policy in ("second", "kick"):
        await until(lambda: agent.of("kicked") == [None])
    if policy == "disconnect":
        await until(lambda: agent.reasons == ["server disconnect"])


async def test_a_code_that_is_too_old_is_nobodys(sandbox: Sandbox, agent: BareAgent):
    sandbox.link.script.switch("unknown_key", "refuse")
    browser = await sandbox.link.browse()
    sandbox.link.relay.instances.code_seconds = -1.0
    assert (await agent.join(browser.code))["success"] is False


async def test_commands_and_statuses_pass_between_the_members_of_a_room_alone(sandbox: Sandbox, agent: BareAgent):
    browser, other = await linked(sandbox, agent), await sandbox.link.browse()
    resource = sandbox.link.resource(300001)
    assert resource["hash"] == resource["hash"].upper() and resource["url"].startswith(sandbox.storage_url)
    name = await browser.send("resources:add", resource=resource)
    await until(lambda: len(agent.of("command")) == 3)
    command = agent.of("command")[-1]
    lower = {**resource, "hash": resource["hash"].lower()}
    await agent.answer({**command, "resource": lower}, "processing", progress=40.0)
    await agent.answer({**command, "resource": lower})
    assert (await browser.finish(name))["status"] == "success"
    assert browser.page.complaints == [] and [a["id"] for a in browser.page.activities] == [name]
    assert other.arrived == [] and agent.of("roomPresence")[-1] == {"client": 1, "sd": 1}


async def test_a_message_over_the_limit_ends_its_senders_connection(sandbox: Sandbox, agent: BareAgent):
    browser = await linked(sandbox, agent)
    await agent.sio.emit("commandStatus", {"type": "resources:list", "resources": ["x" * 1_000_001]})
    await until(lambda: agent.reasons)
    await until(lambda: browser.presence == {"client": 1, "sd": 0})
    assert not browser.linked


async def test_browsers_come_back_after_a_restart_and_agents_hear_of_it(sandbox: Sandbox, agent: BareAgent):
    browser = await linked(sandbox, agent)
    url = sandbox.link_url
    await sandbox.link.relay.restart(away=0.05)
    await until(lambda: agent.reasons)
    second = await BareAgent().connect(url)
    await second.join(browser.key)
    await browser.until_linked()
    await sandbox.link.relay.sever("sd", "drop")
    await until(lambda: second.reasons == ["server disconnect"])
    await second.close()


async def test_a_deleted_instance_kicks_its_room(sandbox: Sandbox, agent: BareAgent):
    browser = await linked(sandbox, agent)
    await browser.forget()
    await until(lambda: agent.of("kicked") == [None] and browser.kicked)


@pytest.mark.parametrize("kind, arrived", [
    ("lost", []), ("twice", [1, 1, 2]), ("swap", [2, 1]), ("late", [2, 1]), ("cut", []), ("drop", []), ("cut after", [1]),
])  # fmt: skip
async def test_a_message_on_its_way_meets_what_the_script_says(
    sandbox: Sandbox, agent: BareAgent, kind: str, arrived: list[int]
):
    browser = await linked(sandbox, agent)
    await until(lambda: len(agent.of("command")) == 2)
    sandbox.link.script.fault("command", kind)
    await browser.send("activities:list", number=1)
    if kind in ("twice", "swap", "late"):
        await browser.send("activities:list", number=2)
    await until(lambda: len(agent.events) and [c.get("number") for c in agent.of("command")[2:]] == arrived)
    if kind in ("cut", "drop", "cut after"):
        await until(lambda: agent.reasons)


async def test_a_join_can_be_late_refused_or_never_answered(sandbox: Sandbox, agent: BareAgent):
    browser = await sandbox.link.browse()
    sandbox.link.script.fault("join", "refused")
    assert (await agent.join(browser.code))["success"] is False
    sandbox.link.script.fault("join", "silent")
    with pytest.raises(socketio.exceptions.TimeoutError):
        await agent.sio.call("join", browser.code, timeout=0.2)
    sandbox.link.script.fault("join", "late", seconds=0.2)
    await agent.join(browser.code)
    assert [name for name, _ in agent.events][:2] == ["upgradeKey", "roomPresence"]  # they overtook the answer


async def test_a_connection_can_fall_silent_and_a_connect_be_refused(sandbox: Sandbox):
    relay = sandbox.link.relay
    await relay.stop()
    relay.connections.ping_interval, relay.connections.ping_timeout = 1, 0.3
    await relay.start()
    for kind in ("refuse", "status"):
        sandbox.link.script.fault("connect", kind)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await BareAgent().connect(sandbox.link_url)
    sandbox.link.script.fault("ping", "silent")
    agent = await BareAgent().connect(sandbox.link_url)
    await until(lambda: agent.reasons)
    assert agent.reasons[0] in ("ping timeout", "transport error")  # either side may notice first
    await agent.close()


async def test_the_rest_calls_show_name_rekey_and_limit_instances(sandbox: Sandbox):
    address, cookie = f"{sandbox.link_url}/api/link", {"Cookie": "__Secure-civitai-token=me"}
    async with aiohttp.ClientSession(headers=cookie) as me, aiohttp.ClientSession() as stranger:
        assert (await stranger.get(address)).status == 401
        first = await (await me.post(address, json={})).json()
        assert first["instanceCount"] == 1 and first["instanceLimit"] == 10 and len(first["key"]) == 6
        again = await (await me.post(address, json={"id": first["id"]})).json()
        assert again["id"] == first["id"] and again["key"] != first["key"]
        await me.put(address, json={"id": first["id"], "name": "Attic"})
        assert [row["name"] for row in await (await me.get(address)).json()] == ["Attic"]
        for _ in range(9):
            await me.post(address, json={})
        assert (await me.post(address, json={})).status == 400
        bearer = {"Authorization": "Bearer me"}
        paired = await stranger.post(
            f"{address}/self", headers=bearer, json={"installId": "a", "legacyKey": again["key"]}
        )
        assert paired.status == 200 and len((await paired.json())["key"]) == 128
        sandbox.link.script.switch("self_answer", 503)
        assert (await stranger.post(f"{address}/self", headers=bearer, json={})).status == 503
        assert await (await me.delete(f"{address}?id={first['id']}")).json() == {"success": True}


async def test_the_control_address_pairs_clicks_and_shows(sandbox: Sandbox, agent: BareAgent):
    async with aiohttp.ClientSession() as session:

        async def do(**wish: Any) -> Any:
            async with session.post(f"{sandbox.orchestration_url}/sandbox/link", json=wish) as answer:
                return await answer.json()

        paired = await do(do="pair")
        await agent.join(paired["code"])
        await until(lambda: len(agent.of("command")) == 2)
        (name,) = (await do(do="add", instance=paired["instance"], versions=[300001]))["ids"]
        await until(lambda: len(agent.of("command")) == 3)
        await agent.answer(agent.of("command")[-1], "error", error="The disk is full, so nothing was added.")
        assert (await do(do="wait", id=name))["status"] == "error"
        state = await do(do="state")
        assert state["linked"] and "the hash came back in capitals" in state["complaints"][0]
        assert "error" in await do(do="trouble", faults=[{"moment": "command", "kind": "no such"}])
        assert (await do(do="wait", id="unknown", seconds=0.05))["error"].startswith("after 0.05 s")
        async with session.get(f"{sandbox.orchestration_url}/sandbox/link/log") as answer:
            assert any(line["event"] == "upgradeKey" for line in await answer.json())


async def test_what_the_page_about_link_shows_of_the_control_address_works_as_it_stands(sandbox: Sandbox):
    lines = re.findall(r"curl -d '(.*)' http://127.0.0.1:8790(\S+)", (ROOT / "docs" / "link.md").read_text())
    assert len(lines) == 3
    async with aiohttp.ClientSession() as session:
        for body, path in lines:
            async with session.post(sandbox.orchestration_url + path, data=body) as answer:
                assert answer.status == 200 and "error" not in await answer.json()


def test_instances_outlive_the_sandbox(tmp_path: Path):
    row = Instances(tmp_path).upgrade(Instances(tmp_path).add("me"))
    assert Instances(tmp_path).by_key(row.key) == row
    (tmp_path / "link-instances.json").write_text("{")
    assert Instances(tmp_path).of("me") == []
    full = Instances()
    for _ in range(10):
        full.add("me")
    with pytest.raises(LimitReached):
        full.add("me")


def status(**fields: Any) -> dict[str, Any]:
    whole = {"type": "resources:add", "id": "a", "status": "success", "updatedAt": NOW, "resource": {"hash": "ab"}}
    return {key: value for key, value in {**whole, **fields}.items() if value is not None}


@pytest.mark.parametrize("message, complaint", [
    ("text", "without a type"),
    (status(type=None), "without a type"),
    (status(status="cancelled"), "no status of the protocol"),
    (status(resource=None), "without resource"),
    (status(resource={"hash": "AB"}), "capitals"),
    (status(updatedAt=None), "updatedAt"),
    (status(progress=101), "progress is 101"),
    (status(status="error", error="no"), "without a sentence"),
    (status(type="activities:list"), "without activities"),
    (status(type="resources:list", resources=["folder"]), "lacks fields"),
    (status(type="resources:list", resources=[{"type": "LORA", "hash": "AB", "name": "n", "hasPreview": ""}]), "64 small"),
])  # fmt: skip
def test_a_page_complains_of_what_it_would_stumble_over(message: Any, complaint: str):
    page = PageState()
    page.take(message)
    assert any(complaint in each for each in page.complaints), page.complaints


def test_a_page_takes_one_end_for_each_command_and_shows_what_is_installed():
    page = PageState()
    for word in ("pending", "processing", "success", "success"):
        page.take(status(status=word))
    assert page.complaints == [] and page.final("a") == status()
    page.take(status(status="error", error="A sentence that says why."))
    assert "after its end came more" in page.complaints[0]
    entry = {"type": "LORA", "hash": "ab" * 32, "name": "x.safetensors", "hasPreview": "", "downloading": True}
    page.take(status(type="resources:list", resources=[entry]))
    assert page.installed("AB" * 32) == "downloading" and page.installed("cd" * 32) == "download"


def test_drawn_faults_hang_on_the_seed_and_spare_what_is_spared():
    def drawn() -> list[Any]:
        script = RelayScript()
        script.at_random(seed=5, chance=0.5, spared=("upgradeKey",))
        assert all(script.next_fault("upgradeKey") is None for _ in range(20))
        return [script.next_fault("command") for _ in range(50)]

    assert drawn() == drawn() and any(drawn()) and None in drawn()


async def test_in_sandbox_mode_link_is_the_sandboxs_own(tmp_path: Path):
    app = App(load=lambda: Settings(home=tmp_path, sandbox=True))
    try:
        settings, _ = await app.connected()
        assert settings.link_url == (await app.sandbox()).link_url != Settings().link_url
    finally:
        await app.close()
