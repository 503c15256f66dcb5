"""What stands at the other end of a wire: through reroutes, switches, pipes and text nodes to what is written.

`resolved` makes of a graph as it was queued the graph that ran: each input holds the value that is written for it, or a
wire to the node that really makes it. The branch that a switch does not take is wired to nothing any more. What the
graph does not tell (a switch whose selection is made elsewhere, a ring) is `Unwritten`, with a note."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...resources.json_values import whole
from .graph import UNWRITTEN, Bundle, Graph, Node, Unwritten, Wire
from .nodes import Row, has_roles, numbered, row
from .remarks import Remarks

_DEEPEST = 100
# Characters that text nodes may put together: a node that joins a text with itself doubles it.
_LONGEST_TEXT = 1_000_000
_SIZE = re.compile(r"(?<![\d.:])(\d{2,5})\s*[x×X]\s*(\d{2,5})(?!\d)")
_YES = ("true", "on", "yes", "enable", "enabled", "1")
# What a class that nobody knows is called when it hands on one of several branches.
_SWITCHES = re.compile(r"switch|ifelse|if else|branch|selector$|\bselect\b|\bmux\b", re.I)
# Pairs of inputs that are the two branches of a choice, and the inputs that choose, whatever the class.
_BRANCHES = (("on_true", "on_false"), ("if_true", "if_false"), ("tt_value", "ff_value"), ("true_value", "false_value"))
_CHOOSERS = ("switch", "boolean", "condition", "cond", "bool", "value")


def resolved(graph: Graph, remarks: Remarks) -> Graph:
    """The graph with each wire led to what is written, or to the node that makes it. Pipes are spread over the inputs
    of the nodes that take them."""
    follower = _Follower(graph, remarks)
    nodes: dict[str, Node] = {}
    for key, node in graph.nodes.items():
        inputs = {name: follower.end(value) for name, value in node.inputs.items()}
        nodes[key] = Node(node.kind, _spread(inputs, row(node.kind)))
    return Graph(nodes)


def written(value: object) -> Any:
    """A value that is written; None for a wire, and for what is not written or only in part."""
    return None if isinstance(value, (Wire, Unwritten, Bundle)) else value


def is_wired(value: object) -> bool:
    """Whether an input is made by another node: a wire, or what no wire could be followed to."""
    return isinstance(value, (Wire, Unwritten))


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


def _spread(inputs: dict[str, Any], of: Row) -> dict[str, Any]:
    """The inputs with what their pipes carry in place of the pipes; a node's own inputs win, but for those it hides."""
    if not any(isinstance(value, Bundle) for value in inputs.values()):
        return inputs
    own = {name: value for name, value in inputs.items() if not isinstance(value, Bundle) and value is not None}
    for name in of.get("hides", ()):
        own.pop(name, None)
    for name, value in list(own.items()):
        if isinstance(value, (Wire, Unwritten, str)) and (field := _plain_name(name)) != name:
            own.setdefault(field, value)
    for value in inputs.values():
        if isinstance(value, Bundle):
            for field, carried in value.fields.items():
                own.setdefault(field, carried)
    return own


def _plain_name(name: str) -> str:
    """The name that samplers give an input: `optional_model`, `opt_model` and `model_override` are `model`."""
    for head in ("optional_", "opt_"):
        name = name.removeprefix(head)
    name = name.removesuffix("_override").removesuffix("_opt")
    return {"pos": "positive", "neg": "negative"}.get(name, name)


class _Follower:
    """The wires of one graph while they are followed; each is followed once, however many inputs it feeds."""

    def __init__(self, graph: Graph, remarks: Remarks) -> None:
        self._graph = graph
        self._remarks = remarks
        self._ends: dict[Wire, Any] = {}
        self._under_way: set[Wire] = set()
        self._room = _LONGEST_TEXT

    def end(self, value: object, depth: int = 0) -> Any:
        """What an input's wire leads to; a value that is written stays as it is."""
        if not isinstance(value, Wire) or value.node not in self._graph.nodes:
            return UNWRITTEN if isinstance(value, Wire) else value
        if value not in self._ends:
            if value in self._under_way:
                self._remarks.note("The graph runs in a circle; a value in it stays unknown.")
                return UNWRITTEN
            if depth > _DEEPEST:
                self._remarks.note("A wire leads through too many nodes; the value at its end stays unknown.")
                return UNWRITTEN
            self._under_way.add(value)
            self._ends[value] = self._made(value, depth + 1)
            self._under_way.discard(value)
        return self._ends[value]

    def _made(self, wire: Wire, depth: int) -> Any:
        """What a node gives at one of its outputs: the wire to it where it makes something new."""
        node = self._graph.nodes[wire.node]
        of = row(node.kind)

        def take(name: str) -> Any:
            return self.end(node.inputs.get(name), depth)

        if of.get("passes"):
            wires = [value for value in node.inputs.values() if isinstance(value, Wire)]
            return self.end(wires[0], depth) if len(wires) == 1 else UNWRITTEN
        if ("join" in of or "replace" in of) and wire.slot == 0:
            text = _joined(node.inputs, of, take) if "join" in of else _replaced(of["replace"], take)
            return self._measured(text)
        if (names := _branches(node, of, wire.slot, take)) is not None:
            return self._selected(node.kind, names, take)
        if "slots" in of and (name := _at(of["slots"], wire.slot)):
            fields = _pipe(node, of, wire, take)
            return Bundle(fields) if name == "pipe" else fields.get(name, wire)
        return _given(_at(of.get("gives", ()), wire.slot), node, of, wire, take)

    def _measured(self, text: str | Unwritten) -> str | Unwritten:
        """A text that was put together, as long as there is room for it."""
        self._room -= len(text if isinstance(text, str) else text.text)
        if self._room < 0:
            self._remarks.note("The graph puts together more text than is read; what it makes stays unknown.")
            return UNWRITTEN
        return text

    def _selected(self, kind: str, names: Sequence[str], take: Callable[[str], Any]) -> Any:
        """What comes out of a switch, from the branches that it may take: one, or several that lead to the same."""
        ends = [take(name) for name in names]
        if ends and ends[0] is not None and all(end == ends[0] for end in ends):
            return ends[0]
        self._remarks.note(
            f"Which branch a switch ({kind[:60]}) takes is not written in the graph; what it hands on stays unknown."
            if len(names) > 1
            else f"The branch that a switch ({kind[:60]}) takes holds nothing."
        )
        return UNWRITTEN


def _at(names: Sequence[str], slot: int) -> str:
    return names[slot] if 0 <= slot < len(names) else ""


def _branches(node: Node, of: Row, slot: int, take: Callable[[str], Any]) -> list[str] | None:
    """The inputs of a switch that may come out at this output: one where the selection is written, else all of them;
    None where the node is no switch."""
    inputs = node.inputs
    if "first" in of and "slots" not in of:
        return [name for name in numbered(of["first"], inputs) if inputs[name] is not None][:1]
    if "select" in of:
        return _numbered_branches(of, slot, inputs, take)
    if "pick" in of:
        chosen = of["of"].get(written(take(of["pick"])))
        return [chosen] if chosen is not None else list(of["of"].values())
    if "choose" in of:
        answer = truth(written(take(of["choose"])))
        if "inverse" in of:
            return [of["inverse"]] if answer is not None and slot == (0 if answer else 1) else []
        return [of["yes"], of["no"]] if answer is None else [of["yes"] if answer else of["no"]]
    return None if has_roles(of) else _unknown_branches(node, take)


def _numbered_branches(of: Row, slot: int, inputs: Mapping[str, Any], take: Callable[[str], Any]) -> list[str] | None:
    number = whole(written(take(of["select"])))
    first = of.get("from", 1)
    if "inverse" in of:
        return [of["inverse"]] if number is not None and slot == number - first else []
    choices = of["of"]
    if isinstance(choices, list) and isinstance(choices[0], list):
        choices = choices[slot] if 0 <= slot < len(choices) else []
    elif slot > 0:
        return None
    names = numbered(choices, inputs)
    if number is None:
        return names
    if isinstance(choices, str):
        return [name] if (name := choices.replace("{}", str(number))) in inputs else []
    return [names[number - first]] if 0 <= number - first < len(names) else []


def _unknown_branches(node: Node, take: Callable[[str], Any]) -> list[str] | None:
    """The branches of a class without a row: the usual names of a choice, else all wires of what is called a switch."""
    for yes, no in _BRANCHES:
        if yes in node.inputs and no in node.inputs:
            chooser = next((name for name in _CHOOSERS if name in node.inputs), "")
            answer = truth(written(take(chooser))) if chooser else None
            return [yes, no] if answer is None else [yes if answer else no]
    if not _is_called_switch(node.kind):
        return None
    wires = [name for name, value in node.inputs.items() if isinstance(value, Wire)]
    return wires if len(wires) > 1 else None


@lru_cache(1024)
def _is_called_switch(kind: str) -> bool:
    return _SWITCHES.search(kind) is not None


def truth(value: object) -> bool | None:
    """Yes or no as widgets say it; None where nothing is said."""
    if isinstance(value, str):
        return value.strip().lower() in _YES
    return bool(value) if isinstance(value, (bool, int, float)) else None


def _pipe(node: Node, of: Row, wire: Wire, take: Callable[[str], Any]) -> dict[str, Any]:
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


def _given(names: str, node: Node, of: Row, wire: Wire, take: Callable[[str], Any]) -> Any:
    """The value that a node hands on, by the inputs of its row; the wire to it where it hands on none."""
    if not names:
        return wire
    if names == "#json":
        return _from_selector(node.inputs, wire.slot)
    if names in ("#width", "#height"):
        sides = preset_size({name: take(name) for name in node.inputs}, of["size"])
        return sides[names == "#height"] if sides[0] is not None else wire
    values = [value for name in names.split("|") if (value := take(name)) is not None]
    return next((value for value in values if written(value) is not None), values[0] if values else UNWRITTEN)


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


def _joined(inputs: Mapping[str, Any], of: Row, take: Callable[[str], Any]) -> str | Unwritten:
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


def _replaced(names: Sequence[str], take: Callable[[str], Any]) -> str | Unwritten:
    """A text with words replaced by others; not written where any of them is not."""
    text, *pairs = (take(name) for name in names)
    if not isinstance(text, str):
        return UNWRITTEN
    for find, replacement in zip(pairs[::2], pairs[1::2], strict=True):
        if find in (None, ""):
            continue
        if not isinstance(find, str) or not isinstance(replacement, (str, type(None))):
            return UNWRITTEN
        replacement = replacement or ""
        if len(text) + text.count(find) * len(replacement) > _LONGEST_TEXT:
            return Unwritten()
        text = text.replace(find, replacement)
    return text
