"""An A1111 text and the graph of one file: what each knows alone stays, where they disagree the graph is taken and said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_comfy_packs import NEGATIVE, PROMPT, base
from test_comfy_reader import node

from pack.civitai_bridge.metadata.generation import GenerationData
from pack.civitai_bridge.metadata.read import generation_from_texts

SETTINGS = "Steps: 21, Sampler: Euler a Karras, CFG scale: 6.0, Seed: 4242, Size: 640x448, Model hash: 217daae812, Model: duneMix_v4"
TRUE = f"{PROMPT}\nNegative prompt: {NEGATIVE}\n{SETTINGS}"


def read(text: str, graph: dict[str, Any] | None = None) -> GenerationData:
    return generation_from_texts({"parameters": text, "prompt": json.dumps(graph or base())})


def contradictions(data: GenerationData) -> list[str]:
    return [note for note in data.notes if note.startswith("The text says")]


def test_a_text_that_agrees_keeps_what_it_alone_knows():
    data = read(TRUE)
    assert (data.source, data.model_hash, data.seed) == ("a1111", "217daae812", 4242) and contradictions(data) == []


AGREEING: list[tuple[str, str]] = [
    ("tags that a saver adds", TRUE.replace(PROMPT, f"{PROMPT} <lora:ink:0.6>")),
    ("a part of the prompt", TRUE.replace(PROMPT, "a red kite")),
    ("a model without its folder", TRUE.replace("Model: duneMix_v4", "Model: duneMix")),
    ("nothing said", "a red kite over dunes\nSteps: 21"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), AGREEING, ids=[one[0] for one in AGREEING])
def test_more_or_less_of_the_same_is_no_contradiction(name: str, text: str):
    assert contradictions(read(text)) == []


WRONG: list[tuple[str, str, str, object, str]] = [
    ("a placeholder", TRUE.replace(PROMPT, "unknown"), "prompt", PROMPT, "the prompt"),
    ("no seed", TRUE.replace("4242", "0"), "seed", 4242, "the seed"),
    ("other steps", TRUE.replace("Steps: 21", "Steps: 20"), "steps", 21, "the steps"),
    ("another scale", TRUE.replace("6.0", "8"), "cfg", 6.0, "CFG"),
    ("another sampler", TRUE.replace("Euler a Karras", "DPM++ 2M Karras"), "sampler", "euler_ancestral", "the sampler"),
    ("another size", TRUE.replace("640x448", "512x512"), "width", 640, "the size"),
    ("another model", TRUE.replace("duneMix_v4", "placeholder"), "model_name", "duneMix_v4.safetensors", "the model"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "field", "value", "title"), WRONG, ids=[one[0] for one in WRONG])
def test_the_graph_is_taken_where_the_text_contradicts_it(name: str, text: str, field: str, value: object, title: str):
    data = read(text)
    assert getattr(data, field) == value
    assert len(contradictions(data)) == 1 and title in contradictions(data)[0]


def test_the_hash_of_another_model_goes_with_its_name():
    data = read(TRUE.replace("duneMix_v4", "placeholder"))
    assert (data.model_hash, data.model_version_id) == ("", None)


def test_what_a_service_made_is_told_by_the_text():
    graph = {
        "1": node("CivitaiBridgeGenerate", model="1@2", prompt="a boat", seed=0, steps=0, cfg=0.0, width=0, height=0)
    }
    data = read(TRUE, graph)
    assert (data.seed, data.prompt) == (4242, PROMPT) and contradictions(data) == []


def test_words_that_were_drawn_are_told_by_the_text():
    assert contradictions(read(TRUE, base(n3=node("CLIPTextEncode", clip=["1", 1], text="a __color__ boat")))) == []


def test_a_picture_that_was_enlarged_has_the_size_of_the_text():
    graph = base(
        n20=node("UpscaleModelLoader", model_name="4x.pth"),
        n11=node("ImageUpscaleWithModel", upscale_model=["20", 0], image=["7", 0]),
        n8=node("SaveImage", images=["11", 0]),
    )
    data = read(TRUE.replace("640x448", "2560x1792"), graph)
    assert (data.width, data.height) == (2560, 1792) and contradictions(data) == []
