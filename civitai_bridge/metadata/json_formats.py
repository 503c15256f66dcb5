"""Formats that are one JSON object and a small table each: Easy Diffusion, Draw Things, TensorArt, and the Spaces of
Hugging Face that save pictures (Animagine XL and its kin).

Sources: https://github.com/easydiffusion/easydiffusion, https://docs.drawthings.ai, pictures of TensorArt and of
https://huggingface.co/spaces/cagliostrolab/animagine-xl-3.1"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..resources.hashes import normal_hash
from ..resources.json_values import mapping, number, objects, whole
from .generation import GenerationData, UsedResource, by_list
from .prompt import normal_name
from .quantities import guidance_scale, layers, pixels, step_count, weight_of
from .resources import in_prompts, join, kind_of
from .samplers import read_label
from .tables import Row, decoded_object, may_hold, rest_of, take, word


def _size(value: object) -> tuple[int, int] | None:
    """`832x1216` and `832 x 1216`."""
    width, _, height = value.partition("x") if isinstance(value, str) else ("", "", "")
    size = pixels(width), pixels(height)
    return size if size[0] and size[1] else None  # type: ignore[return-value]


def _file_name(value: object) -> str | None:
    """The last part of a path on another machine, without a model file's extension."""
    return normal_name(value).rpartition("/")[2] if isinstance(value, str) else None


def _some_hash(value: object) -> str | None:
    return normal_hash(value) or None


@dataclass(frozen=True)
class _Format:
    """A format: its name as a source, the keys that show it (all of each group's one), and its table."""

    source: str
    software: str
    keys: tuple[frozenset[str], ...]
    table: tuple[Row, ...]


_FORMATS = (
    _Format(
        "easydiffusion", "Easy Diffusion",
        (frozenset(("use_stable_diffusion_model", "Stable Diffusion model")),),
        (
            ("prompt", "prompt", word), ("Prompt", "prompt", word),
            ("negative_prompt", "negative_prompt", word), ("Negative Prompt", "negative_prompt", word),
            ("seed", "seed", whole), ("Seed", "seed", whole),
            ("num_inference_steps", "steps", step_count), ("Steps", "steps", step_count),
            ("guidance_scale", "cfg", guidance_scale), ("Guidance Scale", "cfg", guidance_scale),
            ("width", "width", pixels), ("Width", "width", pixels),
            ("height", "height", pixels), ("Height", "height", pixels),
            ("sampler_name", "sampler", word), ("Sampler", "sampler", word),
            ("scheduler_name", "scheduler", word),
            ("use_stable_diffusion_model", "model_name", _file_name),
            ("Stable Diffusion model", "model_name", _file_name),
            ("use_vae_model", "vae", _file_name), ("VAE model", "vae", _file_name),
            ("prompt_strength", "denoise", number), ("Prompt Strength", "denoise", number),
        ),
    ),
    _Format(
        "drawthings", "Draw Things",
        (frozenset(("c",)), frozenset(("scale",)), frozenset(("seed",))),
        (
            ("c", "prompt", word), ("uc", "negative_prompt", word), ("model", "model_name", _file_name),
            ("sampler", "sampler", word), ("scale", "cfg", guidance_scale), ("seed", "seed", whole),
            ("steps", "steps", step_count), ("strength", "denoise", number), ("size", "size", _size),
        ),
    ),
    _Format(
        "tensorart", "TensorArt",
        (frozenset(("negativePrompt", "cfgScale")), frozenset(("baseModel",))),
        (
            ("prompt", "prompt", word), ("negativePrompt", "negative_prompt", word), ("seed", "seed", whole),
            ("steps", "steps", step_count), ("cfgScale", "cfg", guidance_scale),
            ("guidance", "guidance", guidance_scale), ("width", "width", pixels), ("height", "height", pixels),
            ("samplerName", "sampler", word), ("ksamplerName", "sampler", word), ("schedule", "scheduler", word),
            ("clipSkip", "clip_skip", layers), ("vae", "vae", _file_name), ("denoisingStrength", "denoise", number),
        ),
    ),
    _Format(
        "huggingface", "Hugging Face Space",
        (frozenset(("num_inference_steps",)), frozenset(("guidance_scale",)), frozenset(("resolution", "width"))),
        (
            ("prompt", "prompt", word), ("negative_prompt", "negative_prompt", word), ("seed", "seed", whole),
            ("num_inference_steps", "steps", step_count), ("guidance_scale", "cfg", guidance_scale),
            ("resolution", "size", _size), ("width", "width", pixels), ("height", "height", pixels),
            ("sampler", "sampler", word), ("Model", "model_name", _file_name), ("model", "model_name", _file_name),
            ("Model hash", "model_hash", _some_hash),
        ),
    ),
)  # fmt: skip
# Names of diffusers and of Stable Diffusion's own scripts -> A1111's labels.
_LABELS = {
    "euler_a": "Euler a", "dpm2": "DPM2", "dpm2_a": "DPM2 a", "dpmpp_2s_a": "DPM++ 2S a", "unipc_snr": "UniPC",
    "unipc_tu": "UniPC", "unipc_tq": "UniPC", "unipc_snr_2": "UniPC", "plms": "PLMS", "k_euler_ancestral": "Euler a",
}  # fmt: skip


def read_json_format(text: str) -> GenerationData | None:
    """What one of these formats says; None when the text is none of them."""
    candidates = [candidate for candidate in _FORMATS if all(may_hold(text, keys) for keys in candidate.keys)]
    document = decoded_object(text) if candidates else None
    if document is None:
        return None
    for candidate in candidates:
        if all(not keys.isdisjoint(document) for keys in candidate.keys):
            return _read(candidate, document, text)
    return None


def _read(written_in: _Format, document: dict[str, Any], text: str) -> GenerationData:
    notes: list[str] = []
    fields = take(document, written_in.table, notes)
    fields.setdefault("software", written_in.software)
    if size := fields.pop("size", None):
        fields["width"], fields["height"] = size
    if label := fields.get("sampler", ""):
        sampling, unknown = read_label(_LABELS.get(label) or label, fields.get("scheduler", ""))
        fields["sampler"], fields["scheduler"] = sampling.sampler, sampling.scheduler
        notes += unknown
    resources = [*in_prompts(fields, notes), *_RESOURCES.get(written_in.source, _none)(document, fields, notes)]
    fields.update(by_list(join(resources, notes)))
    extra, texts = rest_of(document), {"parameters": text}
    return GenerationData(source=written_in.source, notes=tuple(notes), extra=extra, texts=texts, **fields)


def _none(document: dict[str, Any], fields: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    return []


def _of_easy_diffusion(document: dict[str, Any], fields: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """`use_lora_model` and `lora_alpha`, each one or a list; a hypernetwork alike."""
    resources = []
    for kind, key, weights_key in (
        ("lora", "use_lora_model", "lora_alpha"),
        ("hypernet", "use_hypernetwork_model", "hypernetwork_strength"),
    ):
        names, weights = document.pop(key, None), document.pop(weights_key, None)
        names = names if isinstance(names, list) else [names]
        weights = weights if isinstance(weights, list) else [weights]
        for index, name in enumerate(names):
            if called := _file_name(name):
                weight = weight_of(called, weights[index], notes) if index < len(weights) else 1.0
                resources.append(UsedResource("", weight, called, kind, source="file"))
    return resources


def _of_draw_things(document: dict[str, Any], fields: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    return [
        UsedResource("", weight_of(name, lora.get("weight", 1.0), notes), name, source="file")
        for lora in objects(document.pop("lora", None))
        if (name := _file_name(lora.get("model") or lora.get("file")))
    ]


def _of_tensorart(document: dict[str, Any], fields: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """`models`, each with type, file name, hash and weight, and `baseModel`."""
    base = mapping(document.pop("baseModel", None))
    fields["model_name"] = _model_name(base)
    fields["model_hash"] = normal_hash(base.get("hash"))
    resources = []
    for model in objects(document.pop("models", None)):
        if name := _model_name(model):
            weight = weight_of(name, model.get("weight", 1.0), notes)
            hash = normal_hash(model.get("hash"))
            resources.append(UsedResource("", weight, name, kind_of(model.get("type")), hash=hash, source="file"))
    return resources


def _model_name(model: Mapping[str, Any]) -> str:
    return _file_name(model.get("modelFileName")) or _file_name(model.get("label")) or ""


def _of_hugging_face(document: dict[str, Any], fields: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    lora = mapping(document.get("use_lora"))
    name = _file_name(lora.get("selected_lora"))
    return [UsedResource("", weight_of(name, lora.get("scale", 1.0), notes), name, source="file")] if name else []


_RESOURCES = {
    "easydiffusion": _of_easy_diffusion,
    "drawthings": _of_draw_things,
    "tensorart": _of_tensorart,
    "huggingface": _of_hugging_face,
}
