"""A room that asks for too much at once: a thousand files, messages of many megabytes, a disk that is full, what is
being loaded. Everything ends once, and what was here stays."""

from __future__ import annotations

import errno
import os
from collections import Counter
from typing import Any

import pytest
from link_room import LORA, OTHER, Machine, content, sha256, until

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser

PALETTES = tuple(range(300201, 300213, 2))


async def test_a_thousand_adds_at_once_end_once_each_and_load_each_file_once(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    resources = [sandbox.link.resource(version) for version in PALETTES]
    names = [await browser.send("resources:add", resource=resources[number % 6]) for number in range(1000)]
    ends = Counter([(await browser.finish(name, 40))["status"] for name in names])
    assert set(ends) <= {"success", "error"} and ends["success"] >= 6, ends
    busy = {browser.page.final(name)["error"] for name in names if browser.page.final(name)["status"] == "error"}
    assert all("at once" in sentence or "at work already" in sentence for sentence in busy)
    loaded = [path for path in machine.files() if path.endswith(".safetensors")]
    assert len(loaded) == 6
    assert sum(seen.route == "storage" and "/models/" in seen.path for seen in sandbox.requests) == 6
    listed = await browser.finish(await browser.send("activities:list"))
    assert len(listed["activities"]) <= 60 and browser.page.complaints == []


async def test_a_flood_of_questions_is_cut_off_and_the_next_one_is_answered(machine: Machine, browser: Browser):
    await machine.pair(browser)
    names = [await browser.send(kind) for kind in ("resources:list", "vault:sync") for _ in range(150)]
    ends = [await browser.finish(name, 30) for name in names]
    assert sum("Too many" in str(end.get("error")) for end in ends) > 200
    assert (await browser.finish(await browser.send("activities:list")))["status"] == "success"


async def test_what_is_being_loaded_cannot_be_removed_and_arrives_whole(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    sandbox.site.switch("slowness", 0.6)
    sandbox.site.switch("storage_troubles", ["slow"])
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await browser.until(lambda: browser.page.installed(sha256(LORA)) == "downloading")
    entry = next(each for each in browser.page.resources if each["hash"] == sha256(LORA))
    removal = await browser.finish(await browser.send("resources:remove", resource={**entry, "modelName": "X"}))
    assert removal["status"] == "error" and "being loaded" in removal["error"]
    assert (await browser.finish(name))["status"] == "success"
    assert (machine.models / "loras" / "storybookLight_v2.safetensors").read_bytes() == content(LORA)


async def test_a_file_of_the_same_name_is_never_written_over(machine: Machine, browser: Browser, sandbox: Sandbox):
    own = machine.put("loras/storybookLight_v2.safetensors", b"a person's own")
    await machine.pair(browser)
    end = await browser.finish(await browser.send("resources:add", resource=sandbox.link.resource(LORA)))
    assert own.read_bytes() == b"a person's own"
    others = [path for path in machine.files() if path.endswith(".safetensors") and machine.models / path != own]
    assert (end["status"], len(others)) in (("success", 1), ("error", 0))
    assert all((machine.models / path).read_bytes() == content(LORA) for path in others)


async def test_addresses_that_expire_in_the_queue_are_asked_for_anew(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    sandbox.site.switch("signature_seconds", 1)
    sandbox.site.switch("slowness", 0.6)
    sandbox.site.switch("storage_troubles", ["slow"] * 5 + ["expired"])
    resources = [sandbox.link.resource(version) for version in PALETTES]
    names = [await browser.send("resources:add", resource=resource) for resource in resources]
    assert {(await browser.finish(name, 30))["status"] for name in names} == {"success"}
    assert len([path for path in machine.files() if path.endswith(".safetensors")]) == 6


async def test_a_disk_without_room_is_an_error_and_leaves_nothing(machine: Machine, browser: Browser, sandbox: Sandbox):
    machine.change(link_keep_free_gb=10**6)
    await machine.pair(browser)
    end = await browser.finish(await browser.send("resources:add", resource=sandbox.link.resource(LORA)))
    assert end["status"] == "error" and str(machine.models.parent) not in end["error"]
    assert machine.files() == []


async def test_a_disk_that_fills_up_half_way_is_an_error_and_the_next_try_goes_on(
    machine: Machine, browser: Browser, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    await machine.pair(browser)
    real, full = os.write, [True]

    def write(fd: int, data: Any) -> int:
        if full[0] and len(data) > 5000 and ".part" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    resource = sandbox.link.resource(LORA)
    end = await browser.finish(await browser.send("resources:add", resource=resource))
    assert end["status"] == "error" and "full" in end["error"] and str(machine.models.parent) not in end["error"]
    assert [path for path in machine.files() if path.endswith(".safetensors")] == []
    await until(lambda: browser.page.installed(sha256(LORA)) == "download")
    full[0] = False
    assert (await browser.finish(await browser.send("resources:add", resource=resource)))["status"] == "success"


async def test_a_picture_of_fifty_megabytes_is_answered_with_a_sentence(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    relay = sandbox.link.relay
    relay.connections.most_bytes = 200_000_000
    await relay.restart()
    await machine.pair(browser)
    picture = "iVBORw0KGgo" + "A" * 50_000_000
    name = await browser.send("image:img2img", model="ab" * 32, params={"prompt": "x", "initImage": picture})
    end = await browser.finish(name, 30)
    assert end["status"] == "error" and len(str(end)) < 10_000
    assert (await browser.finish(await browser.send("activities:list")))["status"] == "success"
    assert len(machine.file.load().key) == 128


async def test_another_agent_in_the_room_is_none_of_this_ones_business(
    machine: Machine, browser: Browser, sandbox: Sandbox, tmp_path: Any
):
    await machine.pair(browser)
    (tmp_path / "other").mkdir()
    other = Machine(sandbox, tmp_path / "other")
    other.file.upgrade(browser.key)
    await other.start()
    await browser.until(lambda: browser.presence["sd"] == 2)
    name = await browser.send("resources:add", resource=sandbox.link.resource(OTHER))
    await browser.finish(name)
    await until(
        lambda: all([path for path in each.files() if path.endswith(".safetensors")] for each in (machine, other))
    )
    await other.close()
    await browser.until(lambda: browser.presence["sd"] == 1)
    assert (await browser.finish(await browser.send("activities:list")))["status"] == "success"
