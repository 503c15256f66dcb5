"""The resources a picture depends on: found in prompts and lists, joined so that none is listed twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from ..errors import InvalidAir
from ..resources.air import Air
from .embeddings import each_embedding, known_words
from .generation import UsedResource, merged_weights
from .prompt import each_tag, name_key

# More of one kind than any picture has: what is beyond is named, not read, so that no text takes long.
MOST = 1000
# Only the first mention counts, but for those inside a longer name.
_MOST_MENTIONS = 3
_PROMPTS = ("prompt", "negative_prompt")
# LoRA and its kin are one folder and one namespace of names.
_FAMILIES = {"lyco": "lora", "refiner": "checkpoint"}
# AIR types, CivitAI's ModelTypes and the words of several tools -> our kinds.
KINDS: Mapping[str, str] = {
    "lora": "lora", "loras": "lora", "dora": "lora", "lycoris": "lyco", "locon": "lyco", "lyco": "lyco",
    "loha": "lyco", "hypernet": "hypernet", "hypernetwork": "hypernet", "embed": "embedding",
    "embedding": "embedding", "ti": "embedding", "textualinversion": "embedding", "checkpoint": "checkpoint",
    "model": "checkpoint", "diffusion_model": "checkpoint", "refiner": "refiner", "refinermodel": "refiner",
    "vae": "vae", "upscaler": "upscaler", "controlnet": "controlnet", "controlnets": "controlnet",
}  # fmt: skip
# (kind, name) -> hash, of what lists of hashes name.
Hashes = dict[tuple[str, str], str]
# Sources whose names are those of files; the others give a model's title.
_NAME_FILES = frozenset(("prompt", "negative_prompt", "hashes", "comfy", "file", "meta_resources"))
_PLACES = {
    "comfy": "one place of the graph", "civitai_resources": "CivitAI's list in the settings", "prompt": "the prompt",
    "negative_prompt": "the negative prompt", "meta_resources": "the uploader's list", "resources": "CivitAI's list",
    "file": "the file's settings",
}  # fmt: skip
# How CivitAI's own pack for ComfyUI calls files, by their versions. Others may call a file so as well:
# it says which resource of a list is meant, and no more.
_SAVED_BY_CIVITAI = re.compile(r"(?:^|[\\/])civitai_(\d{1,10})_", re.ASCII)
# Resources of one name that are told apart; of more the rest stays by itself.
_MOST_CALLED_ALIKE = 16


def kind_of(word: object) -> str:
    """Our kind for a word of CivitAI or of a tool; `other` for what no table has."""
    return KINDS.get(word.strip().lower(), "other") if isinstance(word, str) else "other"


def same_kind(kind: str, other: str, *, loosely: bool = True) -> bool:
    """Whether two kinds are one folder; with `loosely` a resource of no known kind may be any."""
    return _FAMILIES.get(kind, kind) == _FAMILIES.get(other, other) or (loosely and "other" in (kind, other))


def from_air(text: str, **fields: object) -> UsedResource | None:
    """A resource by its AIR, with version id, model id and kind read from it; None when it is not one."""
    try:
        air = Air.parse(text)
    except InvalidAir:
        return None
    members = {"kind": kind_of(air.type), "version_id": air.version_id, "model_id": air.model_id, **fields}
    canonical = str(replace(air, format=None)) if air.ecosystem and air.type else text.strip()
    return UsedResource(canonical, **members)  # type: ignore[arg-type]


def is_called(version: UsedResource, name: str) -> bool:
    """Whether a file's name is a model's name, or its name and its version's."""
    file_letters = letters(name_key(name))
    titles = (letters(version.name), letters(version.name + version.version_name))
    return bool(file_letters) and file_letters in titles


def letters(text: str) -> str:
    """Letters and digits alone, case-folded: what a title and the name of its file have in common."""
    return "".join(c for c in text.casefold() if c.isalnum())


def tagged(text: str, source: str, notes: list[str], hashes: Hashes | None = None) -> list[UsedResource]:
    """The networks that the tags of a prompt name; each takes its hash out of `hashes`."""
    networks: list[UsedResource] = []
    for tag in each_tag(text):
        if len(networks) == MOST:
            notes.append(f"The text has more than {MOST:,} network tags; the rest is left out.")
            break
        if tag.odd:
            notes.append(f"In {tag.text[:80]} this is no weight and is left out: {', '.join(tag.odd)[:80]}.")
        hash = hashes.pop((tag.kind, tag.name), "") if hashes else ""
        networks.append(UsedResource("", tag.weight, tag.name, tag.kind, None, tag.clip_weight, hash, source))
    return networks


def named_embeddings(
    text: str, source: str, known: Iterable[str] = (), hashes: Hashes | None = None
) -> list[UsedResource]:
    """The embeddings of a prompt: `embedding:name`, and the bare words among the known names; each takes its hash out
    of `hashes`."""
    spelled = list(islice(each_embedding(text), MOST)) if "mbedding:" in text or "MBEDDING:" in text else []
    words = known_words(text, known, _MOST_MENTIONS) if known else []
    if spelled and words:
        words = [word for word in words if not any(name.start <= word.start < name.end for name in spelled)]
    embeddings: dict[str, UsedResource] = {}
    for mention in spelled + words:
        if (lower := mention.name.lower()) not in embeddings:
            hash = hashes.pop(("embedding", mention.name), "") if hashes else ""
            embeddings[lower] = UsedResource(
                "", mention.weight, mention.name, "embedding", hash=hash, source=source, words=(mention.name,)
            )
    return list(embeddings.values())


def in_prompts(fields: Mapping[str, Any], notes: list[str]) -> list[UsedResource]:
    """What the prompts among a format's fields name: network tags, and embeddings as ComfyUI spells them."""
    resources: list[UsedResource] = []
    for source in ("prompt", "negative_prompt"):
        text = fields.get(source, "")
        resources += tagged(text, source, notes)
        resources += named_embeddings(text, source)
    return resources


def join(
    resources: Iterable[UsedResource], notes: list[str] | None = None, *, each: bool = False
) -> tuple[UsedResource, ...]:
    """No resource twice: the same version, AIR, hash or name becomes one, which keeps whatever any of them knew. A name
    that is an AIR is read as one.

    The first that says a weight wins; what is named again in the same prompt keeps all its weights, and with `each`
    whatever is named again. Where two sources differ on a weight, a note says so."""
    joined: list[UsedResource] = []
    places: dict[tuple[object, ...], int] = {}
    namesakes: dict[tuple[object, ...], list[int]] = {}
    for used in resources:
        if "@" in used.name:
            used = _read_name(used)
        keys = _keys(used)
        place, met = None, False
        for key in keys:
            if key not in places:
                continue
            first, met = places[key], True
            if may_be_one(joined[first], used):
                place = first
            elif key in namesakes:
                place = next((index for index in namesakes[key] if may_be_one(joined[index], used)), None)
            if place is not None:
                break
        if place is None:
            place = len(joined)
            joined.append(used)
        else:
            joined[place] = _merged(joined[place], used, notes, each)
        for key in keys:
            if not met:
                places[key] = place
            elif places.setdefault(key, place) != place and place not in (alike := namesakes.setdefault(key, [])):
                alike.append(place)
                del alike[_MOST_CALLED_ALIKE:]
    return tuple(joined)


def _keys(used: UsedResource) -> list[tuple[object, ...]]:
    """Strongest first: version, AIR, hash (12 and 10 digits of one file share ten), whole name, last segment of it."""
    keys: list[tuple[object, ...]] = []
    name, words = used.name, used.words
    if used.version_id is not None:
        keys.append(("version", used.version_id))
    if used.air:
        keys.append(("air", used.air.lower()))
    if "civitai_" in name and (match := _SAVED_BY_CIVITAI.search(name)):
        keys.append(("version", int(match[1])))
    if used.hash:
        keys.append(("hash", used.hash[:10]))
    family = _FAMILIES.get(used.kind, used.kind)
    if name:
        if "/" in name:
            keys.append((family, name.casefold()))
        keys.append((family, name_key(name)))
    if used.file:
        keys.append((family, name_key(used.file)))
    if words and words != (name,):
        keys += [(family, name_key(word)) for word in words]
    return keys


def _read_name(used: UsedResource) -> UsedResource:
    """A resource whose name is an AIR, as CivitAI's own generator and nodes write it in a file's place."""
    if used.version_id is not None or used.air:
        return used
    by_air = from_air(used.name)
    if by_air is None or by_air.version_id is None:
        return used
    return replace(used, air=by_air.air, name="", version_id=by_air.version_id, model_id=by_air.model_id,
                   kind=used.kind if by_air.kind == "other" else by_air.kind)  # fmt: skip


def may_be_one(first: UsedResource, second: UsedResource) -> bool:
    """Whether nothing speaks against it: other version, other file of a version, other hash of the same kind, other
    folder. What CivitAI resolved is not another's by its name where that one's hash is still to be asked: the list
    holds the version of the image's post too."""
    if first.version_id is not None and second.version_id is not None:
        return first.version_id == second.version_id and not _two_files(first, second)
    if first.air and second.air and first.air.lower() != second.air.lower():
        return False
    if first.hash and second.hash and len(first.hash) == len(second.hash):
        return first.hash == second.hash
    if _only_named(first, second) or _only_named(second, first):
        return False
    if "/" in first.name and "/" in second.name and first.name.casefold() != second.name.casefold():
        return False
    return same_kind(first.kind, second.kind)


def _only_named(asked: UsedResource, resolved: UsedResource) -> bool:
    """Whether nothing but a name says that a resource, whose hash can be asked, is the one that CivitAI resolved."""
    return bool(
        asked.hash
        and asked.version_id is None
        and not asked.air
        and resolved.source == "resources"
        and asked.hash[:10] != resolved.hash[:10]
    )


def _two_files(first: UsedResource, second: UsedResource) -> bool:
    """Whether two resources of one version are two of its files, as the two of a video model's LoRA are."""
    if first.hash and second.hash and len(first.hash) == len(second.hash):
        return first.hash != second.hash
    names_files = first.source in _NAME_FILES and second.source in _NAME_FILES
    return names_files and bool(first.name and second.name) and name_key(first.name) != name_key(second.name)


def _merged(first: UsedResource, second: UsedResource, notes: list[str] | None, each: bool) -> UsedResource:
    silent = first.source == "hashes"
    lead = second if silent and second.source != "hashes" else first
    if each or (first.source in _PROMPTS and first.source == second.source):
        return replace(first, again=merged_weights(first, [second]))
    if notes is not None and not silent and second.source != "hashes" and _differ(first, second):
        notes.append(
            f"{first.name or second.name or first.air} has weight {first.total[0]:g} in {_place(first)} and "
            f"{second.total[0]:g} in {_place(second)}; the first is taken."
        )
    return UsedResource(
        air=first.air or second.air,
        weight=lead.weight,
        name=first.name or second.name,
        kind=second.kind if first.kind == "other" or silent else first.kind,
        version_id=second.version_id if first.version_id is None else first.version_id,
        clip_weight=lead.clip_weight,
        hash=first.hash or second.hash,
        source=lead.source,
        model_id=second.model_id if first.model_id is None else first.model_id,
        version_name=first.version_name or second.version_name,
        base_model=first.base_model or second.base_model,
        again=first.again or second.again,
        words=first.words if first.words == second.words else tuple(dict.fromkeys((*first.words, *second.words))),
        file=first.file or second.file,
        trained_words=first.trained_words or second.trained_words,
    )


def _differ(first: UsedResource, second: UsedResource) -> bool:
    """Whether both say a weight, and not the same. CivitAI's list says 1 for one that it does not know."""
    unsaid = any(used.weight == 1.0 and used.source == "resources" for used in (first, second))
    return first.total[0] != second.total[0] and not unsaid


def _place(used: UsedResource) -> str:
    return _PLACES.get(used.source, "one place")
