"""A1111's and Forge's text ("infotext"), read and written: prompt, negative prompt, one line of settings.

    infotext = [ "Parameters:" ] prompt [ LF "Negative prompt:" negative ] LF details [ LF templates ]
    details  = "Steps: " number { "," key ":" value }
    value    = bare text | '"' JSON string '"' | JSON object | JSON list

A superset of the site's grammar (facts/site-api.md §2.4): bare values may hold commas, quoted ones escapes, JSON may
nest. The scanner only ever searches forward, so its time is linear in the text.

What the plain text cannot say exactly goes, as an object `bridge`, into `Civitai metadata`, which the site reads over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from itertools import islice
from typing import Any

from ...errors import InvalidAir
from ...resources.air import Air
from ...resources.hashes import normal_hash
from ...resources.json_values import number, whole
from ..generation import GenerationData, Upscale, UsedResource, by_list
from ..generation_json import from_json_fields
from ..prompt import name_key
from ..quantities import guidance_scale, layers, pixels, shown, step_count
from ..resources import MOST, Hashes, from_air, join, kind_of, named_embeddings, tagged
from ..samplers import Sampling, read_label, to_label, to_schedule_label
from ..tables import DECODER

_NEGATIVE = "Negative prompt:"
_HEAD = re.compile(r"Parameters[ \t]{0,32}:[ \t]*", re.ASCII)
_ANY_STEPS = re.compile(r"(?<![^\s.,])steps:[ \t]{0,7}[0-9]", re.IGNORECASE | re.ASCII)
_STEPS_LINE = re.compile(r"Steps:[ \t]{0,9}[0-9]{1,20}(?:\.[0-9]{1,9})?(?:[ \t]{0,9}(,|$|\n))?", re.ASCII)
_ANY_NEGATIVE = re.compile(re.escape(_NEGATIVE), re.IGNORECASE)
_TEMPLATES = ("Template:", "Negative Template:")
# A text that opens brackets again and again and never closes them would be decoded from each of them.
_MOST_BROKEN = 8
_FEW = 8
_USUAL = frozenset(("Steps", "Sampler", "Seed", "Size", "CFG scale", "Model", "Model hash"))
_SETTINGS_FIRST = tuple(f"{key}:" for key in sorted(_USUAL))
_HIRES = frozenset(
    ("Hires upscale", "Hires upscaler", "Hires resize", "Hires steps", "First pass size", "First pass strength")
)
_OWN = "bridge"
_METADATA = "Civitai metadata"
_RESOURCES = "Civitai resources"
_NO_TEXT = ("texts", "source", "notes")


def read_a1111(text: str) -> GenerationData | None:
    """What a picture's A1111 text says; None when the text has no line of settings."""
    if "\r" in text or "\0" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    notes: list[str] = []
    parts = _parts(text, notes)
    if parts is None:
        return None
    head, details = parts
    prompt, negative = _prompts(head)
    pairs = _pairs(details, notes)
    own = _own_fields(pairs, notes)
    fields = fields_of_settings(prompt, negative, pairs, notes)
    fields["texts"] = {"parameters": text}
    fields.update(own)
    return GenerationData(source="a1111", notes=tuple(notes), **fields)


def fields_of_settings(
    prompt: str, negative: str, pairs: dict[str, Any], notes: list[str], more: Iterable[UsedResource] = ()
) -> dict[str, Any]:
    """The fields of a `GenerationData` from prompts and named settings, for every format that uses A1111's names.

    `pairs` is used up; what is left of it has no field and becomes `extra`. `more` are resources found elsewhere."""
    fields: dict[str, Any] = {"prompt": prompt, "negative_prompt": negative}
    _settings(fields, pairs, notes)
    _resources(fields, pairs, notes, more)
    if pairs:
        fields["extra"] = pairs
    return fields


# --- the text's parts ---------------------------------------------------------------------------------------------


def _parts(text: str, notes: list[str]) -> tuple[str, str] | None:
    """Everything before the settings, and the settings as one line."""
    at = _details_at(text)
    if at < 0:
        at = text.rstrip().rfind("\n") + 1
        if not text.startswith(_SETTINGS_FIRST, at):
            # A jammed one-liner, all of it on one line.
            found = None
            for one in _ANY_STEPS.finditer(text):
                found = one
            at = found.start() if found is not None else at
        if at == 0 or not _is_settings(text[at:]):
            return None
        head, details = text[:at].rstrip(" ,\t\n"), text[at:]
    else:
        head, details = text[:at], text[at:]
    if head.startswith("Parameters") and (start := _HEAD.match(head)):
        head = head[start.end() :]
    return head, _one_line(details, notes) if "\n" in details else details


def _details_at(text: str) -> int:
    """Where the first line starts that begins with `Steps:` and a number, as for the site (facts/site-api.md §2.4 3);
    one behind whose number goes on a sentence only where there is no other. -1 without any."""
    at, sentence = 0 if text.startswith("Steps:") else text.find("\nSteps:") + 1, -1
    while text.startswith("Steps:", at):
        if (found := _STEPS_LINE.match(text, at)) is not None:
            if found[1] is not None:
                return at
            sentence = at if sentence < 0 else sentence
        at = text.find("\nSteps:", at) + 1 or len(text)
    return sentence


def _is_settings(line: str) -> bool:
    """`Steps:` and a number, or A1111's own rule for texts of others: three settings, of which one is usual."""
    if _ANY_STEPS.match(line):
        return True
    if line.count(":") < 3 or line[:1] in "{[":
        return False
    pairs = _pairs(line, [])
    return len(pairs) >= 3 and not _USUAL.isdisjoint(pairs)


def _one_line(details: str, notes: list[str]) -> str:
    """The settings with the lines after them: templates as settings of their own, open quotes closed first."""
    lines: list[str] = []
    template: list[str] = []
    open_quote = False
    for line in details.split("\n", MOST)[:MOST]:
        if open_quote:
            lines.append("\\n" + line)
        elif line.startswith(_TEMPLATES):
            template.append(line)
            continue
        elif template and (line.startswith("Steps:") or not _looks_like_pair(line)):
            template[-1] += "\n" + line
            continue
        elif lines and line.startswith("Steps:"):
            notes.append(f"A second line of settings is left out: {shown(line)}.")
            continue
        elif line.strip():
            lines.append((", " if lines else "") + line.strip())
        else:
            continue
        open_quote ^= (line.count('"') - line.count('\\"')) % 2 == 1
    for one in template:
        key, _, value = one.partition(":")
        lines.append(f", {key}: {json.dumps(value.strip(), ensure_ascii=False)}")
    return "".join(lines)


def _looks_like_pair(line: str) -> bool:
    word, colon, _ = line[:64].partition(": ")
    return bool(colon) and word.replace(" ", "").isalnum()


def _prompts(head: str) -> tuple[str, str]:
    """Prompt and negative prompt; the latter begins on a line of its own, or failing that anywhere."""
    if head.startswith(_NEGATIVE):
        at = 0
    else:
        at = head.find("\n" + _NEGATIVE)
        if at < 0:
            found = _ANY_NEGATIVE.search(head)
            if found is None:
                return head.strip(), ""
            return head[: found.start()].rstrip(" ,\t\n").lstrip(), head[found.end() :].strip()
        at += 1
    return head[:at].strip(), head[at + len(_NEGATIVE) :].strip()


def _plain_pairs(text: str) -> dict[str, Any] | None:
    """The settings of a text that holds nothing but plain ones; None for any other, which the scanner reads."""
    chunks = text.split('"')
    if "\\" in text or len(chunks) % 2 == 0:
        return None
    pairs: dict[str, Any] = {}
    count = 0
    quoted = ""
    for i in range(0, len(chunks), 2):
        items = chunks[i].split(",")
        if i and items.pop(0).strip():
            return None
        if i + 1 < len(chunks):
            quoted, colon, rest = items.pop().partition(":") if items else ("", "", "")
            if not colon or rest.strip(" "):
                return None
        elif items and not items[-1].strip():
            items.pop()
        for item in items:
            key, colon, value = item.partition(":")
            if not colon:
                return None
            pairs[key.strip()] = value.strip()
        count += len(items)
        if i + 1 < len(chunks):
            pairs[quoted.strip()] = chunks[i + 1]
            count += 1
    return pairs if len(pairs) == count else None


def _pairs(text: str, notes: list[str]) -> dict[str, Any]:
    """The settings in order. Quoted values are unquoted, JSON is decoded, anything else is the text as it stands."""
    at, other, cut = text.find(": {"), text.find(": ["), len(text)
    if at >= 0 or other >= 0:
        cut = text.rfind(",", 0, at if other < 0 or 0 <= at < other else other) + 1
    # No setting is shorter than four characters.
    plain = _plain_pairs(text[:cut]) if cut < 4 * MOST else None
    if plain is None:
        return _scanned(text, {}, notes)
    return _scanned(text[cut:], plain, notes) if cut < len(text) else plain


def _scanned(text: str, pairs: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The same for any text, pair by pair; `pairs` are those before it."""
    at, end, broken, repeated = 0, len(text), 0, 0
    find = text.find
    colon = find(":")
    while colon >= 0:
        if len(pairs) + repeated > MOST:
            notes.append(f"The text has more than {MOST:,} settings; the rest is left out.")
            break
        key = text[at:colon].strip(" ,\t").strip()
        start = colon + 1
        first = text[start : start + 1]
        while first == " ":
            start += 1
            first = text[start : start + 1]
        stop = -1
        value: Any = ""
        if first == '"':
            stop = _closing(text, start)
            if stop >= 0:
                value = _unquoted(text[start:stop])
        elif first and first in "{[" and broken < _MOST_BROKEN:
            try:
                value, stop = DECODER.raw_decode(text, start)
            except (ValueError, RecursionError):
                broken += 1
                if key.startswith("Civitai ") or key == "Hashes":
                    notes.append(f"{key} is cut off or broken, so it is kept as text.")
        if stop >= 0:
            comma = find(",", stop)
            rest = text[stop : comma if comma >= 0 else end]
            if rest and not rest.isspace():
                stop = -1
            else:
                at = comma + 1 if comma >= 0 else end
                colon = find(":", at) if comma >= 0 else -1
        if stop < 0:
            comma = find(",", start)
            colon = find(":", comma) if comma >= 0 else -1
            if colon < 0:
                value, at = text[start:].rstrip(" ,\t\n"), end
            else:
                cut = text.rfind(",", start, colon)
                value, at = text[start:cut].strip(), cut + 1
        if key in pairs:
            repeated += 1
            if pairs[key] != value:
                notes.append(f"{key[:60]} is said twice; the last one counts.")
        pairs[key] = value
    if at < end and (left := text[at:].strip(" ,\t\n")):
        notes.append(f"This is no setting and is left out: {shown(left)}.")
    return pairs


def _closing(text: str, start: int) -> int:
    """The place after the quote that closes the one at `start`; -1 without one."""
    at = text.find('"', start + 1)
    while at >= 0:
        before = at - 1
        while text[before] == "\\":
            before -= 1
        if (at - before) % 2 == 1:
            return at + 1
        at = text.find('"', at + 1)
    return -1


def _unquoted(quoted: str) -> str:
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        value = json.loads(quoted, strict=False)
    except ValueError:
        return quoted[1:-1]
    return value if isinstance(value, str) else quoted[1:-1]


# --- what the settings mean ---------------------------------------------------------------------------------------


def _taken(pairs: dict[str, Any], key: str, read: Callable[[object], Any], notes: list[str]) -> Any:
    """A setting's value if it is one; else the setting stays where it is and a note names it."""
    said = pairs.get(key)
    if said is None:
        return None
    value = read(said)
    if value is None:
        notes.append(_no_value(key, said))
        return None
    del pairs[key]
    return value


def _no_value(key: str, said: object) -> str:
    return f"{key} is left out: {shown(said)} is no value for it."


def _size(value: object) -> tuple[int, int] | None:
    width, _, height = value.lower().partition("x") if isinstance(value, str) else ("", "", "")
    found = pixels(width), pixels(height)
    return found if found[0] and found[1] else None  # type: ignore[return-value]


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _some_hash(value: object) -> str | None:
    return normal_hash(value) or None


_PLAIN: tuple[tuple[str, str, Callable[[object], Any]], ...] = (
    ("Steps", "steps", step_count),
    ("CFG scale", "cfg", guidance_scale),
    ("Seed", "seed", whole),
    ("Model hash", "model_hash", _some_hash),
    ("Model", "model_name", _word),
    ("Clip skip", "clip_skip", layers),
    ("Denoising strength", "denoise", number),
    ("Denoise strength", "denoise", number),
    ("Distilled CFG Scale", "guidance", guidance_scale),
    ("VAE", "vae", _word),
    ("VAE hash", "vae_hash", _some_hash),
    ("Version", "software", _word),
)
_UPSCALE: tuple[tuple[str, str, Callable[[object], Any]], ...] = (
    ("Hires upscaler", "upscaler", _word),
    ("Hires upscale", "scale", number),
    ("Hires steps", "steps", step_count),
    ("Hires prompt", "prompt", _word),
    ("Hires negative prompt", "negative_prompt", _word),
)


def _settings(fields: dict[str, Any], pairs: dict[str, Any], notes: list[str]) -> None:
    for key, name, read in _PLAIN:
        if key in pairs:
            said = pairs[key]
            if (value := read(said)) is not None:
                fields[name] = value
                del pairs[key]
            elif said is not None:
                notes.append(_no_value(key, said))
    if "Size" in pairs and (size := _taken(pairs, "Size", _size, notes)) is not None:
        fields["width"], fields["height"] = size
    label, schedule = _word(pairs.get("Sampler")) or "", _word(pairs.get("Schedule type")) or ""
    if label or schedule:
        if label:
            del pairs["Sampler"]
        if schedule:
            del pairs["Schedule type"]
        sampling, unknown = read_label(label, schedule) if label else _schedule_only(schedule)
        fields["sampler"], fields["scheduler"] = sampling.sampler, sampling.scheduler
        notes.extend(unknown)
    if not _HIRES.isdisjoint(pairs):
        fields["upscale"] = _upscale(fields, pairs, notes)


def _schedule_only(schedule: str) -> tuple[Sampling, tuple[str, ...]]:
    sampling, notes = read_label("Euler", schedule)
    return Sampling("", sampling.scheduler), notes


def _upscale(fields: dict[str, Any], pairs: dict[str, Any], notes: list[str]) -> Upscale:
    """The second pass. With it, `Denoising strength` is the second pass's (facts/site-api.md §1.6)."""
    found: dict[str, Any] = {}
    for key, name, read in _UPSCALE:
        if key in pairs and (said := pairs[key]) is not None:
            if (value := read(said)) is not None:
                found[name] = value
                del pairs[key]
            else:
                notes.append(_no_value(key, said))
    if "Hires resize" in pairs and (size := _taken(pairs, "Hires resize", _size, notes)) is not None:
        found["width"], found["height"] = size
    return Upscale(denoise=fields.pop("denoise", None), **found)


# --- what takes part ----------------------------------------------------------------------------------------------


def _resources(
    fields: dict[str, Any], pairs: dict[str, Any], notes: list[str], more: Iterable[UsedResource] = ()
) -> None:
    """Networks, embeddings and the rest from every place they hide, each once (facts/site-api.md §2.4 9-13, §8.3)."""
    prompt, negative = fields["prompt"], fields["negative_prompt"]
    hashes: Hashes = {}
    hashed = _hashed(fields, pairs, notes, hashes)
    found = tagged(prompt, "prompt", notes, hashes) if "<" in prompt else []
    if "<" in negative:
        found += tagged(negative, "negative_prompt", notes, hashes)
    if (upscale := fields.get("upscale")) is not None and "<" in upscale.prompt:
        known = {one.name for one in found}
        found += [one for one in tagged(upscale.prompt, "prompt", notes) if one.name not in known]
    words = [name for kind, name in hashes if kind == "embedding"]
    for text, source in ((prompt, "prompt"), (negative, "negative_prompt")):
        lower = text.lower() if words or "mbedding:" in text or "MBEDDING:" in text else ""
        inside = [name for name in words if name.lower() in lower] if len(words) < _FEW else words
        if inside or "embedding:" in lower:
            found += named_embeddings(text, source, inside, hashes)
    if _RESOURCES in pairs:
        found += _civitai_resources(fields, pairs, notes)
    if "AddNet Enabled" in pairs:
        found += _addnet(pairs, notes)
    if "Hypernet" in pairs:
        found += _hypernet(pairs)
    if more:
        found += _without_model(fields, more)
    found += hashed
    for (kind, name), hash in hashes.items():
        words = (name,) if kind == "embedding" else ()
        found.append(UsedResource("", 1.0, name, kind, hash=hash, source="hashes", words=words))
    if found:
        fields.update(by_list(join(found, notes)))


_PREFIXES = {"lora": "lora", "lyco": "lyco", "locon": "lyco", "hypernet": "hypernet", "embed": "embedding"}
_LISTS = (("Lora hashes", "lora"), ("TI hashes", "embedding"), ("Lyco hashes", "lyco"))


def _hashed(fields: dict[str, Any], pairs: dict[str, Any], notes: list[str], hashes: Hashes) -> list[UsedResource]:
    """What only a hash names goes into `hashes`: `Lora hashes`, `TI hashes`, `Hashes`; what these contradict, and the
    refiner, is told as resources."""
    found: list[UsedResource] = []

    def add(kind: str, name: str, said: object) -> None:
        first = hashes.get((kind, name), "")
        if not first:
            hashes[kind, name] = normal_hash(said)
        elif first != said and len(first) == len(hash := normal_hash(said)) and first != hash:
            found.append(UsedResource("", 1.0, name, kind, None, None, hash, "hashes"))

    for key, kind in _LISTS:
        if key in pairs and (listed := _taken(pairs, key, _name_hash_pairs, notes)) is not None:
            if len(listed) == MOST:
                notes.append(f"{key} has {MOST:,} entries or more; what is beyond is left out.")
            for name, value in listed:
                add(kind, name, value)
    if "Hashes" in pairs and (listed := _taken(pairs, "Hashes", _object, notes)) is not None:
        if len(listed) > MOST:
            notes.append(f"Hashes has more than {MOST:,} entries; the rest is left out.")
        for key, value in islice(listed.items(), MOST):
            kind, colon, name = key.partition(":")
            if colon and name and (ours := _PREFIXES.get(kind) or _PREFIXES.get(kind.lower())):
                add(ours, name, value)
            elif key in ("model", "vae") and fields.get(f"{key}_hash") == value:
                continue
            elif not (hash := normal_hash(value)):
                notes.append(f"The hash of {key[:60]} is left out: {shown(value)} is none.")
            elif key in ("model", "vae"):
                fields.setdefault(f"{key}_hash", hash)
            else:
                add(kind_of(kind), name or key, hash)
    if "Refiner" in pairs and isinstance(pairs["Refiner"], str):
        name, hash = _name_and_hash(pairs.pop("Refiner"))
        hash = hash or normal_hash(pairs.pop("Refiner hash", ""))
        found.append(UsedResource("", 1.0, name, "refiner", None, None, hash, "file"))
    return found


def _object(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _name_hash_pairs(value: object) -> list[tuple[str, str]] | None:
    """`a: h1, b: h2`, in which a name may hold anything but a colon or a comma."""
    if isinstance(value, dict):
        return [(str(name), str(hash)) for name, hash in islice(value.items(), MOST)]
    if not isinstance(value, str):
        return None
    found = []
    for piece in value.split(",", MOST)[:MOST]:
        name, colon, hash = piece.rpartition(":")
        if colon and name.strip():
            found.append((name.strip(), hash.strip()))
    return found


def _name_and_hash(text: str) -> tuple[str, str]:
    """`name [hash]` and `name(hash)`."""
    for opening, closing in ("[]", "()"):
        if text.endswith(closing) and (at := text.rfind(opening)) > 0 and normal_hash(text[at + 1 : -1]):
            return text[:at].strip(), normal_hash(text[at + 1 : -1])
    return text.strip(), ""


def _civitai_resources(fields: dict[str, Any], pairs: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """Both dialects (facts/site-api.md §2.4 5): version ids, or AIRs as another tool wrote them."""
    listed = pairs[_RESOURCES]
    if not isinstance(listed, list):
        return []
    del pairs[_RESOURCES]
    found = []
    if len(listed) > MOST:
        notes.append(f"{_RESOURCES} has more than {MOST:,} entries; the rest is left out.")
    for item in listed[:MOST]:
        one = civitai_resource(item, "civitai_resources", notes)
        if one is None:
            notes.append(f"An entry of {_RESOURCES} is left out: {shown(item)} names no version.")
        else:
            found.append(one)
    return _without_model(fields, found)


def _without_model(fields: dict[str, Any], listed: Iterable[UsedResource]) -> list[UsedResource]:
    """The list without the model, whose fields are filled."""
    found = []
    for one in listed:
        if one.kind != "checkpoint":
            found.append(one)
        elif one.version_id is not None or one.air:
            if fields.get("model_version_id", one.version_id) != one.version_id:
                found.append(one)
                continue
            fields.update(model_air=one.air, model_version_id=one.version_id, model_id=one.model_id)
            _name_model(fields, one)
        elif not _name_model(fields, one):
            found.append(one)
    return found


def _name_model(fields: dict[str, Any], one: UsedResource) -> bool:
    """Fill name and hash of the model; False when the fields speak of another one."""
    named = fields.get("model_name")
    if named and one.name and name_key(named) != name_key(one.name) and not (one.version_id or one.air):
        return bool(one.hash) and one.hash == fields.get("model_hash")
    fields["model_name"] = named or one.name
    if one.hash:
        fields.setdefault("model_hash", one.hash)
    return True


def civitai_resource(item: object, source: str, notes: list[str]) -> UsedResource | None:
    """One entry of `Civitai resources` or of meta's `civitaiResources`; None when it names no version."""
    if not isinstance(item, dict):
        return None
    said: dict[str, Any] = {"source": source, "hash": normal_hash(item.get("hash"))}
    for key, name in (("modelName", "name"), ("versionName", "version_name"), ("modelVersionName", "version_name")):
        if isinstance(item.get(key), str):
            said.setdefault(name, item[key])
    for key, name in (("weight", "weight"), ("clipWeight", "clip_weight")):
        if item.get(key) is None:
            continue
        if (weight := number(item[key])) is None:
            notes.append(f"A weight is left out: {shown(item[key])} is no number.")
        else:
            said[name] = weight
    if isinstance(item.get("type"), str):
        said["kind"] = kind_of(item["type"])
    if isinstance(item.get("air"), str):
        return from_air(item["air"], **said)
    version = whole(item.get("modelVersionId"))
    return UsedResource("", version_id=version, **{"kind": "other", **said}) if version and version > 0 else None


def _addnet(pairs: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """The Additional Networks extension: `AddNet Module 1`, `AddNet Model 1` = `name(hash)`, weights A and B."""
    if pairs["AddNet Enabled"] != "True":
        return []
    del pairs["AddNet Enabled"]
    found = []
    for i in range(1, 33):
        model = pairs.pop(f"AddNet Model {i}", None)
        kind = kind_of(pairs.pop(f"AddNet Module {i}", "lora"))
        weights = [_taken(pairs, f"AddNet Weight{w} {i}", number, notes) for w in ("", " A", " B")]
        if isinstance(model, str) and model != "None":
            name, hash = _name_and_hash(model)
            unet = next((w for w in weights[:2] if w is not None), 1.0)
            clip = None if weights[2] in (None, unet) else weights[2]
            kind = "lora" if kind == "other" else kind
            found.append(UsedResource("", unet, name, kind, None, clip, hash, "file"))
    return found


def _hypernet(pairs: dict[str, Any]) -> list[UsedResource]:
    name, strength = pairs.pop("Hypernet"), number(pairs.get("Hypernet strength"))
    if strength is not None:
        del pairs["Hypernet strength"]
    if not isinstance(name, str):
        return []
    name, hash = _name_and_hash(name)
    return [UsedResource("", 1.0 if strength is None else strength, name, "hypernet", None, None, hash, "file")]


def _own_fields(pairs: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """What this pack wrote beside the plain text; null says that a field is not said, whatever the text looks like."""
    metadata = pairs.get(_METADATA)
    own = metadata.get(_OWN) if isinstance(metadata, dict) else None
    if not isinstance(own, dict):
        return {}
    rest = {key: value for key, value in metadata.items() if key != _OWN}  # type: ignore[union-attr]
    if rest:
        pairs[_METADATA] = rest
    else:
        del pairs[_METADATA]
    unsaid = {f.name: _DEFAULTS[f.name] for f in fields_of(GenerationData) if f.name in own and own[f.name] is None}
    return {k: v for k, v in (unsaid | from_json_fields(own, notes)).items() if k not in _NO_TEXT}


_DEFAULTS: Mapping[str, Any] = {f.name: getattr(GenerationData(), f.name) for f in fields_of(GenerationData)}


# --- the reverse --------------------------------------------------------------------------------------------------


def carried(data: GenerationData) -> GenerationData:
    """The data as far as a text carries it: without the original texts, and without who said what."""
    rooms = {
        room: tuple(replace(one, source="") for one in getattr(data, room))
        for room in ("networks", "embeddings", "others")
    }
    return replace(data, texts={}, source="", notes=(), **rooms)


def write_a1111(data: GenerationData) -> str:
    """The data as A1111 text that CivitAI's uploader recognises and that `read_a1111` reads back as an equal value.

    assert carried(read_a1111(write_a1111(data))) == carried(data)"""
    data = carried(data)
    plain = read_a1111(_composed(data, {}))
    said = carried(plain) if plain is not None else GenerationData()
    own, wanted = {}, data.to_json()
    for one in fields_of(GenerationData):
        if one.name not in _NO_TEXT and getattr(said, one.name) != getattr(data, one.name):
            own[one.name] = wanted[one.name]
    return _composed(data, own)


def _composed(data: GenerationData, own: Mapping[str, Any]) -> str:
    extra = dict(data.extra)
    metadata = extra.pop(_METADATA, None)
    metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
    if own:
        metadata[_OWN] = own
    upscale = data.upscale or Upscale()
    scheduler = to_schedule_label(data.scheduler)
    size = f"{data.width}x{data.height}" if data.width is not None and data.height is not None else ""
    resize = f"{upscale.width}x{upscale.height}" if upscale.width is not None and upscale.height is not None else ""
    # The site knows the text by its "Steps: " and a number; `bridge` says so when there is none.
    pairs: list[tuple[str, object]] = [
        ("Steps", data.steps or 0),
        ("Sampler", to_label(data.sampler)),
        ("Schedule type", scheduler),
        ("CFG scale", data.cfg),
        ("Seed", data.seed),
        ("Size", size),
        ("Model hash", data.model_hash),
        ("Model", data.model_name),
        ("VAE hash", data.vae_hash),
        ("VAE", data.vae),
        ("Denoising strength", upscale.denoise if data.upscale else data.denoise),
        ("Clip skip", data.clip_skip),
        ("Distilled CFG Scale", data.guidance),
        ("Hires upscale", upscale.scale),
        ("Hires upscaler", upscale.upscaler),
        ("Hires steps", upscale.steps),
        ("Hires resize", resize),
        ("Hires prompt", upscale.prompt),
        ("Hires negative prompt", upscale.negative_prompt),
        *((key, value) for key, value in extra.items() if isinstance(value, str) and _safe_key(key)),
        ("Version", data.software),
    ]
    written = [f"{key}: {_value(value)}" for key, value in pairs if value is not None and value != ""]
    written += [f"{key}: {value}" for key, value in _lists(data, metadata) if value]
    lines = [_lines(data.prompt)] if data.prompt else []
    if data.negative_prompt:
        lines.append(f"{_NEGATIVE} {_lines(data.negative_prompt)}")
    return "\n".join([*lines, ", ".join(written)]).encode("utf-8", "replace").decode("utf-8")


_KNOWN_KEYS = frozenset(
    (
        *(key for key, _, _ in (*_PLAIN, *_UPSCALE)),
        *(key for key, _ in _LISTS),
        *_HIRES,
        *("Sampler", "Schedule type", "Size", "Hashes", "Refiner", "Refiner hash", "Hypernet", "Hypernet strength"),
        *(_RESOURCES, _METADATA),
        # The site's own names: a setting that is called so would be taken for what it is not (§1.7, §2.4 7).
        *("prompt", "negativePrompt", "steps", "seed", "cfgScale", "sampler", "clipSkip", "width", "height"),
        *("resources", "versionIds", "modelIds", "extra", "effects", "hashes", "civitaiResources", "denoise"),
        *("additionalResources", "comfy", "models", "upscalers", "vaes", "controlNets", "scheduler", "other"),
        *("external", "hideMeta", "engine", "process", "type", "workflow", "version", "baseModel", "ecosystem"),
    )
)


def _safe_key(key: object) -> bool:
    if not isinstance(key, str) or key in _KNOWN_KEYS or key.startswith(("AddNet", "Hashed")) or "Resources" in key:
        return False
    return key.isascii() and key.replace(" ", "").replace("_", "").replace("-", "").isalnum() and key == key.strip()


def _value(value: object) -> str:
    """A value as the line takes it: quoted where it would end the line, the value or the settings."""
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    text = str(value)
    if not text or set(text) & set(',:\n\r"\\{}[]') or text != text.strip():
        return _json(text)
    return text


def _json(value: object) -> str:
    """JSON in which no text looks like one of the words at which the site cuts the line, and no quote is escaped by a
    backslash, which the site does not understand (facts/site-api.md §2.4 3, 7)."""
    text = json.dumps(value, separators=(",", ":")).replace(": ", "\\u003a ")
    return _ESCAPED.sub(lambda found: "\\u0022" if found[0][1] == '"' else "\\u005c", text) if "\\" in text else text


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,120}", re.ASCII)
_ESCAPED = re.compile(r'\\["\\]')


def _lists(data: GenerationData, metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    hashes: dict[str, str] = {}
    loras: dict[str, str] = {}
    prefixes = {"lora": "lora", "lyco": "lora", "hypernet": "hypernet", "embedding": "embed"}
    for one in data.resources:
        if one.hash and one.name and one.kind in prefixes and not (one.air or one.version_id):
            # A hash in `Lora hashes` keeps the weight of its tag (facts/site-api.md §2.4 10).
            if one.kind == "lora" and _PLAIN_NAME.fullmatch(one.name):
                loras[one.name] = one.hash
            else:
                hashes[f"{prefixes[one.kind]}:{one.name}"] = one.hash
    if data.vae_hash:
        hashes["vae"] = data.vae_hash
    if data.model_hash:
        hashes["model"] = data.model_hash
    # No text in it may end the list for the site's regex, which stops at the first `}]`.
    listed = filter(None, (data.model, *data.resources))
    items = [_json(item).replace("]", "\\u005d") for one in listed if (item := _item(one)) is not None]
    return [
        ("Lora hashes", f'"{", ".join(f"{name}: {hash}" for name, hash in loras.items())}"' if loras else ""),
        ("Hashes", _json(hashes) if hashes else ""),
        (_RESOURCES, f"[{','.join(items)}]" if items else ""),
        (_METADATA, _json(metadata) if metadata else ""),
    ]


_TYPES = {"lyco": "lycoris", "hypernet": "hypernet", "embedding": "embed", "refiner": "checkpoint"}


def _item(one: UsedResource) -> dict[str, Any] | None:
    """A resource as `Civitai resources` lists it: by the AIR that the API gave, else by its version id."""
    item: dict[str, Any] = {"type": _TYPES.get(one.kind, one.kind)}
    # What is applied twice counts with all its weights there; `bridge` says them one by one.
    weight, clip = one.total
    if one.kind != "checkpoint":
        item["weight"] = weight if abs(weight) < float("inf") else 1.0
    if clip != weight and abs(clip) < float("inf"):
        item["clipWeight"] = clip
    item.update({key: value for key, value in (("hash", one.hash), ("modelName", one.name)) if value})
    if one.version_name:
        item["versionName"] = one.version_name
    try:
        if one.air and Air.parse(one.air).version_id is not None:
            return {**item, "air": one.air}
    except InvalidAir:
        pass
    return {**item, "modelVersionId": one.version_id} if one.version_id else None


def _lines(text: str) -> str:
    """A prompt in which no line looks like the settings or the negative prompt."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(_LOOKALIKE.sub(r"\1 :", line) for line in lines)


_LOOKALIKE = re.compile(r"(steps|negative prompt|template|parameters)[ \t]{0,32}:", re.IGNORECASE)
