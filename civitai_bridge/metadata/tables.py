"""How a JSON format is read: a table of (its key, our field, the kind of value) per format, one function for all."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .quantities import shown

Row = tuple[str, str, Callable[[object], Any]]
_LONGEST_NUMBER = 400


def _digits(text: str) -> int | str:
    """A whole number, or its text where turning it into one would take long: no number is read from that."""
    return int(text) if len(text) <= _LONGEST_NUMBER else text


class _Decoder(json.JSONDecoder):
    """Reads JSON in which `NaN`, `Infinity` and endless numbers become texts, which no number is read from, so that
    they lose nothing else."""

    _careful = json.JSONDecoder(parse_constant=str, parse_int=_digits)

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        try:
            return super().raw_decode(s, idx)
        except ValueError:  # broken, or with a number that is longer than Python reads
            return self._careful.raw_decode(s, idx)


# Older versions of Python read numbers of any length, for as long as that takes.
DECODER = _Decoder(parse_constant=str) if hasattr(sys, "get_int_max_str_digits") else _Decoder._careful


def may_hold(text: str, keys: Iterable[str]) -> bool:
    """Whether a JSON text may be an object with one of these keys; cheap, for before it is decoded."""
    return any(f'"{key}"' in text for key in keys)


def word(value: object) -> str | None:
    """A text, None for anything else."""
    return value if isinstance(value, str) else None


def decoded_object(text: str) -> dict[str, Any] | None:
    """A JSON object; None when the text is none."""
    text = text.strip("\0 \t\r\n")
    if text[:1] != "{":
        return None
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def take(document: dict[str, Any], table: Iterable[Row], notes: list[str]) -> dict[str, Any]:
    """The fields that a table finds. They are taken out of `document`, so what is left there has no field.

    A value of the wrong kind stays where it is and is named in the notes; the first row of a field wins."""
    fields: dict[str, Any] = {}
    for key, field, read in table:
        if key not in document or (raw := document[key]) is None:
            continue
        if (value := read(raw)) is None:
            notes.append(f"{key} is left out: {shown(raw)} is no value for it.")
        else:
            fields.setdefault(field, value)
            del document[key]
    return fields


def rest_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What no field took, as it is: everything that says something."""
    return {str(key): value for key, value in document.items() if value not in (None, "", [], {})}
