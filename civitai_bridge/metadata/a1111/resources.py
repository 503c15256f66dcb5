"""What takes part in a picture, from every place of an A1111 text where it may stand: tags, lists of hashes, CivitAI's
list, and the settings of old extensions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from ...resources.hashes import normal_hash
from ...resources.json_values import number, whole
from ..generation import UsedResource, by_list
from ..prompt import name_key
from ..quantities import shown
from ..resources import MOST, Hashes, from_air, join, kind_of, named_embeddings, tagged
from ..tables import Row, take

CIVITAI_RESOURCES = "Civitai resources"
_PREFIXES = {"lora": "lora", "lyco": "lyco", "locon": "lyco", "hypernet": "hypernet", "embed": "embedding"}
# A1111's lists of hashes, and the kind of what they name.
HASH_LISTS = {"Lora hashes": "lora", "TI hashes": "embedding", "Lyco hashes": "lyco"}
# So many words are looked for in the prompt as they stand before the slower search for borders.
_FEW = 8
_MOST_NETWORKS = 32  # of the Additional Networks extension, and of lists of numbered keys
_NUMBERED = frozenset(key for i in range(_MOST_NETWORKS) for key in (f"Lora_{i} Model name", f"Embedding_{i} Name"))


def add_resources(
    fields: dict[str, Any], settings: dict[str, Any], notes: list[str], listed: Iterable[UsedResource] = ()
) -> None:
    """Put networks, embeddings and the rest into `fields`, each once, out of `settings`, the prompts in `fields` and
    `listed`, which was found elsewhere."""
    hashes, hash_only = _hashes(fields, settings, notes)
    resources = _in_prompts(fields, hashes, notes)
    if CIVITAI_RESOURCES in settings:
        resources += _civitai_resources(fields, settings, notes)
    if "AddNet Enabled" in settings:
        resources += _additional_networks(settings, notes)
    if "Hypernet" in settings:
        resources += _hypernetwork(settings)
    if not _NUMBERED.isdisjoint(settings):
        resources += _numbered(settings, notes)
    if listed:
        resources += _without_model(fields, listed)
    resources += hash_only
    for (kind, name), hash in hashes.items():
        words = (name,) if kind == "embedding" else ()
        resources.append(UsedResource("", 1.0, name, kind, hash=hash, source="hashes", words=words))
    if resources:
        fields.update(by_list(join(resources, notes)))


def _in_prompts(fields: dict[str, Any], hashes: Hashes, notes: list[str]) -> list[UsedResource]:
    """The networks of tags and the embeddings that the prompts name; each takes its hash out of `hashes`."""
    resources: list[UsedResource] = []
    for source in ("prompt", "negative_prompt"):
        if "<" in fields[source]:
            resources += tagged(fields[source], source, notes, hashes)
    if (upscale := fields.get("upscale")) is not None and "<" in upscale.prompt:
        names = {network.name for network in resources}
        resources += [network for network in tagged(upscale.prompt, "prompt", notes) if network.name not in names]
    words = [name for kind, name in hashes if kind == "embedding"]
    for source in ("prompt", "negative_prompt"):
        lower = fields[source].lower()
        inside = [name for name in words if name.lower() in lower] if len(words) < _FEW else words
        if inside or "embedding:" in lower:
            resources += named_embeddings(fields[source], source, inside, hashes)
    return resources


def _hashes(fields: dict[str, Any], settings: dict[str, Any], notes: list[str]) -> tuple[Hashes, list[UsedResource]]:
    """The hashes of names in `Lora hashes`, `TI hashes` and `Hashes`; and as resources what these contradict, and the
    refiner."""
    hashes: Hashes = {}
    contradicted: list[UsedResource] = []
    for named, value in _listed_hashes(fields, settings, notes):
        first = hashes.get(named, "")
        if not first:
            hashes[named] = normal_hash(value)
        elif first != value and len(first) == len(hash := normal_hash(value)) and first != hash:
            kind, name = named
            contradicted.append(UsedResource("", 1.0, name, kind, hash=hash, source="hashes"))
    if isinstance(settings.get("Refiner"), str):
        name, hash = name_and_hash(settings.pop("Refiner"))
        hash = hash or normal_hash(settings.pop("Refiner hash", ""))
        contradicted.append(UsedResource("", 1.0, name, "refiner", hash=hash, source="file"))
    return hashes, contradicted


def _listed_hashes(
    fields: dict[str, Any], settings: dict[str, Any], notes: list[str]
) -> list[tuple[tuple[str, str], object]]:
    """((kind, name), hash) of A1111's own lists and of the map `Hashes`; model and VAE go into `fields`."""
    lists = take(settings, _HASH_ROWS, notes)
    by_extension = lists.pop("Hashes", {})
    entries: list[tuple[tuple[str, str], object]] = []
    for key, listed in lists.items():
        if len(listed) == MOST:
            notes.append(f"{key} has {MOST:,} entries or more; what is beyond is left out.")
        kind = HASH_LISTS[key]
        for name, value in listed:
            entries.append(((kind, name), value))
    return entries + _map_of_hashes(fields, by_extension, notes) if by_extension else entries


def _map_of_hashes(
    fields: dict[str, Any], listed: Mapping[str, Any], notes: list[str]
) -> list[tuple[tuple[str, str], object]]:
    """((kind, name), hash) of `Hashes`, the map that CivitAI's extension writes; model and VAE go into `fields`."""
    if len(listed) > MOST:
        notes.append(f"Hashes has more than {MOST:,} entries; the rest is left out.")
    entries: list[tuple[tuple[str, str], object]] = []
    for key, value in islice(listed.items(), MOST):
        kind, colon, name = key.partition(":")
        if colon and name and (known_kind := _PREFIXES.get(kind) or _PREFIXES.get(kind.lower())):
            entries.append(((known_kind, name), value))
        elif key in ("model", "vae") and fields.get(f"{key}_hash") == value:
            continue
        elif not (hash := normal_hash(value)):
            notes.append(f"The hash of {key[:60]} is left out: {shown(value)} is none.")
        elif key in ("model", "vae"):
            fields.setdefault(f"{key}_hash", hash)
        else:
            entries.append(((kind_of(kind), name or key), hash))
    return entries


def _object(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _name_hash_pairs(value: object) -> list[tuple[str, str]] | None:
    """`a: h1, b: h2`, in which a name may hold anything but a colon or a comma."""
    if isinstance(value, dict):
        return [(str(name), str(hash)) for name, hash in islice(value.items(), MOST)]
    if not isinstance(value, str):
        return None
    pairs = []
    for piece in value.split(",", MOST)[:MOST]:
        name, colon, hash = piece.rpartition(":")
        if colon and (name := name.strip()):
            pairs.append((name, hash.strip()))
    return pairs


_HASH_ROWS: tuple[Row, ...] = (
    *((key, key, _name_hash_pairs) for key in HASH_LISTS),
    ("Hashes", "Hashes", _object),
)


def name_and_hash(text: str) -> tuple[str, str]:
    """A name and the hash behind it: `name [hash]` and `name(hash)`."""
    for opening, closing in ("[]", "()"):
        if text.endswith(closing) and (at := text.rfind(opening)) > 0 and normal_hash(text[at + 1 : -1]):
            return text[:at].strip(), normal_hash(text[at + 1 : -1])
    return text.strip(), ""


def _civitai_resources(fields: dict[str, Any], settings: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """CivitAI's list in both dialects: version ids as the site's generator writes them, or AIRs as other tools do."""
    entries = settings[CIVITAI_RESOURCES]
    if not isinstance(entries, list):
        return []
    del settings[CIVITAI_RESOURCES]
    if len(entries) > MOST:
        notes.append(f"{CIVITAI_RESOURCES} has more than {MOST:,} entries; the rest is left out.")
    listed = []
    for entry in entries[:MOST]:
        resource = civitai_resource(entry, "civitai_resources", notes)
        if resource is None:
            notes.append(f"An entry of {CIVITAI_RESOURCES} is left out: {shown(entry)} names no version.")
        else:
            listed.append(resource)
    return _without_model(fields, listed)


def _without_model(fields: dict[str, Any], listed: Iterable[UsedResource]) -> list[UsedResource]:
    """The list without the model, whose fields are filled."""
    rest = []
    for resource in listed:
        if resource.kind != "checkpoint":
            rest.append(resource)
        elif resource.version_id is not None or resource.air:
            if fields.get("model_version_id", resource.version_id) != resource.version_id:
                rest.append(resource)
                continue
            fields.update(model_air=resource.air, model_version_id=resource.version_id, model_id=resource.model_id)
            _name_model(fields, resource)
        elif not _name_model(fields, resource):
            rest.append(resource)
    return rest


def _name_model(fields: dict[str, Any], model: UsedResource) -> bool:
    """Fill name and hash of the model; False when the fields speak of another one."""
    name = fields.get("model_name")
    if name and model.name and name_key(name) != name_key(model.name) and not (model.version_id or model.air):
        return bool(model.hash) and model.hash == fields.get("model_hash")
    fields["model_name"] = name or model.name
    if model.hash:
        fields.setdefault("model_hash", model.hash)
    return True


def civitai_resource(entry: object, source: str, notes: list[str]) -> UsedResource | None:
    """One entry of `Civitai resources` or of meta's `civitaiResources`; None when it names no version."""
    if not isinstance(entry, dict):
        return None
    members: dict[str, Any] = {"source": source, "hash": normal_hash(entry.get("hash"))}
    for key, name in (("modelName", "name"), ("versionName", "version_name"), ("modelVersionName", "version_name")):
        if isinstance(entry.get(key), str):
            members.setdefault(name, entry[key])
    for key, name in (("weight", "weight"), ("clipWeight", "clip_weight")):
        if entry.get(key) is None:
            continue
        if (weight := number(entry[key])) is None:
            notes.append(f"A weight is left out: {shown(entry[key])} is no number.")
        else:
            members[name] = weight
    if isinstance(entry.get("type"), str):
        members["kind"] = kind_of(entry["type"])
    if isinstance(entry.get("air"), str):
        return from_air(entry["air"], **members)
    version = whole(entry.get("modelVersionId"))
    return UsedResource("", version_id=version, **{"kind": "other", **members}) if version and version > 0 else None


def _additional_networks(settings: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """The Additional Networks extension: `AddNet Module 1`, `AddNet Model 1` = `name(hash)`, weights A (UNet) and B
    (text encoder)."""
    if settings["AddNet Enabled"] != "True":
        return []
    del settings["AddNet Enabled"]
    networks = []
    for i in range(1, _MOST_NETWORKS + 1):
        model = settings.pop(f"AddNet Model {i}", None)
        kind = kind_of(settings.pop(f"AddNet Module {i}", "lora"))
        rows = tuple((f"AddNet Weight{letter} {i}", name, number) for letter, name in _ADDNET_WEIGHTS)
        weights = take(settings, rows, notes)
        if isinstance(model, str) and model != "None":
            name, hash = name_and_hash(model)
            weight, clip = weights.get("weight", 1.0), weights.get("clip_weight")
            kind = "lora" if kind == "other" else kind
            clip = None if clip == weight else clip
            networks.append(UsedResource("", weight, name, kind, clip_weight=clip, hash=hash, source="file"))
    return networks


_ADDNET_WEIGHTS = (("", "weight"), (" A", "weight"), (" B", "clip_weight"))


def _numbered(settings: dict[str, Any], notes: list[str]) -> list[UsedResource]:
    """ComfyUI's savers of A1111 texts: `Lora_0 Model name`, `Lora_0 Model hash`, `Lora_0 Strength model` …, and
    `Embedding_0 Name`, `Embedding_0 Hash`."""
    resources = []
    for i in range(_MOST_NETWORKS):
        name, hash = settings.pop(f"Lora_{i} Model name", None), settings.pop(f"Lora_{i} Model hash", "")
        weights = take(settings, _numbered_weights(i), notes)
        if isinstance(name, str) and name:
            weight, clip = weights.get("weight", 1.0), weights.get("clip_weight")
            clip = None if clip == weight else clip
            hash = normal_hash(hash)
            resources.append(UsedResource("", weight, name, clip_weight=clip, hash=hash, source="file"))
        name, hash = settings.pop(f"Embedding_{i} Name", None), settings.pop(f"Embedding_{i} Hash", "")
        if isinstance(name, str) and name:
            hash = normal_hash(hash)
            resources.append(UsedResource("", 1.0, name, "embedding", hash=hash, source="file", words=(name,)))
    return resources


def _numbered_weights(number_of_lora: int) -> tuple[Row, ...]:
    return (
        (f"Lora_{number_of_lora} Strength model", "weight", number),
        (f"Lora_{number_of_lora} Strength clip", "clip_weight", number),
    )


def _hypernetwork(settings: dict[str, Any]) -> list[UsedResource]:
    name, strength = settings.pop("Hypernet"), number(settings.get("Hypernet strength"))
    if strength is not None:
        del settings["Hypernet strength"]
    if not isinstance(name, str):
        return []
    name, hash = name_and_hash(name)
    return [UsedResource("", 1.0 if strength is None else strength, name, "hypernet", hash=hash, source="file")]
