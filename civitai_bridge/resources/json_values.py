"""Foreign JSON -> values: what a stranger's field holds, or nothing where it holds something else.

Two kinds of readers. The strict ones (`integer`, `decimal`, `text`, `items`, `objects`, `mapping`) take JSON's own type
alone: an id that comes as a string is none. `whole` and `number` also read numbers that were written as text, as
metadata of pictures, graphs and catalogs of other programs have them. None raises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LARGEST = 2**64  # no number of CivitAI, of a seed or of a file's size is larger
_LONGEST_NUMBER = 64  # characters; a longer text is no number that anybody wrote


def integer(value: object) -> int | None:
    """A JSON integer; None for anything else, `true` included."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def decimal(value: object) -> float | None:
    """A JSON number that is finite, as a float; None for anything else, `true` included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def text(value: object) -> str:
    """A JSON string; `""` for anything else."""
    return value if isinstance(value, str) else ""


def items(value: object) -> list[Any]:
    """A JSON array; an empty list for anything else."""
    return value if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object; an empty mapping for anything else."""
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects of a JSON array; its other items are left out."""
    return [entry for entry in items(value) if isinstance(entry, Mapping)]


def whole(value: object) -> int | None:
    """A whole number as JSON, a text or a graph writes it; None for anything else, `nan` and `inf` included.

    assert whole("20") == whole(20.0) == 20 and whole("20.5") is None and whole(True) is None
    """
    if isinstance(value, str):
        digits = value.strip()
        if digits.isdigit() and digits.isascii() and len(digits) < 20:
            return int(digits)
        if digits.removeprefix("-").isdigit() and digits.isascii() and len(digits) <= 20:
            value = int(digits)
        else:
            value = number(digits)
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -LARGEST < value < LARGEST else None


def identifier(value: object) -> int | None:
    """An id of CivitAI, as catalogs of other programs write it: a whole number, also as text in ASCII digits.

    assert identifier("710001.0") == 710001 and identifier("٧") is None
    """
    return None if isinstance(value, str) and not value.isascii() else whole(value)


def number(value: object) -> float | None:
    """A finite number as JSON, a text or a graph writes it; None for anything else, `nan` and `inf` included.

    assert number("7.5") == 7.5 and number("1_000") is None and number("inf") is None
    """
    if isinstance(value, str):
        if len(value) > _LONGEST_NUMBER or "_" in value:
            return None
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None


def finite(value: Any) -> Any:
    """A value as JSON takes it: the site's wire and `1e999` give `nan` and infinities, of which JSON has none; null
    stands in for them.

    assert finite({"a": (float("inf"), 1.5)}) == {"a": [None, 1.5]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(element) for element in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
