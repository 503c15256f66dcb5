"""What made an image on CivitAI, and for each resource whether it is here: the answer of `GET /admin/civitai/image`
(facts/catalog.md, site-api §8.1).

    resources      what CivitAI itself resolved, as it says it
    detected_deps  what hides in prompts, hashes, graphs and the settings' own lists, and stands in no resource
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .catalog.service import CatalogService
from .errors import BadInput
from .metadata.generation import GenerationData, UsedResource
from .metadata.prompt import clean_prompt
from .resources.addresses import SITE, download_url
from .resources.json_values import whole
from .resources.version import ModelFile, ModelVersion
from .website import GenerationPayload, ImageData, Lookups, PublicImage

_LORA_TYPES = ("LORA", "LoCon", "DoRA")


@dataclass(frozen=True)
class _Part:
    """A resource, what CivitAI says of it where it was asked, and the members of its status."""

    network: UsedResource
    resource: ModelVersion | None
    status: Mapping[str, Any]


async def image_answer(found: ImageData, desk: CatalogService) -> dict[str, Any]:
    """The whole answer. `process` is `""` where CivitAI says none; `techniques` and `tools` are its own objects, empty
    where only the public list was to be had; `report` is ours."""
    answer, data = found.answer, found.data
    if answer is None:
        raise BadInput("A file has no entry on CivitAI; only an image there can be asked for.")
    told = _told(answer, data)
    wanted = (*told, *_model(told, data), *found.detected)
    checked = (await desk.check(wanted)).answers
    parts = [
        _Part(network, one.resource or _remembered(desk.lookups, network), one.located.as_json())
        for network, one in zip(wanted, checked, strict=True)
    ]
    trpc = isinstance(answer, GenerationPayload)
    if trpc:
        raw: Any = {"result": {"data": {"json": answer.raw}}}
        entries = [_as_told(entry) for entry in answer.resources]
    else:
        raw = answer.raw
        entries = [_as_known(answer.image_id, part) for part in parts[: len(told)]]
    return {
        "raw": raw,
        "resources": [{**entry, **part.status} for entry, part in zip(entries, parts, strict=False)],
        "detected_deps": [_dependency(part) for part in parts[len(told) :]],
        "clean_prompt": clean_prompt(data.prompt),
        "meta": answer.meta or {},
        "type": answer.type,
        "process": data.process,
        "techniques": answer.techniques if trpc else (),
        "tools": answer.tools if trpc else (),
        "detected_type": data.detected_type or "unknown",
        "report": found.report,
    }


def _told(answer: GenerationPayload | PublicImage, data: GenerationData) -> tuple[UsedResource, ...]:
    """What CivitAI itself resolved, in its order; one value for each entry of its answer."""
    if isinstance(answer, GenerationPayload):
        ids = [whole(one.get("modelVersionId", one.get("versionId"))) for one in answer.resources]
        return tuple(UsedResource("", version_id=one, kind="other") for one in ids)
    said = {one.version_id: one for one in (*filter(None, (data.model,)), *data.resources)}
    return tuple(
        said.get(one) or UsedResource("", version_id=one, kind="other") for one in dict.fromkeys(answer.version_ids)
    )


def _model(told: Iterable[UsedResource], data: GenerationData) -> tuple[UsedResource, ...]:
    """The model, where the settings name it and CivitAI did not resolve it."""
    ids = {one.version_id for one in told} - {None}
    model = data.model
    return (model,) if model is not None and model.version_id not in ids else ()


def _remembered(lookups: Lookups, one: UsedResource) -> ModelVersion | None:
    """What the reader of the image asked a moment ago."""
    key = one.version_id
    return lookups.recall(key) if key is not None and lookups.remembered(key) else None


def _as_told(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of CivitAI's `resources`; without a strength, a LoRA has 1."""
    strength = entry.get("strength")
    if strength is None and entry.get("modelType") in _LORA_TYPES:
        strength = 1.0
    return {**entry, "versionId": entry.get("versionId", entry.get("modelVersionId")), "strength": strength}


def _as_known(image_id: int, part: _Part) -> dict[str, Any]:
    """The same members for a version that the public list names by its id alone."""
    one, resource = part.network, part.resource
    kind = (resource.model_type or resource.type) if resource else one.kind
    return {
        "imageId": image_id,
        "modelVersionId": one.version_id,
        "versionId": one.version_id,
        "modelId": resource.model_id if resource else one.model_id,
        "modelName": resource.name if resource else one.name,
        "modelType": kind,
        "versionName": resource.version_name if resource else one.version_name,
        "baseModel": resource.base_model if resource else one.base_model,
        "strength": one.weight if kind in (*_LORA_TYPES, "lora", "lyco") else None,
    }


def _dependency(part: _Part) -> dict[str, Any]:
    one, resource = part.network, part.resource
    found: dict[str, Any] = {"name": one.name or one.air or one.hash, "type": one.kind}
    if one.source != "hashes":  # a list of hashes says no weight
        found["weight"] = one.weight
        if one.clip_weight is not None:
            found["weight_clip"] = one.clip_weight
    found |= {"hash": one.hash, "source": one.source, **part.status}
    if resource is not None:
        file = _file_of(resource, one.hash)
        found |= {
            "civitai_model_id": resource.model_id,
            "civitai_version_id": resource.version_id,
            "civitai_model_name": resource.name,
            "civitai_version_name": resource.version_name,
            "civitai_base_model": resource.base_model,
            "civitai_type": resource.model_type or resource.type,
            "civitai_file": file.name if file else None,
            "civitai_download_url": download_url(SITE, resource.version_id, file.id) if file else None,
        }
    return found


def _file_of(resource: ModelVersion, hash_: str) -> ModelFile | None:
    """The file that a hash names, twelve digits by their first ten (site-api §4); else the primary one."""
    for file in resource.files:
        if hash_ and any(value.lower() in (hash_, hash_[:10]) for value in file.hashes.values()):
            return file
    return resource.primary
