"""Downloads on the sandbox: every refusal in its own words, every trouble of a storage, kills, limits, names."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from pack_root import ROOT

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.errors import (
    BlobUnavailable,
    DownloadDamaged,
    DownloadForbidden,
    DownloadRefused,
    DownloadStopped,
    DownloadTrouble,
    LogInNeeded,
    NoRoom,
    Unreachable,
)
from pack.civitai_bridge.model_files import partial as part_module
from pack.civitai_bridge.model_files.download import DownloadedFile, Downloads, Progress, check_allowed, forbidden
from pack.civitai_bridge.model_files.hashing import BLAKE3, EVERY
from pack.civitai_bridge.model_files.names import LONGEST_TAKEN, safe_name
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.network.fetch import Opened, open_file
from pack.civitai_bridge.resources.version import ModelFile
from pack.civitai_bridge.sandbox import Sandbox, files, models
from pack.civitai_bridge.settings import Settings
from pack.civitai_bridge.website import SiteClient

LORA, CHECKPOINT = 300001, 128078


async def no_sleep(_: float) -> None:
    return None


class Room:
    """A sandbox, a network and a folder."""

    def __init__(self, sandbox: Sandbox, network: HttpClient, folder: Path, key: str = "me") -> None:
        self.sandbox, self.network, self.folder = sandbox, network, folder
        self.settings = Settings(key=key, site_url=sandbox.site_url, home=folder)
        self.site = SiteClient(network.send_to(sandbox.site_url))
        self.downloads = self.with_key(key)

    def with_key(self, key: str, **more: Any) -> Downloads:
        send = self.network.send_to(self.sandbox.site_url, key or None)
        more = {"sleep": no_sleep, **more}
        return Downloads(replace(self.settings, key=key), send, self.network.open_file, **more)

    async def file(self, version_id: int, number: int = 0) -> ModelFile:
        return (await self.site.version(version_id)).files[number]

    async def load(self, version_id: int, file: ModelFile | None = None, **more: Any) -> DownloadedFile:
        file = file or await self.file(version_id)
        return await self.downloads.load(version_id, file, self.folder / "x.safetensors", **more)

    def seen(self, host: str) -> list[Any]:
        return [seen for seen in self.sandbox.requests if seen.host == host and "/models/" in seen.path]

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with Sandbox() as sandbox, HttpClient() as network:
        network.allow_loopback(sandbox.storage_url)
        folder = tmp_path / "loras"
        folder.mkdir()
        yield Room(sandbox, network, folder)


def content(version_id: int, number: int = 0) -> bytes:
    return files.content(models.VERSIONS[version_id].files[number])


def blind(version_id: int = 1, name: str = "x.safetensors", **more: Any) -> ModelFile:
    return ModelFile(**{"id": version_id * 10, "name": name, "type": "Model", "size_kb": 24.0, "hashes": {}, **more})


# --- the good road


async def test_a_file_arrives_whole_verified_and_alone(room: Room):
    seen: list[Progress] = []
    landed = await room.load(CHECKPOINT, progress=seen.append)
    data = content(CHECKPOINT)
    assert landed.path.read_bytes() == data and landed.size == len(data) and landed.verified
    assert landed.sha256 == hashlib.sha256(data).hexdigest() and not landed.resumed and not landed.was_there
    assert room.left() == ["x.safetensors"]
    assert seen[0].of_bytes == len(data) and seen[-1].bytes == len(data)
    assert [p.bytes for p in seen] == sorted(p.bytes for p in seen)


async def test_the_key_goes_to_the_site_and_never_to_storage(room: Room):
    await room.load(LORA)
    asked = [seen for seen in room.sandbox.requests if seen.route == "download"]
    assert [seen.headers.get("Authorization") for seen in asked] == ["Bearer me"]
    assert [seen.query for seen in asked] == [f"fileId={LORA * 10}"]
    storage = [seen for seen in room.sandbox.requests if seen.host == "storage"]
    assert storage and not any("Authorization" in s.headers or "token" in s.query for s in storage)


async def test_a_storage_refuses_a_forwarded_key(room: Room):
    """What would happen if it were sent: the sandbox answers as R2 does."""
    answer = await room.downloads.send(Request("GET", f"/api/download/models/{LORA}"))
    address = answer.headers["location"]
    async with room.network.open_file(address, {"authorization": "Bearer me"}) as (answer, _):
        assert answer.status == 400


async def test_a_file_that_is_there_is_not_loaded_again(room: Room):
    await room.load(LORA)
    room.sandbox.requests.clear()
    again = await room.load(LORA)
    assert again.was_there and again.verified and not room.seen("storage")


async def test_another_file_of_the_name_is_left_alone(room: Room):
    (room.folder / "x.safetensors").write_text("mine")
    with pytest.raises(DownloadTrouble, match="already with other bytes"):
        await room.load(LORA)
    assert (room.folder / "x.safetensors").read_text() == "mine"


async def test_a_file_that_is_not_the_primary_one_is_named_by_its_id(room: Room):
    file = await room.file(300027, 1)
    landed = await room.load(300027, file)
    assert landed.path.read_bytes() == content(300027, 1)


async def test_a_vae_that_is_linked_comes_from_its_own_version(room: Room):
    resource = await room.site.version(300025)
    vae = next(file for file in resource.files if file.type == "VAE")
    landed = await room.load(300025, vae)
    assert landed.path.read_bytes() == content(300005)


async def test_a_file_without_hashes_is_held_against_its_size_alone(room: Room):
    landed = await room.load(300035)
    assert not landed.verified and landed.path.read_bytes() == content(300035)


@pytest.mark.parametrize("kind", ["AutoV2", "AutoV3", "CRC32", "BLAKE3"])
async def test_without_a_sha256_any_other_hash_is_checked(room: Room, kind: str):
    stated = files.hashes(models.VERSIONS[LORA].files[0])
    file = replace(await room.file(LORA), hashes={kind.upper(): stated[kind].upper()})
    room.sandbox.site.storage.troubles.append("wrong")
    if kind == "BLAKE3" and BLAKE3 not in EVERY:
        pytest.skip("needs the package blake3")
    with pytest.raises(DownloadDamaged, match=f"{kind.upper()} .*thrown away"):
        await room.load(LORA, file)
    assert room.left() == []
    landed = await room.load(LORA, file)
    assert landed.verified and landed.path.read_bytes() == content(LORA)
    assert (await room.load(LORA, file)).was_there
    landed.path.write_bytes(bytes(landed.size))
    with pytest.raises(DownloadTrouble, match="other bytes"):
        await room.load(LORA, file)


async def test_several_are_loaded_at_once_and_never_more_than_allowed(room: Room):
    downloads = room.with_key("me", at_once=2)
    running, most = set(), 0

    def watch(name: str) -> Callable[[Progress], None]:
        def told(progress: Progress) -> None:
            nonlocal most
            running.add(name)
            most = max(most, len(running))

        return told

    async def one(number: int) -> None:
        version_id = 300201 + 2 * number
        file = await room.file(version_id)
        await downloads.load(version_id, file, room.folder / file.name, progress=watch(file.name))
        running.discard(file.name)

    room.sandbox.site.delay = 0.02
    await asyncio.gather(*(one(number) for number in range(6)))
    assert most == 2 and len(room.left()) == 6


# --- what the site refuses (site-api §6.2), each in its own words

REFUSALS = [
    (300013, "me", {}, DownloadRefused, "creator of .* does not allow downloads"),
    (300041, "me", {}, DownloadRefused, "creator of .* does not allow downloads"),
    (LORA, "", {}, LogInNeeded, "asks for a log-in .*civitai-bridge login"),
    (LORA, "expired", {}, LogInNeeded, "does not accept your API key"),
    (300045, "me", {}, DownloadRefused, "early access until 2099-01-01T00:00:00.000Z"),
    (300047, "me", {}, DownloadRefused, r"early access\. Buy access"),
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


# --- what a storage does


@pytest.mark.parametrize("trouble", ["cut", "expired", "slow"])
async def test_a_storage_that_breaks_off_or_forgets_is_asked_again(room: Room, trouble: str):
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

    room.downloads.open = away  # type: ignore[assignment]
    with pytest.raises(Unreachable, match="could not be reached"):
        await room.load(LORA)


def answering(status: int, headers: dict[str, str], *chunks: bytes) -> Any:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    @contextlib.asynccontextmanager
    async def open_(*_: object) -> AsyncIterator[tuple[Opened, str]]:
        yield Opened(status, headers, body()), "https://storage.example/x"

    return open_


@pytest.mark.parametrize(
    ("status", "headers", "chunks", "error", "words"),
    [
        (200, {"content-type": "text/html", "content-length": "5"}, [b"<html"], DownloadDamaged, "a page instead"),
        (200, {"content-encoding": "gzip", "content-length": "5"}, [b"12345"], DownloadDamaged, "packed"),
        (200, {}, [b"12345"], DownloadDamaged, "does not say how large"),
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
    room.downloads.open = answering(status, headers, *chunks)
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


# --- going on


async def test_a_part_of_an_earlier_run_is_gone_on_with(room: Room):
    file = await room.file(CHECKPOINT)
    data = content(CHECKPOINT)
    part = room.folder / f"x.safetensors.{file.hashes['SHA256'][:12].lower()}.part"
    part.write_bytes(data[:700_000])
    landed = await room.load(CHECKPOINT, file)
    assert landed.resumed == 700_000 and landed.path.read_bytes() == data and room.left() == ["x.safetensors"]
    assert room.seen("storage")[0].headers["Range"] == "bytes=700000-"


async def test_a_part_that_was_whole_needs_nobody(room: Room):
    file = await room.file(LORA)
    (room.folder / f"x.safetensors.{file.hashes['SHA256'][:12].lower()}.part").write_bytes(content(LORA))
    room.sandbox.requests.clear()
    assert (await room.load(LORA, file)).resumed == len(content(LORA)) and room.sandbox.requests == []


@pytest.mark.parametrize("wrong", [b"nonsense", bytes(3_000_000)])
async def test_a_part_with_wrong_bytes_costs_one_more_start(room: Room, wrong: bytes):
    file = await room.file(CHECKPOINT)
    (room.folder / f"x.safetensors.{file.hashes['SHA256'][:12].lower()}.part").write_bytes(wrong)
    landed = await room.load(CHECKPOINT, file)
    assert landed.path.read_bytes() == content(CHECKPOINT) and not landed.resumed


async def test_a_part_of_a_file_without_a_hash_is_not_trusted(room: Room):
    file = await room.file(300035)
    (room.folder / f"x.safetensors.f{file.id}.part").write_bytes(b"old")
    landed = await room.load(300035, file)
    assert landed.path.read_bytes() == content(300035)


async def test_a_person_stops_it_at_once_and_goes_on_later(room: Room):
    room.sandbox.site.delay = 30.0
    began = time.monotonic()
    file = blind(CHECKPOINT)
    with pytest.raises(DownloadStopped, match="kept"):
        await room.load(CHECKPOINT, file, cancelled=lambda: time.monotonic() - began > 0.1)
    assert not [name for name in room.left() if "lock" in name]
    room.sandbox.site.delay = 0.0
    assert (await room.load(CHECKPOINT)).verified


async def test_a_task_that_is_cancelled_lets_go_of_everything(room: Room):
    room.sandbox.site.delay = 30.0
    task = asyncio.ensure_future(room.load(LORA, blind(LORA)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    room.sandbox.site.delay = 0.0
    assert (await room.load(LORA)).verified


_WORKER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from civitai_bridge.model_files import partial
from civitai_bridge.model_files.download import Downloads
from civitai_bridge.network.client import HttpClient
from civitai_bridge.settings import Settings
from civitai_bridge.website import SiteClient

partial.PIECE = 65536

async def main():
    async with HttpClient() as network:
        network.allow_loopback({storage!r})
        file = (await SiteClient(network.send_to({site!r})).version({version})).files[0]
        downloads = Downloads(Settings(key="me", site_url={site!r}), network.send_to({site!r}, "me"), network.open_file)
        print("ready", flush=True)
        landed = await downloads.load({version}, file, Path({target!r}), progress=lambda p: print(p.bytes, flush=True))
        print("done", landed.was_there, landed.resumed, flush=True)

asyncio.run(main())
"""


def worker(room: Room, version_id: int = CHECKPOINT) -> Any:
    script = _WORKER.format(
        root=str(ROOT), storage=room.sandbox.storage_url, site=room.sandbox.site_url, version=version_id,
        target=str(room.folder / "x.safetensors"),
    )  # fmt: skip
    return asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)


async def test_killed_half_way_and_gone_on_with(room: Room):
    data = content(CHECKPOINT)

    async def hang(request: Any, whole: bytes, headers: dict[str, str], trouble: str) -> Any:
        from aiohttp import web

        answer = web.StreamResponse(headers={**headers, "Content-Length": str(len(whole))})
        await answer.prepare(request)
        await answer.write(whole[:900_000])
        await asyncio.sleep(60)
        return answer

    storage = room.sandbox.site.storage
    real = storage._send
    storage._send = hang  # type: ignore[method-assign]
    process = await worker(room)
    part = room.folder / f"x.safetensors.{hashlib.sha256(data).hexdigest()[:12]}.part"
    assert await process.stdout.readline() == b"ready\n"
    while not part.exists() or part.stat().st_size < 800_000:
        await asyncio.sleep(0.05)
    process.kill()
    await process.wait()
    storage._send = real  # type: ignore[method-assign]
    assert not (room.folder / "x.safetensors").exists() and part.exists()
    landed = await room.load(CHECKPOINT)
    assert landed.path.read_bytes() == data and landed.resumed >= 800_000 and room.left() == ["x.safetensors"]


async def test_two_processes_load_one_file_once(room: Room):
    room.sandbox.site.delay = 0.3
    first, second = await worker(room), await worker(room)
    outs = [(await process.communicate())[0].decode().split("done ")[1] for process in (first, second)]
    assert sorted(outs) == ["False 0\n", "True 0\n"]
    assert len(room.seen("storage")) == 1 and room.left() == ["x.safetensors"]


async def test_two_tasks_load_one_file_once(room: Room):
    room.sandbox.site.delay = 0.05
    both = await asyncio.gather(room.load(CHECKPOINT), room.load(CHECKPOINT))
    assert sorted(one.was_there for one in both) == [False, True] and len(room.seen("storage")) == 1


# --- the disk


@pytest.mark.parametrize("size", [1, 1000, 65536, 300_000, 5_000_000])
@pytest.mark.parametrize("scattered", [True, False])
async def test_chunks_of_any_size_are_written_and_hashed_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, scattered: bool
):
    if not scattered:  # as on Windows
        for name in ("writev", "preadv"):
            monkeypatch.delattr(os, name, raising=False)
    data = os.urandom(min(5_000_001, size * 700))

    async def chunks(start: int) -> AsyncIterator[bytes]:
        for place in range(start, len(data), size):
            yield data[place : place + size]

    async with part_module.PartialFile(tmp_path / "x.part", keep=True) as part:
        assert not await part.take(chunks(0), len(data) - 1, lambda: None)
        kept = part.size
        assert kept == (len(data) - 1) // size * size
        assert await part.take(chunks(kept), len(data), lambda: None)
        assert await part.finish() == hashlib.sha256(data).hexdigest() and part.size == len(data)
    assert (tmp_path / "x.part").read_bytes() == data
    async with part_module.PartialFile(tmp_path / "x.part", keep=True) as part:
        assert part.taken == len(data) and await part.finish() == hashlib.sha256(data).hexdigest()


async def test_a_full_disk_is_seen_before_the_first_byte(room: Room):
    room.downloads = room.with_key("me", free=lambda _: 64 * 1024 * 1024 + 1000)
    with pytest.raises(NoRoom, match=r"0\.07 GB free"):
        await room.load(CHECKPOINT)
    assert "x.safetensors" not in room.left()


async def test_downloads_do_not_promise_the_same_room_twice(room: Room):
    spare, size = 64 * 1024 * 1024, len(content(CHECKPOINT))
    room.downloads = room.with_key("me", free=lambda _: spare + size + 1000)
    async with part_module.PartialFile(room.folder / "other.part", keep=False) as other:
        with room.downloads.room_for(other, 2000):
            with pytest.raises(NoRoom):
                await room.load(CHECKPOINT)
        assert (await room.load(CHECKPOINT)).verified


@pytest.mark.skipif(not hasattr(os, "writev"), reason="another call writes here")
@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (errno.ENOSPC, NoRoom, "is full"),
        (errno.EDQUOT, NoRoom, "quota"),
        (errno.EROFS, DownloadTrouble, "read-only"),
        (errno.EIO, DownloadTrouble, "cannot be written"),
    ],
)
async def test_a_disk_that_fails_half_way_keeps_what_is_there(
    room: Room, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception], words: str
):
    room.sandbox.site.switch("storage_troubles", ["cut"])
    real, calls = os.writev, 0

    def failing(descriptor: int, chunks: Any) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(code, os.strerror(code))
        return real(descriptor, chunks)

    monkeypatch.setattr(os, "writev", failing)
    with pytest.raises(error, match=words):
        await room.load(CHECKPOINT)
    monkeypatch.setattr(os, "writev", real)
    landed = await room.load(CHECKPOINT)
    assert landed.verified and landed.resumed


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
async def test_a_read_only_folder_is_named(room: Room):
    room.folder.chmod(0o500)
    try:
        with pytest.raises(DownloadTrouble, match="read-only"):
            await room.load(LORA)
    finally:
        room.folder.chmod(0o700)


async def test_a_folder_that_is_read_only_is_named_whoever_runs_it(room: Room, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pack.civitai_bridge.model_files.download.FileLock.acquire", refused)
    with pytest.raises(DownloadTrouble, match="read-only, or another user's"):
        await room.load(LORA)


async def test_a_name_that_appears_meanwhile_is_not_written_over(room: Room, monkeypatch: pytest.MonkeyPatch):
    real = room.downloads.open

    def open_(url: str, headers: Any) -> Any:
        (room.folder / "x.safetensors").write_text("somebody's")
        return real(url, headers)

    room.downloads.open = open_
    with pytest.raises(DownloadTrouble, match="made by another program"):
        await room.load(LORA)
    assert (room.folder / "x.safetensors").read_text() == "somebody's"


async def test_a_file_system_without_hard_links_will_do(room: Room, monkeypatch: pytest.MonkeyPatch):
    def no_links(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "link", no_links)
    assert (await room.load(LORA)).verified and room.left() == ["x.safetensors"]


@pytest.mark.parametrize("name", ["CON.safetensors", "x ", "a:b.pt", ".hidden", "x\u202e.pt"])
async def test_a_name_that_is_none_is_refused(room: Room, name: str):
    with pytest.raises(DownloadForbidden, match="is no name"):
        await room.downloads.load(LORA, blind(LORA), room.folder / name)


@pytest.mark.parametrize(
    "location",
    ["https://[bad/x?sig=SECRET", "https://storage.example:99999/x?sig=SECRET", "https://h\u2100/x?sig=SECRET", "//"],
)
async def test_a_storage_that_is_no_address_is_a_sentence(room: Room, location: str):
    async def send(_: object) -> Response:
        return Response(307, {"location": location}, b"")

    room.downloads.send = send
    with pytest.raises(DownloadRefused) as caught:
        await room.load(LORA)
    assert "SECRET" not in str(caught.value) and room.left() == []


async def test_a_name_made_while_another_takes_it_is_not_overwritten_without_hard_links(
    room: Room, monkeypatch: pytest.MonkeyPatch
):
    def no_links(part: Path, target: Path) -> None:
        target.write_text("somebody's")
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(Path, "exists", lambda *_, **__: False)  # as it was a moment before
    with pytest.raises(DownloadTrouble, match="made by another program"):
        await room.load(LORA)
    assert (room.folder / "x.safetensors").read_text() == "somebody's"


async def test_a_reserved_name_is_given_back_when_the_file_cannot_come(room: Room, monkeypatch: pytest.MonkeyPatch):
    def no(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "link", no)
    monkeypatch.setattr(os, "replace", no)
    with pytest.raises(DownloadTrouble, match="broken"):
        await room.load(LORA)
    assert "x.safetensors" not in room.left()


@pytest.mark.parametrize("letter", ["x", "é", "日"])
async def test_the_longest_names_can_be_loaded(room: Room, letter: str):
    name = safe_name(letter * 400 + ".safetensors", longest=LONGEST_TAKEN)
    assert (await room.downloads.load(LORA, await room.file(LORA), room.folder / name)).verified
    assert room.left() == [name]


@pytest.mark.skipif(os.name == "nt", reason="there an open file keeps its name")
async def test_a_lock_whose_file_was_removed_meanwhile_does_not_count(room: Room, monkeypatch: pytest.MonkeyPatch):
    taken: list[int] = []
    real = FileLock.acquire

    def acquire(self: FileLock, *more: Any, **named: Any) -> Any:
        got = real(self, *more, **named)
        taken.append(os.stat(self.lock_file).st_ino if os.path.exists(self.lock_file) else 0)
        if len(taken) == 1:  # the holder before removes it now, and a third makes a new one
            os.rename(self.lock_file, room.folder / "away")
        return got

    monkeypatch.setattr(FileLock, "acquire", acquire)
    assert (await room.load(LORA)).verified
    assert len(taken) == 2 and taken[0] != taken[1]
    assert room.left() == ["away", "x.safetensors"]


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_file_system_without_locks(
    room: Room, tmp_path: Path, everywhere: bool, monkeypatch: pytest.MonkeyPatch
):
    real = FileLock.acquire

    def acquire(self: FileLock, *more: Any, **named: Any) -> Any:
        if everywhere or Path(self.lock_file).parent == room.folder:
            raise NotImplementedError("FileSystem does not appear to support flock")
        return real(self, *more, **named)

    monkeypatch.setattr(FileLock, "acquire", acquire)
    room.downloads.settings = replace(room.downloads.settings, home=tmp_path / "state")
    if everywhere:
        with pytest.raises(DownloadTrouble, match="file system with locks"):
            await room.load(LORA)
    else:
        assert (await room.load(LORA)).verified
    assert [name for name in room.left() if "lock" in name] == []


# --- our own rules

OPEN = Settings(graph_downloads="on", max_download_gb=20)
HASHED = blind(hashes={"SHA256": "A" * 64})
RULES = [
    ("a person may", Settings(), blind(), {}, ""),
    ("a graph may not", Settings(), blind(), {"from_graph": True}, "graphs may not download here"),
    ("a graph that may", OPEN, HASHED, {"from_graph": True}, ""),
    ("… and is switched off", OPEN, blind(), {"from_graph": True, "allow_download": False}, "allow_download"),
    ("the setting alone decides", Settings(), blind(), {"from_graph": True, "allow_download": True}, "graph_downloads on"),
    ("an unknown size, a graph", OPEN, blind(size_kb=None), {"from_graph": True}, "how large"),
    ("an unknown size, a person", OPEN, blind(size_kb=None), {}, ""),
    ("too large", OPEN, blind(size_kb=20e9 / 1024 + 1), {}, "max_download_gb 21"),
    ("just not too large", OPEN, replace(HASHED, size_kb=20e9 / 1024), {"from_graph": True}, ""),
    ("pickle", OPEN, blind(name="x.ckpt"), {}, "allow_pickle true"),
    ("pickle in another coat", OPEN, blind(format="PickleTensor"), {}, "run code"),
    ("an unknown ending", OPEN, blind(name="x.exe"), {}, "run code"),
    ("pickle allowed", Settings(allow_pickle=True), blind(name="x.ckpt"), {}, ""),
    ("dangerous all the same", Settings(allow_pickle=True), blind(name="x.ckpt", danger="a virus"), {}, "found a virus"),
    ("gguf", OPEN, replace(HASHED, name="x.gguf"), {"from_graph": True}, ""),
    ("no hash, a graph", OPEN, blind(), {"from_graph": True}, "states no hash"),
    ("a hash of a piece, a graph", OPEN, blind(hashes={"AutoV1": "A" * 8}), {"from_graph": True}, "states no hash"),
    ("a short hash, a graph", OPEN, blind(hashes={"AutoV2": "A" * 10}), {"from_graph": True}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "file", "more", "words"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_who_may_load_what(settings: Settings, file: ModelFile, more: dict[str, bool], words: str):
    reason = forbidden(settings, file, **more)
    assert bool(reason) == bool(words) and words in reason
    with pytest.raises(DownloadForbidden) if words else contextlib.nullcontext():
        check_allowed(settings, file, **more)


async def test_the_limit_holds_where_only_the_storage_knows_the_size(room: Room):
    room.downloads.settings = replace(room.downloads.settings, max_download_gb=0)
    with pytest.raises(DownloadForbidden, match="max_download_gb"):
        await room.load(LORA, blind(LORA, size_kb=None))
    assert "x.safetensors" not in room.left()
