"""What made the pictures of a workflow, read from its own input: every dialect of it, and any JSON at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.metadata.generation import GenerationData, loras_of
from pack.civitai_bridge.orchestration.body import build
from pack.civitai_bridge.orchestration.request import GenerationRequest, ResolvedLora
from pack.civitai_bridge.resources.version import ModelVersion
from pack.civitai_bridge.workflows.details import details_from_json
from pack.civitai_bridge.workflows.generation import generation_of, paid

MODEL = "urn:air:sdxl:checkpoint:civitai:101055@128078"
LORA = "urn:air:sdxl:lora:civitai:3@4"


def workflow(*steps: dict[str, Any], **more: Any) -> Any:
    return details_from_json({"id": "1-2", "status": "succeeded", "steps": list(steps), **more})


def step(kind: str, asked: dict[str, Any], count: int = 2, name: str = "a") -> dict[str, Any]:
    images = [{"id": f"{name}{place}.png", "available": True, "url": "https://x"} for place in range(count)]
    return {"$type": kind, "name": name, "input": asked, "output": {"images": images}}


def generation(*steps: dict[str, Any], **more: Any) -> GenerationData:
    details = workflow(*steps, **more)
    return generation_of(details, details.outputs, {}, "CivitAI orchestration")


def test_the_fields_of_an_image_are_read_as_comfyui_spells_them():
    asked = {"engine": "sdcpp", "ecosystem": "sdxl", "operation": "createVariant", "model": MODEL, "prompt": "a cat"}
    asked |= {"negativePrompt": "fog", "steps": 20, "cfgScale": 7, "sampleMethod": "euler_a", "schedule": "discrete"}
    asked |= {"seed": 5, "width": 64, "height": 96, "strength": 0.4, "loras": {LORA: 0.8}, "vaeModel": "urn:air:sdxl:vae:civitai:5@6"}  # fmt: skip
    made = generation(step("imageGen", asked), transactions={"list": [{"type": "debit", "amount": 8}]})
    assert (made.prompt, made.negative_prompt, made.model_air, made.model_version_id) == ("a cat", "fog", MODEL, 128078)
    assert (made.sampler, made.scheduler, made.cfg, made.guidance) == ("euler_ancestral", "normal", 7.0, None)
    assert (made.seed, made.width, made.height, made.denoise, made.engine) == (5, 64, 96, 0.4, "sdcpp/sdxl")
    assert [(lora["air"], lora["strength"], lora["version_id"]) for lora in loras_of(made)] == [(LORA, 0.8, 4)]
    assert [(used.kind, used.version_id) for used in made.others] == [("vae", 6)]
    assert (made.arrived, made.workflow_id, made.cost) == ((0, 1), "1-2", 8.0)


@pytest.mark.parametrize(
    ("asked", "cfg", "guidance", "engine"),
    [
        (
            {"engine": "comfy", "ecosystem": "flux1", "operation": "createImage", "cfgScale": 3.5},
            None,
            3.5,
            "comfy/flux1",
        ),
        ({"engine": "flux2", "model": "dev", "operation": "createImage", "guidanceScale": 2.5}, None, 2.5, "flux2/dev"),
        ({"engine": "flux2", "model": "klein", "operation": "editImage", "cfgScale": 1}, 1.0, None, "flux2/klein"),
        ({"engine": "new", "model": "x9", "guidanceScale": 4}, None, 4.0, "new/x9"),
    ],
)
def test_guidance_is_told_from_cfg(asked: dict[str, Any], cfg: float | None, guidance: float | None, engine: str):
    made = generation(step("imageGen", asked))
    assert (made.cfg, made.guidance, made.engine) == (cfg, guidance, engine)


@pytest.mark.parametrize(
    ("word", "sampler", "scheduler"),
    [("eulerA", "euler_ancestral", ""), ("dpM2MKarras", "dpmpp_2m", "karras"), ("uniPC", "uni_pc", ""),
     ("undefined", "", ""), ("neverHeard", "neverHeard", "")],
)  # fmt: skip
def test_the_older_step_has_words_of_its_own(word: str, sampler: str, scheduler: str):
    networks = {LORA: {"strength": 0.6, "type": "Lora"}, "urn:air:sdxl:embedding:civitai:7@8": {"strength": 1}}
    asked = {"model": MODEL, "prompt": "x", "scheduler": word, "cfgScale": 7.5, "additionalNetworks": networks}
    made = generation(step("textToImage", asked))
    assert (made.sampler, made.scheduler, made.cfg, made.model_version_id) == (sampler, scheduler, 7.5, 128078)
    assert [(used.kind, used.weight) for used in made.resources] == [("lora", 0.6), ("embedding", 1.0)]


def test_a_comfy_step_is_read_as_the_graph_that_it_ran():
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a harbour"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "fog"}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "5": {"classType": "KSampler", "inputs": {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0],
              "latent_image": ["4", 0], "seed": 9, "steps": 20, "cfg": 6, "sampler_name": "euler", "scheduler": "normal", "denoise": 1}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0]}},
    }  # fmt: skip
    made = generation(step("comfy", {"comfyWorkflow": graph}, count=1))
    assert (made.prompt, made.steps, made.seed, made.workflow_id, made.engine) == ("a harbour", 20, 9, "1-2", "comfy")
    assert generation(step("comfy", {"comfyWorkflow": graph}, count=2)).seed is None, "nobody says how it counts up"


def test_a_step_that_changes_pictures_has_the_generation_of_the_step_that_made_them():
    first = step("imageGen", {"engine": "flux2", "model": "pro", "operation": "createImage", "prompt": "x", "seed": 3})
    second = {"$type": "imageUpscaler", "name": "b", "input": {"model": "urn:air:x:upscaler:civitai:1@2"}, "output": {"blob": {"id": "b.png", "available": True}}}  # fmt: skip
    made = generation(first, second)
    assert (made.prompt, made.seed, made.arrived, made.engine) == ("x", None, (), "flux2/pro")
    assert made.notes == ("Pictures of imageUpscaler are among them.",)
    details = workflow(first, second)
    upscaled = generation_of(details, details.outputs[-1:], {}, "s")
    assert (upscaled.prompt, upscaled.arrived, upscaled.seed) == ("x", (), None)
    alone = generation_of(details, details.outputs[1:2], {0: "withheld"}, "s")
    assert (alone.seed, alone.arrived, alone.missing) == (3, (1,), {0: "withheld"})


def test_a_workflow_without_pictures_or_steps_says_nothing():
    assert generation().prompt == "" and generation().workflow_id == "1-2"
    assert paid(workflow(cost={"total": 8})) == 8.0 and paid(workflow()) == 0.0
    refunded = [{"type": "debit", "amount": 8}, {"type": "credit", "amount": 8}]
    assert paid(workflow(cost={"total": 8}, transactions={"list": refunded})) == 0.0


def test_what_our_own_orders_send_is_read_back():
    version = ModelVersion(MODEL, 128078, 101055, "SD XL", "v1.0", "SDXL 1.0", "checkpoint")
    lora = ModelVersion(LORA, 4, 3, "L", "v1", "SDXL 1.0", "lora")
    asked = GenerationRequest(prompt="x", negative_prompt="y", seed=8, steps=12, cfg=5.0, width=64, height=64,
                              sampler_name="dpmpp_2m", scheduler="karras")  # fmt: skip
    for engine in ("comfy/sdxl", "sdcpp/sdxl"):
        request = GenerationRequest(**{**vars(asked), "engine": engine})
        order = build(request, version, [ResolvedLora(lora, 0.5)])
        made = generation(step("imageGen", dict(order.input)))
        for name in ("prompt", "negative_prompt", "seed", "steps", "cfg", "width", "height"):
            assert getattr(made, name) == getattr(asked, name), name
        assert (made.sampler, made.scheduler, made.engine, made.model_air) == ("dpmpp_2m", "karras", engine, MODEL)
        assert [(used.air, used.weight) for used in made.networks] == [(LORA, 0.5)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([MODEL, LORA]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["engine", "ecosystem", "model", "operation", "prompt", "seed", "steps", "cfgScale", "loras", "sampler", "schedule",
     "additionalNetworks", "scheduler", "embeddings", "vaeModel", "comfyWorkflow", "params", "width", "strength"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["imageGen", "textToImage", "comfy", "videoGen", "neverHeard"]), st.dictionaries(names, json_values)
)
def test_any_input_is_read_without_a_crash(kind: str, asked: dict[str, Any]):
    made = generation(step(kind, asked))
    assert made.workflow_id == "1-2" and isinstance(made.prompt, str)
    assert made.to_json()["engine"] == made.engine
