"""What a node hands on at an output, by its row: an input's value, a text that it puts together, a pipe.

`take` gives what stands at the other end of one of the node's inputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import CivitaiError
from ...resources.json_values import whole
from ...resources.reference import AirReference, VersionReference, read_reference
from .graph import UNWRITTEN, Bundle, Node, Unwritten, Wire
from .nodes import Row, numbered
from .values import VERSION, preset_size, truth, written

Take = Callable[[str], Any]
# Characters that text nodes may put together: a node that joins a text with itself doubles it.
LONGEST_TEXT = 1_000_000


def pipe(node: Node, of: Row, wire: Wire, take: Take) -> dict[str, Any]:
    """What a node's pipe carries: what came in, and over it what the node adds."""
    fields: dict[str, Any] = {}
    sources = numbered(of["first"], node.inputs)[:1] if "first" in of else of.get("takes", ())
    for name in sources:
        if isinstance(carried := take(name), Bundle):
            fields.update(carried.fields)
    for field, names in of.get("pipe", {}).items():
        for name in names.split("|"):
            value = Wire(wire.node, int(name[1:])) if name[:1] == "@" else take(name.removeprefix("~"))
            if name[:1] == "~":
                value = UNWRITTEN if isinstance(value, Wire) else value or None
            if value is not None:
                fields[field] = value
                break
    return fields


def given(names: str, node: Node, of: Row, wire: Wire, take: Take) -> Any:
    """The value that a node hands on, by the inputs of its row; the wire to it where it hands on none."""
    if not names:
        return wire
    if names == "#json":
        return _from_selector(node.inputs, wire.slot)
    if names == "#reference":
        return _referred(take("reference"), wire)
    if names in ("#width", "#height"):
        sides = preset_size({name: take(name) for name in node.inputs}, of["size"])
        return sides[names == "#height"] if sides[0] is not None else wire
    values = [_text_of(value) for name in names.split("|") if (value := take(name)) is not None]
    return next((value for value in values if written(value) is not None), values[0] if values else UNWRITTEN)


def _text_of(value: Any) -> Any:
    """A value as it is; the texts that a node shows, as one."""
    is_shown = isinstance(value, list) and value and all(isinstance(line, str) for line in value)
    return "\n".join(value) if is_shown else value


def _referred(reference: object, wire: Wire) -> Any:
    """What one of our own nodes looks up, in place of the file that it finds: an AIR, or a version's id in words."""
    try:
        meant = read_reference(reference) if isinstance(reference, str) else None
    except CivitaiError:
        meant = None
    if isinstance(meant, AirReference):
        return str(meant.air)
    return VERSION.format(meant.version_id) if isinstance(meant, VersionReference) else wire


def _from_selector(inputs: Mapping[str, Any], slot: int) -> Any:
    """What CivitAI's own model selector hands on: the AIR of each output, by its number, in `resources_json`."""
    listed = written(inputs.get("resources_json"))
    try:
        listed = json.loads(listed) if isinstance(listed, str) else listed
    except (ValueError, RecursionError):
        listed = None
    by_slot = listed.get("bySlot") if isinstance(listed, Mapping) else None
    if isinstance(by_slot, Mapping) and isinstance(by_slot.get(str(slot)), str):
        return by_slot[str(slot)]
    if isinstance(by_slot, list) and slot < len(by_slot) and isinstance(by_slot[slot], str):
        return by_slot[slot]
    return inputs.get("air", UNWRITTEN)


def _joined(inputs: Mapping[str, Any], of: Row, take: Take) -> str | Unwritten:
    """Texts with a delimiter between them, as the node that joins them does it."""
    if any(written(take(name)) != value for name, value in of.get("when", {}).items()):
        return UNWRITTEN
    pieces = [take(name) for name in numbered(of["join"], inputs) if inputs.get(name) is not None]
    between = of.get("between", "=")
    delimiter = between[1:] if between[:1] == "=" else take(between) if between in inputs else ""
    is_whole = isinstance(delimiter, str) and all(isinstance(piece, str) for piece in pieces)
    if not isinstance(delimiter, str):
        delimiter = ", "
    delimiter = "\n" if of.get("newlines") and delimiter == "\\n" else delimiter
    texts = [piece.text if isinstance(piece, Unwritten) else piece for piece in pieces]
    texts = [text for text in texts if isinstance(text, str)]
    strips = of.get("strips", False)
    if truth(written(take(strips))) if isinstance(strips, str) else strips:
        texts = [text.strip() for text in texts]
    skips = of.get("skips") or not is_whole
    text = delimiter.join(text for text in texts if text or not skips)
    return text if is_whole else Unwritten(text)


def _chosen_line(_: Mapping[str, Any], of: Row, take: Take) -> str | Unwritten:
    """One line of a text, by its number."""
    text, number = take(of["lines"][0]), whole(written(take(of["lines"][1])))
    if not isinstance(text, str) or number is None:
        return UNWRITTEN
    lines = text.splitlines() or [""]
    return lines[number % len(lines)]


def _replaced(_: Mapping[str, Any], of: Row, take: Take) -> str | Unwritten:
    """A text with words replaced by others; not written where any of them is not."""
    text, *pairs = (take(name) for name in of["replace"])
    if not isinstance(text, str):
        return UNWRITTEN
    for find, replacement in zip(pairs[::2], pairs[1::2], strict=True):
        if find in (None, ""):
            continue
        if not isinstance(find, str) or not isinstance(replacement, (str, type(None))):
            return UNWRITTEN
        replacement = replacement or ""
        if len(text) + text.count(find) * len(replacement) > LONGEST_TEXT:
            return Unwritten()
        text = text.replace(find, replacement)
    return text


# How nodes make a text, by the name in their row.
TEXTS: Mapping[str, Callable[[Mapping[str, Any], Row, Take], str | Unwritten]] = {
    "join": _joined,
    "replace": _replaced,
    "lines": _chosen_line,
}
