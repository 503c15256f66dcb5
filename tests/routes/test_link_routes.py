"""The page's Link panel, and that nobody else reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("socketio")
pytest.importorskip("jsonschema")

from aiohttp.test_utils import TestServer
from routes_room import ADMIN, JSON, LORA, Room, serving

from pack.civitai_bridge.link.book import LinkBook
from pack.civitai_bridge.link.pairing import PairingFile
from pack.civitai_bridge.link.runner import LinkRunner
from pack.civitai_bridge.routes.page import PAGE_ROUTES

LINK = [(route.method, route.path) for route in PAGE_ROUTES if route.path.startswith("/civitai_bridge/link")]


@pytest.fixture
async def linked(room: Room) -> AsyncIterator[Room]:
    """The room with a server that can be linked to the sandbox's relay."""
    room.settings = replace(room.settings, link_url=room.sandbox.link_url, link_keep_free_gb=0, link_downloads="ask")
    runner = LinkRunner(
        lambda: room.settings, lambda: room.app.link(notify=lambda news: room.events.append(("", dict(news), "")))
    )
    context = replace(room.context, runner=lambda: runner)
    async with TestServer(serving(context)) as server:
        room.url, room.port = f"http://127.0.0.1:{server.port}", server.port
        yield room
        await asyncio.wrap_future(room.behind.start(runner.stop()))


async def until(true: Any) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


@pytest.mark.parametrize(("method", "path"), LINK)
async def test_point_8_no_other_site_and_no_stranger_pairs_unpairs_or_reads(linked: Room, method: str, path: str):
    for headers in (
        {},
        {"Origin": "https://evil.example", **JSON},
        {"Host": "evil.example", "Origin": "http://evil.example", **JSON},
        {"Content-Type": "text/plain"},
        {"Authorization": "Bearer wrong", **JSON},
    ):
        assert (await linked.ask(method, path, headers)).status == 401
    if method == "POST":
        answer = await linked.ask(method, path, {**ADMIN, "Content-Type": "text/plain"})
        assert answer.status == 415  # what a form of another site can send
        assert (await linked.ask("GET", path, ADMIN)).status in (404, 405)
    assert not linked.home.exists()


async def test_the_page_pairs_answers_cancels_restores_and_unpairs(linked: Room):
    async def post(path: str, **body: Any) -> Any:
        return await linked.ask("POST", f"/civitai_bridge/link{path}", {**ADMIN, **JSON}, json=body)

    async def get(path: str = "") -> Any:
        return (await linked.ask("GET", f"/civitai_bridge/link{path}", ADMIN)).data

    assert (await get())["state"] == "unpaired"
    assert (await post("/pair", code="nonsense")).status == 400 and (await post("/pair")).status == 400
    browser = await linked.sandbox.link.browse()
    assert (await post("/pair", code=browser.code)).status == 200
    await browser.until_linked()
    await until(lambda: PairingFile(linked.home).load().key)
    status = await get()
    assert status["paired"] and browser.key not in str(status)
    resource = linked.sandbox.link.resource(LORA)
    name = await browser.send("resources:add", resource=resource)
    await until(lambda: any("question" in news for _, news, _ in linked.events))
    (question,) = (await get())["questions"]
    assert (await post("/answer", number=99, allow=True)).status == 400
    assert (await post("/answer", number=question["number"], allow=True)).status == 200
    assert (await browser.finish(name))["status"] == "success"
    other = await browser.send("resources:add", resource=linked.sandbox.link.resource(300003))
    await until(lambda: browser.page.statuses.get(other))
    assert [each["id"] for each in (await get())["activities"]] == [other]
    assert (await post("/cancel", id=other)).status == 200 and (await post("/cancel", id=other)).status == 400
    assert (await browser.finish(other))["status"] == "canceled"
    entry = {"type": "LORA", "hash": resource["hash"], "modelName": "x"}
    await browser.finish(await browser.send("resources:remove", resource=entry))
    (removed,) = (await get("/trash"))["removed"]
    assert (await post("/trash/restore", number=removed["number"])).status == 200
    assert (linked.models / "loras" / "storybookLight_v2.safetensors").is_file()
    assert (await post("/trash/restore", number="1")).status == 400
    assert (await post("/trash/empty")).data == {"freed": 0}
    assert {line["type"] for line in (await get("/log?take=50"))["lines"]} >= {"resources:add", "resources:remove"}
    assert (await post("/unpair")).data == {"unpaired": True}
    await until(lambda: not browser.linked)
    assert (await get())["paired"] is False


async def test_a_server_without_a_link_says_so(room: Room):
    assert (await room.ask("GET", "/civitai_bridge/link", ADMIN)).status == 400


async def test_what_was_paired_by_a_command_runs_when_the_page_looks(linked: Room):
    browser = await linked.sandbox.link.browse()
    PairingFile(linked.home).enter(browser.code)
    await linked.ask("GET", "/civitai_bridge/link", ADMIN)
    await browser.until_linked()
    await until(lambda: (linked.home / "link.sqlite3").exists())
    book = LinkBook(linked.home / "link.sqlite3")
    assert book.open_jobs() == []
    book.close()
