"""Previews, downloads and pictures to collect, as the page asks for them."""

from __future__ import annotations

import asyncio
import io
import os
import zlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from PIL import Image
from routes_room import CHECKPOINT, LORA, Room

from pack.civitai_bridge.errors import BadInput, DownloadStopped, NotAPicture
from pack.civitai_bridge.orchestration.outcome import Terms
from pack.civitai_bridge.orchestration.purchase import PurchasedImage
from pack.civitai_bridge.orchestration.request import GenerationRequest
from pack.civitai_bridge.routes.collecting import collect_answer
from pack.civitai_bridge.routes.context import Asked
from pack.civitai_bridge.routes.page_downloads import PageDownloads
from pack.civitai_bridge.routes.preview import is_of_media_host, smaller, thumbnail
from pack.civitai_bridge.sandbox import files, models
from pack.civitai_bridge.settings import Settings


def picture(size: tuple[int, int] = (900, 600), kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "navy").save(out, kind)
    return out.getvalue()


def claims(width: int, height: int) -> bytes:
    """The head of a PNG that says how large it is, and no pixels."""
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_preview_is_a_small_png_drawn_here(kind: str):
    content = thumbnail(picture(kind=kind), 320)
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("PNG", (320, 213))


@pytest.mark.parametrize(
    "content",
    [b"", b"<svg onload='alert(1)'/>", b"GIF89a" + bytes(20), picture()[:200], claims(12_000, 9_000), claims(0, 0)],
)
def test_what_is_no_picture_or_too_large_is_refused_calmly(content: bytes):
    with pytest.raises(NotAPicture, match="picture"):
        thumbnail(content, 320)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://image.civitai.com/token/uuid/width=450/1.jpeg", True),
        ("http://image.civitai.com/x", False), ("https://image.civitai.com.evil.example/x", False),
        ("https://evil.example/image.civitai.com", False), ("https://me@image.civitai.com/x", False),
        ("https://image.civitai.com:8443/x", False), ("http://127.0.0.1:8188/x", False), ("file:///etc/passwd", False),
        ("https://civitai.com/x", False), ("", False), ("https://[", False),
    ],
)  # fmt: skip
def test_only_civitais_media_hosts_are_asked(url: str, allowed: bool):
    assert is_of_media_host(url, Settings()) is allowed


def test_a_smaller_rendition_is_asked_for():
    assert smaller("https://h/t/u/original=true/1.jpeg", 320) == "https://h/t/u/width=320/1.jpeg"
    assert smaller("https://h/t/u/width=450,optimized=true/1.jpeg", 96) == "https://h/t/u/width=96/1.jpeg"


async def test_the_route_gives_the_picture_with_nothing_active_around_it(room: Room):
    version = await room.app_on_loop(lambda app: app.catalog(), lambda catalog: catalog.resolve(str(CHECKPOINT)))
    url = version.images[0].url
    answer = await room.admin("GET", "/civitai_bridge/preview", params={"url": url, "width": "96"})
    assert answer.status == 200 and answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    for bad in ("", "https://evil.example/x.png", "https://image.civitai.com/" + "x" * 3000):
        assert (await room.admin("GET", "/civitai_bridge/preview", params={"url": bad})).status == 400
    assert (await room.ask("GET", "/civitai_bridge/preview", params={"url": url})).status == 401
    own = f"http://127.0.0.1:{room.port}/civitai_bridge/key"  # a port of this machine, but not the sandbox's
    refused = await room.admin("GET", "/civitai_bridge/preview", params={"url": own})
    assert refused.status == 424 and "not followed" in refused.data["error"]


async def over(room: Room, id_: str) -> dict[str, Any]:
    for _ in range(200):
        downloads = (await room.admin("GET", "/civitai_bridge/downloads")).data["downloads"]
        state = next(download for download in downloads if download["id"] == id_)
        if state["status"] != "loading":
            return state
        await asyncio.sleep(0.02)
    raise AssertionError(state)


async def test_a_model_is_loaded_and_the_page_that_asked_is_told(room: Room):
    body = {"reference": str(LORA), "client_id": "the-page"}
    begun = await room.admin("POST", "/civitai_bridge/download", json=body)
    assert begun.status == 200 and begun.data["reference"] == str(LORA)
    state = await over(room, begun.data["id"])
    assert (state["status"], state["files"], state["error"]) == ("done", ["storybookLight_v2.safetensors"], "")
    path = room.models / "loras" / "storybookLight_v2.safetensors"
    assert path.read_bytes() == files.content(models.VERSIONS[LORA].files[0])
    assert {(event, client) for event, _, client in room.events} == {("civitai_bridge.download", "the-page")}
    assert room.events[-1][1] == state and str(room.models) not in str(room.events)


async def test_a_refusal_is_told_in_a_sentence_and_a_cancel_is_heard(room: Room):
    begun = (await room.admin("POST", "/civitai_bridge/download", json={"reference": "299999999"})).data
    state = await over(room, begun["id"])
    assert (state["status"], state["code"]) == ("failed", "not_found") and state["error"].endswith(".")
    assert (await room.admin("POST", "/civitai_bridge/download/cancel", json={"id": "77"})).status == 400
    for body in ({}, {"reference": ""}, {"reference": 7}, {"reference": "x" * 600}):
        assert (await room.admin("POST", "/civitai_bridge/download", json=body)).status == 400
    begun = (await room.admin("POST", "/civitai_bridge/download", json={"reference": str(LORA)})).data
    await room.admin("POST", "/civitai_bridge/download/cancel", json={"id": begun["id"]})
    assert (await over(room, begun["id"]))["status"] in ("stopped", "done")


async def test_three_load_at_once_and_the_rest_wait_or_are_stopped_before_they_begin():
    downloads, gate, began = PageDownloads(), asyncio.Event(), []

    async def load(progress: Any, cancelled: Any) -> list[Any]:
        began.append(1)
        await gate.wait()
        return []

    every = [downloads.begin(str(number), "", load, lambda _: None) for number in range(5)]
    await asyncio.sleep(0.05)
    assert len(began) == 3 and every[4].text == "It waits for its turn."
    downloads.cancel(every[4].id)
    gate.set()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if not downloads.loading():
            break
    assert [each.status for each in every[:4]] == ["done"] * 4 and len(began) in (4, 5)
    many = [downloads.begin(str(number), "", load, lambda _: None) for number in range(20, 20 + 50)]
    with pytest.raises(BadInput, match="under way"):
        downloads.begin("x", "", load, lambda _: None)
    while downloads.loading():
        await asyncio.sleep(0.01)
    assert len(many) == 50 and len(downloads.all()) <= 101


async def test_two_pages_are_told_of_one_download_and_one_that_was_stopped_is_begun_again():
    downloads, gate, told = PageDownloads(), asyncio.Event(), []

    async def load(progress: Any, cancelled: Any) -> list[Any]:
        await gate.wait()
        if cancelled():
            raise DownloadStopped("Stopped.")
        return []

    def tell(download: Any) -> None:
        told.extend((download.id, client) for client in download.clients)

    first = downloads.begin("1", "a", load, tell)
    assert downloads.joined("1", "b", every=False) is first and downloads.joined("1", "a", every=False) is first
    assert downloads.joined("2", "b", every=False) is None and downloads.joined("1", "b", every=True) is None
    downloads.follow("c")
    downloads.cancel(first.id)
    assert downloads.joined("1", "b", every=False) is None, "it loads nothing any more"
    whole = downloads.begin("1", "b", load, tell, every=True)
    assert downloads.joined("1", "", every=False) is whole, "the file is one of all"
    gate.set()
    while downloads.loading():
        await asyncio.sleep(0.01)
    assert (first.status, whole.status) == ("stopped", "done")
    assert sorted(told) == [(first.id, "a"), (first.id, "b"), (first.id, "c"), (whole.id, "b")]
    assert PageDownloads().begin("1", "", load, tell).id != first.id, "a page still has the ids of a server before"


async def test_what_was_paid_and_not_fetched_is_written_to_the_output_folder_once(room: Room):
    async def buy(fleet: Any) -> Any:
        request = GenerationRequest(model=str(CHECKPOINT), prompt="a red boat", quantity=2)
        return await fleet.generate(request, Terms())

    outcome = await room.app_on_loop(lambda app: app.fleet(), buy)
    answer = await room.admin("POST", "/civitai_bridge/collect", json={})
    (entry,) = answer.data["collected"]
    assert entry["key"] == outcome.key and entry["state"] and len(entry["files"]) == 2
    for file in entry["files"]:
        assert (file["subfolder"], file["type"]) == ("civitai", "output")
        assert os.path.getsize(room.output / "civitai" / file["filename"]) > 100
    assert str(room.output) not in answer.text
    again = await room.admin("POST", "/civitai_bridge/collect", json={})
    assert again.status == 200, again.text
    assert again.data["collected"] == [] and len(os.listdir(room.output / "civitai")) == 2
    named = {"key": outcome.key}
    tabs = await asyncio.gather(*(room.admin("POST", "/civitai_bridge/collect", json=named) for _ in range(3)))
    assert [tab.data["collected"][0]["files"] for tab in tabs] == [entry["files"]] * 3
    assert len(os.listdir(room.output / "civitai")) == 2
    (room.output / "civitai" / entry["files"][0]["filename"]).write_bytes(b"a person's own")
    await room.admin("POST", "/civitai_bridge/collect", json=named)
    assert len(os.listdir(room.output / "civitai")) == 3, "what is there is never written over"
    assert (await room.admin("POST", "/civitai_bridge/collect", json={"key": [outcome.key]})).status == 400


async def test_what_has_no_picture_yet_is_not_taken_for_collected(room: Room):
    collected: list[str] = []

    class SlowFleet:
        results = None

        async def resume(self, key: str) -> list[Any]:
            slots = (PurchasedImage(0, None, pending=True, reason="not there yet"),)
            row = SimpleNamespace(key="k", workflow_id="w", slots=slots, state="finished", cost=1, error="")
            return [row, SimpleNamespace(**{**vars(row), "key": "other", "state": "accepted", "slots": ()})]

        async def collected(self, key: str) -> None:
            collected.append(key)

    async def fleet() -> Any:
        return SlowFleet()

    answer = await collect_answer(replace(room.context, fleet=fleet), Asked())
    assert [entry["files"] for entry in answer["collected"]] == [[], []] and collected == []
    assert answer["message"] == "Nothing was there to collect. One order is still under way."


async def test_an_output_folder_that_cannot_be_written_is_said_without_its_path(room: Room):
    room.output.write_text("a file stands where the folder should be")
    answer = await room.admin("POST", "/civitai_bridge/collect", json={})
    assert answer.status == 500 and "output folder" in answer.data["error"] and str(room.output) not in answer.text
    room.forget(key="")
    answer = await room.admin("POST", "/civitai_bridge/price", json={"prompt": {}})
    assert answer.data == {"nodes": [], "total": 0}
