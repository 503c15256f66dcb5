"""A1111's and Forge's text -> GenerationData: what the settings mean.

What the plain text cannot say exactly stands, as an object `bridge`, in `Civitai metadata`, which CivitAI reads over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields as fields_of
from typing import Any

from ...resources.hashes import normal_hash
from ...resources.json_values import number, whole
from ..generation import GenerationData, Upscale, UsedResource
from ..generation_json import from_json_fields
from ..quantities import guidance_scale, layers, pixels, step_count
from ..samplers import read_label
from ..tables import Row, take, word
from .resources import HASH_LISTS, add_resources
from .text import read_parts

METADATA = "Civitai metadata"
OWN = "bridge"
# Fields that no text carries: where it came from, and what was said while it was read.
NOT_CARRIED = ("texts", "source", "notes")
HIRES = frozenset(
    ("Hires upscale", "Hires upscaler", "Hires resize", "Hires steps", "First pass size", "First pass strength")
)


# How other programs spell A1111's keys, in lower case.
ALIASES: Mapping[str, str] = {
    "cfg": "CFG scale", "guidance scale": "CFG scale", "scheduler": "Schedule type", "schedule": "Schedule type",
    "sampler name": "Sampler", "guidance": "Distilled CFG Scale", "denoise": "Denoising strength",
    "denoising": "Denoising strength", "resolution": "Size", "checkpoint": "Model",
}  # fmt: skip


def _clip_skip(value: object) -> int | None:
    """Layers; ComfyUI counts them from the end, with a minus."""
    count = whole(value)
    return layers(count if count is None else abs(count))


def _some_hash(value: object) -> str | None:
    return normal_hash(value) or None


def _size(value: object) -> tuple[int, int] | None:
    width, _, height = value.lower().partition("x") if isinstance(value, str) else ("", "", "")
    size = pixels(width), pixels(height)
    return size if size[0] and size[1] else None  # type: ignore[return-value]


SETTINGS: tuple[Row, ...] = (
    ("Steps", "steps", step_count),
    ("CFG scale", "cfg", guidance_scale),
    ("Seed", "seed", whole),
    ("Size", "size", _size),
    ("Sampler", "sampler", word),
    ("Schedule type", "scheduler", word),
    ("Model hash", "model_hash", _some_hash),
    ("Model", "model_name", word),
    ("Clip skip", "clip_skip", _clip_skip),
    ("Denoising strength", "denoise", number),
    ("Denoise strength", "denoise", number),
    ("Distilled CFG Scale", "guidance", guidance_scale),
    ("VAE", "vae", word),
    ("VAE hash", "vae_hash", _some_hash),
    ("Version", "software", word),
    ("Width", "width", pixels),
    ("Height", "height", pixels),
)
SECOND_PASS: tuple[Row, ...] = (
    ("Hires upscaler", "upscaler", word),
    ("Hires upscale", "scale", number),
    ("Hires steps", "steps", step_count),
    ("Hires prompt", "prompt", word),
    ("Hires negative prompt", "negative_prompt", word),
    ("Hires resize", "size", _size),
)


_KEYS = frozenset(key for key, _, _ in SETTINGS)
_SPELLED = frozenset((*_KEYS, *HIRES, *(key for key, _, _ in SECOND_PASS), *HASH_LISTS, "Hashes"))
BY_LOWER_CASE = {**{key.lower(): key for key in _KEYS}, **ALIASES}


def read_a1111(text: str) -> GenerationData | None:
    """What a picture's A1111 text says; None when the text has no line of settings."""
    if "\r" in text or "\0" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    notes: list[str] = []
    parts = read_parts(text, notes)
    if parts is None:
        return None
    prompt, negative, settings = parts
    own = _own_fields(settings, notes) if METADATA in settings else {}
    fields = fields_of_settings(prompt, negative, settings, notes)
    fields.update(own, source="a1111", notes=tuple(notes), texts={"parameters": text})
    return GenerationData.of(fields)


def fields_of_settings(
    prompt: str, negative: str, settings: dict[str, Any], notes: list[str], listed: Iterable[UsedResource] = ()
) -> dict[str, Any]:
    """The fields of a `GenerationData` from prompts and named settings, for every format that uses A1111's names.

    `settings` is used up; what is left of it has no field and becomes `extra`. `listed` are resources found
    elsewhere."""
    _spell(settings)
    fields = take(settings, SETTINGS, notes)
    fields["prompt"], fields["negative_prompt"] = prompt, negative
    if size := fields.pop("size", None):
        fields["width"], fields["height"] = size
    if "sampler" in fields or "scheduler" in fields:
        _name_sampling(fields, notes)
    if not HIRES.isdisjoint(settings):
        fields["upscale"] = _second_pass(fields, settings, notes)
    add_resources(fields, settings, notes, listed)
    if settings:
        fields["extra"] = settings
    return fields


def _spell(settings: dict[str, Any]) -> None:
    """Give known settings A1111's own keys, where nothing stands under these."""
    for key in [key for key in settings if key not in _SPELLED]:
        spelled = BY_LOWER_CASE.get(key.lower())
        if spelled is not None and spelled not in settings:
            settings[spelled] = settings.pop(key)


def _name_sampling(fields: dict[str, Any], notes: list[str]) -> None:
    """A1111's label and schedule type in ComfyUI's names."""
    label, schedule = fields.get("sampler", ""), fields.get("scheduler", "")
    if label or schedule:
        sampling, unknown = read_label(label or "Euler", schedule)
        fields["sampler"], fields["scheduler"] = sampling.sampler if label else "", sampling.scheduler
        notes += unknown


def _second_pass(fields: dict[str, Any], settings: dict[str, Any], notes: list[str]) -> Upscale:
    """The second pass. With it, `Denoising strength` is the second pass's."""
    values = take(settings, SECOND_PASS, notes)
    if size := values.pop("size", None):
        values["width"], values["height"] = size
    return Upscale(denoise=fields.pop("denoise", None), **values)


def _own_fields(settings: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """What this pack wrote beside the plain text; null says that a field is not said, whatever the text looks like."""
    metadata = settings.get(METADATA)
    own = metadata.get(OWN) if isinstance(metadata, dict) else None
    if not isinstance(own, dict):
        return {}
    rest = {key: value for key, value in metadata.items() if key != OWN}  # type: ignore[union-attr]
    if rest:
        settings[METADATA] = rest
    else:
        del settings[METADATA]
    unsaid = {name: default for name, default in _DEFAULTS.items() if name in own and own[name] is None}
    values = unsaid | from_json_fields(own, notes)
    return {name: value for name, value in values.items() if name not in NOT_CARRIED}


_DEFAULTS: Mapping[str, Any] = {
    field.name: getattr(GenerationData(), field.name) for field in fields_of(GenerationData)
}
