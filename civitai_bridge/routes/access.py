"""Who may ask: an admin with the token from anywhere, or our own page in a browser on this machine.

A foreign page, a rebound name, a neighbour in the network and whoever comes through a proxy are none of these.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import HttpVersion11, web

from ..errors import CivitaiError
from ..network.hosts import is_loopback_host
from ..settings import Settings, is_admin
from ..wording import public_command
from .peers import Address, in_container, is_own_account

log = logging.getLogger(__name__)
SESSION = "X-Civitai-Bridge-Session"
TOKEN_COMMAND = f"{public_command()} catalog token"
TOKEN_NEEDED = f"This needs the admin token, as `Authorization: Bearer …`; `{TOKEN_COMMAND}` shows it."
_MEND = f"Mend or move it away; then `{TOKEN_COMMAND}` shows a new token."
_PORTS = {"http": 80, "https": 443}
# What proxies add; a browser sends none of them.
_DETOURS = frozenset({"via", "cdn-loop", "front-end-https", "x-scheme", "x-host"})
_DETOUR_HEADS = ("cf-", "x-arr-", "x-amzn-", "x-appengine-", "x-envoy-", "x-original-", "tailscale-", "ngrok-")
# In any spelling: X-Original-Forwarded-For, X_Forwarded_For, X-Azure-ClientIP, X-ProxyUser-Ip.
_DETOUR_WORDS = ("forward", "client-ip", "clientip", "real-ip", "remote-ip", "remote-addr", "proxy")


@dataclass
class Gate:
    """Who is let in. `admin_token` and `settings` may read files; `session` is this process's. `is_own_account` says of
    both ends of a connection whether a program of this account made it (slow)."""

    admin_token: Callable[[], str] = field(repr=False)
    settings: Callable[[], Settings]
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    is_own_account: Callable[[Address, Address], bool] = is_own_account
    in_container: Callable[[], bool] = in_container
    last_token: str = field(default="", repr=False)  # as it was read last, for when its file is damaged
    elevated: bool = False  # whether our page has shown the admin token once in this process

    async def refusal(self, request: web.Request) -> str:
        """Why a request is not let in, `""` where it is."""
        given = _bearer(request)
        if given:
            token = await asyncio.to_thread(self._token)
            if is_same(token, given):
                return ""
            if not token:
                return "The admin token cannot be read: credentials.json in the state folder is damaged. " + _MEND
        if is_same(self.session, request.headers.get(SESSION, "")) and await self.is_our_page(request):
            return ""
        return TOKEN_NEEDED

    def is_admin(self, request: web.Request) -> bool:
        """Whether a request that was let in came with the admin token, or from our page after that has shown it once
        in this process."""
        given, is_session = _bearer(request), is_same(self.session, request.headers.get(SESSION, ""))
        shown = bool(given) and is_same(self.last_token, given)
        self.elevated = self.elevated or (shown and is_session)
        return shown or (self.elevated and is_session)

    async def is_our_page(self, request: web.Request) -> bool:
        """Whether a browser of this account on this machine asks from our own page, and may do so."""
        if not is_own_page(request) or request.transport is None:
            return False
        peer, own = (request.transport.get_extra_info(name) for name in ("peername", "sockname"))
        return await asyncio.to_thread(lambda: self._pages_work() and self.is_own_account(peer, own))

    def _pages_work(self) -> bool:
        try:
            settings = self.settings()
        except CivitaiError:
            return False
        return not settings.damage and settings.page_session == "auto" and not self.in_container()

    def _token(self) -> str:
        try:
            self.last_token = self.admin_token()
        except CivitaiError as error:
            log.warning("The admin token cannot be read: %s", error)
        return self.last_token


def _bearer(request: web.Request) -> str:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


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
    words = any(word in name for name in names for word in _DETOUR_WORDS)
    if names & _DETOURS or words or any(name.startswith(_DETOUR_HEADS) for name in names):
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
