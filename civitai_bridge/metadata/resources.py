"""The resources a picture depends on: joined so that none is listed twice, with the hashes that are still to be asked.

Sources: facts/site-api.md §8.3 (where names and hashes hide), §4 (kinds of hashes), §1.5 (what CivitAI resolves).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice

from ..errors import InvalidAir
from ..resources.air import Air
from .generation import GenerationData, UsedResource, merged_weights
from .prompt import each_embedding, each_network, known_words, name_key, normal_name

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
_PLACES = {"comfy": "one place of the graph", "civitai_resources": "CivitAI's list in the settings"}
# Resources of one name that are told apart; of more the rest stays by itself.
_MOST_CALLED_ALIKE = 16
NETWORK_KINDS = ("lora", "lyco", "hypernet")


def kind_of(word: object) -> str:
    """Our kind for a word of CivitAI or of a tool; `other` for what no table has."""
    return KINDS.get(word.strip().lower(), "other") if isinstance(word, str) else "other"


def tagged(text: str, source: str, notes: list[str], hashes: Hashes | None = None) -> list[UsedResource]:
    """The networks that the tags of a prompt name; each takes its hash out of `hashes`."""
    found: list[UsedResource] = []
    for kind, name, weight, clip, odd, said in each_network(text):
        if len(found) == MOST:
            notes.append(f"The text has more than {MOST:,} network tags; the rest is left out.")
            break
        if odd:
            notes.append(f"In {said[:80]} this is no weight and is left out: {', '.join(odd)[:80]}.")
        hash = hashes.pop((kind, name), "") if hashes else ""
        found.append(UsedResource("", weight, name, kind, None, clip, hash, source))
    return found


def named_embeddings(
    text: str, source: str, known: Iterable[str] = (), hashes: Hashes | None = None
) -> list[UsedResource]:
    """The embeddings of a prompt: `embedding:name`, and the bare words among the known names; each takes its hash out
    of `hashes`."""
    found: dict[str, UsedResource] = {}
    spelled = list(islice(each_embedding(text), MOST)) if "mbedding:" in text or "MBEDDING:" in text else []
    words = known_words(text, known, _MOST_MENTIONS) if known else []
    if spelled and words:
        inside = [(one.start, one.end) for one in spelled]
        words = [word for word in words if not any(start <= word.start < end for start, end in inside)]
    for one in spelled + words:
        if (lower := one.name.lower()) not in found:
            hash = hashes.pop(("embedding", one.name), "") if hashes else ""
            words_ = (one.name,)
            found[lower] = UsedResource(
                "", one.weight, one.name, "embedding", None, None, hash, source, None, "", "", (), words_
            )
    return list(found.values())


def join(
    networks: Iterable[UsedResource], notes: list[str] | None = None, *, each: bool = False
) -> tuple[UsedResource, ...]:
    """No resource twice: the same version, AIR, hash or name becomes one, which keeps whatever any of them knew.

    The first that says a weight has the word; what is named again in the same prompt keeps all its weights, and with
    `each` whatever is named again. Where two sources differ on a weight, a note says so."""
    joined: list[UsedResource] = []
    places: dict[tuple[object, ...], int] = {}
    others: dict[tuple[object, ...], list[int]] = {}
    for network in networks:
        keys = _keys(network)
        place, met = None, False
        for key in keys:
            if (first := places.get(key)) is None:
                continue
            met = True
            if may_be_one(joined[first], network):
                place = first
            elif key in others:
                place = next((one for one in others[key] if may_be_one(joined[one], network)), None)
            if place is not None:
                break
        if place is None:
            place = len(joined)
            joined.append(network)
        else:
            joined[place] = _merged(joined[place], network, notes, each)
        for key in keys:
            if not met:
                places[key] = place
            elif places.setdefault(key, place) != place and place not in (more := others.setdefault(key, [])):
                more.append(place)
                del more[_MOST_CALLED_ALIKE:]
    return tuple(joined)


def _keys(network: UsedResource) -> list[tuple[object, ...]]:
    """Strongest first: version, AIR, hash (12 and 10 digits of one file share ten), whole name, last segment of it."""
    keys: list[tuple[object, ...]] = []
    name, words = network.name, network.words
    if network.version_id is not None:
        keys.append(("version", network.version_id))
    if network.air:
        keys.append(("air", network.air.lower()))
    if network.hash:
        keys.append(("hash", network.hash[:10]))
    family = _FAMILIES.get(network.kind, network.kind)
    if name:
        if "/" in name:
            keys.append((family, name.casefold()))
        keys.append((family, name_key(name)))
    if words and words != (name,):
        keys += [(family, name_key(word)) for word in words]
    return keys


def may_be_one(one: UsedResource, other: UsedResource) -> bool:
    """Whether nothing speaks against it: other version, other file of a version, other hash of the same kind, other
    folder. What CivitAI resolved is not another's by its name where that one's hash is still to be asked: the list
    holds the version of the image's post too (facts/site-api.md §1.5)."""
    if one.version_id is not None and other.version_id is not None:
        return one.version_id == other.version_id and not _two_files(one, other)
    if one.air and other.air and one.air.lower() != other.air.lower():
        return False
    if one.hash and other.hash and len(one.hash) == len(other.hash):
        return one.hash == other.hash
    if _only_named(one, other) or _only_named(other, one):
        return False
    if "/" in one.name and "/" in other.name and one.name.casefold() != other.name.casefold():
        return False
    return of_one_family(one.kind, other.kind)


def of_one_family(kind: str, other: str) -> bool:
    """Whether two kinds share their names and hashes, as LoRA and LyCORIS do; `other` may be any kind."""
    return _FAMILIES.get(kind, kind) == _FAMILIES.get(other, other) or "other" in (kind, other)


def _only_named(asked: UsedResource, resolved: UsedResource) -> bool:
    """Whether nothing but a name says that a resource, whose hash can be asked, is the one that CivitAI resolved."""
    return bool(
        asked.hash
        and asked.version_id is None
        and not asked.air
        and resolved.source == "resources"
        and asked.hash[:10] != resolved.hash[:10]
    )


def _two_files(one: UsedResource, other: UsedResource) -> bool:
    """Whether two resources of one version are two of its files, as the two of a video model's LoRA are."""
    if one.hash and other.hash and len(one.hash) == len(other.hash):
        return one.hash != other.hash
    names_files = one.source in _NAME_FILES and other.source in _NAME_FILES
    return names_files and bool(one.name and other.name) and name_key(one.name) != name_key(other.name)


def _merged(first: UsedResource, more: UsedResource, notes: list[str] | None, each: bool) -> UsedResource:
    silent = first.source == "hashes"
    lead = more if silent and more.source != "hashes" else first
    if each or (first.source in _PROMPTS and first.source == more.source):
        return replace(first, again=merged_weights(first, [more]))
    if notes is not None and not silent and more.source != "hashes" and _differ(first, more):
        notes.append(
            f"{first.name or more.name or first.air} has weight {first.total[0]:g} in {_said(first)} and "
            f"{more.total[0]:g} in {_said(more)}; the first is taken."
        )
    return UsedResource(
        air=first.air or more.air,
        weight=lead.weight,
        name=first.name or more.name,
        kind=more.kind if first.kind == "other" or silent else first.kind,
        version_id=more.version_id if first.version_id is None else first.version_id,
        clip_weight=lead.clip_weight,
        hash=first.hash or more.hash,
        source=lead.source,
        model_id=more.model_id if first.model_id is None else first.model_id,
        version_name=first.version_name or more.version_name,
        base_model=first.base_model or more.base_model,
        again=first.again or more.again,
        words=first.words if first.words == more.words else tuple(dict.fromkeys((*first.words, *more.words))),
        file=first.file or more.file,
    )


def _differ(one: UsedResource, other: UsedResource) -> bool:
    """Whether both say a weight, and not the same. CivitAI's list says 1 for one that it does not know."""
    unsaid = any(each.weight == 1.0 and each.source == "resources" for each in (one, other))
    return one.total[0] != other.total[0] and not unsaid


def _said(network: UsedResource) -> str:
    return _PLACES.get(network.source, network.source.replace("_", " ")) or "one place"


def sorted_in(fields: dict[str, object], networks: Iterable[UsedResource]) -> None:
    """Put a flat list of resources where it belongs: networks, embeddings, others."""
    lists: dict[str, list[UsedResource]] = {}
    for one in networks:
        room = "networks" if one.kind in NETWORK_KINDS else "embeddings" if one.kind == "embedding" else "others"
        lists.setdefault(room, []).append(one)
    for room, found in lists.items():
        fields[room] = tuple(found)


def with_resolved(data: GenerationData, resolved: Iterable[UsedResource]) -> GenerationData:
    """The data with what CivitAI resolved (facts/site-api.md §1.5): by version id, by hash, by its whole name.

    A checkpoint becomes the model where the data knows none, or when it is the same one."""
    resolved = tuple(resolved)
    notes: list[str] = []
    fields: dict[str, object] = {}
    model = _resolved_model(data, resolved, notes)
    rest = [one for one in resolved if one is not model]
    if model is not None:
        fields.update(
            model_air=data.model_air or model.air,
            model_name=data.model_name or model.name,
            model_version_id=model.version_id if data.model_version_id is None else data.model_version_id,
            model_id=model.model_id if data.model_id is None else data.model_id,
            base_model=data.base_model or model.base_model,
            model_hash=data.model_hash or model.hash,
        )
    mine = {model.version_id if model is not None else None, data.model_version_id} - {None}
    listed = (*data.networks, *data.embeddings, *data.others)
    known = [_named_as(one, rest) for one in listed if one.version_id not in mine]
    fields.update(networks=(), embeddings=(), others=())
    sorted_in(fields, join([*known, *rest], notes))
    return replace(data, **fields, notes=(*data.notes, *(note for note in notes if note not in data.notes)))


def _resolved_model(data: GenerationData, resolved: tuple[UsedResource, ...], notes: list[str]) -> UsedResource | None:
    """The checkpoint that is the data's model: by version, hash or whole name, failing these the only one.

    A hash has the last word: where it proves none, it is to be asked, for what has the same name, or stands alone, may
    be the version that the image's post belongs to (facts/site-api.md §1.5)."""
    models = [one for one in resolved if one.kind == "checkpoint"]
    if data.model_version_id is not None:
        return next((one for one in models if one.version_id == data.model_version_id), None)
    if data.model_hash:
        proven = [one for one in models if one.hash and one.hash[:10] == data.model_hash[:10]]
        return proven[0] if len(proven) == 1 else None
    called = [one for one in models if is_called(one, data.model_name)]
    if len(called) > 1:
        exactly = [one for one in called if _letters(name_key(data.model_name)) != _letters(one.name)]
        if len(exactly) != 1:
            notes.append(
                f"CivitAI names {len(called)} versions of {data.model_name[:80]}; which one it was is not said."
            )
        return exactly[0] if len(exactly) == 1 else None
    if called or len(models) != 1:
        return called[0] if called else None
    if data.model_name:
        notes.append(f"The settings name the model {data.model_name[:80]}; CivitAI says it is {_title(models[0])}.")
    return models[0]


def is_called(one: UsedResource, name: str) -> bool:
    """Whether a file's name is a model's name, or its name and its version's."""
    letters = _letters(name_key(name))
    return bool(letters) and letters in (_letters(one.name), _letters(one.name + one.version_name))


def _title(one: UsedResource) -> str:
    return f"{one.name[:80]} {one.version_name[:40]}".strip() or one.air or f"version {one.version_id}"


def _named_as(network: UsedResource, resolved: Iterable[UsedResource]) -> UsedResource:
    """The network with the version of its own hash; without one, of the model name, or model and version name, that
    is its whole name."""
    if network.version_id is not None or network.air or not network.name:
        return network
    family = _FAMILIES.get(network.kind, network.kind)
    found = [
        one
        for one in resolved
        if _FAMILIES.get(one.kind, one.kind) == family
        and (one.hash[:10] == network.hash[:10] if network.hash else is_called(one, network.name))
    ]
    if len(found) != 1:
        return network
    return replace(network, version_id=found[0].version_id, air=found[0].air, model_id=found[0].model_id)


def _letters(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def embedding_words(data: GenerationData, called: Callable[[UsedResource], str] = lambda _: "") -> dict[str, str]:
    """The words by which the prompts call embeddings, and the name that ComfyUI is to read for each: what `called`
    says (the file on this machine), else the file's on CivitAI, else the word itself (facts/site-api.md §8.3).

    A model's title is no such word: `Dragon` may be an embedding and stand in any prompt."""
    found: dict[str, str] = {}
    for one in data.embeddings:
        file = normal_name(called(one) or one.file)
        for word in one.words:
            if word.strip():
                found.setdefault(word, file or normal_name(word))
    return found


def from_air(text: str, **fields: object) -> UsedResource | None:
    """A resource by its AIR, with version id, model id and kind read from it; None when it is not one."""
    try:
        air = Air.parse(text)
    except InvalidAir:
        return None
    whole: dict[str, object] = {
        "kind": kind_of(air.type),
        "version_id": air.version_id,
        "model_id": air.model_id,
    }
    return UsedResource(text.strip(), **{**whole, **fields})  # type: ignore[arg-type]
