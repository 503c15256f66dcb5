"""Downloads on a disk that is full, read-only, without links or without locks, and under odd names."""

from __future__ import annotations

import asyncio
import errno
import gc
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from download_room import CHECKPOINT, LORA, Room, blind, content, opened_room
from filelock import FileLock

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.errors import (
    DownloadForbidden,
    DownloadTrouble,
    NoRoom,
)
from pack.civitai_bridge.model_files.names import LONGEST_TAKEN, safe_name
from pack.civitai_bridge.model_files.partial import PartialFile


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with opened_room(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("size", [1, 1000, 65536, 300_000, 5_000_000])
async def test_chunks_of_any_size_are_written_and_hashed_alike(tmp_path: Path, size: int):
    data = os.urandom(min(5_000_001, size * 700))

    async def chunks(start: int) -> AsyncIterator[bytes]:
        for place in range(start, len(data), size):
            yield data[place : place + size]

    async with PartialFile(tmp_path / "x.part", keep=True) as part:
        assert not await part.take(chunks(0), len(data) - 1, lambda: None)
        kept = part.size
        assert kept == (len(data) - 1) // size * size
        assert await part.take(chunks(kept), len(data), lambda: None)
        assert await part.finish() == hashlib.sha256(data).hexdigest() and part.size == len(data)
    assert (tmp_path / "x.part").read_bytes() == data
    async with PartialFile(tmp_path / "x.part", keep=True) as part:
        assert part.resumed == len(data) and await part.finish() == hashlib.sha256(data).hexdigest()


async def test_a_full_disk_is_seen_before_the_first_byte(room: Room):
    room.downloads = room.with_key("me", free=lambda _: 64 * 1024 * 1024 + 1000)
    with pytest.raises(NoRoom, match=r"0\.07 GB free"):
        await room.load(CHECKPOINT)
    assert "x.safetensors" not in room.left()


async def test_downloads_do_not_promise_the_same_room_twice(room: Room):
    spare, size = 64 * 1024 * 1024, len(content(CHECKPOINT))
    room.downloads = room.with_key("me", free=lambda _: spare + size + 1000)
    async with PartialFile(room.folder / "other.part", keep=False) as other:
        with room.downloads.room_for(other, 2000):
            with pytest.raises(NoRoom):
                await room.load(CHECKPOINT)
        assert (await room.load(CHECKPOINT)).verified


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
    real, calls = os.write, 0

    def failing(descriptor: int, content: Any) -> int:
        nonlocal calls
        if len(content) > 1000:  # not the loop's own wake-ups
            calls += 1
        if calls > 1:
            raise OSError(code, os.strerror(code))
        return real(descriptor, content)

    room.downloads = room.with_key("me", piece=65536)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing)
        with pytest.raises(error, match=words) as caught:
            await room.load(CHECKPOINT)
    if error is NoRoom:
        assert "The 0.1 MB that have arrived are kept" in str(caught.value)
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

    monkeypatch.setattr(FileLock, "acquire", refused)
    with pytest.raises(DownloadTrouble, match="read-only, or another user's"):
        await room.load(LORA)


async def test_a_name_that_appears_meanwhile_is_not_written_over(room: Room, monkeypatch: pytest.MonkeyPatch):
    def open_(url: str, headers: Any) -> Any:
        (room.folder / "x.safetensors").write_text("somebody's")
        return room.network.open_file(url, headers)

    room.downloads = room.with_key("me", open_=open_)
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
    room.downloads = room.with_key("me", settings={"home": tmp_path / "state"})
    if everywhere:
        with pytest.raises(DownloadTrouble, match="file system with locks"):
            await room.load(LORA)
    else:
        assert (await room.load(LORA)).verified
    assert [name for name in room.left() if "lock" in name] == []


async def test_a_disk_that_is_full_from_the_start_keeps_nothing_and_says_nothing_else(
    room: Room, monkeypatch: pytest.MonkeyPatch
):
    """Several pieces wait to be written, and every one of them fails."""
    real, unheard = os.write, []

    def failing(descriptor: int, content: Any) -> int:
        if len(content) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, content)

    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context["message"]))
    room.downloads = room.with_key("me", piece=65536)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing)
        with pytest.raises(NoRoom, match=r"used up\)\. Make room"):
            await room.load(CHECKPOINT)
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == [] and room.left() == []


async def test_what_comes_after_a_write_that_failed_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk may have room again a moment later; the next piece would stand in the wrong place."""
    real, calls = os.write, []

    def failing(descriptor: int, content: Any) -> int:
        if len(content) <= 1000:
            return real(descriptor, content)
        calls.append(len(content))
        if len(calls) == 2:
            return real(descriptor, content[:500])
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, content)

    async def chunks() -> AsyncIterator[bytes]:
        for letter in b"abcd":
            yield bytes([letter]) * 2000

    monkeypatch.setattr(os, "write", failing)
    async with PartialFile(tmp_path / "x.part", keep=True, piece=2000) as part:
        with pytest.raises(NoRoom):
            await part.take(chunks(), 8000, lambda: None)
    assert (tmp_path / "x.part").read_bytes() == b"a" * 2000


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("suffix", ["", ".lock"])
@pytest.mark.parametrize("plant", [os.symlink, os.link])
async def test_a_link_that_somebody_planted_is_never_written_through(
    room: Room, tmp_path: Path, plant: Any, suffix: str
):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    part = f"x.safetensors.{hashlib.sha256(content(LORA)).hexdigest()[:12]}.part"
    plant(mine, room.folder / (f".{part}.lock" if suffix else part))
    assert (await room.load(LORA)).verified
    assert mine.read_text() == "precious" and room.left() == ["x.safetensors"]


@pytest.mark.skipif(os.name == "nt", reason="there are none there")
async def test_a_pipe_in_the_place_of_a_part_is_taken_away(room: Room):
    os.mkfifo(room.folder / f"x.safetensors.{hashlib.sha256(content(LORA)).hexdigest()[:12]}.part")
    assert (await room.load(LORA)).verified
