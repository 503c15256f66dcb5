"""GenerationData -> A1111 text that CivitAI's uploader recognises and `read_a1111` reads back as an equal value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from typing import Any

from ...errors import InvalidAir
from ...resources.air import Air
from ..generation import GenerationData, Upscale, UsedResource
from ..quantities import shown
from ..samplers import to_label, to_schedule_label
from .reader import BY_LOWER_CASE, HIRES, METADATA, NOT_CARRIED, OWN, SECOND_PASS, SETTINGS, read_a1111
from .resources import CIVITAI_RESOURCES, HASH_LISTS
from .text import NEGATIVE

_LOOKALIKE = re.compile(r"(steps|negative prompt|template|parameters)[ \t]{0,32}:", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,120}", re.ASCII)
_ESCAPED = re.compile(r'\\["\\]')
_ENDS_VALUE = frozenset(',:\n\r"\\{}[]')
# What a bare value cannot hold: CivitAI takes a value in quotes for an object, and keeps nothing of a text whose
# sampler or model name is one.
_ENDS_BARE = re.compile(r'[\x00-\x1f",:\u2028\u2029]+')
_TAG_WITHOUT_WEIGHT = re.compile(r"(<(?:lora|hypernet):[a-zA-Z0-9_.\-]+:)(\.*>|\.\.[0-9.]*>)")
_HASH_PREFIXES = {"lora": "lora", "lyco": "lora", "hypernet": "hypernet", "embedding": "embed"}
_AIR_TYPES = {"lyco": "lycoris", "hypernet": "hypernet", "embedding": "embed", "refiner": "checkpoint"}
# AIRs that end in the version of which CivitAI's grammar makes a number.
_SITE_AIR = re.compile(r"(?:urn:)?(?:air:)?(?:[a-z0-9_\-/]+:){1,3}[0-9]+@[0-9]+(?:\+[0-9]+)?", re.IGNORECASE | re.ASCII)
_INFINITE = float("inf")
_KNOWN_KEYS = frozenset(
    (
        *(key for key, _, _ in (*SETTINGS, *SECOND_PASS)),
        *HASH_LISTS,
        *HIRES,
        *("Hashes", "Refiner", "Refiner hash", "Hypernet", "Hypernet strength", CIVITAI_RESOURCES, METADATA),
        # CivitAI's own names: a setting that is called so would be taken for what it is not.
        *("prompt", "negativePrompt", "steps", "seed", "cfgScale", "sampler", "clipSkip", "width", "height"),
        *("resources", "versionIds", "modelIds", "extra", "effects", "hashes", "civitaiResources", "denoise"),
        *("additionalResources", "comfy", "models", "upscalers", "vaes", "controlNets", "scheduler", "other"),
        *("external", "hideMeta", "engine", "process", "type", "workflow", "version", "baseModel", "ecosystem"),
    )
)


def carried(data: GenerationData) -> GenerationData:
    """The data as far as a text carries it: without the original texts, and without who said what."""
    lists = {
        name: tuple(replace(resource, source="") for resource in getattr(data, name))
        for name in ("networks", "embeddings", "others")
    }
    return replace(data, texts={}, source="", notes=(), **lists)


def write_a1111(data: GenerationData) -> str:
    """The data as A1111 text; what this cannot say exactly goes, as `bridge`, into `Civitai metadata`.

    assert carried(read_a1111(write_a1111(data))) == carried(data)
    """
    data = carried(data)
    plain = read_a1111(_composed(data, {}))
    back = carried(plain) if plain is not None else GenerationData()
    names = [field.name for field in fields_of(GenerationData) if field.name not in NOT_CARRIED]
    document = data.to_json()
    own = {name: document[name] for name in names if getattr(back, name) != getattr(data, name)}
    return _composed(data, own)


def _composed(data: GenerationData, own: Mapping[str, Any]) -> str:
    extra = dict(data.extra)
    metadata = extra.pop(METADATA, None)
    metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
    if own:
        metadata[OWN] = own
    lines = [_prompt_lines(data.prompt)] if data.prompt else []
    if data.negative_prompt:
        lines.append(f"{NEGATIVE} {_prompt_lines(data.negative_prompt)}")
    settings = (*_settings(data, extra), *_lists(data, metadata))
    details = ", ".join(f"{key}: {value}" for key, value in settings)
    return "\n".join([*lines, details]).encode("utf-8", "replace").decode("utf-8")


def _settings(data: GenerationData, extra: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each setting that is said, as the line takes it."""
    upscale = data.upscale or Upscale()
    settings: list[tuple[str, str]] = [
        # CivitAI knows the text by its "Steps: " and a number; `bridge` says so when there is none.
        ("Steps", str(data.steps or 0)),
        ("Sampler", _bare(to_label(data.sampler))),
        ("Schedule type", _bare(to_schedule_label(data.scheduler))),
        ("CFG scale", _number(data.cfg)),
        ("Seed", _number(data.seed)),
        ("Size", _size(data.width, data.height)),
        ("Model hash", data.model_hash),
        ("Model", _bare(_file(data.model_name))),
        ("VAE hash", data.vae_hash),
        ("VAE", _bare(_file(data.vae))),
        ("Denoising strength", _number(upscale.denoise if data.upscale else _denoise_of_picture(data))),
        ("Clip skip", _number(data.clip_skip)),
        ("Distilled CFG Scale", _number(data.guidance)),
        ("Hires upscale", _number(upscale.scale)),
        ("Hires upscaler", _bare(_file(upscale.upscaler))),
        ("Hires steps", _number(upscale.steps)),
        ("Hires resize", _size(upscale.width, upscale.height)),
        ("Hires prompt", _quoted(upscale.prompt)),
        ("Hires negative prompt", _quoted(upscale.negative_prompt)),
        *((key, _quoted(value)) for key, value in extra.items() if isinstance(value, str) and _is_safe_key(key)),
        ("Version", _bare(data.software)),
    ]
    return [(key, value) for key, value in settings if value]


def _size(width: int | None, height: int | None) -> str:
    return f"{width}x{height}" if width is not None and height is not None else ""


def _denoise_of_picture(data: GenerationData) -> float | None:
    """The denoising strength where it is one: A1111 takes a 1 of a picture from text for a second pass."""
    return None if data.denoise == 1 else data.denoise


def _file(name: str) -> str:
    """A file's name without its folders, as A1111 writes it."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _bare(text: str) -> str:
    """A name as a bare value: without the characters that would end it there, or make it JSON."""
    bare = " ".join(_ENDS_BARE.sub(" ", text).split())
    return bare.lstrip("{[ ") if bare[:1] in ("{", "[") else bare


def respelled(data: GenerationData) -> tuple[str, ...]:
    """A line for each name that the text spells otherwise than the data, because CivitAI keeps nothing of a text in
    which it stands as it is."""
    upscaler = data.upscale.upscaler if data.upscale else ""
    names = {
        "the model": _file(data.model_name), "the sampler": to_label(data.sampler),
        "the scheduler": to_schedule_label(data.scheduler), "the VAE": _file(data.vae), "the upscaler": _file(upscaler),
    }  # fmt: skip
    return tuple(
        f"The name of {title}, {shown(name)}, is written {shown(_bare(name))}: CivitAI keeps nothing of a text with it."
        for title, name in names.items()
        if _bare(name) != name
    )


def _is_safe_key(key: object) -> bool:
    if not isinstance(key, str) or key in _KNOWN_KEYS or key.lower() in BY_LOWER_CASE or "Resources" in key:
        return False
    if key.startswith(("AddNet", "Hashed", "Lora_", "Embedding_")):
        return False
    return key.isascii() and key.replace(" ", "").replace("_", "").replace("-", "").isalnum() and key == key.strip()


def _number(value: float | None) -> str:
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return "" if value is None else str(value)


def _quoted(text: str) -> str:
    """A text as the line takes it: in quotes where it would end the line, the value or the settings."""
    return _json(text) if text and (not _ENDS_VALUE.isdisjoint(text) or text != text.strip()) else text


def _json(value: object) -> str:
    """JSON in which no text looks like one of the words at which CivitAI cuts the line, and no quote is escaped by a
    backslash, which CivitAI does not understand."""
    text = json.dumps(value, separators=(",", ":")).replace(": ", "\\u003a ")
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda match: "\\u0022" if match[0][1] == '"' else "\\u005c", text)


def _lists(data: GenerationData, metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lists of hashes and resources, and what only this pack reads."""
    hashes: dict[str, str] = {}
    lora_hashes: dict[str, str] = {}
    for resource in data.resources:
        if resource.hash and resource.kind != "vae" and _air(resource) is None and not resource.version_id:
            name = resource.name or resource.hash
            # A hash in `Lora hashes` keeps the weight of its tag at CivitAI.
            if resource.kind == "lora" and _PLAIN_NAME.fullmatch(name) and name not in lora_hashes:
                lora_hashes[name] = resource.hash
            else:
                _add_hash(hashes, f"{_HASH_PREFIXES.get(resource.kind, resource.kind)}:{name}", resource.hash)
    hashes |= {name: hash for name, hash in (("vae", data.vae_hash), ("model", data.model_hash)) if hash}
    resources = filter(None, (data.model, *data.resources))
    # No text in it may end the list for CivitAI's regex, which stops at the first `}]`.
    entries = [_json(entry).replace("]", "\\u005d") for entry in map(_entry, resources) if entry is not None]
    lora_list = ", ".join(f"{name}: {hash}" for name, hash in lora_hashes.items())
    lists = [
        ("Lora hashes", f'"{lora_list}"' if lora_list else ""),
        ("Hashes", _json(hashes) if hashes else ""),
        (CIVITAI_RESOURCES, f"[{','.join(entries)}]" if entries else ""),
        (METADATA, _json(metadata) if metadata else ""),
    ]
    return [(key, value) for key, value in lists if value]


def _add_hash(hashes: dict[str, str], key: str, hash: str) -> None:
    """Two files of one name are told apart by a number."""
    count = 2
    numbered = key
    while hashes.setdefault(numbered, hash) != hash:
        numbered, count = f"{key} ({count})", count + 1


def _entry(resource: UsedResource) -> dict[str, Any] | None:
    """A resource as `Civitai resources` lists it: by the AIR that the API gave, else by its version id."""
    entry: dict[str, Any] = {"type": _AIR_TYPES.get(resource.kind, resource.kind)}
    # What is applied twice counts with all its weights there; `bridge` says them one by one.
    weight, clip = resource.total
    if resource.kind != "checkpoint":
        entry["weight"] = weight if abs(weight) < _INFINITE else 1.0
    if clip != weight and abs(clip) < _INFINITE:
        entry["clipWeight"] = clip
    entry |= {key: value for key, value in (("hash", resource.hash), ("modelName", resource.name)) if value}
    if resource.version_name:
        entry["versionName"] = resource.version_name
    if (air := _air(resource)) is not None:
        return {**entry, "air": air}
    return {**entry, "modelVersionId": resource.version_id} if resource.version_id else None


def _air(resource: UsedResource) -> str | None:
    """The AIR as CivitAI's grammar has it; None where it names no version of CivitAI, of which that keeps nothing."""
    try:
        air = Air.parse(resource.air) if resource.air else None
    except InvalidAir:
        return None
    if air is None or air.version_id is None:
        return None
    return resource.air if _SITE_AIR.fullmatch(resource.air) else None


def _prompt_lines(text: str) -> str:
    """A prompt in which no line looks like the settings or the negative prompt, and no tag has a weight that is none:
    CivitAI keeps nothing of such a text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return _TAG_WITHOUT_WEIGHT.sub(r"\1 \2", "\n".join(_LOOKALIKE.sub(r"\1 :", line) for line in lines))
