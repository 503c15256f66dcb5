"""The variant table: all of the contract, and which engine a base model runs on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pack_root import ROOT

from pack.civitai_bridge.errors import UnknownVariant
from pack.civitai_bridge.orchestration.variants import engine_for, find, fits, paths, variants
from pack.civitai_bridge.resources.ecosystems import BASE_MODELS

CONTRACT = ROOT.parent / "shared" / "data" / "orchestration-v2-consumers.openapi.json"


def leaves():
    return [variant for operations in variants().values() for variant in operations.values()]


def test_all_leaves_of_the_contract_are_there():
    assert len(leaves()) == 87
    assert len(paths()) == len(set(paths())) == 53


@pytest.mark.parametrize(
    ("path", "kind", "model", "loras", "facts"),
    [
        ("comfy/sdxl", "create", "model", "lora-map", {"steps": (1, 150, 30), "width": (64, 2048, 1024), "quantity": (1, 12, 1)}),
        ("comfy/sd1", "variant", "model", "lora-map", {"width": (64, 1024, 512), "denoiseStrength": (0, 1, 0.75)}),
        ("sdcpp/sdxl", "variant", "model", "lora-map", {"strength": (0, 1, 0.7), "cfgScale": (0, 30, 7)}),
        ("comfy/flux1", "create", "model", "lora-map", {"cfgScale": (0, 30, 3.5)}),
        ("sdcpp/flux1", "create", "diffuserModel", "lora-map", {"width": (832, 1216, 1024), "steps": (4, 50, 28)}),
        ("sdcpp/zImage/turbo", "create", "diffuserModel", "lora-map", {"steps": (1, 150, 9), "cfgScale": (0, 30, 1)}),
        ("sdcpp/qwen/20b", "edit", None, "lora-map", {"width": (0, 2048, None)}),
        ("comfy/anima", "variant", "diffuserModel", "lora-map", {"steps": (1, 150, 30)}),
        ("comfy/hidream-o1/HiDream-O1-Image", "create", "checkpointModel", "lora-map", {"steps": (1, 150, 40)}),
        ("comfy/boogu/edit", "edit", "diffusionModel", "lora-map", {"steps": (1, 150, 25)}),
        ("flux2/dev", "create", None, "lora-list", {"numInferenceSteps": (4, 50, 28), "guidanceScale": (0, 20, 2.5)}),
        ("flux2/klein", "create", None, "lora-map", {"steps": (4, 50, 20)}),
        ("flux2/pro", "create", None, None, {"width": (512, 2048, 1024)}),
        ("google/imagen4", "create", None, None, {"numImages": (1, 4, 1)}),
        ("openai/gpt-image-2", "create", None, None, {"width": (256, 3840, 1024)}),
        ("wan/v2.5/fal", "edit", None, "lora-list", {"quantity": (1, 10, 1)}),
        ("seedream", "create", None, None, {"width": (256, 4096, 1024), "guidanceScale": (1, 10, 2.5)}),
        ("fal/qwen2/pro", "edit", None, None, {"quantity": (1, 10, 1)}),
    ],
)  # fmt: skip
def test_fields_are_the_contracts(path: str, kind: str, model: str | None, loras: str | None, facts: dict[str, tuple]):
    variant = find(path, kind)
    assert (variant.model_field, variant.lora_shape) == (model, loras)
    for name, (low, high, default) in facts.items():
        field = variant.fields[name]
        assert (field.minimum, field.maximum, field.default) == (low, high, default)


def test_selectors_come_in_the_order_in_which_they_must_be_written():
    assert list(find("sdcpp/qwen/20b", "edit").selectors.items()) == [
        ("engine", "sdcpp"), ("ecosystem", "qwen"), ("model", "20b"), ("operation", "editImage"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "engine"),
    [
        ("SD 1.5", "comfy/sd1"), ("SDXL 1.0", "comfy/sdxl"), ("Pony", "comfy/sdxl"), ("Illustrious", "comfy/sdxl"),
        ("NoobAI", "comfy/sdxl"), ("Flux.1 D", "comfy/flux1"), ("Flux.1 Krea", "comfy/flux1"), ("Flux.2 Klein 9B", "flux2/klein"),
        ("ZImageTurbo", "sdcpp/zImage/turbo"), ("Qwen", "sdcpp/qwen/20b"), ("Anima", "comfy/anima"), ("Imagen4", "google/imagen4"),
    ],
)  # fmt: skip
def test_engines(base: str, engine: str):
    assert engine_for(base)[0] == engine


@pytest.mark.parametrize(
    "base", ["SD 2.1", "SD 3.5", "Chroma", "Pony V7", "AuraFlow", "Wan Video 14B t2v", "", "New Thing"]
)
def test_a_base_model_without_an_engine_is_said_to_have_none(base: str):
    with pytest.raises(UnknownVariant, match="no image engine"):
        engine_for(base)


def test_several_engines_are_a_choice_for_the_person():
    with pytest.raises(UnknownVariant, match="flux1-kontext/dev"):
        engine_for("Flux.1 Kontext")


def test_the_table_of_engines_names_only_what_exists():
    data = json.loads((ROOT / "civitai_bridge" / "orchestration" / "engines.json").read_text(encoding="utf-8"))
    assert set(data["base_models"]) <= set(BASE_MODELS)
    for entry in data["base_models"].values():
        for path in [entry["engine"]] if "engine" in entry else entry["choose"]:
            assert path in variants()
        for name, value in entry.get("fields", {}).items():
            assert value in find(entry["engine"], "create").fields[name].choices
    assert set(data["families"]) <= set(paths())


def test_klein_and_dev_are_not_one_family():
    assert fits(find("flux2/klein", "create"), "flux2", "Flux.2 Klein 9B")
    assert not fits(find("flux2/klein", "create"), "flux2", "Flux.2 D")
    assert fits(find("comfy/flux2Dev", "create"), "flux2", "Flux.2 D")
    assert fits(find("wan/v2.2/fal", "create"), "anything", "")


def test_a_wrong_name_says_what_there_is():
    with pytest.raises(UnknownVariant, match="comfy/sdxl"):
        find("sdxl", "create")
    with pytest.raises(UnknownVariant, match="it has: create"):
        find("sdcpp/zImage/turbo", "edit")


def test_both_tables_are_what_the_script_makes(tmp_path: Path):
    if not CONTRACT.is_file():
        pytest.skip("needs the OpenAPI contract in ../shared/data; CI has it")
    tree = tmp_path / "tools"
    tree.mkdir()
    (tree / "make_variants.py").write_text(
        (ROOT / "tools" / "make_variants.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    for folder in ("orchestration", "sandbox"):
        (tmp_path / "civitai_bridge" / folder).mkdir(parents=True)
    subprocess.run([sys.executable, str(tree / "make_variants.py"), str(CONTRACT)], check=True, capture_output=True)
    for name in ("orchestration/variants.json", "sandbox/contract.json"):
        assert (tmp_path / "civitai_bridge" / name).read_text(encoding="utf-8") == (
            ROOT / "civitai_bridge" / name
        ).read_text(encoding="utf-8")
