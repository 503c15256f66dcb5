"""InvokeAI: `invokeai_metadata` (3 and later) and `sd-metadata` (2.x), both JSON in PNG text chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..resources.hashes import normal_hash
from ..resources.json_values import number, whole
from .generation import GenerationData, UsedResource, by_list
from .quantities import guidance_scale, layers, pixels, shown, step_count
from .resources import join, named_embeddings, tagged
from .tables import Row, decoded_object, kept, objects, take, word

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
    said = decoded_object(text)
    if said is None:
        return None
    if isinstance(said.get("image"), dict) and ("app_id" in said or "model_weights" in said):
        return _old(said, text)
    if not {"positive_prompt", "generation_mode", "app_version"} & said.keys():
        return None
    notes: list[str] = []
    fields = take(said, _NEW, notes)
    _sampling(said.pop("scheduler", None), fields, notes)
    fields["detected_type"] = _TYPES.get(str(said.get("generation_mode")).rpartition("_")[2], "")
    model = said.pop("model", None)
    if model is not None:
        fields["model_name"], fields["model_hash"] = _named(model)
    if (vae := said.pop("vae", None)) is not None:
        fields["vae"], fields["vae_hash"] = _named(vae)
    networks = _tags(fields, notes)
    for one in objects(said.pop("loras", None)):
        name, hash = _named(one.get("model", one.get("lora")))
        weight = number(one.get("weight"))
        if weight is None:
            notes.append(f"The weight of {name[:60]} (1 stands in) is not known: {shown(one.get('weight'))}.")
        networks.append(UsedResource("", 1.0 if weight is None else weight, name, hash=hash, source="file"))
    for one in objects(said.get("controlnets")):
        name, hash = _named(one.get("control_model"))
        if name:
            networks.append(UsedResource("", 1.0, name, "controlnet", hash=hash, source="file"))
    if (refiner := said.pop("refiner_model", None)) is not None:
        name, hash = _named(refiner)
        networks.append(UsedResource("", 1.0, name, "refiner", hash=hash, source="file"))
    fields.update(by_list(join(networks, notes)))
    return _made(fields, notes, said, text)


def _old(said: dict[str, Any], text: str) -> GenerationData:
    """InvokeAI 2: the prompt is a list of parts, and what it excludes stands in it in square brackets."""
    notes: list[str] = []
    image = said.pop("image")
    fields = take(image, _OLD, notes)
    prompt = image.pop("prompt", "")
    parts = [prompt] if isinstance(prompt, str) else [one.get("prompt") for one in objects(prompt)]
    full = ", ".join(part for part in parts if isinstance(part, str))
    fields["prompt"], fields["negative_prompt"] = _excluded(full)
    _sampling(image.pop("sampler", None), fields, notes)
    fields["model_name"] = word(said.pop("model_weights", None)) or word(said.get("model")) or ""
    fields["model_hash"] = normal_hash(said.pop("model_hash", ""))
    fields["detected_type"] = _TYPES.get(str(image.get("type")), "")
    fields["software"] = f"InvokeAI {said.get('app_version', '')}".strip()
    fields.update(by_list(join(_tags(fields, notes), notes)))
    return _made(fields, notes, {**said, **image}, text)


def _made(fields: dict[str, Any], notes: list[str], said: Mapping[str, Any], text: str) -> GenerationData:
    return GenerationData(
        source="invokeai", notes=tuple(notes), extra=kept(said), texts={"invokeai_metadata": text}, **fields
    )


def _excluded(prompt: str) -> tuple[str, str]:
    """The prompt without its `[…]`, and what stood in them."""
    kept_parts, out, at = [], [], 0
    while (start := prompt.find("[", at)) >= 0 and (end := prompt.find("]", start)) >= 0:
        kept_parts.append(prompt[at:start])
        out.append(prompt[start + 1 : end].strip())
        at = end + 1
    kept_parts.append(prompt[at:])
    return "".join(kept_parts).strip(" ,"), ", ".join(one for one in out if one)


def _sampling(value: object, fields: dict[str, Any], notes: list[str]) -> None:
    if not isinstance(value, str) or not value:
        return
    if value in _SCHEDULERS:
        fields["sampler"], fields["scheduler"] = _SCHEDULERS[value]
    else:
        fields["sampler"] = value
        notes.append(f"The scheduler {value[:60]!r} is unknown; nothing stands in for it.")


def _named(value: object) -> tuple[str, str]:
    """A model's name and hash, in the spellings of 3 and of 4 and later; their BLAKE3 keeps its digits."""
    if isinstance(value, str):
        return value, ""
    if not isinstance(value, Mapping):
        return "", ""
    name = word(value.get("name")) or word(value.get("model_name")) or ""
    hash = value.get("hash")
    return name, normal_hash(hash.rpartition(":")[2]) if isinstance(hash, str) else ""


def _tags(fields: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    found = []
    for name in ("prompt", "negative_prompt"):
        found += tagged(fields.get(name, ""), name, notes)
        found += named_embeddings(fields.get(name, ""), name)
    return found
