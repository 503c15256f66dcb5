"""The service that nodes, shell and routes share, on the sandbox: statuses, adding, whole folders, downloads."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.app import ModelFolders, open_catalog
from pack.civitai_bridge.catalog.service import CatalogService
from pack.civitai_bridge.catalog.wanted import questions_from
from pack.civitai_bridge.errors import (
    BadInput,
    CatalogDamaged,
    DownloadDamaged,
    DownloadForbidden,
    DownloadRefused,
    NotALora,
    NotFound,
    NotInCatalog,
    StillOnDisk,
    UnknownReference,
)
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.model_files.folders import folders_below, known_folders, note_folders
from pack.civitai_bridge.model_files.hashing import EVERY, OPTIONAL, Hashing, digest_file
from pack.civitai_bridge.model_files.progress import HashingProgress
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.sandbox import Sandbox, files
from pack.civitai_bridge.sandbox import models as catalogue
from pack.civitai_bridge.settings import Settings, load_settings

LORA, OTHER = 300001, 300003


def content(version_id: int, number: int = 0) -> bytes:
    return files.content(catalogue.VERSIONS[version_id].files[number])


def digests(version_id: int, number: int = 0) -> dict[str, str]:
    return files.hashes(catalogue.VERSIONS[version_id].files[number])


class Room:
    def __init__(self, sandbox: Sandbox, network: HttpClient, root: Path) -> None:
        self.sandbox, self.network, self.models = sandbox, network, root / "models"
        self.models.mkdir()
        self.settings = Settings(key="me", site_url=sandbox.site_url, home=root / "state")
        self.catalog = self.open()

    def open(self, **more: Any) -> CatalogService:
        settings = replace(self.settings, **more)
        return open_catalog(settings, self.network, ModelFolders(lambda: folders_below(self.models), self.models))

    def put(self, path: str, data: bytes) -> Path:
        target = self.models / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def asked(self) -> list[str]:
        return [seen.path for seen in self.sandbox.requests]

    def entries(self, name: str = "models.json") -> list[dict[str, Any]]:
        text = (self.settings.home / name).read_text()
        return [entry for category in json.loads(text)["categories"] for entry in category["models"]]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with Sandbox() as sandbox, HttpClient() as network:
        network.allow_loopback(sandbox.storage_url)
        room = Room(sandbox, network, tmp_path)
        yield room
        room.catalog.close()


# --- check


async def test_a_whole_life_from_not_found_to_present(room: Room):
    status = [(await room.catalog.check(str(LORA))).answers[0].located.status]
    added = await room.catalog.add(str(LORA))
    status.append((await room.catalog.check(str(LORA))).answers[0].located.status)
    await room.catalog.download(str(LORA))
    checked = await room.catalog.check(str(LORA))
    assert [*status, checked.answers[0].located.status] == ["not_found", "missing", "present"]
    assert checked.all_present and not checked.missing
    assert added.as_json() == {
        "status": "added", "file": "storybookLight_v2.safetensors", "name": "Storybook Light v2 [SDXL 1.0 FP16]",
        "category": "loras", "dest": "loras",
    }  # fmt: skip


async def test_every_kind_of_reference_finds_its_entry(room: Room):
    await room.catalog.add(str(LORA))
    room.sandbox.requests.clear()
    version, stated = catalogue.VERSIONS[LORA], digests(LORA)
    known = [
        str(LORA), version.air, f"https://civitai.com/models/{version.model_id}?modelVersionId={LORA}",
        stated["SHA256"], stated["AutoV2"], stated["AutoV3"], stated["SHA256"][:12], "storybookLight_v2.safetensors",
    ]  # fmt: skip
    checked = await room.catalog.check("\n".join(known))
    assert [a.located.status for a in checked.answers] == ["missing"] * len(known)
    assert room.asked() == [], "what the catalog knows needs nobody"
    online = "\n".join([stated["CRC32"], stated["BLAKE3"], f"https://civitai.com/models/{version.model_id}"])
    assert [a.located.status for a in (await room.catalog.check(online)).answers] == ["missing"] * 3


async def test_a_report_counts_and_names_what_is_missing(room: Room):
    await room.catalog.download(str(LORA))
    await room.catalog.add(str(OTHER))
    checked = await room.catalog.check(f"# mine\n{LORA}\n\n{OTHER}\n99999999\nnot a reference at all\n1/2")
    assert [a.located.status for a in checked.answers] == ["present", "missing", "not_found", "unknown", "unknown"]
    assert checked.missing == f"{OTHER}\n99999999\nnot a reference at all\n1/2"
    assert checked.report.endswith("1 present, 1 missing, 1 not found, 2 unknown.")
    assert checked.as_json()["resources"][1]["dest"] == "loras" and not checked.as_json()["all_present"]


async def test_nothing_asked_is_all_present(room: Room):
    checked = await room.catalog.check("\n  \n")
    assert checked.all_present and "Nothing" in checked.report


async def test_what_is_here_is_told_without_asking(room: Room):
    assert await room.catalog.here(str(LORA)) is None
    await room.catalog.download(str(LORA))
    room.sandbox.requests.clear()
    here = await room.catalog.here(str(LORA))
    assert here is not None and (here.status, here.file) == ("present", "storybookLight_v2.safetensors")
    assert await room.catalog.here(str(OTHER)) is None and room.asked() == []


async def test_the_sockets_of_other_nodes_are_understood(room: Room):
    await room.catalog.add(str(LORA))
    loras = [
        {"air": catalogue.VERSIONS[LORA].air, "strength": 1},
        {"air": "", "name": "storybooklight_v2", "strength": 1},
    ]
    assert [a.located.status for a in (await room.catalog.check(loras)).answers] == ["missing", "missing"]
    data = GenerationData(
        model_air=catalogue.VERSIONS[128078].air, networks=(UsedResource("", name="x", version_id=LORA),)
    )
    assert [a.located.status for a in (await room.catalog.check(data)).answers] == ["not_found", "missing"]
    one = UsedResource("", name="mine.pt", kind="embedding", hash="0xABCDEFABCD")
    assert [(q.wanted.folder, q.wanted.hashes) for q in questions_from((one,))] == [("embeddings", ("abcdefabcd",))]
    assert questions_from(["1", {"air": "", "hash": "0xABCDEFABCD", "name": "n"}])[1].wanted.hashes == ("abcdefabcd",)
    with pytest.raises(BadInput):
        questions_from(7)


async def test_a_network_error_is_unknown_and_never_not_found(room: Room):
    catalog = room.open(site_url="http://127.0.0.1:9")
    catalog.site._send = room.network.send_to("http://127.0.0.1:9")  # without the pauses of repeating
    checked = await catalog.check(f"{LORA}\n{digests(OTHER)['SHA256']}\nhttps://civitai.com/models/5")
    assert [a.located.status for a in checked.answers] == ["unknown"] * 3
    assert all("could not be asked" in a.report for a in checked.answers)
    catalog.close()


async def test_files_on_disk_without_an_entry_are_said(room: Room):
    room.put("loras/renamed.safetensors", content(LORA))
    await room.catalog.scan(identified=False)
    answer = (await room.catalog.check(str(LORA))).answers[0]
    assert answer.located.status == "not_found" and "on disk as renamed.safetensors" in answer.report
    await room.catalog.add(str(LORA))
    answer = (await room.catalog.check(str(LORA))).answers[0]
    assert answer.located.status == "present" and "same bytes are here under another name" in answer.report


async def test_without_asking_only_the_catalogs_are_read(room: Room):
    await room.catalog.check(f"{LORA}\n{digests(OTHER)['SHA256']}", ask=False)
    assert room.asked() == []


# --- add, promote, remove, map, list


@pytest.mark.parametrize(
    ("version_id", "words"),
    [
        (300041, "This model is 'Generation' only — download not allowed by the creator"),
        (300013, "This model is 'InternalGeneration' only"),
        (300045, "early access until 2099-01-01T00:00:00.000Z"),
        (300047, "sold by its creator"),
        (300053, "taken down"),
        (300011, "archived"),
    ],
)
async def test_what_is_restricted_says_why(room: Room, version_id: int, words: str):
    answer = (await room.catalog.add(str(version_id))).as_json()
    assert answer["status"] == "restricted" and words in answer["reason"] and set(answer) == {"status", "reason"}
    assert not (room.settings.home / "models.json").exists()


async def test_adding_again_asks_nobody(room: Room):
    await room.catalog.add(str(LORA))
    room.sandbox.requests.clear()
    assert (await room.catalog.add(str(LORA))).as_json() == {
        "status": "already_exists", "file": "storybookLight_v2.safetensors",
    }  # fmt: skip
    assert room.asked() == []


@pytest.mark.parametrize(
    ("version_id", "dest", "category"),
    [
        (128078, "checkpoints", "checkpoints"),
        (2442439, "diffusion_models", "diffusion_models"),
        (691639, "diffusion_models", "diffusion_models"),
        (300005, "vae", "vae"),
        (300087, "loras", "loras"),
        (300067, "loras", "loras"),
        (300031, "embeddings", "embeddings"),
        (300089, "hypernetworks", "hypernetworks"),
        (300091, "controlnet", "controlnet"),
        (300093, "upscale_models", "upscalers"),
        (300097, "animatediff_models", "animatediff_models"),
    ],
)
async def test_folders_follow_file_type_then_model_type(room: Room, version_id: int, dest: str, category: str):
    added = await room.catalog.add(str(version_id))
    assert (added.dest, added.category) == (dest, category)


async def test_a_file_is_added_by_its_own_hash(room: Room):
    added = await room.catalog.add(digests(300027, 1)["SHA256"])
    assert added.dest == "text_encoders" and room.entries()[0]["civitai_file_id"] == 3000271


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("99999999", NotFound),
        ("300061", BadInput),
        ("300095", BadInput),
        ("x.safetensors", UnknownReference),
        ("https://evil.example/models/1", UnknownReference),
        ("https://civitai.com/images/1", UnknownReference),
    ],
)
async def test_what_cannot_be_added(room: Room, reference: str, error: type[Exception]):
    with pytest.raises(error):
        await room.catalog.add(reference)


async def test_promoting_by_hash_and_by_name(room: Room):
    await room.catalog.add(str(LORA))
    await room.catalog.add(str(OTHER))
    room.sandbox.requests.clear()
    assert (await room.catalog.promote(digests(LORA)["SHA256"])).as_json() == {
        "status": "promoted", "file": "storybookLight_v2.safetensors", "category": "sdxl_loras",
    }  # fmt: skip
    assert (await room.catalog.promote("harbourInk_v1.safetensors")).category == "sd15_loras"
    assert (await room.catalog.promote(str(LORA))).as_json() == {"status": "already_exists"}
    assert room.asked() == []
    await room.catalog.add("128078")
    with pytest.raises(NotALora):
        await room.catalog.promote("128078")
    with pytest.raises(NotInCatalog):
        await room.catalog.promote("300087")
    with pytest.raises(NotInCatalog):
        await room.catalog.promote("nobody.safetensors")


async def test_only_what_is_not_on_disk_is_removed(room: Room):
    done = await room.catalog.download(str(LORA))
    with pytest.raises(StillOnDisk):
        await room.catalog.remove(str(LORA))
    Path(done.path).unlink()
    assert (await room.catalog.remove("storybookLight_v2.safetensors")).as_json() == {
        "status": "removed", "file": "storybookLight_v2.safetensors",
    }  # fmt: skip
    with pytest.raises(NotInCatalog):
        await room.catalog.remove(str(LORA))


async def test_one_file_of_a_version_is_removed_alone(room: Room):
    version = catalogue.VERSIONS[300021]
    first, other = (catalogue.file_id(version, file) for file in version.files[:2])
    for id_ in (first, other):
        await room.catalog.add(f"{version.air}+{id_}")
    names = [entry["file"] for entry in room.entries()]
    assert (await room.catalog.remove(f"{version.air}+{first}")).file == names[0]
    assert [entry["file"] for entry in room.entries()] == names[1:]
    with pytest.raises(NotInCatalog, match=f"File {first} of version 300021 is in no catalog"):
        await room.catalog.remove(f"https://civitai.com/api/download/models/300021?fileId={first}")
    await room.catalog.add(f"{version.air}+{first}")
    assert (await room.catalog.remove(digests(300021, 1)["SHA256"])).file == names[1]
    assert [entry["civitai_file_id"] for entry in room.entries()] == [first]
    with pytest.raises(NotInCatalog):
        await room.catalog.remove(digests(300021, 1)["CRC32"])
    assert (await room.catalog.remove(digests(300021, 0)["CRC32"])).file == names[0]


async def test_entries_that_are_not_from_civitai_are_removed_by_their_file(room: Room):
    files_ = [
        {"file": "own.safetensors", "dest": "loras", "source": "url"},
        {"file": "sub/ink.safetensors", "dest": "loras", "civitai_version_id": 7},
        {"file": "sub/ink.safetensors", "dest": "vae"},
        {"file": "notes.yaml", "dest": "configs"},
        {"file": "x\\Light.pt", "dest": "loras"},
    ]
    room.settings.home.mkdir(exist_ok=True)
    text = json.dumps({"version": 1, "categories": [{"id": "loras", "models": files_}]})
    (room.settings.home / "models.json").write_text(text)
    with pytest.raises(NotInCatalog, match="has no version id"):
        await room.catalog.promote("own.safetensors")
    assert (await room.catalog.remove("own.safetensors")).file == "own.safetensors"
    for name in ("sub/ink.safetensors", "ink.safetensors"):
        with pytest.raises(BadInput, match="Several entries are called"):
            await room.catalog.remove(name)
    assert (await room.catalog.remove("vae/sub/ink.safetensors")).file == "sub/ink.safetensors"
    assert [entry["dest"] for entry in room.entries()] == ["loras", "configs", "loras"]
    assert (await room.catalog.remove("Ink.safetensors")).file == "sub/ink.safetensors"
    assert (await room.catalog.remove("notes.yaml")).file == "notes.yaml"
    assert (await room.catalog.remove("x/light.pt")).file == "x\\Light.pt"
    assert room.entries() == []
    with pytest.raises(UnknownReference):
        await room.catalog.remove("notes.yaml")


async def test_map_and_list(room: Room):
    await room.catalog.download(str(LORA))
    await room.catalog.add(str(OTHER))
    await room.catalog.promote(str(OTHER))
    found = await room.catalog.map()
    assert found["by_version"][str(LORA)] == {
        "file": "storybookLight_v2.safetensors", "dest": "loras", "name": "Storybook Light v2 [SDXL 1.0 FP16]",
        "base_model": "SDXL 1.0", "status": "present", "catalog": "models.json",
    }  # fmt: skip
    assert found["by_version"][str(OTHER)]["catalog"] == "loras.json" and found["by_model"]["300002"] == [OTHER]
    assert [(e["version_id"], e["status"]) for e in await room.catalog.list()] == [
        (LORA, "present"),
        (OTHER, "missing"),
    ]


# --- scan


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
    real, room.catalog.site._send = room.catalog.site._send, room.network.send_to("http://127.0.0.1:9")
    scanned = await room.catalog.scan()
    assert scanned.disk.hashed == 1 and scanned.identified == 0 and "could not be reached" in scanned.trouble
    room.catalog.site._send = real
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


# --- download


async def test_a_downloaded_file_is_in_its_folder_in_the_catalog_and_in_the_index_unhashed(
    room: Room,
):
    def reading(*_: object, **__: object) -> Any:
        raise AssertionError("the file was read again")

    room.catalog.index.hashing = Hashing(digest=reading)
    done = await room.catalog.download(str(LORA))
    assert done.status == "downloaded" and done.file == "storybookLight_v2.safetensors"
    assert Path(done.path) == room.models / "loras" / done.file and Path(done.path).read_bytes() == content(LORA)
    one = room.catalog.index.files().by_name["loras", done.file]
    stated = digests(LORA)
    assert (one.sha256, one.autov3) == (stated["SHA256"].lower(), stated["AutoV3"].lower())
    assert one.version_id == LORA and one.output_name == "storybookLight_v2"
    scanned = await room.catalog.scan()
    assert (scanned.disk.unchanged, scanned.disk.hashed, scanned.catalogued) == (1, 0, 1)
    again = await room.catalog.download(str(LORA))
    assert again.status == "present" and again.path == done.path


async def test_missing_hashes_are_taken_from_the_file(room: Room):
    done = await room.catalog.download("300037")
    one = room.catalog.index.files().by_name["loras", done.file]
    assert one.autov3 == files.fast_hashes(catalogue.VERSIONS[300037].files[0])["AutoV3"].lower()
    unscanned = await room.catalog.download("300035")
    assert "no hash" in unscanned.notes[0] and unscanned.sha256


async def test_a_download_goes_where_the_entry_says(room: Room):
    await room.catalog.add(str(LORA))
    path = room.settings.home / "models.json"
    path.write_text(
        path.read_text().replace('"dest": "loras"', '"dest": "loras/styles"').replace("storybookLight_v2.s", "mine.s")
    )
    done = await room.catalog.download(str(LORA))
    assert Path(done.path) == room.models / "loras" / "styles" / "mine.safetensors"
    assert done.file == "styles/mine.safetensors" and len(room.entries()) == 1
    assert (await room.catalog.check(str(LORA))).all_present


async def test_a_name_that_another_file_has_is_not_taken(room: Room):
    room.put("loras/storybookLight_v2.safetensors", b"another")
    done = await room.catalog.download(str(LORA))
    assert done.file == f"storybookLight_v2_{LORA}.safetensors" and room.entries()[0]["file"] == done.file
    assert (room.models / "loras" / "storybookLight_v2.safetensors").read_bytes() == b"another"


async def test_a_file_that_lies_there_unindexed_is_taken_as_it_is(room: Room):
    room.put("loras/storybookLight_v2.safetensors", content(LORA))
    done = await room.catalog.download(str(LORA))
    assert done.status == "present" and "/api/download/models/300001" not in room.asked()
    assert room.entries()[0]["civitai_version_id"] == LORA


async def test_the_same_bytes_under_another_name_are_not_loaded_again(room: Room):
    room.put("loras/old name.safetensors", content(LORA))
    await room.catalog.scan(identified=False)
    done = await room.catalog.download(str(LORA))
    assert (done.status, done.file) == ("present", "old name.safetensors")


async def test_two_files_of_a_version_stand_beside_each_other(room: Room):
    first = await room.catalog.download("https://civitai.com/api/download/models/300021?fileId=3000210")
    second = await room.catalog.download("https://civitai.com/api/download/models/300021?fileId=3000211")
    assert first.path != second.path and second.status == "downloaded" and len(room.entries()) == 2
    assert Path(second.path).read_bytes() == content(300021, 1)


async def test_names_of_strangers_stay_in_their_folder(room: Room):
    evil, reserved = await room.catalog.download("300069"), await room.catalog.download("300071")
    assert Path(evil.path) == room.models / "loras" / "evil.safetensors"
    assert Path(reserved.path) == room.models / "loras" / "_CON.safetensors"
    path = room.settings.home / "models.json"
    path.write_text(path.read_text().replace('"file": "evil.safetensors"', '"file": "../../x.safetensors"'))
    Path(evil.path).unlink()
    with pytest.raises(BadInput, match="leads out"):
        await room.catalog.download("300069")


async def test_a_directory_of_ones_own_changes_no_catalog(room: Room, tmp_path: Path):
    done = await room.catalog.download(str(LORA), directory=tmp_path / "here")
    assert Path(done.path) == tmp_path / "here" / "storybookLight_v2.safetensors" and done.file == ""
    assert not (room.settings.home / "models.json").exists()


async def test_without_a_models_folder_there_is_a_sentence(room: Room):
    catalog = open_catalog(room.settings, room.network, ModelFolders(dict, None))
    with pytest.raises(BadInput, match="CIVITAI_BRIDGE_MODELS"):
        await catalog.download(str(LORA))
    with pytest.raises(BadInput, match="CIVITAI_BRIDGE_MODELS"):
        await catalog.scan()
    catalog.close()


async def test_a_graph_downloads_only_when_both_switches_are_on(room: Room):
    with pytest.raises(DownloadForbidden, match="graph_downloads on"):
        await room.catalog.download(str(LORA), from_graph=True)
    assert room.asked() == [], "a stranger's graph makes no request where it may not load"
    room.catalog.close()
    room.catalog = room.open(graph_downloads="on")
    with pytest.raises(DownloadForbidden, match="allow_download"):
        await room.catalog.download(str(LORA), from_graph=True, allow_download=False)
    assert (await room.catalog.download(str(LORA), from_graph=True)).status == "downloaded"
    done = await room.catalog.download(str(LORA), from_graph=True, allow_download=False)
    assert done.status == "present", "what is here needs no leave"


async def test_pickles_need_the_setting(room: Room):
    with pytest.raises(DownloadForbidden, match="allow_pickle"):
        await room.catalog.download("300029")
    room.catalog.close()
    room.catalog = room.open(allow_pickle=True)
    assert (await room.catalog.download("300029")).file.endswith(".ckpt")
    with pytest.raises(BadInput, match="code that runs"):
        await room.catalog.download("300061")


async def test_a_damaged_catalog_stops_a_download_before_its_first_byte(room: Room):
    room.settings.home.mkdir(exist_ok=True)
    (room.settings.home / "models.json").write_text('{"version": 1,')
    with pytest.raises(CatalogDamaged, match="line 1"):
        await room.catalog.download(str(LORA))
    assert "/api/download/models/300001" not in room.asked()
    assert (room.settings.home / "models.json").read_text() == '{"version": 1,'


async def test_who_bought_early_access_has_it_in_the_catalog(room: Room):
    with pytest.raises(DownloadRefused, match="early access"):
        await room.catalog.download("300045")
    room.catalog.close()
    room.catalog = room.open(key="bought")
    assert (await room.catalog.download("300045")).status == "downloaded"
    assert room.entries()[0]["civitai_version_id"] == 300045


async def test_wrong_bytes_leave_no_trace(room: Room):
    with pytest.raises(DownloadDamaged):
        await room.catalog.download("300077")
    assert list((room.models / "loras").iterdir()) == [] and not (room.settings.home / "models.json").exists()


# --- folders without ComfyUI


def test_folders_of_a_models_root(tmp_path: Path):
    for name in ("unet", "loras", "my_own", ".git"):
        (tmp_path / name).mkdir()
    found = folders_below(tmp_path)
    assert found["diffusion_models"] == [tmp_path / "diffusion_models", tmp_path / "unet"]
    assert found["my_own"] == [tmp_path / "my_own"] and ".git" not in found and "unet" not in found
    assert folders_below(tmp_path / "absent")["loras"] == [tmp_path / "absent" / "loras"]


def test_the_server_s_note_is_followed_and_the_environment_wins(tmp_path: Path):
    settings = load_settings({}, home=tmp_path)
    assert known_folders(settings) == ({}, None)
    note_folders(tmp_path, {"loras": ["/a/loras", "/b/loras"], "custom_nodes": ["/c"]}, "/a")
    assert known_folders(settings) == ({"loras": ["/a/loras", "/b/loras"]}, Path("/a"))
    named = load_settings({"CIVITAI_BRIDGE_MODELS": str(tmp_path / "m")}, home=tmp_path)
    assert known_folders(named)[1] == tmp_path / "m"
    sandbox = load_settings({"CIVITAI_BRIDGE_SANDBOX": "1"}, home=tmp_path)
    assert known_folders(sandbox)[1] == tmp_path / "sandbox" / "models"


@pytest.mark.parametrize(
    ("roots", "chosen"),
    [
        (["m/unet", "m/diffusion_models"], "m/diffusion_models"),
        (["m/unet"], "m/unet"),
        (["extra/unet", "m/diffusion_models"], "extra/unet"),
        (["m/diffusion_models", "m/unet"], "m/diffusion_models"),
    ],
)
def test_a_new_file_goes_to_the_first_path_but_not_to_the_old_name_of_a_folder(
    tmp_path: Path, roots: list[str], chosen: str
):
    from pack.civitai_bridge.catalog import places

    folders = {"diffusion_models": [tmp_path / root for root in roots]}
    catalogs = places.ModelFolders(folders, tmp_path)
    place = catalogs.target("unet", "x.gguf")
    assert place.path == str(tmp_path / chosen / "x.gguf") and place.folder == "diffusion_models"
    assert catalogs.target("own/sub", "y.pt").path == str(tmp_path / "own" / "sub" / "y.pt")


# --- files that only have the name


async def test_an_own_file_of_the_name_is_neither_taken_nor_called_present(room: Room):
    mine = room.put("loras/storybookLight_v2.safetensors", b"my own other file" * 10)
    await room.catalog.scan(identified=False)
    assert (await room.catalog.add(str(LORA))).file == f"storybookLight_v2_{LORA}.safetensors"
    assert (await room.catalog.check(str(LORA))).answers[0].located.status == "missing"
    right = room.put("loras/right.safetensors", content(LORA))
    await room.catalog.scan(identified=False)
    assert (await room.catalog.check(str(LORA))).answers[0].located.file == "right.safetensors"
    right.unlink()
    done = await room.catalog.download(str(LORA))
    assert (done.status, done.file) == ("downloaded", f"storybookLight_v2_{LORA}.safetensors")
    assert mine.read_bytes() == b"my own other file" * 10 and len(room.entries()) == 1


async def test_a_file_of_the_same_size_in_another_folder_of_the_key_is_told_apart(room: Room, tmp_path: Path):
    extra = tmp_path / "extra"
    extra.mkdir()
    folders = {"loras": [room.models / "loras", extra]}
    catalog = open_catalog(room.settings, room.network, ModelFolders(lambda: folders, room.models))
    (extra / "storybookLight_v2.safetensors").write_bytes(bytes(len(content(LORA))))
    (extra / "harbourInk_v1.safetensors").write_bytes(content(OTHER))
    assert (await catalog.add(str(LORA))).file == f"storybookLight_v2_{LORA}.safetensors"
    done = await catalog.download(str(OTHER))
    assert (done.status, done.path) == ("present", str(extra / "harbourInk_v1.safetensors"))
    catalog.close()


async def test_an_own_file_that_came_after_the_entry_is_left_alone(room: Room):
    await room.catalog.add(str(LORA))
    mine = room.put("loras/storybookLight_v2.safetensors", b"my own")
    await room.catalog.scan(identified=False)
    answer = (await room.catalog.check(str(LORA))).answers[0]
    assert answer.located.status == "missing" and "other bytes" in answer.report and not answer.located.file
    done = await room.catalog.download(str(LORA))
    assert done.file == f"storybookLight_v2_{LORA}.safetensors" and mine.read_bytes() == b"my own"
    checked = await room.catalog.check(str(LORA))
    assert checked.all_present and checked.answers[0].located.file == done.file
    again = await room.catalog.download(str(LORA))
    assert (again.status, again.file) == ("present", done.file)


async def test_a_file_that_was_cut_off_is_never_handed_on(room: Room):
    await room.catalog.add(str(LORA))
    room.put("loras/storybookLight_v2.safetensors", content(LORA)[:100])
    assert await room.catalog.here(str(LORA)) is None
    done = await room.catalog.download(str(LORA))
    assert done.status == "downloaded" and Path(done.path).read_bytes() == content(LORA)
    here = await room.catalog.here(str(LORA))
    assert here is not None and here.path == done.path


async def test_a_file_that_no_scan_has_hashed_is_read_once(room: Room):
    await room.catalog.add(str(LORA))
    room.put("loras/storybookLight_v2.safetensors", content(LORA))
    told: list[str] = []
    room.sandbox.requests.clear()
    done = await room.catalog.download(str(LORA), progress=lambda one: told.append(one.text))
    assert (done.status, room.asked()) == ("present", []) and "whole" in told[0]
    room.catalog.index.hashing = Hashing(digest=None)  # type: ignore[arg-type]
    assert (await room.catalog.download(str(LORA))).status == "present"
    assert (await room.catalog.scan(identified=False)).disk.hashed == 0


async def test_an_old_entry_without_a_files_id_does_not_take_another_file(room: Room):
    version = catalogue.VERSIONS[300021]
    first, other = (catalogue.file_id(version, file) for file in version.files[:2])
    added = await room.catalog.add("300021")
    path = room.settings.home / "models.json"
    path.write_text(re.sub(r'\s*"civitai_file_id": \d+,', "", path.read_text()))
    done = await room.catalog.download(f"{version.air}+{other}")
    assert Path(done.path).name != added.file and done.sha256 == digests(300021, 1)["SHA256"].lower()
    assert [entry.get("civitai_file_id") for entry in room.entries()] == [None, other]
    assert (await room.catalog.list())[0]["status"] == "missing"
    done = await room.catalog.download(f"{version.air}+{first}")
    assert Path(done.path).name == added.file and len(room.entries()) == 2


async def test_wrong_bytes_of_a_file_without_a_sha256_are_not_loaded_by_a_graph(room: Room):
    catalog = room.open(graph_downloads="on")
    real = catalog.site.version

    def without(*kinds: str) -> Any:
        async def version(version_id: int) -> Any:
            found = await real(version_id)
            kept = [{k: v for k, v in file.hashes.items() if k not in kinds} for file in found.files]
            return replace(found, files=tuple(replace(f, hashes=h) for f, h in zip(found.files, kept, strict=True)))

        return version

    catalog.site.version = without("SHA256")  # type: ignore[method-assign]
    room.sandbox.site.storage.troubles.append("wrong")
    with pytest.raises(DownloadDamaged, match="other bytes"):
        await catalog.download(str(LORA), from_graph=True)
    catalog.site.version = without("SHA256", "AutoV2", "AutoV3", "BLAKE3", "CRC32")  # type: ignore[method-assign]
    with pytest.raises(DownloadForbidden, match="states no hash"):
        await catalog.download(str(LORA), from_graph=True)
    assert not list((room.models / "loras").glob("*.safetensors"))
    catalog.close()
