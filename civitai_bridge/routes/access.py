"""Who may ask: an admin with the token from anywhere, or our own page in a browser on this machine.

A foreign page, a rebound name, a neighbour in the network and whoever comes through a proxy are none of these.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, web

from ..errors import CivitaiError
from ..network.hosts import is_loopback_host
from ..settings import is_admin

log = logging.getLogger(__name__)
SESSION = "X-Civitai-Bridge-Session"
_PORTS = {"http": 80, "https": 443}
# What proxies add; a browser sends none of them.
_DETOURS = frozenset({"via", "x-real-ip", "cf-connecting-ip"})
_DETOUR_WORDS = ("forwarded", "client-ip")  # in any spelling: X-Original-Forwarded-For, X_Forwarded_For


async def may_ask(request: web.Request, admin_token: Callable[[], str], session: str) -> bool:
    """Whether a request comes from an admin, or from our own page with this process's `session`."""
    return await is_from_admin(request, admin_token) or (
        is_same(session, request.headers.get(SESSION, "")) and is_own_page(request)
    )


async def is_from_admin(request: web.Request, admin_token: Callable[[], str]) -> bool:
    """Whether a request bears the admin token; `admin_token` may read files."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        return False
    try:
        return is_same(await asyncio.to_thread(admin_token), given.strip())
    except CivitaiError as error:
        log.warning("Nobody can be let in by the admin token: %s", error)
        return False


def is_same(secret: str, given: str) -> bool:
    """Whether a secret was given, compared in constant time."""
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
    own_origin = _origin(f"{request.scheme}://{hosts[0]}")
    if own_origin is None or not is_loopback_host(own_origin[1]) or own_origin[2] != own[1]:
        return False
    return not origins or _origin(origins[0]) == own_origin


def _origin(address: str) -> tuple[str, str, int] | None:
    """Scheme, name and port of an origin; None for anything that is more or less than one (`null`)."""
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    extra = parts.path or parts.query or parts.fragment or parts.username is not None or parts.password is not None
    if extra or not parts.hostname or port is None:
        return None
    return parts.scheme, parts.hostname.lower(), port
