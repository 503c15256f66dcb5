"""How the site reads a query string, and what it answers to values that it does not take."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

_NSFW = {"None": 1, "Soft": 3, "Mature": 7, "X": 31, "Blocked": 32}
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
PUBLIC = {
    "Cache-Control": "public, s-maxage=300, stale-while-revalidate=150",
    "Access-Control-Allow-Origin": "*",
}
LARGEST_ID = 2**31 - 1  # ids are int4 on the site


class Answer(Exception):
    """An answer other than the plain 200."""

    def __init__(self, status: int, body: Any, **headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def levels(query: Mapping[str, str]) -> int:
    """The levels that a query lets through: PG only unless it says more; `browsingLevel` wins."""
    if "browsingLevel" in query:
        return number(query, "browsingLevel", 1, 0, 63)
    word = query.get("nsfw")
    if word is None:
        return 1
    if word in _NSFW:
        return _NSFW[word]
    if word.lower() in _TRUE:
        return 4 | 8 | 16
    if word.lower() in _FALSE:
        return 1
    raise zod("nsfw", "Invalid option")


def number(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number of a query within its bounds. Raises Answer (400)."""
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?\d{1,12}", text):
        raise zod(name, "Invalid input: expected number, received NaN")
    if not least <= int(text) <= most:
        raise zod(name, f"Too {'small' if int(text) < least else 'big'}: expected number")
    return int(text)


def flag(query: Mapping[str, str], name: str) -> bool | None:
    """A yes or no of a query; None where it says nothing. Raises Answer (400)."""
    word = query.get(name)
    if word is None:
        return None
    if word.lower() not in _TRUE | _FALSE:
        raise zod(name, "Invalid option")
    return word.lower() in _TRUE


def cursor(query: Mapping[str, str]) -> int:
    """Where a page begins. Raises Answer (400)."""
    if not query["cursor"].isdigit():
        raise Answer(400, {"error": "Invalid cursor", "code": "BAD_REQUEST"})
    return int(query["cursor"])


def next_page(request: web.Request, base: str, cursor: int) -> str:
    """The address of the page that begins at a cursor."""
    return base + str(request.rel_url.update_query({"cursor": str(cursor)}))


def zod(name: str, message: str) -> Answer:
    """The refusal of one value, in the words of the site's library."""
    issues = [{"code": "invalid_value", "path": [name], "message": message}]
    return Answer(400, {"error": {"name": "ZodError", "message": json.dumps(issues, indent=2)}})
