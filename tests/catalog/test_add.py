"""Adding, promoting and removing, with the answers of the routes to the letter; and kills in between."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pack_root import ROOT
from versions import entries, lora, version

from pack.civitai_bridge.catalog.add import add, choose_file, is_entry_of, restriction
from pack.civitai_bridge.catalog.entries import LORAS, MODELS, entry_from_json, lora_category, place_of
from pack.civitai_bridge.catalog.promote import promote
from pack.civitai_bridge.catalog.store import CatalogStore, Change
from pack.civitai_bridge.errors import BadInput, CatalogTrouble, FileRefused, NotALora, NotInCatalog
from pack.civitai_bridge.model_files.names import below, safe_name, with_suffix


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    return CatalogStore(tmp_path, clock=lambda: datetime(2026, 11, 20, 14, 5))


# --- add


def test_an_added_version_is_answered_and_written_as_the_facts_say(store: CatalogStore):
    answer = add(store, version()).as_json()
    assert answer == {
        "status": "added",
        "file": "juggernautXL_v9.safetensors",
        "name": "Juggernaut XL v9 [SDXL 1.0 FP16]",
        "category": "checkpoints",
        "dest": "checkpoints",
    }
    assert list(answer) == ["status", "file", "name", "category", "dest"]
    assert entries(store) == [
        {
            "name": "Juggernaut XL v9 [SDXL 1.0 FP16]", "file": "juggernautXL_v9.safetensors", "dest": "checkpoints",
            "source": "civitai", "civitai_version_id": 123456, "civitai_model_id": 1234, "civitai_file_id": 99,
            "size_gb": 6.775, "base_model": "SDXL 1.0", "tags": [], "trigger_words": ["jug"], "downloads": 1000,
            "hash": "AB" * 32, "autov3": "E" * 12, "air": "urn:air:sdxl:checkpoint:civitai:1234@123456",
            "type": "Checkpoint", "usage_control": "Download", "nsfw_level": 3,
            "download_url": "https://civitai.com/api/download/models/123456?fileId=99",
        }
    ]  # fmt: skip


def test_a_version_that_is_there_is_not_added_again(store: CatalogStore):
    add(store, version())
    assert add(store, version()).as_json() == {"status": "already_exists", "file": "juggernautXL_v9.safetensors"}
    same_bytes = version(id=5, file={"name": "other.safetensors"})
    assert add(store, same_bytes).as_json() == {"status": "already_exists", "file": "juggernautXL_v9.safetensors"}
    add(store, lora())
    promote(store, 7)
    assert add(store, lora()).status == "already_exists", "loras.json counts too"
    assert len(entries(store)) == 1


def test_an_entry_with_a_numeric_string_is_that_version(store: CatalogStore):
    text = '{"categories": [{"id": "x", "models": [{"file": "old.pt", "civitai_version_id": "123456"}]}]}'
    (store.folder / MODELS).write_text(text)
    assert add(store, version()).file == "old.pt"
    assert (store.folder / MODELS).read_text() == text


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"usageControl": "Generation"}, "This model is 'Generation' only — download not allowed by the creator"),
        ({"usageControl": "InternalGeneration", "paidAccess": {}}, "This model is 'InternalGeneration' only — download not allowed by the creator"),
        ({"paidAccess": {"permanent": False, "endsAt": "2026-12-01T00:00:00Z"}}, "early access until 2026-12-01T00:00:00Z"),
        ({"paidAccess": {"permanent": True, "endsAt": None}}, "sold by its creator"),
        ({"model": {"mode": "Archived"}, "files": []}, "archived"),
        ({"model": {"mode": "TakenDown"}}, "taken down"),
        ({"files": []}, "no file"),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_may_not_be_downloaded_is_restricted(more: dict[str, Any], reason: str, store: CatalogStore):
    answer = add(store, version(**more)).as_json()
    assert list(answer) == ["status", "reason"] and answer["status"] == "restricted"
    assert reason in answer["reason"]
    assert not (store.folder / MODELS).exists()
    assert restriction(version()) == ""


@pytest.mark.parametrize(
    ("model_type", "file_type", "base", "category", "dest"),
    [
        ("Checkpoint", "Model", "SDXL 1.0", "checkpoints", "checkpoints"),
        ("Checkpoint", "Pruned Model", "Pony", "checkpoints", "checkpoints"),
        ("Checkpoint", "Model", "Flux.1 D", "diffusion_models", "diffusion_models"),
        ("Checkpoint", "Model", "Wan Video 2.2 T2V-A14B", "diffusion_models", "diffusion_models"),
        ("Checkpoint", "Model", "Hunyuan Video", "diffusion_models", "diffusion_models"),
        ("Checkpoint", "Model", "CogVideoX", "diffusion_models", "diffusion_models"),
        ("Checkpoint", "Model", "LTXV2", "diffusion_models", "diffusion_models"),
        ("Checkpoint", "Diffusion Model", "SDXL 1.0", "diffusion_models", "diffusion_models"),
        ("Checkpoint", "Text Encoder", "Flux.1 D", "text_encoders", "text_encoders"),
        ("LORA", "Model", "Flux.1 D", "loras", "loras"),
        ("LoCon", "Model", "SD 1.5", "loras", "loras"),
        ("DoRA", "Model", "SD 1.5", "loras", "loras"),
        ("LORA", "VAE", "SD 1.5", "vae", "vae"),
        ("VAE", "Model", "SD 1.5", "vae", "vae"),
        ("TextualInversion", "Model", "SD 1.5", "embeddings", "embeddings"),
        ("TextualInversion", "Negative", "SD 1.5", "embeddings", "embeddings"),
        ("AestheticGradient", "Model", "SD 1.5", "embeddings", "embeddings"),
        ("Controlnet", "Model", "SD 1.5", "controlnet", "controlnet"),
        ("Poses", "Archive", "SD 1.5", "controlnet", "controlnet"),
        ("Upscaler", "Model", "Upscaler", "upscalers", "upscale_models"),
        ("UNet", "Model", "SDXL 1.0", "diffusion_models", "diffusion_models"),
    ],
)
def test_the_place_is_by_file_type_then_model_type(
    model_type: str, file_type: str, base: str, category: str, dest: str
):
    resource = version(baseModel=base, model={"type": model_type}, file={"type": file_type})
    assert place_of(resource, resource.files[0]) == (category, dest)


@pytest.mark.parametrize("model_type", ["Workflows", "Wildcards", "Other", "ComfyWorkflows", "Neu"])
def test_a_type_without_a_folder_is_an_error_not_a_guess(model_type: str, store: CatalogStore):
    with pytest.raises(FileRefused, match="no model folder"):
        add(store, version(model={"type": model_type}))
    with pytest.raises(FileRefused, match="no model folder"):
        add(store, version(file={"type": "Training Data"}))


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"name": "Juggernaut XL"}, "Juggernaut XL [SDXL 1.0 FP16]"),
        ({"file": {"metadata": {}}}, "Juggernaut XL v9 [SDXL 1.0]"),
        ({"file": {"metadata": {"format": "GGUF", "fp": "fp16", "quantType": "Q4_K_M"}}}, "Juggernaut XL v9 [SDXL 1.0 Q4_K_M]"),
        ({"baseModel": ""}, "Juggernaut XL v9 [FP16]"),
        ({"baseModel": "", "file": {"metadata": {}}}, "Juggernaut XL v9"),
    ],
    ids=range(5),
)  # fmt: skip
def test_the_display_name_leaves_out_what_is_unknown(more: dict[str, Any], name: str, store: CatalogStore):
    assert add(store, version(**more)).name == name


def test_another_file_of_the_same_name_gets_a_name_of_its_own(store: CatalogStore):
    add(store, version())
    other = version(id=5, file={"hashes": {"SHA256": "CD" * 32}, "name": "JuggernautXL_v9.safetensors"})
    assert add(store, other).file == "JuggernautXL_v9_5.safetensors"
    assert add(store, lora(8, file={"name": "juggernautXL_v9.safetensors"})).file == "juggernautXL_v9.safetensors"


def test_a_named_file_of_a_version_is_added_beside_the_primary(store: CatalogStore):
    files = [
        {"id": 1, "name": "a.safetensors", "type": "Model", "primary": True, "hashes": {}},
        {"id": 2, "name": "te.safetensors", "type": "Text Encoder", "hashes": {}},
    ]
    resource = version(files=files)
    add(store, resource)
    assert add(store, resource, file_id=2).dest == "text_encoders"
    assert add(store, resource, file_id=2).status == "already_exists"
    with pytest.raises(BadInput, match=r"no file 3; it has 1 \(a.safetensors\), 2"):
        add(store, resource, file_id=3)


def test_a_dangerous_file_is_refused():
    with pytest.raises(FileRefused, match="a virus"):
        choose_file(version(file={"virusScanResult": "Danger"}))
    with pytest.raises(FileRefused, match="code that runs"):
        choose_file(version(file={"pickleScanResult": "Danger"}))


def test_a_name_from_outside_stays_a_name(store: CatalogStore):
    assert add(store, version(file={"name": "../../CON.safetensors"})).file == "_CON.safetensors"
    with pytest.raises(BadInput, match="no usable name"):
        add(store, version(id=8, file={"name": "..", "hashes": {}}))


# --- names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.safetensors", "a.safetensors"),
        ("../../x.pt", "x.pt"),
        ("..\\..\\x.pt", "x.pt"),
        ("/etc/passwd", "passwd"),
        ("C:\\x.pt", "x.pt"),
        ("C:x.pt", "C_x.pt"),
        ("CON", "_CON"),
        ("con.pt", "_con.pt"),
        ("nul .pt", "_nul.pt"),
        ("COM1.safetensors", "_COM1.safetensors"),
        ("LPT9", "_LPT9"),
        ("console.pt", "console.pt"),
        ("a\x00b\n.pt", "a_b_.pt"),
        ("a<b>c?.pt", "a_b_c_.pt"),
        ("x.pt.", "x.pt"),
        (" x.pt ", "x.pt"),
        (".hidden.pt", "_.hidden.pt"),
        ("日本語.safetensors", "日本語.safetensors"),
        ("evil\u202etp.exe", "evil_tp.exe"),
        ("..", ""),
        ("", ""),
        ("/", ""),
        ("...", ""),
        ("a/", ""),
    ],
)
def test_names_are_made_safe(name: str, safe: str):
    assert safe_name(name) == safe


@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_a_name_is_cut_and_keeps_its_ending(letter: str):
    cut = safe_name(letter * 400 + ".safetensors")
    assert cut.endswith(".safetensors") and 190 <= len(cut.encode()) <= 200 and safe_name(cut) == cut
    longer = with_suffix(cut, "_300001")
    assert longer.endswith("_300001.safetensors") and safe_name(longer) == longer


def test_a_path_stays_below_its_root():
    assert below("root", "a/b.pt") == os.path.join("root", "a", "b.pt")
    for name in ("", "..", "a/../b", "/a", "a//b", "C:\\a", "a\0", "\\\\host\\share"):
        assert below("root", name) is None


# --- promote


@pytest.mark.parametrize(
    ("base", "category"),
    [
        ("Wan Video 2.2 I2V-A14B", "wan_loras"),
        ("Flux.1 D", "flux_loras"),
        ("Flux.2 Klein 9B", "flux_loras"),
        ("SDXL 1.0", "sdxl_loras"),
        ("Pony", "sdxl_loras"),
        ("Illustrious", "sdxl_loras"),
        ("NoobAI", "sdxl_loras"),
        ("SD 1.5", "sd15_loras"),
        ("SD 1.4", "sd15_loras"),
        ("SD 2.1", "other_loras"),
        ("", "other_loras"),
        ("Qwen", "other_loras"),
    ],
)
def test_the_category_of_a_lora_is_by_its_base_model(base: str, category: str):
    assert lora_category(base) == category


def test_a_promoted_entry_moves_with_all_it_says(store: CatalogStore):
    text = """{ "version": 4, "date": "", "categories": [ { "id": "loras", "models": [
    { "name": "Ink \\u00e9", "file": "ink.pt", "dest": "loras", "civitai_version_id": "7", "n": 1.50,
      "trigger_words": ["a"], "civitai_base_model": "Pony" },
    { "name": "Other", "file": "o.pt", "dest": "loras", "civitai_version_id": 8 } ] } ] }"""
    (store.folder / MODELS).write_text(text)
    assert promote(store, 7).as_json() == {"status": "promoted", "file": "ink.pt", "category": "sdxl_loras"}
    moved = (store.folder / LORAS).read_text()
    assert '"name": "Ink \\u00e9"' in moved and '"n": 1.50' in moved
    assert entries(store, LORAS)[0]["strength"] == 1.0
    assert [entry["civitai_version_id"] for entry in entries(store)] == [8]
    assert '{ "name": "Other", "file": "o.pt", "dest": "loras", "civitai_version_id": 8 } ] } ] }' in (store.folder / MODELS).read_text()  # fmt: skip
    before = (store.folder / LORAS).read_text()
    assert promote(store, 7).as_json() == {"status": "already_exists"}
    assert (store.folder / LORAS).read_text() == before
    assert sorted(path.name for path in store.folder.iterdir()) == [
        ".catalogs.lock", "loras.json", "models.json", "models.json.previous"
    ]  # fmt: skip


def test_an_entry_in_both_catalogs_loses_its_copy(store: CatalogStore):
    add(store, lora())
    (store.folder / LORAS).write_text((store.folder / MODELS).read_text())
    before = (store.folder / LORAS).read_text()
    assert promote(store, 7).as_json() == {"status": "already_exists"}
    assert entries(store) == [] and (store.folder / LORAS).read_text() == before


def test_what_cannot_be_promoted_is_said(store: CatalogStore):
    with pytest.raises(NotInCatalog, match="is not in models"):
        promote(store, 7)
    add(store, version())
    with pytest.raises(NotALora, match="dest is 'checkpoints'"):
        promote(store, 123456)
    assert len(entries(store)) == 1 and not (store.folder / LORAS).exists()


def test_two_files_of_a_version_are_promoted_together(store: CatalogStore):
    with store.changing() as change:
        for name in ("a.pt", "b.pt"):
            change.append(MODELS, "loras", {"file": name, "dest": "loras", "civitai_version_id": 7})
    assert promote(store, 7).file == "a.pt"
    assert [entry["file"] for entry in entries(store, LORAS)] == ["a.pt", "b.pt"] and entries(store) == []


class Killed(BaseException):
    pass


class Ending(Change):
    """A change that ends at the nth call of one of its methods, before or after it has done its work."""

    def __init__(self, store: CatalogStore, where: str, after: bool, calls: int, error: BaseException) -> None:
        super().__init__(store)
        self.where, self.after, self.calls, self.error = where, after, calls, error

    def _at(self, name: str, work: Callable[[], Any]) -> Any:
        self.calls -= name == self.where
        is_end = name == self.where and self.calls == 0
        done = work() if not is_end or self.after else None
        if is_end:
            raise self.error
        return done

    def intend(self, *more: Any) -> Any:
        return self._at("intend", lambda: Change.intend(self, *more))

    def append(self, *more: Any) -> Any:
        return self._at("append", lambda: Change.append(self, *more))

    def remove(self, *more: Any) -> Any:
        return self._at("remove", lambda: Change.remove(self, *more))

    def done(self) -> Any:
        return self._at("done", lambda: Change.done(self))


def ending(store: CatalogStore, where: str, after: bool = False, calls: int = 1, error: Any = Killed) -> CatalogStore:
    return CatalogStore(store.folder, change=lambda held: Ending(held, where, after, calls, error()))


@pytest.mark.parametrize("where", ["intend", "append", "remove", "done"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("edited", [False, True])
def test_a_promote_killed_anywhere_is_finished_or_undone(where: str, after: bool, edited: bool, store: CatalogStore):
    add(store, lora(7))
    add(store, lora(8))
    with pytest.raises(Killed):
        promote(ending(store, where, after), 7)
    if edited:  # a person edits the file before anybody opens it again
        text = (store.folder / MODELS).read_text()
        (store.folder / MODELS).write_text(text.replace('"tags": []', '"tags": ["mine"]'))
    both = [[e["civitai_version_id"] for e in entries(store, name)] for name in (MODELS, LORAS)]
    assert sorted(both[0] + both[1]) == [7, 8], "neither lost nor doubled"
    assert not (store.folder / ".promoting.json").exists()
    if edited:
        assert '"mine"' in (store.folder / MODELS).read_text()
    assert promote(store, 7).status in ("promoted", "already_exists")
    assert [e["civitai_version_id"] for e in entries(store, LORAS)] == [7]


TWICE = [
    {"file": "a.pt", "dest": "loras", "civitai_version_id": 7, "note": "mine 1", "n": float("nan")},
    {"file": "a.pt", "dest": "loras", "civitai_version_id": "7", "note": "mine 2", "strength": 0.5},
]


def noted_twice(store: CatalogStore) -> None:
    """One entry in each of two categories, of the same file."""
    categories = [{"id": name, "models": [entry]} for name, entry in zip(("loras", "z"), TWICE, strict=True)]
    (store.folder / MODELS).write_text(json.dumps({"version": 1, "categories": categories}))


def test_what_a_person_noted_twice_is_moved_twice(store: CatalogStore):
    noted_twice(store)
    assert promote(store, 7).as_json() == {"status": "promoted", "file": "a.pt", "category": "other_loras"}
    assert entries(store) == []
    assert [(e["note"], e["strength"]) for e in entries(store, LORAS)] == [("mine 1", 1.0), ("mine 2", 0.5)]


@pytest.mark.parametrize("where", ["intend", "append", "remove", "done"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("edited", [False, True])
def test_no_note_is_lost_by_a_promote_that_is_killed(
    where: str, after: bool, calls: int, edited: bool, store: CatalogStore
):
    noted_twice(store)
    with contextlib.suppress(Killed):
        promote(ending(store, where, after, calls), 7)
    if edited and (store.folder / LORAS).exists():  # before anybody opens it again
        text = (store.folder / LORAS).read_text()
        (store.folder / LORAS).write_text(text.replace('"note": "mine 1"', '"note": "mine 1", "more": 1'))
    found = [entry["note"] for name in (MODELS, LORAS) for entry in entries(store, name)]
    assert sorted(found) == ["mine 1", "mine 2"] and not (store.folder / ".promoting.json").exists()


def test_an_intent_that_was_cut_off_means_nothing(store: CatalogStore):
    add(store, lora())
    (store.folder / ".promoting.json").write_text('{"version_id": 7, "fi')
    assert [e["civitai_version_id"] for e in entries(store)] == [7]
    assert not (store.folder / ".promoting.json").exists()


def test_a_promote_that_cannot_finish_says_where_the_entry_is(store: CatalogStore):
    add(store, lora())

    def full() -> CatalogTrouble:
        return CatalogTrouble("the disk is full.")

    with pytest.raises(CatalogTrouble, match=r"stands in loras\.json now"):
        promote(ending(store, "remove", error=full), 7)
    assert entries(store) == [] and len(entries(store, LORAS)) == 1


@pytest.mark.parametrize(
    ("entry", "files"),
    [
        ({"civitai_file_id": 99}, [99]),
        ({"civitai_file_id": 100, "hash": "AB" * 32}, [100]),
        ({"hash": "ab" * 32}, [99]),
        ({"hash": "CD" * 32}, [100]),
        ({"hash": "d" * 10}, [99]),
        ({"hash": "EF" * 32}, []),
        ({}, [99]),
        ({"civitai_version_id": 5}, []),
    ],
)
def test_an_entry_without_a_files_id_is_known_by_its_hash(entry: dict[str, Any], files: list[int]):
    resource = version()
    other = replace(resource.files[0], id=100, name="fp8.safetensors", primary=False, hashes={"SHA256": "CD" * 32})
    resource = replace(resource, files=(*resource.files, other))
    read = entry_from_json({"civitai_version_id": 123456, **entry})
    assert [file.id for file in resource.files if is_entry_of(read, resource, file)] == files


def test_a_name_that_another_file_on_disk_has_is_not_taken(store: CatalogStore):
    free = ["ink7_7.safetensors"]
    assert add(store, lora(), is_free=lambda dest, name, file: dest == "loras" and name in free).file == free[0]
    with pytest.raises(BadInput, match="Every name for ink8"):
        add(store, lora(8), is_free=lambda *_: False)


# --- kills


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_the_catalogs_survive_kills(monkeypatch: pytest.MonkeyPatch):
    """A few rounds here; 200 by `python tests/fire/catalog_kills.py`."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "fire"))
    import catalog_kills

    assert catalog_kills.rounds(5, seed=1) == []
