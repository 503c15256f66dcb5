"""The site's image data: the tRPC call and the public list."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from . import images, models, wire
from .image_answers import generation_data, listed
from .query import LARGEST_ID, PUBLIC, Answer, cursor, flag, levels, next_page, number
from .users import key_of, user_id
from .website import Website
from .wire import UNDEFINED, Failure

NO_MEDIA = "no-media"  # a key without the MediaRead bit
NO_BUZZ = "no-buzz"  # a key without the BuzzRead bit
_OWN_HOSTS = frozenset({"civitai.com", "www.civitai.com", "civitai.red"})
_IMAGE_FILTERS = ("imageId", "postId", "modelVersionId", "modelId")


async def trpc(site: Website, request: web.Request) -> web.StreamResponse:
    """Calls of the site's own page, alone or in a batch."""
    names, batch = request.match_info["names"], request.query.get("batch") == "1"
    calls = names.split(",") if batch else [names]
    given: Any = None
    trouble: Failure | None = None
    text = (await request.read()).decode("utf-8", "replace") if request.method == "POST" else None
    text = request.query.get("input") if text is None else text
    try:
        given = json.loads(text) if text else None
    except ValueError as error:
        trouble = Failure("BAD_REQUEST", str(error))
    statuses, bodies = [], []
    for place, name in enumerate(calls):
        one = given.get(str(place)) if batch and isinstance(given, dict) else given
        try:
            if trouble is not None:
                raise trouble
            payload = _procedure(site, request, name, one)
            status, body = 200, wire.success(payload, site.wire)
        except Failure as refused:
            status, body = wire.CODES[refused.name][0], wire.failure(refused, name, site.wire)
        statuses.append(status)
        bodies.append(body)
    common = statuses[0] if len(set(statuses)) == 1 else 207
    return web.json_response(bodies if batch else bodies[0], status=common)


def _procedure(site: Website, request: web.Request, name: str, given: Any) -> dict[str, Any]:
    if name == "buzz.getBuzzAccount":
        return _wallets(site, key_of(request))
    if name != "image.getGenerationData":
        raise Failure("NOT_FOUND", f'No procedure found on path "{name}"')
    origin = request.headers.get("Origin") or request.headers.get("Referer") or ""
    ours = re.sub(r"^https?://([^/:]+).*$", r"\1", origin) in _OWN_HOSTS
    key = key_of(request)
    if not key and not ours:
        raise Failure("UNAUTHORIZED", "Please use the public API instead: https://developer.civitai.com/")
    if key == NO_MEDIA:
        raise Failure("FORBIDDEN", "Your API key does not have the required scope for this action")
    read = wire.read_input(given)
    if not isinstance(read, dict):
        raise _issue("object", read, [])
    id = read.get("id", UNDEFINED)
    if isinstance(id, bool) or not isinstance(id, (int, float)):
        raise _issue("number", id, ["id"])
    image = images.IMAGES.get(int(id))
    if image is None:
        raise Failure("NOT_FOUND", "Could not find entity")
    return generation_data(image)


def _wallets(site: Website, key: str) -> dict[str, Any]:
    if not key:
        raise Failure("UNAUTHORIZED", "UNAUTHORIZED")
    if key == NO_BUZZ:
        raise Failure("FORBIDDEN", "Your API key does not have the required scope for this action")
    return dict(site.bank.of(str(user_id(key))))


async def image_list(site: Website, request: web.Request) -> web.StreamResponse:
    """The public list of images."""
    query = request.query
    limit = number(query, "limit", 50, 0, 200)
    page = number(query, "page", 0, 1, 10**6)
    if page * limit > 1000:
        raise Answer(429, {"error": "You've requested too many pages, please use cursors instead"})
    wanted = {name: number(query, name, 0, 0, LARGEST_ID) for name in _IMAGE_FILTERS}
    visible = levels(query)
    with_meta = flag(query, "withMeta") or False
    flat = flag(query, "flatMeta")
    if flat is None:
        flat = not (wanted["imageId"] or (wanted["modelId"] and not wanted["modelVersionId"]))
    if query.get("sort") == "Random":
        raise Answer(400, {"error": "Random sort requires a collection", "code": "BAD_REQUEST"})
    found = [image for image in images.IMAGES.values() if image.shown and image.level & visible]
    found = [image for image in found if _fits(image, wanted, query)]
    found.sort(key=lambda image: image.id if query.get("sort") == "Oldest" else (-image.likes, -image.id))
    start = cursor(query) if "cursor" in query else max(0, page - 1) * limit
    tags = bool(flag(query, "withTags"))
    items = [
        listed(image, site.storage.base, with_meta=with_meta, wrapped=not flat, with_tags=tags)
        for image in found[start : start + limit]
    ]
    metadata: dict[str, Any] = {}
    if start + limit < len(found) and limit:
        metadata = {"nextCursor": str(start + limit), "nextPage": next_page(request, site.base, start + limit)}
    if page:
        metadata |= {"currentPage": page, "pageSize": limit}
    return web.json_response({"items": items, "metadata": metadata}, headers=PUBLIC)


def _fits(image: images.Image, wanted: Mapping[str, int], query: Mapping[str, str]) -> bool:
    versions = [version_id for version_id, _ in image.resources]
    return (
        wanted["imageId"] in (0, image.id)
        and wanted["postId"] in (0, image.post_id)
        and (not wanted["modelVersionId"] or wanted["modelVersionId"] in versions)
        and (not wanted["modelId"] or wanted["modelId"] in {models.VERSIONS[v].model_id for v in versions})
        and query.get("type", image.type) == image.type
        and (query.get("requiringMeta") != "true" or image.open_meta is not None)
    )


def _issue(expected: str, given: Any, path: list[str]) -> Failure:
    names = {str: "string", dict: "object", list: "array", bool: "boolean", type(None): "null"}
    received = "undefined" if given is UNDEFINED else names.get(type(given), "number")
    message = f"Invalid input: expected {expected}, received {received}"
    issue = {"expected": expected, "code": "invalid_type", "path": path, "message": message}
    return Failure("BAD_REQUEST", json.dumps([issue], indent=2))
