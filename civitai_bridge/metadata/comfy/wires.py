"""What stands at the other end of a wire: through reroutes, switches, pipes and text nodes to what is written.

`resolved` makes of a graph as it was queued the graph that ran: each input holds the value that is written for it, or a
wire to the node that really makes it. The branch that a switch does not take is wired to nothing any more. What the
graph does not tell (a switch whose selection is made elsewhere, a ring) is `Unwritten`, with a note."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .graph import UNWRITTEN, Bundle, Graph, Node, Unwritten, Wire
from .nodes import Row, rules
from .outputs import LONGEST_TEXT, TEXTS, given, pipe
from .remarks import Remarks
from .switches import branches

_DEEPEST = 100
# What our own nodes take for "as the engine would".
_ENGINES_OWN = ("steps", "cfg", "width", "height", "sampler_name", "scheduler", "clip_skip")


def resolved(graph: Graph, remarks: Remarks) -> Graph:
    """The graph with each wire led to what is written, or to the node that makes it. Pipes are spread over the inputs
    of the nodes that take them."""
    follower = _Follower(graph, remarks)
    nodes: dict[str, Node] = {}
    for key, node in graph.nodes.items():
        inputs = {name: follower.end(value) for name, value in node.inputs.items()}
        of = rules(node.kind)
        nodes[key] = Node(node.kind, _wanted(inputs) if of.get("role") == "generate" else _spread(inputs, of))
    return Graph(nodes)


def _wanted(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a node whose pictures a service makes without those that are left to its engine."""
    unsaid = {name for name in _ENGINES_OWN if inputs.get(name) in (0, "auto", "")}
    unsaid |= {"denoise"} if inputs.get("image") is None else set()
    return {name: value for name, value in inputs.items() if name not in unsaid}


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
        self._room = LONGEST_TEXT

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
        of = rules(node.kind)

        def take(name: str) -> Any:
            return self.end(node.inputs.get(name), depth)

        if not of:
            names = branches(node, of, wire.slot, take)
            return wire if names is None else self._selected(node.kind, names, take)
        if of.get("passes"):
            wires = [value for value in node.inputs.values() if isinstance(value, Wire)]
            return self.end(wires[0], depth) if len(wires) == 1 else UNWRITTEN
        if wire.slot == 0 and (make := next((TEXTS[name] for name in TEXTS if name in of), None)) is not None:
            return self._measured(make(node.inputs, of, take))
        if (names := branches(node, of, wire.slot, take)) is not None:
            return self._selected(node.kind, names, take)
        if "slots" in of and (name := _at(of["slots"], wire.slot)):
            fields = pipe(node, of, wire, take)
            return Bundle(fields) if name == "pipe" else fields.get(name, wire)
        return given(_at(of.get("gives", ()), wire.slot), node, of, wire, take)

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
