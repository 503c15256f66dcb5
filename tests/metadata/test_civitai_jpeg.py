"""Pictures that CivitAI's own generator made: a graph with AIRs in the files' places, and what it says in words over it."""

from __future__ import annotations

import json
from typing import Any

from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.metadata.lookup import described, version_questions
from pack.civitai_bridge.metadata.read import generation_from_texts

MODEL, LORA = "urn:air:sdxl:checkpoint:civitai:50@501", "urn:air:sdxl:lora:civitai:60@602"
UPSCALER = "urn:air:other:upscaler:civitai:147759@164821"


def loader(name: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": name, "inputs": inputs}


def sampler(model: str, latent: list[Any], denoise: float) -> dict[str, Any]:
    return loader("KSampler", model=[model, 0], positive=["3", 0], negative=["4", 0], latent_image=latent, seed=4242,
                  steps=25, cfg=5.0, sampler_name="euler", scheduler="normal", denoise=denoise)  # fmt: skip


HIRES = {
    "1": loader("CheckpointLoaderSimple", ckpt_name=MODEL),
    "2": loader("LoraLoader", model=["1", 0], clip=["1", 1], lora_name=LORA, strength_model=0.8, strength_clip=0.8),
    "3": loader("CLIPTextEncode", clip=["2", 1], text="a red kite"),
    "4": loader("CLIPTextEncode", clip=["2", 1], text="fog"),
    "5": loader("EmptyLatentImage", width=640, height=448, batch_size=1),
    "6": sampler("2", ["5", 0], 1.0),
    "7": loader("LatentUpscale", samples=["6", 0], width=1280, height=896, upscale_method="bilinear", crop="disabled"),
    "8": loader("CheckpointLoaderSimple", ckpt_name=MODEL),
    "9": loader("LoraLoader", model=["8", 0], clip=["8", 1], lora_name=LORA, strength_model=0.8, strength_clip=0.8),
    "10": sampler("9", ["7", 0], 0.5),
    "11": loader("VAEDecode", samples=["10", 0], vae=["1", 2]),
    "12": loader("SaveImage", images=["11", 0]),
}  # fmt: skip


def read(graph: dict[str, Any], **settings: Any) -> GenerationData:
    stated = {"prompt": "a red kite over dunes", "sampler": "Euler a", "steps": 25, "seed": 4242, **settings}
    return generation_from_texts({"UserComment": json.dumps({**graph, "extraMetadata": json.dumps(stated)})})


def test_the_model_of_both_passes_and_of_the_list_is_one():
    data = read(HIRES, resources=[{"modelVersionId": 501, "strength": 1}, {"modelVersionId": 602, "strength": 0.8}])
    assert (data.model_air, data.model_version_id) == (MODEL, 501)
    assert [(used.kind, used.version_id, used.weight, used.again) for used in data.resources] == [
        ("lora", 602, 0.8, ())
    ]
    assert (data.sampler, data.steps, data.prompt) == ("euler_ancestral", 25, "a red kite over dunes")


def test_an_untyped_entry_is_what_the_look_up_says_it_is():
    upscale = {"23": loader("UpscaleModelLoader", model_name=UPSCALER), "26": loader("LoadImage", image="x.jpeg"),
               "22": loader("ImageUpscaleWithModel", upscale_model=["23", 0], image=["26", 0])}  # fmt: skip
    data = read(upscale, resources=[{"modelVersionId": 501, "strength": 1}, {"modelVersionId": 602, "strength": 0.8}])
    assert [(used.kind, used.version_id) for used in data.others if used.version_id != 164821] == [
        ("other", 501),
        ("other", 602),
    ]
    assert {question.version_id for question in version_questions(data)} >= {501, 602}
    data = described(data, {
        501: UsedResource(MODEL, name="Base", kind="checkpoint", version_id=501, model_id=50, source="resources"),
        602: UsedResource(LORA, name="Ink", kind="lora", version_id=602, model_id=60, source="resources"),
    })  # fmt: skip
    assert (data.model_version_id, data.model_name) == (501, "Base")
    assert [(used.name, used.version_id, used.weight) for used in data.networks] == [("Ink", 602, 0.8)]
    assert not any(used.version_id == 501 for used in data.resources)
