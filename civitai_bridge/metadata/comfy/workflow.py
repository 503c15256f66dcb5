"""The page of a picture that holds no prompt, as the prompt that it would have queued.

Muted nodes are left out; bypassed ones, reroutes, subgraphs, group nodes, Set and Get, and Anything Everywhere are
followed to the nodes behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...resources.json_values import objects, whole
from .drawn import Drawn, key_of
from .graph import UNWRITTEN, Wire
from .page import BYPASSED, MUTED, Page, follow, page_of
from .remarks import Remarks
from .widgets import widget_values

_SETTERS = ("SetNode", "easy setNode", "SetNode|pysssss")
_GETTERS = ("GetNode", "easy getNode", "GetNode|pysssss")
# Nodes that give what they take to every open input of its type: class -> the name that those inputs must match.
_EVERYWHERE: Mapping[str, tuple[str, ...]] = {
    "Anything Everywhere": ("",),
    "Anything Everywhere?": ("",),
    "Anything Everywhere3": ("", "", ""),
    "Prompts Everywhere": ("positive|^pos", "negative|^neg"),
    "Simple Everywhere": ("",),
}
_LONGEST_RELAY = 100  # Set and Get nodes one behind the other; more are a ring
_DRAWN_ONLY = ("Note", "MarkdownNote", "Reroute", *_SETTERS, *_GETTERS, *_EVERYWHERE)


def prompt_of_workflow(workflow: Mapping[str, Any], remarks: Remarks) -> dict[str, dict[str, Any]]:
    """The nodes of the prompt by id, each `{"class_type": …, "inputs": …}`; wires in the inputs are `Wire`s."""
    page = page_of(workflow, remarks)
    stored = _stored(page)
    everywhere = _given_everywhere(page, workflow, stored)
    prompt: dict[str, dict[str, Any]] = {}
    for key, node in page.nodes.items():
        if node.mode in (MUTED, BYPASSED) or node.kind in _DRAWN_ONLY or node.outlets is not None:
            continue
        inputs = widget_values(node, remarks)
        for place, slot in enumerate(node.slots):
            source = _source(page, slot.source, stored)
            source = everywhere.get((key, place)) if source is None and slot.source is None else source
            if source is not None:
                inputs[slot.name or f"input {place}"] = source
        prompt[key] = {"class_type": node.kind, "inputs": inputs}
    return prompt


def _source(page: Page, wire: Wire | None, stored: Mapping[str, Wire | None]) -> object:
    """What feeds an input: a wire to a node of the prompt, `UNWRITTEN` for what nobody stored, None for nothing."""
    for _ in range(_LONGEST_RELAY):
        if (wire := follow(page, wire)) is None:
            return None
        node = page.nodes[wire.node]
        if node.kind not in _GETTERS:
            return wire
        if (name := _stored_name(node)) not in stored:
            return UNWRITTEN
        wire = stored[name]
    return UNWRITTEN


def _stored(page: Page) -> dict[str, Wire | None]:
    """What Set nodes store, by their names."""
    setters = (node for node in page.nodes.values() if node.kind in _SETTERS and node.mode != MUTED)
    return {_stored_name(node): node.slots[0].source for node in setters if node.slots}


def _stored_name(node: Drawn) -> str:
    values = node.values
    first = values[0] if isinstance(values, list) and values else None
    return first if isinstance(first, str) else ""


def _given_everywhere(
    page: Page, workflow: Mapping[str, Any], stored: Mapping[str, Wire | None]
) -> dict[tuple[str, int], object]:
    """The wires that are not drawn: (node, place of the input) -> source. The page may hold their list (`ue_links`);
    else each open input takes what is given to its type."""
    extra = workflow.get("extra")
    listed = objects(extra.get("ue_links")) if isinstance(extra, Mapping) else []
    given: dict[tuple[str, int], object] = {}
    for link in listed:
        target, origin = key_of(link.get("downstream")), key_of(link.get("upstream"))
        place, slot = whole(link.get("downstream_slot")), whole(link.get("upstream_slot"))
        if target and origin and place is not None and slot is not None:
            given[(target, place)] = _source(page, Wire(origin, slot), stored)
    offers = list(_offers(page, stored)) if not given else []
    for key, node in page.nodes.items() if offers else ():
        if node.kind in _DRAWN_ONLY:
            continue
        for place, slot in enumerate(node.slots):
            is_open = slot.source is None and not slot.widget
            fitting = (source for of_type, name, source in offers if of_type == slot.type and name.search(slot.name))
            if is_open and (source := next(fitting, None)) is not None:
                given[(key, place)] = source
    return given


def _offers(page: Page, stored: Mapping[str, Wire | None]) -> Iterator[tuple[str, re.Pattern[str], object]]:
    """(type, name of the inputs, source) of what is given everywhere; a name that narrows goes first."""
    offers = []
    for node in page.nodes.values():
        names = _EVERYWHERE.get(node.kind, ()) if node.mode not in (MUTED, BYPASSED) else ()
        for slot, name in zip(node.slots, names, strict=False):
            source = _source(page, slot.source, stored)
            if isinstance(source, Wire):
                outputs = page.nodes[source.node].outputs
                of_type = outputs[source.slot] if 0 <= source.slot < len(outputs) else slot.type
                offers.append((of_type, re.compile(name, re.I), source))
    yield from sorted(offers, key=lambda offer: not offer[1].pattern)
