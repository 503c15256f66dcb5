"""A picture of our own -> the text that goes into its file, true of this picture and known to CivitAI's uploader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .a1111.write import respelled, write_a1111
from .civitai_upload import Recognition, recognised
from .comfy.reader import read_graph
from .comfy.remarks import MADE_ELSEWHERE, NO_SIZE
from .generation import GenerationData
from .merge import merge, says_anything

_MOST_NAMES = 20  # in one line of a report


@dataclass(frozen=True)
class PictureText:
    """What goes into a picture's file: `text` is A1111's, `""` where nothing is known; `lines` are for a person: where
    graph and wire disagree, and what could not be understood or written as it is."""

    data: GenerationData
    text: str
    lines: tuple[str, ...]

    @property
    def resources(self) -> tuple[Recognition, ...]:
        """What CivitAI's uploader makes of each resource."""
        return recognised(self.text)

    @property
    def report(self) -> tuple[str, ...]:
        """The lines, and what CivitAI will not recognise."""
        return (*self.lines, *judgement(self.text, self.resources))


def picture_text(
    graph: Mapping[str, Any] | None,
    wired: GenerationData | None = None,
    *,
    known: Callable[[GenerationData], GenerationData] = lambda data: data,
    size: tuple[int, int] | None = None,
) -> PictureText:
    """The text of a picture that a prompt graph made, with a wired generation beside it or alone. `known` adds what
    this machine knows of the files that the graph names; `size` is the picture's own, for where nobody says one.

    The graph wins; what a fleet made is told as the fleet told it."""
    local = read_graph(graph) if graph else None
    lines: tuple[str, ...] = ()
    if local is None:
        data = wired or GenerationData()
    elif wired is None:
        data = known(local)
    else:
        data, lines = merge(known(local), wired)
    data = replace(data, extra={key: value for key, value in data.extra.items() if key != MADE_ELSEWHERE})
    if size is not None and data.width is None and data.height is None:
        notes = tuple(note for note in data.notes if not note.startswith(NO_SIZE))
        data = replace(data, width=size[0], height=size[1], notes=notes)
    if not says_anything(data):
        return PictureText(data, "", (*lines, *data.notes))
    return PictureText(data, write_a1111(data), (*lines, *respelled(data), *data.notes))


def judgement(text: str, resources: tuple[Recognition, ...]) -> tuple[str, ...]:
    """In lines: what CivitAI's uploader will recognise in the text."""
    if not text:
        return ("Nothing is known of how this picture was made, so its file says nothing.",)
    missed = [resource.reason for resource in resources if not resource.recognised]
    hashed = [resource.name[:80] for resource in resources if resource.by == "hash"]
    lines = []
    if resources and not missed:
        unproved = f", {len(hashed)} of them only if it knows the hash" if hashed else ""
        lines.append(f"CivitAI will recognise every resource ({len(resources)}){unproved}.")
    if hashed:
        lines.append(f"By hash, if CivitAI knows it: {', '.join(hashed[:_MOST_NAMES])}.")
    return (*lines, *missed)
