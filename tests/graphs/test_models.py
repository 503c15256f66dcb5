"""Which models a graph names: loaders of core and of packs, tags and embeddings in texts, references in our nodes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.graphs.models import NamedModel, models_of
from pack.civitai_bridge.graphs.opened import open_graph

AIR = "urn:air:sdxl:lora:civitai:300000@300001"


def named(kind: str, **inputs: Any) -> list[NamedModel]:
    return list(models_of(open_graph({"1": {"class_type": kind, "inputs": inputs}})))


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        ("CheckpointLoaderSimple", {"ckpt_name": "a.safetensors"}, [("ckpt_name", "a.safetensors", "checkpoint", "checkpoints")]),
        ("UNETLoader", {"unet_name": "sub/b.safetensors", "weight_dtype": "default"}, [("unet_name", "sub/b.safetensors", "diffusion_model", "diffusion_models")]),
        ("UnetLoaderGGUF", {"unet_name": "b.gguf"}, [("unet_name", "b.gguf", "diffusion_model", "diffusion_models")]),
        ("DualCLIPLoader", {"clip_name1": "l.safetensors", "clip_name2": "t5.safetensors", "type": "flux"},
         [("clip_name1", "l.safetensors", "text_encoder", "text_encoders"), ("clip_name2", "t5.safetensors", "text_encoder", "text_encoders")]),
        ("VAELoader", {"vae_name": "v.pt"}, [("vae_name", "v.pt", "vae", "vae")]),
        ("CLIPVisionLoader", {"clip_name": "cv.safetensors"}, [("clip_name", "cv.safetensors", "clip_vision", "clip_vision")]),
        ("ControlNetLoader", {"control_net_name": "c.pth"}, [("control_net_name", "c.pth", "controlnet", "controlnet")]),
        ("UpscaleModelLoader", {"model_name": "4x.pth"}, [("model_name", "4x.pth", "upscaler", "upscale_models")]),
        ("LoraLoader", {"lora_name": "x.safetensors", "strength_model": 1.0, "strength_clip": 1.0}, [("lora_name", "x.safetensors", "lora", "loras")]),
        ("Power Lora Loader (rgthree)", {"lora_1": {"on": True, "lora": "p.safetensors", "strength": 0.5}, "lora_2": {"on": False, "lora": "q.safetensors", "strength": 1}},
         [("", "p.safetensors", "lora", "loras")]),
        ("LoraLoader", {"lora_name": "None", "strength_model": 1.0, "strength_clip": 1.0}, []),
        ("LoraLoader", {"lora_name": ["2", 0], "strength_model": 1.0, "strength_clip": 1.0}, []),
        ("CLIPTextEncode", {"text": "a <lora:ink:0.8> embedding:bad, boat"}, [("text", "ink", "lora", "loras"), ("text", "bad", "embedding", "embeddings")]),
        ("SaveImage", {"filename_prefix": "x"}, []),
        ("CivitaiBridgeCatalogCheck", {"resources": f"{AIR}\n\n# no\nnothing known\n128078"}, [("resources", AIR, "", ""), ("resources", "128078", "", "")]),
        ("CivitaiBridgeImageData", {"reference": "900002"}, []),
        ("CivitaiBridgeResolve", {"reference": "https://civitai.com/images/900002"}, []),
    ],
)  # fmt: skip
def test_what_a_node_names(kind: str, inputs: dict[str, Any], expected: list[tuple[str, str, str, str]]):
    assert [(model.input, model.name, model.kind, model.folder) for model in named(kind, **inputs)] == expected


def test_what_the_fleet_uses_is_not_needed_here_and_its_prompt_holds_no_tags():
    (model, vae) = named("CivitaiBridgeGenerate", model=AIR, vae="128078", prompt="a <lora:ink:1>")
    assert (model.place, model.reference, vae.kind, vae.place) == ("fleet", AIR, "vae", "fleet")
    (row, other) = named("CivitaiBridgeLoraList", reference_1="128078", reference_2="7", strength_1=1.0)
    assert (row.place, row.reference, other.reference) == ("disk", "128078", "7")


@pytest.mark.parametrize(
    ("takers", "place"),
    [
        ({"2": ("CivitaiBridgeGenerate", "model", 0)}, "fleet"),
        ({"2": ("CivitaiBridgeGenerate", "model", 0), "3": ("PreviewAny", "source", 8)}, "fleet"),
        ({"2": ("CivitaiBridgeGenerate", "model", 0), "3": ("CheckpointLoaderSimple", "ckpt_name", 7)}, "disk"),
        ({"2": ("CivitaiBridgeGenerate", "model", 0), "3": ("CivitaiBridgeDownload", "reference", 0)}, "disk"),
        ({"3": ("PreviewAny", "source", 8)}, "disk"),
        ({}, "disk"),
    ],
)
def test_what_is_looked_up_for_the_fleet_alone_is_not_needed_here(takers: dict[str, Any], place: str):
    graph = {"1": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": "128078"}}}
    graph |= {key: {"class_type": kind, "inputs": {name: ["1", slot]}} for key, (kind, name, slot) in takers.items()}
    (model,) = models_of(open_graph(graph))
    assert (model.node, model.place) == ("1", place)


def test_a_workflow_beside_the_prompt_says_where_its_models_are():
    workflow = {
        "nodes": [{"id": 1, "type": "X", "properties": {"models": [{"name": "a.safetensors", "url": "https://civitai.com/api/download/models/300001", "directory": "loras"}, 7, {"name": 3}]}}],
        "definitions": {"subgraphs": [{"nodes": [{"properties": {"models": [{"name": "b.safetensors", "url": "https://x/b"}]}}]}]},
    }  # fmt: skip
    hints = open_graph({}, workflow).hints
    assert hints["a.safetensors"] == ("https://civitai.com/api/download/models/300001", "loras")
    assert hints["b.safetensors"] == ("https://x/b", "")


def test_muted_and_bypassed_nodes_of_a_workflow_and_its_subgraphs_name_what_runs():
    def loader(id_: int, name: str, mode: int = 0) -> dict[str, Any]:
        return {
            "id": id_,
            "type": "CheckpointLoaderSimple",
            "mode": mode,
            "widgets_values": [name],
            "inputs": [],
            "outputs": [],
        }

    inside = {"id": "sub", "nodes": [loader(1, "inner.safetensors")], "links": [], "inputs": [], "outputs": []}
    workflow = {
        "nodes": [loader(1, "a.safetensors"), loader(2, "muted.safetensors", 2), loader(3, "bypassed.safetensors", 4),
                  {"id": 4, "type": "sub", "mode": 0, "inputs": [], "outputs": []}, {"id": 5, "type": "sub", "mode": 2, "inputs": [], "outputs": []}],
        "links": [], "definitions": {"subgraphs": [inside]},
    }  # fmt: skip
    assert [(model.node, model.name) for model in models_of(open_graph(None, workflow))] == [
        ("1", "a.safetensors"), ("4:1", "inner.safetensors"),
    ]  # fmt: skip


def test_a_hostile_text_names_no_endless_list():
    (names) = named("CLIPTextEncode", text="<lora:x:1>" * 50_000)
    assert len(names) == 1
    many = {str(i): {"class_type": "VAELoader", "inputs": {"vae_name": f"{i}.pt"}} for i in range(5000)}
    assert len(models_of(open_graph(many))) == 2000


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.lists(st.text(max_size=3), max_size=3)
)
NAMES = st.sampled_from(
    ["lora_name", "ckpt_name", "text", "model", "reference", "resources", "loras", "lora_1", "vae_name"]
)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["LoraLoader", "CivitaiBridgeResolve", "CivitaiBridgeCatalogCheck", "X", "CivitaiBridgeGenerate"]),
    st.dictionaries(NAMES, VALUES, max_size=5),
)
def test_odd_values_name_nothing_odd(kind: str, inputs: dict[str, Any]):
    for model in named(kind, **inputs):
        assert model.name and model.place in ("disk", "fleet") and isinstance(model.reference, str)
