"""What CivitAI knows about an image: `image.getGenerationData` with a key, `/images` without one.

The first is a tRPC procedure of the site's own pages, which answers only a key that may read media. The answers are
kept as they came, decoded and checked for form alone; what they mean is read elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import (
    ApiError,
    BadRequest,
    CivitaiError,
    CloudflareChallenge,
    Forbidden,
    NoKey,
    NotFound,
    ServerTrouble,
    Unauthorized,
    Unreachable,
    Unreadable,
)
from ..network.exchange import Request, Response, Send, error_from, expect
from ..resources.json_values import integer, items, mapping, objects, text
from . import wire

PROCEDURE = "image.getGenerationData"
MOST_AT_ONCE = 20  # calls in one batch: addresses stay below 2,000 characters
_PAGES = 5
_ALL_LEVELS = "31"  # PG to XXX; blocked images are never asked for


@dataclass(frozen=True)
class GenerationPayload:
    """The payload of `image.getGenerationData`. `meta` None = the uploader hid it, or there is none:
    see `meta_state`; `process` and `remix_of` as they came; `raw` is the whole payload."""

    image_id: int
    type: str
    meta: Mapping[str, Any] | None
    resources: tuple[Mapping[str, Any], ...]
    on_site: bool = False
    process: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    techniques: tuple[Mapping[str, Any], ...] = ()
    external: Mapping[str, Any] | None = None
    remix_of: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    source = "CivitAI's generation data"

    @property
    def meta_state(self) -> str:
        """`given`, `hidden` or `hidden or absent`.

        The service answers null for both. That there was one is known only where something came out of it: a weight
        (of `meta.resources` or `civitaiResources`) or `external`."""
        if self.meta is not None:
            return "given"
        weighed = any(resource.get("strength") is not None for resource in self.resources)
        return "hidden" if weighed or self.external else "hidden or absent"


@dataclass(frozen=True)
class PublicImage:
    """An item of `/images`: `meta` is the raw stored one, unwrapped, with Comfy graphs as text that
    may be no JSON; `level` is the maturity bit; `version_ids` are all the resources that this route names."""

    image_id: int
    type: str
    meta: Mapping[str, Any] | None
    version_ids: tuple[int, ...]
    base_model: str = ""
    level: int = 0
    post_id: int | None = None
    width: int | None = None
    height: int | None = None
    username: str = ""
    url: str = field(default="", repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    source = "CivitAI's public image list"

    @property
    def meta_state(self) -> str:
        """`given` or `hidden or absent`: the list does not tell the two apart."""
        return "given" if self.meta is not None else "hidden or absent"


class ImageClient:
    """`public` asks without a key; `keyed` with one, None where none is set."""

    def __init__(self, public: Send, keyed: Send | None = None) -> None:
        self._public = public
        self._keyed = keyed

    @property
    def has_key(self) -> bool:
        """Whether generation data can be asked for at all."""
        return self._keyed is not None

    async def about(self, image_id: int) -> GenerationPayload | PublicImage:
        """The best that may be had: generation data with a key, else the public entry. A key that is not accepted, and
        a route that fails, are no reason to say nothing: the public entry is given then, with a note."""
        if self._keyed is None:
            return await self.public_image(image_id)
        try:
            return await self.generation_payload(image_id)
        except (Unauthorized, Forbidden) as error:
            refusal, note = error, str(error)
        except (ServerTrouble, CloudflareChallenge, Unreadable, BadRequest, Unreachable) as error:
            if isinstance(error, Unreachable) and not error.timed_out:
                raise  # the other route is on the same host
            refusal = error
            note = f"CivitAI's generation data could not be had, so its public list is told instead: {error}"
        try:
            return await self.public_image(image_id, notes=(note,))
        except CivitaiError:
            raise refusal from None

    async def generation_payload(self, image_id: int) -> GenerationPayload:
        """What made the image, with the resources that CivitAI resolved. Raises NoKey, NotFound (unknown), Unauthorized
        (wrong key), Forbidden (a key without the right), Unreadable."""
        query = (("input", json.dumps({"json": {"id": image_id}}, separators=(",", ":"))),)
        response = await self._ask(PROCEDURE, query)
        envelope = _envelope(response)
        try:
            return _payload(wire.decode(envelope, response.status, response.headers), image_id)
        except ApiError as error:
            raise _in_words(error, image_id) from error

    async def generation_payloads(self, image_ids: Iterable[int]) -> dict[int, GenerationPayload | ApiError]:
        """Several at once, in batches; each image has its payload or its own error. Raises what befalls a whole
        batch."""
        payloads: dict[int, GenerationPayload | ApiError] = {}
        ids = list(dict.fromkeys(image_ids))
        for start in range(0, len(ids), MOST_AT_ONCE):
            payloads |= await self._batch(ids[start : start + MOST_AT_ONCE])
        return payloads

    async def public_image(self, image_id: int, *, notes: tuple[str, ...] = ()) -> PublicImage:
        """The public entry of an image, of any maturity. Raises NotFound: unknown, private, unpublished and withheld
        look alike, for the list is empty then."""
        for entry in await self._entries((("imageId", str(image_id)), ("flatMeta", "true"))):
            if entry.get("id") == image_id:
                return _public(entry, notes)
        raise NotFound(
            f"CivitAI shows no image {image_id} in public: it is unknown, private, unpublished or under review."
            + ("" if self._keyed else " With an API key it may still be read; run `civitai-bridge login`."),
            status=404,
        )

    async def images_of_post(self, post_id: int) -> tuple[PublicImage, ...]:
        """The public images of a post, the oldest first. Raises NotFound when none is visible."""
        query = (("postId", str(post_id)), ("sort", "Oldest"), ("period", "AllTime"), ("limit", "200"))
        entries = await self._entries((*query, ("flatMeta", "true")))
        images = tuple(_public(entry, ()) for entry in entries if entry.get("postId", post_id) == post_id)
        if not images:
            raise NotFound(
                f"CivitAI shows no image of post {post_id} in public: it is unknown, empty, private or unpublished.",
                status=404,
            )
        return images

    async def _ask(self, names: str, query: tuple[tuple[str, str], ...]) -> Response:
        if self._keyed is None:
            raise NoKey
        return await self._keyed(Request("GET", f"/api/trpc/{names}", query=query))

    async def _batch(self, image_ids: Sequence[int]) -> dict[int, GenerationPayload | ApiError]:
        calls = {str(place): {"json": {"id": image_id}} for place, image_id in enumerate(image_ids)}
        query = (("batch", "1"), ("input", json.dumps(calls, separators=(",", ":"))))
        response = await self._ask(",".join([PROCEDURE] * len(image_ids)), query)
        envelopes = _envelope(response)
        if isinstance(envelopes, Mapping) and "error" in envelopes:
            raise wire.refusal(envelopes, response.status)
        if not isinstance(envelopes, list) or len(envelopes) != len(image_ids):
            raise Unreadable("CivitAI answered another number of questions than were asked.", status=response.status)
        payloads: dict[int, GenerationPayload | ApiError] = {}
        for image_id, envelope in zip(image_ids, envelopes, strict=True):
            try:
                payloads[image_id] = _payload(wire.decode(envelope, response.status), image_id)
            except ApiError as error:
                payloads[image_id] = _in_words(error, image_id)
        return payloads

    async def _entries(self, query: tuple[tuple[str, str], ...]) -> list[Mapping[str, Any]]:
        """All entries of a question to `/images`, with every level of maturity and their meta (both are off by
        default)."""
        entries: list[Mapping[str, Any]] = []
        cursor = ""
        for _ in range(_PAGES):
            page = (("cursor", cursor),) if cursor else ()
            common = (("withMeta", "true"), ("browsingLevel", _ALL_LEVELS))
            data = expect(await self._public(Request("GET", "/api/v1/images", query=(*query, *common, *page))))
            if not isinstance(data, Mapping) or not isinstance(data.get("items"), list):
                raise Unreadable("CivitAI answered with something that is no list of images.", status=200)
            entries += objects(data["items"])
            following = mapping(data.get("metadata")).get("nextCursor")
            if not data["items"] or following in (None, "", cursor):
                break
            cursor = str(following)
        return entries


def _envelope(response: Response) -> Any:
    """The JSON of a tRPC answer of any status; a page of the edge, and JSON that is no envelope, is the error of its
    status."""
    try:
        data = response.json()
    except Unreadable:
        if response.status >= 300:
            raise error_from(response) from None
        raise
    if response.status >= 300 and not isinstance(data, list) and not (isinstance(data, Mapping) and "error" in data):
        raise error_from(response)
    return data


def _in_words(error: ApiError, image_id: int) -> ApiError:
    """The same error, saying which image and what to do."""
    sentence = {
        NotFound: f"CivitAI does not know image {image_id}.",
        Forbidden: "The API key may not read images: make one with the right to read media, or use a full one.",
    }.get(type(error))
    if sentence is None:
        return error
    return type(error)(sentence, status=error.status, detail=error.detail, retry_after=error.retry_after)


def _payload(data: Any, image_id: int) -> GenerationPayload:
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
        raise Unreadable(f"CivitAI's answer about image {image_id} is no generation data.", status=200)
    meta, external = data.get("meta"), data.get("external")
    return GenerationPayload(
        image_id=image_id,
        type=data["type"],
        meta=meta if isinstance(meta, Mapping) else None,
        resources=tuple(objects(data.get("resources"))),
        on_site=data.get("onSite") is True,
        process=text(data.get("process")),
        tools=tuple(objects(data.get("tools"))),
        techniques=tuple(objects(data.get("techniques"))),
        external=external if isinstance(external, Mapping) else None,
        remix_of=integer(data.get("remixOfId")),
        raw=data,
    )


def _public(entry: Mapping[str, Any], notes: tuple[str, ...]) -> PublicImage:
    image_id = integer(entry.get("id"))
    if image_id is None:
        raise Unreadable("CivitAI listed an image without an id.", status=200)
    return PublicImage(
        image_id=image_id,
        type=str(entry.get("type") or "image"),
        meta=_unwrapped(entry.get("meta"), image_id),
        version_ids=tuple(filter(integer, items(entry.get("modelVersionIds")))),
        base_model=str(entry.get("baseModel") or ""),
        level=integer(entry.get("browsingLevel")) or 0,
        post_id=integer(entry.get("postId")),
        width=integer(entry.get("width")),
        height=integer(entry.get("height")),
        username=str(entry.get("username") or ""),
        url=str(entry.get("url") or ""),
        raw=entry,
        notes=notes,
    )


def _unwrapped(meta: Any, image_id: int) -> Mapping[str, Any] | None:
    """Some queries wrap the meta once more as `{"id", "meta"}`."""
    while isinstance(meta, Mapping) and set(meta) == {"id", "meta"} and meta["id"] == image_id:
        meta = meta["meta"]
    return meta if isinstance(meta, Mapping) else None
