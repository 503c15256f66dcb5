"""The routes, and the answers that they give.

    request -> who asks (401) -> is it JSON (415) -> the story, on the background loop -> JSON

The server's loop reads headers and waits; look-ups, files and the writing of long answers happen elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from aiohttp import web

from ..errors import (
    AdminNeeded,
    ApiError,
    BadInput,
    BadSetting,
    BlobTrouble,
    CatalogBusy,
    CivitaiError,
    DownloadForbidden,
    DownloadRefused,
    Forbidden,
    Gone,
    NoKey,
    NotALora,
    NotFound,
    NotInCatalog,
    RateLimited,
    RegionBlocked,
    ServerTrouble,
    Unauthorized,
    Unreachable,
    Unreadable,
)
from ..network.background import wait_for
from ..resources.json_values import finite
from ..resources.reference import LARGEST_ID
from ..wording import at_a_graph
from .access import TOKEN_COMMAND, TOKEN_NEEDED
from .context import SMALL, Asked, Bytes, Context, Route, Story
from .page import PAGE_ROUTES

log = logging.getLogger(__name__)
_LONGEST_ID = 18  # digits: beyond them int() and SQLite have limits of their own, and CivitAI has no ids
_HALVES = re.compile(rb"\\u[dD][89a-fA-F]")  # of UTF-16, in JSON: most stand in pairs
_LATER = 10  # seconds after which to come again, where CivitAI names none
# The first that fits. CivitAI's own 401 and 403 must not look like ours.
_STATUSES: tuple[tuple[type[CivitaiError], int], ...] = (
    (AdminNeeded, 403), (NotFound, 404), (Gone, 404), (NotInCatalog, 404), (NotALora, 400),
    (Unauthorized, 424), (Forbidden, 424), (RegionBlocked, 424), (NoKey, 424),
    (RateLimited, 503), (ServerTrouble, 503), (Unreachable, 503), (CatalogBusy, 503),
    (DownloadForbidden, 400), (DownloadRefused, 424), (BlobTrouble, 424),
    (ApiError, 502), (BadSetting, 500), (BadInput, 400), (CivitaiError, 500),
)  # fmt: skip


async def _image(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .image_answer import image_answer

    reader, catalog = await context.reader(), await context.catalog()
    return await image_answer(await reader.image(asked.id), catalog)


async def _map(context: Context, _: Asked) -> Mapping[str, Any]:
    return await (await context.catalog()).map()


async def _add(context: Context, asked: Asked) -> Mapping[str, Any]:
    return (await (await context.catalog()).add(_version(asked.id))).as_json()


async def _promote(context: Context, asked: Asked) -> Mapping[str, Any]:
    return (await (await context.catalog()).promote(_version(asked.id))).as_json()


async def _key_state(context: Context, _: Asked) -> Mapping[str, Any]:
    from .key import key_state

    return await asyncio.to_thread(key_state, context.gate.settings)


async def _keep_key(context: Context, asked: Asked) -> Mapping[str, Any]:
    from .key import keep_key

    return await asyncio.to_thread(keep_key, context.gate.settings, asked.body.get("key"))


_ID = "{id:\\d+}"
_ROUTES: tuple[Route, ...] = (
    Route("GET", f"/admin/civitai/image/{_ID}", _image),
    Route("GET", "/admin/civitai/catalog", _map),
    Route("POST", f"/admin/civitai/add/{_ID}", _add),
    Route("POST", f"/admin/civitai/promote-to-lora/{_ID}", _promote),
    Route("GET", "/civitai_bridge/key", _key_state),
    Route("POST", "/civitai_bridge/key", _keep_key),
    *PAGE_ROUTES,
)
_OF_PAGE = "/civitai_bridge/"  # these speak to somebody who sees the page
_SESSION = f"{_OF_PAGE}session"


def add_routes(table: web.RouteTableDef, context: Context) -> None:
    """Put the routes into a table; ComfyUI serves what is in its own below `/api` as well."""
    for route in _ROUTES:
        register = table.get if route.method == "GET" else table.post
        register(route.path)(_guarded(context, route))
    table.post(_SESSION)(_session(context))
    # Last, so that it gets what no route above took: another method, or no such route.
    for path in ("/admin/civitai{rest:(/.*)?}", "/civitai_bridge{rest:(/.*)?}"):
        table.route("*", path)(_elsewhere)


async def _elsewhere(request: web.Request) -> web.Response:
    path = request.path.removeprefix("/api")
    routes = [*((route.method, route.path) for route in _ROUTES), ("POST", _SESSION)]
    methods = {method for method, pattern in routes if _is_of(path, pattern)}
    if not methods:
        return _error(404, "not_found", f"There is no route {path[:100]}.")
    allowed = ", ".join(sorted(methods))
    return _error(405, "method_not_allowed", f"{path[:100]} takes {allowed} alone.", {"Allow": allowed})


def _is_of(path: str, pattern: str) -> bool:
    return re.fullmatch(pattern.replace(_ID, r"\d+"), path, re.ASCII) is not None


def _version(id_: str) -> str:
    """A version's id as a reference that is read as nothing else: more digits would be a hash."""
    number = int(id_)
    if number > LARGEST_ID:
        raise NotFound(f"CivitAI has no version {id_}; its ids end at {LARGEST_ID}.", status=404)
    return str(number)


def _guarded(context: Context, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if reason := await context.gate.refusal(request):
            return _refused(reason)
        if request.method == "POST" and request.content_type != "application/json":
            return _error(415, "not_json", "Send it as POST with the content type application/json.")
        id_ = request.match_info.get("id", "")
        if len(id_) > _LONGEST_ID or not id_.isascii():
            return _error(400, "unknown_reference", f"{id_[:30]}… is no id of CivitAI.")
        try:
            body = await _body(request, route.largest)
            asked = Asked(id_, body, dict(request.query), context.gate.is_admin(request))
            answer = await _backstage(context, _written(context, route.story, asked), route.patience)
        except CivitaiError as error:
            return _answer_of(error, at_a_graph(str(error)) if route.path.startswith(_OF_PAGE) else str(error))
        except Exception:  # the door: whatever it is, the page gets JSON and the console the whole story
            log.exception("A route of the Civitai Bridge failed.")
            return _error(500, "error", "Something went wrong here; the server's console says what.")
        headers = {"Cache-Control": "no-store", **answer.headers}
        return web.Response(body=answer.content, content_type=answer.content_type, headers=headers)

    return handle


async def _body(request: web.Request, largest: int) -> Mapping[str, Any]:
    """The JSON object of a request, empty where it has none. Raises BadInput."""
    if not request.can_read_body:
        return {}
    parts, size = [], 0
    while size <= largest and (part := await request.content.read(largest + 1 - size)):  # what has arrived so far
        parts.append(part)
        size += len(part)
    if size > largest:
        raise BadInput(f"The body of the request must be a JSON object of at most {largest // 1024:,} kB.")
    content = b"".join(parts)
    try:
        body = await asyncio.to_thread(_read, content) if size > SMALL else _read(content or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BadInput("The body of the request must be a JSON object.")
    return body


def _read(content: bytes) -> Any:
    """The JSON of a body; half of a letter, which no file and no address can be named with, becomes the sign for one
    that cannot be shown. Raises ValueError, RecursionError."""
    value = json.loads(content)
    if not _HALVES.search(content):
        return value
    text = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return json.loads(text)


async def _written(context: Context, story: Story, asked: Asked) -> Bytes:
    answer = await story(context, asked)
    if isinstance(answer, Bytes):
        return answer

    def write() -> bytes:
        return json.dumps(finite(answer), ensure_ascii=False).encode("utf-8", "replace")

    try:
        return Bytes(await asyncio.to_thread(write), "application/json")
    except RecursionError:
        raise Unreadable("CivitAI's answer is nested too deep to be passed on.", status=200) from None


async def _backstage(context: Context, story: Coroutine[Any, Any, Bytes], patience: float | None) -> Bytes:
    work = context.start(story)
    try:
        return await asyncio.wait_for(wait_for(work), context.patience if patience is None else patience)
    except asyncio.TimeoutError:
        work.cancel()
        raise Unreachable("CivitAI takes too long to answer; try again in a while.") from None


def _answer_of(error: CivitaiError, sentence: str) -> web.Response:
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    headers = {}
    if status == 503:
        after = getattr(error, "retry_after", None)
        headers["Retry-After"] = str(_LATER if after is None else math.ceil(after))
    members = {"command": TOKEN_COMMAND} if isinstance(error, AdminNeeded) else {}
    return _error(status, error.code, sentence, headers, **members)


def _error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **members: str
) -> web.Response:
    return web.json_response({"error": message, "code": code, **members}, status=status, headers=headers)


def _refused(reason: str) -> web.Response:
    """A 401; where the token is all that is missing it names the `command` that shows it, for our page."""
    answer = {"error": reason, "code": "unauthorized"}
    if reason == TOKEN_NEEDED:
        answer["command"] = TOKEN_COMMAND
    return web.json_response(answer, status=401, headers={"WWW-Authenticate": "Bearer"})


def _session(context: Context) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if "Origin" not in request.headers or not await context.gate.is_our_page(request):
            return _refused(TOKEN_NEEDED)
        if request.content_type != "application/json":
            return _error(415, "not_json", "Send it as POST with the content type application/json.")
        return web.json_response({"session": context.gate.session}, headers={"Cache-Control": "no-store"})

    return handle
