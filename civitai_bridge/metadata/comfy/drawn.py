"""A node of the page as it was drawn: its widgets' values, its inputs with the nodes at their other ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ...resources.json_values import whole
from .graph import Wire

# Where a link comes from, and the node and input at which it ends, as JSON has them.
End = tuple[Wire, Any, Any]
_LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot")


class Slot(NamedTuple):
    """An input of a drawn node: `source` is the other end of its wire, `widget` the widget that it stands for."""

    name: str
    type: str
    source: Wire | None
    widget: str


class Drawn(NamedTuple):
    """A node of the page. `values` are its widgets', by name or in their order; `set_values` those that an instance
    sets for it from outside; `outlets` where an instance's outputs come from, `proxies` the [inner node, widget] pairs
    that it shows (-1 for its subgraph's own input of that name)."""

    key: str
    kind: str
    mode: int
    slots: tuple[Slot, ...]
    outputs: tuple[str, ...]
    values: object
    set_values: Mapping[str, Any] = MappingProxyType({})
    outlets: Mapping[int, Wire] | None = None
    proxies: tuple[tuple[str, str], ...] = ()


def key_of(value: object) -> str:
    """An id of the page as a text; `""` for what is none."""
    if type(value) is str:
        return value
    return str(value) if type(value) is int else ""


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a decoded list (several for each node of a page, so that the check is the quick one)."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def drawn_node(node: Mapping[str, Any], key: str, ends: Mapping[str, End], source: Callable[[Wire], Wire]) -> Drawn:
    """A node of JSON with the id `key`; `ends` are the links of its graph, `source` names their nodes in full."""
    slots = []
    for slot in objects(node.get("inputs")):
        link, widget = slot.get("link"), slot.get("widget")
        wire = source(ends[name][0]) if link is not None and (name := key_of(link)) in ends else None
        shown = _word(widget.get("name")) if isinstance(widget, dict) else ""
        slots.append(Slot(_word(slot.get("name")), _word(slot.get("type")), wire, shown))
    outputs = tuple([_word(output.get("type")) for output in objects(node.get("outputs"))])
    mode = whole(node.get("mode")) or 0
    return Drawn(key, node["type"], mode, tuple(slots), outputs, node.get("widgets_values"))


def ends_of(graph: Mapping[str, Any]) -> dict[str, End]:
    """Link id -> where it comes from, and the node and input at which it ends; both spellings of the page."""
    ends: dict[str, End] = {}
    listed = graph.get("links")
    for link in listed if isinstance(listed, list) else ():
        if isinstance(link, dict):
            key, origin, slot, target, place = map(link.get, _LINK)
        elif isinstance(link, list) and len(link) >= 3:
            key, origin, slot, target, place = (*link, None, None)[:5]
        else:
            continue
        slot = slot if type(slot) is int else whole(slot)
        if slot is not None and (name := key_of(key)):
            ends[name] = (Wire(key_of(origin), slot), target, place)
    return ends


def _word(value: object) -> str:
    return value if type(value) is str else ""
