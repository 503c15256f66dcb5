"""The text of a catalog with the places of what may change in it: an edit touches nothing else, byte for byte.

People edit these files by hand and other tools write them (facts/catalog.md), so a file is never written anew from its
values. The text is walked as far down as `categories[].models`; below, json's own scanner reads whole arrays at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from .shelf import no_collecting

_SPACE = re.compile(r"[ \t\r\n]*")
_LONE = re.compile("[\ud800-\udfff]")
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class Edit:
    """`text` instead of the characters `start:end`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Category:
    """A category, its entries, and the span of its `models` array (0, 0 where it has none)."""

    id: str
    start: int
    end: int
    models_start: int
    models_end: int
    entries: Sequence[Any] = field(repr=False)


@dataclass(frozen=True)
class Document:
    """A catalog's text, read. `top` are the spans of version, date and categories as far as they are there."""

    text: str = field(repr=False)
    start: int
    end: int
    version: Any
    top: Mapping[str, tuple[int, int]]
    categories: tuple[Category, ...]

    def entries(self) -> Iterator[tuple[Category, Mapping[str, Any]]]:
        for category in self.categories:
            for raw in category.entries:
                if isinstance(raw, dict):
                    yield category, raw

    def after(self, edits: Sequence[Edit], version: int, added: tuple[int, Any] | None = None) -> Document:
        """The document that these edits make, without reading it again. `added` is an entry that one of them put at the
        end of the category of this number. Only for edits below `categories[].models` and of version and date."""
        moved = sorted((edit.end, len(edit.text) - (edit.end - edit.start)) for edit in edits)

        def to(place: int) -> int:
            return place + sum(by for end, by in moved if end <= place)

        categories = []
        for number, category in enumerate(self.categories):
            entries = category.entries
            if added is not None and added[0] == number:
                entries = [*entries, added[1]]
            moved_to = {name: to(getattr(category, name)) for name in ("start", "end", "models_start", "models_end")}
            categories.append(replace(category, **moved_to, entries=entries))
        return Document(
            text=apply(self.text, edits),
            start=self.start,
            end=to(self.end),
            version=version,
            top={key: (to(a), to(b)) for key, (a, b) in self.top.items()},
            categories=tuple(categories),
        )


class WrongShape(ValueError):
    """Valid JSON, and no catalog; the text is the rest of a sentence."""


def read_document(text: str) -> Document:
    """Raises json.JSONDecodeError, WrongShape, and ValueError or RecursionError for numbers and depths beyond
    measure."""
    with no_collecting():
        return _read(text)


def _read(text: str) -> Document:
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    if text[start : start + 1] != "{":
        _decode(text, start)
        raise WrongShape("begins with no object")
    top: dict[str, tuple[int, int]] = {}
    found: dict[str, Any] = {}

    def value(key: str, at: int) -> int:
        if key == "categories" and text[at : at + 1] == "[":
            found[key], end = _categories(text, at)
        else:
            found[key], end = _decode(text, at)
        top[key] = (at, end)
        return end

    end = _walk_object(text, start, value)
    if (rest := _skip(text, end)) != len(text):
        raise json.JSONDecodeError("Extra data", text, rest)
    categories = found.get("categories", ())
    if not isinstance(categories, tuple):
        raise WrongShape("has `categories` that are no list")
    return Document(text, start, end, found.get("version"), top, categories)


def with_entry(document: Document, category: str, name: str, entry: Mapping[str, Any] | str) -> tuple[list[Edit], int]:
    """The edits that put an entry at the end of a category, which is made where it is not there, and the number of that
    category (-1 = made). An entry that is a text stays that text."""
    text = document.text
    number = next((n for n, c in enumerate(document.categories) if c.id == category and c.models_end), -1)
    style = _style(document)
    written = entry if isinstance(entry, str) else style.object(entry, depth=4)
    if number >= 0:
        chosen = document.categories[number]
        return [_append(text, chosen.models_start, chosen.models_end, written, style, depth=3)], number
    bare = next((c for c in document.categories if c.id == category), None)
    models = style.array(written, depth=3)
    if bare is not None:
        return [_add_member(text, bare.start, bare.end, "models", models, style, depth=2)], -1
    made = style.object({"id": category, "name": name}, depth=2, more=f'"models"{style.colon}{models}')
    if "categories" in document.top:
        return [_append(text, *document.top["categories"], made, style, depth=1)], -1
    whole = style.array(made, depth=1)
    return [_add_member(text, document.start, document.end, "categories", whole, style, depth=0)], -1


def without_entries(document: Document, gone: Callable[[Mapping[str, Any]], bool]) -> tuple[list[Edit], list[str]]:
    """The edits that take entries away, and the text of each that goes."""
    edits, texts = [], []
    for category in document.categories:
        if not any(isinstance(raw, dict) and gone(raw) for raw in category.entries):
            continue
        spans, values = _elements(document.text, category.models_start)
        going = [isinstance(raw, dict) and gone(raw) for raw in values]
        texts += [document.text[a:b] for (a, b), goes in zip(spans, going, strict=True) if goes]
        if all(going):
            edits.append(Edit(category.models_start + 1, category.models_end - 1, ""))
            continue
        last = max(n for n, goes in enumerate(going) if not goes)
        for n, goes in enumerate(going[: last + 1]):
            if goes:
                edits.append(Edit(spans[n][0], spans[n + 1][0], ""))
        if last + 1 < len(spans):
            edits.append(Edit(spans[last][1], spans[-1][1], ""))
    return edits, texts


def stamped(document: Document, date: str) -> tuple[list[Edit], int]:
    """The edits for a save: `version` counted up by one, `date` set (facts/catalog.md); and the new version."""
    now = document.version
    is_text = isinstance(now, str) and now.isascii() and now.isdigit() and len(now) < 20
    is_number = isinstance(now, int) and not isinstance(now, bool)
    is_number = is_number or (isinstance(now, float) and abs(now) < 2**53)  # 12.0, as other languages write it
    number = (int(now) if is_text or is_number else 0) + 1
    written = {"version": f'"{number}"' if is_text else str(number), "date": json.dumps(date)}
    edits = [Edit(*document.top[key], value) for key, value in written.items() if key in document.top]
    missing = [f'"{key}"{_style(document).colon}{value}' for key, value in written.items() if key not in document.top]
    if missing:
        at = document.start + 1
        style = _style(document)
        empty = document.text[_skip(document.text, at)] == "}"
        lead = style.line(1)
        edits.append(Edit(at, at, "".join(lead + m + ("" if empty and m is missing[-1] else ",") for m in missing)))
    return edits, number


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The text after edits that do not overlap."""
    parts, at = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def with_member(entry: str, key: str, value: str) -> str:
    """An entry's text with one more member at its end, written as its others are."""
    style = replace(_Style(), newline="", unit="")
    return apply(entry, [_add_member(entry, 0, len(entry), key, value, style, depth=0)])


# --- reading


def _walk_object(text: str, at: int, value: Callable[[str, int], int]) -> int:
    """Walk the members of the object at `at`; `value(key, start of the value)` answers where it ends."""
    at = _skip(text, at + 1)
    if text[at : at + 1] == "}":
        return at + 1
    while True:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        key, at = scanstring(text, at + 1, True)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        at = _skip(text, value(key, _skip(text, at + 1)))
        if text[at : at + 1] == "}":
            return at + 1
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _skip(text, at + 1)


def _walk_array(text: str, at: int, value: Callable[[int], int]) -> int:
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        at = _skip(text, value(at))
        if text[at : at + 1] == "]":
            return at + 1
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _skip(text, at + 1)


def _categories(text: str, at: int) -> tuple[tuple[Category, ...], int]:
    found: list[Category] = []

    def element(start: int) -> int:
        if text[start : start + 1] != "{":
            return _decode(text, start)[1]
        seen: dict[str, tuple[Any, int, int]] = {}

        def value(key: str, begin: int) -> int:
            decoded, end = _decode(text, begin)
            if key in ("id", "models"):
                seen[key] = (decoded, begin, end)
            return end

        end = _walk_object(text, start, value)
        name = seen.get("id", ("", 0, 0))[0]
        models, begin, stop = seen.get("models", ([], 0, 0))
        if not isinstance(models, list):
            raise WrongShape(f"has a category {name!r} whose `models` are no list")
        found.append(Category(name if isinstance(name, str) else "", start, end, begin, stop, models))
        return end

    end = _walk_array(text, at, element)
    return tuple(found), end


def _elements(text: str, at: int) -> tuple[list[tuple[int, int]], list[Any]]:
    spans: list[tuple[int, int]] = []
    values: list[Any] = []

    def element(start: int) -> int:
        value, end = _decode(text, start)
        spans.append((start, end))
        values.append(value)
        return end

    _walk_array(text, at, element)
    return spans, values


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


# --- writing


@dataclass(frozen=True)
class _Style:
    """How a file is written. `newline` is `""` where everything stands on one line; `first`, `between` and `last` are
    the blanks inside an entry as the file has them, None where it has no entry to copy from."""

    newline: str = "\n"
    unit: str = "  "
    colon: str = ": "
    ascii: bool = False
    first: str | None = None
    between: str | None = None
    last: str | None = None
    lists_in_lines: bool = False

    def line(self, depth: int) -> str:
        return self.newline + self.unit * depth if self.newline else ""

    def gap(self, depth: int) -> str:
        """What stands after a comma."""
        return self.line(depth) or (" " if self.colon.endswith(" ") else "")

    def array(self, element: str, depth: int) -> str:
        return f"[{self.line(depth + 1)}{element}{self.line(depth)}]"

    def object(self, members: Mapping[str, Any], depth: int, more: str = "") -> str:
        copied = depth == 4 and self.first is not None
        first = self.first if copied else self.line(depth + 1)
        between = self.between if copied else self.gap(depth + 1)
        last = self.last if copied else self.line(depth)
        written = [f"{self._json(key)}{self.colon}{self._value(value, depth + 1)}" for key, value in members.items()]
        return "{" + f"{first}{f',{between}'.join([*written, *filter(None, [more])])}{last}" + "}"

    def _value(self, value: Any, depth: int) -> str:
        if isinstance(value, list) and value and self.lists_in_lines and self.newline:
            inner = f",{self.line(depth + 1)}".join(self._json(item) for item in value)
            return f"[{self.line(depth + 1)}{inner}{self.line(depth)}]"
        return self._json(value)

    def _json(self, value: Any) -> str:
        text = json.dumps(value, ensure_ascii=self.ascii)
        return _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # no file can hold one as it is


def _style(document: Document) -> _Style:
    """Copied from the first entry of the file, and from the file's first member for what an entry cannot tell."""
    text = document.text
    lead = _blank(text, document.start + 1)
    newline = "\r\n" if "\r\n" in lead else ("\n" if "\n" in lead else "")
    unit = lead.rsplit("\n", 1)[-1] if newline else ""
    colon = ": "
    if text[document.start + 1 + len(lead)] == '"':
        _, at = scanstring(text, document.start + 2 + len(lead), True)
        colon = text[at : _skip(text, _skip(text, at) + 1)]
    if text[document.start + 1 + len(lead)] == "}" and len(text) < 10:
        newline, unit = "\n", "  "  # an empty object tells nothing: as we write ourselves
    style = _Style(newline, unit, colon if "\n" not in colon else ": ", ascii=text.isascii())
    sample = next(
        (c for c in document.categories if c.entries and isinstance(c.entries[0], dict) and c.entries[0]), None
    )
    if sample is None:
        return style
    start = _skip(text, sample.models_start + 1)
    members: list[tuple[int, int]] = []

    def value(_: str, begin: int) -> int:
        end = _decode(text, begin)[1]
        members.append((begin, end))
        return end

    end = _walk_object(text, start, value)
    first = _blank(text, start + 1)
    between = first or style.gap(5)
    if len(members) > 1:
        between = _blank(text, text.index(",", members[0][1]) + 1)
    last = text[_before_blanks(text, end - 1) : end - 1]
    lists = [text[a:b] for a, b in members if text[a] == "[" and _skip(text, a + 1) != b - 1]
    _, at = scanstring(text, _skip(text, start + 1) + 1, True)
    return replace(
        style,
        colon=text[at : members[0][0]],
        first=first,
        between=between,
        last=last,
        lists_in_lines=any("\n" in one for one in lists) or (not lists and "\n" in first),
    )


def _append(text: str, start: int, end: int, written: str, style: _Style, depth: int) -> Edit:
    """Put an element at the end of the array `start:end`, with the blanks that stand between its first two."""
    first = _skip(text, start + 1)
    if first == end - 1:
        lead = _blank(text, start + 1)
        close = lead if "\n" in lead else style.line(depth)
        return Edit(start + 1, end - 1, f"{style.line(depth + 1)}{written}{close}")
    after = _skip(text, _decode(text, first)[1])
    gap = _blank(text, after + 1) if text[after] == "," else (_blank(text, start + 1) or style.gap(depth + 1))
    at = _before_blanks(text, end - 1)
    return Edit(at, at, f",{gap}{written}")


def _add_member(text: str, start: int, end: int, key: str, value: str, style: _Style, depth: int) -> Edit:
    """Put a member at the end of the object `start:end`."""
    lead = _blank(text, start + 1)
    member = f"{json.dumps(key)}{style.colon}{value}"
    if _skip(text, start + 1) == end - 1:
        return Edit(start + 1, end - 1, f"{style.line(depth + 1)}{member}{style.line(depth)}")
    at = _before_blanks(text, end - 1)
    return Edit(at, at, f",{lead or ' '}{member}")


def _blank(text: str, at: int) -> str:
    return text[at : _skip(text, at)]


def _before_blanks(text: str, at: int) -> int:
    while text[at - 1] in " \t\r\n":
        at -= 1
    return at
