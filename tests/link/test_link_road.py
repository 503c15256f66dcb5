"""A machine is paired once, and its models are managed from the site's pages: the whole road over the sandbox's
relay."""

from __future__ import annotations

import stat

from link_room import LORA, OTHER, Machine, content, sha256, until

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser


async def test_a_code_becomes_a_key_and_the_sites_first_questions_are_answered(machine: Machine, browser: Browser):
    agent = await machine.pair(browser)
    await until(lambda: browser.page.lists)
    pairing = machine.file.load()
    assert (pairing.key, pairing.code) == (browser.key, "")
    assert stat.S_IMODE(machine.file.path.stat().st_mode) == 0o600
    await until(lambda: agent.state.sentence.startswith("Linked; one page"))
    assert browser.page.complaints == []
    assert browser.key not in str(machine.told)


async def test_a_click_adds_a_model_and_another_removes_it(machine: Machine, browser: Browser, sandbox: Sandbox):
    await machine.pair(browser)
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    end = await browser.finish(name)
    assert (end["status"], end.get("error"), end["resource"]["hash"]) == ("success", None, sha256(LORA))
    assert [(machine.models / path).read_bytes() for path in machine.files() if path.endswith(".safetensors")] == [
        content(LORA)
    ]
    words = [status["status"] for status in browser.page.statuses[name]]
    assert words[0] == "pending" and words.count("success") == 1
    await until(lambda: browser.page.installed(sha256(LORA)) == "installed")
    entry = next(entry for entry in browser.page.resources if entry["hash"] == sha256(LORA))
    removal = await browser.send("resources:remove", resource={**entry, "modelName": "Ink"})
    assert (await browser.finish(removal))["status"] == "success"
    await until(lambda: browser.page.installed(sha256(LORA)) == "download")
    assert [path for path in machine.files() if path.endswith(".safetensors")] == []
    assert browser.page.complaints == []


async def test_the_documents_array_is_one_command_with_a_status_each(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    resources = [sandbox.link.resource(LORA), {**sandbox.link.resource(OTHER), "type": "lora"}]
    end = await browser.finish(await browser.send("resources:add", resources=resources))
    assert end["status"] == "success"
    assert [row["status"] for row in end["resources"]] == ["success", "success"]
    assert [row["type"] for row in end["resources"]] == ["LORA", "LORA"]
