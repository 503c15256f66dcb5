"""Downloads on the sandbox: the good road, going on after a kill, several at once."""

from __future__ import annotations

import asyncio
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
from download_room import CHECKPOINT, LORA, Room, blind, content, opened_room
from pack_root import ROOT

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.errors import (
    DownloadDamaged,
    DownloadStopped,
    DownloadTrouble,
)
from pack.civitai_bridge.model_files.hashing import BLAKE3, EVERY
from pack.civitai_bridge.model_files.progress import DownloadProgress
from pack.civitai_bridge.network.exchange import Request
from pack.civitai_bridge.sandbox import files, models


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened_room(tmp_path) as opened:
        yield opened


async def test_a_file_arrives_whole_verified_and_alone(room: Room):
    seen: list[DownloadProgress] = []
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
    room.sandbox.site.switch("storage_troubles", ["wrong", "wrong"])
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

    def watch(name: str) -> Callable[[DownloadProgress], None]:
        def told(progress: DownloadProgress) -> None:
            nonlocal most
            running.add(name)
            most = max(most, len(running))

        return told

    async def one(number: int) -> None:
        version_id = 300201 + 2 * number
        file = await room.file(version_id)
        await downloads.load(version_id, file, room.folder / file.name, progress=watch(file.name))
        running.discard(file.name)

    room.sandbox.site.delay = 0.1
    await asyncio.gather(*(one(number) for number in range(6)))
    assert most == 2 and len(room.left()) == 6


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
    with pytest.raises(DownloadStopped, match=r"was stopped\.$"):
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
from civitai_bridge.cli.console import stopped_by_ctrl_c
from civitai_bridge.errors import DownloadStopped
from civitai_bridge.model_files.download import Downloads
from civitai_bridge.network.client import HttpClient
from civitai_bridge.settings import Settings
from civitai_bridge.website import SiteClient

async def main():
    async with HttpClient() as network:
        network.allow_loopback({storage!r})
        file = (await SiteClient(network.send_to({site!r})).version({version})).files[0]
        downloads = Downloads(Settings(key="me", site_url={site!r}), network.send_to({site!r}, "me"), network.open_file, piece=65536)
        print("ready", flush=True)
        show = lambda progress: print(progress.bytes, flush=True)
        with stopped_by_ctrl_c() as stopped:
            try:
                landed = await downloads.load({version}, file, Path({target!r}), progress=show, cancelled=stopped.is_set)
            except DownloadStopped as error:
                return print(error)
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
    room.sandbox.site.switch("storage_troubles", ["hang"])
    process = await worker(room)
    part = room.folder / f"x.safetensors.{hashlib.sha256(data).hexdigest()[:12]}.part"
    assert await process.stdout.readline() == b"ready\n"
    while not part.exists() or part.stat().st_size < 500_000:
        await asyncio.sleep(0.05)
    process.kill()
    await process.wait()
    assert not (room.folder / "x.safetensors").exists() and part.exists()
    landed = await room.load(CHECKPOINT)
    assert landed.path.read_bytes() == data and landed.resumed >= 500_000 and room.left() == ["x.safetensors"]


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


async def test_what_has_arrived_when_a_person_stops_it_is_said_and_gone_on_with(room: Room):
    room.sandbox.site.switch("storage_troubles", ["hang"])
    room.downloads = room.with_key("me", piece=65536)
    half = len(content(CHECKPOINT)) // 2
    part = room.folder / f"x.safetensors.{hashlib.sha256(content(CHECKPOINT)).hexdigest()[:12]}.part"
    with pytest.raises(DownloadStopped, match=r"stopped; the 0\.6 MB that have arrived are kept"):
        await room.load(CHECKPOINT, cancelled=lambda: part.exists() and part.stat().st_size > half - 65536)
    assert room.left() == [part.name]
    assert (await room.load(CHECKPOINT)).resumed >= half - 65536


async def test_what_cannot_be_gone_on_with_is_not_left_behind(room: Room):
    room.sandbox.site.switch("storage_troubles", ["hang"])
    room.downloads = room.with_key("me", piece=1024)
    with pytest.raises(DownloadStopped, match=r"was stopped\.$"):
        await room.load(300035, cancelled=lambda: any(path.stat().st_size for path in room.folder.iterdir()))
    assert room.left() == []


@pytest.mark.skipif(os.name == "nt", reason="a process is ended in another way there")
async def test_a_program_that_is_told_to_end_stops_as_with_ctrl_c(room: Room):
    room.sandbox.site.switch("storage_troubles", ["hang"])
    half = len(content(CHECKPOINT)) // 2
    part = room.folder / f"x.safetensors.{hashlib.sha256(content(CHECKPOINT)).hexdigest()[:12]}.part"
    process = await worker(room)
    while not room.seen("storage"):
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    process.terminate()
    out, _ = await process.communicate()
    assert b"are kept for the next time" in out and room.left() == [part.name], "and no lock stays"
    assert half - 65536 < part.stat().st_size <= half
