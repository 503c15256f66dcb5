"""Every command of the wire and of the document, in any spelling, answered once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from link_room import LORA, OTHER, Machine, content, sha256, until

from pack.civitai_bridge.catalog.service import download_file
from pack.civitai_bridge.link.add import load_beside_others
from pack.civitai_bridge.link.listing import list_files, types_of
from pack.civitai_bridge.link.outbox import LARGEST
from pack.civitai_bridge.link.questions import ALLOW, DENY, answer, open_questions
from pack.civitai_bridge.model_files.indexed import ModelPath
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser


async def test_activities_are_the_newest_first_as_many_as_asked_and_cleared(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    names = []
    for version in (LORA, OTHER, 300005):
        names.append(await browser.send("resources:add", resource=sandbox.link.resource(version)))
        await browser.finish(names[-1])
    listed = await browser.finish(await browser.send("activities:list"))
    assert [each["id"] for each in listed["activities"]] == names[::-1]
    assert listed["activities"][0]["type"] == "resources:add" and listed["activities"][0]["status"] == "success"
    two = await browser.finish(await browser.send("Activities:List", quantity=2))
    assert [each["id"] for each in two["activities"]] == names[:0:-1]
    assert (await browser.finish(await browser.send("activities:clear")))["activities"] == []
    assert (await browser.finish(await browser.send("activities:list")))["activities"] == []
    assert browser.page.complaints == []


async def test_what_runs_is_cancelled_by_its_id_and_its_list_is_clean_again(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    sandbox.script.fault("storage", "hang", seconds=20)
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await until(lambda: browser.page.installed(sha256(LORA)) == "downloading")
    cancel = await browser.send("activities:cancel", activityId=name)
    assert (await browser.finish(name))["status"] == "canceled"
    assert (await browser.finish(cancel))["status"] == "success"
    await until(lambda: browser.page.installed(sha256(LORA)) == "download")
    again = await browser.finish(await browser.send("activities:cancel", activityId=name))
    assert again["status"] == "error" and browser.page.complaints == []


async def test_the_documents_cancel_ends_one_resource_of_several_by_its_hash(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    sandbox.script.fault("storage", "hang", times=2, seconds=20)
    resources = [sandbox.link.resource(version) for version in (LORA, OTHER)]
    name = await browser.send("resources:add", resources=resources)
    await until(lambda: browser.page.installed(sha256(OTHER)) == "downloading")
    await browser.send_raw({
        "type": "resources:add:cancel", "id": name, "createdAt": "2026-11-28T12:00:00.000Z",
        "resources": [{"type": "lora", "hash": sha256(LORA).upper()}],
    })  # fmt: skip
    ended = await browser.finish(f"{name} resources:add:cancel")
    assert (ended["status"], ended["resources"][0]["status"]) == ("success", "canceled")
    sandbox.script.faults.clear()
    other = await browser.send("resources:add:cancel", resource={"type": "LORA", "hash": sha256(OTHER)})
    assert (await browser.finish(other))["status"] == "success"
    await until(lambda: any(s["status"] == "canceled" for s in browser.page.statuses[name]))
    none = await browser.finish(await browser.send("resources:add:cancel", resource={"hash": "ab" * 32}))
    assert none["status"] == "error"


async def test_of_several_the_good_ones_arrive_and_the_command_says_what_did_not(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    resources = [sandbox.link.resource(version) for version in (LORA, 300045, OTHER)]
    end = await browser.finish(await browser.send("resources:add", resources=resources))
    assert end["status"] == "error" and "early access" in end["error"]
    assert [row["status"] for row in end["resources"]] == ["success", "error", "success"]
    assert "early access" in end["resources"][1]["error"]
    assert sum(path.endswith(".safetensors") for path in machine.files()) == 2


async def test_unknown_commands_and_commands_without_fields_are_answered_with_a_sentence(
    machine: Machine, browser: Browser
):
    await machine.pair(browser)
    for kind in (
        "",
        "resources:explode",
        "RESOURCES:ADD",
        "resources:remove",
        "resources:add:cancel",
        "activities:cancel",
    ):
        end = await browser.finish(await browser.send(kind))
        assert end["status"] == "error" and end["error"].endswith("."), kind
    for fields in ({"resource": 7}, {"resources": {}}, {"resource": {"hash": {}}}, {"resources": [1, 2]}):
        end = await browser.finish(await browser.send("resources:add", **fields))
        assert end["status"] == "error" and isinstance(end["resource"], dict)
    assert browser.page.complaints == []


async def test_what_is_here_already_is_a_success_without_a_download(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    machine.put("loras/mine/renamed.safetensors", content(LORA))
    await machine.pair(browser)
    await machine.scan()
    end = await browser.finish(await browser.send("resources:add", resource=sandbox.link.resource(LORA)))
    assert end["status"] == "success" and machine.files() == ["loras/mine/renamed.safetensors"]
    assert not [seen for seen in sandbox.requests if seen.route == "download"]


async def test_the_same_file_asked_for_twice_is_loaded_once(machine: Machine, browser: Browser, sandbox: Sandbox):
    await machine.pair(browser)
    names = [await browser.send("resources:add", resource=sandbox.link.resource(LORA)) for _ in range(3)]
    assert {(await browser.finish(name))["status"] for name in names} == {"success"}
    assert len([seen for seen in sandbox.requests if seen.route == "download"]) == 1
    assert sum(path.endswith(".safetensors") for path in machine.files()) == 1


async def test_lists_take_types_in_any_spelling_and_are_sent_when_files_change(machine: Machine, browser: Browser):
    machine.put("loras/ink.safetensors", content(OTHER))
    machine.put("vae/sky.safetensors", content(300005))
    await machine.pair(browser)
    await machine.scan()
    await until(lambda: browser.page.installed(sha256(OTHER)) == "installed")
    entry = next(each for each in browser.page.resources if each["hash"] == sha256(OTHER))
    assert entry == {
        "type": "LORA", "hash": sha256(OTHER), "name": "ink.safetensors", "path": "loras/ink.safetensors", "hasPreview": "",
    }  # fmt: skip
    for types, count in ((["lora"], 1), (["hypernet"], 0), (["Vae", "LoCon"], 2), ([], 2), (["nonsense"], 0)):
        end = await browser.finish(await browser.send("resources:list", types=types))
        assert len(end["resources"]) == count, types
    machine.put("loras/second.safetensors", content(LORA))
    await machine.scan()
    await until(lambda: browser.page.installed(sha256(LORA)) == "installed")


def entries(count: int, folder: str = "loras") -> list[ModelPath]:
    return [
        ModelPath(folder, f"sub/model {n:05}.safetensors", f"/nowhere/{n}", 0, 1, f"{n:064x}", "", "", "", "", "", "", mtime_ns=n)
        for n in range(count)
    ]  # fmt: skip


def test_a_list_that_is_too_large_holds_the_newest_and_counts_the_rest():
    import json

    listed = list_files(entries(20_000))
    size = len(json.dumps({"id": "x" * 100, "resources": listed.entries}))
    assert 850_000 < size <= LARGEST and listed.left_out == 20_000 - len(listed.entries)
    assert list_files(entries(100)).entries[0]["name"] == "model 00099.safetensors"
    assert list_files(entries(100)).left_out == 0 and list_files(entries(5, "custom_nodes")).entries == []


def test_files_whose_hash_is_not_sure_are_not_listed():
    known = entries(1)[0]
    assert list_files([known._replace(sha256=""), known._replace(proved=False)]).entries == []
    assert types_of("lora") == () and types_of(["LoCon", "lora", 7]) == ("LORA",)


async def test_with_ask_a_download_waits_for_the_person_who_may_answer_in_another_process(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    machine.change(link_downloads="ask", link_removals="ask")
    book = agent.dispatcher.book
    for word, status in ((DENY, "error"), (ALLOW, "success")):
        name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
        await until(lambda: open_questions(book))
        (question,) = open_questions(book)
        assert "Storybook Light" in question.sentence and browser.page.final(name) is None
        assert answer(book, question.number, word) and not answer(book, question.number, ALLOW)
        assert (await browser.finish(name))["status"] == status
    entry = {"type": "LORA", "hash": sha256(LORA), "modelName": "x"}
    name = await browser.send("resources:remove", resource=entry)
    await until(lambda: open_questions(book))
    await machine.kill()
    await machine.start()
    book = machine.running[-1][0].dispatcher.book
    (question,) = open_questions(book)  # the question outlives the process
    assert answer(book, question.number, ALLOW)
    assert (await browser.finish(name))["status"] == "success"
    assert open_questions(book) == []


async def test_a_person_who_says_nothing_for_too_long_is_a_no(machine: Machine, browser: Browser, sandbox: Sandbox):
    machine.timings = replace(machine.timings, patience=0.1)
    await machine.pair(browser)
    machine.change(link_downloads="ask")
    end = await browser.finish(await browser.send("resources:add", resource=sandbox.link.resource(LORA)))
    assert end["status"] == "error" and "in time" in end["error"]


async def test_a_preview_is_fetched_from_media_hosts_alone_and_kept_beside_the_file(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    elsewhere = "https://pictures.example/x.png"
    resource: Any = {**sandbox.link.resource(LORA), "previewImage": elsewhere}
    assert (await browser.finish(await browser.send("resources:add", resource=resource)))["status"] == "success"
    assert "loras/storybookLight_v2.preview.png" in machine.files()  # the creator's own
    assert not [seen for seen in sandbox.requests if "pictures.example" in seen.path]


async def test_the_rooms_preview_stands_before_the_creators(machine: Machine, browser: Browser, sandbox: Sandbox):
    await machine.pair(browser)
    other = await (await machine.apps[-1].catalog()).resolve(str(OTHER))
    rooms = {**sandbox.link.resource(LORA), "previewImage": other.images[0].url}
    for resource in (rooms, sandbox.link.resource(OTHER)):
        assert (await browser.finish(await browser.send("resources:add", resource=resource)))["status"] == "success"
    previews = {(machine.models / path).read_bytes() for path in machine.files() if path.endswith(".preview.png")}
    assert len(previews) == 1


async def test_two_files_of_one_name_at_once_both_arrive(machine: Machine, browser: Browser, sandbox: Sandbox):
    await machine.pair(browser)
    catalog = await machine.apps[-1].catalog()
    one, two = await catalog.resolve(str(LORA)), await catalog.resolve(str(OTHER))
    named_alike = replace(two.files[0], name=one.files[0].name)
    sandbox.script.fault("storage", "slow", times=2, seconds=0.2)
    wanted = ((one, one.files[0]), (replace(two, files=(named_alike,)), named_alike))
    loads = [partial(download_file, catalog, version, file) for version, file in wanted]
    done = await asyncio.gather(*(load_beside_others(load, lambda: False) for load in loads))
    assert {Path(each.path).read_bytes() for each in done} == {content(LORA), content(OTHER)}


async def test_progress_comes_about_once_a_second(machine: Machine, browser: Browser, sandbox: Sandbox):
    agent = await machine.pair(browser)
    began = time.monotonic()
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await browser.finish(name)
    progress = [status for status in browser.page.statuses[name] if status["status"] == "processing"]
    assert len(progress) <= 2 + (time.monotonic() - began)
    assert agent.dispatcher.jobs.now == {}
