"""The page as ComfyUI's frontend drew it, made flat: subgraphs and group nodes opened, each wire with the node at its
other end.

A node inside an instance has the ids of both, `5:3`, as ComfyUI writes them into a prompt. The border of a subgraph is
followed on demand: what goes in through an instance's inputs is asked of the instance, what comes out of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...resources.json_values import whole
from .graph import MOST_NODES, Wire
from .remarks import Remarks

MUTED, BYPASSED = 2, 4  # modes of a node
_IN, _OUT = -10, -20  # the ids that stand for a subgraph's border among the ends of its links
_BORDER = "\n"  # no part of an id: marks the input side of an instance
_SUBGRAPHS_DEEP = 20
_GROUPS = ("workflow>", "workflow/")


# Where a link comes from, and the node and input at which it ends.
_End = tuple[Wire, str, int]


@dataclass(frozen=True)
class Slot:
    """An input of a drawn node: `source` is the other end of its wire, `widget` the widget that it stands for."""

    name: str
    type: str
    source: Wire | None
    widget: str


@dataclass(frozen=True)
class Drawn:
    """A node of the page. `values` are its widgets', by name or in their order; `set_values` those that an instance
    sets for it from outside; `outlets` where an instance's outputs come from."""

    key: str
    kind: str
    mode: int
    slots: tuple[Slot, ...]
    outputs: tuple[str, ...]
    values: object
    set_values: Mapping[str, Any] = field(default_factory=dict)
    outlets: Mapping[int, Wire] | None = None


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


def key_of(value: object) -> str:
    """An id of the page as a text; `""` for what is none."""
    return str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""


def _dicts(value: object) -> list[dict[str, Any]]:
    """The objects of a decoded list (several for each node of a page, so that the check is the quick one)."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _definitions(workflow: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    definitions = workflow.get("definitions")
    listed = _dicts(definitions.get("subgraphs")) if isinstance(definitions, Mapping) else []
    return {str(definition["id"]): definition for definition in listed if key_of(definition.get("id"))}


def _groups(workflow: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    extra = workflow.get("extra")
    groups = extra.get("groupNodes") if isinstance(extra, Mapping) else None
    listed = groups.items() if isinstance(groups, Mapping) else ()
    return {str(name): group for name, group in listed if isinstance(group, Mapping)}


def _ends(graph: Mapping[str, Any]) -> dict[str, _End]:
    """Link id -> where it comes from, and the node and input at which it ends; both spellings of the page."""
    ends: dict[str, _End] = {}
    listed = graph.get("links")
    for link in listed if isinstance(listed, list) else ():
        if isinstance(link, dict):
            link = [link.get(name) for name in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
        if isinstance(link, list) and len(link) >= 3 and key_of(link[0]) and (slot := whole(link[2])) is not None:
            target = (key_of(link[3]), whole(link[4])) if len(link) >= 5 else ("", None)
            ends[key_of(link[0])] = (Wire(key_of(link[1]), slot), target[0], -1 if target[1] is None else target[1])
    return ends


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
        ends = _ends(graph)
        border = prefix.removesuffix(":") + _BORDER

        def source(wire: Wire) -> Wire:
            return Wire(border if wire.node == str(_IN) else prefix + wire.node, wire.slot)

        for node in _dicts(graph.get("nodes")):
            if isinstance(node.get("type"), str) and (key := key_of(node.get("id"))):
                if len(self.nodes) >= MOST_NODES:
                    self._remarks.note(f"The graph has more than {MOST_NODES:,} nodes; the rest is left out.")
                    break
                self._add(_drawn(node, prefix + key, ends, source), node, within)
        return {slot: source(wire) for wire, target, slot in ends.values() if target == str(_OUT)}

    def _add(self, drawn: Drawn, node: Mapping[str, Any], within: tuple[str, ...]) -> None:
        definition = self._definitions.get(drawn.kind)
        group = self._groups.get(drawn.kind[len(_GROUPS[0]) :]) if drawn.kind.startswith(_GROUPS) else None
        if definition is not None and (drawn.kind in within or len(within) >= _SUBGRAPHS_DEEP):
            self._remarks.note("A subgraph contains itself; the inner one is not read.")
        elif definition is not None and drawn.mode not in (MUTED, BYPASSED):
            self.nodes[drawn.key] = drawn
            outlets = self.open(definition, f"{drawn.key}:", (*within, drawn.kind))
            self.nodes[drawn.key] = _with(drawn, outlets=outlets)
            for key, values in _promoted(drawn, node, definition).items():
                if key in self.nodes:
                    self.nodes[key] = _with(self.nodes[key], set_values={**self.nodes[key].set_values, **values})
            return
        elif group is not None and drawn.mode not in (MUTED, BYPASSED):
            inner, outlets = _group_nodes(drawn, group)
            self.nodes.update(inner)
            drawn = _with(drawn, outlets=outlets)
        self.nodes[drawn.key] = drawn


def _with(drawn: Drawn, **changes: Any) -> Drawn:
    return Drawn(**{**drawn.__dict__, **changes})


def _drawn(node: Mapping[str, Any], key: str, ends: Mapping[str, _End], source: Callable[[Wire], Wire]) -> Drawn:
    slots = []
    for slot in _dicts(node.get("inputs")):
        end, widget = ends.get(key_of(slot.get("link"))), slot.get("widget")
        name = widget.get("name") if isinstance(widget, dict) else ""
        wire = None if end is None else source(end[0])
        slots.append(Slot(_word(slot.get("name")), _word(slot.get("type")), wire, _word(name)))
    outputs = tuple(_word(output.get("type")) for output in _dicts(node.get("outputs")))
    mode = whole(node.get("mode")) or 0
    return Drawn(key, node["type"], mode, tuple(slots), outputs, node.get("widgets_values"))


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _promoted(instance: Drawn, node: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The values that an instance shows for widgets inside it: inner node's full id -> widget -> value.

    `proxyWidgets` names them as [inner node, widget]; -1 stands for the subgraph's own input of that name. A value that
    is null, or a list of another length, leaves it to the inner node."""
    properties = node.get("properties")
    proxies = properties.get("proxyWidgets") if isinstance(properties, Mapping) else None
    listed = proxies if isinstance(proxies, list) else []
    proxies = [proxy for proxy in listed if isinstance(proxy, list) and len(proxy) >= 2]
    values = instance.values if isinstance(instance.values, list) else []
    if not proxies:
        proxies = [["-1", slot.name] for slot in instance.slots if slot.widget]
    promoted: dict[str, dict[str, Any]] = {}
    if len(values) != len(proxies):
        return promoted
    for (inner, widget, *_), value in zip(proxies, values, strict=True):
        if value is None or not isinstance(widget, str):
            continue
        if key_of(inner) != "-1":
            promoted.setdefault(f"{instance.key}:{key_of(inner)}", {})[widget] = value
            continue
        for key, name in _inside(definition, widget):
            promoted.setdefault(f"{instance.key}:{key}", {})[name] = value
    return promoted


def _inside(definition: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """The (node, input) pairs inside a subgraph to which its own input of a name leads."""
    places = [i for i, slot in enumerate(_dicts(definition.get("inputs"))) if slot.get("name") == name]
    fed = {link for link, (wire, _, _) in _ends(definition).items() if wire.node == str(_IN) and wire.slot in places}
    for node in _dicts(definition.get("nodes")):
        for slot in _dicts(node.get("inputs")):
            if key_of(slot.get("link")) in fed and isinstance(slot.get("name"), str):
                yield key_of(node.get("id")), slot["name"]


def _group_nodes(instance: Drawn, group: Mapping[str, Any]) -> tuple[dict[str, Drawn], dict[int, Wire]]:
    """The nodes of a group node and what comes out of it. Its inputs and outputs are those of its nodes that are not
    wired among themselves, in their order; links are [from, slot, to, slot, …] by the nodes' places in the list."""
    nodes = [node for node in _dicts(group.get("nodes")) if isinstance(node.get("type"), str)]
    wired: dict[tuple[int, int], Wire] = {}
    inner_ends: set[tuple[int, int]] = set()
    for link in group["links"] if isinstance(group.get("links"), list) else ():
        numbers = [whole(end) for end in link[:4]] if isinstance(link, list) and len(link) >= 4 else [None]
        if None not in numbers:
            start, slot, end, place = numbers
            wired[(end, place)] = Wire(f"{instance.key}:{start}", slot)  # type: ignore[index, arg-type]
            inner_ends.add((start, slot))  # type: ignore[arg-type]
    external = {(end[0], end[1]) for end in group.get("external") or () if isinstance(end, list) and len(end) >= 2}
    sources = iter([slot.source for slot in instance.slots])
    inner: dict[str, Drawn] = {}
    outlets: list[Wire] = []
    for place, node in enumerate(nodes):
        key = f"{instance.key}:{place}"
        bare = _drawn(node, key, {}, lambda wire: wire)
        slots = [
            Slot(slot.name, slot.type, wired.get((place, i)) or next(sources, None), slot.widget)
            for i, slot in enumerate(bare.slots)
        ]
        inner[key] = _with(bare, slots=tuple(slots), mode=instance.mode or bare.mode)
        outlets += [
            Wire(key, i) for i in range(len(bare.outputs)) if (place, i) not in inner_ends or (place, i) in external
        ]
    return _with_group_values(instance, inner), dict(enumerate(outlets))


def _with_group_values(instance: Drawn, inner: Mapping[str, Drawn]) -> dict[str, Drawn]:
    """The group's nodes with the values that stand in the group node, one behind the other; where these are another
    number, each keeps its own."""
    values = instance.values
    lists = [node.values if isinstance(node.values, list) else [] for node in inner.values()]
    if not isinstance(values, list) or len(values) != sum(map(len, lists)):
        return dict(inner)
    at, filled = 0, {}
    for (key, node), own in zip(inner.items(), lists, strict=True):
        filled[key] = _with(node, values=values[at : at + len(own)] if own else node.values)
        at += len(own)
    return filled


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
