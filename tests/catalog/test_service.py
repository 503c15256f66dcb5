"""The service that nodes, shell and routes share, on the sandbox: a whole life, adding, promoting, removing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from catalog_room import LORA, OTHER, Room, content, digests

from pack.civitai_bridge.catalog.query import questions_from
from pack.civitai_bridge.errors import (
    BadInput,
    FileRefused,
    NotALora,
    NotFound,
    NotInCatalog,
    StillOnDisk,
    UnknownReference,
)
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.sandbox import models


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
    version, stated = models.VERSIONS[LORA], digests(LORA)
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
    assert await room.catalog.on_disk(str(LORA)) is None
    await room.catalog.download(str(LORA))
    room.sandbox.requests.clear()
    here = await room.catalog.on_disk(str(LORA))
    assert here is not None and (here.status, here.file) == ("present", "storybookLight_v2.safetensors")
    assert await room.catalog.on_disk(str(OTHER)) is None and room.asked() == []


async def test_the_sockets_of_other_nodes_are_understood(room: Room):
    await room.catalog.add(str(LORA))
    loras = [
        {"air": models.VERSIONS[LORA].air, "strength": 1},
        {"air": "", "name": "storybooklight_v2", "strength": 1},
    ]
    assert [a.located.status for a in (await room.catalog.check(loras)).answers] == ["missing", "missing"]
    data = GenerationData(
        model_air=models.VERSIONS[128078].air, networks=(UsedResource("", name="x", version_id=LORA),)
    )
    assert [a.located.status for a in (await room.catalog.check(data)).answers] == ["not_found", "missing"]
    one = UsedResource("", name="mine.pt", kind="embedding", hash="0xABCDEFABCD")
    assert [(q.query.folder, q.query.hashes) for q in questions_from((one,))] == [("embeddings", ("abcdefabcd",))]
    assert questions_from(["1", {"air": "", "hash": "0xABCDEFABCD", "name": "n"}])[1].query.hashes == ("abcdefabcd",)
    with pytest.raises(BadInput):
        questions_from(7)


async def test_a_network_error_is_unknown_and_never_not_found(room: Room):
    catalog = room.nobody()
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
        ("300061", FileRefused),
        ("300095", FileRefused),
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
    version = models.VERSIONS[300021]
    first, other = (models.file_id(version, file) for file in version.files[:2])
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
        "base_model": "SDXL 1.0", "status": "present", "catalog": "models.json", "changed": False, "parts": [],
        "loader_name": "storybookLight_v2.safetensors", "path": f"{room.models}/loras/storybookLight_v2.safetensors",
    }  # fmt: skip
    assert found["by_version"][str(OTHER)]["catalog"] == "loras.json" and found["by_model"]["300002"] == [OTHER]
    assert [(e["version_id"], e["status"]) for e in await room.catalog.list()] == [
        (LORA, "present"),
        (OTHER, "missing"),
    ]
