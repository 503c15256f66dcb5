"""Networks and embeddings that prompt text names: find, remove, write (facts/site-api.md §8.3).

    tag   = "<" kind ":" name { ":" arg } ">"      kind = lora | lyco | loha | locon | hypernet, in any case
    arg   = number | key "=" value                 number = [+-]? digits [ "." digits ] | "." digits

The first number is the text encoder's weight, the second the UNet's, which is the first's where it is not said; named:
`te=`, `unet=`. Any other `<…>` is text, and so is an escaped `\\<`. Everything here takes time linear in the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

KINDS = {"lora": "lora", "lyco": "lyco", "loha": "lyco", "locon": "lyco", "hypernet": "hypernet"}
_EXTENSIONS = (".safetensors", ".ckpt", ".pt", ".bin")
# What is between the brackets holds no bracket, so each character is looked at once.
_TAG = re.compile(r"<(lora|lyco|loha|locon|hypernet):([^<>\n]*)>", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", re.ASCII)
# The weights of most tags: one or two short numbers.
_PLAIN = re.compile(r"([+-]?[0-9]{1,4}(?:\.[0-9]{1,9})?)(?::([+-]?[0-9]{1,4}(?:\.[0-9]{1,9})?))?", re.ASCII)
# Named arguments that other extensions read; they say nothing about the two weights.
_OTHER_ARGS = {"dyn", "lbw", "lbwe", "in", "mid", "out", "start", "stop", "step", "x"}
_EMBEDDING = re.compile(r"(?<![\w\\])embedding:((?:\\[()]|[^\s,():<>\[\]|])+)(?::([+-]?[0-9.]+))?", re.IGNORECASE)
# What may stand beside a bare word; nothing, at either end of the text, may too.
_BEFORE, _AFTER = frozenset(("", *":(|[],")), frozenset(("", *":)|[],"))
# Longer texts and lists are looked through in pieces, each for the names of which a word stands in it.
_MOST_AT_ONCE = 200_000
_PIECE = 8192
_MOST_SEARCHED = 2_000_000
_INNER = re.compile(r"[^\s*:()|\[\],]+")
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Tag:
    """A network tag: `weight` is the UNet's, `clip_weight` the text encoder's (None = the same), `odd` the arguments
    that are no weight and no known name, `text` the tag as it stands at `start` … `end`."""

    kind: str
    name: str
    weight: float
    clip_weight: float | None
    text: str
    start: int
    end: int
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class Embedding:
    """An embedding that a prompt names, by `embedding:name` or as a known bare word."""

    name: str
    weight: float
    text: str
    start: int
    end: int


def read_tags(text: str) -> list[Tag]:
    """The network tags of a prompt, in order.

    assert [(t.name, t.weight, t.clip_weight) for t in read_tags("a <lora:x y:0.8:0.6> b")] == [("x y", 0.6, 0.8)]
    """
    return list(each_tag(text))


def each_tag(text: str) -> Iterator[Tag]:
    """The same one by one, for texts that may hold too many."""
    if "<" in text:
        for found in _TAG.finditer(text):
            if (read := _read(text, found)) is not None:
                kind, name, weight, clip, odd, said = read
                yield Tag(kind, name, weight, clip, said, *found.span(), odd)


NetworkTag = tuple[str, str, float, "float | None", tuple[str, ...], str]


def each_network(text: str) -> Iterator[NetworkTag]:
    """Kind, name, weight, clip weight, odd arguments and text of each tag, for readers of very many texts."""
    if "<" in text:
        for found in _TAG.finditer(text):
            if (read := _read(text, found)) is not None:
                yield read


def network_tags(text: str) -> list[str]:
    """The tags as they stand in the text, in order.

    assert network_tags("a <lora:x:0.8> b") == ["<lora:x:0.8>"]
    """
    return [tag.text for tag in read_tags(text)]


def _read(text: str, found: re.Match[str]) -> NetworkTag | None:
    said, kind, inner = found[0], found[1], found[2]
    name, _, rest = inner.partition(":")
    if (
        (plain := _PLAIN.fullmatch(rest)) is not None
        and name
        and "." not in name
        and "\\" not in name
        and name == name.strip()
        and text[found.start() - 1 : found.start()] != "\\"
    ):
        first, second = float(plain[1]), plain[2]
        weight = first if second is None else float(second)
        return KINDS[kind.lower()], name, weight, None if weight == first else first, (), said
    name, *args = inner.split(":")
    name = normal_name(name)
    if not name or _escaped(text, found.start()):
        return None
    plain_args: list[float] = []
    named: dict[str, float] = {}
    odd: list[str] = []
    for arg in args:
        if (value := _number(arg)) is not None:
            plain_args.append(value)
            continue
        key, equals, value_said = arg.partition("=")
        key, value = key.strip().lower(), _number(value_said)
        if equals and key in ("te", "unet") and value is not None:
            named[key] = value
        elif not (equals and key in _OTHER_ARGS):
            odd.append(arg.strip())
    clip = named.get("te", plain_args[0] if plain_args else 1.0)
    model = named.get("unet", plain_args[1] if len(plain_args) > 1 else clip)
    return KINDS[kind.lower()], name, model, None if clip == model else clip, tuple(odd), said


def _escaped(text: str, start: int) -> bool:
    """Whether an odd number of backslashes stands before it."""
    before = start
    while before > 0:
        part = text[max(0, before - 1024) : before]
        count = len(part) - len(part.rstrip("\\"))
        before -= count
        if count < 1024:
            break
    return (start - before) % 2 == 1


def _number(text: str) -> float | None:
    text = text.strip()
    if _NUMBER.fullmatch(text) is None:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def normal_name(name: str) -> str:
    """A network's name without blanks around it and without a model file's extension; `\\` becomes `/`."""
    name = name.strip().replace("\\", "/")
    if "." in name and name.lower().endswith(_EXTENSIONS):
        return name.rpartition(".")[0]
    return name


def name_key(name: str) -> str:
    """What two spellings of one name have in common: the last segment, case-folded."""
    if "." not in name and "/" not in name and "\\" not in name:
        return name.strip().casefold()
    return normal_name(name).rpartition("/")[2].casefold()


def write_tag(kind: str, name: str, weight: float = 1.0, clip_weight: float | None = None) -> str:
    """A tag that `read_tags` reads back. A second number is written only where the weights differ.

    assert write_tag("lora", "x", 0.6, 0.8) == "<lora:x:0.8:0.6>"
    """
    if clip_weight is None or clip_weight == weight:
        return f"<{kind}:{name}:{_written(weight)}>"
    return f"<{kind}:{name}:{_written(clip_weight)}:{_written(weight)}>"


def _written(value: float) -> str:
    """The number in digits: the grammar knows no exponent."""
    text = format(Decimal(repr(value)), "f")
    return text[:-2] if text.endswith(".0") else text


def clean_prompt(text: str) -> str:
    """The prompt without its network tags; commas and blanks that they leave behind go too, line breaks stay.

    assert clean_prompt("a cat, <lora:x:0.8>, sitting,") == "a cat, sitting"
    """
    kept, end = [], 0
    for tag in read_tags(text):
        kept.append(text[end : tag.start])
        end = tag.end
    kept.append(text[end:])
    return "\n".join(_tidy(line) for line in "".join(kept).split("\n"))


def _tidy(line: str) -> str:
    parts = [part.rstrip() for part in _BLANKS.sub(" ", line).split(",")]
    return ",".join(part for part in parts if part).lstrip()


def read_embeddings(text: str) -> list[Embedding]:
    """The embeddings that a prompt names as ComfyUI does: `embedding:name`, `(embedding:name.pt:1.2)`."""
    return list(each_embedding(text))


def each_embedding(text: str) -> Iterator[Embedding]:
    """The same one by one, for texts that may hold too many."""
    for match in _EMBEDDING.finditer(text):
        name = normal_name(match[1].replace("\\(", "(").replace("\\)", ")"))
        weight = _number(match[2]) if match[2] else None
        if name:
            yield Embedding(name, 1.0 if weight is None else weight, match.group(), *match.span())


def known_words(text: str, names: Iterable[str], most: int | None = None) -> list[Embedding]:
    """The known embedding names that stand in the text as words of their own, as A1111 writes them.

    The borders are those of CivitAI's own extension; a name that is not known is never reported. With `most` no more
    than so many are told of each name, and a text that is made to be looked through for ever is not.
    assert [e.name for e in known_words("bad, EasyNegative, (bad_prompt:0.8)", ["easynegative", "bad_prompt"])] == [
        "easynegative", "bad_prompt"]
    """
    lower = text.lower()
    if len(lower) != len(text):
        lower = _lower(text)
    wanted = {name: word for name in names if (word := _lower(name.strip()))}
    found: list[Embedding] = []
    places = None
    if len(lower) * len(wanted) > _MOST_AT_ONCE:
        places = _places(lower, wanted.values(), None if most is None else 10 * most)
    room, whole = _MOST_SEARCHED, ((0, len(lower)),)
    for name, word in wanted.items():
        pieces = whole if places is None else places.get(word, ())
        room = _mentions(text, lower, name, word, pieces, most, room, found)
        if most is not None and room < 0:
            break
    if len(found) < 2:
        return found
    found.sort(key=lambda one: (one.start, -one.end))
    end = 0
    kept = []
    for one in found:
        if one.start >= end:
            kept.append(one)
            end = one.end
    return kept


def _mentions(
    text: str,
    lower: str,
    name: str,
    word: str,
    pieces: Iterable[tuple[int, int]],
    most: int | None,
    room: int,
    found: list[Embedding],
) -> int:
    """Add the mentions of one name, no more than `most`; what is left of `room` after the characters looked at."""
    last, tried, count = 0, 0, 0
    for start, stop in pieces:
        at = max(start, last)
        while (at := lower.find(word, begun := at, stop + len(word))) >= 0:
            last = at + len(word)
            tried += 1
            room -= last - begun
            before, after = text[at - 1 : at], text[last : last + 1]
            if (before in _BEFORE or before.isspace()) and (after in _AFTER or after.isspace()):
                found.append(Embedding(name, _weight_after(text, last), text[at:last], at, last))
                count += 1
            at = last
            if most is not None and (count == most or tried == 10 * most):
                return room
        room -= stop - begun
        if most is not None and room < 0:
            break
    return room


def _places(lower: str, words: Iterable[str], most: int | None) -> dict[str, list[tuple[int, int]]]:
    """The pieces of a text in which each name may stand: those in which its first word is one.

    Every piece is split by C code alone, so that this takes as long as the text, whatever is looked for."""
    firsts: dict[str, list[tuple[str, int]]] = {}
    found: dict[str, list[tuple[int, int]]] = {}
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
                pieces = found.setdefault(word, [])
                pieces.append((max(0, start - before), stop))
                if len(pieces) == most:
                    del firsts[first]
                    break
    return found


def _lower(text: str) -> str:
    """Lower case of the same length, so that places in it are places in the text."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if c.isascii() else c for c in text)


def _weight_after(text: str, end: int) -> float:
    """The attention weight in `(word:0.8)`."""
    if text[end : end + 1] != ":":
        return 1.0
    close = text.find(")", end, end + 24)
    value = _number(text[end + 1 : close]) if close > 0 else None
    return 1.0 if value is None else value


def for_comfyui(text: str, words: Mapping[str, str] | Iterable[str]) -> str:
    """The prompt with the known bare words as ComfyUI spells them: `embedding:` and a name, after a space.

    `words` says for each word the name to write (`dependencies.embedding_words`), or holds words that are the names. A
    name with a blank, which ComfyUI would cut, leaves its word as it is.
    assert for_comfyui("(bad:0.8)", {"bad": "Bad_v2"}) == "(embedding:Bad_v2:0.8)"
    """
    names = dict(words) if isinstance(words, Mapping) else {word: word for word in words}
    kept, end = [], 0
    already = [(one.start, one.end) for one in read_embeddings(text)]
    at = 0
    for word in known_words(text, names):
        while at < len(already) and already[at][1] <= word.start:
            at += 1
        name = names[word.name]
        if (at < len(already) and already[at][0] <= word.start) or not name or any(c.isspace() for c in name):
            continue
        before = text[end : word.start]
        space = "" if not (before or kept) or before[-1:].isspace() or before[-1:] in ("(", "") else " "
        kept.append(f"{before}{space}embedding:{name}")
        end = word.end
    return "".join(kept) + text[end:]
