"""What made an image on CivitAI, and for each resource whether it is here: the answer of `GET /admin/civitai/image`.

resources      what CivitAI itself resolved, as it says it
detected_deps  what hides in prompts, hashes, graphs and the settings' own lists, and stands in no resource
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..catalog.service import CatalogService
from ..errors import BadInput
from ..metadata.generation import GenerationData, UsedResource
from ..metadata.prompt import clean_prompt
from ..resources.addresses import SITE, download_url
from ..resources.json_values import whole
from ..resources.version import ModelVersion
from ..website import GenerationPayload, ImageData, Lookups, PublicImage

_LORA_TYPES = ("LORA", "LoCon", "DoRA")


@dataclass(frozen=True)
class _Part:
    """A resource, what CivitAI says of it where it was asked, and the members of its status."""

    used: UsedResource
    version: ModelVersion | None
    status: Mapping[str, Any]


async def image_answer(image: ImageData, catalog: CatalogService) -> dict[str, Any]:
    """The whole answer. `process` is `""` where CivitAI says none; `techniques` and `tools` are its own objects, empty
    where only the public list was to be had; `report` is ours."""
    answer, data = image.answer, image.data
    if answer is None:
        raise BadInput("A file has no entry on CivitAI; only an image there can be asked for.")
    resolved = _resolved(answer, data)
    resources = (*resolved, *_model(resolved, data), *image.detected)
    checked = (await catalog.check(resources)).answers
    parts = [
        _Part(used, each.version or _remembered(catalog.lookups, used), each.located.as_json())
        for used, each in zip(resources, checked, strict=True)
    ]
    is_trpc = isinstance(answer, GenerationPayload)
    if is_trpc:
        raw: Any = {"result": {"data": {"json": answer.raw}}}
        by_version = {used.version_id: used for used in data.networks if used.version_id is not None}
        entries = [_as_answered(entry, by_version) for entry in answer.resources]
    else:
        raw = answer.raw
        entries = [_as_known(answer.image_id, part) for part in parts[: len(resolved)]]
    return {
        "raw": raw,
        "resources": [{**entry, **part.status} for entry, part in zip(entries, parts, strict=False)],
        "detected_deps": [_dependency(part) for part in parts[len(resolved) :]],
        "clean_prompt": clean_prompt(data.prompt),
        "meta": answer.meta or {},
        "type": answer.type,
        "process": data.process,
        "techniques": answer.techniques if is_trpc else (),
        "tools": answer.tools if is_trpc else (),
        "detected_type": data.detected_type or "unknown",
        "report": image.report,
    }


def _resolved(answer: GenerationPayload | PublicImage, data: GenerationData) -> tuple[UsedResource, ...]:
    """What CivitAI itself resolved, in its order; one value for each entry of its answer."""
    if isinstance(answer, GenerationPayload):
        ids = [whole(entry.get("modelVersionId", entry.get("versionId"))) for entry in answer.resources]
        return tuple(UsedResource("", version_id=version_id, kind="other") for version_id in ids)
    by_version = {used.version_id: used for used in (*filter(None, (data.model,)), *data.resources)}
    return tuple(
        by_version.get(version_id) or UsedResource("", version_id=version_id, kind="other")
        for version_id in dict.fromkeys(answer.version_ids)
    )


def _model(resolved: Iterable[UsedResource], data: GenerationData) -> tuple[UsedResource, ...]:
    """The model, where the settings name it and CivitAI did not resolve it."""
    ids = {used.version_id for used in resolved} - {None}
    model = data.model
    return (model,) if model is not None and model.version_id not in ids else ()


def _remembered(lookups: Lookups, used: UsedResource) -> ModelVersion | None:
    """What the reader of the image asked a moment ago."""
    key = used.version_id
    return lookups.recall(key) if key is not None and lookups.remembered(key) else None


def _as_answered(entry: Mapping[str, Any], networks: Mapping[int, UsedResource]) -> dict[str, Any]:
    """An entry of CivitAI's `resources` with the weight that made the picture: the prompt's or the graph's where they
    name the network, else CivitAI's own, which stays as `civitai_strength`; without any, a LoRA has 1."""
    version_id = entry.get("versionId", entry.get("modelVersionId"))
    strength = entry.get("strength")
    weights: dict[str, Any] = {"strength": strength}
    used = networks.get(whole(version_id) or 0)
    if used is not None and used.source not in ("resources", "hashes"):
        weights = {"strength": used.weight, "strength_source": used.source, **_more_weights(used)}
    elif strength is None and entry.get("modelType") in _LORA_TYPES:
        weights = {"strength": 1.0}
    if weights["strength"] != strength:
        weights["civitai_strength"] = strength
    return {**entry, "versionId": version_id, **weights}


def _more_weights(used: UsedResource) -> dict[str, Any]:
    """The text encoder's weight where it is another, and all weights of a network that is named more than once."""
    weights: dict[str, Any] = {} if used.clip_weight is None else {"strength_clip": used.clip_weight}
    return weights | ({"weights": [used.weight, *(weight for weight, _ in used.again)]} if used.again else {})


def _as_known(image_id: int, part: _Part) -> dict[str, Any]:
    """The members of such an entry for a version that the public list names by its id alone."""
    used, version = part.used, part.version
    kind = (version.model_type or version.type) if version else used.kind
    return {
        "imageId": image_id,
        "modelVersionId": used.version_id,
        "versionId": used.version_id,
        "modelId": version.model_id if version else used.model_id,
        "modelName": version.name if version else used.name,
        "modelType": kind,
        "versionName": version.version_name if version else used.version_name,
        "baseModel": version.base_model if version else used.base_model,
        "strength": used.weight if kind in (*_LORA_TYPES, "lora", "lyco") else None,
    }


def _dependency(part: _Part) -> dict[str, Any]:
    """An entry of `detected_deps`: the members `civitai_…` as far as they are known."""
    used, version = part.used, part.version
    weights: dict[str, Any] = {}
    if used.source != "hashes":  # a list of hashes says no weight
        weights["weight"] = used.weight
        if used.clip_weight is not None:
            weights["weight_clip"] = used.clip_weight
        if used.again:
            weights["weights"] = [used.weight, *(weight for weight, _ in used.again)]
    name = used.name or used.air or used.hash or (version.title if version else f"version {used.version_id}")
    named = {"name": name, "type": used.kind}
    return {**named, **weights, "hash": used.hash, "source": used.source, **part.status, **_as_stated(version, used)}


def _as_stated(version: ModelVersion | None, used: UsedResource) -> dict[str, Any]:
    """What CivitAI says of a dependency's version and file."""
    if version is None:
        ids = {"civitai_model_id": used.model_id, "civitai_version_id": used.version_id}
        return {name: value for name, value in ids.items() if value}
    file = (version.file_of_hash(used.hash) if used.hash else None) or version.primary
    return {
        "civitai_model_id": version.model_id,
        "civitai_version_id": version.version_id,
        "civitai_model_name": version.name,
        "civitai_version_name": version.version_name,
        "civitai_base_model": version.base_model,
        "civitai_type": version.model_type or version.type,
        "civitai_file": file.name if file else None,
        "civitai_download_url": download_url(SITE, version.version_id, file.id) if file else None,
    }
