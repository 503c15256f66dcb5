"""One answer about a file, whoever asks: check, list, map, download, remove, the LoRAs of a graph and the routes."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from catalog_room import LORA, OTHER, Room, changed, content, digests

from pack.civitai_bridge.catalog.answers import Located
from pack.civitai_bridge.catalog.loader_names import lora_files
from pack.civitai_bridge.catalog.service import CatalogService
from pack.civitai_bridge.errors import BadInput, DownloadForbidden, DownloadRefused, StillOnDisk, Unreadable
from pack.civitai_bridge.sandbox import models as catalogue

FILE = "storybookLight_v2.safetensors"
PARTS = 300027  # a model, a text encoder and a VAE


async def located(asked: Room | CatalogService, reference: str, **more: Any) -> Located:
    catalog = asked.catalog if isinstance(asked, Room) else asked
    (answer,) = (await catalog.check(reference, **more)).answers
    return answer.located


async def everywhere(room: Room) -> list[tuple[str, str, str | None]]:
    """Status, loader name and path of the LoRA, from everybody who can be asked."""
    answer = await located(room, str(LORA))
    listed = next(entry for entry in await room.catalog.list() if entry["version_id"] == LORA)
    mapped = (await room.catalog.map())["by_version"][str(LORA)]
    route = answer.as_json()
    checked = (await room.catalog.check(str(LORA))).as_json()["resources"][0]
    answers = [(members["status"], members["loader_name"], members["path"]) for members in (listed, mapped, checked)]
    return [*answers, (route["catalog_status"], route["loader_name"], route["path"])]


async def test_a_renamed_file_is_present_under_its_real_name_everywhere_and_its_entry_stays(room: Room):
    await room.catalog.download(str(LORA))
    (room.models / "loras" / FILE).rename(room.models / "loras" / "mine.safetensors")
    await room.catalog.scan(identified=False)
    path = str(room.models / "loras" / "mine.safetensors")
    assert await everywhere(room) == [("present", "mine.safetensors", path)] * 4
    answer = await located(room, str(LORA))
    assert answer.as_json()["catalog_file"] == "mine.safetensors" and answer.entry and answer.entry.file == FILE
    with pytest.raises(StillOnDisk, match=r"mine\.safetensors"):
        await room.catalog.remove(str(LORA))
    (lora,) = await lora_files(
        room.catalog, [{"air": "", "version_id": LORA, "strength": 1.0}], lambda: ["mine.safetensors"]
    )
    assert lora.file.name == "mine.safetensors"
    assert (await room.catalog.download(str(LORA))).path == path


async def test_an_entry_whose_name_another_file_has_is_missing_everywhere(room: Room):
    await room.catalog.download(str(LORA))
    room.put(f"loras/{FILE}", b"somebody else's file")
    await room.catalog.scan(identified=False)
    assert await everywhere(room) == [("missing", "", None)] * 4


@pytest.mark.parametrize("damage", ["one byte", "cut off"])
async def test_a_file_that_was_changed_is_unknown_until_it_is_hashed_again(room: Room, damage: str):
    await room.catalog.download(str(LORA))
    path, right = room.models / "loras" / FILE, content(LORA)
    wrong = right[:-1] + b"!" if damage == "one byte" else right[:100]
    path.write_bytes(wrong)
    answer = room.catalog.catalogs.locate(replace_query(LORA))
    assert (answer.status, answer.changed, answer.loader_name) == ("unknown", True, "")
    assert "changed since it was hashed" in answer.sentence()
    again = await located(room, str(LORA))
    assert (again.status, again.changed) == ("missing", False) and again.has_note("other_bytes"), "it is small"
    path.write_bytes(right)
    assert (await located(room, str(LORA))).status == "present"
    os.utime(path, ns=(1, 1))
    assert (await room.catalog.download(str(LORA))).status == "present", "hashed again, and right"
    path.write_bytes(wrong)
    done = await room.catalog.download(str(LORA))
    assert done.status == "downloaded" and path.read_bytes() == wrong and done.path != str(path)


def replace_query(version_id: int) -> Any:
    from pack.civitai_bridge.catalog.query import Query

    return Query(version_id=version_id)


async def test_one_file_that_is_asked_for_is_not_another_of_its_version(room: Room):
    version = catalogue.VERSIONS[300021]
    first, other = (catalogue.file_id(version, file) for file in version.files[:2])
    await room.catalog.download(f"{version.air}+{first}")
    for reference in (f"{version.air}+{other}", digests(300021, 1)["SHA256"]):
        answer = await located(room, reference)
        assert (answer.status, answer.path) == ("missing", None) and answer.has_note("other_file"), reference
    assert (await located(room, "300021")).status == "present", "any file of the version will do"
    await room.catalog.download(f"{version.air}+{other}")
    assert (await located(room, digests(300021, 1)["SHA256"])).status == "present"


async def test_what_the_index_knows_a_file_by_leads_back_to_its_entry(room: Room):
    await room.catalog.download(str(LORA))
    room.put("loras/copy.safetensors", content(LORA))
    await room.catalog.scan()
    for kind in ("BLAKE3", "CRC32", "AutoV3", "AutoV2"):
        answer = await located(room, digests(LORA)[kind], ask=False)
        assert (answer.status, answer.catalog) == ("present", "models.json"), kind


async def test_a_file_that_is_here_and_in_no_catalog_is_present_for_a_graph_and_catalogued_by_a_download(room: Room):
    room.put("loras/sub/light.safetensors", content(LORA))
    await room.catalog.scan()
    checked = await room.catalog.check(str(LORA))
    assert checked.all_present and checked.missing == ""
    assert checked.answers[0].located.as_json()["catalog_status"] == "not_found"
    assert "neither in models.json nor in loras.json" in checked.report
    done = await room.catalog.download(str(LORA))
    assert (done.status, done.file, done.version_id) == ("present", "sub/light.safetensors", LORA)
    assert [(entry["file"], entry["dest"]) for entry in room.entries()] == [("sub/light.safetensors", "loras")]
    assert (await located(room, str(LORA))).status == "present"


async def test_a_damaged_catalog_stops_only_what_needs_it(room: Room):
    await room.catalog.add(str(LORA))
    room.settings.home.joinpath("loras.json").write_text("{")
    assert (await located(room, str(LORA))).status == "missing"
    unknown = await located(room, str(OTHER))
    assert unknown.status == "unknown" and "loras.json is not valid JSON" in unknown.sentence()
    assert (await room.catalog.add(str(OTHER))).status == "added"
    assert len(await room.catalog.list()) == 2 and "loras.json" in (await room.catalog.map())["troubles"][0]
    assert (await room.catalog.download(str(LORA))).status == "downloaded"
    assert (room.settings.home / "loras.json").read_text() == "{"


async def test_a_check_says_which_parts_of_a_version_are_here(room: Room):
    await room.catalog.download(str(PARTS))
    room.sandbox.requests.clear()
    answer = await located(room, str(PARTS))
    assert room.asked() == [], "its entry names the files"
    assert answer.status == "present"
    parts = answer.as_json()["parts"]
    assert [part["status"] for part in parts].count("present") == 1 and len(parts) == len(
        catalogue.VERSIONS[PARTS].files
    )
    assert f"1 of the {len(parts)} files of this version are here" in answer.sentence()
    done = (await room.catalog.download_all(str(PARTS))).files
    assert len({one.path for one in done}) == len(done) > 1
    answer = await located(room, str(PARTS))
    assert not answer.has_note("parts") and all(
        part.status == "present" for part in answer.parts if part.type != "Config"
    )


async def test_another_precision_of_a_file_that_is_here_is_no_missing_part(room: Room):
    await room.catalog.download("300021")
    answer = await located(room, "300021")
    assert len(answer.parts) > 1 and not answer.has_note("parts")


async def test_another_version_of_the_lora_is_named_with_both(room: Room):
    """Catalogued, and only on disk."""
    newer = LORA + 1000

    def change(version: dict[str, Any]) -> None:
        version |= {"id": newer, "name": "v3", "air": version["air"].replace(str(LORA), str(newer))}
        for file in version["files"]:
            file |= {"id": file["id"] + 1000, "name": "v3.safetensors", "hashes": {"SHA256": "AB" * 32}}

    await room.catalog.download(str(LORA))
    catalog = room.service(changed(change, lambda path: path.replace(str(newer), str(LORA))))
    answer = await located(catalog, str(newer))
    assert answer.status == "not_found"
    assert (
        "Storybook Light v3 is asked for; another version of the same model is here: Storybook Light v2"
        in answer.sentence()
    )
    room.settings.home.joinpath("models.json").write_text(json.dumps({"version": 1, "categories": []}))
    answer = await located(catalog, str(newer))
    assert f"is here: Storybook Light v2 ({FILE})" in answer.sentence()
    lora = {"air": "", "version_id": newer, "strength": 1.0}
    (found,) = await lora_files(catalog, [lora], lambda: [])
    assert "another version of the same model is here" in found.file.sentence
    catalog.close()


@pytest.mark.parametrize(("version_id", "word"), [(300053, "taken down"), (300011, "archived")])
async def test_what_cannot_be_added_cannot_be_downloaded_either(room: Room, version_id: int, word: str):
    assert word in (await room.catalog.add(str(version_id))).reason
    with pytest.raises(DownloadRefused, match=word) as caught:
        await room.catalog.download(str(version_id))
    assert caught.value.exit_code == 1


async def test_an_answer_about_another_version_is_refused(room: Room):
    catalog = room.service(changed(lambda _: None, lambda path: path.replace(str(LORA), str(OTHER))))
    with pytest.raises(Unreadable, match=f"asked about version {LORA} and answered about {OTHER}"):
        await catalog.add(str(LORA))
    catalog.close()


async def test_an_air_with_the_id_of_another_model_is_refused(room: Room):
    air = catalogue.VERSIONS[LORA].air.replace("300000@", "300002@")
    with pytest.raises(BadInput, match="belongs to model 300000"):
        await room.catalog.add(air)


async def test_a_file_that_is_only_taken_for_another_is_hashed_before_anything_leans_on_it(room: Room):
    """It came from another disk with size, time and samples of one that is gone; a byte between the samples differs."""
    bytes_ = content(128078)
    path = room.put("checkpoints/sdXL_v10VAEFix.safetensors", bytes_)
    await room.catalog.add("128078")
    await room.catalog.scan(identified=False)
    status = path.stat()
    with room.catalog.index.database.transaction() as connection:
        connection.execute("UPDATE files SET device = 'another'")
    path.unlink()
    other = room.put("checkpoints/moved.safetensors", bytes_[:200_000] + b"X" + bytes_[200_001:])
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    await room.catalog.scan(identified=False, cancelled=lambda: True)
    [row] = room.catalog.index.files().all
    assert (row.name, row.sha256, row.proved) == ("moved.safetensors", hashlib.sha256(bytes_).hexdigest(), False)
    assert (await room.catalog.remove("128078")).status == "removed"
    [row] = room.catalog.index.files().all
    assert row.proved and row.sha256 == hashlib.sha256(other.read_bytes()).hexdigest()


async def test_a_file_that_is_here_and_in_no_catalog_needs_no_permission_of_a_graph(room: Room):
    room.put("loras/light.safetensors", content(LORA))
    await room.catalog.scan()
    for reference in (str(LORA), digests(LORA)["SHA256"]):
        done = await room.catalog.download(reference, from_graph=True, allow_download=False)
        assert (done.status, done.file) == ("present", "light.safetensors")
    with pytest.raises(DownloadForbidden):
        await room.catalog.download(str(OTHER), from_graph=True, allow_download=False)
