"""The nodes for what a person pasted or dropped: an image of CivitAI, a model, a text that says how a picture was made,
a picture in the input folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidAir, UnknownReference
from ..metadata.read import read_pasted
from ..resources.addresses import SITE_HOSTS
from ..resources.reference import FileReference, ImageReference, PostReference, read_reference

IMAGE, MODEL, TEXT, PICTURE, NOTHING = "image", "model", "text", "picture", ""
_LONGEST_REFERENCE = 2000
_PREFIX = "CivitaiBridge"
_COLUMN = 420  # units of the canvas between two columns
SETTINGS, FLEET = "settings", "fleet"  # where what was pasted leads


@dataclass(frozen=True)
class NewNode:
    """A node to be made: its class, the widgets that are not at their defaults, and its column on the canvas."""

    kind: str
    widgets: dict[str, Any] = field(default_factory=dict)
    column: int = 0


@dataclass(frozen=True)
class NewLink:
    """A wire between two of the new nodes, by their places and the names of output and input."""

    source: int
    output: str
    target: int
    input: str


@dataclass(frozen=True)
class Pasted:
    """What was pasted, and the nodes and wires for it; none where it is nothing of ours."""

    kind: str
    nodes: tuple[NewNode, ...] = ()
    links: tuple[NewLink, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """`id` is a node's place in the list, `pos` in units of the canvas; a link is [from, output, to, input]."""
        nodes = [
            {"id": place, "type": node.kind, "pos": [node.column * _COLUMN, 0], "widgets": node.widgets}
            for place, node in enumerate(self.nodes)
        ]
        links = [[link.source, link.output, link.target, link.input] for link in self.links]
        return {"what": self.kind, "nodes": nodes, "links": links}


def nodes_for(text: str, to: str = SETTINGS, *, hosts: frozenset[str] = SITE_HOSTS) -> Pasted:
    """The nodes for a pasted text; nothing is asked of anybody. `to` says where it leads: `settings` for samplers here,
    `fleet` for Generate. A model's file name alone is nothing of ours, for it is an ordinary word to others."""
    stripped = text.strip()
    if len(stripped) <= _LONGEST_REFERENCE and "\n" not in stripped and not stripped.isdigit():
        try:
            reference = read_reference(stripped, hosts=hosts)
        except (UnknownReference, InvalidAir):
            reference = None
        if isinstance(reference, (ImageReference, PostReference)):
            return _used(IMAGE, NewNode(f"{_PREFIX}ImageData", {"reference": stripped}), to)
        if reference is not None and not isinstance(reference, FileReference):
            return Pasted(MODEL, (NewNode(f"{_PREFIX}Resolve", {"reference": stripped}),))
    if says_how_it_was_made(stripped):
        return _used(TEXT, NewNode(f"{_PREFIX}ReadText", {"text": text}), to)
    return Pasted(NOTHING)


def nodes_for_picture(name: str, to: str = SETTINGS) -> Pasted:
    """The nodes for a picture of the input folder."""
    return _used(PICTURE, NewNode(f"{_PREFIX}ReadImage", {"image": name}), to)


def says_how_it_was_made(text: str) -> bool:
    """Whether a text is one that programs write beside a picture; graphs of ComfyUI are left to ComfyUI."""
    if "Steps:" not in text and not text.startswith("{"):
        return False
    data = read_pasted(text)
    return data.source not in ("comfy", "file") and (data.steps is not None or bool(data.seed))


def _used(kind: str, source: NewNode, to: str) -> Pasted:
    """What tells how a picture was made, wired into what uses it. Nothing of it is queued."""
    first = NewLink(0, "generation", 1, "generation")
    if to != FLEET:
        return Pasted(kind, (source, NewNode(f"{_PREFIX}GenerationSettings", column=1)), (first,))
    nodes = (source, NewNode(f"{_PREFIX}Generate", column=1), NewNode(f"{_PREFIX}SaveImage", column=2))
    return Pasted(kind, nodes, (first, NewLink(1, "images", 2, "images"), NewLink(1, "generation", 2, "generation")))
