"""Embeddings that prompt text names: find, and spell as ComfyUI does.

ComfyUI writes `embedding:name`; A1111 writes bare words, which are embeddings only where the name is known.
Everything here takes time linear in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .prompt import normal_name, read_number

_EMBEDDING = re.compile(r"(?<![\w\\])embedding:((?:\\[()]|[^\s,():<>\[\]|])+)(?::([+-]?[0-9.]+))?", re.IGNORECASE)
# What may stand beside a bare word, by CivitAI's own extension for A1111; nothing, at either end of the text, may too.
_BEFORE, _AFTER = frozenset(("", *":(|[],")), frozenset(("", *":)|[],"))
# Longer texts and lists are looked through in pieces, each for the names of which a word stands in it.
_MOST_AT_ONCE = 200_000
_PIECE = 8192
_MOST_SEARCHED = 2_000_000
_INNER = re.compile(r"[^\s*:()|\[\],]+")

Span = tuple[int, int]


class Embedding(NamedTuple):
    """An embedding that a prompt names, by `embedding:name` or as a known bare word."""

    name: str
    weight: float
    text: str
    start: int
    end: int


def read_embeddings(text: str) -> list[Embedding]:
    """The embeddings that a prompt names as ComfyUI does: `embedding:name`, `(embedding:name.pt:1.2)`."""
    return list(each_embedding(text))


def each_embedding(text: str) -> Iterator[Embedding]:
    """The embeddings that a prompt names as ComfyUI does, one by one, for texts that may hold too many."""
    for match in _EMBEDDING.finditer(text):
        name = normal_name(match[1].replace("\\(", "(").replace("\\)", ")"))
        weight = read_number(match[2]) if match[2] else None
        if name:
            yield Embedding(name, 1.0 if weight is None else weight, match.group(), *match.span())


def known_words(text: str, names: Iterable[str], most: int | None = None) -> list[Embedding]:
    """The known embedding names that stand in the text as words of their own, as A1111 writes them.

    The borders are those of CivitAI's own extension; a name that is not known is never reported. With `most` no more
    than so many are told of each name, and a text that is made to be looked through for ever is not.
    assert [e.name for e in known_words("bad, EasyNegative, (bad_prompt:0.8)", ["easynegative", "bad_prompt"])] == [
        "easynegative", "bad_prompt"]
    """
    lower = _lower(text)
    words: dict[str, str] = {}
    for name in names:
        if word := _lower(name.strip()):
            words[name] = word
    places = None
    if len(lower) * len(words) > _MOST_AT_ONCE:
        places = _places(lower, words.values(), None if most is None else 10 * most)
    budget, everywhere = _MOST_SEARCHED, ((0, len(lower)),)
    mentions: list[Embedding] = []
    for name, word in words.items():
        pieces = everywhere if places is None else places.get(word, ())
        spans, searched = _spans(lower, word, pieces, most, None if most is None else budget)
        for start, end in spans:
            mentions.append(Embedding(name, _weight_after(text, end), text[start:end], start, end))
        budget -= searched
        if most is not None and budget < 0:
            break
    return _outermost(mentions) if len(mentions) > 1 else mentions


def _outermost(mentions: list[Embedding]) -> list[Embedding]:
    """In the text's order, without those that stand inside a longer one."""
    mentions.sort(key=lambda mention: (mention.start, -mention.end))
    end = 0
    outermost = []
    for mention in mentions:
        if mention.start >= end:
            outermost.append(mention)
            end = mention.end
    return outermost


def _spans(
    lower: str, word: str, pieces: Iterable[Span], most: int | None, budget: int | None
) -> tuple[list[Span], int]:
    """Where a name stands as a word of its own, no more than `most` times, and how many characters were looked at;
    above `budget` nothing more is."""
    spans: list[Span] = []
    last, tried, searched = 0, 0, 0
    for start, stop in pieces:
        at = max(start, last)
        while (at := lower.find(word, begun := at, stop + len(word))) >= 0:
            last = at + len(word)
            tried += 1
            searched += last - begun
            before, after = lower[at - 1 : at], lower[last : last + 1]
            if (before in _BEFORE or before.isspace()) and (after in _AFTER or after.isspace()):
                spans.append((at, last))
            at = last
            if most is not None and (len(spans) == most or tried == 10 * most):
                return spans, searched
        searched += stop - begun
        if budget is not None and searched > budget:
            break
    return spans, searched


def _places(lower: str, words: Iterable[str], most: int | None) -> dict[str, list[Span]]:
    """The pieces of a text in which each name may stand: those in which its first word is one.

    Every piece is split by C code alone, so that this takes as long as the text, whatever is looked for."""
    firsts: dict[str, list[tuple[str, int]]] = {}
    places: dict[str, list[Span]] = {}
    for word in words:
        if (first := _INNER.search(word)) is not None:
            firsts.setdefault(first[0], []).append((word, first.start()))
    longest = max(map(len, firsts), default=0)
    piece = max(_PIECE, 4 * longest)
    plain = lower
    for border in "*:()|[],":
        plain = plain.replace(border, " ")
    for start in range(0, len(plain), piece):
        # A word that is cut at one end of a piece is whole in the next.
        stop = start + piece + longest
        for first in firsts.keys() & plain[start:stop].split():
            for word, before in firsts[first]:
                pieces = places.setdefault(word, [])
                pieces.append((max(0, start - before), stop))
                if len(pieces) == most:
                    del firsts[first]
                    break
    return places


def _lower(text: str) -> str:
    """Lower case of the same length, so that places in it are places in the text."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if c.isascii() else c for c in text)


def _weight_after(text: str, end: int) -> float:
    """The attention weight in `(word:0.8)`."""
    if text[end : end + 1] != ":":
        return 1.0
    close = text.find(")", end, end + 24)
    weight = read_number(text[end + 1 : close]) if close > 0 else None
    return 1.0 if weight is None else weight


def for_comfyui(text: str, words: Mapping[str, str] | Iterable[str]) -> str:
    """The prompt with the known bare words as ComfyUI spells them: `embedding:` and a name, after a space.

    `words` says for each word the name to write (`lookup.embedding_words`), or holds words that are the names. A
    name with a blank, which ComfyUI would cut, leaves its word as it is.
    assert for_comfyui("(bad:0.8)", {"bad": "Bad_v2"}) == "(embedding:Bad_v2:0.8)"
    """
    names = dict(words) if isinstance(words, Mapping) else {word: word for word in words}
    parts, end = [], 0
    spelled = [(mention.start, mention.end) for mention in read_embeddings(text)]
    at = 0
    for word in known_words(text, names):
        while at < len(spelled) and spelled[at][1] <= word.start:
            at += 1
        name = names[word.name]
        if (at < len(spelled) and spelled[at][0] <= word.start) or not name or any(c.isspace() for c in name):
            continue
        before = text[end : word.start]
        space = "" if not (before or parts) or before[-1:].isspace() or before[-1:] in ("(", "") else " "
        parts.append(f"{before}{space}embedding:{name}")
        end = word.end
    return "".join(parts) + text[end:]
