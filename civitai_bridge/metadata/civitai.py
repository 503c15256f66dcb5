"""What CivitAI's routes say about an image -> GenerationData, from bodies that are decoded already.

`generation_from_trpc`  the payload of `image.getGenerationData`   (facts/site-api.md §1.5-1.7)
`generation_from_rest`  an item of `GET /api/v1/images`            (§1.8, §3.5)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..resources.air import Air
from ..resources.ecosystems import air_type, ecosystem_of
from ..resources.hashes import normal_hash
from ..resources.json_values import number, whole
from .a1111.reader import fields_of_settings
from .a1111.resources import civitai_resource
from .comfy.reader import read_comfy, read_graph
from .generation import GenerationData, UsedResource, by_list
from .lookup import with_resolved
from .media_type import detected_type, direction
from .quantities import pixels, shown
from .resources import join, kind_of
from .tables import DECODER, kept, objects, take, word

# meta's names -> those of A1111's settings, which the same tables read.
_NAMES = {
    "sampler": "Sampler", "cfgScale": "CFG scale", "steps": "Steps", "seed": "Seed", "clipSkip": "Clip skip",
    "hashes": "Hashes", "denoise": "Denoising strength", "scheduler": "Schedule type",
}  # fmt: skip
# Above it JavaScript's numbers have gaps (facts/site-api.md §1.7).
_EXACT = 2**53
_HIDDEN = "The uploader hid the settings of this image; CivitAI tells only what it resolved."
_UNKNOWN = "CivitAI shows no settings for this image: its uploader hid them, or there are none."
_NOTHING = "CivitAI says neither settings nor resources for this image: its uploader hid them, or there are none."


def generation_from_trpc(payload: Mapping[str, Any], image_id: int | None = None) -> GenerationData:
    """What the site's own route says. `resources` are told even when the settings are hidden."""
    notes: list[str] = []
    resolved = [one for item in objects(payload.get("resources")) if (one := _resolved(item, notes)) is not None]
    base = GenerationData(
        source="civitai",
        image_id=image_id,
        media_type=word(payload.get("type")) or "image",
        process=word(payload.get("process")) or "",
        techniques=_named(payload.get("techniques")),
        tools=_named(payload.get("tools")),
        extra=kept({k: payload.get(k) for k in ("onSite", "external", "remixOfId") if payload.get(k) is not None}),
    )
    meta = payload.get("meta")
    if isinstance(meta, Mapping) and meta:
        return _weightless(_finished(base, meta, resolved, notes), payload)
    # Weights and `external` only come out of settings, so there were some (facts/site-api.md §1.5).
    weighed = any(item.get("strength") is not None for item in objects(payload.get("resources")))
    said = _HIDDEN if weighed or "external" in base.extra else _UNKNOWN if resolved else _NOTHING
    return _weightless(_without_settings(base, resolved, [*notes, said]), payload)


def generation_from_rest(item: Mapping[str, Any]) -> GenerationData:
    """What the public route says: `meta` flat or wrapped twice, ComfyUI's graphs as text, resources only as ids."""
    notes: list[str] = []
    image_id = whole(item.get("id"))
    meta = item.get("meta")
    if isinstance(meta, Mapping) and set(meta) <= {"id", "meta"} and "meta" in meta:
        meta = meta["meta"]
    base = GenerationData(
        source="civitai-rest",
        image_id=image_id,
        media_type=word(item.get("type")) or "image",
        base_model=word(item.get("baseModel")) or "",
    )
    ids = item.get("modelVersionIds")
    told = [one for one in map(whole, ids if isinstance(ids, list) else ()) if one and one > 0]
    if isinstance(meta, Mapping) and meta:
        data = _finished(base, meta, [], notes)
    else:
        data = _without_settings(base, [], [*notes, _UNKNOWN if told else _NOTHING])
    known = {data.model_version_id, *(one.version_id for one in data.resources)}
    # The route gives no more than the ids: what they are, and how strong, a look-up has to tell.
    more = (UsedResource("", kind="other", version_id=one, source="resources") for one in dict.fromkeys(told))
    return replace(data, others=(*data.others, *(one for one in more if one.version_id not in known)))


def _named(value: object) -> tuple[str, ...]:
    return tuple(name for one in objects(value) if isinstance(name := one.get("name"), str))


def _resolved(item: Mapping[str, Any], notes: list[str]) -> UsedResource | None:
    """An entry of `resources`; a strength that is not said is 1 (facts/site-api.md §1.5)."""
    version, model = whole(item.get("modelVersionId", item.get("versionId"))), whole(item.get("modelId"))
    if not version or version < 0:
        notes.append(f"A resource is left out: {shown(dict(item))} names no version.")
        return None
    kind, base = word(item.get("modelType")) or "", word(item.get("baseModel")) or ""
    strength = number(item.get("strength"))
    return UsedResource(
        air=_air(kind, base, model, version),
        weight=1.0 if strength is None else strength,
        name=word(item.get("modelName")) or "",
        kind=kind_of(kind),
        version_id=version,
        source="resources",
        model_id=model,
        version_name=word(item.get("versionName")) or "",
        base_model=base,
    )


def _air(model_type: str, base_model: str, model_id: int | None, version_id: int) -> str:
    """As CivitAI composes it (facts/site-api.md §5.2); `""` where a part is not known."""
    kind, ecosystem = air_type(model_type), ecosystem_of(base_model)
    if not model_id or kind == "unknown" or not ecosystem.replace("_", "").replace("-", "").isalnum():
        return ""
    return str(Air(ecosystem, kind, "civitai", str(model_id), str(version_id)))


def _without_settings(base: GenerationData, resolved: list[UsedResource], notes: list[str]) -> GenerationData:
    hidden = {"meta_hidden": True} if _HIDDEN in notes else {}
    data = with_resolved(replace(base, extra={**base.extra, **hidden}), resolved)
    return replace(data, notes=(*data.notes, *notes), detected_type=detected_type(data))


def _finished(
    base: GenerationData, meta: Mapping[str, Any], resolved: list[UsedResource], notes: list[str]
) -> GenerationData:
    said = {str(key): value for key, value in meta.items()}
    graph = _graph(said.pop("comfy", None), notes)
    fields = _fields(said, notes)
    extra = {**base.extra, **fields.pop("extra", {})}
    texts = {"meta": json.dumps(meta, ensure_ascii=False, default=str)}
    data = replace(base, **{**fields, "extra": extra, "texts": texts})
    if graph is not None:
        data = _with_graph(data, graph)
    data = with_resolved(data, resolved)
    if data.seed is not None and abs(data.seed) > _EXACT:
        notes.append(f"CivitAI keeps seeds above {_EXACT} rounded, so {data.seed} may not be the one that was used.")
    workflow = said.get("workflow")
    if direction(data.process) == "v2v" or (not direction(data.process) and direction(workflow) == "v2v"):
        notes.append("This video was made from a video; it is told as i2v.")
    kind = detected_type(data, workflow=workflow, meta=said, graph=graph.detected_type if graph is not None else "")
    return replace(data, detected_type=kind, notes=(*data.notes, *notes))


def _weightless(data: GenerationData, payload: Mapping[str, Any]) -> GenerationData:
    """The data with a note of the networks whose strength CivitAI does not know: those of a list of hashes, and the
    version of the image's post (facts/site-api.md §1.5)."""
    unsaid = {
        whole(one.get("modelVersionId", one.get("versionId")))
        for one in objects(payload.get("resources"))
        if number(one.get("strength")) is None
    }
    names = [
        (one.name or one.air or f"version {one.version_id}")[:80]
        for one in data.networks
        if one.source == "resources" and one.version_id in unsaid
    ]
    if not names:
        return data
    return replace(data, notes=(*data.notes, f"CivitAI says no weight for {', '.join(names[:20])}; 1 stands in."))


def _fields(said: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """meta's members as fields; what has none stays under its own name."""
    prompt, negative = (word(said.pop(name, None)) or "" for name in ("prompt", "negativePrompt"))
    engine = word(said.get("engine")) or ""
    size = take(said, (("width", "width", pixels), ("height", "height", pixels)), notes)
    pairs = {_NAMES.get(key, key): value for key, value in said.items() if value is not None and value != ""}
    listed = pairs.pop("resources", None)
    on_site, added = pairs.pop("civitaiResources", None), pairs.pop("additionalResources", None)
    files = {key: pairs.pop(key, None) for key in ("models", "upscalers", "vaes", "controlNets")}
    if len(size) == 2:
        pairs.pop("Size", None)
    more = [*_civitai(on_site, notes), *_added(added, notes), *_meta_resources(listed, notes)]
    for key, kind in (("upscalers", "upscaler"), ("controlNets", "controlnet"), ("models", "checkpoint")):
        more += [UsedResource("", 1.0, name, kind, source="comfy") for name in _words(files[key])]
    fields = fields_of_settings(prompt, negative, pairs, notes, more)
    fields.update(size)
    if engine:
        fields["engine"] = engine
    if vaes := _words(files["vaes"]):
        fields.setdefault("vae", vaes[0])
    return fields


def _words(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []


def _civitai(value: object, notes: list[str]) -> list[UsedResource]:
    found = []
    for item in objects(value):
        if (one := civitai_resource(item, "civitai_resources", notes)) is None:
            notes.append(f"An entry of civitaiResources is left out: {shown(dict(item))} names no version.")
        else:
            found.append(one)
    return found


def _added(value: object, notes: list[str]) -> list[UsedResource]:
    """`additionalResources`: the LoRA loaders of a ComfyUI graph."""
    found = []
    for item in objects(value):
        name, weight, clip = (
            word(item.get("name")) or "",
            number(item.get("strength")),
            number(item.get("strengthClip")),
        )
        if item.get("strength") is not None and weight is None:
            notes.append(f"The weight of {name[:60]} (1 stands in) is not known: {shown(item['strength'])}.")
        one = civitai_resource({"air": item["air"]}, "comfy", notes) if word(item.get("air")) else None
        one = one or UsedResource("", source="comfy", kind=kind_of(item.get("type", "lora")))
        weight = 1.0 if weight is None else weight
        found.append(replace(one, name=name, weight=weight, clip_weight=None if clip == weight else clip))
    return list(join(found, each=True))


def _meta_resources(value: object, notes: list[str]) -> list[UsedResource]:
    """`meta.resources`: what the uploader's text named, by name and hash."""
    found = []
    for item in objects(value):
        name, weight = word(item.get("name")) or "", number(item.get("weight"))
        if item.get("weight") is not None and weight is None:
            notes.append(f"The weight of {name[:60]} (1 stands in) is not known: {shown(item['weight'])}.")
        hash, kind = normal_hash(item.get("hash")), kind_of(item.get("type"))
        if name or hash:
            source = "hashes" if weight is None else "meta_resources"
            found.append(UsedResource("", 1.0 if weight is None else weight, name, kind, hash=hash, source=source))
    return found


def _graph(comfy: object, notes: list[str]) -> GenerationData | None:
    """meta's `comfy`: an object, or its text as the public route gives it, invalid JSON included (§1.8)."""
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
    if isinstance(prompt, Mapping) and (found := read_graph(prompt)) is not None:
        return found
    texts = [one if isinstance(one, str) else json.dumps(one) if one else "" for one in (prompt, workflow)]
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
    listed = [one for one in graph.resources if one.source not in twice]
    listed += data.resources
    models = {one.casefold() for one in (data.model_name, graph.model_name) if one}
    listed = [
        one for one in listed if not (one.kind == "checkpoint" and one.name.rpartition(".")[0].casefold() in models)
    ]
    fields.update(by_list(join(one for one in listed if one.name.casefold() not in models or one.kind != "checkpoint")))
    return replace(data, **fields, notes=(*data.notes, *graph.notes))
