"""Hashes and version ids -> the versions they name, in as few questions as the API allows, and never twice.

Whole SHA-256 are asked in batches, which take nothing else; everything else one by one, eight at a time. "CivitAI does
not know it" and "it could not be asked" are different answers.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import CivitaiError, CloudflareChallenge, NotFound, RateLimited, RegionBlocked, Unreachable
from ..resources.hashes import SHA256, bare_hash, is_of_nothing
from ..resources.version import ModelVersion
from .client import SiteClient
from .images import GenerationPayload, ImageClient, PublicImage

AT_ONCE = 8
FRESH = 600.0  # seconds that an answer is remembered: a model may be published or an image edited meanwhile
MOST_IMAGES = 200  # remembered at once; one may be megabytes
_LENGTHS = (8, 10, 12, 64)
_AWAY = (Unreachable, RateLimited, RegionBlocked, CloudflareChallenge)  # the next question would fare no better

Key = TypeVar("Key", str, int)


@dataclass(frozen=True)
class Identified(Mapping[Key, "ModelVersion | None"], Generic[Key]):
    """Each hash or version id as it was asked -> its version, or None where CivitAI knows none.

    What could not be asked is in `unknown` with the reason, and not in the mapping: asking for it raises that reason,
    so that no network error is taken for "not found". `away` is the reason why the rest was not asked at all."""

    answers: Mapping[Key, ModelVersion | None]
    unknown: Mapping[Key, CivitaiError] = field(default_factory=dict)
    away: CivitaiError | None = None

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

    def __init__(self, *, kept: float = FRESH, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = kept
        self._clock = clock
        self._versions: dict[str | int, tuple[float, ModelVersion | None]] = {}
        self._images: dict[int, tuple[float, GenerationPayload | PublicImage]] = {}

    async def image(self, client: ImageClient, image_id: int) -> GenerationPayload | PublicImage:
        """What is known of an image; asked once."""
        remembered = self._images.get(image_id)
        if remembered and self._fresh(remembered[0]):
            return remembered[1]
        answer = await client.about(image_id)
        self._images = {key: entry for key, entry in self._images.items() if self._fresh(entry[0])}
        if len(self._images) >= MOST_IMAGES:  # the oldest goes
            del self._images[next(iter(self._images))]
        self._images[image_id] = self._clock(), answer
        return answer

    def remembered(self, key: str | int) -> bool:
        """Whether there is an answer for a version id or a bare hash."""
        return key in self._versions and self._fresh(self._versions[key][0])

    def recall(self, key: str | int) -> ModelVersion | None:
        """The answer that is `remembered`; None where CivitAI knows none. Raises KeyError."""
        return self._versions[key][1]

    def remember(self, key: str | int, version: ModelVersion | None) -> None:
        """Keep an answer; a version that was found answers for its id and for every hash of its files too."""
        now = self._clock()
        self._versions[key] = now, version
        if version is None:
            return
        self._versions[version.version_id] = now, version
        for file in version.files:
            for hash_ in map(_askable, file.hashes.values()):
                if len(hash_) > 8 and not self.remembered(hash_):  # eight digits are of many files
                    self._versions[hash_] = now, version

    def _fresh(self, since: float) -> bool:
        return self._clock() - since < self._seconds


def _askable(hash_: str) -> str:
    """A bare hash; `""` for what can be no hash of a model: another length, other letters, or the hash of nothing,
    which some trainers write."""
    bare = bare_hash(hash_)
    valid = len(bare) in _LENGTHS and re.fullmatch("[0-9a-f]+", bare) and not is_of_nothing(bare)
    return bare if valid else ""


async def identify(
    site: SiteClient, hashes: Iterable[str], lookups: Lookups | None = None, *, away: CivitaiError | None = None
) -> Identified[str]:
    """Find the version of each hash. At most one question for each hash that is not remembered, and one more for one
    of 12 digits that nothing has (it may be the head of a whole file's SHA-256). Whole ones share a question as
    SHA-256; those that it leaves open have one each, for they may be BLAKE3.

    After the first sign that the service is away or asks for peace, the rest is not asked and stays unknown; `away` is
    such a sign from a moment ago."""
    keys = {hash_: _askable(hash_) for hash_ in hashes}
    run = _Questions(site, lookups or Lookups(), away)
    await run.ask_batch([key for key in dict.fromkeys(keys.values()) if len(key) == SHA256])
    await run.ask_each(filter(None, keys.values()))
    return run.answers(keys)


async def describe(site: SiteClient, version_ids: Iterable[int], lookups: Lookups | None = None) -> Identified[int]:
    """Look versions up by their ids, one question each, eight at a time; the names that `/images` does not give."""
    keys = {version_id: version_id for version_id in version_ids}
    run = _Questions(site, lookups or Lookups())
    await run.ask_each(keys)
    return run.answers(keys)


class _Questions:
    """One run of questions, eight at a time, until the service is away."""

    def __init__(self, site: SiteClient, lookups: Lookups, away: CivitaiError | None = None) -> None:
        self._site = site
        self._lookups = lookups
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._away = away
        self._failed: dict[str | int, CivitaiError] = {}

    async def ask_batch(self, hashes: Iterable[str]) -> None:
        """Whole SHA-256 in one question where there is more than one; what it does not know may be a BLAKE3."""
        unknown = [hash_ for hash_ in hashes if not self._lookups.remembered(hash_)]
        if len(unknown) < 2 or self._away is not None:
            return
        try:
            for hash_, version in (await self._site.by_hashes(unknown)).items():
                self._lookups.remember(hash_, version)
        except CivitaiError as error:
            self._failed |= dict.fromkeys(unknown, self._reason(error))

    async def ask_each(self, keys: Iterable[str | int]) -> None:
        """A question for each key that is not remembered."""
        await asyncio.gather(*(self._ask_one(key) for key in dict.fromkeys(keys)))

    def answers(self, keys: Mapping[Key, str | int]) -> Identified[Key]:
        """The answers under the names by which they were asked; `""` stands for what can name nothing."""
        unknown = {name: self._failed[key] for name, key in keys.items() if key in self._failed}
        answered = ((name, key) for name, key in keys.items() if name not in unknown)
        answers = {name: self._lookups.recall(key) if key else None for name, key in answered}
        return Identified(answers, unknown, self._away)

    async def _ask_one(self, key: str | int) -> None:
        async with self._gate:
            if key in self._failed or self._lookups.remembered(key):  # a neighbour's answer may name it
                return
            if self._away is not None:
                self._failed[key] = self._away
                return
            question = self._site.version(key) if isinstance(key, int) else self._site.by_hash(key)
            try:
                self._lookups.remember(key, await question)
            except NotFound:
                self._lookups.remember(key, None)
            except CivitaiError as error:
                self._failed[key] = self._reason(error)

    def _reason(self, error: CivitaiError) -> CivitaiError:
        """Why a question has no answer. A service that is away is away for one reason, the first."""
        if not isinstance(error, _AWAY):
            return error
        self._away = self._away or error
        return self._away
