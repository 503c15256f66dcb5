"""The relay's REST calls: a user's instances, by the session cookie of the site, and pairing by account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from .instances import LIMIT, Instance, Instances, LimitReached
from .script import RelayScript

COOKIE = "__Secure-civitai-token"
_FULL = "Instance limit reached"
_SELF_ANSWERS = {401: "unauthorized", 400: _FULL, 503: "hub_unavailable"}
Kick = Callable[[str], Awaitable[None]]


def link_routes(instances: Instances, script: RelayScript, kick: Kick) -> list[web.RouteDef]:
    """`/api/link` and `/api/link/self`; `kick` empties the room of a key that is gone."""
    rest = _Rest(instances, script, kick)
    return [
        web.get("/api/link", rest.show),
        web.post("/api/link", rest.add),
        web.put("/api/link", rest.rename),
        web.delete("/api/link", rest.delete),
        web.post("/api/link/self", rest.pair_account),
    ]


class _Rest:
    def __init__(self, instances: Instances, script: RelayScript, kick: Kick) -> None:
        self._instances, self._script, self._kick = instances, script, kick

    async def show(self, request: web.Request) -> web.StreamResponse:
        """All instances of the user."""
        user = _user(request)
        return web.json_response([row.shown() for row in self._instances.of(user)]) if user else _refusal(401)

    async def add(self, request: web.Request) -> web.StreamResponse:
        """A new instance, or a new code for one."""
        user = _user(request)
        if not user:
            return _refusal(401)
        wish = await _body(request)
        try:
            if "id" in wish:
                row = self._own(user, wish["id"])
                if row is None:
                    return _refusal(404)
                await self._kick(row.key)
                row = self._instances.rekey(row)
            else:
                row = self._instances.add(user)
        except LimitReached:
            return web.json_response({"error": _FULL}, status=400)
        count = len(self._instances.of(user))
        answer = {"id": row.id, "key": row.key, "instanceCount": count, "instanceLimit": LIMIT, "name": row.name}
        return web.json_response(answer)

    async def rename(self, request: web.Request) -> web.StreamResponse:
        """Another name for an instance."""
        user, wish = _user(request), await _body(request)
        row = self._own(user, wish.get("id")) if user else None
        if row is None:
            return _refusal(404 if user else 401)
        self._instances.rename(row, str(wish.get("name", ""))[:100])
        return web.json_response({"id": row.id, "name": wish.get("name")})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Forget an instance and kick whoever is in its room."""
        user, text = _user(request) or _bearer(request), request.query.get("id", "")
        row = self._own(user, int(text)) if user and text.isdigit() else None
        if row is None:
            return _refusal(404 if user else 401)
        self._instances.delete(row)
        await self._kick(row.key)
        return web.json_response({"success": True})

    async def pair_account(self, request: web.Request) -> web.StreamResponse:
        """An activated instance for an installation whose owner signed in, or what the script says instead."""
        if self._script.self_answer != 200:
            return _refusal(self._script.self_answer)
        user, wish = _bearer(request), await _body(request)
        if not user:
            return _refusal(401)
        try:
            row = self._instances.pair_account(
                user, str(wish.get("installId", "")), str(wish.get("name", "")), str(wish.get("legacyKey", ""))
            )
        except LimitReached:
            return _refusal(400)
        return web.json_response({"id": row.id, "key": row.key, "name": row.name})

    def _own(self, user: str, wanted: Any) -> Instance | None:
        row = self._instances.rows.get(wanted) if isinstance(wanted, int) else None
        return row if row is not None and row.user == user else None


def _user(request: web.Request) -> str:
    return request.cookies.get(COOKIE, "")


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(status: int) -> web.Response:
    error = _SELF_ANSWERS.get(status, "not found")
    return web.json_response({"error": error}, status=status)
