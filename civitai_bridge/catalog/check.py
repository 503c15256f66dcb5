"""The status of everything that is named, with what CivitAI says of it where the catalogs do not know it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import CivitaiError, NotFound
from ..model_files.hashing import BLAKE3, CRC32
from ..model_files.index import HashIndex
from ..model_files.progress import HashingProgress
from ..resources.hashes import SHA256, bare_hash
from ..resources.reference import HashReference
from ..resources.version import ModelVersion
from ..website import Lookups, SiteClient, describe, identify
from .answers import NOT_FOUND, UNKNOWN, Answer, Checked, Located
from .places import Place
from .query import Query, Question
from .state import Catalogs

_SMALL = 64 * 1024 * 1024  # bytes that are hashed in a tenth of a second
_AT_ONCE = 8  # questions to CivitAI about the newest versions of models
_KIND_BY_LENGTH = {64: BLAKE3, 8: CRC32}  # what a hash may be that is of no usual kind


@dataclass(frozen=True)
class Asking:
    """CivitAI, and what it has answered already."""

    site: SiteClient
    lookups: Lookups


async def check(
    catalogs: Catalogs,
    index: HashIndex,
    asking: Asking | None,
    questions: Sequence[Question],
    scanning: HashingProgress | None = None,
) -> Checked:
    """The answers in the order of the questions. CivitAI is asked only about what the catalogs do not know, and not at
    all without `asking`; its troubles are notes of the answers. `scanning` is how far the scan is that runs now."""
    located = await asyncio.to_thread(_locate, catalogs, [question.query for question in questions])
    answers = [Answer(question.text, answer) for question, answer in zip(questions, located, strict=True)]
    unknown = [number for number, answer in enumerate(located) if answer.status in (NOT_FOUND, UNKNOWN)]
    if asking is not None and unknown:
        asked = await _ask(asking, [questions[number].query for number in unknown])
        again = await asyncio.to_thread(_locate, catalogs, [query for query, _ in asked])
        for number, answer, (_, version) in zip(unknown, again, asked, strict=True):
            answers[number] = Answer(questions[number].text, answer, version)
    sentences = await _unhashed_kinds(index, questions, answers)
    if scanning is not None and any(answer.located.place is None for answer in answers):
        sentences.append(f"{scanning.sentence} More may be found later.")
    return Checked(tuple(answers), " ".join(sentences))


def _locate(catalogs: Catalogs, queries: Sequence[Query]) -> list[Located]:
    """The answers from disk; what was changed is hashed again where that takes no time worth mentioning."""
    located = list(catalogs.locate_all(queries))
    places = {answer.place for answer in located if answer.changed and answer.place is not None}
    small = [place for place in places if _size(place) <= _SMALL]
    for place in small:
        catalogs.hash_again(place)
    return list(catalogs.locate_all(queries)) if small else located


def _size(place: Place) -> int:
    try:
        return os.stat(place.path).st_size
    except OSError:
        return _SMALL + 1


async def _ask(asking: Asking, queries: Sequence[Query]) -> list[tuple[Query, ModelVersion | None]]:
    """What CivitAI adds to each, in as few requests as it allows."""
    models = {each.model_id for each in queries if each.model_id and not each.names_bytes}
    newest = await _newest_versions(asking.site, models)
    queries = [_with_newest(query, newest) for query in queries]
    versions = await describe(asking.site, {each.version_id for each in queries if each.version_id}, asking.lookups)
    hashes = {each.hashes[0] for each in queries if each.hashes and not each.version_id}
    by_hash = await identify(asking.site, hashes, asking.lookups)
    asked: list[tuple[Query, ModelVersion | None]] = []
    for each in queries:
        try:
            version = versions[each.version_id] if each.version_id else by_hash[each.hashes[0]] if each.hashes else None
        except CivitaiError as error:
            asked.append((replace(each, trouble=str(error)), None))
        else:
            asked.append((_joined(each, version), version))
    return asked


async def _newest_versions(site: SiteClient, model_ids: set[int]) -> dict[int, int | CivitaiError]:
    """The newest version of each model, or why it is not known."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def newest(model_id: int) -> int | CivitaiError:
        async with gate:
            try:
                return await site.newest_version(model_id)
            except CivitaiError as error:
                return error

    ids = list(model_ids)
    return dict(zip(ids, await asyncio.gather(*map(newest, ids)), strict=True))


def _with_newest(query: Query, newest: Mapping[int, int | CivitaiError]) -> Query:
    if query.model_id is None or query.names_bytes:
        return query
    version_id = newest.get(query.model_id)
    if isinstance(version_id, int):
        return replace(query, version_id=version_id)
    if version_id is None or isinstance(version_id, NotFound):
        return query
    return replace(query, trouble=str(version_id))


def _joined(query: Query, version: ModelVersion | None) -> Query:
    """What was known, and what CivitAI adds to it; a hash that was named stays the one that is looked for."""
    if version is None:
        return query
    file = version.file_of_id(query.file_id)
    if file is None and query.hashes:
        file = version.file_of_hash(query.hashes[0])
    is_exact = query.file_id is not None or any(len(bare_hash(value)) == SHA256 for value in query.hashes)
    stated = Query.from_version(version, file)
    if not is_exact:  # a short hash, as pictures have it: any file of the version will do
        stated = replace(stated, file_id=None)
    return replace(stated, hashes=tuple(dict.fromkeys((*query.hashes, *stated.hashes))), folder=query.folder)


async def _unhashed_kinds(index: HashIndex, questions: Sequence[Question], answers: Sequence[Answer]) -> list[str]:
    """Why more may be here than was found: files without the kind of hash that a person named. Such kinds are
    remembered, and scans take them from then on. The hashes of pictures are of usual kinds, of models that were never
    here, and are not taken for it."""
    named = [
        question.query.hashes[0]
        for question, answer in zip(questions, answers, strict=True)
        if isinstance(question.reference, HashReference)
        if not (answer.located.place or answer.located.entry or answer.version)
    ]
    sentences = []
    for kind in sorted(filter(None, {_KIND_BY_LENGTH.get(len(bare_hash(value))) for value in named})):
        if await asyncio.to_thread(index.is_missing, kind):
            await asyncio.to_thread(index.require, [kind])
            sentences.append(
                f"It may be the {kind} of a file here: the next scan takes that too."
                if kind in index.hashing.kinds
                else f"It may be the {kind} of a file here, which needs the package {kind.lower()} to be found."
            )
    return sentences
