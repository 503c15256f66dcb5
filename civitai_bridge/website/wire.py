"""tRPC answers in both wire formats of the site -> plain values, or the error that an envelope holds.

superjson gives `{"json": payload}`, with null for what is undefined. devalue gives a JSON string: a flat array whose
numbers inside containers are places in it. A document can name one place often, so a few bytes could stand for more
than there is memory; what a payload cannot be is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import ApiError, Unreadable
from ..network.exchange import Response, error_from

LARGEST_VALUE = 1_000_000  # parts of a decoded document, each counted as often as it is named
DEEPEST = 200
_SPECIAL: dict[int, Any] = {-1: None, -2: None, -3: float("nan"), -4: float("inf"), -5: float("-inf"), -6: -0.0}
_TEXTUAL = frozenset({"Date", "URL", "URLSearchParams", "RegExp"})


def decode(envelope: Any, status: int, headers: Mapping[str, str] | None = None) -> Any:
    """The payload of one call's envelope. Raises the ApiError that it holds, or Unreadable."""
    if not isinstance(envelope, Mapping):
        raise Unreadable("CivitAI answered an image question with something else.", status=status)
    if "error" in envelope:
        raise refusal(envelope, status, headers)
    result = envelope.get("result")
    data = result.get("data") if isinstance(result, Mapping) else None
    if isinstance(data, str):
        return devalued(data, status)
    if isinstance(data, Mapping) and "json" in data:
        return data["json"]
    raise Unreadable("CivitAI's answer about the image has an unknown form.", status=status)


def refusal(envelope: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None) -> ApiError:
    """The error of an envelope: its own status counts, for in a batch each call has one. `headers` are the answer's,
    in lower case: they may say when to come again."""
    headers = headers or {}
    error = envelope["error"]
    if isinstance(error, str) and error[:1] in "[{":
        error = devalued(error, status)
    shape = error.get("json", error) if isinstance(error, Mapping) else error
    status = status if status >= 400 else 500
    if not isinstance(shape, Mapping):
        return error_from(Response(status, headers, json.dumps({"error": str(shape)}).encode()))
    data = shape.get("data")
    own = data.get("httpStatus") if isinstance(data, Mapping) else None
    status = own if isinstance(own, int) and 400 <= own < 600 else status
    return error_from(
        Response(status, headers, json.dumps({"error": {"message": str(shape.get("message", ""))}}).encode())
    )


def devalued(text: str, status: int = 200) -> Any:
    """Read a devalue document (npm devalue 5, `src/parse.js`). Undefined and holes become None."""
    try:
        flat = json.loads(text)
        if isinstance(flat, int) and not isinstance(flat, bool) and flat in _SPECIAL:
            return _SPECIAL[flat]
        if not isinstance(flat, list) or not flat:
            raise ValueError("no array")
        return _Document(flat).at(0, 0)[0]
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable(
            f"CivitAI's answer about the image is damaged ({error or 'too deep'}).", status=status
        ) from error


class _Document:
    """One reading of a flat array; every place is read once and remembered with its size as a tree."""

    def __init__(self, flat: list[Any]) -> None:
        self._flat = flat
        self._values: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def at(self, place: Any, depth: int) -> tuple[Any, int]:
        """The value at a place and its size as a tree. Raises ValueError for what no document holds."""
        if isinstance(place, bool) or not isinstance(place, int):
            raise ValueError("a place is no number")
        if place < 0:
            if place not in _SPECIAL:
                raise ValueError(f"unknown code {place}")
            return _SPECIAL[place], 1
        if place >= len(self._flat):
            raise ValueError("a place beyond the end")
        if place in self._open:
            raise ValueError("a value inside itself")
        if depth > DEEPEST:
            raise ValueError("too deep")
        if place not in self._values:
            self._open.add(place)
            value, size = self._value(self._flat[place], depth + 1)
            self._open.discard(place)
            if size > LARGEST_VALUE:
                raise ValueError("too large")
            self._values[place] = value, size
        return self._values[place]

    def _value(self, entry: Any, depth: int) -> tuple[Any, int]:
        if isinstance(entry, dict):
            return self._mapping(entry.items(), depth)
        if not isinstance(entry, list):
            return entry, 1
        if entry and isinstance(entry[0], str):
            return self._tagged(entry[0], entry[1:], depth)
        if entry and entry[0] == -7 and not isinstance(entry[0], bool):
            return self._sparse(entry[1:], depth)
        parts = [self.at(place, depth) for place in entry]
        return [value for value, _ in parts], 1 + sum(size for _, size in parts)

    def _mapping(self, pairs: Any, depth: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        total = 1
        for name, place in pairs:
            members[name], size = self.at(place, depth)
            total += size
        return members, total

    def _sparse(self, rest: list[Any], depth: int) -> tuple[list[Any], int]:
        length, pairs = rest[0], rest[1:]
        if not isinstance(length, int) or not 0 <= length <= LARGEST_VALUE:
            raise ValueError("too large")
        entries: list[Any] = [None] * length
        total = 1 + length
        for index, place in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(index, int) or not 0 <= index < length:
                raise ValueError("a place beyond the end")
            entries[index], size = self.at(place, depth)
            total += size
        return entries, total

    def _tagged(self, tag: str, rest: list[Any], depth: int) -> tuple[Any, int]:
        match tag:
            case "Set":
                return self._value(rest, depth)
            case "Map":
                keys = [self.at(place, depth)[0] for place in rest[::2]]
                return self._mapping(zip(map(str, keys), rest[1::2], strict=True), depth)
            case "null":
                return self._mapping(zip(rest[::2], rest[1::2], strict=True), depth)
            case "BigInt":
                return int(str(rest[0])[:1000]), 1
            case "Object":
                return self.at(rest[0], depth) if isinstance(rest[0], int) else (rest[0], 1)
        if tag in _TEXTUAL and rest and isinstance(rest[0], str):
            return rest[0], 1
        raise ValueError(f"unknown kind {tag[:40]!r}")
