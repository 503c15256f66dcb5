"""The resources a picture depends on: joined so that none is listed twice, with the hashes that are still to be asked.

Sources: facts/site-api.md §8.3 (where names and hashes hide), §4 (kinds of hashes), §1.5 (what CivitAI resolves).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from ..errors import InvalidAir
from ..resources.air import Air
from .generation import GenerationData, UsedResource, merged_weights
from .prompt import each_embedding, each_network, known_words, name_key, normal_name

# More of one kind than any picture has: what is beyond is named, not read, so that no text takes long.
MOST = 1000
# Only the first mention counts, but for those inside a longer name.
_MOST_MENTIONS = 3
# SHA-256 of nothing, cut in every usual way: some trainers write it (facts/site-api.md §4).
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_HASH = re.compile(r"(?:0x|sha256:)?([0-9a-f]{8,72})", re.ASCII)
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


def normal_hash(value: object) -> str:
    """A model file's hash in lower case without `0x`; `""` for what is none, and for the hash of nothing.

    assert normal_hash("0x95D20EDA2F") == "95d20eda2f" and normal_hash("e3b0c44298fc") == ""
    """
    if not isinstance(value, str) or len(value) > 80:
        return ""
    found = _HASH.fullmatch(value) or _HASH.fullmatch(value.strip().lower())
    if found is None:
        return ""
    text = found[1]
    return "" if text[0] == "e" and _NOTHING.startswith(text) else text


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
    return _FAMILIES.get(one.kind, one.kind) == _FAMILIES.get(other.kind, other.kind) or "other" in (
        one.kind,
        other.kind,
    )


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


@dataclass(frozen=True)
class HashQuestion:
    """A resource that only its hash can name: `tries` are the spellings to look up in order (facts/site-api.md §4)."""

    name: str
    kind: str
    hash: str
    tries: tuple[str, ...]


def hash_questions(data: GenerationData) -> tuple[HashQuestion, ...]:
    """The hashes that are to be looked up, each once: those of resources without a version id or AIR."""
    asked: dict[str, HashQuestion] = {}
    model = UsedResource(data.model_air, name=data.model_name, kind="checkpoint", version_id=data.model_version_id)
    vae = UsedResource("", name=data.vae, kind="vae", hash=data.vae_hash)
    for one in (replace(model, hash=data.model_hash), *data.networks, *data.embeddings, *data.others, vae):
        if one.hash and one.version_id is None and not one.air:
            asked.setdefault(one.hash, HashQuestion(one.name, one.kind, one.hash, tries(one.hash)))
    return tuple(asked.values())


def tries(hash: str) -> tuple[str, ...]:
    """Exact first; twelve digits may be those of the whole file, whose first ten are its AutoV2."""
    return (hash, hash[:10]) if len(hash) == 12 else (hash,)


def unnamed_versions(data: GenerationData) -> tuple[int, ...]:
    """The versions of which no more than the id is known, and those of embeddings whose word or file is not, each
    once."""
    listed = (*data.networks, *data.embeddings, *data.others)
    wanted = [
        one.version_id
        for one in listed
        if one.version_id is not None
        and not (one.air and one.name and (one.kind != "embedding" or (one.words and one.file)))
    ]
    if data.model_version_id is not None and not (data.model_air and data.model_name):
        wanted.insert(0, data.model_version_id)
    return tuple(dict.fromkeys(wanted))


def described(data: GenerationData, answers: Mapping[int, UsedResource]) -> GenerationData:
    """The data after versions were looked up by their ids. A checkpoint that was only an id becomes the model where
    the data knows none."""
    listed = (*data.networks, *data.embeddings, *data.others)
    filled = [_filled(one, found) if (found := answers.get(one.version_id or 0)) else one for one in listed]
    if found := answers.get(data.model_version_id or 0):
        data = _with_model(data, found)
    resolved = [one for one in filled if one.source == "resources"]
    rest: dict[str, object] = {"networks": (), "embeddings": (), "others": ()}
    sorted_in(rest, (one for one in filled if one.source != "resources"))
    return with_resolved(replace(data, **rest), resolved)


def answered(data: GenerationData, answers: Mapping[str, UsedResource]) -> GenerationData:
    """The data after a look-up: `answers` by the hash that was asked.

    Weights and sources stay the data's. An answer of another kind (short hashes collide) is not taken."""
    notes: list[str] = []
    listed: list[UsedResource] = []
    for one in (*data.networks, *data.embeddings, *data.others):
        found = answers.get(one.hash) if one.version_id is None and not one.air else None
        if found is not None and not _of_one_family(one.kind, found.kind):
            notes.append(_other_kind(one.name, one.hash, found))
        elif found is not None:
            one = _filled(one, found)
        listed.append(one)
    if data.model_version_id is None and not data.model_air and (found := answers.get(data.model_hash)):
        if found.kind in ("checkpoint", "other"):
            data = _with_model(data, found)
        else:
            notes.append(_other_kind(data.model_name, data.model_hash, found))
    if (found := answers.get(data.vae_hash)) is not None:
        if found.kind in ("vae", "checkpoint", "other"):
            listed.append(replace(found, name=data.vae or found.name, hash=data.vae_hash, kind="vae", source="hashes"))
        else:
            notes.append(_other_kind(data.vae, data.vae_hash, found))
    fields: dict[str, object] = {"networks": (), "embeddings": (), "others": ()}
    mine = data.model_version_id or -1
    sorted_in(fields, join((one for one in listed if one.version_id != mine or one.kind == "vae"), notes))
    return replace(data, **fields, notes=(*data.notes, *(note for note in notes if note not in data.notes)))


def _of_one_family(kind: str, other: str) -> bool:
    return _FAMILIES.get(kind, kind) == _FAMILIES.get(other, other) or "other" in (kind, other)


def _other_kind(name: str, hash: str, found: UsedResource) -> str:
    return (
        f"The hash {hash} of {name[:60] or 'a resource'} is that of a {found.kind}, {found.name[:60]}; it is not taken."
    )


def _filled(one: UsedResource, found: UsedResource) -> UsedResource:
    """A resource with what a look-up says of its version; its weights, name and source stay."""
    return replace(
        one,
        air=one.air or found.air,
        version_id=found.version_id,
        model_id=found.model_id,
        version_name=found.version_name or one.version_name,
        base_model=found.base_model or one.base_model,
        name=one.name or found.name,
        kind=found.kind if one.kind == "other" else one.kind,
        words=tuple(dict.fromkeys((*one.words, *found.words))),
        file=one.file or found.file,
    )


def _with_model(data: GenerationData, found: UsedResource) -> GenerationData:
    return replace(
        data,
        model_air=data.model_air or found.air,
        model_version_id=found.version_id,
        model_id=found.model_id,
        model_name=data.model_name or found.name,
        base_model=found.base_model or data.base_model,
    )


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


_DIRECTIONS = {"txt2img": "t2i", "img2img": "i2i", "txt2vid": "t2v", "img2vid": "i2v", "vid2vid": "v2v"}
_WORDS = {
    "txt2img-hires": "txt2img", "txt2imghires": "txt2img", "inpainting": "img2img", "ref2vid": "img2vid",
    "image:create": "txt2img", "image:draft": "txt2img", "image:edit": "img2img", "image:upscale": "img2img",
    "image:remove-background": "img2img", "image:face-fix": "img2img", "image:hires-fix": "img2img",
    "video:create": "txt2vid", "video:animate": "img2vid", "video:first-last-frame": "img2vid",
    "video:ref2vid": "img2vid",
}  # fmt: skip
_FITS = {"video": ("t2v", "i2v", "v2v"), "image": ("t2i", "i2i")}
_FROM_PICTURE = ("sourceImage", "images", "Mask blur", "mask_blur")


def direction(word: object) -> str:
    """`t2i`, `i2i`, `t2v`, `i2v` or `v2v` for a word of `process`, `workflow` or a technique; `""` for any other.

    assert direction("img2img:upscale + ControlNet") == "i2i"
    """
    if not isinstance(word, str):
        return ""
    text = word.lower().partition(" + ")[0].strip()
    text = _WORDS.get(text, text).partition(":")[0]
    text = "img2img" if text.startswith("img2img-") else _WORDS.get(text, text)
    return _DIRECTIONS.get(text, "")


def detected_type(
    data: GenerationData,
    *,
    media_type: str = "",
    workflow: object = "",
    techniques: Iterable[object] = (),
    meta: Mapping[str, object] | None = None,
    graph: str = "",
) -> str:
    """`t2i`, `i2i`, `t2v`, `i2v` or `unknown` (facts/site-api.md §8.4). `graph` is what a ComfyUI graph showed.

    Video from video is told as `i2v`; the caller says so in a note."""
    media_type = media_type or data.media_type
    if media_type not in _FITS:
        return "unknown"
    said = {**data.extra, **(meta or {})}
    for word in (data.process, workflow, *(data.techniques or techniques)):
        found = direction(word)
        if found in _FITS[media_type]:
            return "i2v" if found == "v2v" else found
    if graph in _FITS[media_type]:
        return graph
    from_picture = any(said.get(name) for name in _FROM_PICTURE)
    base = data.base_model.lower()
    if media_type == "video":
        return "i2v" if from_picture or ("i2v" in base and "ti2v" not in base) else "t2v"
    return "i2i" if from_picture or (data.denoise is not None and data.denoise < 1) else "t2i"
