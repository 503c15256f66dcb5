"""Scans: whose the files are, and which hashes they are found by."""

from __future__ import annotations

import asyncio
import hashlib
import json
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from catalog_room import LORA, OTHER, Room, content, digests

from pack.civitai_bridge.errors import (
    BadInput,
)
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.model_files.hashing import EVERY, OPTIONAL, Hashing, digest_file
from pack.civitai_bridge.model_files.progress import HashingProgress


async def test_a_folder_is_identified_in_one_question_and_new_files_alone_in_detail(room: Room):
    for number in range(20):
        room.put(f"loras/{number}.safetensors", content(300201 + 2 * number))
    room.put("loras/mine.safetensors", b"\x02\0\0\0\0\0\0\0{}mine")
    first = await room.catalog.scan()
    assert (first.disk.hashed, first.identified, first.unidentified, first.catalogued) == (21, 20, 1, 0)
    assert room.asked() == ["/api/v1/model-versions/by-hash/ids", "/api/v1/model-versions/by-hash"]
    assert len(first.described) == 20 and "New: Palette" in first.report and len(first.as_json()["new"]) == 20
    room.sandbox.requests.clear()
    second = await room.catalog.scan()
    assert room.asked() == [] and (second.disk.hashed, second.identified, second.described) == (0, 20, ())
    room.put("loras/late.safetensors", content(LORA))
    third = await room.catalog.scan("loras")
    assert [one.version_id for one in third.described] == [LORA] and third.disk.hashed == 1
    assert [len(json.loads(seen.body)) for seen in room.sandbox.requests] == [1, 1]


async def test_what_was_identified_is_known_by_its_version(room: Room):
    room.put("loras/renamed.safetensors", content(LORA))
    await room.catalog.scan()
    room.sandbox.requests.clear()
    answer = (await room.catalog.check(str(LORA), ask=False)).answers[0]
    assert answer.located.status == "not_found" and answer.located.file == "renamed.safetensors"
    assert room.asked() == []


async def test_a_scan_that_cannot_ask_says_so_and_asks_next_time(room: Room):
    room.put("loras/a.safetensors", content(LORA))
    alone = room.nobody()
    scanned = await alone.scan()
    alone.close()
    assert scanned.disk.hashed == 1 and scanned.identified == 0 and "could not be reached" in scanned.trouble
    assert (await room.catalog.scan()).identified == 1


async def test_one_folder_alone_is_scanned_and_the_others_stay_known(room: Room):
    room.put("loras/a.safetensors", content(LORA))
    room.put("vae/b.safetensors", content(300005))
    await room.catalog.scan(identified=False)
    assert (await room.catalog.scan("vae", identified=False)).disk.gone == 0
    (room.models / "vae" / "b.safetensors").unlink()
    by_path = await room.catalog.scan(str(room.models / "vae"), identified=False)
    assert by_path.disk.gone == 1 and {one.folder for one in room.catalog.index.files().all} == {"loras"}


async def test_a_folder_that_is_none_is_refused(room: Room, tmp_path: Path):
    with pytest.raises(BadInput, match="is no folder"):
        await room.catalog.scan("nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="has none in it"):
        await room.catalog.scan(str(tmp_path / "empty"))


async def test_a_scan_that_is_stopped_does_not_ask(room: Room):
    room.put("loras/a.safetensors", content(LORA))
    scanned = await room.catalog.scan(cancelled=lambda: True)
    assert scanned.disk.stopped and room.asked() == [] and "stopped" in scanned.report


async def test_every_hash_that_civitai_states_of_a_file_is_known_offline(room: Room):
    room.put("loras/a.safetensors", content(LORA))
    await room.catalog.scan()
    room.sandbox.requests.clear()
    stated = digests(LORA)
    checked = await room.catalog.check(f"{stated['BLAKE3']}\n{stated['CRC32']}", ask=False)
    assert [answer.located.file for answer in checked.answers] == ["a.safetensors"] * 2 and not checked.note


MINE = b"\x02\0\0\0\0\0\0\0{}mine"  # CivitAI knows nothing of it


@pytest.mark.parametrize("kind", ["CRC32", "BLAKE3"])
async def test_a_hash_of_an_unusual_kind_is_found_after_the_next_scan(kind: str, room: Room):
    digest = partial(digest_file, optional={**OPTIONAL, "BLAKE3": hashlib.sha3_256})
    room.catalog.index.hashing = Hashing(kinds=EVERY | {"BLAKE3"}, digest=digest)
    room.put("loras/mine.safetensors", MINE)
    await room.catalog.scan()
    hash_ = {"CRC32": f"{zlib.crc32(MINE):08X}", "BLAKE3": hashlib.sha3_256(MINE).hexdigest()}[kind]
    first = await room.catalog.check(hash_)
    assert first.answers[0].located.place is None
    assert f"It may be the {kind} of a file here" in first.report and first.as_json()["note"] == first.note
    assert (await room.catalog.scan()).disk.hashed == 1
    second = await room.catalog.check(hash_)
    assert second.answers[0].located.file == "mine.safetensors" and not second.note


async def test_no_kind_is_taken_for_what_is_known_or_what_a_picture_says(room: Room):
    room.put("loras/mine.safetensors", MINE)
    await room.catalog.scan()
    picture = GenerationData(networks=(UsedResource("", name="nobody", hash="01234567"),))
    for asked in (digests(LORA)["SHA256"], digests(LORA)["CRC32"], "12ab34cd56", picture, "nobody.safetensors"):
        assert not (await room.catalog.check(asked)).note, asked
    assert room.catalog.index.required() == frozenset()


async def test_a_kind_whose_package_is_not_here_is_said(room: Room):
    room.catalog.index.hashing = Hashing(kinds=EVERY - {"BLAKE3"})
    room.put("loras/mine.safetensors", MINE)
    await room.catalog.scan()
    assert "needs the package blake3" in (await room.catalog.check("ab" * 32)).note


async def test_while_files_are_hashed_a_report_says_how_far_that_is(room: Room):
    for number in range(3):
        room.put(f"loras/{number}.safetensors", content(LORA) + bytes([number]))
    assert room.catalog.scanning is None
    seen: list[str] = []
    loop = asyncio.get_running_loop()

    def tell(told: Any) -> None:
        if told.files:
            seen.append(
                asyncio.run_coroutine_threadsafe(room.catalog.check(str(OTHER), ask=False), loop).result(10).note
            )

    await room.catalog.scan(progress=tell, identified=False)
    assert all("of 3 files are hashed so far." in note for note in seen) and seen
    assert room.catalog.scanning is None and not (await room.catalog.check(str(OTHER), ask=False)).note
    assert HashingProgress(1200, 50_000, 1, 2).sentence == "1,200 of 50,000 files are hashed so far."
