"""Group nodes: several nodes behind one, whose inputs, outputs and values stand in it one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...resources.json_values import whole
from .drawn import Drawn, Slot, drawn_node, objects
from .graph import Wire
from .remarks import Remarks


def group_nodes(
    instance: Drawn, group: Mapping[str, Any], remarks: Remarks
) -> tuple[dict[str, Drawn], dict[int, Wire]]:
    """The nodes of a group node and what comes out of it. Its inputs and outputs are those of its nodes that are not
    wired among themselves, in their order; links are [from, slot, to, slot, …] by the nodes' places in the list."""
    nodes = [node for node in objects(group.get("nodes")) if isinstance(node.get("type"), str)]
    wired: dict[tuple[int, int], Wire] = {}
    inner_ends: set[tuple[int, int]] = set()
    for link in group["links"] if isinstance(group.get("links"), list) else ():
        numbers = [whole(end) for end in link[:4]] if isinstance(link, list) and len(link) >= 4 else [None]
        if None not in numbers:
            start, slot, end, place = numbers
            wired[(end, place)] = Wire(f"{instance.key}:{start}", slot)  # type: ignore[index, arg-type]
            inner_ends.add((start, slot))  # type: ignore[arg-type]
    ends = group.get("external")
    listed = ends if isinstance(ends, list) else ()
    external = {(whole(end[0]), whole(end[1])) for end in listed if isinstance(end, list) and len(end) >= 2}
    sources = iter([slot.source for slot in instance.slots])
    inner: dict[str, Drawn] = {}
    outlets: list[Wire] = []
    for place, node in enumerate(nodes):
        key = f"{instance.key}:{place}"
        bare = drawn_node(node, key, {}, lambda wire: wire)
        slots = [
            Slot(slot.name, slot.type, wired.get((place, i)) or next(sources, None), slot.widget)
            for i, slot in enumerate(bare.slots)
        ]
        inner[key] = bare._replace(slots=tuple(slots), mode=instance.mode or bare.mode)
        outlets += [
            Wire(key, i) for i in range(len(bare.outputs)) if (place, i) not in inner_ends or (place, i) in external
        ]
    return _with_values(instance, inner, remarks), dict(enumerate(outlets))


def _with_values(instance: Drawn, inner: Mapping[str, Drawn], remarks: Remarks) -> dict[str, Drawn]:
    """The group's nodes with the values that stand in the group node, one behind the other; where these are another
    number, each keeps its own."""
    values = instance.values
    lists = [node.values if isinstance(node.values, list) else [] for node in inner.values()]
    if not isinstance(values, list) or len(values) != sum(map(len, lists)):
        if values:
            remarks.note(f"The values of {instance.kind[:60]} do not fit its nodes; those it was made with are read.")
        return dict(inner)
    at, filled = 0, {}
    for (key, node), own in zip(inner.items(), lists, strict=True):
        filled[key] = node._replace(values=values[at : at + len(own)] if own else node.values)
        at += len(own)
    return filled
