"""A prompt graph as frozen values: nodes, the wires between them, and walks along those wires.

A wire of a prompt is a list of two: the id of the node at its other end and the number of that node's output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

MOST_NODES = 20_000


class Wire(NamedTuple):
    """The other end of a wire: a node's id and the number of its output, from 0."""

    node: str
    slot: int


@dataclass(frozen=True)
class Unwritten:
    """A value that the graph does not hold, with as much of a text as it does hold."""

    text: str = ""


UNWRITTEN = Unwritten()


@dataclass(frozen=True)
class Bundle:
    """What one wire carries for several inputs (a pipe, a context): values by the names that samplers give them."""

    fields: Mapping[str, Any]


class Node(NamedTuple):
    """A node: its class, and its inputs by name, each a JSON value, a `Wire`, an `Unwritten` or a `Bundle`."""

    kind: str
    inputs: Mapping[str, Any]

    def wires(self) -> Iterator[Wire]:
        """The other ends of its wires."""
        return (value for value in self.inputs.values() if isinstance(value, Wire))


@dataclass(frozen=True)
class Graph:
    """Nodes by id. Whoever changes a graph makes a new one."""

    nodes: Mapping[str, Node]

    @cached_property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """For each node those that it takes something from."""
        return {
            key: tuple(dict.fromkeys(wire.node for wire in node.wires() if wire.node in self.nodes))
            for key, node in self.nodes.items()
        }

    @cached_property
    def takers(self) -> Mapping[str, tuple[str, ...]]:
        """For each node those that take something from it."""
        onward: dict[str, list[str]] = {key: [] for key in self.nodes}
        for key, sources in self.sources.items():
            for source in sources:
                onward[source].append(key)
        return {key: tuple(takers) for key, takers in onward.items()}

    def kind(self, key: str) -> str:
        """A node's class."""
        return self.nodes[key].kind

    def inputs(self, key: str) -> Mapping[str, Any]:
        """A node's inputs by name."""
        return self.nodes[key].inputs


def link_of(value: object) -> Wire | None:
    """A wire of a prompt; None for a value.

    assert link_of(["4", 0]) == ("4", 0) and link_of([640, 448.5]) is None"""
    if isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], (str, int)):
        slot = value[1]
        if isinstance(slot, int) and not isinstance(slot, bool) and not isinstance(value[0], bool):
            return Wire(str(value[0]), slot)
    return None


def plain(value: object) -> object:
    """A widget's value without the wrapping that some packs give it: `{"__value__": …}` (lists, which would be taken
    for wires) and `{"content": …}` (files with a preview picture)."""
    if isinstance(value, Mapping) and "__value__" in value:
        return value["__value__"]
    if isinstance(value, Mapping) and isinstance(value.get("content"), str):
        return value["content"]
    return value


def prompt_nodes(value: object) -> tuple[dict[str, dict[str, Any]], bool]:
    """The nodes of a prompt as JSON, and whether there were more than are read; what is no node is left out."""
    nodes: dict[str, dict[str, Any]] = {}
    if not isinstance(value, Mapping):
        return nodes, False
    inner = value.get("prompt")
    wrapped = isinstance(inner, Mapping) and "class_type" not in value
    for key, node in (inner if wrapped and isinstance(inner, Mapping) else value).items():
        if not isinstance(node, Mapping) or not isinstance(node.get("class_type"), str):
            continue
        if len(nodes) >= MOST_NODES:
            return nodes, True
        inputs = node.get("inputs")
        nodes[str(key)] = {
            "class_type": node["class_type"],
            "inputs": dict(inputs) if isinstance(inputs, Mapping) else {},
        }
    return nodes, False


def graph_of(nodes: Mapping[str, Mapping[str, Any]]) -> Graph:
    """The nodes of a prompt as a graph. A wire that leads nowhere carries something that is not written."""
    graph_nodes: dict[str, Node] = {}
    for key, node in nodes.items():
        inputs: dict[str, Any] = {}
        for name, value in node["inputs"].items():
            wire = value if isinstance(value, Wire) else link_of(value)
            inputs[name] = plain(value) if wire is None else wire if wire.node in nodes else UNWRITTEN
        graph_nodes[key] = Node(node["class_type"], inputs)
    return Graph(graph_nodes)


def ancestors(graph: Graph, starts: Iterable[str], closed: frozenset[str] = frozenset()) -> list[str]:
    """The nodes and all that they depend on, nearest first; nothing behind a `closed` one."""
    order = [key for key in dict.fromkeys(starts) if key in graph.nodes]
    seen = set(order)
    for key in order:
        for source in () if key in closed else graph.sources[key]:
            if source not in seen:
                seen.add(source)
                order.append(source)
    return order


def descendants(graph: Graph, starts: Iterable[str]) -> set[str]:
    """The nodes and all that depend on them."""
    seen = set(starts)
    todo = list(seen)
    while todo:
        new = [key for key in graph.takers.get(todo.pop(), ()) if key not in seen]
        seen.update(new)
        todo += new
    return seen


def walk(graph: Graph, start: object, names: Sequence[str]) -> list[str]:
    """The nodes along one wire: from a wire through the first of the named inputs that is one."""
    passed: dict[str, None] = {}
    wire = start if isinstance(start, Wire) else None
    while wire is not None and wire.node in graph.nodes and wire.node not in passed:
        passed[wire.node] = None
        wire = first_wired(graph.inputs(wire.node), names)
    return list(passed)


def first_wired(inputs: Mapping[str, Any], names: Sequence[str]) -> Wire | None:
    """The first of the named inputs that is a wire."""
    for name in names:
        if isinstance(value := inputs.get(name), Wire):
            return value
    return None


def upstream(prompt: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    """The part of a prompt (as JSON) that leads to one input of a node; empty where nothing is wired to it.

    Subgraphs in a prompt are expanded already, so that a node's id is a key of it."""
    part: dict[str, Any] = {}
    node = prompt.get(key)
    wire = link_of(node.get("inputs", {}).get(name)) if isinstance(node, Mapping) else None
    todo = [wire.node] if wire is not None else []
    while todo:
        source = todo.pop()
        node = prompt.get(source)
        if source in part or not isinstance(node, Mapping):
            continue
        part[source] = node
        inputs = node.get("inputs")
        if isinstance(inputs, Mapping):
            todo += [wire.node for value in inputs.values() if (wire := link_of(value))]
    return part
