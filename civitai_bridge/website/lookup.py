"""Hashes and version ids -> the versions they name, in as few questions as the API allows, and never twice.

Whole SHA-256 are asked in batches, everything else one by one, eight at a time (site-api §3.3: batches take SHA-256
alone). "CivitAI does not know it" and "it could not be asked" are different answers.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import CivitaiError, NotFound, RateLimited, RegionBlocked, Unreachable
from ..resources.version import ModelVersion
from .client import SiteClient
from .images import GenerationPayload, ImageClient, PublicImage

AT_ONCE = 8
KEPT = 600.0  # seconds that an answer is remembered: a model may be published or an image edited meanwhile
MOST_IMAGES = 200  # remembered at once; one may be megabytes
_LENGTHS = (8, 10, 12, 64)
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of no bytes

Key = TypeVar("Key", str, int)


@dataclass(frozen=True)
class Identified(Mapping[Key, "ModelVersion | None"], Generic[Key]):
    """Each hash or version id as it was asked -> its version, or None where CivitAI knows none.

    What could not be asked is in `unknown` with the reason, and not in the mapping: asking for it raises that reason,
    so that no network error is taken for "not found"."""

    answers: Mapping[Key, ModelVersion | None]
    unknown: Mapping[Key, CivitaiError] = field(default_factory=dict)

    def __getitem__(self, key: Key) -> ModelVersion | None:
        if key in self.unknown:
            raise self.unknown[key]
        return self.answers[key]

    def __contains__(self, key: object) -> bool:
        return key in self.answers

    def __iter__(self) -> Iterator[Key]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)


class Lookups:
    """Remembers what was asked, for ten minutes; errors are never remembered. One value for one account's answers."""

    def __init__(self, *, kept: float = KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = kept
        self._clock = clock
        self._versions: dict[str | int, tuple[float, ModelVersion | None]] = {}
        self._images: dict[int, tuple[float, GenerationPayload | PublicImage]] = {}

    async def image(self, client: ImageClient, image_id: int) -> GenerationPayload | PublicImage:
        """What is known of an image; asked once."""
        remembered = self._images.get(image_id)
        if remembered and self._fresh(remembered[0]):
            return remembered[1]
        answer = await client.about(image_id)
        self._images = {known: entry for known, entry in self._images.items() if self._fresh(entry[0])}
        if len(self._images) >= MOST_IMAGES:  # the oldest goes
            del self._images[next(iter(self._images))]
        self._images[image_id] = self._clock(), answer
        return answer

    def remembered(self, key: str | int) -> bool:
        return key in self._versions and self._fresh(self._versions[key][0])

    def recall(self, key: str | int) -> ModelVersion | None:
        return self._versions[key][1]

    def remember(self, key: str | int, resource: ModelVersion | None) -> None:
        """Keep an answer; a version that was found answers for its id and for every hash of its files too."""
        now = self._clock()
        self._versions[key] = now, resource
        if resource is None:
            return
        self._versions[resource.version_id] = now, resource
        for value in (value for file in resource.files for value in file.hashes.values()):
            if (
                len(value) > 8 and normal(value) and not self.remembered(value.lower())
            ):  # eight digits are of many files
                self._versions[value.lower()] = now, resource

    def _fresh(self, since: float) -> bool:
        return self._clock() - since < self._kept


def normal(hash_: str) -> str:
    """A hash in lower case without `0x`; `""` for what can be no hash of a model: another length, other letters, or
    the hash of nothing, which some trainers write."""
    bare = hash_.strip().lower().removeprefix("0x")
    good = len(bare) in _LENGTHS and re.fullmatch("[0-9a-f]+", bare) and not _NOTHING.startswith(bare)
    return bare if good else ""


async def identify(site: SiteClient, hashes: Iterable[str], lookups: Lookups | None = None) -> Identified[str]:
    """Find the version of each hash. At most one question for each hash that is not remembered, and one more for one
    of 12 digits that nothing has (it may be the head of a whole file's SHA-256, site-api §4). Whole ones share a
    question as SHA-256; those that it leaves open have one each, for they may be BLAKE3.

    After the first sign that the service is away or asks for peace, the rest is not asked and stays unknown."""
    asked = {hash_: normal(hash_) for hash_ in hashes}
    story = _Story(site, lookups or Lookups())
    await story.batches([bare for bare in dict.fromkeys(asked.values()) if len(bare) == 64])
    await story.singles(filter(None, asked.values()))
    return story.told(asked)


async def describe(site: SiteClient, version_ids: Iterable[int], lookups: Lookups | None = None) -> Identified[int]:
    """Look versions up by their ids, one question each, eight at a time; the names that `/images` does not give
    (site-api §1.8)."""
    asked = {version_id: version_id for version_id in version_ids}
    story = _Story(site, lookups or Lookups())
    await story.singles(asked)
    return story.told(asked)


class _Story:
    """One run of questions, eight at a time."""

    def __init__(self, site: SiteClient, lookups: Lookups) -> None:
        self._site = site
        self._lookups = lookups
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._away: CivitaiError | None = None
        self._failed: dict[str | int, CivitaiError] = {}

    async def batches(self, hashes: Iterable[str]) -> None:
        """Whole SHA-256 in one question where there is more than one; what it does not know may be a BLAKE3."""
        wanted = [bare for bare in hashes if not self._lookups.remembered(bare)]
        if len(wanted) < 2:
            return
        try:
            for bare, resource in (await self._site.by_hashes(wanted)).items():
                self._lookups.remember(bare, resource)
        except CivitaiError as error:
            self._note(error)
            self._failed |= dict.fromkeys(wanted, error)

    async def singles(self, keys: Iterable[str | int]) -> None:
        await asyncio.gather(*(self._single(key) for key in dict.fromkeys(keys)))

    def told(self, asked: Mapping[Key, str | int]) -> Identified[Key]:
        """The answers under the names by which they were asked; `""` stands for what can name nothing."""
        answers: dict[Key, ModelVersion | None] = {}
        unknown: dict[Key, CivitaiError] = {}
        for name, key in asked.items():
            if key in self._failed:
                unknown[name] = self._failed[key]
            else:
                answers[name] = self._lookups.recall(key) if key else None
        return Identified(answers, unknown)

    async def _single(self, key: str | int) -> None:
        async with self._gate:
            if key in self._failed or self._lookups.remembered(key):  # a neighbour's answer may name it
                return
            if self._away is not None:
                self._failed[key] = self._away
                return
            try:
                self._lookups.remember(key, await self._ask(key))
            except NotFound:
                self._lookups.remember(key, None)
            except CivitaiError as error:
                self._note(error)
                self._failed[key] = error

    async def _ask(self, key: str | int) -> ModelVersion:
        return await (self._site.version(key) if isinstance(key, int) else self._site.by_hash(key))

    def _note(self, error: CivitaiError) -> None:
        if isinstance(error, (Unreachable, RateLimited, RegionBlocked)):
            self._away = error
