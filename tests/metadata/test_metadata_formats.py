"""SwarmUI, both Fooocus, InvokeAI and NovelAI: a table of real-shaped texts each, bad values, and mutated texts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.metadata.a1111.reader import read_a1111
from pack.civitai_bridge.metadata.a1111.write import carried, write_a1111
from pack.civitai_bridge.metadata.fooocus import read_fooocus, read_ruined
from pack.civitai_bridge.metadata.generation import GenerationData
from pack.civitai_bridge.metadata.generation_json import generation_from_json
from pack.civitai_bridge.metadata.invokeai import read_invokeai
from pack.civitai_bridge.metadata.novelai import read_novelai
from pack.civitai_bridge.metadata.swarmui import read_swarmui

Reader = Callable[[str], "GenerationData | None"]

SWARM: dict[str, Any] = {
    "sui_image_params": {
        "prompt": "a cat <lora:inline:0.4> <embed:good_hands>", "negativeprompt": "lowres", "model": "OfficialStableDiffusion/sd_xl_base_1.0",
        "seed": 1234567890, "steps": 25, "cfgscale": 6.5, "width": 1024, "height": 768, "sampler": "dpmpp_2m", "scheduler": "karras",
        "vae": "sdxl_vae.safetensors", "clipstopatlayer": -2, "loras": ["styles/ink", "pen"], "loraweights": ["0.7", "-0.5"],
        "refinerupscale": 1.5, "refinerupscalemethod": "model-4x.pth", "refinercontrolpercentage": 0.4, "swarm_version": "0.9.4.0",
        "aspectratio": "4:3",
    },
    "sui_models": [
        {"name": "sd_xl_base_1.0.safetensors", "param": "model", "hash": "0x31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b"},
        {"name": "ink.safetensors", "param": "loras", "hash": "0xAABBCCDDEEFF00112233"},
        {"name": "sdxl_vae.safetensors", "param": "vae", "hash": "0x235745af8d86bf4a4c1b5b4f529868b37019a10f7c0b2e79ad0abca3a22bc6e1"},
    ],
    "sui_extra_data": {"date": "2026-01-01", "generation_time": "2 sec"},
}  # fmt: skip
RUINED: dict[str, Any] = {
    "Prompt": "a ruin <lora:moss:0.3>", "Negative": "new", "steps": 30, "cfg": 8, "width": 1152, "height": 896, "seed": 77,
    "sampler_name": "dpmpp_2m_sde_gpu", "scheduler": "karras", "base_model_name": "sd_xl_base_1.0_0.9vae.safetensors", "base_model_hash": "be9edd61be",
    "loras": [["aabbccddee", "0.5 - ivy.safetensors"], {"name": "oak", "weight": 0.25, "hash": "1122334455"}], "start_step": 0, "denoise": 1.0,
    "clip_skip": 1, "software": "RuinedFooocus",
}  # fmt: skip
STOCK: dict[str, Any] = {
    "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "juggernautXL_v8Rundiffusion", "base_model_hash": "aeb7e9e689", "clip_skip": 2, "full_negative_prompt": ["ugly"],
    "full_prompt": ["a harbour, cinematic"], "guidance_scale": 4.0, "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]], "metadata_scheme": "fooocus",
    "negative_prompt": "", "performance": "Speed", "prompt": "a harbour", "refiner_model": "None", "refiner_switch": 0.5, "resolution": "(1152, 896)", "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras", "seed": "4611686018427387904", "sharpness": 2.0, "steps": 30, "styles": "['Fooocus V2']", "vae": "Default (model)", "version": "Fooocus v2.5.0",
}  # fmt: skip
INVOKE: dict[str, Any] = {
    "app_version": "4.2.0", "generation_mode": "sdxl_img2img", "positive_prompt": "a fox (run)1.2", "negative_prompt": "blur", "width": 1024, "height": 1024, "seed": 99, "rand_device": "cpu",
    "cfg_scale": 7.5, "steps": 30, "scheduler": "dpmpp_2m_k", "strength": 0.6, "model": {"key": "k", "hash": "blake3:" + "ab" * 32, "name": "Juggernaut", "base": "sdxl", "type": "main"},
    "loras": [{"model": {"key": "l", "hash": "blake3:" + "cd" * 32, "name": "Ink", "base": "sdxl", "type": "lora"}, "weight": 0.75}, {"lora": {"model_name": "old"}, "weight": "x"}],
    "controlnets": [{"control_model": {"name": "canny", "hash": ""}}], "vae": {"name": "fixed", "hash": ""}, "refiner_model": {"name": "ref"},
}  # fmt: skip
INVOKE_OLD: dict[str, Any] = {
    "model": "stable diffusion", "model_weights": "sd-1.5", "model_hash": "cc6cb27103417325", "app_id": "invoke-ai/InvokeAI", "app_version": "2.3.5",
    "image": {"prompt": [{"prompt": "a boat [fog, rain] at sea", "weight": 1}], "steps": 50, "cfg_scale": 7.5, "height": 512, "width": 768, "seed": 5, "type": "txt2img", "sampler": "k_euler_a"},
}  # fmt: skip
NOVEL: dict[str, Any] = {
    "prompt": "1girl, {{smile}}", "steps": 28, "height": 1216, "width": 832, "scale": 5.0, "uncond_scale": 1.0, "seed": 3, "n_samples": 1, "noise_schedule": "karras",
    "sampler": "k_euler_ancestral", "uc": "lowres", "request_type": "PromptGenerateRequest", "v4_prompt": {"caption": {"base_caption": "1girl, smile", "char_captions": [{"char_caption": "girl, hat"}]}},
}  # fmt: skip


def novel(text: str) -> GenerationData | None:
    return read_novelai(
        {"Software": "NovelAI", "Description": "1girl", "Source": "NovelAI Diffusion V4", "Comment": text}
    )


READERS: dict[str, tuple[Reader, dict[str, Any]]] = {
    "swarmui": (read_swarmui, SWARM), "ruined": (read_ruined, RUINED), "fooocus": (read_fooocus, STOCK),
    "invokeai": (read_invokeai, INVOKE), "invokeai 2": (read_invokeai, INVOKE_OLD), "novelai": (novel, NOVEL),
}  # fmt: skip

# What each says: fields, then (kind, name, weight, hash) of what took part.
SAID: dict[str, tuple[dict[str, Any], list[tuple[str, str, float, str]]]] = {
    "swarmui": (
        {"prompt": SWARM["sui_image_params"]["prompt"], "negative_prompt": "lowres", "seed": 1234567890, "steps": 25, "cfg": 6.5, "width": 1024, "height": 768, "sampler": "dpmpp_2m",
         "scheduler": "karras", "vae": "sdxl_vae.safetensors", "vae_hash": "235745af8d86", "clip_skip": 2, "model_name": "OfficialStableDiffusion/sd_xl_base_1.0", "model_hash": "31e35c80fc48", "software": "0.9.4.0"},
        [("lora", "styles/ink", 0.7, "aabbccddeeff"), ("lora", "pen", -0.5, ""), ("lora", "inline", 0.4, ""), ("embedding", "good_hands", 1.0, "")]),
    "ruined": (
        {"prompt": "a ruin <lora:moss:0.3>", "negative_prompt": "new", "seed": 77, "steps": 30, "cfg": 8.0, "width": 1152, "height": 896, "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras",
         "denoise": 1.0, "clip_skip": 1, "model_name": "sd_xl_base_1.0_0.9vae", "model_hash": "be9edd61be", "software": "RuinedFooocus"},
        [("lora", "moss", 0.3, ""), ("lora", "ivy.safetensors", 0.5, "aabbccddee"), ("lora", "oak", 0.25, "1122334455")]),
    "fooocus": (
        {"prompt": "a harbour", "negative_prompt": "", "seed": 4611686018427387904, "steps": 30, "cfg": 4.0, "width": 1152, "height": 896, "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "clip_skip": 2,
         "model_name": "juggernautXL_v8Rundiffusion", "model_hash": "aeb7e9e689", "software": "Fooocus v2.5.0"},
        [("lora", "sd_xl_offset_example-lora_1.0", 0.1, "4852686128")]),
    "invokeai": (
        {"prompt": "a fox (run)1.2", "negative_prompt": "blur", "seed": 99, "steps": 30, "cfg": 7.5, "width": 1024, "height": 1024, "sampler": "dpmpp_2m", "scheduler": "karras", "denoise": 0.6,
         "model_name": "Juggernaut", "model_hash": "ab" * 32, "vae": "fixed", "detected_type": "i2i", "software": "4.2.0"},
        [("lora", "Ink", 0.75, "cd" * 32), ("lora", "old", 1.0, ""), ("controlnet", "canny", 1.0, ""), ("refiner", "ref", 1.0, "")]),
    "invokeai 2": (
        {"prompt": "a boat  at sea", "negative_prompt": "fog, rain", "seed": 5, "steps": 50, "cfg": 7.5, "width": 768, "height": 512, "sampler": "euler_ancestral", "model_name": "sd-1.5", "detected_type": "t2i"}, []),
    "novelai": (
        {"prompt": "1girl, smile | girl, hat", "negative_prompt": "lowres", "seed": 3, "steps": 28, "cfg": 5.0, "width": 832, "height": 1216, "sampler": "euler_ancestral", "scheduler": "karras",
         "model_name": "NovelAI Diffusion V4", "detected_type": "t2i", "software": "NovelAI"}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_what_each_format_says(name: str):
    reader, body = READERS[name]
    data = reader(json.dumps(body))
    assert data is not None
    fields, resources = SAID[name]
    assert {key: getattr(data, key) for key in fields} == fields
    parts = data.resources
    assert [(one.kind, one.name, one.weight, one.hash) for one in parts] == resources
    assert data.texts and generation_from_json(json.loads(json.dumps(data.to_json()))) == data


def test_notes_name_what_was_no_value():
    data = read_invokeai(json.dumps(INVOKE))
    assert data is not None and data.notes == ("The weight of old (1 stands in) is not known: 'x'.",)


def test_what_has_no_field_is_kept():
    kept = {
        "swarmui": "aspectratio",
        "ruined": "start_step",
        "fooocus": "adm_guidance",
        "invokeai": "rand_device",
        "novelai": "uncond_scale",
    }
    for name, key in kept.items():
        reader, body = READERS[name]
        data = reader(json.dumps(body))
        assert data is not None and key in data.extra


BAD = [
    None,
    [],
    {},
    True,
    "many",
    "nan",
    "NaN",
    float("nan"),
    float("inf"),
    1e308,
    "1e999",
    10**5000,
    "9" * 5000,
    -1,
    "\ud800",
    [[]] * 3,
]


def changed(body: Any, dice: random.Random) -> Any:
    """The same JSON with one value of it, anywhere, replaced by a bad one."""
    if isinstance(body, dict) and body:
        key = dice.choice(list(body))
        return {**body, key: changed(body[key], dice)}
    if isinstance(body, list) and body and dice.random() < 0.85:
        i = dice.randrange(len(body))
        return [*body[:i], changed(body[i], dice), *body[i + 1 :]]
    return dice.choice(BAD)


def written(body: Any) -> str:
    """JSON with numbers of any length, which `json.dumps` refuses to write."""
    endless = 10**5000
    if not _holds(body, endless):
        return json.dumps(body)
    return json.dumps(_replaced(body, endless)).replace('"@@"', "1" + "0" * 5000)


def _holds(body: Any, value: int) -> bool:
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return (isinstance(body, int) and body == value) or any(_holds(one, value) for one in inner)


def _replaced(body: Any, value: int) -> Any:
    if isinstance(body, dict):
        return {key: _replaced(one, value) for key, one in body.items()}
    if isinstance(body, list):
        return [_replaced(one, value) for one in body]
    return "@@" if isinstance(body, int) and body == value else body


@pytest.mark.parametrize("name", READERS)
def test_one_bad_value_never_loses_the_rest(name: str):
    reader, body = READERS[name]
    good = reader(json.dumps(body))
    assert good is not None
    fields = (
        "prompt",
        "negative_prompt",
        "seed",
        "steps",
        "cfg",
        "width",
        "height",
        "sampler",
        "scheduler",
        "model_name",
    )
    for seed in range(300):
        data = reader(written(changed(body, random.Random(seed))))
        if data is None:
            assert name == "ruined", "only there is a value the mark of the format"
            continue
        data.to_json()
        lost = [key for key in fields if getattr(data, key) != getattr(good, key)]
        assert len(lost) <= 2, (seed, lost)
        again = read_a1111(write_a1111(data))
        assert again is not None and carried(again) == carried(data)


@pytest.mark.parametrize("name", READERS)
def test_mutated_texts_are_read_or_refused(name: str):
    reader, body = READERS[name]
    text = json.dumps(body)
    for seed in range(300):
        dice = random.Random(seed)
        cut = text
        for _ in range(dice.randint(1, 4)):
            at, length = dice.randrange(len(cut) + 1), dice.randrange(30)
            piece = dice.choice(
                ["", cut[at : at + length] * 2, '"', "{", "}]", "\0", "nan", "\ud800", "1" * 600, ":", ","]
            )
            cut = cut[:at] + piece + cut[at + length :]
        data = reader(cut)
        if data is not None:
            data.to_json()


def keys_of(body: Any) -> set[str]:
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    return set(body if isinstance(body, dict) else ()).union(*(keys_of(one) for one in inner))


def values(body: Any) -> st.SearchStrategy[Any]:
    """JSON whose keys are those of a format."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.sampled_from(["<lora:x:1>", "0.5 - x", "(1, 2)", "model"])
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(keys_of(body))), inner, max_size=5)
        ),
        max_leaves=12,
    )


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_object_with_its_keys_is_survived(name: str, data: st.DataObject):
    reader, body = READERS[name]
    text = json.dumps({**body, **data.draw(st.dictionaries(st.sampled_from(sorted(body)), values(body), max_size=4))})
    found = reader(text)
    if found is not None:
        generation_from_json(json.loads(json.dumps(found.to_json())))


@pytest.mark.parametrize("name", [name for name in READERS if name != "novelai"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "[]",
        "null",
        "a cat\nSteps: 20",
        '{"a":' * 100_000,
        '{"sui_image_params": 5}',
        '{"software": "RuinedFooocus"',
        '{"base_model": 1, "prompt": 2}',
        "\ud800",
    ],
)
def test_what_is_of_no_such_format(name: str, text: str):
    assert READERS[name][0](text) is None


MEGABYTE = {
    "a prompt of a megabyte": "a cat, " * 150_000,
    "tags": "<lora:x:1>" * 100_000,
    "open tags": "<lora:" * 170_000,
    "open embeds": "<embed:" * 140_000,
    "embeddings": "embedding:" * 100_000,
    "brackets": "[" * 500_000 + "]" * 500_000,
}
PROMPT_KEYS = {
    "swarmui": "prompt",
    "ruined": "Prompt",
    "fooocus": "prompt",
    "invokeai": "positive_prompt",
    "novelai": "prompt",
}


@pytest.mark.parametrize("hostile", MEGABYTE)
@pytest.mark.parametrize("name", PROMPT_KEYS)
def test_a_hostile_megabyte_is_read(name: str, hostile: str):
    reader, body = READERS[name]
    key, text = PROMPT_KEYS[name], MEGABYTE[hostile]
    body = {"sui_image_params": {**body["sui_image_params"], key: text}} if name == "swarmui" else {**body, key: text}
    body.pop("v4_prompt", None)
    data = reader(json.dumps(body))
    assert data is not None and data.prompt == text


def test_old_spellings():
    combined = {
        **STOCK,
        "loras": [],
        "lora_combined_1": "ink.safetensors : 0.4",
        "lora_combined_2": "None : 1",
        "resolution": [640, 480],
        "refiner_model": "ref.safetensors",
    }
    data = read_fooocus(json.dumps(combined))
    assert data is not None and [(n.name, n.weight) for n in data.networks] == [("ink.safetensors", 0.4)]
    assert (data.width, data.height, [(n.kind, n.name) for n in data.others]) == (
        640,
        480,
        [("refiner", "ref.safetensors")],
    )
    simple = read_ruined(json.dumps({**RUINED, "scheduler": "simple", "loras": "none", "width": "wide"}))
    assert simple is not None and (simple.scheduler, simple.width) == ("", None) and "width" in simple.notes[0]
    plain = read_swarmui(
        json.dumps(
            {
                "sui_image_params": {
                    "prompt": "a",
                    "loras": "ink,pen",
                    "loraweights": "0.5,nan",
                    "initimagecreativity": 0.3,
                }
            }
        )
    )
    assert plain is not None and plain.denoise == 0.3
    assert [(n.name, n.weight) for n in plain.networks] == [("ink", 0.5), ("pen", 1.0)] and "pen" in plain.notes[0]
