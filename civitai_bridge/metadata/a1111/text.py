"""The grammar of A1111's and Forge's text ("infotext"): prompt, negative prompt, one line of settings.

    infotext = [ "Parameters:" ] prompt [ LF "Negative prompt:" negative ] LF details [ LF templates ]
    details  = "Steps: " number { "," key ":" value }
    value    = bare text | '"' JSON string '"' | JSON object | JSON list

A superset of what CivitAI reads: bare values may hold commas, quoted ones escapes, JSON may nest. The line is cut at
its commas once and each piece is looked at once, so the time is linear in the text.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any, NamedTuple

from ..quantities import shown
from ..tables import DECODER

NEGATIVE = "Negative prompt:"
# More settings than any text has: what is beyond is named, not read, so that no text takes long.
MOST = 1000
_MOST_PIECES = 100_000
# A text that opens brackets again and again and never closes them would be decoded from each of them.
_MOST_BROKEN = 8
_HEAD = re.compile(r"Parameters[ \t]{0,32}:[ \t]*", re.ASCII)
_ANY_STEPS = re.compile(r"(?<![^\s.,])steps:[ \t]{0,7}[0-9]", re.IGNORECASE | re.ASCII)
_STEPS_LINE = re.compile(r"Steps:[ \t]{0,9}[0-9]{1,20}(?:\.[0-9]{1,9})?(?:[ \t]{0,9}(,|$|\n))?", re.ASCII)
# The commas and full stops by which a text on one line sets its parts apart; CivitAI takes as many of them away.
_JAMMED = re.compile(r"[ \t]{0,7}[.,][ \t.,]{0,7}\Z", re.ASCII)
_ANY_NEGATIVE = re.compile(re.escape(NEGATIVE), re.IGNORECASE)
_TEMPLATES = ("Template:", "Negative Template:")
_USUAL = frozenset(("Steps", "Sampler", "Seed", "Size", "CFG scale", "Model", "Model hash"))
_USUAL_FIRST = tuple(f"{key}:" for key in sorted(_USUAL))
_STRUCTURED = frozenset(('"', "{", "["))
_CUT_OFF_IS_SAID = ("Civitai ", "Hashes")


class Parts(NamedTuple):
    """A text's prompts, and its settings in order: unquoted, decoded from JSON, or the text as it stands."""

    prompt: str
    negative_prompt: str
    settings: dict[str, Any]


def read_parts(text: str, notes: list[str]) -> Parts | None:
    """The parts of an A1111 text with LF line ends; None when it has no line of settings."""
    at = _details_at(text)
    if at < 0:
        at = _details_of_others(text)
        if at < 0:
            return None
        head = _JAMMED.sub("", text[:at].rstrip())
    else:
        head = text[:at]
    if head.startswith("Parameters") and (match := _HEAD.match(head)):
        head = head[match.end() :]
    details = text[at:]
    prompt, negative = _prompts(head)
    return Parts(prompt, negative, read_settings(_one_line(details, notes) if "\n" in details else details, notes))


def _details_at(text: str) -> int:
    """Where the first line begins with `Steps:` and a number, which is where CivitAI reads the settings; one behind
    whose number a sentence goes on only where there is no other. -1 without any."""
    at, sentence = 0 if text.startswith("Steps:") else text.find("\nSteps:") + 1, -1
    while text.startswith("Steps:", at):
        if (match := _STEPS_LINE.match(text, at)) is not None:
            if match[1] is not None:
                return at
            sentence = at if sentence < 0 else sentence
        at = text.find("\nSteps:", at) + 1 or len(text)
    return sentence


def _details_of_others(text: str) -> int:
    """Where the settings begin in a text that has them on its last line in another order, or everything on one line;
    -1 where nothing looks like settings."""
    at = text.rstrip().rfind("\n") + 1
    if not text.startswith(_USUAL_FIRST, at):
        for match in _ANY_STEPS.finditer(text):
            at = match.start()
    return at if at > 0 and _is_settings(text[at:]) else -1


def _is_settings(line: str) -> bool:
    """`Steps:` and a number, or A1111's own rule for texts of others: three settings, of which one is usual."""
    if _ANY_STEPS.match(line):
        return True
    if line.count(":") < 3 or line[:1] in "{[":
        return False
    settings = read_settings(line, [])
    return len(settings) >= 3 and not _USUAL.isdisjoint(settings)


def _one_line(details: str, notes: list[str]) -> str:
    """The settings with the lines after them: templates as settings of their own, open quotes closed first."""
    lines: list[str] = []
    templates: list[str] = []
    in_quotes = False
    for line in details.split("\n", MOST)[:MOST]:
        if in_quotes:
            lines.append("\\n" + line)
        elif line.startswith(_TEMPLATES):
            templates.append(line)
            continue
        elif templates and (line.startswith("Steps:") or not _begins_setting(line)):
            templates[-1] += "\n" + line
            continue
        elif lines and line.startswith("Steps:"):
            notes.append(f"A second line of settings is left out: {shown(line)}.")
            continue
        elif line.strip():
            lines.append((", " if lines else "") + line.strip())
        else:
            continue
        in_quotes ^= (line.count('"') - line.count('\\"')) % 2 == 1
    for template in templates:
        key, _, value = template.partition(":")
        lines.append(f", {key}: {json.dumps(value.strip(), ensure_ascii=False)}")
    return "".join(lines)


def _begins_setting(line: str) -> bool:
    word, colon, _ = line[:64].partition(": ")
    return bool(colon) and word.replace(" ", "").isalnum()


def _prompts(head: str) -> tuple[str, str]:
    """Prompt and negative prompt; the latter begins on a line of its own, or failing that anywhere."""
    if head.startswith(NEGATIVE):
        at = 0
    else:
        at = head.find("\n" + NEGATIVE)
        if at < 0:
            match = _ANY_NEGATIVE.search(head)
            if match is None:
                return head.strip(), ""
            return _JAMMED.sub("", head[: match.start()].rstrip()).lstrip(), head[match.end() :].strip()
        at += 1
    return head[:at].strip(), head[at + len(NEGATIVE) :].strip()


def read_settings(line: str, notes: list[str]) -> dict[str, Any]:
    """The settings of one line, in order. What is none of them, and what is too much, is named in the notes."""
    settings: dict[str, Any] = {}
    pieces = _pieces(line, notes)
    are_many, following, between_commas = len(pieces) > MOST, iter(pieces), f",{line},"
    bare, at, repeated, broken = "", 0, 0, 0
    # A comma inside a bare value goes on with it: these are the pieces after the first.
    parts: list[str] = []
    for piece in following:
        name, colon, value = piece.partition(":")
        if not colon:
            parts.append(piece)
            continue
        if parts:
            _go_on(settings, bare, parts, notes)
            parts = []
        bare = key = name.strip()
        value = value.strip()
        if value[:1] in _STRUCTURED and broken < _MOST_BROKEN:
            at = between_commas.index(f",{piece},", at)
            structure, end = _structured(line, line.index(value[0], at + len(name) + 1))
            if end >= 0:
                value, bare = structure, ""
                if commas := line.count(",", at, end):
                    next(islice(following, commas, commas), None)  # what the value holds is no setting
            else:
                broken += _is_broken(key, value, notes)
        if key in settings:
            repeated += 1
            if settings[key] != value:
                notes.append(f"{key[:60]} is said twice; the last one counts.")
        settings[key] = value
        if are_many and len(settings) + repeated > MOST:
            notes.append(f"The text has more than {MOST:,} settings; the rest is left out.")
            return settings
    if parts:
        _go_on(settings, bare, parts, notes)
    return settings


def _is_broken(key: str, value: str, notes: list[str]) -> bool:
    """Whether what cannot be read began as JSON; a note says so where that loses resources."""
    if value[0] != '"' and key.startswith(_CUT_OFF_IS_SAID):
        notes.append(f"{key} is cut off or broken, so it is kept as text.")
    return value[0] != '"'


def _pieces(line: str, notes: list[str]) -> list[str]:
    """What stands between the commas of the line."""
    pieces = line.split(",", _MOST_PIECES)
    if len(pieces) > _MOST_PIECES:
        notes.append(f"The settings have more than {_MOST_PIECES:,} commas; the rest is left out.")
        del pieces[_MOST_PIECES:]
    return pieces


def _go_on(settings: dict[str, Any], key: str, parts: list[str], notes: list[str]) -> None:
    """Pieces without a colon: the rest of a bare value in which commas stand."""
    rest = ",".join(parts).rstrip(" ,\t\n")
    if key and rest:
        settings[key] = f"{settings[key]},{rest}"
    elif rest:
        notes.append(f"This is no setting and is left out: {shown(rest)}.")


def _structured(line: str, at: int) -> tuple[Any, int]:
    """The quoted text or JSON value that begins at a place, and where it ends; -1 for what is none, or is followed by
    more than a comma."""
    end, value = -1, None
    if line[at] == '"':
        if (end := _closing(line, at)) >= 0:
            value = line[at + 1 : end - 1]
            if "\\" in value:
                value = _unescaped(value)
    else:
        try:
            value, end = DECODER.raw_decode(line, at)
        except (ValueError, RecursionError):
            return None, -1
    if end >= 0 and line[end : end + 1] not in ("", ","):
        comma = line.find(",", end)
        return value, end if line[end : comma if comma >= 0 else None].isspace() else -1
    return value, end


def _closing(text: str, at: int) -> int:
    """The place after the quote that closes the one at a place; -1 without one."""
    end = text.find('"', at + 1)
    while end >= 0:
        before = end - 1
        while text[before] == "\\":
            before -= 1
        if (end - before) % 2 == 1:
            return end + 1
        end = text.find('"', end + 1)
    return -1


def _unescaped(inside: str) -> str:
    """What stands between quotes with its escapes read; as it stands where JSON has no such escape."""
    try:
        return json.loads(f'"{inside}"', strict=False)
    except ValueError:
        return inside
