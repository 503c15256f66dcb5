"""Who asks the sandbox: users by their keys."""

from __future__ import annotations

import hashlib

from aiohttp import web

from .workflows import problem

NO_SESSION = frozenset({"wrong", "expired", "banned"})  # keys that the site does not take


def user_id(key: str) -> int:
    """The user whose key it is. What stands behind a `~` tells several keys of one user apart: `mine`, `mine~2`."""
    return int(hashlib.sha256(key.partition("~")[0].encode()).hexdigest()[:6], 16)


def user_of(request: web.Request) -> str:
    """The user of a request to the orchestrator. Raises Refusal (401) without a key that it takes."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token or token in ("expired", "wrong"):
        raise problem(401, "Unauthorized")
    return str(user_id(token))


def is_staff(request: web.Request) -> bool:
    """Whether the key is one of CivitAI's staff: here, one that begins with `staff`."""
    return request.headers.get("Authorization", "").partition(" ")[2].startswith("staff")


def key_of(request: web.Request) -> str:
    """The key of a session, `""` for none: the second word of the header whatever the first, else `?token=`
    ."""
    words = request.headers.get("Authorization", "").split()
    key = words[1] if len(words) > 1 else "" if words else request.query.get("token", "")
    return "" if key in NO_SESSION else key
