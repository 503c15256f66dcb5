"""How a catalog is written (line ends, indents, blanks), copied from what is there; and splicing small JSON texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

_BLANKS = re.compile(r"[ \t\r\n]*")
_HALF_LETTER = re.compile("[\ud800-\udfff]")
_ENTRY = 4  # how deep an entry stands: catalog, categories, category, models
decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Layout:
    """`newline` is `""` where everything stands on one line; `first`, `gap` and `last` are the blanks inside an entry,
    None where the file has none to copy from."""

    newline: str = "\n"
    unit: str = "  "
    colon: str = ": "
    ascii: bool = False
    first: str | None = None
    gap: str | None = None
    last: str | None = None
    lists_in_lines: bool = False

    def line(self, depth: int) -> str:
        """A new line with its indent, `""` where everything stands on one line."""
        return self.newline + self.unit * depth if self.newline else ""

    def after_comma(self, depth: int) -> str:
        """The blanks between two values of this depth."""
        return self.line(depth) or (" " if self.colon.endswith(" ") else "")

    def entry(self, members: Mapping[str, Any]) -> str:
        """An entry, written as the first one of the file is."""
        first = self.line(_ENTRY + 1) if self.first is None else self.first
        gap = self.after_comma(_ENTRY + 1) if self.gap is None else self.gap
        last = self.line(_ENTRY) if self.last is None else self.last
        return f"{{{first}{f',{gap}'.join(self._members(members))}{last}}}"

    def category(self, members: Mapping[str, Any], models: str) -> str:
        """A category whose `models` are written already."""
        inside = f",{self.after_comma(3)}".join([*self._members(members), models])
        return f"{{{self.line(3)}{inside}{self.line(2)}}}"

    def _members(self, members: Mapping[str, Any]) -> list[str]:
        return [f"{self._json(key)}{self.colon}{self._value(value)}" for key, value in members.items()]

    def _value(self, value: Any) -> str:
        if isinstance(value, list) and value and self.lists_in_lines and self.newline:
            line = self.line(_ENTRY + 2)
            return f"[{line}{f',{line}'.join(map(self._json, value))}{self.line(_ENTRY + 1)}]"
        return self._json(value)

    def _json(self, value: Any) -> str:
        text = json.dumps(value, ensure_ascii=self.ascii)
        return _HALF_LETTER.sub(lambda half: f"\\u{ord(half[0]):04x}", text)  # no file can hold one as it is


def layout_of(outer: str, entry: str, is_ascii: bool) -> Layout:
    """The layout of a catalog, from its outermost object and from its first entry (`""` where it has none)."""
    start = outer.index("{")
    lead = outer[start + 1 : skip_blanks(outer, start + 1)]
    newline = "\r\n" if "\r\n" in lead else ("\n" if "\n" in lead else "")
    if outer[start + 1 + len(lead)] == "}":
        return Layout(ascii=is_ascii)  # an empty object tells nothing: as we write ourselves
    colon = _colon(outer, start + 1 + len(lead))
    layout = Layout(newline, lead.rsplit("\n", 1)[-1] if newline else "", ": " if "\n" in colon else colon, is_ascii)
    if not entry:
        return layout
    first = entry[1 : skip_blanks(entry, 1)]
    members = spans(entry, 0)
    gap = first or layout.after_comma(_ENTRY + 1)
    if len(members) > 1:
        comma = skip_blanks(entry, members[0][2]) + 1
        gap = entry[comma : skip_blanks(entry, comma)]
    lists = [entry[start:end] for _, start, end in members if entry[start] == "[" and decode(entry, start)[0]]
    return replace(
        layout,
        colon=_colon(entry, 1 + len(first)),
        first=first,
        gap=gap,
        last=entry[members[-1][2] : -1],
        lists_in_lines=any("\n" in text for text in lists) or (not lists and "\n" in first),
    )


def spans(text: str, at: int) -> list[tuple[str, int, int]]:
    """Key (`""` in an array) and span of every value in the object or array of a valid JSON text that begins at
    `at`."""
    values, keyed = [], text[at] == "{"
    at = skip_blanks(text, at + 1)
    while text[at] not in "]}":
        key = ""
        if keyed:
            key, at = decode(text, at)
            at = skip_blanks(text, skip_blanks(text, at) + 1)
        end = decode(text, at)[1]
        values.append((key, at, end))
        at = skip_blanks(text, end)
        at = skip_blanks(text, at + 1) if text[at] == "," else at
    return values


def _colon(text: str, key_at: int) -> str:
    """What stands between a key and its value."""
    end = decode(text, key_at)[1]
    return text[end : skip_blanks(text, skip_blanks(text, end) + 1)]


def add_last(text: str, start: int, end: int, written: str, layout: Layout, depth: int) -> str:
    """A text with one more member or element, written already, at the end of the container `start:end` in it."""
    lead = text[start + 1 : skip_blanks(text, start + 1)]
    if start + 1 + len(lead) == end - 1:
        return f"{text[: start + 1]}{layout.line(depth + 1)}{written}{layout.line(depth)}{text[end - 1 :]}"
    at = start + len(text[start : end - 1].rstrip(" \t\r\n"))
    return f"{text[:at]},{lead or ' '}{written}{text[at:]}"


def skip_blanks(text: str, at: int) -> int:
    """The place of the first character from `at` on that is no blank of JSON."""
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at
