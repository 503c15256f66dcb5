"""Fooocus: stock (JSON of scheme `fooocus`, in `parameters` or the UserComment) and RuinedFooocus (facts/site-api.md
§2.6). Stock Fooocus may also write A1111 text, which `a1111` reads."""

from __future__ import annotations

import re
from typing import Any

from ..resources.hashes import normal_hash
from ..resources.json_values import number, whole
from .generation import GenerationData, UsedResource, by_list
from .quantities import guidance_scale, layers, pixels, shown, step_count
from .resources import join, named_embeddings, tagged
from .tables import Row, decoded_object, kept, take, word


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
_COMBINED = re.compile(r"lora_combined_\d{1,3}", re.ASCII)
_SIZE = re.compile(r"\s*[(\[]?\s*(\d{1,6})\s*[,x×]\s*(\d{1,6})\s*[)\]]?\s*", re.ASCII)


def read_ruined(text: str) -> GenerationData | None:
    """What RuinedFooocus wrote; None when the text is not its own."""
    said = decoded_object(text) if "RuinedFooocus" in text else None
    if said is None or said.get("software") != "RuinedFooocus":
        return None
    notes: list[str] = []
    fields = take(said, _RUINED, notes)
    networks = _in_prompts(fields, notes) + _loras(said.pop("loras", None), notes)
    fields.update(by_list(join(networks, notes)))
    return GenerationData(
        source="ruinedfooocus", notes=tuple(notes), extra=kept(said), texts={"parameters": text}, **fields
    )


def read_fooocus(text: str) -> GenerationData | None:
    """What stock Fooocus wrote in its own scheme; None when the text is not its own."""
    said = decoded_object(text) if "base_model" in text else None
    if said is None or not ("metadata_scheme" in said or {"performance", "prompt"} <= said.keys()):
        return None
    notes: list[str] = []
    fields = take(said, _STOCK, notes)
    _resolution(said, fields, notes)
    networks = _in_prompts(fields, notes) + _loras(said.pop("loras", None), notes)
    for key in [key for key in said if _COMBINED.fullmatch(key)]:
        networks += _combined(said.pop(key), notes)
    refiner = said.get("refiner_model")
    if isinstance(refiner, str) and refiner not in ("", "None"):
        hash = normal_hash(said.pop("refiner_model_hash", ""))
        networks.append(UsedResource("", 1.0, str(said.pop("refiner_model")), "refiner", hash=hash, source="file"))
    fields.update(by_list(join(networks, notes)))
    return GenerationData(source="fooocus", notes=tuple(notes), extra=kept(said), texts={"parameters": text}, **fields)


def _resolution(said: dict[str, Any], fields: dict[str, Any], notes: list[str]) -> None:
    """`"(1024, 1024)"`, or the pair itself."""
    value = said.pop("resolution", None)
    if value is None:
        return
    text = "x".join(map(str, value)) if isinstance(value, list) and len(value) == 2 else str(value)[:64]
    if (found := _SIZE.fullmatch(text)) is None:
        notes.append(f"resolution is left out: {shown(value)} is no size.")
    else:
        fields["width"], fields["height"] = int(found[1]), int(found[2])


def _in_prompts(fields: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    found = []
    for name in ("prompt", "negative_prompt"):
        text = fields.get(name, "")
        found += tagged(text, name, notes)
        found += named_embeddings(text, name)
    return found


def _loras(value: object, notes: list[str]) -> list[UsedResource]:
    """`[[name, weight, hash], …]`, or RuinedFooocus's `[["hash", "0.5 - name"], …]` and objects."""
    found = []
    for one in value if isinstance(value, list) else ():
        parts = [one.get(k) for k in ("name", "weight", "hash")] if isinstance(one, dict) else one
        if not isinstance(parts, list) or len(parts) < 2:
            notes.append(f"A LoRA is left out: {shown(one)} names none.")
            continue
        name, weight, hash = parts[0], parts[1], parts[2] if len(parts) > 2 else ""
        if isinstance(weight, str) and " - " in weight:
            said, _, called = weight.partition(" - ")
            name, weight, hash = called, said, parts[0]
        if isinstance(name, str) and name not in ("", "None"):
            found.append(_lora(name, weight, normal_hash(hash), notes))
    return found


def _combined(value: object, notes: list[str]) -> list[UsedResource]:
    """`"name : weight"`, as the older versions list their LoRAs."""
    name, colon, weight = value.rpartition(" : ") if isinstance(value, str) else ("", "", "")
    return [_lora(name, weight, "", notes)] if colon and name.strip() not in ("", "None") else []


def _lora(name: str, said: object, hash: str, notes: list[str]) -> UsedResource:
    weight = number(said)
    if weight is None:
        notes.append(f"The weight of {name[:60]} (1 stands in) is not known: {shown(said)}.")
    return UsedResource("", 1.0 if weight is None else weight, name.strip(), hash=hash, source="file")
