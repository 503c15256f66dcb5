"""What the paying nodes of a graph would cost now, as far as the graph tells before it runs. Buys nothing.

What arrives by wire is followed to where it is written; what only a run makes has a stand-in, and a note says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..catalog.name_loras import name_loras
from ..errors import BadInput, CivitaiError
from ..metadata.comfy.graph import Graph, Wire
from ..metadata.comfy.remarks import Remarks
from ..metadata.comfy.values import version_in_words, written
from ..metadata.comfy.wires import resolved
from ..metadata.generation import GenerationData
from ..orchestration.fill import completed
from ..orchestration.outcome import Terms
from ..orchestration.request import GenerationRequest, LoraInput
from ..pictures import write_png
from ..resources.json_values import number, whole
from .analysis import own_limit
from .models import LOOKUP
from .opened import OpenedGraph

if TYPE_CHECKING:
    from ..catalog.service import CatalogService
    from ..orchestration.fleet import Fleet
    from ..website import Reader

PRICED = ("CivitaiBridgeGenerate", "CivitaiBridgeEstimate")
MOST_PRICED = 50  # nodes of one graph that are asked about
_AT_ONCE = 4
_STAND_IN = 512  # pixels a side of the picture that stands in for one that only a run makes
_NOT_TYPED = ("loras", "image", "mask", "extra", "tags")
_REFERENCES = ("model", "vae")
_TYPED = {entry.name: entry.default for entry in fields(GenerationRequest) if entry.name not in _NOT_TYPED}


@dataclass(frozen=True)
class Sources:
    """Whom a price is asked of: the fleet, what reads images, and the catalogs that name LoRAs."""

    fleet: Fleet
    reader: Reader
    catalog: CatalogService


@dataclass(frozen=True)
class PricedNode:
    """What a node would cost: whole Buzz, None with an `error` where it cannot be said. `notes` name what stood in."""

    node: str
    title: str
    price: int | None = None
    affordable: bool | None = None
    error: str = ""
    code: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "node": self.node, "title": self.title, "cost": self.price, "affordable": self.affordable,
            "error": self.error, "code": self.code, "notes": list(self.notes),
        }  # fmt: skip


async def price_nodes(opened: OpenedGraph, nodes: list[str], sources: Sources) -> list[PricedNode]:
    """The prices of these nodes, a few asked at once; what goes wrong with one is its error."""
    graph = resolved(opened.graph, Remarks())
    room = asyncio.Semaphore(_AT_ONCE)

    async def price(key: str) -> PricedNode:
        title = opened.titles.get(key) or graph.kind(key)
        async with room:
            try:
                return await _price(graph, key, title, sources)
            except CivitaiError as error:
                return PricedNode(key, title, error=str(error), code=error.code)

    return await asyncio.gather(*map(price, nodes))


async def _price(graph: Graph, key: str, title: str, sources: Sources) -> PricedNode:
    kind, inputs = graph.kind(key), graph.inputs(key)
    if kind not in PRICED:
        raise BadInput(f"What {kind} costs is asked when it runs.")
    request, notes = _request({**inputs, **_references(graph, inputs)})
    generation, unread = await _generation(graph, inputs.get("generation"), sources.reader)

    async def names(loras: Any) -> list[str]:
        return await name_loras(sources.catalog, loras)

    request, left_out = await completed(request, generation, names, missing="skip")
    estimate = await sources.fleet.estimate(request, Terms(max_buzz=own_limit(inputs.get("max_buzz"))))
    sentences = (*notes, *unread, *left_out, *estimate.notes)
    return PricedNode(key, title, estimate.cost, estimate.affordable, notes=tuple(dict.fromkeys(sentences)))


def _references(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that name a model and arrive from a lookup, as what is looked up: a version's id without the words
    that stand around it in a graph, or the reference as it is written where only the site knows the version."""
    looked_up: dict[str, Any] = {}
    for name in _REFERENCES:
        value = inputs.get(name)
        if isinstance(value, Wire) and graph.kind(value.node) == LOOKUP:
            value = written(graph.inputs(value.node).get("reference"))
            if isinstance(value, str):
                looked_up[name] = value
        elif (version := version_in_words(value)) is not None:
            looked_up[name] = str(version)
    return looked_up


def _request(inputs: Mapping[str, Any]) -> tuple[GenerationRequest, list[str]]:
    """A node's inputs as a request, with notes on what stands in for a wire. Raises BadInput for odd values."""
    values: dict[str, Any] = {}
    notes: list[str] = []
    for name, default in _TYPED.items():
        if inputs.get(name) is None:
            continue
        value = written(inputs[name])
        if value is None:
            notes.append(f"`{name}` arrives by wire, and what it will be is not known; {default!r} stands in.")
            continue
        values[name] = _of_kind(name, value, default)
    for name in ("image", "mask"):
        if inputs.get(name) is not None:
            values[name] = _stand_in()
            notes.append(f"`{name}` arrives by wire; a blank one of {_STAND_IN} x {_STAND_IN} pixels stands in.")
    loras = inputs.get("loras")
    if isinstance(loras, Wire):
        notes.append("The LoRAs that arrive at `loras` are not in the price.")
    elif isinstance(loras, list):
        values["loras"] = tuple(
            LoraInput(str(lora.get("air") or ""), float(number(lora.get("strength", 1.0)) or 0.0))
            for lora in loras
            if isinstance(lora, Mapping) and number(lora.get("strength", 1.0))
        )
    return GenerationRequest(**values), notes


def _of_kind(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, str):
        read = value if isinstance(value, str) else None if isinstance(value, (dict, list)) else str(value)
    else:
        read = whole(value) if isinstance(default, int) else number(value)
    if read is None:
        raise BadInput(f"`{name}` has a value that it cannot have.")
    return read


async def _generation(graph: Graph, wire: object, reader: Reader) -> tuple[GenerationData | None, list[str]]:
    """What a wired generation says, where a node of ours that stands in the graph tells it without a run."""
    if wire is None:
        return None, []
    if not isinstance(wire, Wire):
        return None, ["What arrives at `generation` is known when it runs; the price is without it."]
    kind, inputs = graph.kind(wire.node), graph.inputs(wire.node)
    reference, text = written(inputs.get("reference")), written(inputs.get("text"))
    if kind == "CivitaiBridgeImageData" and isinstance(reference, str):
        return (await reader.image(reference)).data, []
    if kind == "CivitaiBridgeReadText" and isinstance(text, str):
        return (await reader.text(text)).data, []
    return None, [f"What {kind} tells is known when it runs; the price is without it."]


def _stand_in() -> bytes:
    import numpy as np

    return write_png(np.full((_STAND_IN, _STAND_IN, 3), 0.5, dtype=np.float32))
