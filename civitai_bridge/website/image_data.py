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
from dataclasses import dataclass, replace

from ..metadata.civitai import generation_from_rest, generation_from_trpc
from ..metadata.generation import LORA_KINDS, GenerationData, UsedResource
from ..metadata.lookup import answered, described, hash_questions, version_questions
from ..metadata.media_type import detected_type
from ..metadata.read import read_file, read_pasted
from ..metadata.resources import kind_of
from ..resources.addresses import SITE_HOSTS
from ..resources.reference import ImageReference, PostReference, read_image_reference
from ..resources.version import ModelVersion
from . import report
from .client import SiteClient
from .images import GenerationPayload, ImageClient, PublicImage
from .lookup import Lookups, describe, identify


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
        """The dependencies that no resource accounts for that CivitAI itself resolved."""
        resolved = _resolved_ids(self.answer)
        return tuple(used for used in self.data.resources if used.version_id is None or used.version_id not in resolved)


class Reader:
    """Tells what made a picture; remembers what CivitAI answered for some minutes, so that a second look asks
    nothing."""

    def __init__(self, site: SiteClient, images: ImageClient, *, hosts: frozenset[str] = SITE_HOSTS) -> None:
        self._site = site
        self._images = images
        self._hosts = hosts
        self.lookups = Lookups()

    async def image(self, reference: str) -> ImageData:
        """What CivitAI knows of an image: by its id, its address, or its post's. Raises as `fetch_image_data` does."""
        return await fetch_image_data(reference, self._images, self._site, self.lookups, hosts=self._hosts)

    async def file(self, source: bytes | str | os.PathLike[str], *, look_up: bool = True) -> ImageData:
        """What a picture file says; with `look_up`, CivitAI is asked whose the hashes in it are. Raises OSError."""
        return await read_file_data(source, self._site if look_up else None, self.lookups)

    async def text(self, text: str, *, look_up: bool = True) -> ImageData:
        """What a pasted text says, looked up as `file` does."""
        data = await asyncio.to_thread(read_pasted, text)
        return await _of_file("The text", data, self._site if look_up else None, self.lookups)


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
            lines = report.of_post(post_id, first.image_id, others)
    start = [f"Image {answer.image_id}: {answer.source} says what follows.", *lines]
    if isinstance(answer, PublicImage):
        stated = generation_from_rest(answer.raw)
        start += [*answer.notes, *report.without_key(images.has_key)]
    else:
        stated = generation_from_trpc(answer.raw, answer.image_id)
    data, looked_up = await look_up(stated, site, lookups)
    data = _typed(stated, data)
    if isinstance(answer, PublicImage):
        weightless = report.weightless(data)
    else:
        weightless = report.unweighed(data, answer.resources)
    lines = (*start, *report.summary(data), *looked_up, *weightless, *report.hashed(data), *data.notes)
    return ImageData(data, lines, answer, others)


async def read_file_data(
    source: bytes | str | os.PathLike[str], site: SiteClient | None = None, lookups: Lookups | None = None
) -> ImageData:
    """What a picture file says, and with `site` what CivitAI knows of the resources that it names.

    OSError is the caller's."""
    data = await asyncio.to_thread(read_file, source)
    name = "The file" if isinstance(source, bytes) else os.path.basename(os.fspath(source))
    return await _of_file(name, data, site, lookups)


async def _of_file(
    name: str, data: GenerationData, site: SiteClient | None, lookups: Lookups | None = None
) -> ImageData:
    """What a file or text says, with what `site` knows of its resources."""
    start = f"{name} itself says what follows; CivitAI was not asked for its image."
    data, looked_up = (data, ()) if site is None else await look_up(data, site, lookups or Lookups())
    return ImageData(
        data, (start, *report.summary(data, asked=site is not None), *looked_up, *report.hashed(data), *data.notes)
    )


async def look_up(
    data: GenerationData, site: SiteClient, lookups: Lookups | None = None
) -> tuple[GenerationData, tuple[str, ...]]:
    """The data with every resource named that only an id or a hash names, and lines that say what was found how.

    Ids come first: a version's files tell their hashes, so that fewer hashes are left to be asked."""
    lookups = lookups or Lookups()
    lines: list[str] = []
    missing: list[str] = []
    unasked: dict[str, str] = {}
    away = None
    if asked := version_questions(data):
        subjects = {question.version_id: question.subject for question in asked}
        by_id = await describe(site, subjects, lookups)
        away = by_id.away
        data = described(data, {key: _used(version) for key, version in by_id.items() if version is not None})
        quiet = [question.version_id for question in asked if question.only_words]
        missing, unasked = report.misses(by_id, subjects, quiet)
    if questions := hash_questions(data):
        names = {question.hash: report.question(question) for question in questions}
        by_hash = await identify(site, names, lookups, away=away)
        known = {key: _used(version) for key, version in by_hash.items() if version is not None}
        data = answered(data, known)
        lines += report.hits(known, names)
        more = report.misses(by_hash, {key: f"{name} by hash {key}" for key, name in names.items()})
        missing, unasked = missing + more[0], unasked | more[1]
    return data, (*lines, *report.unnamed(missing, unasked))


def _typed(before: GenerationData, after: GenerationData) -> GenerationData:
    """A base model that only the look-up told may say that a video came from a picture."""
    if before.detected_type != "t2v" or before.base_model or not after.base_model:
        return after
    return replace(after, detected_type=detected_type(after, workflow=after.extra.get("workflow", "")))


def _used(version: ModelVersion) -> UsedResource:
    """A version that was looked up, as the data names it. An embedding is called by its first trained word."""
    kind = kind_of(version.model_type or version.type)
    primary = version.primary
    return UsedResource(
        version.air,
        name=version.name,
        kind=kind,
        version_id=version.version_id,
        source="resources",
        model_id=version.model_id or None,
        version_name=version.version_name,
        base_model=version.base_model,
        words=version.trained_words[:1] if kind == "embedding" else (),
        file=primary.name if primary is not None and kind in ("embedding", *LORA_KINDS) else "",
        trained_words=version.trained_words if kind in LORA_KINDS else (),
    )


def _resolved_ids(answer: GenerationPayload | PublicImage | None) -> frozenset[object]:
    if isinstance(answer, GenerationPayload):
        return frozenset(entry.get("modelVersionId") for entry in answer.resources)
    return frozenset(answer.version_ids) if answer is not None else frozenset()
