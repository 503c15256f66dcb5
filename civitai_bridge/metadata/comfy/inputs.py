"""Single inputs of a node as words and numbers, with a remark where another node makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..quantities import shown
from .graph import Graph, walk
from .remarks import CALLED, Remarks
from .values import is_wired, written


def word(inputs: Mapping[str, Any], *names: str) -> str:
    """The first of the named inputs that is a text with something in it; `""` where none is."""
    for name in names:
        value = written(inputs.get(name))
        if isinstance(value, str) and value.strip():
            return value
    return ""


def choice(inputs: Mapping[str, Any], names: Sequence[str], field: str, remarks: Remarks) -> str:
    """The name of a sampler or scheduler; one that another node makes is left to it."""
    value = word(inputs, *names)
    if not value and any(is_wired(inputs.get(name)) for name in names):
        remarks.leave(field)
    return value


def numeric(
    inputs: Mapping[str, Any],
    names: Sequence[str],
    read: Callable[[object], Any],
    field: str,
    remarks: Remarks,
    called: str = "",
) -> Any:
    """The first of the named inputs that is there, as `read` reads it; None, with a note, where it is no such number.

    `called` begins the note in place of the field's own name."""
    name = next((name for name in names if inputs.get(name) is not None), None)
    if name is None:
        return None
    value = inputs[name]
    number = read(written(value))
    if number is None and is_wired(value):
        remarks.leave(field)
    elif number is None:
        remarks.note(f"{called or CALLED[field]} is not known: {shown(value)}.")
    return number


def part(graph: Graph, key: str, name: str) -> str | None:
    """The node at the end of a wire (guider, sigmas, noise), through nodes that hand it on; None without a wire."""
    passed = walk(graph, graph.inputs(key).get(name), (name,))
    return passed[-1] if passed else None
