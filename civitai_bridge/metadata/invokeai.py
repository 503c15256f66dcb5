"""InvokeAI: `invokeai_metadata` (3 and later) and `sd-metadata` (2.x), both JSON in PNG text chunks, and `Dream` (1.x),
a command line.

Source: https://github.com/invoke-ai/InvokeAI"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ..resources.hashes import normal_hash
from ..resources.json_values import number, objects, whole
from .generation import GenerationData, UsedResource, by_list
from .quantities import guidance_scale, layers, pixels, step_count, weight_of
from .resources import in_prompts, join
from .tables import Row, decoded_object, may_hold, rest_of, take, word

_NEW: tuple[Row, ...] = (
    ("positive_prompt", "prompt", word),
    ("negative_prompt", "negative_prompt", word),
    ("seed", "seed", whole),
    ("steps", "steps", step_count),
    ("cfg_scale", "cfg", guidance_scale),
    ("guidance", "guidance", guidance_scale),
    ("width", "width", pixels),
    ("height", "height", pixels),
    ("strength", "denoise", number),
    ("clip_skip", "clip_skip", layers),
    ("app_version", "software", word),
)
_OLD: tuple[Row, ...] = (
    ("seed", "seed", whole),
    ("steps", "steps", step_count),
    ("cfg_scale", "cfg", guidance_scale),
    ("width", "width", pixels),
    ("height", "height", pixels),
    ("strength", "denoise", number),
)
_DREAM: tuple[Row, ...] = (
    ("S", "seed", whole),
    ("s", "steps", step_count),
    ("C", "cfg", guidance_scale),
    ("W", "width", pixels),
    ("H", "height", pixels),
    ("f", "denoise", number),
)
# An option of the command line and its value: `-s 50`, `-s50`.
_OPTION = re.compile(r"-([A-Za-z])(.*)", re.DOTALL)
_LONGEST_COMMAND = 100_000  # characters
# What shows a text of 3 and later, and one of 2.
_NEW_KEYS, _OLD_KEYS = ("positive_prompt", "generation_mode", "app_version"), ("app_id", "model_weights")
_TYPES = {"txt2img": "t2i", "img2img": "i2i", "inpaint": "i2i", "outpaint": "i2i"}
# InvokeAI's one word for both -> ComfyUI's sampler and scheduler, where they are the same thing.
_SCHEDULERS: Mapping[str, tuple[str, str]] = {
    "ddim": ("ddim", ""), "ddpm": ("ddpm", ""), "deis": ("deis", ""), "lms": ("lms", ""), "lms_k": ("lms", "karras"),
    "euler": ("euler", ""), "euler_k": ("euler", "karras"), "euler_a": ("euler_ancestral", ""), "heun": ("heun", ""),
    "heun_k": ("heun", "karras"), "kdpm_2": ("dpm_2", ""), "kdpm_2_k": ("dpm_2", "karras"),
    "kdpm_2_a": ("dpm_2_ancestral", ""), "kdpm_2_a_k": ("dpm_2_ancestral", "karras"), "dpmpp_2m": ("dpmpp_2m", ""),
    "dpmpp_2m_k": ("dpmpp_2m", "karras"), "dpmpp_2m_sde": ("dpmpp_2m_sde", ""),
    "dpmpp_2m_sde_k": ("dpmpp_2m_sde", "karras"), "dpmpp_3m_k": ("dpmpp_3m", "karras"), "dpmpp_sde": ("dpmpp_sde", ""),
    "dpmpp_sde_k": ("dpmpp_sde", "karras"), "unipc": ("uni_pc", ""), "unipc_k": ("uni_pc", "karras"),
    "lcm": ("lcm", ""), "tcd": ("tcd", ""), "k_euler": ("euler", ""), "k_euler_a": ("euler_ancestral", ""),
    "k_lms": ("lms", ""), "k_heun": ("heun", ""), "k_dpm_2": ("dpm_2", ""), "k_dpm_2_a": ("dpm_2_ancestral", ""),
    "k_dpmpp_2": ("dpmpp_2m", ""),
}  # fmt: skip


def read_invokeai(text: str) -> GenerationData | None:
    """What `invokeai_metadata` or `sd-metadata` says; None when the text is neither."""
    document = decoded_object(text) if may_hold(text, (*_NEW_KEYS, *_OLD_KEYS)) else None
    if document is None:
        return None
    if isinstance(document.get("image"), dict) and not document.keys().isdisjoint(_OLD_KEYS):
        return _version_2(document, text)
    if document.keys().isdisjoint(_NEW_KEYS):
        return None
    notes: list[str] = []
    fields = take(document, _NEW, notes)
    _sampling(document.pop("scheduler", None), fields, notes)
    fields["detected_type"] = _TYPES.get(str(document.get("generation_mode")).rpartition("_")[2], "")
    model, vae = document.pop("model", None), document.pop("vae", None)
    if model is not None:
        fields["model_name"], fields["model_hash"] = _name_and_hash(model)
    if vae is not None:
        fields["vae"], fields["vae_hash"] = _name_and_hash(vae)
    resources = [*in_prompts(fields, notes), *_listed(document, notes)]
    return _data(fields, resources, notes, document, {"invokeai_metadata": text})


def _listed(document: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """LoRAs, ControlNets and the refiner."""
    resources = []
    for lora in objects(document.pop("loras", None)):
        name, hash = _name_and_hash(lora.get("model", lora.get("lora")))
        weight = weight_of(name, lora.get("weight"), notes)
        resources.append(UsedResource("", weight, name, hash=hash, source="file"))
    for net in objects(document.get("controlnets")):
        name, hash = _name_and_hash(net.get("control_model"))
        if name:
            resources.append(UsedResource("", 1.0, name, "controlnet", hash=hash, source="file"))
    if (refiner := document.pop("refiner_model", None)) is not None:
        name, hash = _name_and_hash(refiner)
        resources.append(UsedResource("", 1.0, name, "refiner", hash=hash, source="file"))
    return resources


def _version_2(document: dict[str, Any], text: str) -> GenerationData:
    """InvokeAI 2: the prompt is a list of parts, and what it excludes stands in it in square brackets."""
    notes: list[str] = []
    image = document.pop("image")
    fields = take(image, _OLD, notes)
    prompt = image.pop("prompt", "")
    parts = [prompt] if isinstance(prompt, str) else [part.get("prompt") for part in objects(prompt)]
    whole_prompt = ", ".join(part for part in parts if isinstance(part, str))
    fields["prompt"], fields["negative_prompt"] = _excluded(whole_prompt)
    _sampling(image.pop("sampler", None), fields, notes)
    fields["model_name"] = word(document.pop("model_weights", None)) or word(document.get("model")) or ""
    fields["model_hash"] = normal_hash(document.pop("model_hash", ""))
    fields["detected_type"] = _TYPES.get(str(image.get("type")), "")
    fields["software"] = f"InvokeAI {document.get('app_version', '')}".strip()
    rest = {**document, **image}
    return _data(fields, in_prompts(fields, notes), notes, rest, {"invokeai_metadata": text})


def read_dream(text: str) -> GenerationData | None:
    """What `Dream` says, the command line of InvokeAI 1: `"a boat [fog]" -s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_euler`;
    None when the text is none."""
    if not text.lstrip().startswith('"') or len(text) > _LONGEST_COMMAND:
        return None
    try:
        prompt, *words = shlex.split(text)
    except ValueError:
        return None
    options: dict[str, Any] = {}
    letter = ""
    for part in words:
        if letter:
            options[letter], letter = part, ""
        elif match := _OPTION.fullmatch(part):
            if match[2]:
                options[match[1]] = match[2]
            else:
                letter = match[1]
    if not {"s", "S"} & options.keys():
        return None
    notes: list[str] = []
    fields = take(options, _DREAM, notes)
    fields["prompt"], fields["negative_prompt"] = _excluded(prompt)
    _sampling(options.pop("A", None), fields, notes)
    fields["software"] = "InvokeAI"
    return _data(fields, in_prompts(fields, notes), notes, options, {"Dream": text})


def _data(
    fields: dict[str, Any],
    resources: list[UsedResource],
    notes: list[str],
    rest: Mapping[str, Any],
    texts: Mapping[str, str],
) -> GenerationData:
    fields.update(by_list(join(resources, notes)))
    return GenerationData(source="invokeai", notes=tuple(notes), extra=rest_of(rest), texts=texts, **fields)


def _excluded(prompt: str) -> tuple[str, str]:
    """The prompt without its `[…]`, and what stood in them."""
    parts, excluded, at = [], [], 0
    while (start := prompt.find("[", at)) >= 0 and (end := prompt.find("]", start)) >= 0:
        parts.append(prompt[at:start])
        excluded.append(prompt[start + 1 : end].strip())
        at = end + 1
    parts.append(prompt[at:])
    return "".join(parts).strip(" ,"), ", ".join(filter(None, excluded))


def _sampling(value: object, fields: dict[str, Any], notes: list[str]) -> None:
    if not isinstance(value, str) or not value:
        return
    if value in _SCHEDULERS:
        fields["sampler"], fields["scheduler"] = _SCHEDULERS[value]
    else:
        fields["sampler"] = value
        notes.append(f"The scheduler {value[:60]!r} is unknown; nothing stands in for it.")


def _name_and_hash(value: object) -> tuple[str, str]:
    """A model's name and hash, in the spellings of 3 and of 4 and later; their BLAKE3 keeps its digits."""
    if isinstance(value, str):
        return value, ""
    if not isinstance(value, Mapping):
        return "", ""
    name = word(value.get("name")) or word(value.get("model_name")) or ""
    hash = value.get("hash")
    return name, normal_hash(hash.rpartition(":")[2]) if isinstance(hash, str) else ""
