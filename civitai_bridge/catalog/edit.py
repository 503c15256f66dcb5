"""The text of a catalog, in pieces: an edit makes new pieces and leaves every other byte as it was written.

People edit these files by hand and other tools write them, so a file is never written out of its values. What stands
around the `models` arrays is small, and is spliced as a text; each array is kept as blocks of entries, with their text
and their values, so that neither reading nor editing a large file holds the interpreter for long.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..resources.collector import collector_paused
from ..resources.json_values import decimal, whole
from .layout import Layout, add_last, decode, layout_of, skip_blanks, spans

_BLOCK = 64 * 1024  # characters that are parsed in one go: a third of a millisecond
_MODELS = re.compile(r'"models"[ \t\r\n]*:[ \t\r\n]*\[')  # no string can hold it: its quotes would be escaped
_PLACE = re.compile(_MODELS.pattern + r"(\d+)\]")
Entry = Mapping[str, Any]


class WrongShape(ValueError):
    """Valid JSON, and no catalog; the text is the rest of a sentence."""


@dataclass(frozen=True)
class Block:
    """Neighbouring elements of an array: the text from the first to where the next block begins, and their values."""

    text: str = field(repr=False)
    values: list[Any] = field(repr=False)


@dataclass(frozen=True)
class Models:
    """What stands between the brackets of a `models` array: blanks, elements, blanks."""

    before: str = ""
    blocks: tuple[Block, ...] = ()
    after: str = ""

    def pieces(self) -> Iterator[str]:
        """What is between the brackets, in order."""
        yield self.before
        for block in self.blocks:
            yield block.text
        yield self.after


@dataclass(frozen=True, eq=False)
class Document:
    """A catalog's text, read. In the `skeleton` each `models` array holds its number in `models` alone."""

    skeleton: str = field(repr=False)
    models: tuple[Models, ...] = field(repr=False)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The values of the skeleton."""
        return json.loads(self.skeleton.removeprefix("\ufeff"))

    def pieces(self) -> Iterator[str]:
        """The text, in order."""
        at = 0
        for place in _PLACE.finditer(self.skeleton):
            yield self.skeleton[at : place.start(1)]
            yield from self.models[int(place[1])].pieces()
            at = place.end(1)
        yield self.skeleton[at:]

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces())

    @property
    def content(self) -> bytes:
        """The whole text in UTF-8; large ones are put together while other threads go on."""
        return b"".join([piece.encode("utf-8") for piece in self.pieces()])

    def categories(self) -> Iterator[tuple[str, int | None]]:
        """The id of each category (`""` where it has none), and the number of its array where it has one."""
        for category in self.data.get("categories", ()):
            if isinstance(category, dict):
                identity, models = category.get("id"), category.get("models")
                yield identity if isinstance(identity, str) else "", models[0] if models else None

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Each entry as it is written, with the id of its category."""
        for identity, number in self.categories():
            for block in self.models[number].blocks if number is not None else ():
                for value in block.values:
                    if isinstance(value, dict):
                        yield identity, value


def read_document(text: str) -> Document:
    """Raises json.JSONDecodeError, WrongShape, and ValueError or RecursionError for numbers and depths beyond
    measure."""
    pieces, models, at = [], [], 0
    with collector_paused():
        while begin := _MODELS.search(text, at):
            array, end = _read_models(text, begin.end())
            pieces.append(f"{text[at : begin.end()]}{len(models)}")
            models.append(array)
            at = end
    document = Document("".join([*pieces, text[at:]]), tuple(models))
    try:
        data = document.data
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(error.msg, text, _place_in(text, document, error.pos)) from None
    _check_shape(data)
    return document


def _place_in(text: str, document: Document, pos: int) -> int:
    """Where a place of the skeleton (without its byte-order mark) is in the whole text."""
    pos += text.startswith("\ufeff")
    before = [place for place in _PLACE.finditer(document.skeleton) if place.end(1) <= pos]
    return pos + sum(sum(map(len, document.models[int(place[1])].pieces())) - len(place[1]) for place in before)


def _check_shape(data: Any) -> None:
    if not isinstance(data, dict):
        raise WrongShape("begins with no object")
    if not isinstance(data.get("categories", []), list):
        raise WrongShape("has `categories` that are no list")
    for category in data.get("categories", ()):
        if isinstance(category, dict) and "models" in category:
            models = category["models"]
            if not (isinstance(models, list) and len(models) == 1 and isinstance(models[0], int)):
                raise WrongShape(f"has a category {category.get('id')!r} whose `models` are no list")


def _read_models(text: str, at: int) -> tuple[Models, int]:
    """The array whose content begins at `at`, and the place of its closing bracket."""
    start = skip_blanks(text, at)
    before, blocks, glue = text[at:start], [], ""
    if text[start : start + 1] == "]":
        return Models(before), start
    while True:
        values, end = _read_block(text, start, glue)
        comma = skip_blanks(text, end)
        if text[comma : comma + 1] == "]":
            return Models(before, (*blocks, Block(text[start:end], values)), text[end:comma]), comma
        if text[comma : comma + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, comma)
        following = skip_blanks(text, comma + 1)
        blocks.append(Block(text[start:following], values))
        glue, start = glue or text[end - 1 : following + 1], following


def _read_block(text: str, start: int, glue: str) -> tuple[list[Any], int]:
    """About a block of elements from `start` on, and where the last one ends. `glue` is what stands between two of
    them, with the brackets on both sides; that it is no part of an element where it is found is certain once
    everything before it proves to be whole elements."""
    cut = text.find(glue, start + _BLOCK) if glue else -1
    if cut > 0:
        with contextlib.suppress(json.JSONDecodeError):  # inside of an element, or of another array
            return json.loads(f"[{text[start : cut + 1]}]"), cut + 1
    values, end = [], start
    while True:
        value, end = decode(text, end)
        values.append(value)
        comma = skip_blanks(text, end)
        if text[comma : comma + 1] != "," or end - start > _BLOCK or not glue:
            return values, end
        end = skip_blanks(text, comma + 1)


def append_entry(document: Document, category: str, name: str, entry: Entry | str) -> Document:
    """The document with an entry at the end of a category, which is made where it is not there. An entry that is a text
    stays that text."""
    layout = _layout(document)
    number = next(
        (array for identity, array in document.categories() if identity == category and array is not None), None
    )
    if number is None:
        number = len(document.models)
        document = Document(_with_category(document, category, name, layout), (*document.models, Models()))
    text = entry if isinstance(entry, str) else layout.entry(entry)
    models = list(document.models)
    models[number] = _appended(models[number], Block(text, [json.loads(text)]), layout)
    return replace(document, models=tuple(models))


def _layout(document: Document) -> Layout:
    blocks = [block for models in document.models for block in models.blocks]
    first = next((block.text for block in blocks if block.values[0] and isinstance(block.values[0], dict)), "")
    is_ascii = document.skeleton.isascii() and all(block.text.isascii() for block in blocks)
    return layout_of(document.skeleton, first[: decode(first, 0)[1]] if first else "", is_ascii)


def _appended(models: Models, added: Block, layout: Layout) -> Models:
    if not models.blocks:
        after = models.before if "\n" in models.before else layout.line(3)
        return Models(layout.line(4), (added,), after)
    *earlier, last = models.blocks
    first = models.blocks[0].text
    comma = skip_blanks(first, decode(first, 0)[1]) + 1
    blanks = first[comma : skip_blanks(first, comma)] if comma < len(first) else models.before or layout.after_comma(4)
    if len(last.text) < _BLOCK:
        joined = Block(f"{last.text},{blanks}{added.text}", [*last.values, *added.values])
        return replace(models, blocks=(*earlier, joined))
    return replace(models, blocks=(*earlier, Block(f"{last.text},{blanks}", last.values), added))


def _with_category(document: Document, category: str, name: str, layout: Layout) -> str:
    """The skeleton with an array for a category, whose number is the next one."""
    skeleton, start = document.skeleton, document.skeleton.index("{")
    array = f'"models"{layout.colon}[{len(document.models)}]'
    top = {key: (start, end) for key, start, end in spans(skeleton, start)}
    written_category = layout.category({"id": category, "name": name}, array)
    if "categories" not in top:
        written = f'"categories"{layout.colon}[{layout.line(2)}{written_category}{layout.line(1)}]'
        return add_last(skeleton, start, skeleton.rindex("}") + 1, written, layout, 0)
    bare = next((place for place, (identity, _) in enumerate(document.categories()) if identity == category), None)
    if bare is None:
        return add_last(skeleton, *top["categories"], written_category, layout, 1)
    objects = [(start, end) for _, start, end in spans(skeleton, top["categories"][0]) if skeleton[start] == "{"]
    return add_last(skeleton, *objects[bare], array, layout, 2)


def remove_entries(document: Document, is_meant: Callable[[Entry], bool]) -> tuple[Document, list[str]]:
    """The document without the entries that are meant, and the text of each of them."""
    thinned = [_without(models, is_meant) for models in document.models]
    texts = [text for _, removed in thinned for text in removed]
    return (replace(document, models=tuple(models for models, _ in thinned)) if texts else document), texts


def entry_texts(document: Document, is_meant: Callable[[Entry], bool]) -> list[str]:
    """The text of each entry that is meant."""
    return remove_entries(document, is_meant)[1]


def _without(models: Models, is_meant: Callable[[Entry], bool]) -> tuple[Models, list[str]]:
    blocks, texts = [], []
    for block in models.blocks:
        stays = [not (isinstance(value, dict) and is_meant(value)) for value in block.values]
        if not all(stays):
            places = _elements(block.text)
            texts += [block.text[start:end] for (start, end), stay in zip(places, stays, strict=True) if not stay]
            block = _thinned(block, places, stays)
        if block.values:
            blocks.append(block)
    if not texts:
        return models, texts
    if not blocks:
        return Models(), texts
    last = blocks[-1]
    trimmed = Block(last.text[: _elements(last.text)[-1][1]], last.values)
    return replace(models, blocks=(*blocks[:-1], trimmed)), texts


def _thinned(block: Block, places: Sequence[tuple[int, int]], stays: Sequence[bool]) -> Block:
    """A block without those elements that do not stay."""
    begins = [start for start, _ in places[1:]] + [len(block.text)]
    pieces = [block.text[start:begin] for (start, _), begin in zip(places, begins, strict=True)]
    text = "".join(piece for piece, stay in zip(pieces, stays, strict=True) if stay)
    return Block(text, [value for value, stay in zip(block.values, stays, strict=True) if stay])


def _elements(text: str) -> list[tuple[int, int]]:
    """The span of every element in the text of a block."""
    places, at = [], 0
    while at < len(text):
        end = decode(text, at)[1]
        places.append((at, end))
        at = skip_blanks(text, skip_blanks(text, end) + 1)
    return places


def stamp(document: Document, date: str) -> Document:
    """The document as a save writes it: `version` counted up by one, in the type that it has, and `date` set."""
    now = document.data.get("version")
    is_text = isinstance(now, str) and now.isascii() and now.isdigit() and len(now) < 20
    number = whole(now) if is_text else decimal(now)
    version = str((int(number) if number is not None and abs(number) < 2**53 else 0) + 1)  # also 12.0, and "12"
    dated = _with_top(document, "date", json.dumps(date))
    return _with_top(dated, "version", f'"{version}"' if is_text else version)


def _with_top(document: Document, key: str, value: str) -> Document:
    """The document with an outermost member set, put in as the first one where it is not there."""
    skeleton, at = document.skeleton, document.skeleton.index("{")
    top = {name: (start, end) for name, start, end in spans(skeleton, at)}
    if key in top:
        start, end = top[key]
        return replace(document, skeleton=skeleton[:start] + value + skeleton[end:])
    layout = _layout(document)
    comma = "," if top else ""
    written = f"{layout.line(1)}{json.dumps(key)}{layout.colon}{value}{comma}"
    return replace(document, skeleton=skeleton[: at + 1] + written + skeleton[at + 1 :])


def with_member(entry: str, key: str, value: str) -> str:
    """An entry's text with one more member at its end, written as its others are."""
    layout = Layout(newline="", unit="")
    return add_last(entry, 0, len(entry), f"{json.dumps(key)}{layout.colon}{value}", layout, 0)
