"""What CivitAI's uploader makes of an A1111 text, with all that it misses, so that a picture can be judged before
anybody uploads it.

This is the site's parser, not ours: `a1111` reads more. Source: https://github.com/civitai/civitai,
src/utils/metadata/automatic.metadata.ts and src/server/schema/image.schema.ts as of August 2026. One value that its
schema refuses loses everything, and a value in quotes is an object there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..resources.hashes import AUTO_V2, AUTO_V3, SHA256
from .a1111.reader import read_a1111
from .generation import GenerationData, UsedResource

# Legacy keys at which the site cuts the line of settings.
_CUTS = ("Resources: ", "Hashed prompt: ", "Hashed Negative prompt: ")
_RENAMED = {"Seed": "seed", "CFG scale": "cfgScale", "Sampler": "sampler", "Steps": "steps", "Clip skip": "clipSkip"}
_NEVER_COPIED = frozenset(
    ("hashes", "civitaiResources", "scheduler", "vaes", "additionalResources", "comfy", "upscalers", "models",
     "controlNets", "denoise", "other", "external")
)  # fmt: skip
_NUMBERS = ("cfgScale", "steps", "seed", "clipSkip")
_TEXTS = ("prompt", "negativePrompt", "sampler", "baseModel", "engine", "version", "process", "type", "workflow")
_TAG = re.compile(r"<(lora|hypernet):([a-zA-Z0-9_.\-]+):([0-9.]+)>")
_LIST = re.compile(r", Civitai resources:\s*(\[\{.*?\}\])")
_NAME_HASH = re.compile(r"([a-zA-Z0-9_.]+)\(([a-zA-Z0-9]+)\)")
_HAS_STEPS = re.compile(r"(?:^|\n)Steps: ?[0-9]")
_JAMMED = tuple(
    re.compile(r"[ \t\r]{0,7}[.,][ \t\r.,]{0,7}(" + words, re.IGNORECASE)
    for words in ("Negative prompt:)", r"Steps:)(?=\s*[0-9])")
)
_SETTING = re.compile(r"[\w\s]+: ")
_JS_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
# The grammar of AIRs in the site's SDK (npm @civitai/client).
_AIR = re.compile(
    r"(?:urn:)?(?:air:)?(?:[a-z0-9_\-/]+:)?(?:(?P<type>[a-z0-9_\-/]+):)?[a-z0-9_\-/]+:[a-z0-9_\-/.]+"
    r"(?:@(?P<version>[a-z0-9_\-/.]+))?(?:\+\d+)?(?:\.[a-z0-9_\-]+)?",
    re.IGNORECASE | re.ASCII,
)
_CRC32 = 8
_LENGTHS = (_CRC32, AUTO_V2, AUTO_V3, SHA256)


@dataclass(frozen=True)
class Uploaded:
    """What the site keeps of a text. `meta` is empty where it keeps nothing, and `reason` says why."""

    meta: Mapping[str, Any]
    reason: str = ""

    @property
    def versions(self) -> frozenset[int]:
        """The versions that it names by their ids."""
        return frozenset(int(entry["modelVersionId"]) for entry in self.meta.get("civitaiResources", ()))

    @property
    def hashes(self) -> frozenset[str]:
        """The hashes by which the site looks files up; that of the VAE is passed over."""
        values = {value for key, value in self.meta.get("hashes", {}).items() if key != "vae"}
        values |= {entry["hash"] for entry in self.meta.get("resources", ()) if "hash" in entry}
        if "hashes" not in self.meta and isinstance(self.meta.get("Model hash"), str):
            values.add(self.meta["Model hash"])
        return frozenset(value.lower() for value in values)


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
        """Whether there is anything by which it is found."""
        return bool(self.by)


def resources_of(data: GenerationData) -> tuple[UsedResource, ...]:
    """Everything that took part, the model and the VAE too."""
    vae = None if any(resource.kind == "vae" for resource in data.resources) else data.vae_file
    return tuple(resource for resource in (data.model, *data.resources, vae) if resource is not None)


def recognised(text: str) -> tuple[Recognition, ...]:
    """For each resource that the text names, model and VAE too: whether CivitAI's uploader will recognise it, and why
    not."""
    data = read_a1111(text)
    if data is None:
        return ()
    uploaded = uploaded_meta(text)
    return tuple(_judged(resource, uploaded) for resource in resources_of(data))


def _judged(resource: UsedResource, uploaded: Uploaded) -> Recognition:
    version, hash = resource.version_id, resource.hash
    name = resource.name or resource.air or (f"version {version}" if version else hash)
    if uploaded.reason:
        return Recognition(name, resource.kind, "", uploaded.reason)
    if version is not None and version in uploaded.versions:
        return Recognition(name, resource.kind, "version", f"CivitAI finds {name} by its version {version}.")
    if hash and hash in uploaded.hashes:
        if len(hash) in _LENGTHS:
            return Recognition(name, resource.kind, "hash", f"CivitAI finds {name} if it knows the hash {hash}.")
        return Recognition(name, resource.kind, "", f"{hash} of {name} is as long as no hash that CivitAI keeps.")
    return Recognition(name, resource.kind, "", _why_not(resource, name, uploaded))


def _why_not(resource: UsedResource, name: str, uploaded: Uploaded) -> str:
    if resource.kind == "vae" and resource.hash:
        return f"CivitAI passes over the hash of a VAE ({name}); it takes one by its version."
    if resource.air and resource.version_id is None:
        return f"{name} is not of CivitAI: {resource.air} names no version there."
    if f"0x{resource.hash}" in uploaded.hashes:
        return f"The hash of {name} is written with 0x, which matches nothing on CivitAI."
    if resource.version_id is not None:
        return f"{name} stands where CivitAI does not look, so its version {resource.version_id} is not seen."
    if resource.hash:
        return f"The hash of {name} stands where CivitAI does not look."
    return f"Only the name of {name} is written; CivitAI finds resources by version or hash."


def uploaded_meta(text: str) -> Uploaded:
    """What the site keeps of the text of `parameters` or of the UserComment."""
    if "Steps: " not in text:
        return Uploaded({}, "CivitAI reads no text without `Steps: `.")
    lines = _without_templates([line for line in _normalised(text).split("\n") if line.strip()])
    at = next((index for index, line in enumerate(lines) if line.startswith("Steps: ")), -1)
    if at < 0:
        return Uploaded({}, "CivitAI finds no line of settings in this text.")
    try:
        meta = _details(lines.pop(at))
        prompt, *negative = (part.strip() for part in "\n".join(lines).split("Negative prompt:"))
        meta["prompt"], meta["negativePrompt"] = prompt, " ".join(negative).strip()
        _add_resources(meta)
        _check(meta)
    except ValueError as error:
        return Uploaded({}, f"CivitAI keeps nothing of this text: {error}.")
    return Uploaded(meta)


def _normalised(text: str) -> str:
    """A text on one line is cut before its negative prompt and its settings, where a comma or full stop stands."""
    text = re.sub(r"^Parameters\s*:\s*", "", text, count=1)
    if _HAS_STEPS.search(text) is None:
        for jammed in _JAMMED:
            text = jammed.sub(r"\n\1", text)
    return text


def _without_templates(lines: list[str]) -> list[str]:
    for key in ("Template: ", "Negative Template: "):
        at = next((index for index, line in enumerate(lines) if line.startswith(key)), -1)
        if at >= 0:
            end = at + 1
            while end < len(lines) and _SETTING.search(lines[end]) is None:
                end += 1
            lines = lines[:at] + lines[end:]
    return lines


def _details(line: str) -> dict[str, Any]:
    line = re.sub(r",\s*$", "", line)
    for word in _CUTS:
        line = line.partition(word)[0]
    meta: dict[str, Any] = {}
    line, hashes = _without_object(line, ", Hashes: ")
    if hashes is not None:
        meta["hashes"] = hashes
    if (match := _LIST.search(line)) is not None:
        line = line[: match.start()] + line[match.end() :]
        meta["civitaiResources"] = [_listed(entry) for entry in _json(match[1], "Civitai resources")]
    line, extra = _without_object(line, ", Civitai metadata: ")
    if extra:
        meta["extra"] = extra
    for key, value in _settings(line).items():
        if key not in _NEVER_COPIED:
            meta[key] = value
    return meta


def _without_object(line: str, key: str) -> tuple[str, Any]:
    """The line without a JSON object behind a key, and the object; balanced braces, aware of strings and escapes."""
    start = line.find(key)
    begin = line.find("{", start + len(key)) if start >= 0 else -1
    end = _balanced(line, begin) if begin >= 0 else -1
    if end < 0:
        return line, None
    return line[:start] + line[end:], _json(line[begin:end], key.strip(", :"))


def _balanced(line: str, begin: int) -> int:
    """Where the object that begins at a brace ends; -1 where it does not."""
    depth, in_string = 0, False
    for match in re.finditer(r'\\.|["{}]', line[begin:], re.DOTALL):
        if match[0] == '"':
            in_string = not in_string
        elif not in_string and match[0] in "{}":
            depth += 1 if match[0] == "{" else -1
            if depth == 0:
                return begin + match.end()
    return -1


def _json(text: str, name: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise ValueError(f"{name} is broken") from None


def _listed(entry: Any) -> dict[str, Any]:
    """An entry of either dialect: an AIR becomes type and modelVersionId."""
    if not isinstance(entry, dict):
        raise ValueError("an entry of Civitai resources is no object")
    members = {key: entry[key] for key in ("type", "weight", "modelVersionId") if key in entry}
    if air := entry.get("air"):
        match = _AIR.fullmatch(air) if isinstance(air, str) else None
        if match is None:
            raise ValueError("an entry of Civitai resources has a broken AIR")
        version = match["version"] or ""
        members["modelVersionId"] = int(version) if version.isdigit() else None
        members["type"] = match["type"] or ""
    return members


def _settings(line: str) -> dict[str, Any]:
    """Scanned as the site does: what stands between two quotes, whatever is before them, becomes an object."""
    settings: dict[str, Any] = {}
    key, value, in_quotes, in_date = "", "", False, False
    for part in re.split(r'([":,])', line):
        if part == '"':
            if in_quotes:
                settings[key] = _settings(value.strip())
                key = ""
            in_quotes = not in_quotes
        elif part == ":" and not in_quotes and not in_date:
            if len(value) == 14 and value[11] == "T":
                in_date = True
            else:
                key, value = _RENAMED.get(value.strip(), value.strip()), ""
        elif part == "," and not in_quotes:
            if key:
                settings[key] = value.strip()
            key, value, in_date = "", "", False
        else:
            value += part
    if key:
        settings[key] = value.strip()
    return settings


def _add_resources(meta: dict[str, Any]) -> None:
    """`resources` and `hashes` from the tags, `Lora hashes`, `VAE hash`, model, refiner and old extensions."""
    resources: list[dict[str, Any]] = [
        {"type": match[1], "name": match[2], "weight": _parsed(match[3])} for match in _TAG.finditer(meta["prompt"])
    ]
    hashes: dict[str, Any] = meta.get("hashes", {})
    if lora_hashes := meta.pop("Lora hashes", None):
        listed = lora_hashes if isinstance(lora_hashes, dict) else dict(enumerate(lora_hashes))
        tags = {tag["name"]: tag for tag in reversed(resources)}
        for name, hash in listed.items():
            hashes[f"lora:{name}"] = hash
            if name in tags:
                tags[name]["hash"] = hash
            else:
                resources.append({"type": "lora", "name": str(name), "hash": hash})
    if (vae_hash := _truthy(meta.pop("VAE hash", None))) is not None:
        hashes["vae"] = vae_hash
    for key, name in (("Model", "model"), ("Refiner", "refiner")):
        title, hash = _truthy(meta.get(key)), _truthy(meta.get(f"{key} hash"))
        if title is not None and hash is not None:
            hashes[name] = hashes.get(name) or hash
            resources.append({"type": "model", "name": title, "hash": hash})
    resources += _of_old_extensions(meta)
    meta["resources"] = resources
    if hashes:
        meta["hashes"] = hashes


def _of_old_extensions(meta: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    name, strength = _truthy(meta.get("Hypernet")), _truthy(meta.get("Hypernet strength"))
    if name is not None and strength is not None:
        yield {"type": "hypernet", "name": name, "weight": _parsed(strength)}
    count = 1
    while meta.get("AddNet Enabled") == "True" and (model := _truthy(meta.get(f"AddNet Model {count}"))) is not None:
        module = meta.get(f"AddNet Module {count}")
        if not isinstance(model, str) or not isinstance(module, str):
            raise ValueError(f"AddNet Model {count} cannot be read")
        match = _NAME_HASH.search(model)
        named = {"name": match[1], "hash": match[2]} if match else {}
        yield {"type": module.lower(), **named, "weight": _parsed(meta.get(f"AddNet Weight {count}"))}
        count += 1


def _truthy(value: Any) -> Any:
    """A value that JavaScript takes for true; an object is, also an empty one."""
    return value if value or isinstance(value, dict) else None


def _parsed(value: Any) -> float:
    """JavaScript's parseFloat. Raises ValueError for what begins with no number: the schema refuses NaN."""
    match = re.match(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a weight is no number")
    return float(match[0])


def _check(meta: Mapping[str, Any]) -> None:
    """The schema: one bad value loses everything. Raises ValueError with what is bad."""
    for key in _NUMBERS:
        value = meta.get(key, "")
        if not isinstance(value, str) or (value.strip() and not _is_number(value.strip())):
            raise ValueError(f"{key} is no number")
    for key in _TEXTS:
        if not isinstance(meta.get(key, ""), str):
            raise ValueError(f"{key} is in quotes")
    if "effects" in meta and not isinstance(meta["effects"], dict):
        raise ValueError("effects is no object")
    for key, value in meta.get("hashes", {}).items():
        if not isinstance(value, str):
            raise ValueError(f"the hash of {key[:60]} is no text")
    for entry in meta["resources"]:
        if not isinstance(entry.get("name", ""), str):
            raise ValueError(f"the name of a {entry['type'][:60]} is in quotes")
        if not isinstance(entry.get("hash", ""), str):
            raise ValueError(f"the hash of {entry.get('name', '')[:60]} is in quotes")
    for entry in meta.get("civitaiResources", ()):
        if not isinstance(entry.get("type", ""), str):
            raise ValueError("a type in Civitai resources is no text")
        if not _is_json_number(entry.get("modelVersionId")):
            raise ValueError("an entry of Civitai resources names no version")
        if not _is_json_number(entry.get("weight", 1)):
            raise ValueError("a weight in Civitai resources is no number")


def _is_number(text: str) -> bool:
    """Whether JavaScript's Number() makes a finite number of it."""
    if _JS_NUMBER.fullmatch(text) is None:
        return False
    return text[:2].lower() == "0x" or abs(float(text)) != float("inf")


def _is_json_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) != float("inf")
