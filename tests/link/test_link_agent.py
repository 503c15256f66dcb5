"""The agent stays in its room through every kind of lost connection, and gives its key up only where it must."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest
from link_room import LORA, OTHER, QUICK, Machine, sha256, until

from pack.civitai_bridge.errors import BadInput, Unreachable
from pack.civitai_bridge.link.pairing import BESIDE_A_KEY, CODE_LIVES, Pairing, PairingFile, read_code, read_key
from pack.civitai_bridge.link.runner import LinkRunner
from pack.civitai_bridge.link.session import Session
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser

KEY = "0123456789abcdef" * 8


def events(sandbox: Sandbox, role: str = "sd") -> list[str]:
    return [line.event for line in sandbox.link.relay.log if line.way == "in" and line.role in (role, "")]


@pytest.mark.parametrize("kind", ["cut", "drop"])
async def test_whoever_ends_the_connection_the_agent_comes_back_and_says_who_it_is_first(
    machine: Machine, browser: Browser, sandbox: Sandbox, kind: str
):
    await machine.pair(browser)
    for _ in range(3):
        before = len(events(sandbox))
        await sandbox.link.relay.sever("sd", kind)
        await until(lambda: not browser.linked)
        await browser.until_linked()
        mine = [event for event in events(sandbox)[before:] if event in ("iam", "join")]
        assert mine[:2] == ["iam", "join"]
    assert (await browser.finish(await browser.send("activities:list")))["status"] == "success"
    assert browser.page.complaints == []


async def test_the_relay_starts_again_and_what_ended_meanwhile_is_told(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    sandbox.script.fault("storage", "slow", seconds=0.3)
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await until(lambda: browser.page.statuses.get(name))
    await sandbox.link.relay.stop()
    await until(lambda: any(path.endswith("storybookLight_v2.safetensors") for path in machine.files()))
    await sandbox.link.relay.start()
    assert (await browser.finish(name))["status"] == "success"
    await until(lambda: browser.page.installed(sha256(LORA)) == "installed")
    assert browser.page.complaints == []


@pytest.mark.parametrize("moment, kind", [
    ("connect", "refuse"), ("connect", "status"), ("join", "silent"), ("join", "refused"), ("join", "late"),
    ("join", "drop"), ("join", "cut"),
])  # fmt: skip
async def test_what_goes_wrong_before_the_room_is_joined_is_tried_again_with_the_same_key(
    machine: Machine, browser: Browser, sandbox: Sandbox, moment: str, kind: str
):
    machine.timings = QUICK.__class__(**{**QUICK.__dict__, "join": 0.2})
    await machine.pair(browser)
    key = machine.file.load().key
    await sandbox.link.relay.sever("client", "cut")  # so that the fault meets the agent
    await machine.kill()
    await until(lambda: browser.joined)
    sandbox.link.script.fault(moment, kind, times=2, seconds=0.3)
    await machine.start()
    await browser.until_linked()
    assert machine.file.load().key == key


async def test_a_new_key_is_on_disk_though_the_connection_breaks_with_it(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    sandbox.link.script.fault("upgradeKey", "cut after", times=1)
    await machine.pair(browser)
    assert machine.file.load().key == browser.key


class Fading:
    """A connection that tells of what it is given and is gone with the first word."""

    def __init__(self, on_event: Any, events: list[tuple[str, Any]]) -> None:
        self.on_event, self.events = on_event, events

    async def emit(self, event: str, data: Any = None) -> None:
        for each in self.events:
            self.on_event(*each)
        raise Unreachable("gone")

    async def call(self, event: str, data: Any, timeout: float) -> Any:
        raise Unreachable("gone")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("events, end, secret", [
    ([("upgradeKey", {"key": KEY})], "", KEY),
    ([("upgradeKey", {"key": KEY}), ("kicked", None)], "kicked", KEY),  # and that key is the one to be forgotten
    ([("kicked", None)], "kicked", "abcdef"),
])  # fmt: skip
async def test_what_was_said_before_a_connection_broke_counts(
    machine: Machine, events: list[tuple[str, Any]], end: str, secret: str
):
    agent = await machine.start()
    await machine.running[-1][1]  # no pairing yet
    machine.file.enter("abcdef")
    session = Session(machine.file, machine.file.load(), agent.dispatcher, QUICK, lambda _: None, asyncio.Event())

    async def connect(on_event: Any) -> Any:
        return Fading(on_event, events)

    assert await session.run(connect) == end and session.secret == secret
    assert end or machine.file.load().key == KEY


async def test_a_deleted_link_forgets_its_key_and_ends(machine: Machine, browser: Browser, sandbox: Sandbox):
    agent = await machine.pair(browser)
    sandbox.script.fault("storage", "hang", seconds=20)
    await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await until(lambda: agent.dispatcher.lists.loading.now)
    await browser.forget()
    await until(lambda: machine.running[-1][1].done())
    assert machine.running[-1][1].exception() is None
    assert not machine.file.load() and "ended the link" in agent.state.detail
    assert agent.dispatcher.jobs.now == {} and agent.dispatcher.book.open_jobs() == []


async def test_a_negative_answer_keeps_the_key_and_is_said(machine: Machine, browser: Browser, sandbox: Sandbox):
    await machine.pair(browser)
    await machine.kill()
    sandbox.link.script.fault("join", "refused", times=3)
    agent = await machine.start()
    await until(lambda: agent.state.state == "refused")
    assert "told to refuse" in agent.state.detail and machine.file.load().key
    await browser.until_linked()


async def test_a_code_that_is_not_taken_is_given_up_and_the_key_of_before_stays(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    key = machine.file.load().key
    sandbox.link.script.switch("unknown_key", "refuse")
    machine.file.enter("abcdef")
    await until(lambda: not machine.file.load().code)
    await browser.until_linked()
    assert machine.file.load().key == key and agent.state.state == "joined"


async def test_unpairing_in_another_process_ends_the_agent_and_what_it_was_asked_for(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    sandbox.script.fault("storage", "hang", seconds=20)
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await until(lambda: browser.page.statuses.get(name))
    PairingFile(machine.settings.home).forget_all()
    await until(lambda: machine.running[-1][1].done())
    assert "leave" in events(sandbox) and agent.dispatcher.book.open_jobs() == []


async def test_what_a_forgotten_room_asked_for_is_not_done_for_the_next_one(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    sandbox.script.fault("storage", "hang", seconds=20)
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await until(lambda: browser.page.statuses.get(name))
    await machine.kill()
    runner = LinkRunner(lambda: machine.settings, machine.start)
    assert await runner.unpair() and not await runner.unpair()
    second = await sandbox.link.browse()
    sandbox.script.faults.clear()
    agent = await machine.pair(second)
    assert agent.dispatcher.book.open_jobs() == [] and machine.files() == []


async def test_two_processes_on_one_state_folder_are_one_agent(machine: Machine, browser: Browser):
    await machine.pair(browser)
    second = await machine.start()
    await until(lambda: second.state.state == "elsewhere")
    assert browser.presence == {"client": 1, "sd": 1}
    machine.running.insert(0, machine.running.pop())
    machine.apps.insert(0, machine.apps.pop())
    machine.networks.insert(0, machine.networks.pop())
    await machine.kill()  # the first; the second takes over
    await until(lambda: second.state.state == "joined")
    await browser.until_linked()
    assert browser.presence == {"client": 1, "sd": 1}


async def test_nothing_runs_and_nothing_is_opened_without_a_pairing(machine: Machine, sandbox: Sandbox):
    agent = await machine.start()
    await asyncio.wait_for(machine.running[-1][1], 5)
    assert agent.state.state == "unpaired" and len(sandbox.link.relay.log) == 0


async def test_a_killed_process_goes_on_with_every_job_in_the_next_one_and_ends_it_once(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    sandbox.script.fault("storage", "hang", times=2, seconds=20)
    names = [await browser.send("resources:add", resource=sandbox.link.resource(v)) for v in (LORA, OTHER)]
    await until(lambda: all(browser.page.statuses.get(name) for name in names))
    await browser.send("activities:cancel", activityId=names[1])
    await until(lambda: browser.page.final(names[1]))
    sandbox.script.fault("storage", "hang", times=1, seconds=20)
    await machine.kill()
    await until(lambda: not browser.linked)
    sandbox.script.faults.clear()
    await machine.start()
    assert (await browser.finish(names[0]))["status"] == "success"
    assert [browser.page.final(name)["status"] for name in names] == ["success", "canceled"]  # type: ignore[index]
    assert sum(path.endswith(".safetensors") for path in machine.files()) == 1
    assert browser.page.complaints == []


def test_codes_and_keys_are_told_apart_from_everything_else():
    assert read_code(" 1F2E3D\n") == "1f2e3d"
    for text in ("", "12345", "1234567", "ghijkl", KEY):
        with pytest.raises(BadInput) as caught:
            read_code(text)
        assert not text or text not in str(caught.value)
    assert read_key({"key": KEY.upper()}) == KEY
    assert [read_key(data) for data in (None, {}, {"key": 7}, {"key": "abcdef"}, {"key": KEY + "0"})] == [""] * 5


def test_the_pairing_file_forgets_only_what_is_meant_and_codes_grow_old(tmp_path: Path):
    now = [1000.0]
    file = PairingFile(tmp_path / "state", clock=lambda: now[0])
    assert not file.load()
    file.upgrade(KEY)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.enter("abcdef")
    assert file.load() == Pairing(KEY, 1000.0, "abcdef", 1000.0) and file.load().secret == "abcdef"
    assert KEY not in repr(file.load()) and "abcdef" not in repr(file.load())
    file.forget("abcdee")
    file.forget("abcdef")
    assert file.load().secret == KEY
    file.enter("abcdef")
    now[0] += BESIDE_A_KEY + 1
    assert file.load().secret == KEY
    file.forget(KEY)
    file.enter("abcdef")
    now[0] += CODE_LIVES - 1
    assert file.load().secret == "abcdef"
    now[0] += 2
    assert not file.load()
    assert file.forget_all() and not file.forget_all() and not file.load()
