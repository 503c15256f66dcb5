"""The whole road from a picture to what made it: a reference or a file -> `GenerationData` and a report.

    reference -> what CivitAI says of the image (its generation data with a key, its public list without one)
              -> one value, in which no resource stands twice
              -> what only an id or a hash names, looked up
              -> a report that says which source gave what

Where CivitAI gives no settings, the image's file is not fetched to get them: hidden and absent look alike, and what an
uploader hid stays hidden.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..metadata.civitai import generation_from_rest, generation_from_trpc
from ..metadata.generation import GenerationData, UsedResource
from ..metadata.lookup import answered, described, hash_questions, unnamed_versions
from ..metadata.media_type import detected_type
from ..metadata.read import read_file
from ..metadata.resources import kind_of
from ..resources.addresses import SITE_HOSTS
from ..resources.reference import ImageReference, PostReference, read_image_reference
from ..resources.version import ModelVersion
from .client import SiteClient
from .images import GenerationPayload, ImageClient, PublicImage
from .lookup import Identified, Lookups, describe, identify

_MOST_LISTED = 20
_KINDS = {
    "lora": "LoRA", "lyco": "LyCORIS", "hypernet": "hypernetwork", "embedding": "embedding", "checkpoint": "checkpoint",
    "refiner": "refiner", "vae": "VAE", "upscaler": "upscaler", "controlnet": "ControlNet", "other": "resource",
}  # fmt: skip
_SOURCES = {
    "prompt": "the prompt", "negative_prompt": "the negative prompt", "hashes": "the list of hashes",
    "comfy": "the ComfyUI graph", "civitai_resources": "CivitAI's own list in the settings",
    "meta_resources": "the uploader's list of resources", "resources": "CivitAI", "file": "the file's settings",
}  # fmt: skip


@dataclass(frozen=True)
class ImageData:
    """What is known of a picture. `report` are lines for a person; `answer` is what CivitAI said, None for a file;
    `others` are the ids of the further images of a post."""

    data: GenerationData
    report: tuple[str, ...]
    answer: GenerationPayload | PublicImage | None = None
    others: tuple[int, ...] = ()

    @property
    def detected(self) -> tuple[UsedResource, ...]:
        """The dependencies that no resource accounts for that CivitAI itself resolved (facts/site-api.md §8.1)."""
        data, told = self.data, _resolved_ids(self.answer)
        return tuple(one for one in _parts(data) if one.version_id is None or one.version_id not in told)


async def fetch_image_data(
    text: str,
    images: ImageClient,
    site: SiteClient,
    lookups: Lookups | None = None,
    *,
    hosts: frozenset[str] = SITE_HOSTS,
) -> ImageData:
    """What CivitAI knows of an image that is named by its id, its address or its post's address.

    Raises UnknownReference before anything is asked, for an address that is no image of CivitAI; NotFound,
    Unauthorized, Forbidden, RateLimited, … as the service says it. A look-up that fails costs no more than its answer:
    the report says so."""
    lookups = lookups or Lookups()
    match read_image_reference(text, hosts=hosts):
        case ImageReference(image_id):
            answer, others, lines = await lookups.image(images, image_id), (), ()
        case PostReference(post_id):
            first, *rest = await images.images_of_post(post_id)
            answer = await lookups.image(images, first.image_id) if images.has_key else first
            others = tuple(image.image_id for image in rest)
            lines = _of_post(post_id, first.image_id, others)
    if isinstance(answer, GenerationPayload):
        data = generation_from_trpc(answer.raw, answer.image_id)
    else:
        data = generation_from_rest(answer.raw)
    start = (f"Image {answer.image_id}: {answer.source} says what follows.", *lines, *_access(answer, images))
    told = data
    data, looked = await look_up(told, site, lookups)
    data = _typed(told, data)
    weightless = () if isinstance(answer, GenerationPayload) else _weightless(data)
    lines = (*start, *summary(data), *looked, *weightless, *_hashed(data), *data.notes)
    return ImageData(data, lines, answer, others)


async def read_file_data(
    source: bytes | str | os.PathLike[str], site: SiteClient | None = None, lookups: Lookups | None = None
) -> ImageData:
    """What a picture file says, and with `site` what CivitAI knows of the resources that it names.

    OSError is the caller's."""
    data = await asyncio.to_thread(read_file, source)
    name = "The file" if isinstance(source, bytes) else os.path.basename(os.fspath(source))
    start = (f"{name} itself says what follows; CivitAI was not asked for its image.",)
    data, looked = (data, ()) if site is None else await look_up(data, site, lookups or Lookups())
    return ImageData(data, (*start, *summary(data), *looked, *_hashed(data), *data.notes))


async def look_up(
    data: GenerationData, site: SiteClient, lookups: Lookups | None = None
) -> tuple[GenerationData, tuple[str, ...]]:
    """The data with every resource named that only an id or a hash names, and lines that say what was found how.

    Ids come first: a version's files tell their hashes, so that fewer hashes are left to be asked."""
    lookups = lookups or Lookups()
    lines: list[str] = []
    if wanted := unnamed_versions(data):
        found = await describe(site, wanted, lookups)
        data = described(data, {key: _network(one) for key, one in found.items() if one is not None})
        lines += _misses(found, {key: f"version {key}" for key in wanted})
    if questions := hash_questions(data):
        names = {one.hash: f"{_KINDS[one.kind]} {one.name[:80] or 'without a name'}" for one in questions}
        by_hash = await identify(site, names, lookups)
        known = {key: _network(one) for key, one in by_hash.items() if one is not None}
        data = answered(data, known)
        lines += [f"Found by hash {key}: {names[key]} is {_title(known[key])}." for key in names if key in known]
        lines += _misses(by_hash, {key: f"{said} by hash {key}" for key, said in names.items()})
    return data, tuple(lines)


def summary(data: GenerationData) -> tuple[str, ...]:
    """Model, resources and type in lines, each resource with its place of origin."""
    lines = []
    name = data.model_name or data.model_air or (f"version {data.model_version_id}" if data.model_version_id else "")
    if name:
        base = f" ({data.base_model})" if data.base_model else ""
        lines.append(f"Model: {name[:120]}{base}{'' if _known(data) else ', not known on CivitAI'}.")
    parts = _parts(data)
    for one in parts[:_MOST_LISTED]:
        lines.append(
            f"{_KINDS[one.kind]} {_title(one)}{_weight(one)}, from {_SOURCES.get(one.source, 'the data')}{_bare(one)}."
        )
    if len(parts) > _MOST_LISTED:
        lines.append(f"… and {len(parts) - _MOST_LISTED} more resources.")
    if data.detected_type:
        lines.append(f"Type: {data.detected_type}.")
    return tuple(lines)


def _typed(before: GenerationData, after: GenerationData) -> GenerationData:
    """A base model that only the look-up told may say that a video came from a picture (facts/site-api.md §8.4 3)."""
    if before.detected_type != "t2v" or before.base_model or not after.base_model:
        return after
    return replace(after, detected_type=detected_type(after, workflow=after.extra.get("workflow", "")))


def _weight(one: UsedResource) -> str:
    """` at 0.8 (clip 0.6), then 0.3`; nothing where a kind has no weight, or a list of hashes says none."""
    if one.kind not in ("lora", "lyco", "hypernet", "embedding", "controlnet", "other") or one.source == "hashes":
        return ""
    clip = "" if one.clip_weight is None else f" (clip {one.clip_weight:g})"
    return f" at {one.weight:g}{clip}" + "".join(f", then {weight:g}" for weight, _ in one.again[:_MOST_LISTED])


def _bare(one: UsedResource) -> str:
    if one.version_id is not None or one.air:
        return ""
    return f"; only its hash {one.hash} is known" if one.hash else "; only its name is known"


def _access(answer: GenerationPayload | PublicImage, images: ImageClient) -> tuple[str, ...]:
    """What was asked of whom, where that explains what is missing."""
    if isinstance(answer, GenerationPayload):
        return ()
    more = () if images.has_key else ("Without an API key CivitAI does not say which resources it resolved.",)
    return (*answer.notes, *more)


def _weightless(data: GenerationData) -> tuple[str, ...]:
    """Resources of the public list, which gives ids alone (facts/site-api.md §1.8)."""
    names = [_title(one) for one in (*data.networks, *data.embeddings) if one.source == "resources"]
    return (f"The public list gives no weights; 1 stands in for {_listing(names)}.",) if names else ()


def _hashed(data: GenerationData) -> tuple[str, ...]:
    """Networks that only a list of hashes names: they took part, and nobody says how strongly."""
    names = [_title(one) for one in data.networks if one.source == "hashes"]
    return (f"A list of hashes gives no weights; 1 stands in for {_listing(names)}.",) if names else ()


def _of_post(post_id: int, first: int, others: tuple[int, ...]) -> tuple[str, ...]:
    if not others:
        return (f"Post {post_id} has this one image.",)
    listed = ", ".join(map(str, others[:_MOST_LISTED])) + ("" if len(others) <= _MOST_LISTED else ", …")
    return (f"Image {first} is the first of post {post_id}; its others are {listed}.",)


def _misses(found: Identified[Any], names: Mapping[Any, str]) -> list[str]:
    """What no look-up named, told apart: CivitAI does not know it, and it could not be asked."""
    lines = []
    if missing := [names[key] for key, one in found.items() if one is None and key in names]:
        lines.append(f"CivitAI does not know {_listing(missing)}.")
    reasons: dict[str, list[str]] = {}
    for key, error in found.unknown.items():
        reasons.setdefault(str(error), []).append(names[key])
    lines += [f"{_listing(said)} could not be looked up: {reason}" for reason, said in reasons.items()]
    return lines


def _listing(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_MOST_LISTED]) + ("" if len(names) <= _MOST_LISTED else f" and {len(names) - 20} more")


def _network(resource: ModelVersion) -> UsedResource:
    """A version that was looked up, as the data names it. An AIR that is none is left out; an embedding is called by
    its first trained word (facts/site-api.md §8.3)."""
    kind = kind_of(resource.model_type or resource.type)
    primary = resource.primary
    return UsedResource(
        resource.air,
        name=resource.name,
        kind=kind,
        version_id=resource.version_id,
        source="resources",
        model_id=resource.model_id or None,
        version_name=resource.version_name,
        base_model=resource.base_model,
        words=resource.trained_words[:1] if kind == "embedding" else (),
        file=primary.name if primary is not None and kind == "embedding" else "",
    )


def _title(one: UsedResource) -> str:
    name = one.name or one.air or (f"version {one.version_id}" if one.version_id else f"with hash {one.hash}")
    return f"{name[:120]} {one.version_name[:60]}".strip()


def _parts(data: GenerationData) -> tuple[UsedResource, ...]:
    return data.resources


def _known(data: GenerationData) -> bool:
    return bool(data.model_air) or data.model_version_id is not None


def _resolved_ids(answer: GenerationPayload | PublicImage | None) -> frozenset[object]:
    if isinstance(answer, GenerationPayload):
        return frozenset(one.get("modelVersionId") for one in answer.resources)
    return frozenset(answer.version_ids) if answer is not None else frozenset()
