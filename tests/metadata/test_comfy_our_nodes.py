"""Our own nodes and CivitAI's in a graph that core's SaveImage kept: references, LoRAs, what only a lookup knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_comfy_packs import base, is_base, loras, sampler
from test_comfy_reader import node, read

from pack.civitai_bridge.metadata.comfy.remarks import MADE_ELSEWHERE

AIR = "urn:air:sdxl:checkpoint:civitai:101055@128078"
REFERENCES: list[tuple[str, str, tuple[str, int | None, int | None]]] = [
    ("an AIR", AIR, (AIR, 128078, 101055)),
    ("a version's id", "128078", ("", 128078, None)),
    ("an address", "https://civitai.com/models/101055?modelVersionId=128078", ("", 128078, None)),
    ("a model's address", "https://civitai.com/models/101055", ("", None, 101055)),
]  # fmt: skip


def generate(**changes: Any) -> dict[str, Any]:
    inputs = {"model": AIR, "prompt": "a red kite over dunes", "negative_prompt": "fog", "seed": 4242, "quantity": 1, "width": 640, "height": 448, "steps": 21, "cfg": 6.0,
              "sampler_name": "euler_ancestral", "scheduler": "karras", "engine": "auto", "operation": "auto", "denoise": 0.7, "clip_skip": 0, "vae": "", "output_format": "png"}  # fmt: skip
    return node("CivitaiBridgeGenerate", **{**inputs, **changes})


@pytest.mark.parametrize(("name", "text", "known"), REFERENCES, ids=[one[0] for one in REFERENCES])
def test_a_generate_nodes_model_is_a_reference(name: str, text: str, known: tuple[str, int | None, int | None]):
    data = read({"1": generate(model=text), "2": node("SaveImage", images=["1", 0])})
    is_base(data, model_name="")
    assert (data.model_air, data.model_version_id, data.model_id) == known
    assert data.denoise is None and data.notes == ()


def test_what_is_left_to_the_engine_is_not_said():
    data = read(
        {
            "1": generate(steps=0, cfg=0.0, width=0, height=0, sampler_name="auto", scheduler="auto"),
            "2": node("SaveImage", images=["1", 0]),
        }
    )
    assert (data.steps, data.cfg, data.width, data.sampler, data.scheduler) == (None, None, None, "", "")
    assert {"The number of steps is not written in the graph.", "The size is not written in the graph."} <= set(
        data.notes
    )


def test_a_generate_node_fed_by_a_lookup_leaves_it_to_that():
    graph = {
        "1": generate(model=["3", 3], prompt=["3", 1], loras=["3", 4]),
        "2": node("SaveImage", images=["1", 0]),
        "3": node("CivitaiBridgeImageData", reference="900001"),
    }
    data = read(graph)
    assert (data.prompt, data.model_air, data.networks) == ("", "", ())
    assert set(data.extra[MADE_ELSEWHERE]) == {"prompt", "model", "networks"}
    assert {
        "The model is not known: another node makes it.",
        "A LoRA is not known: another node makes it.",
        "The prompt is not written in the graph.",
    } == set(data.notes)


@pytest.mark.parametrize(
    ("kind", "slot"), [("CivitaiBridgeResolve", 7), ("CivitaiBridgeDownload", 0), ("CivitaiBridgeCatalogAdd", 1)]
)
def test_a_file_that_our_node_looks_up_is_known_by_its_reference(kind: str, slot: int):
    graph = base(n1=node("CheckpointLoaderSimple", ckpt_name=["20", slot]), n20=node(kind, reference="128078"),
                 n6=sampler(model=["30", 0]), n30=node("LoraLoaderModelOnly", model=["1", 0], lora_name=["31", slot], strength_model=0.6), n31=node(kind, reference="urn:air:sdxl:lora:civitai:1@2"))  # fmt: skip
    data = read(graph)
    is_base(data, model_name="", loras=[("urn:air:sdxl:lora:civitai:1@2", 0.6)])
    assert data.model_version_id == 128078 and data.others == () and data.notes == ()


def test_apply_loras_fed_by_image_data_says_that_loras_are_made_elsewhere():
    data = read(base(n6=sampler(model=["30", 0]), n30=node("CivitaiBridgeApplyLoras", model=["1", 0], clip=["1", 1], loras=["31", 4], missing="error"), n31=node("CivitaiBridgeImageData", reference="900001")))  # fmt: skip
    is_base(data)
    assert data.notes == ("A LoRA is not known: another node makes it.",)


def test_apply_loras_fed_by_civitais_selector_reads_them():
    rows = json.dumps([{"air": "urn:air:sdxl:lora:civitai:1@2", "strength": 0.6, "triggerWord": "ink", "on": True}])
    data = read(base(n6=sampler(model=["30", 0]), n30=node("CivitaiBridgeApplyLoras", model=["1", 0], loras=["31", 0], missing="error"), n31=node("CivitaiLoraLoader", loras_json=rows)))  # fmt: skip
    is_base(data, loras=[("urn:air:sdxl:lora:civitai:1@2", 0.6)])
    assert data.notes == ()


def test_civitais_own_generator_node():
    inputs = {"prompt": "a red kite over dunes", "negative_prompt": "fog", "model": ["20", 0], "sampler": "euler_ancestral", "scheduler": "karras", "steps": 21, "cfg_scale": 6.0, "seed": 4242,
              "width": 640, "height": 448, "loras": ["31", 0], "clip_skip": 2}  # fmt: skip
    rows = json.dumps([{"air": "urn:air:sdxl:lora:civitai:1@2", "strength": 0.6}])
    data = read({"1": node("CivitaiImageGenComfySdxlCreateImage", **inputs), "2": node("SaveImage", images=["1", 0]), "20": node("CivitaiModelSelector", air=AIR, resources_json=""), "31": node("CivitaiLoraLoader", loras_json=rows)})  # fmt: skip
    is_base(data, model_name="", loras=[("urn:air:sdxl:lora:civitai:1@2", 0.6)])
    assert (data.model_air, data.clip_skip, data.notes) == (AIR, 2, ())


def test_civitais_old_checkpoint_loader_by_its_air():
    data = read(base(n1=node("CivitAI_Checkpoint_Loader", ckpt_air="101055@128078", ckpt_name="none")))
    is_base(data, model_name="")
    assert (data.model_version_id, data.model_id) == (128078, 101055) and loras(data) == []
