"""Networks that prompt text names: find, remove, write.

    tag   = "<" kind ":" name { ":" arg } ">"      kind = lora | lyco | loha | locon | hypernet, in any case
    arg   = number | key "=" value                 number = [+-]? digits [ "." digits ] | "." digits

The first number is the text encoder's weight, the second the UNet's, which is the first's where it is not said; named:
`te=`, `unet=`. Any other `<…>` is text, and so is an escaped `\\<`. Everything here takes time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

KINDS = {"lora": "lora", "lyco": "lyco", "loha": "lyco", "locon": "lyco", "hypernet": "hypernet"}
_EXTENSIONS = (".safetensors", ".ckpt", ".pt", ".bin")
# What is between the brackets holds no bracket, so each character is looked at once.
_DIGITS = r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]*)?|\.[0-9]+)"  # no more than a float has room for
_TAG = re.compile(
    rf"<(lora|lyco|loha|locon|hypernet):([^<>\n:]*)(?::({_DIGITS})(?=[:>]))?(?::({_DIGITS})(?=[:>]))?((?::[^<>\n]*)?)>",
    re.IGNORECASE | re.ASCII,
)
_NUMBER = re.compile(rf"\s*{_DIGITS}\s*")
# Named arguments that other extensions read; they say nothing about the two weights.
_OTHER_ARGS = {"dyn", "lbw", "lbwe", "in", "mid", "out", "start", "stop", "step", "x"}
_BLANKS = re.compile(r"[ \t]+")


class Tag(NamedTuple):
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


def read_tags(text: str) -> list[Tag]:
    """The network tags of a prompt, in order.

    assert [(t.name, t.weight, t.clip_weight) for t in read_tags("a <lora:x y:0.8:0.6> b")] == [("x y", 0.6, 0.8)]
    """
    return list(each_tag(text))


def each_tag(text: str) -> Iterator[Tag]:
    """The network tags of a prompt one by one, for texts that may hold too many."""
    if "<" in text:
        for match in _TAG.finditer(text):
            if (tag := _tag(text, match)) is not None:
                yield tag


def network_tags(text: str) -> list[str]:
    """The tags as they stand in the text, in order.

    assert network_tags("a <lora:x:0.8> b") == ["<lora:x:0.8>"]
    """
    return [tag.text for tag in each_tag(text)]


def _tag(text: str, match: re.Match[str]) -> Tag | None:
    kind, name, first, second, rest = match.groups()
    start, end = match.span()
    name = normal_name(name)
    if not name or (text[start - 1 : start] == "\\" and _escaped(text, start)):
        return None
    clip = float(first) if first else 1.0
    model = float(second) if second else clip
    odd: tuple[str, ...] = ()
    if rest:
        weights = [float(weight) for weight in (first, second) if weight]
        clip, model, odd = _with_arguments(weights, rest[1:].split(":"))
    return Tag(KINDS[kind.lower()], name, model, None if clip == model else clip, match[0], start, end, odd)


def _with_arguments(weights: list[float], arguments: list[str]) -> tuple[float, float, tuple[str, ...]]:
    """The text encoder's weight, the UNet's, and what is none, of the arguments after the first numbers of a tag."""
    named: dict[str, float] = {}
    odd: list[str] = []
    for argument in arguments:
        if (weight := read_number(argument)) is not None:
            weights.append(weight)
            continue
        key, equals, value = argument.partition("=")
        key, weight = key.strip().lower(), read_number(value)
        if equals and key in ("te", "unet") and weight is not None:
            named[key] = weight
        elif not (equals and key in _OTHER_ARGS):
            odd.append(argument.strip())
    clip = named.get("te", weights[0] if weights else 1.0)
    return clip, named.get("unet", weights[1] if len(weights) > 1 else clip), tuple(odd)


def _escaped(text: str, start: int) -> bool:
    """Whether an odd number of backslashes stands before it."""
    before = start
    while before > 0 and text[before - 1] == "\\":
        part = text[max(0, before - 1024) : before]
        before -= len(part) - len(part.rstrip("\\"))
    return (start - before) % 2 == 1


def read_number(text: str) -> float | None:
    """A weight as tags and attention write it: finite, without exponent."""
    return float(text) if _NUMBER.fullmatch(text) else None


def normal_name(name: str) -> str:
    """A network's name without blanks around it and without a model file's extension; `\\` becomes `/`."""
    name = name.strip().replace("\\", "/")
    if "." in name and name.lower().endswith(_EXTENSIONS):
        return name.rpartition(".")[0]
    return name


def name_key(name: str) -> str:
    """What two spellings of one name have in common: the last segment, case-folded."""
    name = normal_name(name)
    return (name.rpartition("/")[2] if "/" in name else name).casefold()


def write_tag(kind: str, name: str, weight: float = 1.0, clip_weight: float | None = None) -> str:
    """A tag that `read_tags` reads back. A second number is written only where the weights differ.

    assert write_tag("lora", "x", 0.6, 0.8) == "<lora:x:0.8:0.6>"
    """
    if clip_weight is None or clip_weight == weight:
        return f"<{kind}:{name}:{_digits(weight)}>"
    return f"<{kind}:{name}:{_digits(clip_weight)}:{_digits(weight)}>"


def _digits(value: float) -> str:
    """The number in digits: the grammar knows no exponent."""
    text = format(Decimal(repr(value)), "f")
    return text[:-2] if text.endswith(".0") else text


def clean_prompt(text: str) -> str:
    """The prompt without its network tags; commas and blanks that they leave behind go too, line breaks stay.

    assert clean_prompt("a cat, <lora:x:0.8>, sitting,") == "a cat, sitting"
    """
    parts, end = [], 0
    for tag in each_tag(text):
        parts.append(text[end : tag.start])
        end = tag.end
    parts.append(text[end:])
    return "\n".join(_tidy(line) for line in "".join(parts).split("\n"))


def _tidy(line: str) -> str:
    parts = [part.rstrip() for part in _BLANKS.sub(" ", line).split(",")]
    return ",".join(part for part in parts if part).lstrip()
