"""Having a file on disk: found where it is, or downloaded to where it belongs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from catalog_room import LORA, OTHER, Room, changed, content, digests

from pack.civitai_bridge.app import ModelFolders, open_catalog
from pack.civitai_bridge.catalog.service import CatalogService
from pack.civitai_bridge.errors import (
    BadInput,
    CatalogDamaged,
    DownloadDamaged,
    DownloadForbidden,
    DownloadRefused,
    FileRefused,
)
from pack.civitai_bridge.model_files.hashing import Hashing
from pack.civitai_bridge.sandbox import files, models


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
    assert one.autov3 == files.fast_hashes(models.VERSIONS[300037].files[0])["AutoV3"].lower()
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
    with pytest.raises(FileRefused, match="code that runs"):
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
    assert await room.catalog.on_disk(str(LORA)) is None
    done = await room.catalog.download(str(LORA))
    assert done.status == "downloaded" and Path(done.path).read_bytes() == content(LORA)
    here = await room.catalog.on_disk(str(LORA))
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
    version = models.VERSIONS[300021]
    first, other = (models.file_id(version, file) for file in version.files[:2])
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
    def without(*kinds: str) -> CatalogService:
        def change(version: dict[str, Any]) -> None:
            for file in version["files"]:
                file["hashes"] = {kind: value for kind, value in file["hashes"].items() if kind not in kinds}

        return room.service(changed(change), graph_downloads="on")

    catalog = without("SHA256")
    room.sandbox.site.storage.troubles.extend(["wrong", "wrong"])
    with pytest.raises(DownloadDamaged, match="other bytes"):
        await catalog.download(str(LORA), from_graph=True)
    catalog.close()
    catalog = without("SHA256", "AutoV2", "AutoV3", "BLAKE3", "CRC32")
    with pytest.raises(DownloadForbidden, match="states no hash"):
        await catalog.download(str(LORA), from_graph=True)
    assert not list((room.models / "loras").glob("*.safetensors"))
    catalog.close()


@pytest.mark.parametrize(
    ("version_id", "base", "is_whole", "folder"),
    [
        (126601, "SDXL 1.0", True, "checkpoints"),
        (126601, "SDXL 1.0", False, "diffusion_models"),
        (126601, "Krea 2", False, "diffusion_models"),
        (126601, "Anima", True, "checkpoints"),
        (691639, "Flux.1 D", True, "checkpoints"),
        (691639, "Somebody's own", False, "diffusion_models"),
    ],
)
@pytest.mark.parametrize("is_known", [False, True], ids=["new", "in the catalog by name"])
async def test_what_is_in_a_checkpoint_decides_where_it_goes(
    room: Room, version_id: int, base: str, is_whole: bool, folder: str, is_known: bool, monkeypatch: pytest.MonkeyPatch
):
    file = replace(models.VERSIONS[version_id].files[0], whole=is_whole)
    version = replace(models.VERSIONS[version_id], base=base, uploaded=(file,))
    monkeypatch.setitem(models.VERSIONS, version_id, version)
    if is_known:
        await room.catalog.add(str(version_id))
    done = await room.catalog.download(str(version_id))
    assert Path(done.path).parent == room.models / folder and done.dest == folder
    [entry] = room.entries()
    assert (entry["dest"], entry["civitai_version_id"]) == (folder, version_id)
    assert [path.name for path in room.models.rglob("*.safetensors")] == [done.file]
    checked = await room.catalog.check(str(version_id))
    assert checked.all_present and checked.answers[0].located.path == done.path
    assert (await room.catalog.download(str(version_id))).status == "present"


async def test_a_checkpoint_stays_where_a_person_s_entry_says(room: Room, monkeypatch: pytest.MonkeyPatch):
    file = replace(models.VERSIONS[126601].files[0], whole=False)
    monkeypatch.setitem(models.VERSIONS, 126601, replace(models.VERSIONS[126601], uploaded=(file,)))
    await room.catalog.add("126601")
    path = room.settings.home / "models.json"
    path.write_text(path.read_text().replace('"dest": "checkpoints"', '"dest": "checkpoints/mine"'))
    done = await room.catalog.download("126601")
    assert Path(done.path).parent == room.models / "checkpoints" / "mine"


async def test_a_gguf_file_goes_to_the_diffusion_models(room: Room):
    added = await room.catalog.add("300023")
    assert added.dest == "diffusion_models"


@pytest.mark.parametrize("sidecars", ["on", "off"])
async def test_a_download_writes_a_description_and_a_preview_beside_the_file(room: Room, sidecars: str, tmp_path: Path):
    catalog = room.open(sidecars=sidecars)
    done = await catalog.download("126601")
    beside = sorted(path.name for path in Path(done.path).parent.iterdir() if path.suffix != ".safetensors")
    assert beside == (["sdXL_v10.civitai.info", "sdXL_v10.preview.png"] if sidecars == "on" else [])
    assert done.notes == ()
    (room.models / "checkpoints" / "sdXL_v10.civitai.info").write_text("mine")
    assert (await catalog.download("126601")).status == "present"
    assert (room.models / "checkpoints" / "sdXL_v10.civitai.info").read_text() == "mine"
    elsewhere = await catalog.download("126601", directory=tmp_path / "elsewhere")
    assert (Path(elsewhere.path).with_suffix(".civitai.info").exists()) == (sidecars == "on")
    keys = [seen.headers.get("Authorization") for seen in room.sandbox.requests if "original=true" in seen.path]
    assert not any(keys), "a media host gets no key"
    catalog.close()
