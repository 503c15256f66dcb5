"""What CivitAI's routes say about an image -> GenerationData, from bodies that are decoded already.

`generation_from_trpc`  the payload of `image.getGenerationData`, which the site's own pages ask
`generation_from_rest`  an entry of `GET /api/v1/images`, which everybody may ask
`generation_from_meta`  an image's `meta` alone, as CivitAI's pages copy it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..resources.air import Air
from ..resources.ecosystems import air_type, ecosystem_of
from ..resources.hashes import normal_hash
from ..resources.json_values import items, number, objects, whole
from .a1111.reader import fields_of_settings
from .a1111.resources import civitai_resource
from .comfy.reader import read_comfy, read_graph
from .generation import GenerationData, UsedResource, by_list
from .lookup import with_named_model, with_resolved
from .media_type import detected_type, direction
from .quantities import pixels, shown
from .resources import MOST, from_air, join, kind_of
from .tables import DECODER, decoded_object, may_hold, rest_of, take, word

# meta's names -> those of A1111's settings, which the same tables read.
_NAMES = {
    "sampler": "Sampler", "cfgScale": "CFG scale", "steps": "Steps", "seed": "Seed", "clipSkip": "Clip skip",
    "hashes": "Hashes", "denoise": "Denoising strength", "scheduler": "Schedule type",
}  # fmt: skip
_META_KEYS = frozenset(("negativePrompt", "cfgScale", "civitaiResources"))
# Above it JavaScript's numbers have gaps.
_EXACT = 2**53
_HIDDEN = "The uploader hid the settings of this image; CivitAI tells only what it resolved."
_UNKNOWN = "CivitAI shows no settings for this image: its uploader hid them, or there are none."
_NOTHING = "CivitAI says neither settings nor resources for this image: its uploader hid them, or there are none."


def generation_from_trpc(payload: Mapping[str, Any], image_id: int | None = None) -> GenerationData:
    """What the site's own route says. `resources` are told even when the settings are hidden."""
    notes: list[str] = []
    resolved = [used for entry in objects(payload.get("resources")) if (used := _resolved(entry, notes)) is not None]
    base = GenerationData(
        source="civitai",
        image_id=image_id,
        media_type=word(payload.get("type")) or "image",
        process=word(payload.get("process")) or "",
        techniques=_named(payload.get("techniques")),
        tools=_named(payload.get("tools")),
        extra=rest_of({k: payload.get(k) for k in ("onSite", "external", "remixOfId") if payload.get(k) is not None}),
    )
    meta = payload.get("meta")
    if isinstance(meta, Mapping) and meta:
        return _finished(base, meta, resolved, notes)
    # Weights and `external` only come out of settings, so there were some.
    weighed = any(entry.get("strength") is not None for entry in objects(payload.get("resources")))
    hidden = weighed or "external" in base.extra
    note = _HIDDEN if hidden else _UNKNOWN if resolved else _NOTHING
    data = with_resolved(replace(base, extra={**base.extra, "meta_hidden": True}) if hidden else base, resolved)
    return _without_settings(data, [*notes, note])


def generation_from_rest(entry: Mapping[str, Any]) -> GenerationData:
    """What the public route says: `meta` flat or wrapped twice, ComfyUI's graphs as text, resources only as ids."""
    notes: list[str] = []
    image_id = whole(entry.get("id"))
    meta = entry.get("meta")
    if isinstance(meta, Mapping) and set(meta) <= {"id", "meta"} and "meta" in meta:
        meta = meta["meta"]
    base = GenerationData(
        source="civitai-rest",
        image_id=image_id,
        media_type=word(entry.get("type")) or "image",
        base_model=word(entry.get("baseModel")) or "",
    )
    ids = [
        version_id for version_id in map(whole, items(entry.get("modelVersionIds"))) if version_id and version_id > 0
    ]
    if isinstance(meta, Mapping) and meta:
        data = _finished(base, meta, [], notes)
    else:
        data = _without_settings(base, [*notes, _UNKNOWN if ids else _NOTHING])
    known = {data.model_version_id, *(used.version_id for used in data.resources)}
    # The route gives no more than the ids: what they are, and how strong, a look-up has to tell.
    unnamed = (
        UsedResource("", kind="other", version_id=version_id, source="resources")
        for version_id in dict.fromkeys(ids)
        if version_id not in known
    )
    return replace(data, others=(*data.others, *unnamed))


def generation_from_meta(text: str) -> GenerationData | None:
    """An image's `meta` as JSON text; None when the text is none."""
    meta = decoded_object(text) if may_hold(text, _META_KEYS) else None
    if meta is None or _META_KEYS.isdisjoint(meta):
        return None
    return _finished(GenerationData(source="civitai-meta", media_type="image"), meta, [], [])


def _named(value: object) -> tuple[str, ...]:
    return tuple(name for entry in objects(value) if isinstance(name := entry.get("name"), str))


def _resolved(entry: Mapping[str, Any], notes: list[str]) -> UsedResource | None:
    """An entry of `resources`; a strength that is not said is 1."""
    version_id, model_id = whole(entry.get("modelVersionId", entry.get("versionId"))), whole(entry.get("modelId"))
    if not version_id or version_id < 0:
        notes.append(f"A resource is left out: {shown(dict(entry))} names no version.")
        return None
    model_type, base_model = word(entry.get("modelType")) or "", word(entry.get("baseModel")) or ""
    strength = number(entry.get("strength"))
    return UsedResource(
        air=_air(model_type, base_model, model_id, version_id),
        weight=1.0 if strength is None else strength,
        name=word(entry.get("modelName")) or "",
        kind=kind_of(model_type),
        version_id=version_id,
        source="resources",
        model_id=model_id,
        version_name=word(entry.get("versionName")) or "",
        base_model=base_model,
    )


def _air(model_type: str, base_model: str, model_id: int | None, version_id: int) -> str:
    """As CivitAI composes it; `""` where a part is not known."""
    kind, ecosystem = air_type(model_type), ecosystem_of(base_model)
    if not model_id or kind == "unknown" or not ecosystem.replace("_", "").replace("-", "").isalnum():
        return ""
    return str(Air(ecosystem, kind, "civitai", str(model_id), str(version_id)))


def _without_settings(data: GenerationData, notes: list[str]) -> GenerationData:
    return replace(data, notes=(*data.notes, *notes), detected_type=detected_type(data))


def _finished(
    base: GenerationData, meta: Mapping[str, Any], resolved: list[UsedResource], notes: list[str]
) -> GenerationData:
    settings = {str(key): value for key, value in meta.items()}
    graph = _graph(settings.pop("comfy", None), notes)
    fields = _fields(settings, notes)
    extra = {**base.extra, **fields.pop("extra", {})}
    texts = {"meta": json.dumps(meta, ensure_ascii=False, default=str)}
    data = replace(base, **{**fields, "extra": extra, "texts": texts})
    if graph is not None:
        data = _with_graph(data, graph)
    data = with_resolved(with_named_model(data), resolved)
    if data.seed is not None and abs(data.seed) > _EXACT:
        notes.append(f"CivitAI keeps seeds above {_EXACT} rounded, so {data.seed} may not be the one that was used.")
    workflow = settings.get("workflow")
    if (direction(data.process) or direction(workflow)) == "v2v":
        notes.append("This video was made from a video; it is told as i2v.")
    graph_type = graph.detected_type if graph is not None else ""
    kind = detected_type(data, workflow=workflow, meta=settings, graph=graph_type)
    return replace(data, detected_type=kind, notes=(*data.notes, *notes))


def _fields(settings: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """meta's members as fields; what has none stays under its own name."""
    prompt, negative = (word(settings.pop(name, None)) or "" for name in ("prompt", "negativePrompt"))
    engine = word(settings.get("engine")) or ""
    size = take(settings, (("width", "width", pixels), ("height", "height", pixels)), notes)
    pairs = {_NAMES.get(key, key): value for key, value in settings.items() if value is not None and value != ""}
    listed = pairs.pop("resources", None)
    on_site, added = pairs.pop("civitaiResources", None), pairs.pop("additionalResources", None)
    files = {key: pairs.pop(key, None) for key in ("models", "upscalers", "vaes", "controlNets")}
    if len(size) == 2:
        pairs.pop("Size", None)
    resources = [*_on_site(on_site, notes), *_added(added, notes), *_meta_resources(listed, notes)]
    vaes, vae_airs = [], []
    for name in _names(files["vaes"]):
        (vae_airs if from_air(name) else vaes).append(name)
    listed_files = (
        ("upscaler", files["upscalers"]),
        ("controlnet", files["controlNets"]),
        ("checkpoint", files["models"]),
    )
    for kind, names in (*listed_files, ("vae", vae_airs)):
        resources += [UsedResource("", 1.0, name, kind, source="comfy") for name in _names(names)]
    fields = fields_of_settings(prompt, negative, pairs, notes, resources)
    fields.update(size)
    if engine:
        fields["engine"] = engine
    if vaes:
        fields.setdefault("vae", vaes[0])
    return fields


def _names(value: object) -> list[str]:
    return [name for name in items(value) if isinstance(name, str) and name]


def _on_site(value: object, notes: list[str]) -> list[UsedResource]:
    """`civitaiResources`: what CivitAI's own generator used, by version or AIR."""
    resources = []
    for entry in objects(value)[:MOST]:
        if (used := civitai_resource(entry, "civitai_resources", notes)) is None:
            notes.append(f"An entry of civitaiResources is left out: {shown(dict(entry))} names no version.")
        else:
            resources.append(used)
    return resources


def _added(value: object, notes: list[str]) -> list[UsedResource]:
    """`additionalResources`: the LoRA loaders of a ComfyUI graph."""
    resources = []
    for entry in objects(value)[:MOST]:
        name = word(entry.get("name")) or ""
        weight, clip = _weight(entry.get("strength"), name, notes), number(entry.get("strengthClip"))
        by_air = civitai_resource({"air": entry["air"]}, "comfy", notes) if word(entry.get("air")) else None
        used = by_air or UsedResource("", source="comfy", kind=kind_of(entry.get("type", "lora")))
        weight = 1.0 if weight is None else weight
        resources.append(replace(used, name=name, weight=weight, clip_weight=None if clip == weight else clip))
    return list(join(resources, each=True))


def _meta_resources(value: object, notes: list[str]) -> list[UsedResource]:
    """`meta.resources`: what the uploader's text named, by name and hash."""
    resources = []
    for entry in objects(value)[:MOST]:
        name = word(entry.get("name")) or ""
        weight = _weight(entry.get("weight"), name, notes)
        hash, kind = normal_hash(entry.get("hash")), kind_of(entry.get("type"))
        if name or hash:
            source = "hashes" if weight is None else "meta_resources"
            resources.append(UsedResource("", 1.0 if weight is None else weight, name, kind, hash=hash, source=source))
    return resources


def _weight(value: object, name: str, notes: list[str]) -> float | None:
    weight = number(value)
    if value is not None and weight is None:
        notes.append(f"The weight of {name[:60]} (1 stands in) is not known: {shown(value)}.")
    return weight


def _graph(comfy: object, notes: list[str]) -> GenerationData | None:
    """meta's `comfy`: an object, or its text as the public route gives it, invalid JSON included."""
    if isinstance(comfy, str) and comfy.strip():
        try:
            comfy = DECODER.decode(comfy)
        except (ValueError, RecursionError):
            mended = comfy.replace(":undefined", ":null").replace(": undefined", ": null")
            try:
                comfy = DECODER.decode(mended)
            except (ValueError, RecursionError):
                notes.append("The ComfyUI graph that CivitAI keeps is broken; it could not be read.")
                return None
    if not isinstance(comfy, Mapping):
        return None
    prompt, workflow = comfy.get("prompt"), comfy.get("workflow")
    if isinstance(prompt, Mapping) and (data := read_graph(prompt)) is not None:
        return data
    texts = [graph if isinstance(graph, str) else json.dumps(graph) if graph else "" for graph in (prompt, workflow)]
    return read_comfy(*texts)


def _with_graph(data: GenerationData, graph: GenerationData) -> GenerationData:
    """The data with what only the graph can say: networks with both weights, and every field that meta left out."""
    fields: dict[str, Any] = {}
    for name in ("prompt", "negative_prompt", "seed", "steps", "cfg", "sampler", "scheduler", "width", "height",
                 "clip_skip", "denoise", "guidance", "vae", "upscale", "model_name", "model_air"):  # fmt: skip
        if getattr(data, name) in (None, "") and getattr(graph, name) not in (None, ""):
            fields[name] = getattr(graph, name)
    if data.model_name or data.model_version_id is not None:
        fields.pop("model_name", None), fields.pop("model_air", None)
    # What meta's own prompt names is named by the graph's once more: it is one mention, not two.
    twice = {name for name in ("prompt", "negative_prompt") if getattr(data, name)}
    listed = [used for used in graph.resources if used.source not in twice]
    models = {name.casefold() for name in (data.model_name, graph.model_name) if name}
    fields.update(by_list(join(used for used in (*listed, *data.resources) if not _is_model(used, models))))
    return replace(data, **fields, notes=(*data.notes, *graph.notes))


def _is_model(used: UsedResource, names: set[str]) -> bool:
    """Whether a checkpoint has one of these names, with or without its extension."""
    name = used.name.casefold()
    return used.kind == "checkpoint" and (name in names or name.rpartition(".")[0] in names)
