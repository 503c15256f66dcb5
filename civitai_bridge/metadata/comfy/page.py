"""The page as ComfyUI's frontend drew it, made flat: subgraphs and group nodes opened, each wire with the node at its
other end.

A node inside an instance has the ids of both, `5:3`, as ComfyUI writes them into a prompt. The border of a subgraph is
followed on demand: what goes in through an instance's inputs is asked of the instance, what comes out of its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...resources.json_values import whole
from .drawn import Drawn, drawn_node, ends_of, key_of, objects
from .graph import MOST_NODES, Wire
from .groups import group_nodes
from .remarks import Remarks

MUTED, BYPASSED = 2, 4  # modes of a node
_IN, _OUT = -10, -20  # the ids that stand for a subgraph's border among the ends of its links
_BORDER = "\n"  # no part of an id: marks the input side of an instance
_SUBGRAPHS_DEEP = 20
_GROUPS = ("workflow>", "workflow/")


@dataclass(frozen=True)
class Page:
    """All nodes of the page and of what is opened in it, by id."""

    nodes: Mapping[str, Drawn]


def page_of(workflow: Mapping[str, Any], remarks: Remarks) -> Page:
    """The page of a workflow. A subgraph that contains itself is opened once; of too many nodes the first are read."""
    opener = _Opener(_definitions(workflow), _groups(workflow), remarks)
    opener.open(workflow, "", ())
    return Page(opener.nodes)


def border_input(wire: Wire) -> Wire | None:
    """For a wire to a subgraph's input side: the instance and the number of its input; else None."""
    return Wire(wire.node[: -len(_BORDER)], wire.slot) if wire.node.endswith(_BORDER) else None


def _definitions(workflow: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    definitions = workflow.get("definitions")
    listed = objects(definitions.get("subgraphs")) if isinstance(definitions, Mapping) else []
    return {str(definition["id"]): definition for definition in listed if key_of(definition.get("id"))}


def _groups(workflow: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    extra = workflow.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, Mapping) else None
    listed = groups.items() if isinstance(groups, Mapping) else ()
    return {str(name): group for name, group in listed if isinstance(group, Mapping)}


class _Opener:
    """The opening of one page: nodes are collected by their full ids, up to the most that are read."""

    def __init__(
        self, definitions: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Mapping[str, Any]], remarks: Remarks
    ) -> None:
        self.nodes: dict[str, Drawn] = {}
        self._definitions = definitions
        self._groups = groups
        self._remarks = remarks

    def open(self, graph: Mapping[str, Any], prefix: str, within: tuple[str, ...]) -> dict[int, Wire]:
        """Collect the nodes of a page or of a subgraph; what comes out of it at each of its outputs."""
        ends = ends_of(graph)
        border = prefix.removesuffix(":") + _BORDER

        def source(wire: Wire) -> Wire:
            if wire.node == str(_IN):
                return Wire(border, wire.slot)
            return Wire(prefix + wire.node, wire.slot) if prefix else wire

        for node in objects(graph.get("nodes")):
            if isinstance(node.get("type"), str) and (key := key_of(node.get("id"))):
                if len(self.nodes) >= MOST_NODES:
                    self._remarks.note(f"The graph has more than {MOST_NODES:,} nodes; the rest is left out.")
                    break
                self._add(drawn_node(node, prefix + key, ends, source), node, within)
        outlets = ((whole(place), wire) for wire, target, place in ends.values() if target in (_OUT, str(_OUT)))
        return {place: source(wire) for place, wire in outlets if place is not None}

    def _add(self, drawn: Drawn, node: Mapping[str, Any], within: tuple[str, ...]) -> None:
        definition = self._definitions.get(drawn.kind)
        group = self._groups.get(drawn.kind[len(_GROUPS[0]) :]) if drawn.kind.startswith(_GROUPS) else None
        if definition is not None and (drawn.kind in within or len(within) >= _SUBGRAPHS_DEEP):
            self._remarks.note("A subgraph contains itself; the inner one is not read.")
        elif definition is not None and drawn.mode not in (MUTED, BYPASSED):
            instance = drawn._replace(outlets={}, proxies=_proxies(drawn, node))
            self.nodes[drawn.key] = instance
            outlets = self.open(definition, f"{drawn.key}:", (*within, drawn.kind))
            self.nodes[drawn.key] = instance._replace(outlets=outlets)
            self._show(instance)
            return
        elif group is not None and drawn.mode not in (MUTED, BYPASSED):
            inner, outlets = group_nodes(drawn, group, self._remarks)
            self.nodes.update(inner)
            drawn = drawn._replace(outlets=outlets)
        self.nodes[drawn.key] = drawn

    def _show(self, instance: Drawn) -> None:
        """Give the values that an instance shows to the nodes inside it; one that is null is the inner node's own."""
        values = instance.values if isinstance(instance.values, list) else []
        if values and len(values) != len(instance.proxies):
            self._remarks.note("The values that a subgraph shows do not fit its widgets; those inside it are read.")
        elif values:
            for (inner, widget), value in zip(instance.proxies, values, strict=True):
                if value is not None:
                    self._give(instance, inner, widget, value)

    def _give(self, instance: Drawn, inner: str, widget: str, value: object) -> None:
        """Set a widget inside an instance: of a node, of all that an input of the subgraph leads to, or of what an
        instance inside it shows in its turn."""
        definition = self._definitions[instance.kind]
        targets = [(inner, widget)] if inner != "-1" else list(_inside(definition, widget))
        for key, name in targets:
            node = self.nodes.get(f"{instance.key}:{key}")
            if node is not None and node.outlets is not None and node.kind in self._definitions:
                for deeper, shown in node.proxies:
                    if shown == name:
                        self._give(node, deeper, shown, value)
            elif node is not None:
                self.nodes[node.key] = node._replace(set_values={**node.set_values, name: value})


def _proxies(instance: Drawn, node: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The [inner node, widget] pairs that an instance shows, from `proxyWidgets`; -1 is the subgraph's own input."""
    properties = node.get("properties")
    listed = properties.get("proxyWidgets") if isinstance(properties, dict) else None
    pairs = [
        (key_of(pair[0]), pair[1])
        for pair in (listed if isinstance(listed, list) else ())
        if isinstance(pair, list) and len(pair) >= 2 and isinstance(pair[1], str)
    ]
    return tuple(pairs) or tuple(("-1", slot.name) for slot in instance.slots if slot.widget)


def _inside(definition: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """The (node, input) pairs inside a subgraph to which its own input of a name leads."""
    places = [i for i, slot in enumerate(objects(definition.get("inputs"))) if slot.get("name") == name]
    fed = {link for link, (wire, _, _) in ends_of(definition).items() if wire.node == str(_IN) and wire.slot in places}
    for node in objects(definition.get("nodes")):
        for slot in objects(node.get("inputs")):
            if key_of(slot.get("link")) in fed and isinstance(slot.get("name"), str):
                yield key_of(node.get("id")), slot["name"]


def follow(page: Page, wire: Wire | None) -> Wire | None:
    """The node that really gives a value: through borders, reroutes and bypassed nodes; None behind a muted one, or
    where nothing is wired."""
    node = page.nodes.get(wire.node) if wire is not None else None
    if node is not None and not node.mode and node.outlets is None and node.kind != "Reroute":  # nearly all of them
        return wire
    seen: set[Wire] = set()
    while wire is not None and wire not in seen:
        seen.add(wire)
        if (outer := border_input(wire)) is not None:
            instance = page.nodes.get(outer.node)
            slots = instance.slots if instance is not None else ()
            wire = slots[outer.slot].source if 0 <= outer.slot < len(slots) else None
            continue
        node = page.nodes.get(wire.node)
        if node is None or node.mode == MUTED:
            return None
        if node.mode == BYPASSED or node.kind == "Reroute":
            wire = _handed_on(node, wire.slot)
        elif node.outlets is not None:
            wire = node.outlets.get(wire.slot)
        else:
            return wire
    return None


def _handed_on(node: Drawn, slot: int) -> Wire | None:
    """What a bypassed node or a reroute gives at an output: the input of the same type, at the same place if it can."""
    if node.kind == "Reroute":
        return next((each.source for each in node.slots if each.source is not None), None)
    of_type = node.outputs[slot] if 0 <= slot < len(node.outputs) else ""
    same = [each for each in node.slots if of_type and each.type == of_type]
    if 0 <= slot < len(node.slots) and node.slots[slot] in same:
        return node.slots[slot].source
    return same[0].source if same else None
