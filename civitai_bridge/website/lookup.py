"""Hashes -> the versions they are of, in as few questions as the API allows, and never twice.

Whole SHA-256 are asked in batches, everything else one by one, eight at a time (site-api §3.3: batches take SHA-256
alone). "CivitAI does not know it" and "it could not be asked" are different answers.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import CivitaiError, NotFound, RateLimited, RegionBlocked, Unreachable
from ..resources import Resource
from .client import SiteClient
from .images import GenerationPayload, ImageClient, PublicImage

AT_ONCE = 8
KEPT = 600.0  # seconds that an answer is remembered: a model may be published or an image edited meanwhile
MOST_IMAGES = 200  # remembered at once; one may be megabytes
_LENGTHS = (8, 10, 12, 64)
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of no bytes


@dataclass(frozen=True)
class Identified(Mapping[str, "Resource | None"]):
    """Each hash as it was asked -> its version, or None where CivitAI knows none.

    What could not be asked is in `unknown` with the reason, and not in the mapping: asking for it raises that reason,
    so that no network error is taken for "not found"."""

    answers: Mapping[str, Resource | None]
    unknown: Mapping[str, CivitaiError] = field(default_factory=dict)

    def __getitem__(self, hash_: str) -> Resource | None:
        if hash_ in self.unknown:
            raise self.unknown[hash_]
        return self.answers[hash_]

    def __contains__(self, hash_: object) -> bool:
        return hash_ in self.answers

    def __iter__(self) -> Iterator[str]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)


class Lookups:
    """Remembers what was asked, for ten minutes; errors are never remembered. One value for one account's answers."""

    def __init__(self, *, kept: float = KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept = kept
        self._clock = clock
        self._hashes: dict[str, tuple[float, Resource | None]] = {}
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

    def remembered(self, hash_: str) -> bool:
        return hash_ in self._hashes and self._fresh(self._hashes[hash_][0])

    def recall(self, hash_: str) -> Resource | None:
        return self._hashes[hash_][1]

    def remember(self, hash_: str, resource: Resource | None) -> None:
        """Keep an answer; a version that was found answers for every hash of its files too."""
        now = self._clock()
        self._hashes[hash_] = now, resource
        for file in resource.files if resource else ():
            for value in file.hashes.values():
                if len(value) > 8 and normal(value):  # eight digits are of many files
                    self._hashes.setdefault(value.lower(), (now, resource))

    def _fresh(self, since: float) -> bool:
        return self._clock() - since < self._kept


def normal(hash_: str) -> str:
    """A hash in lower case without `0x`; `""` for what can be no hash of a model: another length, other letters, or
    the hash of nothing, which some trainers write."""
    bare = hash_.strip().lower().removeprefix("0x")
    good = len(bare) in _LENGTHS and re.fullmatch("[0-9a-f]+", bare) and not _NOTHING.startswith(bare)
    return bare if good else ""


async def identify(site: SiteClient, hashes: Iterable[str], lookups: Lookups | None = None) -> Identified:
    """Find the version of each hash. At most one question for each hash that is not remembered, and one more for one
    of 12 digits that nothing has (it may be the head of a whole file's SHA-256, site-api §4). Whole ones share a
    question as SHA-256; those that it leaves open have one each, for they may be BLAKE3.

    After the first sign that the service is away or asks for peace, the rest is not asked and stays unknown."""
    lookups = lookups or Lookups()
    asked = {hash_: normal(hash_) for hash_ in hashes}
    wanted = [bare for bare in dict.fromkeys(asked.values()) if bare and not lookups.remembered(bare)]
    story = _Story(site, lookups)
    await story.batches([bare for bare in wanted if len(bare) == 64])
    await asyncio.gather(*(story.single(bare) for bare in wanted))
    answers: dict[str, Resource | None] = {}
    unknown: dict[str, CivitaiError] = {}
    for hash_, bare in asked.items():
        if not bare:
            answers[hash_] = None
        elif bare in story.failed:
            unknown[hash_] = story.failed[bare]
        else:
            answers[hash_] = lookups.recall(bare)
    return Identified(answers, unknown)


class _Story:
    """One run of questions, eight at a time."""

    def __init__(self, site: SiteClient, lookups: Lookups) -> None:
        self._site = site
        self._lookups = lookups
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._away: CivitaiError | None = None
        self.failed: dict[str, CivitaiError] = {}

    async def batches(self, hashes: list[str]) -> None:
        """Whole SHA-256 in one question where there is more than one; what it does not know may be a BLAKE3."""
        if len(hashes) < 2:
            return
        try:
            for bare, resource in (await self._site.by_hashes(hashes)).items():
                self._lookups.remember(bare, resource)
        except CivitaiError as error:
            self._note(error)
            self.failed |= dict.fromkeys(hashes, error)

    async def single(self, bare: str) -> None:
        async with self._gate:
            if bare in self.failed or self._lookups.remembered(bare):  # a neighbour's answer may name it
                return
            if self._away is not None:
                self.failed[bare] = self._away
                return
            try:
                self._lookups.remember(bare, await self._site.by_hash(bare))
            except NotFound:
                self._lookups.remember(bare, None)
            except CivitaiError as error:
                self._note(error)
                self.failed[bare] = error

    def _note(self, error: CivitaiError) -> None:
        if isinstance(error, (Unreachable, RateLimited, RegionBlocked)):
            self._away = error
