"""The two wire formats of the site's tRPC pools, superjson and devalue, and its error envelopes."""

from __future__ import annotations

import json
import math
from typing import Any

CODES: dict[str, tuple[int, int]] = {
    "BAD_REQUEST": (400, -32600),
    "UNAUTHORIZED": (401, -32001),
    "FORBIDDEN": (403, -32003),
    "NOT_FOUND": (404, -32004),
    "TIMEOUT": (408, -32008),
    "TOO_MANY_REQUESTS": (429, -32029),
    "INTERNAL_SERVER_ERROR": (500, -32603),
    "SERVICE_UNAVAILABLE": (503, -32603),
}


class _Undefined:
    """JavaScript's undefined, which JSON has not."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = _Undefined()


class Failure(Exception):
    """A procedure's refusal by its tRPC name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


def success(payload: Any, wire: str) -> dict[str, Any]:
    """The envelope of an answer."""
    if wire == "devalue":
        return {"result": {"data": devalue(payload)}}
    paths: dict[str, list[str]] = {}
    plain = _plain(payload, (), paths)
    data = {"json": plain, **({"meta": {"values": paths, "v": 1}} if paths else {})}
    return {"result": {"data": data}}


def failure(refused: Failure, path: str, wire: str) -> dict[str, Any]:
    """The envelope of a refusal."""
    status, code = CODES[refused.name]
    shape = {
        "message": refused.message,
        "code": code,
        "data": {"code": refused.name, "httpStatus": status, "path": path},
    }
    return {"error": devalue(shape) if wire == "devalue" else {"json": shape}}


def read_input(text: Any) -> Any:
    """What a procedure gets: superjson's `{"json": …}`, or a JSON string that holds a devalue document. Anything else
    is undefined to it."""
    if isinstance(text, str):
        try:
            return undevalue(json.loads(text))
        except (ValueError, IndexError, TypeError, RecursionError) as error:
            raise Failure("BAD_REQUEST", f"Invalid input: {error}") from error
    return text["json"] if isinstance(text, dict) and "json" in text else UNDEFINED


def _plain(value: Any, path: tuple[str, ...], paths: dict[str, list[str]]) -> Any:
    if value is UNDEFINED:
        paths[".".join(part.replace(".", "\\.") for part in path)] = ["undefined"]
        return None
    if isinstance(value, dict):
        return {key: _plain(inner, (*path, key), paths) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, (*path, str(place)), paths) for place, inner in enumerate(value)]
    return value


def devalue(value: Any) -> str:
    """The text of a devalue document: a flat array whose numbers inside containers are places in it."""
    flat: list[Any] = []
    seen: dict[Any, int] = {}

    def put(item: Any) -> int:
        if item is UNDEFINED:
            return -1
        if isinstance(item, float) and not math.isfinite(item):
            return -3 if math.isnan(item) else (-4 if item > 0 else -5)
        key = (type(item), item) if isinstance(item, (str, int, float, bool, type(None))) else None
        if key in seen:
            return seen[key]
        place = len(flat)
        flat.append(None)
        if key is not None:
            seen[key] = place
        if isinstance(item, dict):
            flat[place] = {name: put(inner) for name, inner in item.items()}
        elif isinstance(item, (list, tuple)):
            flat[place] = [put(inner) for inner in item]
        else:
            flat[place] = item
        return place

    root = put(value)
    return json.dumps(flat if root == 0 else root)


def undevalue(flat: Any) -> Any:
    """Read a devalue document of plain values, as inputs are."""
    if isinstance(flat, int):
        return UNDEFINED
    if not isinstance(flat, list) or not flat:
        raise ValueError("not a devalue document")

    def get(place: int) -> Any:
        if place < 0:
            return UNDEFINED
        item = flat[place]
        if isinstance(item, dict):
            return {name: get(inner) for name, inner in item.items()}
        return [get(inner) for inner in item] if isinstance(item, list) else item

    return get(0)
