"""What the site refuses and what a storage does instead, each in its own words."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from download_room import CHECKPOINT, LORA, Room, answering, blind, content, no_sleep, opened_room

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.errors import (
    BlobUnavailable,
    DownloadDamaged,
    DownloadRefused,
    LogInNeeded,
    Unreachable,
)
from pack.civitai_bridge.model_files.download import Downloads
from pack.civitai_bridge.network.exchange import Response
from pack.civitai_bridge.network.fetch import Opened, open_file
from pack.civitai_bridge.settings import Settings


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened_room(tmp_path) as opened:
        yield opened


REFUSALS = [
    (300013, "me", {}, DownloadRefused, "creator of .* does not allow downloads"),
    (300041, "me", {}, DownloadRefused, "creator of .* does not allow downloads"),
    (LORA, "", {}, LogInNeeded, "asks for a log-in .*civitai-bridge login"),
    (LORA, "expired", {}, LogInNeeded, "does not accept your API key"),
    (300045, "me", {}, DownloadRefused, "early access until 2099-01-01T00:00:00.000Z"),
    (300047, "me", {}, DownloadRefused, r"sold by its creator\. Buy access on its page \(version 300047\)\.$"),
    (300049, "me", {}, DownloadRefused, "private, and its creator has not let"),
    (300055, "me", {}, DownloadRefused, "deleted, unpublished or replaced"),
    (300057, "me", {}, DownloadRefused, "deleted, unpublished or replaced"),
    (300059, "me", {}, DownloadRefused, "deleted, unpublished or replaced"),
    (999999, "me", {}, DownloadRefused, "deleted, unpublished or replaced"),
    (300011, "me", {}, DownloadRefused, "archived"),
    (300083, "me", {}, DownloadRefused, "its storage cannot find it"),
    (LORA, "me", {"blocked": True}, DownloadRefused, "blocked downloads"),
    (LORA, "me", {"quota": 1, "downloads": 1}, DownloadRefused, "unusual amount"),
]


@pytest.mark.parametrize(("version_id", "key", "habits", "error", "words"), REFUSALS)
async def test_each_refusal_has_its_own_sentence(
    room: Room, version_id: int, key: str, habits: dict[str, Any], error: type[DownloadRefused], words: str
):
    for name, value in habits.items():
        room.sandbox.site.switch(name, value)
    room.downloads = room.with_key(key)
    with pytest.raises(error, match=words) as caught:
        await room.load(version_id, blind(version_id))
    assert caught.value.status in (401, 403, 404, 410, 429) and room.left() == []
    assert len([seen for seen in room.sandbox.requests if seen.route == "download"]) == 1


async def test_who_has_bought_early_access_gets_the_file(room: Room):
    room.downloads = room.with_key("bought")
    assert (await room.load(300045)).verified


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (Response(400, {}, b'{"error":"\xe2\x9c\x96 Invalid option"}'), DownloadRefused, "Invalid option"),
        (Response(403, {"content-type": "text/html"}, b"<html>Just a moment"), DownloadRefused, "HTTP 403"),
        (Response(451, {}, b'{"error":"legal"}'), DownloadRefused, "region"),
        (Response(418, {}, b""), DownloadRefused, "HTTP 418"),
        (Response(200, {"content-type": "text/html"}, b"<html>"), DownloadRefused, "HTTP 200"),
        (Response(307, {"location": "https://civitai.com/login?returnUrl=x"}, b""), DownloadRefused, "page instead"),
        (Response(307, {"location": "/model-versions/1"}, b""), DownloadRefused, "page instead"),
        (Response(307, {}, b""), DownloadRefused, "page instead"),
        (Response(307, {"location": "http://storage.example/x"}, b""), DownloadRefused, "not https"),
        (Response(307, {"location": "https://10.0.0.1/x"}, b""), DownloadRefused, "private network"),
        (Response(307, {"location": "file:///etc/passwd"}, b""), DownloadRefused, "not https"),
        (Response(500, {}, b'{"error":"oh"}'), Unreachable, "trouble at the moment"),
        (Response(429, {"retry-after": "0"}, b""), Unreachable, "trouble at the moment"),
    ],
)
async def test_what_the_edge_may_answer_instead(tmp_path: Path, response: Response, error: type[Exception], words: str):
    async def send(_: object) -> Response:
        return response

    def open_(url: str, headers: Any) -> Any:
        return open_file(lambda *_: contextlib.nullcontext(None), url, headers)  # type: ignore[arg-type, return-value]

    downloads = Downloads(Settings(home=tmp_path), send, open_, sleep=no_sleep)
    with pytest.raises(error, match=words):
        await downloads.load(1, blind(), tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trouble", ["cut", "expired", "slow"])
async def test_a_storage_that_breaks_off_or_forgets_is_asked_again(room: Room, trouble: str):
    room.sandbox.site.switch("slowness", 0.1)
    room.sandbox.site.switch("storage_troubles", [trouble])
    assert (await room.load(CHECKPOINT)).path.read_bytes() == content(CHECKPOINT)


async def test_what_arrived_before_a_break_is_not_loaded_again(room: Room):
    room.sandbox.site.switch("storage_troubles", ["cut"])
    await room.load(CHECKPOINT)
    ranges = [seen.headers.get("Range") for seen in room.seen("storage")]
    half = len(content(CHECKPOINT)) // 2
    assert ranges == [None, f"bytes={half}-"]
    assert "If-Range" in room.seen("storage")[1].headers


async def test_a_storage_without_ranges_starts_again(room: Room):
    room.sandbox.site.switch("storage_troubles", ["cut", "no range"])
    assert (await room.load(CHECKPOINT)).verified


async def test_wrong_bytes_are_loaded_once_more(room: Room):
    room.sandbox.site.switch("storage_troubles", ["wrong"])
    seen: list[str] = []
    loaded = await room.load(CHECKPOINT, progress=lambda progress: seen.append(progress.text))
    assert loaded.path.read_bytes() == content(CHECKPOINT) and len(room.seen("storage")) == 2
    assert any("not those that CivitAI states" in text for text in seen)


async def test_wrong_bytes_are_thrown_away(room: Room):
    with pytest.raises(DownloadDamaged, match="other bytes than CivitAI states"):
        await room.load(300077)
    assert room.left() == []


async def test_a_size_that_is_not_the_stated_one_is_refused_before_the_first_byte(room: Room):
    with pytest.raises(DownloadDamaged, match="and CivitAI states"):
        await room.load(300081)
    assert room.left() == []


async def test_a_storage_that_always_breaks_off_is_given_up_and_its_bytes_are_kept(room: Room):
    with pytest.raises(Unreachable, match="kept"):
        await room.load(300079)
    assert [name for name in room.left() if name.endswith(".part")]


async def test_an_address_that_is_over_at_once_is_asked_for_three_times_at_most(room: Room):
    with pytest.raises(DownloadRefused, match="does not accept the addresses"):
        await room.load(300085)
    assert room.sandbox.site.downloads == 3


async def test_no_storage_at_all_is_unreachable(room: Room):
    @contextlib.asynccontextmanager
    async def away(*_: object) -> AsyncIterator[tuple[Opened, str]]:
        raise Unreachable("storage.example could not be reached.")
        yield

    room.downloads = room.with_key("me", open_=away)
    with pytest.raises(Unreachable, match="could not be reached"):
        await room.load(LORA)


@pytest.mark.parametrize(
    ("status", "headers", "chunks", "error", "words"),
    [
        (200, {"content-type": "text/html", "content-length": "5"}, [b"<html"], DownloadDamaged, "a page instead"),
        (200, {"content-encoding": "gzip", "content-length": "5"}, [b"12345"], DownloadDamaged, "packed"),
        (200, {}, [b"12345"], DownloadDamaged, "does not say how large"),
        (206, {"content-range": "bytes 0-4/*"}, [b"12345"], DownloadDamaged, "does not say how large"),
        (200, {"content-length": "24576"}, [bytes(24577)], DownloadDamaged, "more of"),
        (200, {"content-length": "24576"}, [bytes(24000)], Unreachable, "24000 of 24576|kept"),
        (206, {"content-range": "bytes 5-9/10"}, [b"12345"], Unreachable, "another part"),
        (206, {"content-range": "nonsense"}, [b"12345"], Unreachable, "another part"),
        (416, {"content-range": "bytes */10"}, [], Unreachable, "not the rest"),
        (503, {}, [], Unreachable, "HTTP 503"),
        (404, {}, [], DownloadRefused, "does not accept the addresses"),
    ],
)
async def test_odd_answers_of_a_storage(
    room: Room, status: int, headers: dict[str, str], chunks: list[bytes], error: type[Exception], words: str
):
    room.downloads = room.with_key("me", open_=answering(status, headers, *chunks))
    with pytest.raises(error, match=words):
        await room.load(LORA, blind(LORA))
    assert "x.safetensors" not in room.left()


async def test_a_stranger_s_redirect_into_a_private_network_is_not_followed():
    redirect = answering(307, {"location": "https://192.168.0.1/x"})

    @contextlib.asynccontextmanager
    async def open_(url: str, headers: Any) -> AsyncIterator[Opened]:
        async with redirect() as (answer, _):
            yield answer

    with pytest.raises(BlobUnavailable, match="private network"):
        async with open_file(open_, "https://storage.example/x", {}):
            pass


@pytest.mark.parametrize(
    "location",
    ["https://[bad/x?sig=SECRET", "https://storage.example:99999/x?sig=SECRET", "https://h\u2100/x?sig=SECRET", "//"],
)
async def test_a_storage_that_is_no_address_is_a_sentence(room: Room, location: str):
    async def send(_: object) -> Response:
        return Response(307, {"location": location}, b"")

    room.downloads = room.with_key("me", send=send)
    with pytest.raises(DownloadRefused) as caught:
        await room.load(LORA)
    assert "SECRET" not in str(caught.value) and room.left() == []


def without_length(*endings: int | None) -> Any:
    """A storage that says no size and breaks off after so many bytes of the whole, once for each ending."""
    data, calls = content(CHECKPOINT), []

    @contextlib.asynccontextmanager
    async def open_(_: str, headers: Mapping[str, str]) -> AsyncIterator[tuple[Opened, str]]:
        start = int(headers.get("range", "bytes=0-")[6:-1])
        calls.append(start)
        end = endings[len(calls) - 1]

        async def body() -> AsyncIterator[bytes]:
            for place in range(start, len(data) if end is None else end, 50_000):
                yield data[place : min(place + 50_000, len(data) if end is None else end)]

        answer = {"content-range": f"bytes {start}-{len(data) - 1}/*"} if start else {}
        yield Opened(206 if start else 200, answer, body()), "https://storage.example/x"

    return open_, calls


@pytest.mark.parametrize("ending", [None, 600_000])
async def test_a_storage_that_does_not_say_how_much_there_is_can_be_loaded_from(room: Room, ending: int | None):
    open_, calls = without_length(ending, None)
    room.downloads = room.with_key("me", open_=open_)
    loaded = await room.load(CHECKPOINT)
    assert loaded.path.read_bytes() == content(CHECKPOINT) and loaded.verified
    assert calls == ([0] if ending is None else [0, 600_000])


async def test_addresses_that_are_over_after_a_while_are_asked_for_as_long_as_there_is_progress(room: Room):
    data, served = content(CHECKPOINT), 0

    @contextlib.asynccontextmanager
    async def open_(address: str, headers: Mapping[str, str]) -> AsyncIterator[tuple[Opened, str]]:
        nonlocal served
        start = int(headers.get("range", "bytes=0-")[6:-1])
        served += 1

        async def body() -> AsyncIterator[bytes]:
            yield data[start : start + 100_000]

        if served % 2 == 0:  # each address is good for one request
            yield Opened(403, {}, body()), address
            return
        size = {"content-length": str(len(data)), "content-range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        yield Opened(206 if start else 200, size, body()), address

    room.downloads = room.with_key("me", open_=open_)
    assert (await room.load(CHECKPOINT)).path.read_bytes() == data
    assert room.sandbox.site.downloads == 12
