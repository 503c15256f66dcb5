"""What a room may try against the person's word, the log, the memory and the one end of each command."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from link_room import LORA, OTHER, Machine, content, sha256, until

from pack.civitai_bridge.errors import StateTrouble, Unreachable
from pack.civitai_bridge.link.add import add
from pack.civitai_bridge.link.book import MOST_JOBS, LinkBook
from pack.civitai_bridge.link.command import LinkContext
from pack.civitai_bridge.link.message import Command
from pack.civitai_bridge.link.outbox import LARGEST, Outbox, fitting
from pack.civitai_bridge.link.questions import ALLOW, answer, ask, open_questions, question
from pack.civitai_bridge.link.runner import LinkRunner, restore_file
from pack.civitai_bridge.link.trash import list_trash
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser
from pack.civitai_bridge.settings import Settings

HALF = "\ud800"


@pytest.fixture
def book(tmp_path: Path):
    book = LinkBook(tmp_path / "link.sqlite3", clock=map(float, count()).__next__)
    yield book
    book.close()


# --- the person's word


def test_what_a_person_said_to_a_forgotten_command_is_no_word_on_a_new_one_of_its_id(book: LinkBook):
    def done(id_: str) -> None:
        book.begin(Command(id_, "resources:add"), "x")
        book.end(id_, {"type": "resources:add", "id": id_, "status": "success"}, 0, "x", "")

    book.begin(Command("a", "resources:add"), "x")
    assert answer(book, ask(book, "a", "Load a picture book?"), ALLOW)
    done("a")
    for number in range(MOST_JOBS + 1):
        done(str(number))
    assert book.begin(Command("a", "resources:add"), "x")[0] is None  # it is obeyed anew
    again = question(book, ask(book, "a", "Load a picture book?"))
    assert again is not None and again.answer == ""


def test_a_word_on_one_question_is_none_on_another_of_the_same_command(book: LinkBook):
    book.begin(Command("a", "resources:add"), "x")
    first = ask(book, "a", "Load one?")
    assert ask(book, "a", "Load one?") == first and answer(book, first, ALLOW)
    second = ask(book, "a", "Load one, two?")
    assert [each.sentence for each in open_questions(book)] == ["Load one, two?"] and second != first
    assert not answer(book, first, ALLOW)
    book.cancel_all()  # the room is forgotten, and nothing of it waits any more
    assert open_questions(book) == []


async def test_with_ask_what_could_not_be_looked_up_when_the_person_was_asked_is_not_loaded(tmp_path: Path):
    asked: list[str] = []

    class Catalog:
        """Its site is away at the first look-up and back at the second."""

        index = SimpleNamespace(files=lambda: SimpleNamespace(by_hash={}))

        async def resolve(self, digits: str) -> Any:
            asked.append(digits)
            if len(asked) == 1:
                raise Unreachable("CivitAI cannot be reached.")
            raise AssertionError("it was asked again, and would have been loaded")

    async def ask_person(sentence: str) -> None:
        raise AssertionError(f"there was nothing to ask about: {sentence}")

    settings = Settings(link_downloads="ask", home=tmp_path)
    context = LinkContext(settings, Catalog(), None, print, ask_person)  # type: ignore[arg-type]
    command = Command("a", "resources:add", fields={"resource": {"type": "LORA", "hash": "ab" * 32}})
    with pytest.raises(Unreachable):
        await add(command, context, lambda *_, **__: None)
    assert asked == ["ab" * 32]


async def test_with_ask_only_the_files_that_the_person_was_asked_about_are_removed(machine: Machine, browser: Browser):
    machine.put("loras/one.safetensors", content(LORA))
    agent = await machine.pair(browser)
    await machine.scan()
    machine.change(link_removals="ask")
    entries = [{"type": "LORA", "hash": sha256(version)} for version in (LORA, OTHER)]
    name = await browser.send("resources:remove", resources=entries)
    await until(lambda: open_questions(agent.dispatcher.book))
    later = (machine.put("loras/copy.safetensors", content(LORA)), machine.put("loras/b.safetensors", content(OTHER)))
    await machine.scan()
    (asked,) = open_questions(agent.dispatcher.book)
    assert asked.sentence == "Move loras/one.safetensors to the trash?"
    answer(agent.dispatcher.book, asked.number, ALLOW)
    end = await browser.finish(name)
    assert [row["status"] for row in end["resources"]] == ["success", "error"]
    assert all(path.is_file() for path in later)
    assert [each.name for each in list_trash(agent.dispatcher.book)] == ["one.safetensors"]


async def test_of_two_copies_the_one_that_the_room_names_is_removed_and_none_for_a_path_that_is_gone(
    machine: Machine, browser: Browser
):
    def kept() -> list[str]:
        return [path for path in machine.files() if not path.endswith(".removed")]

    odd = "what?: " + "n" * 230 + ".safetensors"  # a person may call a file so
    for name in ("one.safetensors", odd):
        machine.put(f"loras/{name}", content(LORA))
    await machine.pair(browser)
    await machine.scan()
    entry = {"type": "LORA", "hash": sha256(LORA), "name": odd, "path": f"loras/{odd}", "modelName": "X"}
    assert (await browser.finish(await browser.send("resources:remove", resource=entry)))["status"] == "success"
    assert kept() == ["loras/one.safetensors"]
    assert (await browser.finish(await browser.send("resources:remove", resource=entry)))["status"] == "error"
    assert kept() == ["loras/one.safetensors"]
    runner = LinkRunner(lambda: machine.settings, machine.start)
    await restore_file(runner, 1)
    assert kept() == ["loras/one.safetensors", f"loras/{odd}"]


# --- the log


async def test_the_log_names_what_is_really_loaded(machine: Machine, browser: Browser, sandbox: Sandbox):
    agent = await machine.pair(browser)
    shown, hidden = sandbox.link.resource(LORA), sandbox.link.resource(OTHER)
    end = await browser.finish(await browser.send("resources:add", resource=shown, resources=[hidden]))
    assert end["status"] == "success" and end["resource"]["hash"] == sha256(LORA)
    assert [path for path in machine.files() if path.endswith(".safetensors")] == [
        "loras/storybookLight_v2.safetensors"
    ]
    lines = [line for line in agent.dispatcher.book.lines() if line.type == "resources:add"]
    assert sha256(LORA)[:12] in lines[0].subject


async def test_the_log_says_how_a_command_ended_that_another_process_had_begun(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    sandbox.script.fault("storage", "hang", seconds=20)
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await until(lambda: browser.page.statuses.get(name))
    await machine.kill()
    sandbox.script.faults.clear()
    agent = await machine.start()
    assert (await browser.finish(name))["status"] == "success"
    lines = [line for line in agent.dispatcher.book.lines() if line.type == "resources:add"]
    assert [line.outcome for line in lines] == ["asked", "success"]
    assert lines[0].subject == lines[1].subject != ""


# --- one end each


HALVES: list[tuple[str, dict[str, Any]]] = [
    ("resources:add", {"resource": {"type": "LORA", "hash": "ab" * 32, "modelName": HALF}}),
    ("resources:add", {"resource": {"type": HALF, "hash": HALF, "name": HALF, "path": HALF}}),
    ("image:txt2img", {"model": "ab" * 32, "params": {"prompt": HALF, "sampler": HALF}}),
    ("image:txt2img", {
        "model": "ab" * 32, "params": {"prompt": "x"},
        "additionalNetworks": [{"type": "lora", "hash": "ab" * 32, "name": HALF}],
    }),
    ("activities:cancel", {"activityId": HALF}),
    (f"odd {HALF}", {}),
]  # fmt: skip


async def test_half_characters_take_no_commands_end_away(machine: Machine, browser: Browser):
    agent = await machine.pair(browser)
    machine.change(link_generate=True)

    async def generate(*_: Any) -> list[bytes]:
        return []

    services = agent.dispatcher.jobs._open_services

    async def with_pictures() -> Any:
        return replace(await services(), generate=generate)

    agent.dispatcher.jobs._open_services = with_pictures
    for kind, fields in HALVES:
        await browser.send_raw({"type": kind, "id": f"id {HALF}", **fields})  # nobody can be answered
        name = await browser.send(kind, **fields)
        answered = name if HALF not in kind else f"{name} odd ?"
        assert (await browser.finish(answered))["status"] == "error", kind
    assert agent.dispatcher.jobs.now == {}
    await until(lambda: {line.type for line in agent.dispatcher.book.lines()} >= {"odd ?", "image:txt2img"})


async def test_a_cancel_that_comes_while_the_end_is_written_does_not_take_it_away(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    jobs, real = agent.dispatcher.jobs, agent.dispatcher.jobs.aside
    written = asyncio.Event()

    async def slow(function: Any, *arguments: Any) -> Any:
        done = await real(function, *arguments)
        if function == jobs.book.end:
            written.set()
            await asyncio.sleep(0.2)
        return done

    jobs.aside = slow  # type: ignore[assignment]
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await until(lambda: jobs.now.get(name))
    job = jobs.now[name]
    await written.wait()
    await jobs.cancel(job)
    assert (await browser.finish(name))["status"] == "success"


async def test_what_is_cancelled_ends_though_the_disk_takes_no_word_of_it(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    sandbox.script.fault("storage", "hang", seconds=20)
    name = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await until(lambda: browser.page.installed(sha256(LORA)) == "downloading")
    blocked = sqlite3.connect(machine.settings.home / "link.sqlite3")
    blocked.execute("CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    blocked.commit()
    with pytest.raises(StateTrouble):
        agent.dispatcher.book.cancel(name)
    await browser.send("activities:cancel", activityId=name)
    assert (await browser.finish(name))["status"] == "canceled"
    blocked.execute("DROP TRIGGER full")
    blocked.commit()
    blocked.close()


async def test_another_command_with_the_id_of_one_that_ran_is_answered_and_not_obeyed(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    agent = await machine.pair(browser)
    sandbox.script.fault("storage", "slow", seconds=0.3)
    resource = sandbox.link.resource(LORA)
    name = await browser.send("resources:add", resource=resource)
    await until(lambda: name in agent.dispatcher.jobs.now)
    await browser.send("resources:remove", id=name, resource=resource)
    removal = f"{name} resources:remove"
    assert "id of its own" in (await browser.finish(removal))["error"]
    assert (await browser.finish(name))["status"] == "success"
    agent.dispatcher.outbox._kept.clear()  # as long after
    await browser.send("resources:remove", id=name, resource=resource)
    await until(lambda: len(browser.page.statuses[removal]) == 2)
    assert "id of its own" in browser.page.statuses[removal][-1]["error"]
    assert (machine.models / "loras" / "storybookLight_v2.safetensors").is_file()


async def test_an_answer_whose_pictures_are_not_kept_says_so_when_it_is_said_again(machine: Machine, browser: Browser):
    agent = await machine.pair(browser)

    async def draw(*_: Any) -> dict[str, Any]:
        return {"images": ["aGVsbG8="], "notes": []}

    agent.dispatcher.jobs.handlers = {"image:txt2img": draw}
    name = await browser.send("image:txt2img")
    assert (await browser.finish(name))["images"] == ["aGVsbG8="]
    (kept,) = agent.dispatcher.book.finals(("image:txt2img",), 9)
    assert kept["images"] == [] and "not kept" in kept["notes"][-1]


# --- another room


async def test_a_later_room_sees_nothing_of_what_a_forgotten_one_asked_for(
    machine: Machine, browser: Browser, sandbox: Sandbox
):
    await machine.pair(browser)
    old = await browser.send("resources:add", resource=sandbox.link.resource(LORA))
    await browser.finish(old)
    await browser.forget()
    await until(lambda: machine.running[-1][1].done())
    await machine.kill()
    second = await sandbox.link.browse()
    agent = await machine.pair(second)
    listed = await second.finish(await second.send("activities:list"))
    assert listed["activities"] == [] and old not in second.page.statuses
    assert any(line.type == "resources:add" for line in agent.dispatcher.book.lines())


# --- what is small to ask and large to answer


def many(number: int = 100, letter: str = "\U0001f3a8") -> list[dict[str, Any]]:
    """Resources that take much room when they are repeated."""
    return [
        {"type": "LORA", "hash": f"{n:064x}", "name": "x", "modelName": letter * 300, "modelVersionName": letter * 300}
        for n in range(number)
    ]


async def test_commands_about_many_long_names_end_once_and_the_activities_fit(machine: Machine, browser: Browser):
    agent = await machine.pair(browser)
    machine.change(link_downloads="off")
    for _ in range(8):
        name = await browser.send("resources:add", resources=many(letter="é"))
        assert "link_downloads" in (await browser.finish(name))["error"]
    listed = await browser.finish(await browser.send("activities:list"))
    assert listed["status"] == "success" and len(listed["activities"]) == 8
    assert len(json.dumps(listed)) < LARGEST
    kept = agent.dispatcher.book.finals(("resources:add",), 60)
    assert max(len(json.dumps(final)) for final in kept) < 20_000


def test_a_status_about_many_stays_what_it_is_and_leaves_its_rows_out():
    status = {
        "type": "resources:add",
        "id": "a",
        "status": "processing",
        "resource": many(1)[0],
        "resources": many(300),
    }
    assert len(json.dumps(status)) > LARGEST
    assert fitting(status) == {key: value for key, value in status.items() if key != "resources"}


async def test_a_list_that_is_asked_for_with_one_id_again_and_again_is_sent_now_and_then(
    machine: Machine, browser: Browser
):
    await machine.pair(browser)
    name = await browser.send("resources:list")
    for _ in range(100):
        await browser.send("resources:list", id=name)
    await browser.finish(await browser.send("activities:list"))
    await asyncio.sleep(0.2)
    assert len(browser.page.statuses[name]) <= 31


async def test_a_question_too_many_is_refused_with_a_list_in_its_place(machine: Machine, browser: Browser):
    await machine.pair(browser)
    kinds = ("activities:list", "activities:clear", "resources:list")
    names = [await browser.send(kind) for kind in kinds for _ in range(80)]
    ends = [await browser.finish(name) for name in names]
    refused = [end for end in ends if end["status"] == "error"]
    assert {end["type"] for end in refused} == set(kinds)
    assert all(isinstance(end.get("activities", end.get("resources")), list) for end in refused)
    assert browser.page.complaints == []


async def test_lists_that_were_sent_are_not_all_kept():
    outbox = Outbox()

    async def emit(_: Any) -> None:
        await asyncio.sleep(0)

    sending = asyncio.ensure_future(outbox.send_all(emit))
    for number in range(50):
        outbox.put({"type": "resources:list", "id": str(number), "status": "success", "resources": [{}] * 100})
        await asyncio.sleep(0.001)
    sending.cancel()
    assert sum(outbox.knows("resources:list", str(number)) for number in range(50)) <= 10
