"""The site's REST API, one method per route. Reads only; the `Send` it is given repeats what may be repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ..errors import BadInput, BadRequest, NotFound, Unreadable
from ..network.exchange import Request, Send, expect
from ..resources.hashes import spellings
from ..resources.json_values import integer, items, mapping, objects, text, whole
from ..resources.plain_text import one_line
from ..resources.version import ModelVersion, version_from_json, version_from_mini

_VERSIONS = "/api/v1/model-versions"
MOST_DETAILS = 100  # SHA-256 that one call of by-hash takes
MOST_IDS = 10_000  # … and of by-hash/ids


@dataclass(frozen=True)
class ListedVersion:
    """A version as the model's page lists it: without AIR and rules, which only its own route has."""

    version_id: int
    name: str
    base_model: str
    status: str = "Published"
    trained_words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A model and its versions, the newest first; `raw` is the whole answer."""

    model_id: int
    name: str
    type: str
    mode: str = ""
    versions: tuple[ListedVersion, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def newest(self) -> ListedVersion | None:
        """The newest published version."""
        return next((version for version in self.versions if version.status == "Published"), None)

    def newer_than(self, version_id: int) -> ListedVersion | None:
        """The newest published version of the same base model, where that is newer than this one."""
        places = [number for number, version in enumerate(self.versions) if version.version_id == version_id]
        before = self.versions[: places[0]] if places else ()
        base_model = self.versions[places[0]].base_model if places else ""
        return next((each for each in before if each.status == "Published" and each.base_model == base_model), None)


@dataclass(frozen=True)
class Owner:
    """The version that a file belongs to."""

    version_id: int
    model_id: int


@dataclass(frozen=True)
class User:
    """A user of CivitAI: the id as text, and the name, `""` where it was not said. Of the key that asked, `scope` is
    CivitAI's bit mask of what it may do, `buzz_limit` what it may spend as CivitAI writes it; None where it was not
    said."""

    id: str
    name: str
    scope: int | None = None
    buzz_limit: Any = None


class SiteClient:
    """What the site says about models, one method per route. `send` goes to the configured site."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def user_id(self) -> str:
        """The id of the user whose key is sent along, as text. Raises Unauthorized, Unreadable and what `send`
        raises."""
        return (await self.user()).id

    async def user(self) -> User:
        """The user whose key is sent along. Raises as `user_id`."""
        data = mapping(await self._get("/api/v1/me", "you"))
        user_id = whole(data.get("id"))
        if user_id is None:
            raise Unreadable("CivitAI did not say whose the key is.", status=200)
        scope = integer(data.get("tokenScope"))
        return User(str(user_id), one_line(text(data.get("username"))), scope, data.get("buzzLimit"))

    async def version(self, version_id: int) -> ModelVersion:
        """Everything public about a version. Raises NotFound: unknown, not published, or not visible to this
        account; Unreadable for the answer about another one."""
        version = version_from_json(await self._get(f"{_VERSIONS}/{version_id}", f"version {version_id}"))
        if version.version_id != version_id:
            raise Unreadable(
                f"CivitAI was asked about version {version_id} and answered about {version.version_id}.", status=200
            )
        return version

    async def mini(self, version_id: int, file_id: int | None = None) -> ModelVersion:
        """AIR, base model and whether the fleet generates with it, in one request."""
        query = (("modelFileId", str(file_id)),) if file_id else ()
        data = await self._get(f"{_VERSIONS}/mini/{version_id}", f"version {version_id}", query)
        return version_from_mini(data, version_id)

    async def by_hash(self, hash_: str) -> ModelVersion:
        """The oldest published version with a file of this hash, of any of the six kinds. Twelve digits that match
        nothing are asked once more by their first ten."""
        *first, last = spellings(hash_)
        for spelling in first:
            try:
                return await self._by_hash(spelling, hash_)
            except NotFound:
                continue
        return await self._by_hash(last, hash_)

    async def by_hashes(self, hashes: Iterable[str]) -> dict[str, ModelVersion]:
        """The versions of whole-file SHA-256, a hundred a call; by lower-case hash, without those that CivitAI does
        not know.

        Answers come in the database's order, may be null, and do not say which hash they are for: their files do. Of
        several versions with the same bytes the one with the lowest id is taken."""
        versions: dict[str, ModelVersion] = {}
        for batch in _batches(_whole_hashes(hashes), MOST_DETAILS):
            for entry in await self._post_hashes("", batch):
                if entry is None:
                    continue
                version = version_from_json(entry)
                file_hashes = {file.hashes.get("SHA256", "").lower() for file in version.files}
                for hash_ in file_hashes & set(batch):
                    if hash_ not in versions or version.version_id < versions[hash_].version_id:
                        versions[hash_] = version
        return versions

    async def ids_by_hashes(self, hashes: Iterable[str]) -> dict[str, Owner]:
        """Which version each whole-file SHA-256 belongs to, ten thousand a call: for whole folders."""
        owners: dict[str, Owner] = {}
        for batch in _batches(_whole_hashes(hashes), MOST_IDS):
            for entry in await self._post_hashes("/ids", batch):
                owner = _owner(entry)
                hash_ = str(entry.get("hash", "")).lower()
                if hash_ not in owners or owner.version_id < owners[hash_].version_id:
                    owners[hash_] = owner
        return owners

    async def model(self, model_id: int) -> Model:
        """A model with its versions. Raises NotFound."""
        data = await self._get(f"/api/v1/models/{model_id}", f"model {model_id}")
        if not isinstance(data, Mapping):
            raise Unreadable("CivitAI answered with something that is not a model.", status=200)
        return _model(model_id, data)

    async def models(self, model_ids: Iterable[int]) -> dict[int, Model]:
        """Several models with their versions, a hundred a call; without those that the list does not show."""
        models: dict[int, Model] = {}
        ids = [str(model_id) for model_id in dict.fromkeys(model_ids)]
        for batch in _batches(ids, MOST_DETAILS):
            query = (("ids", ",".join(batch)), ("limit", str(MOST_DETAILS)), ("nsfw", "true"))
            data = await self._get("/api/v1/models", "list of models", query)
            for entry in objects(mapping(data).get("items")):
                if (model_id := integer(entry.get("id"))) is not None:
                    models[model_id] = _model(model_id, entry)
        return models

    async def newest_version(self, model_id: int) -> int:
        """The id of a model's newest published version; the site lists them newest first."""
        newest = (await self.model(model_id)).newest
        if newest is None:
            raise NotFound(f"CivitAI's model {model_id} has no published version.", status=404)
        return newest.version_id

    async def _by_hash(self, spelling: str, hash_: str) -> ModelVersion:
        return version_from_json(await self._get(f"{_VERSIONS}/by-hash/{quote(spelling, safe='')}", f"hash {hash_}"))

    async def _post_hashes(self, tail: str, hashes: Sequence[str]) -> list[Any]:
        data = expect(await self._send(Request("POST", f"{_VERSIONS}/by-hash{tail}", json=list(hashes))))
        if not isinstance(data, list):
            raise Unreadable("CivitAI answered a question about hashes with something else.", status=200)
        return data

    async def _get(self, path: str, subject: str, query: tuple[tuple[str, str], ...] = ()) -> object:
        response = await self._send(Request("GET", path, query=query))
        try:
            return expect(response)
        except NotFound as error:
            sentence = f"CivitAI's {subject} is unknown, not published or not visible to this account."
            if "missing model file" in error.detail.lower():
                sentence = f"CivitAI's {subject} has no file yet."
            raise NotFound(sentence, status=404, detail=error.detail) from error
        except BadRequest as error:
            raise BadRequest(
                f"CivitAI does not take {subject}: {error.detail or 'no reason given'}.",
                status=error.status,
                detail=error.detail,
            ) from error


def _model(model_id: int, data: Mapping[str, Any]) -> Model:
    versions = tuple(
        ListedVersion(
            entry["id"],
            str(entry.get("name") or ""),
            str(entry.get("baseModel") or ""),
            str(entry.get("status") or "Published"),
            tuple(str(word) for word in items(entry.get("trainedWords")) if word),
        )
        for entry in objects(data.get("modelVersions"))
        if integer(entry.get("id")) is not None
    )
    name, type_, mode = (str(data.get(key) or "") for key in ("name", "type", "mode"))
    return Model(model_id, name, type_, mode, versions, data)


def _whole_hashes(hashes: Iterable[str]) -> list[str]:
    """Each hash once, in lower case. Raises BadInput for what is no SHA-256: one such refuses a whole batch."""
    lower = list(dict.fromkeys(hash_.lower() for hash_ in hashes))
    for hash_ in lower:
        if not re.fullmatch("[0-9a-f]{64}", hash_):
            raise BadInput(f"{hash_[:80]!r} is no whole SHA-256, and CivitAI takes nothing else in a batch.")
    return lower


def _batches(hashes: list[str], most: int) -> Iterator[list[str]]:
    return (hashes[start : start + most] for start in range(0, len(hashes), most))


def _owner(entry: Any) -> Owner:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("modelVersionId"), int):
        raise Unreadable("CivitAI answered a question about hashes with something else.", status=200)
    return Owner(entry["modelVersionId"], integer(entry.get("modelId")) or 0)
