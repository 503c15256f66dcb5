"""The site's routes: image data over tRPC, REST v1, hashes and downloads, as CivitAI's own source has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from . import site_downloads, site_images, site_models
from .faults import Handler
from .query import Answer
from .users import key_of, user_id
from .website import Website

SiteHandler = Callable[[Website, web.Request], Awaitable[web.StreamResponse]]


def site_routes(site: Website, around: Callable[[str, Handler], Handler]) -> list[web.RouteDef]:
    """The site's routes; `around` puts the sandbox's log and faults around each."""
    return [
        (web.post if method == "POST" else web.get)(path, around(name, _framed(site, handler)))
        for method, path, name, handler in _ROUTES
    ]


def storage_routes(site: Website, around: Callable[[str, Handler], Handler]) -> list[web.RouteDef]:
    """What signed addresses of files, and addresses of pictures, lead to."""
    return [
        web.route("*", "/models/{id:\\d+}/{name}", around("storage", _slowly(site, site.storage.model))),
        web.get("/{token}/{uuid}/{params}/{name}", around("media", site.storage.media)),
    ]


def _slowly(site: Website, handler: Handler) -> Handler:
    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(site.delay)
        return await handler(request)

    return slowly


def _framed(site: Website, handler: SiteHandler) -> Handler:
    """Turn an Answer into a response, with the site's headers."""

    async def framed(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(site, request)
        except Answer as other:
            if isinstance(other.body, str):
                return web.Response(status=other.status, text=other.body, headers=other.headers)
            return web.json_response(other.body, status=other.status, headers=other.headers)

    return _slowly(site, framed)


async def _me(site: Website, request: web.Request) -> web.StreamResponse:
    """Whose key it is."""
    key = key_of(request)
    if not key:
        raise Answer(401, {"error": "Unauthorized"})
    user = user_id(key)
    scope = 1 if key == site_images.NO_MEDIA else 33554431
    return web.json_response(
        {
            "id": user, "username": f"sandbox-{user}", "status": "active", "isMember": False, "subscriptions": [],
            "tokenScope": scope, "buzzLimit": None, "subject": {"type": "apiKey", "id": user},
        }
    )  # fmt: skip


_VERSIONS = "/api/v1/model-versions"
_ROUTES: tuple[tuple[str, str, str, SiteHandler], ...] = (
    ("GET", "/api/trpc/{names}", "trpc", site_images.trpc),
    ("POST", "/api/trpc/{names}", "trpc", site_images.trpc),
    ("GET", "/api/v1/images", "site", site_images.image_list),
    ("GET", _VERSIONS + "/mini/{id}", "site", site_models.mini),
    ("GET", _VERSIONS + "/by-hash/{hash}", "site", site_models.by_hash),
    ("POST", _VERSIONS + "/by-hash", "site", site_models.by_hashes),
    ("POST", _VERSIONS + "/by-hash/ids", "site", site_models.ids_by_hashes),
    ("GET", _VERSIONS + "/{id}", "site", site_models.version),
    ("GET", "/api/v1/models", "site", site_models.model_list),
    ("GET", "/api/v1/models/{id}", "site", site_models.model),
    ("GET", "/api/v1/me", "site", _me),
    ("GET", "/api/download/models/{id}", "download", site_downloads.download),
)
