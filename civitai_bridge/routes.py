"""The routes of facts/catalog.md on plain aiohttp, and who may call them (contract.md, Routes).

    request -> who asks (401) -> is it JSON (415) -> the story, backstage -> JSON

The server's loop reads headers and waits; look-ups, files and the writing of long answers happen elsewhere. Whoever
asks is an admin with the token, or our own page in a browser on this machine: a foreign page, a rebound name, a
neighbour in the network and whoever comes through a proxy are none of these.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, web

from .errors import (
    ApiError,
    BadInput,
    BadSetting,
    CatalogBusy,
    CivitaiError,
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
from .network.background import wait_for
from .network.hosts import is_loopback_host
from .resources.reference import LARGEST_ID

if TYPE_CHECKING:
    from .catalog.service import CatalogService
    from .website import Reader

log = logging.getLogger(__name__)
SESSION = "X-Civitai-Bridge-Session"
_LONGEST_ID = 18  # digits: beyond them int() and SQLite have limits of their own, and CivitAI has no ids
_LATER = 10  # seconds after which to come again, where CivitAI names none
_PORTS = {"http": 80, "https": 443}
# What proxies add; a browser sends none of them.
_DETOURS = frozenset({"via", "x-real-ip", "cf-connecting-ip"})
_DETOUR_WORDS = ("forwarded", "client-ip")  # in any spelling: X-Original-Forwarded-For, X_Forwarded_For
# The first that fits. CivitAI's own 401 and 403 must not look like ours (contract.md, site-api §8.1).
_STATUSES: tuple[tuple[type[CivitaiError], int], ...] = (
    (NotFound, 404), (Gone, 404), (NotInCatalog, 404), (NotALora, 400),
    (Unauthorized, 424), (Forbidden, 424), (RegionBlocked, 424), (NoKey, 424),
    (RateLimited, 503), (ServerTrouble, 503), (Unreachable, 503), (CatalogBusy, 503),
    (ApiError, 502), (BadSetting, 500), (BadInput, 400), (CivitaiError, 500),
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What the routes stand on. `start` runs a story on the background loop, where `desk` and `reader` are awaited;
    `admin_token` may read files; `session` is this process's; `patience` is in seconds."""

    start: Callable[[Coroutine[Any, Any, Any]], concurrent.futures.Future[Any]]
    desk: Callable[[], Awaitable[CatalogService]]
    reader: Callable[[], Awaitable[Reader]]
    admin_token: Callable[[], str] = field(repr=False)
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    patience: float = 60.0


def add_routes(table: web.RouteTableDef, context: Context) -> None:
    """Put the routes into a table; ComfyUI serves what is in its own below `/api` as well."""
    table.get("/admin/civitai/image/{id:\\d+}")(_guarded(context, _image))
    table.get("/admin/civitai/catalog")(_guarded(context, _map))
    table.post("/admin/civitai/add/{id:\\d+}")(_guarded(context, _add))
    table.post("/admin/civitai/promote-to-lora/{id:\\d+}")(_guarded(context, _promote))
    table.post("/civitai_bridge/session")(_session(context))


# --- the stories, backstage


Story = Callable[[Context, str], Coroutine[Any, Any, Mapping[str, Any]]]


async def _image(context: Context, id_: str) -> Mapping[str, Any]:
    from .image_answer import image_answer

    reader, desk = await context.reader(), await context.desk()
    return await image_answer(await reader.image(id_), desk)


async def _map(context: Context, _: str) -> Mapping[str, Any]:
    return await (await context.desk()).map_()


async def _add(context: Context, id_: str) -> Mapping[str, Any]:
    return (await (await context.desk()).add(_version(id_))).as_json()


async def _promote(context: Context, id_: str) -> Mapping[str, Any]:
    return (await (await context.desk()).promote(_version(id_))).as_json()


def _version(id_: str) -> str:
    """A version's id as a reference that is read as nothing else: more digits would be a hash (contract.md)."""
    number = int(id_)
    if number > LARGEST_ID:
        raise NotFound(f"CivitAI has no version {id_}; its ids end at {LARGEST_ID}.", status=404)
    return str(number)


# --- the frame around each of them


def _guarded(context: Context, story: Story) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if not await _may(context, request):
            return _refused()
        if request.method == "POST" and request.content_type != "application/json":
            return _error(415, "not_json", "Send it as POST with the content type application/json.")
        id_ = request.match_info.get("id", "")
        if len(id_) > _LONGEST_ID or not id_.isascii():
            return _error(400, "unknown_reference", f"{id_[:30]}… is no id of CivitAI.")
        try:
            content = await _backstage(context, _written(context, story, id_))
        except CivitaiError as error:
            return _answer_of(error)
        except Exception:  # the door: whatever it is, the page gets JSON and the console the whole story
            log.exception("A route of the Civitai Bridge failed.")
            return _error(500, "error", "Something went wrong here; the server's console says what.")
        return web.Response(body=content, content_type="application/json", headers={"Cache-Control": "no-store"})

    return handle


async def _written(context: Context, story: Story, id_: str) -> bytes:
    answer = await story(context, id_)

    def write() -> bytes:
        return json.dumps(finite(answer), ensure_ascii=False).encode("utf-8", "replace")

    try:
        return await asyncio.to_thread(write)
    except RecursionError:
        raise Unreadable("CivitAI's answer is nested too deep to be passed on.", status=200) from None


async def _backstage(context: Context, story: Coroutine[Any, Any, bytes]) -> bytes:
    work = context.start(story)
    try:
        return await asyncio.wait_for(wait_for(work), context.patience)
    except asyncio.TimeoutError:
        work.cancel()
        raise Unreachable("CivitAI takes too long to answer; try again in a while.") from None


def _answer_of(error: CivitaiError) -> web.Response:
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    headers = {}
    if status == 503:
        after = getattr(error, "retry_after", None)
        headers["Retry-After"] = str(_LATER if after is None else math.ceil(after))
    return _error(status, error.code, str(error), headers)


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message, "code": code}, status=status, headers=headers)


def _refused() -> web.Response:
    return _error(
        401,
        "unauthorized",
        "This needs the admin token, as `Authorization: Bearer …`; `civitai-bridge catalog token` shows it.",
        {"WWW-Authenticate": "Bearer"},
    )


def finite(value: Any) -> Any:
    """A value as JSON takes it; the wire of the site knows `nan` and infinities, JSON does not."""
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- who asks


def _session(context: Context) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if "Origin" not in request.headers or not is_own_page(request):
            return _refused()
        if request.content_type != "application/json":
            return _error(415, "not_json", "Send it as POST with the content type application/json.")
        return web.json_response({"session": context.session}, headers={"Cache-Control": "no-store"})

    return handle


async def _may(context: Context, request: web.Request) -> bool:
    """The admin token from anywhere, or this process's session from our own page."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given.strip():
        try:
            token = await asyncio.to_thread(context.admin_token)
        except CivitaiError as error:
            log.warning("Nobody can be let in by the admin token: %s", error)
            token = ""
        if _same(token, given.strip()):
            return True
    return _same(context.session, request.headers.get(SESSION, "")) and is_own_page(request)


def _same(secret: str, given: str) -> bool:
    from .settings import is_admin

    return bool(given) and is_admin(secret, given)


def is_own_page(request: web.Request) -> bool:
    """Whether a browser on this machine asks from our own page: the peer and the name that it calls us by are
    loopback, with the port that it reached, an `Origin` is the same, and no proxy stands between.

    Without an `Origin` this says only that the request was made here: browsers send none with a GET."""
    transport = request.transport
    peer, own = (transport.get_extra_info(name) for name in ("peername", "sockname")) if transport else (None, None)
    if not isinstance(peer, tuple) or not isinstance(own, tuple) or not is_loopback_host(str(peer[0])):
        return False
    if request.version < HttpVersion11:  # no browser; nginx, left to itself, asks so
        return False
    names = {name.lower().replace("_", "-") for name in request.headers}
    if names & _DETOURS or any(word in name for name in names for word in _DETOUR_WORDS):
        return False
    hosts, origins = request.headers.getall("Host", []), request.headers.getall("Origin", [])
    if len(hosts) != 1 or len(origins) > 1:
        return False
    here = _place(f"{request.scheme}://{hosts[0]}")
    if here is None or not is_loopback_host(here[1]) or here[2] != own[1]:
        return False
    return not origins or _place(origins[0]) == here


def _place(address: str) -> tuple[str, str, int] | None:
    """Scheme, name and port of an origin; None for anything that is more or less than one (`null`)."""
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    more = parts.path or parts.query or parts.fragment or parts.username is not None or parts.password is not None
    if more or not parts.hostname or port is None:
        return None
    return parts.scheme, parts.hostname.lower(), port
