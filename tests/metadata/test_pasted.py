"""What a person pastes, and the small formats: texts of other programs, and texts hidden in pixels."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import numpy as np
import pytest
from made_files import chunk, png
from PIL import Image
from test_a1111 import A1111
from test_comfy_reader import core

from pack.civitai_bridge.metadata.generation import GenerationData
from pack.civitai_bridge.metadata.read import LARGEST_PASTE, generation_from_texts, read_file, read_pasted

GRAPH = core()
NOVEL = {
    "prompt": "1girl",
    "uc": "lowres",
    "steps": 28,
    "scale": 5,
    "seed": 3,
    "sampler": "k_euler",
    "width": 64,
    "height": 64,
}
META = {
    "prompt": "a <lora:ink:0.5>", "negativePrompt": "fog", "cfgScale": 6, "steps": 30, "sampler": "DPM++ 2M Karras", "seed": 7, "clipSkip": 2,
    "width": 640, "height": 832, "civitaiResources": [{"type": "checkpoint", "modelVersionId": 501}, {"type": "lora", "weight": 0.7, "modelVersionId": 602}],
}  # fmt: skip
# As CivitAI's pages copy it: the encoder of its A1111 parser, which leaves lists out.
COPIED = "a cat\nNegative prompt: fog\nSteps: 30, CFG scale: 6, Sampler: DPM++ 2M Karras, Seed: 7, Clip skip: 2, width: 640, height: 832, Model: dune"
PASTED: dict[str, tuple[str, dict[str, Any]]] = {
    "A1111 text": (A1111, {"seed": 1234567890, "source": "a1111"}),
    "with Windows' line ends and blanks around": ("\ufeff  " + A1111.replace("\n", "\r\n") + "\n\n", {"seed": 1234567890}),
    "what CivitAI copies": (COPIED, {"seed": 7, "cfg": 6.0, "width": 640, "height": 832, "clip_skip": 2, "model_name": "dune"}),
    "what CivitAI copies without steps": ("a cat\nCFG scale: 6, Sampler: Euler a, Seed: 7", {"seed": 7, "sampler": "euler_ancestral"}),
    "meta as JSON": (json.dumps(META), {"seed": 7, "model_version_id": 501, "negative_prompt": "fog", "scheduler": "karras"}),
    "a prompt graph": (json.dumps(GRAPH), {"seed": 42, "source": "comfy"}),
    "a prompt graph in its wrapping": (json.dumps({"prompt": GRAPH, "client_id": "x"}), {"seed": 42}),
    "a prompt graph as text in its wrapping": (json.dumps({"prompt": json.dumps(GRAPH)}), {"seed": 42}),
    "app.graphToPrompt()": (json.dumps({"output": GRAPH, "workflow": {"nodes": [], "links": []}}), {"seed": 42}),
    "VideoHelperSuite's comment": (json.dumps({"prompt": GRAPH, "workflow": {"nodes": []}}), {"seed": 42}),
    "a jammed text": ("Parameters: a kite., Negative prompt: fog, Steps: 21, Seed: 4, Size: 64x64", {"prompt": "a kite", "negative_prompt": "fog", "steps": 21}),
}  # fmt: skip


@pytest.mark.parametrize("name", PASTED)
def test_what_a_person_pastes_is_read(name: str):
    text, expected = PASTED[name]
    data = read_pasted(text)
    assert {key: getattr(data, key) for key in expected} == expected


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "hello", "{}", "[1]", "null", '{"a": ', "a" * (LARGEST_PASTE + 1), '{"nodes": []}', "\0", "Steps: "],
)
def test_a_text_of_no_kind_says_so(text: str):
    data = read_pasted(text)
    assert data.seed is None and data.notes and data.source in ("text", "comfy")


FORMATS: dict[str, tuple[dict[str, Any] | str, dict[str, Any]]] = {
    "easydiffusion": ({"prompt": "kite", "negative_prompt": "fog", "seed": 5, "use_stable_diffusion_model": "models\\dune.safetensors", "width": 640, "height": 448,
                       "num_inference_steps": 21, "guidance_scale": 6, "sampler_name": "euler_a", "use_lora_model": ["ink"], "lora_alpha": [0.4]},
                      {"seed": 5, "sampler": "euler_ancestral", "model_name": "dune", "cfg": 6.0}),
    "easydiffusion, older keys": ({"Prompt": "kite", "Seed": 5, "Steps": 21, "Stable Diffusion model": "dune", "Sampler": "dpmpp_2m", "Guidance Scale": 6},
                                  {"source": "easydiffusion", "seed": 5, "steps": 21, "sampler": "dpmpp_2m"}),
    "drawthings": ({"c": "kite", "uc": "fog", "model": "sd_v1.5_f16.ckpt", "sampler": "DPM++ 2M Karras", "scale": 7.5, "seed": 5, "steps": 20, "strength": 1, "size": "512x768",
                    "lora": [{"model": "ink.ckpt", "weight": 0.4}]}, {"seed": 5, "width": 512, "height": 768, "scheduler": "karras", "model_name": "sd_v1.5_f16"}),
    "tensorart": ({"prompt": "kite", "negativePrompt": "fog", "width": 640, "height": 448, "seed": "5", "steps": 25, "cfgScale": 7, "ksamplerName": "euler", "schedule": "karras",
                   "clipSkip": 2, "baseModel": {"modelFileName": "dune.safetensors", "hash": "0123ABCDEF"},
                   "models": [{"type": "LORA", "modelFileName": "ink", "weight": 0.4, "hash": "AABBCCDDEE"}]},
                  {"seed": 5, "sampler": "euler", "model_name": "dune", "model_hash": "0123abcdef"}),
    "huggingface": ({"prompt": "kite", "negative_prompt": "fog", "resolution": "832 x 1216", "guidance_scale": 7, "num_inference_steps": 28, "seed": 5, "sampler": "Euler a",
                     "Model": "Animagine XL 3.1", "Model hash": "e3c47aedb0", "use_lora": {"selected_lora": "ink", "scale": 0.4}},
                    {"seed": 5, "width": 832, "height": 1216, "model_hash": "e3c47aedb0"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_formats_that_are_one_small_table(name: str):
    document, expected = FORMATS[name]
    data = generation_from_texts({"parameters": json.dumps(document)})
    assert {key: getattr(data, key) for key in expected} == expected and data.prompt == "kite"
    assert data.source == name.partition(",")[0]
    if "ink" in json.dumps(document):
        assert [(lora.name, lora.weight) for lora in data.networks] == [("ink", 0.4)]


def test_a_draw_things_png_has_it_in_xmp():
    packet = f'<x:xmpmeta><rdf:Description><exif:UserComment><rdf:Alt><rdf:li xml:lang="x">{json.dumps(FORMATS["drawthings"][0])}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></x:xmpmeta>'
    data = read_file(
        png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet.replace('"c"', "&quot;c&quot;").encode()))
    )
    assert (data.source, data.seed, data.prompt) == ("drawthings", 5, "kite")


def test_a_dream_is_read_and_what_looks_like_one_is_not():
    data = generation_from_texts({"Dream": '"a boat [fog, mist] at sea" -s 50 -S42 -W 640 -H 448 -C 7.5 -A k_euler_a'})
    assert (data.prompt, data.negative_prompt, data.seed, data.steps, data.cfg) == (
        "a boat  at sea",
        "fog, mist",
        42,
        50,
        7.5,
    )
    assert (data.sampler, data.width, data.height, data.source) == ("euler_ancestral", 640, 448, "invokeai")
    for text in ('"open', "a boat -s 50", '"a boat"', '"' + "a" * 200_000 + '" -s 5'):
        assert generation_from_texts({"Dream": text}).seed is None


def hidden(text: str, *, packed: bool, size: tuple[int, int] = (96, 130)) -> bytes:
    """A PNG with a text in the lowest bit of its alpha, column by column."""
    data = gzip.compress(text.encode()) if packed else text.encode()
    head = (b"stealth_pngcomp" if packed else b"stealth_pnginfo") + (len(data) * 8).to_bytes(4, "big")
    bits = np.unpackbits(np.frombuffer(head + data, np.uint8))
    width, height = size
    alpha = np.full(width * height, 254, np.uint8)
    alpha[: len(bits)] |= bits
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 3] = alpha.reshape(width, height).T
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


STEALTH = {
    "NovelAI": (json.dumps({"Software": "NovelAI", "Source": "NAI", "Comment": json.dumps(NOVEL)}), True, 3),
    "A1111": ("a kite\nSteps: 20, Seed: 3", False, 3),
    "SwarmUI": (json.dumps({"sui_image_params": {"prompt": "kite", "seed": 3, "steps": 20}}), True, 3),
}


@pytest.mark.parametrize("name", STEALTH)
def test_a_text_in_the_alpha_of_a_png_is_read(name: str):
    text, packed, seed = STEALTH[name]
    data = read_file(hidden(text, packed=packed))
    assert data.seed == seed and data.texts["stealth"] == text


@pytest.mark.parametrize("edit", [lambda data: data[:-40], lambda data: data[:200] + b"\0" * 40 + data[240:]])
def test_a_damaged_picture_hides_nothing(edit: Any):
    assert isinstance(read_file(edit(hidden("a kite\nSteps: 20, Seed: 3", packed=False))), GenerationData)


def test_a_picture_with_alpha_and_without_a_text_says_so():
    out = io.BytesIO()
    Image.new("RGBA", (64, 64)).save(out, "PNG")
    assert read_file(out.getvalue()).notes == ("It says nothing about how it was made.",)


def test_what_novelai_puts_into_webp_is_read_with_its_names():
    comment = json.dumps({"Comment": json.dumps(NOVEL), "Software": "NovelAI", "Source": "NovelAI V4"})
    data = generation_from_texts({"UserComment": comment, "Software": "NovelAI"})
    assert (data.source, data.seed, data.model_name, data.sampler) == ("novelai", 3, "NovelAI V4", "euler")


def test_numbered_loras_and_embeddings_of_comfyui_savers():
    text = (
        "a\nSteps: 21, Seed: 4, Lora_0 Model name: ink.safetensors, Lora_0 Model hash: 08f7133a58, Lora_0 Strength model: 0.65, "
        "Lora_0 Strength clip: 0.5, Lora_2 Model name: oil, Lora_2 Strength model: -1, Embedding_0 Name: easy, Embedding_0 Hash: c74b4e810b"
    )
    data = generation_from_texts({"parameters": text})
    assert [(one.name, one.weight, one.clip_weight, one.hash) for one in data.networks] == [
        ("ink.safetensors", 0.65, 0.5, "08f7133a58"),
        ("oil", -1.0, None, ""),
    ]
    assert [(one.name, one.hash) for one in data.embeddings] == [("easy", "c74b4e810b")] and not data.extra


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("CFG Scale: 6.5", {"cfg": 6.5}), ("cfg: 3", {"cfg": 3.0}), ("Scheduler: karras", {"scheduler": "karras"}), ("Clip skip: -2", {"clip_skip": 2}),
        ("Size: 640x896,,,,", {"width": 640, "height": 896}), ("Width: 640, Height: 896", {"width": 640, "height": 896}), ("sampler: Euler a", {"sampler": "euler_ancestral"}),
        ("model: dune", {"model_name": "dune"}), ("Denoise: 0.5", {"denoise": 0.5}),
    ],
)  # fmt: skip
def test_other_programs_spellings_of_a1111s_settings(settings: str, expected: dict[str, Any]):
    data = generation_from_texts({"parameters": f"a\nSteps: 20, {settings}, Seed: 1"})
    assert {key: getattr(data, key) for key in expected} == expected and data.notes == () and data.seed == 1


def test_easy_diffusions_png_has_a_text_for_each_value():
    texts = {key: str(value) for key, value in FORMATS["easydiffusion"][0].items() if isinstance(value, (str, int))}  # type: ignore[union-attr]
    data = read_file(png(*(chunk(b"tEXt", f"{key}\0{value}".encode()) for key, value in texts.items())))
    assert (data.source, data.seed, data.steps, data.prompt, data.sampler) == (
        "easydiffusion",
        5,
        21,
        "kite",
        "euler_ancestral",
    )
