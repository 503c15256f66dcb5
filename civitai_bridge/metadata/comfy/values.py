"""Single values of a resolved graph: what is written, what is not, a yes or no, a size in a text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...resources.json_values import whole
from .graph import Bundle, Unwritten, Wire

# A version that is known by its id alone, where a file's name would stand.
VERSION = "CivitAI version {}"
_VERSION = re.compile(VERSION.format(r"(\d{1,12})"))
_SIZE = re.compile(r"(?<![\d.:])(\d{2,5})\s*[x×X]\s*(\d{2,5})(?!\d)")
_YES = ("true", "on", "yes", "enable", "enabled", "1")


def written(value: object) -> Any:
    """A value that is written; None for a wire, and for what is not written or only in part."""
    return None if isinstance(value, (Wire, Unwritten, Bundle)) else value


def version_in_words(value: object) -> int | None:
    """The version's id of a value that is `VERSION`; None for every other."""
    match = _VERSION.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match else None


def is_wired(value: object) -> bool:
    """Whether an input is made by another node: a wire, or what no wire could be followed to."""
    return isinstance(value, (Wire, Unwritten))


def truth(value: object) -> bool | None:
    """Yes or no as widgets say it; None where nothing is said."""
    if isinstance(value, str):
        return value.strip().lower() in _YES
    return bool(value) if isinstance(value, (bool, int, float)) else None


def preset_size(inputs: Mapping[str, Any], names: str | Sequence[str]) -> tuple[Any, Any]:
    """(width, height) of a node by the inputs that its row names for the size: the last two hold numbers, those before
    them a text with the size ("832 x 1216 (portrait)"), which wins; (None, None) where neither is written."""
    names = [names] if isinstance(names, str) else list(names)
    texts, numbers = (names, []) if len(names) < 2 else (names[:-2], names[-2:])
    sides: tuple[Any, Any] = (None, None)
    for text in (written(inputs.get(name)) for name in texts):
        if isinstance(text, str) and (match := _SIZE.search(text)) is not None:
            sides = (int(match[1]), int(match[2]))
    own = tuple(inputs.get(name) for name in numbers)
    overrides = [number for number in map(whole, own) if number] if any("override" in name for name in numbers) else []
    if numbers and (sides == (None, None) or len(overrides) == 2):
        sides = (own[0], own[1])
    if inputs.get("swap_dimensions") in ("On", True) or inputs.get("invert") is True:
        sides = (sides[1], sides[0])
    return sides
