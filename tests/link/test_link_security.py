"""The nine points by which an agent is safe against a hostile room, each with a test that names it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from link_room import LORA, OTHER, Machine, content, sha256, until

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser

HOSTILE_NAMES = (
    "../x.safetensors", "..\\x.safetensors", "/etc/x.safetensors", "C:\\x.safetensors", "a/b.safetensors", "..", ".",
    ".hidden.safetensors", "CON.safetensors", "x.safetensors.", "x.safetensors ", "a:b.safetensors", "a\x00.safetensors",
    "a\nb.safetensors", "x" * 300, 7, ["x"],
)  # fmt: skip
HOSTILE_ADDRESSES = (
    "http://civitai.com/x", "https://me:secret@civitai.com/x", "https://169.254.169.254/latest", "https://10.0.0.1/x",
    "file:///etc/passwd", "https://", "ftp://civitai.com/x", "https://[", 7, "x" * 5000,
)  # fmt: skip


async def add(browser: Browser, resource: Any, **fields: Any) -> dict[str, Any]:
    return await browser.finish(await browser.send("resources:add", resource=resource, **fields))


async def test_point_1_a_hostile_name_is_refused_and_names_nothing(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    good = sandbox.link.resource(LORA)
    for name in HOSTILE_NAMES:
        end = await add(browser, {**good, "name": name})
        assert (end["status"], end["error"]) == ("error", "The resource's name is none that a file may have."), name
    assert machine.files() == [] and browser.page.complaints == []


async def test_point_1_an_evil_name_of_the_creator_stays_in_the_folder_and_a_link_leads_nowhere_else(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    for version in (300069, 300071):  # ../../evil.safetensors and CON.safetensors
        resource = {**sandbox.link.resource(version), "name": "plain.safetensors"}
        assert (await add(browser, resource))["status"] == "success"
    assert {Path(path).parts[0] for path in machine.files()} == {"loras"}
    assert {path.name for path in machine.models.parent.iterdir()} <= {"models", "state"}


async def test_point_1_only_formats_that_the_type_has_are_loaded_and_pickles_only_where_the_person_allows_it(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    end = await add(browser, sandbox.link.resource(300031))  # a .pt embedding
    assert end["status"] == "error" and "link_allow_pickle" in end["error"]
    machine.change(allow_pickle=True)
    assert (await add(browser, sandbox.link.resource(300031)))["status"] == "error"
    machine.change(link_allow_pickle=True)
    assert (await add(browser, sandbox.link.resource(300031)))["status"] == "success"


@pytest.mark.parametrize("change", [
    {"hash": "ab" * 31}, {"hash": "zz" * 32}, {"hash": 7}, {"hash": None}, {"type": "Poses"}, {"type": 3}, {"type": ""},
])  # fmt: skip
async def test_point_2_without_a_sha256_and_a_type_nothing_is_looked_up(
    machine: Machine, browser: Browser, sandbox: Sandbox, change: dict[str, Any]
):
    await machine.pair(browser)
    asked = len(sandbox.requests)
    end = await add(browser, {**sandbox.link.resource(LORA), **change})
    assert end["status"] == "error" and end["error"].endswith(".") and len(sandbox.requests) == asked


async def test_point_2_folder_name_and_address_come_from_civitai_never_from_the_room(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    other = sandbox.link.resource(OTHER)
    resource = {**sandbox.link.resource(LORA), "name": "chosenByTheRoom.safetensors", "url": other["url"]}
    assert (await add(browser, resource))["status"] == "success"
    (path,) = [path for path in machine.files() if path.endswith(".safetensors")]
    assert path == os.path.join("loras", "storybookLight_v2.safetensors")
    assert (machine.models / path).read_bytes() == content(LORA)
    for address in HOSTILE_ADDRESSES:
        end = await add(browser, {**resource, "hash": sha256(OTHER), "url": address})
        assert end["status"] == "error" and "address" in end["error"], address


async def test_point_2_a_lora_that_calls_itself_a_checkpoint_and_a_hash_of_nobody_are_refused(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    end = await add(browser, {**sandbox.link.resource(LORA), "type": "Checkpoint"})
    assert end["error"] == "CivitAI says that this file is a LORA, not a Checkpoint; it is not loaded."
    end = await add(browser, {**sandbox.link.resource(LORA), "hash": "ab" * 32})
    assert end["error"].startswith("CivitAI knows no file with the hash abababababab")
    assert machine.files() == []
    assert (await add(browser, sandbox.link.resource(LORA)))["status"] == "success"
    end = await add(browser, {**sandbox.link.resource(LORA), "type": "Checkpoint"})
    assert "is here already, but not as a Checkpoint" in end["error"]


async def test_point_3_the_key_goes_to_the_site_alone(machine: Machine, browser: Browser, sandbox: Sandbox):
    await machine.pair(browser)
    preview = f"{sandbox.site_url}/nowhere.png"
    assert (await add(browser, {**sandbox.link.resource(LORA), "previewImage": preview}))["status"] == "success"
    keyed = {seen.route for seen in sandbox.requests if "the-api-key" in str(seen)}
    assert "storage" not in keyed and "media" not in keyed
    said = json.dumps([line.data for line in sandbox.link.relay.log], default=str)
    assert "the-api-key" not in said and str(machine.models) not in said


async def test_point_4_size_disk_and_queue_have_limits_and_wrong_bytes_never_get_a_name(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    machine.change(link_keep_free_gb=10**6)
    end = await add(browser, sandbox.link.resource(LORA))
    assert "link_keep_free_gb" in end["error"] and str(machine.models) not in end["error"]
    machine.change(link_keep_free_gb=0, link_max_gb=0)
    assert "link_max_gb" in (await add(browser, sandbox.link.resource(LORA)))["error"]
    machine.change(link_max_gb=20, link_downloads="off")
    assert "link_downloads" in (await add(browser, sandbox.link.resource(LORA)))["error"]
    machine.change(link_downloads="on")
    end = await add(browser, sandbox.link.resource(300077))  # the storage sends other bytes
    assert end["status"] == "error" and "other bytes" in end["error"]
    assert [path for path in machine.files() if path.endswith(".safetensors")] == []
    await until(lambda: browser.page.installed(sha256(300077)) == "download")  # the page shows it no longer as loading


async def test_point_4_a_thousand_adds_at_once_each_get_one_end_and_wait_in_a_bounded_queue(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    sandbox.script.fault("site", "slow", times=300, seconds=1.0)
    good = sandbox.link.resource(LORA)
    ids = [await browser.send("resources:add", resource={**good, "hash": f"{n:064x}"}) for n in range(1000)]
    most = 0
    while not all(browser.page.final(id_) for id_ in ids[-5:]):
        most = max(most, len(agent.dispatcher.jobs.now))
        await asyncio.sleep(0.01)
    assert 0 < most <= 100
    assert "Too many" in browser.page.final(ids[-1])["error"]  # type: ignore[index]
    await until(lambda: all(browser.page.final(id_) is not None for id_ in ids), 20)
    assert browser.page.complaints == []


async def test_point_5_only_what_the_index_knows_by_that_hash_inside_model_folders_is_removed(
    machine: Machine, browser: Browser, tmp_path: Path
):
    await machine.pair(browser)
    kept = machine.put("loras/kept.safetensors", content(OTHER))
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(content(LORA))
    os.symlink(outside, machine.models / "loras" / "linked.safetensors")
    await machine.scan()
    for resource in (
        {"type": "LORA", "hash": sha256(300005), "path": "loras/kept.safetensors"},  # a path with another hash
        {"type": "LORA", "hash": sha256(LORA), "path": "loras/linked.safetensors"},  # leads out of the folders
        {"type": "Checkpoint", "hash": sha256(OTHER)},  # of another type
        {"type": "LORA", "hash": "", "path": "../outside.safetensors"},
    ):
        end = await browser.finish(await browser.send("resources:remove", resource={**resource, "modelName": "x"}))
        assert end["status"] == "error", resource
    kept.write_bytes(content(300005))  # other bytes since it was hashed
    entry = {"type": "LORA", "hash": sha256(OTHER), "path": "loras/kept.safetensors", "modelName": "x"}
    end = await browser.finish(await browser.send("resources:remove", resource=entry))
    assert "has changed" in end["error"]
    assert kept.exists() and outside.exists()


async def test_point_5_removals_follow_the_setting(machine: Machine, browser: Browser):
    await machine.pair(browser)
    file = machine.put("loras/x.safetensors", content(LORA))
    await machine.scan()
    machine.change(link_removals="off")
    entry = {"type": "LORA", "hash": sha256(LORA), "modelName": "x"}
    end = await browser.finish(await browser.send("resources:remove", resource=entry))
    assert end["status"] == "error" and "link_removals" in end["error"] and file.exists()
    machine.change(link_removals="trash")
    assert (await browser.finish(await browser.send("resources:remove", resource=entry)))["status"] == "success"
    assert not file.exists() and len(list((machine.models / "loras" / ".civitai-bridge-trash").iterdir())) == 1


async def test_point_6_no_status_names_a_folder_a_key_or_an_address(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    (machine.models / "loras").mkdir(exist_ok=True)
    (machine.models / "loras" / "storybookLight_v2.safetensors").mkdir()  # a folder in the file's place
    os.chmod(machine.models / "loras", 0o500)
    try:
        sandbox.script.fault("download", "tells")
        await add(browser, sandbox.link.resource(LORA))
        await add(browser, sandbox.link.resource(300045))
        await add(browser, sandbox.link.resource(300085))
    finally:
        os.chmod(machine.models / "loras", 0o700)
    said = json.dumps([line.data for line in sandbox.link.relay.log if line.event == "commandStatus"], default=str)
    for secret in (str(machine.models.parent), "the-api-key", browser.key, "X-Amz", sandbox.storage_url):
        assert secret not in said
    lines = json.dumps([line.detail for line in agent.dispatcher.book.lines()])
    assert "the-api-key" not in lines and browser.key not in lines and sandbox.storage_url not in lines
    for name in ("link.json", "link.sqlite3"):
        assert stat.S_IMODE((machine.settings.home / name).stat().st_mode) == 0o600


async def test_point_7_ids_are_capped_repeated_ones_obeyed_once_and_unknown_fields_dropped(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    await browser.send("resources:list", id="x" * 101)
    resource = {**sandbox.link.resource(LORA), "payload": "x" * 1000, "modelName": "a" * 5000 + "\x1b[2J"}
    for _ in range(3):
        await browser.send("resources:add", id="one-id", resource=resource, other="y")
    end = await browser.finish("one-id")
    assert (
        end["status"] == "success" and "payload" not in str(end) and "other" not in end and "url" not in end["resource"]
    )
    assert len(end["resource"]["modelName"]) == 300
    await browser.send("resources:add", id="one-id", resource=sandbox.link.resource(OTHER))
    await until(lambda: len([s for s in browser.page.statuses["one-id"] if s["status"] == "success"]) >= 2)
    assert len(machine.files()) == 3  # the model, its description, and the preview of one version alone
    assert "x" * 101 not in browser.page.statuses and browser.page.complaints == []
    assert [line.type for line in agent.dispatcher.book.lines()].count("resources:add") == 1


async def test_point_9_only_commands_are_heard(machine: Machine, browser: Browser, sandbox: Sandbox):
    agent = await machine.pair(browser)
    await until(lambda: agent.state.browsers == 1)
    state = agent.state
    for event, data in (
        ("commandStatus", {"type": "resources:add", "id": "a", "status": "success", "resource": {}}),
        ("commandStatus", {"type": "resources:list", "resources": []}),
    ):
        await sandbox.link.relay._pass(event, next(iter(sandbox.link.relay.delivery.members)), data)
    done = await browser.finish(await browser.send("activities:list"))
    assert done["activities"] == [] and agent.state == state and "a" not in browser.page.statuses
