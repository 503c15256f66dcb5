"""What CivitAI's uploader makes of an A1111 text, with all that it misses (facts/site-api.md §1.5, §2.4).

This is the site's parser, not ours: `a1111` reads more. It is here so that a picture can be judged before anybody
uploads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidAir
from ..resources.air import Air
from ..resources.hashes import normal_hash
from ..resources.json_values import number
from .a1111.reader import read_a1111
from .generation import GenerationData, UsedResource

# Legacy keys at which the site cuts the line of settings.
_CUTS = ("Resources: ", "Hashed prompt: ", "Hashed Negative prompt: ")
_NUMBERS = {"Seed": "seed", "CFG scale": "cfgScale", "Steps": "steps", "Clip skip": "clipSkip"}
_NEVER_COPIED = frozenset(
    ("hashes", "civitaiResources", "scheduler", "vaes", "additionalResources", "comfy", "upscalers", "models",
     "controlNets", "denoise", "other", "external")
)  # fmt: skip
_TAG = re.compile(r"<(lora|hypernet):([a-zA-Z0-9_.\-]+):([0-9.]+)>")
_LIST = re.compile(r", Civitai resources:\s*(\[\{.*?\}\])")
_JAMMED = re.compile(r"([.,][ \t]{0,7})(?=Negative prompt:|Steps:[ \t]{0,7}\d)", re.IGNORECASE)
_STEPS = re.compile(r"^Steps:\s{0,7}\d", re.MULTILINE)
_PAIR = re.compile(r"[A-Za-z][\w ]{0,60}: ")
_LENGTHS = (8, 10, 12, 64)


@dataclass(frozen=True)
class Uploaded:
    """What the site keeps of a text. `meta` is empty where it keeps nothing, and `reason` says why."""

    meta: Mapping[str, Any]
    reason: str = ""

    @property
    def versions(self) -> frozenset[int]:
        """The versions that it names by their ids."""
        listed = self.meta.get("civitaiResources", ())
        return frozenset(one["modelVersionId"] for one in listed if isinstance(one.get("modelVersionId"), int))

    @property
    def hashes(self) -> frozenset[str]:
        """The hashes by which the site looks files up; that of the VAE is passed over."""
        named = {value for key, value in self.meta.get("hashes", {}).items() if key != "vae"}
        named |= {one["hash"] for one in self.meta.get("resources", ()) if "hash" in one}
        return frozenset(value.lower() for value in named)


@dataclass(frozen=True)
class Recognition:
    """Whether the uploader will recognise a resource: `by` is `version`, `hash` (if CivitAI knows it) or `""`; `reason`
    is a sentence for a person."""

    name: str
    kind: str
    by: str
    reason: str

    @property
    def recognised(self) -> bool:
        return bool(self.by)


def recognised(text: str) -> tuple[Recognition, ...]:
    """For each resource that the text names: whether CivitAI's uploader will recognise it, and why not."""
    data = read_a1111(text)
    if data is None:
        return ()
    uploaded = uploaded_meta(text)
    return tuple(_judged(one, uploaded) for one in resources_of(data))


def resources_of(data: GenerationData) -> tuple[UsedResource, ...]:
    """Everything that took part, the model and the VAE too."""
    model = UsedResource(
        data.model_air, 1.0, data.model_name, "checkpoint", data.model_version_id, hash=data.model_hash
    )
    vae = UsedResource("", 1.0, data.vae, "vae", hash=data.vae_hash)
    listed = data.resources
    models = (model,) if model.air or model.name or model.version_id or model.hash else ()
    vaes = (vae,) if (vae.name or vae.hash) and not any(one.kind == "vae" for one in listed) else ()
    return (*models, *listed, *vaes)


def _judged(one: UsedResource, uploaded: Uploaded) -> Recognition:
    name = one.name or one.air or (f"version {one.version_id}" if one.version_id else one.hash)
    if uploaded.reason:
        return Recognition(name, one.kind, "", uploaded.reason)
    if one.version_id is not None and one.version_id in uploaded.versions:
        return Recognition(name, one.kind, "version", f"CivitAI finds {name} by its version {one.version_id}.")
    if one.hash and one.hash in uploaded.hashes:
        if len(one.hash) in _LENGTHS:
            return Recognition(name, one.kind, "hash", f"CivitAI finds {name} if it knows the hash {one.hash}.")
        return Recognition(name, one.kind, "", f"{one.hash} of {name} is as long as no hash that CivitAI keeps.")
    return Recognition(name, one.kind, "", _why_not(one, name, uploaded))


def _why_not(one: UsedResource, name: str, uploaded: Uploaded) -> str:
    if one.kind == "vae" and one.hash:
        return f"CivitAI passes over the hash of a VAE ({name}); it takes one by its version."
    if one.air and one.version_id is None:
        return f"{name} is not of CivitAI: {one.air} names no version there."
    if f"0x{one.hash}" in uploaded.hashes:
        return f"The hash of {name} is written with 0x, which matches nothing on CivitAI."
    if one.version_id is not None:
        return f"{name} stands where CivitAI does not look, so its version {one.version_id} is not seen."
    if one.hash:
        return f"The hash of {name} stands where CivitAI does not look."
    return f"Only the name of {name} is written; CivitAI finds resources by version or hash."


# --- the site's parser --------------------------------------------------------------------------------------------


def uploaded_meta(text: str) -> Uploaded:
    """What the site keeps of the text of `parameters` or of the UserComment."""
    if "Steps: " not in text:
        return Uploaded({}, "CivitAI reads no text without `Steps: `.")
    text = re.sub(r"^Parameters\s*:\s*", "", text, count=1)
    if _STEPS.search(text) is None:
        text = _JAMMED.sub(r"\1\n", text)
    lines = _without_templates([line for line in text.split("\n") if line.strip()])
    at = next((i for i, line in enumerate(lines) if line.startswith("Steps: ")), -1)
    if at < 0:
        return Uploaded({}, "CivitAI finds no line of settings in this text.")
    try:
        meta = _details(lines[at])
        prompt, _, negative = "\n".join(lines[:at]).partition("Negative prompt:")
        meta["prompt"], meta["negativePrompt"] = prompt.strip(), negative.replace("Negative prompt:", " ").strip()
        _name_resources(meta)
        _check(meta)
    except ValueError as error:
        return Uploaded({}, f"CivitAI keeps nothing of this text: {error}.")
    return Uploaded(meta)


def _without_templates(lines: list[str]) -> list[str]:
    kept: list[str] = []
    inside = False
    for line in lines:
        if line.startswith(("Template: ", "Negative Template: ")):
            inside = True
        elif not inside or _PAIR.match(line):
            inside = False
            kept.append(line)
    return kept


def _details(line: str) -> dict[str, Any]:
    for word in _CUTS:
        line = line.partition(word)[0]
    meta: dict[str, Any] = {}
    line, hashes = _taken_object(line, ", Hashes: ")
    if hashes is not None:
        meta["hashes"] = hashes
    if (found := _LIST.search(line)) is not None:
        line = line[: found.start()] + line[found.end() :]
        meta["civitaiResources"] = [_listed(item) for item in _decoded(found[1], "Civitai resources")]
    line, extra = _taken_object(line, ", Civitai metadata: ")
    if extra:
        meta["extra"] = extra
    for key, value in _pairs(line.rstrip().removesuffix(",")).items():
        if key not in _NEVER_COPIED:
            meta["sampler" if key == "Sampler" else _NUMBERS.get(key, key)] = value
    return meta


def _taken_object(line: str, key: str) -> tuple[str, dict[str, Any] | None]:
    """The line without a JSON object behind a key, and the object; balanced braces, aware of strings and escapes."""
    at = line.find(key + "{")
    if at < 0:
        return line, None
    try:
        value, end = json.JSONDecoder().raw_decode(line, at + len(key))
    except (ValueError, RecursionError):
        raise ValueError(f"{key.strip(', :')} is broken") from None
    return line[:at] + line[end:], value


def _decoded(text: str, name: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{name} is broken") from None
    return value


def _listed(item: Any) -> dict[str, Any]:
    """An entry of either dialect, as the schema keeps it: type, weight, modelVersionId."""
    if not isinstance(item, dict):
        raise ValueError("an entry of Civitai resources is no object")
    kept = {key: item[key] for key in ("type", "weight", "modelVersionId") if key in item}
    if isinstance(item.get("air"), str):
        try:
            air = Air.parse(item["air"])
        except InvalidAir as error:
            raise ValueError(f"an entry of Civitai resources has a broken AIR ({error.reason})") from None
        kept["modelVersionId"] = air.version_id
        kept["type"] = air.type
    return kept


def _pairs(line: str) -> dict[str, Any]:
    """Scanned as the site does: a value in quotes ends at the next quote, whatever stands before it."""
    found: dict[str, Any] = {}
    at, end = 0, len(line)
    while at < end and (colon := line.find(":", at)) >= 0:
        key, start = line[at:colon].strip(" ,"), colon + 1
        while line[start : start + 1] == " ":
            start += 1
        value: Any
        if line[start : start + 1] == '"':
            close = line.find('"', start + 1)
            close = end if close < 0 else close
            inner = line[start + 1 : close]
            value = _pairs(inner) if ":" in inner else inner
            start = close + 1
        else:
            value = None
        comma = line.find(",", start)
        comma = end if comma < 0 else comma
        found[key] = line[start:comma].strip() if value is None else value
        at = comma + 1
    return found


def _name_resources(meta: dict[str, Any]) -> None:
    """`resources` and `hashes` from the tags, `Lora hashes`, `Model hash` and `Refiner` (§2.4 9-11)."""
    resources: list[dict[str, Any]] = [
        {"type": found[1], "name": found[2], "weight": found[3]} for found in _TAG.finditer(meta["prompt"])
    ]
    hashes: dict[str, Any] = meta.get("hashes", {})
    named = meta.pop("Lora hashes", None)
    for name, value in named.items() if isinstance(named, dict) else ():
        hashes[f"lora:{name}"] = value
        mine = [one for one in resources if one["name"] == name]
        for one in mine or [{"type": "lora", "name": name}]:
            one["hash"] = value
            if not mine:
                resources.append(one)
    for key, name in (("Model", "model"), ("Refiner", "refiner")):
        hash_ = meta.get(f"{key} hash")
        if isinstance(meta.get(key), str) and isinstance(hash_, str):
            hashes.setdefault(name, hash_)
            resources.append({"type": "model", "name": meta[key], "hash": hash_})
    if isinstance(meta.get("VAE hash"), str):
        hashes["vae"] = meta.pop("VAE hash")
    if "Model hash" in meta and not hashes:
        resources.append({"type": "model", "hash": meta["Model hash"]})
    meta["resources"] = [one for one in resources if normal_hash(one.get("hash", "0" * 10))]
    if hashes:
        meta["hashes"] = hashes


def _check(meta: Mapping[str, Any]) -> None:
    """The schema: one bad value loses everything (§2.3)."""
    for key in _NUMBERS.values():
        value = meta.get(key)
        if value is not None and not (isinstance(value, str) and (not value or number(value) is not None)):
            raise ValueError(f"{key} is no number")
    for key, value in meta.get("hashes", {}).items():
        if not isinstance(value, str):
            raise ValueError(f"the hash of {key[:60]} is no text")
    for one in meta.get("resources", ()):
        if number(one.get("weight", 1)) is None or not isinstance(one.get("hash", ""), str):
            raise ValueError(f"the weight or hash of {one.get('name', '')[:60]} is none")
    for one in meta.get("civitaiResources", ()):
        version, weight = one.get("modelVersionId"), one.get("weight", 1)
        if isinstance(version, bool) or not isinstance(version, int):
            raise ValueError("an entry of Civitai resources names no version")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise ValueError("a weight in Civitai resources is no number")
