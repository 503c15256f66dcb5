"""Statuses against both catalogs and the disk: the order of what decides, and the honest shades."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.catalog.answers import Located
from pack.civitai_bridge.catalog.entries import LORAS, MODELS
from pack.civitai_bridge.catalog.query import Query
from pack.civitai_bridge.catalog.state import Catalogs, list_entries, map_entries
from pack.civitai_bridge.catalog.store import CatalogStore
from pack.civitai_bridge.model_files.index import HashIndex
from pack.civitai_bridge.model_files.scan import scan
from pack.civitai_bridge.resources.reference import read_reference
from pack.civitai_bridge.resources.version import ModelFile, ModelVersion


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def entry(version: Any, file: str, dest: str = "loras", **more: Any) -> dict[str, Any]:
    more = {"civitai_model_id": 10, "name": f"Title {version}", "base_model": "SDXL 1.0", **more}
    return {"file": file, "dest": dest, **({"civitai_version_id": version} if version is not None else {}), **more}


class Room:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = root / "models"
        self.extra = root / "extra"
        self.folders = {
            "loras": [self.models / "loras", self.extra / "loras"],
            "diffusion_models": [self.models / "unet", self.models / "diffusion_models"],
        }
        self.index = HashIndex(root / "state" / "h.sqlite3")
        self.catalogs = Catalogs(CatalogStore(root / "state"), self.index, lambda: self.folders, self.models)

    def write(self, *entries: dict[str, Any], name: str = MODELS) -> None:
        text = json.dumps({"version": 1, "categories": [{"id": "x", "models": list(entries)}]})
        (self.root / "state" / name).write_text(text)

    def put(self, path: str, content: str = "content") -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def look(self, **wanted: Any) -> Located:
        scan(self.index, {key: [p for p in paths if p.exists()] for key, paths in self.folders.items()})
        return self.catalogs.locate(Query(**wanted))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def codes(located: Located) -> list[str]:
    return [note.code for note in located.notes]


def test_the_four_statuses(room: Room):
    room.write(entry(1, "here.pt"), entry("2", "away.pt"))
    room.put("models/loras/here.pt")
    assert [room.look(version_id=n).status for n in (1, 2, 3)] == ["present", "missing", "not_found"]
    assert room.look(name="who.pt").status == "unknown"
    assert room.look().status == "unknown"
    here = room.look(version_id=1)
    assert (here.how, here.file, here.place and here.place.folder) == ("version id", "here.pt", "loras")
    assert here.as_json() == {
        "catalog_status": "present",
        "catalog_file": "here.pt",
        "catalog_dest": "loras",
        "catalog_name": "Title 1",
        "path": str(room.models / "loras" / "here.pt"),
        "loader_name": "here.pt",
        "catalog": "models.json",
        "changed": False,
        "parts": [],
    }
    nowhere = {"path": None, "loader_name": "", "catalog": None, "changed": False, "parts": []}
    assert room.look(version_id=3).as_json() == {"catalog_status": "not_found", "catalog_file": None, **nowhere}


def test_a_network_error_is_unknown_never_not_found(room: Room):
    room.write(entry(1, "a.pt"))
    asked = room.look(hashes=("ab" * 32,), trouble="civitai.com could not be reached: no network.")
    assert asked.status == "unknown" and "no network" in asked.sentence()
    assert room.look(hashes=("ab" * 32,)).status == "not_found"
    assert room.look(version_id=1, trouble="x").status == "missing", "what is known here needs nobody"


@pytest.mark.parametrize(
    ("wanted", "how", "file"),
    [
        ({"version_id": 2, "hashes": (sha("1"),), "name": "three"}, "version id", "two.pt"),
        ({"version_id": 99, "hashes": (sha("1"), sha("3")[:10]), "name": "three"}, "full hash", "one.pt"),
        ({"hashes": (sha("1").upper(),)}, "full hash", "one.pt"),
        ({"hashes": (sha("3")[:10], sha("1")), "name": "two"}, "full hash", "one.pt"),
        ({"hashes": (sha("3")[:10],), "name": "two"}, "short hash", "three.pt"),
        ({"hashes": ("0x" + sha("3")[:10].upper(),)}, "short hash", "three.pt"),
        ({"hashes": (sha("3")[:12],)}, "short hash", "three.pt"),
        ({"hashes": ("abcdefabcdef",)}, "short hash", "two.pt"),
        ({"name": "sub\\THREE.safetensors"}, "name", "three.pt"),
        ({"name": "civitai_3_three"}, "name", "three.pt"),
        ({"name": "thre"}, "", ""),
        ({"name": "hree.pt"}, "", ""),
        ({"name": "Title 3"}, "", ""),
        ({"name": "three", "folder": "loras"}, "name", "three.pt"),
        ({"name": "three", "folder": "checkpoints"}, "", ""),
        ({"name": "three", "version_id": 77}, "", ""),
        ({"name": "three", "hashes": ("ff" * 32,)}, "", ""),
        ({"name": "three", "hashes": ("ff" * 5,)}, "", ""),
        ({"hashes": (sha("1")[:9],)}, "", ""),
        ({"hashes": ("e3b0c44298fc",)}, "", ""),
        ({"hashes": ("e3b0c442",)}, "", ""),
        ({"model_id": 10}, "", ""),
    ],
    ids=range(22),
)
def test_the_order_is_version_full_hash_short_hash_exact_name(wanted: dict[str, Any], how: str, file: str, room: Room):
    room.write(
        entry(1, "one.pt", hash=sha("1").upper()),
        entry(2, "two.pt", autov3="ABCDEFABCDEF"),
        entry(3, "three.pt", hash="0x" + sha("3")),
    )
    found = room.look(**wanted)
    assert (found.how, found.entry.file if found.entry else "") == (how, file)


def test_a_short_hash_or_name_that_fits_two_is_not_taken(room: Room):
    room.write(entry(1, "a.pt", hash="12345678"), entry(2, "b.pt", hash="12345678"), entry(4, "sub/a.pt"))
    found = room.look(hashes=("12345678",))
    assert (found.status, codes(found)) == ("not_found", ["ambiguous"])
    found = room.look(name="a")
    assert (found.status, codes(found)) == ("unknown", ["ambiguous"])


def test_both_catalogs_are_searched_and_what_is_here_wins(room: Room):
    room.write(entry(1, "a.pt", dest="nowhere"))
    room.write(entry(1, "a.pt"), entry(2, "b.pt"), name=LORAS)
    room.put("models/loras/a.pt")
    found = room.look(version_id=1)
    assert (found.status, found.entry and found.entry.catalog) == ("present", LORAS)
    assert room.look(version_id=2).status == "missing"


def test_dest_is_a_folder_key_first_then_below_the_models_root(room: Room):
    room.write(
        entry(1, "a.pt"),
        entry(2, "b.pt", dest="unet"),
        entry(3, "c.pt", dest="own/place"),
        entry(4, "d.pt", dest="loras/style"),
        entry(5, "style/e.pt"),
        entry(6, "f.pt", dest=""),
    )
    for path in ("extra/loras/a.pt", "models/diffusion_models/b.pt", "models/own/place/c.pt", "extra/loras/style/d.pt", "models/loras/style/e.pt"):  # fmt: skip
        room.put(path)
    found = [room.look(version_id=n) for n in range(1, 7)]
    assert [f.status for f in found] == ["present"] * 5 + ["missing"]
    assert [(f.place.folder, f.place.name) for f in found if f.place] == [
        ("loras", "a.pt"),
        ("diffusion_models", "b.pt"),
        ("", "own/place/c.pt"),
        ("loras", "style/d.pt"),
        ("loras", "style/e.pt"),
    ]


@pytest.mark.parametrize("file", ["../../x.pt", "/etc/passwd", "a/../../x.pt", "C:\\x.pt", "", "..", "a//b"])
def test_an_entry_never_leads_out_of_its_folder(file: str, room: Room):
    room.put("x.pt")
    room.put("models/x.pt")
    room.write(entry(1, file), entry(2, file, dest="own"), entry(3, "x.pt", dest="../.."), entry(4, "x.pt", dest="/"))
    assert [room.look(version_id=n).status for n in (1, 2, 3)] == ["missing"] * 3
    assert "bad_name" in codes(room.look(version_id=1))


def test_the_same_bytes_under_another_name_are_here(room: Room):
    room.write(entry(1, "a.pt", hash=sha("content")))
    room.put("extra/loras/renamed.pt")
    found = room.look(version_id=1)
    assert (found.status, found.file, codes(found)) == ("present", "renamed.pt", ["same_bytes"])
    assert "renamed.pt" in found.sentence()


def test_a_file_that_no_catalog_has_is_said(room: Room):
    room.write()
    room.put("models/loras/sub/x.pt")
    for wanted in ({"version_id": 5, "hashes": (sha("content"),)}, {"hashes": (sha("content")[:10],)}):
        found = room.look(**wanted)
        assert (found.status, found.file, codes(found)) == ("not_found", "sub/x.pt", ["on_disk"])
    assert room.look(name="x").file == "sub/x.pt"
    assert room.look(name="x", version_id=5).file == "", "a name alone does not make it that version"


def test_another_version_and_another_file_are_told_apart(room: Room):
    room.write(entry(1, "a-fp8.pt", civitai_file_id=11, hash="aa" * 32))
    found = room.look(version_id=2, model_id=10)
    assert (found.status, codes(found)) == ("not_found", ["other_version"])
    assert "a-fp8.pt" in found.notes[0].text
    assert codes(room.look(version_id=1, file_id=12)) == ["other_file"]
    assert codes(room.look(version_id=1, hashes=("bb" * 32,))) == ["other_file"]
    assert codes(room.look(version_id=1, file_id=11, hashes=("AA" * 32,))) == []


def test_of_two_files_of_a_version_the_named_one_is_taken(room: Room):
    room.write(entry(1, "a.pt", civitai_file_id=11), entry(1, "b.pt", civitai_file_id=12))
    assert [room.look(version_id=1, file_id=n).entry.file for n in (11, 12)] == ["a.pt", "b.pt"]  # type: ignore[union-attr]


def test_a_file_with_other_bytes_than_its_entry_says_is_said(room: Room):
    room.write(entry(1, "a.pt", hash="aa" * 32))
    room.put("models/loras/a.pt")
    found = room.look(version_id=1)
    assert (found.status, found.place, codes(found)) == ("missing", None, ["other_bytes"])
    assert (
        list_entries(room.catalogs.snapshot())[0]["path"] is None
        and map_entries(room.catalogs.snapshot())["by_version"]["1"]["status"] == "missing"
    )
    room.put("models/loras/a.pt", "written anew, and hashed by nobody yet")
    changed = room.catalogs.locate(Query(version_id=1))
    assert (changed.status, changed.changed, changed.loader_name, codes(changed)) == ("unknown", True, "", ["changed"])


def test_the_right_bytes_are_found_beside_a_file_that_has_only_the_name(room: Room):
    room.write(entry(1, "a.pt", hash=sha("right")))
    room.put("models/loras/a.pt", "somebody's own")
    room.put("models/loras/b.pt", "right")
    found = room.look(version_id=1)
    assert (found.status, found.file, codes(found)) == ("present", "b.pt", ["other_bytes", "same_bytes"])


def test_a_display_name_proves_nothing(room: Room):
    room.write(entry(1, "a.pt", name="Detail Tweaker"))
    room.put("models/loras/a.pt")
    found = room.look(name="detail tweaker")
    assert (found.status, found.entry, codes(found)) == ("unknown", None, ["same_title"])


def test_a_file_deleted_since_the_scan_is_not_here(room: Room):
    room.write()
    room.put("models/loras/x.pt")
    assert room.look(hashes=(sha("content"),)).file == "x.pt"
    (room.models / "loras" / "x.pt").unlink()
    assert room.catalogs.locate(Query(hashes=(sha("content"),))).place is None


def test_the_map_is_doubly_indexed(room: Room):
    room.write(entry(1, "a.pt"), entry("2", "b.pt"), entry(None, "c.pt"))
    room.write(entry(1, "a.pt", dest="nowhere"), name=LORAS)
    room.put("models/loras/a.pt")
    found = map_entries(room.catalogs.snapshot())
    assert found["by_version"] == {
        "1": {"file": "a.pt", "dest": "loras", "name": "Title 1", "base_model": "SDXL 1.0", "status": "present", "catalog": MODELS,
              "path": str(room.models / "loras" / "a.pt"), "loader_name": "a.pt", "changed": False, "parts": []},
        "2": {"file": "b.pt", "dest": "loras", "name": "Title 2", "base_model": "SDXL 1.0", "status": "missing", "catalog": MODELS,
              "path": None, "loader_name": "", "changed": False, "parts": []},
    }  # fmt: skip
    assert found["by_model"] == {"10": [1, 2]}
    json.dumps(found)


def test_odd_entries_harm_nobody(room: Room):
    room.write({"file": 3, "dest": None, "civitai_version_id": 1, "hash": 7}, {}, {"civitai_version_id": [1]})
    assert room.look(version_id=1).status == "missing"
    assert map_entries(room.catalogs.snapshot())["by_version"]["1"]["file"] == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("urn:air:sdxl:lora:civitai:10@20+30", Query(version_id=20, model_id=10, file_id=30)),
        ("12345", Query(version_id=12345)),
        ("https://civitai.com/models/10", Query(model_id=10)),
        ("ab" * 32, Query(hashes=("ab" * 32,))),
        ("x.safetensors", Query(name="x.safetensors")),
        ("https://civitai.com/images/1", Query()),
    ],
)
def test_a_reference_is_looked_for_as_far_as_it_says(text: str, wanted: Query):
    assert Query.from_reference(read_reference(text)) == wanted


def test_a_resource_is_looked_for_by_all_it_has():
    file = ModelFile(7, "a.pt", "Model", 1.0, {"SHA256": "AA", "AutoV3": "BB", "CRC32": "CC"}, primary=True)
    resource = ModelVersion("urn:air:sdxl:lora:civitai:1@2", 2, 1, "A", "v1", "SDXL 1.0", "lora", files=(file,))
    assert Query.from_version(resource) == Query(2, 1, None, ("AA", "BB"), "a.pt", title="A v1", files=(file,))
    assert Query.from_version(resource, file).file_id == 7


@pytest.mark.parametrize("length", [10, 12])
def test_the_same_bytes_by_a_short_hash_are_said_too(length: int, room: Room):
    room.write(entry(1, "away.pt", autov3=sha("content")[:length]))
    room.put("models/loras/renamed.pt")
    found = room.look(hashes=(sha("content")[:length],))
    assert (found.status, found.how, found.file) == ("present", "short hash", "renamed.pt")
    assert codes(found) == ["same_bytes"] and "renamed.pt in loras" in found.sentence()


def test_what_lies_in_a_folder_that_comfyui_has_no_more_is_not_here(room: Room):
    room.put("extra/loras/a.pt")
    assert room.look(hashes=(sha("content"),)).file == "a.pt"
    room.folders = {**room.folders, "loras": [room.models / "loras"]}
    assert room.look(hashes=(sha("content"),)).place is None
    room.put("models/loras/b.pt")
    assert room.look(hashes=(sha("content"),)).file == "b.pt"
