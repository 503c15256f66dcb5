"""Switches: which of its inputs a node hands on, where the graph says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ...resources.json_values import whole
from .graph import Node, Wire
from .nodes import Row, numbered
from .values import truth, written

# What a class that nobody knows is called when it hands on one of several branches.
_SWITCHES = re.compile(r"switch|ifelse|if else|branch|selector$|\bselect\b|\bmux\b", re.I)
# Pairs of inputs that are the two branches of a choice, and the inputs that choose, whatever the class.
_BRANCHES = (("on_true", "on_false"), ("if_true", "if_false"), ("tt_value", "ff_value"), ("true_value", "false_value"))
_CHOOSERS = ("switch", "boolean", "condition", "cond", "bool", "value")


def branches(node: Node, of: Row, slot: int, take: Callable[[str], Any]) -> list[str] | None:
    """The inputs of a switch that may come out at this output: one where the selection is written, else all of them;
    None where the node is no switch. `of` are the rules of its class."""
    if not of:
        return _unknown_branches(node, take)
    inputs = node.inputs
    if "first" in of and "slots" not in of:
        return [name for name in numbered(of["first"], inputs) if inputs[name] is not None][:1]
    if "select" in of:
        return _numbered_branches(of, slot, inputs, take)
    if "pick" in of:
        chosen = written(take(of["pick"]))
        return [of["of"][chosen]] if isinstance(chosen, str) and chosen in of["of"] else list(of["of"].values())
    if "choose" in of:
        answer = truth(written(take(of["choose"])))
        if "inverse" in of:
            return [of["inverse"]] if answer is not None and slot == (0 if answer else 1) else []
        return [of["yes"], of["no"]] if answer is None else [of["yes"] if answer else of["no"]]
    return None


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
