"""Fooocus: stock (JSON of scheme `fooocus`, in `parameters` or the UserComment) and RuinedFooocus, which CivitAI reads
too. Stock Fooocus may also write A1111 text, which `a1111` reads.

Source: https://github.com/lllyasviel/Fooocus/blob/main/modules/meta_parser.py"""

from __future__ import annotations

import re
from typing import Any

from ..resources.hashes import normal_hash
from ..resources.json_values import items, number, whole
from .generation import GenerationData, UsedResource, by_list
from .quantities import guidance_scale, layers, pixels, shown, step_count, weight_of
from .resources import in_prompts, join
from .tables import Row, decoded_object, rest_of, take, word


def _stem(value: object) -> str | None:
    """A model's name without its extension, as CivitAI keeps it."""
    if not isinstance(value, str):
        return None
    head, _, last = value.rpartition(".")
    return head if head and last in ("safetensors", "ckpt", "pt", "gguf") else value


def _known_hash(value: object) -> str | None:
    return normal_hash(value) or None


def _no_simple(value: object) -> str | None:
    return word(value) if value != "simple" else ""


_RUINED: tuple[Row, ...] = (
    ("Prompt", "prompt", word),
    ("Negative", "negative_prompt", word),
    ("cfg", "cfg", guidance_scale),
    ("steps", "steps", step_count),
    ("seed", "seed", whole),
    ("sampler_name", "sampler", word),
    ("scheduler", "scheduler", _no_simple),
    ("denoise", "denoise", number),
    ("width", "width", pixels),
    ("height", "height", pixels),
    ("clip_skip", "clip_skip", layers),
    ("base_model_name", "model_name", _stem),
    ("base_model_hash", "model_hash", _known_hash),
    ("software", "software", word),
)
_STOCK: tuple[Row, ...] = (
    ("prompt", "prompt", word),
    ("negative_prompt", "negative_prompt", word),
    ("guidance_scale", "cfg", guidance_scale),
    ("steps", "steps", step_count),
    ("seed", "seed", whole),
    ("sampler", "sampler", word),
    ("scheduler", "scheduler", word),
    ("clip_skip", "clip_skip", layers),
    ("base_model", "model_name", _stem),
    ("base_model_hash", "model_hash", _known_hash),
    ("vae", "vae", word),
    ("version", "software", word),
)
_NONE = ("", "None")
_COMBINED = re.compile(r"lora_combined_\d{1,3}", re.ASCII)
_SIZE = re.compile(r"\s*[(\[]?\s*(\d{1,6})\s*[,x×]\s*(\d{1,6})\s*[)\]]?\s*", re.ASCII)


def read_ruined(text: str) -> GenerationData | None:
    """What RuinedFooocus wrote; None when the text is not its own."""
    document = decoded_object(text) if "RuinedFooocus" in text else None
    if document is None or document.get("software") != "RuinedFooocus":
        return None
    notes: list[str] = []
    fields = take(document, _RUINED, notes)
    resources = [*in_prompts(fields, notes), *_loras(document.pop("loras", None), notes)]
    return _data("ruinedfooocus", text, document, fields, resources, notes)


def read_fooocus(text: str) -> GenerationData | None:
    """What stock Fooocus wrote in its own scheme; None when the text is not its own."""
    document = decoded_object(text) if "base_model" in text else None
    if document is None or not ("metadata_scheme" in document or {"performance", "prompt"} <= document.keys()):
        return None
    notes: list[str] = []
    fields = take(document, _STOCK, notes)
    _resolution(document.pop("resolution", None), fields, notes)
    resources = [*in_prompts(fields, notes), *_loras(document.pop("loras", None), notes)]
    for key in [key for key in document if _COMBINED.fullmatch(key)]:
        resources += _combined(document.pop(key), notes)
    refiner = document.get("refiner_model")
    if isinstance(refiner, str) and refiner not in _NONE:
        del document["refiner_model"]
        hash = normal_hash(document.pop("refiner_model_hash", ""))
        resources.append(UsedResource("", 1.0, refiner, "refiner", hash=hash, source="file"))
    return _data("fooocus", text, document, fields, resources, notes)


def _data(
    source: str,
    text: str,
    document: dict[str, Any],
    fields: dict[str, Any],
    resources: list[UsedResource],
    notes: list[str],
) -> GenerationData:
    fields.update(by_list(join(resources, notes)))
    extra, texts = rest_of(document), {"parameters": text}
    return GenerationData(source=source, notes=tuple(notes), extra=extra, texts=texts, **fields)


def _resolution(value: object, fields: dict[str, Any], notes: list[str]) -> None:
    """`"(1024, 1024)"`, or the pair itself."""
    if value is None:
        return
    text = "x".join(map(str, value)) if isinstance(value, list) and len(value) == 2 else str(value)[:64]
    if (match := _SIZE.fullmatch(text)) is None:
        notes.append(f"resolution is left out: {shown(value)} is no size.")
    else:
        fields["width"], fields["height"] = int(match[1]), int(match[2])


def _loras(value: object, notes: list[str]) -> list[UsedResource]:
    """`[[name, weight, hash], …]`, or RuinedFooocus's `[["hash", "0.5 - name"], …]` and objects."""
    loras = []
    for entry in items(value):
        parts = [entry.get(key) for key in ("name", "weight", "hash")] if isinstance(entry, dict) else entry
        if not isinstance(parts, list) or len(parts) < 2:
            notes.append(f"A LoRA is left out: {shown(entry)} names none.")
            continue
        name, weight, hash = parts[0], parts[1], parts[2] if len(parts) > 2 else ""
        if isinstance(weight, str) and " - " in weight:
            hash = parts[0]
            weight, _, name = weight.partition(" - ")
        if isinstance(name, str) and name not in _NONE:
            loras.append(_lora(name, weight, normal_hash(hash), notes))
    return loras


def _combined(value: object, notes: list[str]) -> list[UsedResource]:
    """`"name : weight"`, as the older versions list their LoRAs."""
    name, colon, weight = value.rpartition(" : ") if isinstance(value, str) else ("", "", "")
    return [_lora(name, weight, "", notes)] if colon and name.strip() not in _NONE else []


def _lora(name: str, weight: object, hash: str, notes: list[str]) -> UsedResource:
    return UsedResource("", weight_of(name, weight, notes), name.strip(), hash=hash, source="file")
