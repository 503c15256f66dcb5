"""What a graph will do: which nodes pay and the most that each can, what is written, loaded, and who is spoken to.

The most is an upper bound, whatever stands in the graph: a node's `max_buzz` where that is a plain number, else the
limits of the settings. A wired `max_buzz` counts as the most that it can be, a node that may run several times (lists,
loops) as the whole limit for one prompt, and a graph that may queue itself again as the limit of a day."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..metadata.comfy.graph import Graph, Wire, descendants
from ..metadata.comfy.nodes import row
from ..orchestration.limits import Limits
from ..resources.json_values import text
from ..resources.plain_text import one_line
from .deeds import FLEET, MEDIA, SITE, STORAGE, Deed, deed_of
from .fingerprint import fingerprint
from .opened import OpenedGraph

_LONGEST = 200  # characters of a value that is shown
_MOST_LISTED = 200  # entries of a list for a person
_LOOPS = re.compile(r"loop|iterat|for ?each|while|repeat.*node|batch.*process", re.I)
_QUEUES = "A node of another pack may queue the graph again by itself, so the limit of a day counts."
# Classes of other packs that put the graph into the queue again, as often as they like.
_QUEUES_AGAIN = re.compile(r"queue.?trigger|auto.?queue|re.?queue|add.?queue|batch.?manager", re.I)
# Classes of ours and core's whose output is a list that is taken one by one; asked where no server says it.
LISTS = frozenset({
    "CivitaiBridgePromptSheet", "CivitaiBridgeWorkflowQuery",
    "CreateList", "ImageDeduplication", "LoadImageDataSetFromFolder", "LoadImageTextDataSetFromFolder",
    "LoadTrainingDataset", "LoadVideoDataSetFromFolder", "LoadVideoTextDataSetFromFolder", "MakeTrainingDataset",
    "MergeImageLists", "MergeTextLists", "RebatchImages", "RebatchLatents", "ResolutionBucket", "SeedVR2TemporalChunk",
    "ShuffleDataset", "ShuffleImageTextDataset", "ShuffleVideoDataset", "ShuffleVideoTextDataset",
    "SplitImageToTileList", "WanDancerPadKeyframesList",
})  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """What the settings say: the limits of Buzz, the hosts by what they are asked for, whether nodes may load files at
    all, and of a node class whether it makes lists (None: nobody knows)."""

    limits: Limits
    hosts: Mapping[str, tuple[str, ...]]
    may_download: bool = False
    makes_lists: Callable[[str], bool | None] = lambda _: None


@dataclass(frozen=True)
class PayingNode:
    """A node that may pay. `most_buzz` is None where it is CivitAI's own pack's, which our limits do not hold;
    `repeats`: it may run several times, so that its own `max_buzz` is no bound."""

    node: str
    title: str
    kind: str
    engine: str
    model: str
    quantity: int | None
    most_buzz: int | None
    repeats: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "node": self.node, "title": self.title, "type": self.kind, "engine": self.engine, "model": self.model,
            "quantity": self.quantity, "most_buzz": self.most_buzz, "repeats": self.repeats,
        }  # fmt: skip


@dataclass(frozen=True)
class NodeDeed:
    """Something that a node does, in words, and what with (a name, a reference; `""` where it comes by wire)."""

    node: str
    title: str
    deed: str
    name: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"node": self.node, "title": self.title, "what": self.deed, "name": self.name}


@dataclass(frozen=True)
class Analysis:
    """What a graph will do. `most_buzz` is for one run and those that it queues itself; `is_unlimited`: beside that a
    node pays past our limits. `asks`: a person is to see this before it runs for the first time."""

    hash: str
    most_buzz: int
    is_unlimited: bool
    paying: tuple[PayingNode, ...]
    hosts: tuple[str, ...]
    writes: tuple[NodeDeed, ...]
    downloads: tuple[NodeDeed, ...]
    asks: bool
    notes: tuple[str, ...] = ()

    def most_of(self, runs: int, limits: Limits) -> int:
        """The most that so many runs of it can cost: never more than the limit of a day."""
        return min(self.most_buzz * max(1, runs), max(0, limits.per_day))

    def as_json(self) -> dict[str, Any]:
        return {
            "hash": self.hash,
            "asks": self.asks,
            "most_buzz": self.most_buzz,
            "unlimited": self.is_unlimited,
            "paying": [node.as_json() for node in self.paying],
            "hosts": list(self.hosts),
            "writes": [deed.as_json() for deed in self.writes],
            "downloads": [deed.as_json() for deed in self.downloads],
            "notes": list(self.notes),
        }


def analyse(opened: OpenedGraph, rules: Rules) -> Analysis:
    """Look at every node once. Takes time linear in the graph, and never raises."""
    graph = opened.graph
    deeds = {key: deed_of(node.kind, node.inputs) for key, node in graph.nodes.items()}
    does = [key for key, deed in deeds.items() if deed != Deed()]
    repeated = _repeated(graph, (key for key in does if deeds[key].pays), rules)
    paying = tuple(_paying(opened, key, deeds[key], key in repeated, rules) for key in does if deeds[key].pays)
    downloads = tuple(
        NodeDeed(key, _title(opened, key), deeds[key].writes, _named(graph.inputs(key)))
        for key in does
        if deeds[key].downloads and rules.may_download
    )
    loading = {deed.node for deed in downloads}
    writes = tuple(
        NodeDeed(key, _title(opened, key), deeds[key].writes, _named(graph.inputs(key)))
        for key in does
        if deeds[key].writes and (not deeds[key].downloads or key in loading)
    )
    asks = any(deeds[key].asks and (not deeds[key].downloads or key in loading) for key in does)
    hosts = _hosts((deeds[key] for key in does), rules, loads=bool(downloads))
    queues = bool(paying) and any(_QUEUES_AGAIN.search(node.kind) for node in graph.nodes.values())
    return Analysis(
        # A setting that lets graphs load files, or another service, is nothing that was agreed to before.
        hash=fingerprint(graph, {"loads": bool(downloads), "hosts": hosts}),
        most_buzz=_sum_of(paying, rules.limits, queues_again=queues),
        is_unlimited=any(node.most_buzz is None for node in paying),
        paying=paying[:_MOST_LISTED],
        hosts=hosts,
        writes=writes[:_MOST_LISTED],
        downloads=downloads[:_MOST_LISTED],
        asks=asks,
        notes=(*opened.notes, *_notes(paying, does, deeds, rules), *([_QUEUES] if queues else [])),
    )


def _sum_of(paying: Iterable[PayingNode], limits: Limits, *, queues_again: bool) -> int:
    most = [node.most_buzz for node in paying if node.most_buzz is not None]
    if queues_again and any(most):
        return max(0, limits.per_day)
    return min(sum(most), _of_prompt(limits))


def _of_prompt(limits: Limits) -> int:
    return max(0, min(limits.per_prompt, limits.per_day))


def _paying(opened: OpenedGraph, key: str, deed: Deed, repeats: bool, rules: Rules) -> PayingNode:
    node = opened.graph.nodes[key]
    quantity = node.inputs.get("quantity", 1)
    limit, own = _of_prompt(rules.limits), own_limit(node.inputs.get("max_buzz"))
    most = None if not deed.limited else limit if repeats or own is None else min(own, limit)
    return PayingNode(
        node=key,
        title=_title(opened, key),
        kind=one_line(node.kind)[:_LONGEST],
        engine=_shown(node.inputs.get("engine", node.inputs.get("variant"))),
        model=_shown(node.inputs.get("model")),
        quantity=quantity if type(quantity) is int and quantity > 0 else None,
        most_buzz=most,
        repeats=repeats,
    )


def own_limit(value: object) -> int | None:
    """The `max_buzz` of a node as a bound; None for 0, for a wire and for whatever is no plain number."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip(), re.ASCII):
        value = int(value.strip())
    return value if type(value) is int and value > 0 else None


def _repeated(graph: Graph, keys: Iterable[str], rules: Rules) -> frozenset[str]:
    """Those of the nodes that may run more than once in one prompt: behind a list, or in a graph with a loop."""
    keys = list(keys)
    if not keys:
        return frozenset()
    if any(_LOOPS.search(node.kind) for node in graph.nodes.values()):
        return frozenset(keys)
    asked: dict[str, bool] = {}

    def makes_lists(kind: str) -> bool:
        if kind not in asked:
            asked[kind] = _makes_lists(kind, rules)
        return asked[kind]

    lists = [key for key, node in graph.nodes.items() if makes_lists(node.kind)]
    if not lists:
        return frozenset()
    fed = descendants(graph, (taker for key in lists for taker in graph.takers[key]))
    return frozenset(key for key in keys if key in fed)


def _makes_lists(kind: str, rules: Rules) -> bool:
    """Whether what comes out of a class is taken one by one. Without a server only core's classes and those whose
    inputs are known here are taken to make none."""
    stated = rules.makes_lists(kind)
    if stated is not None:
        return stated
    if kind in LISTS:
        return True
    return not (kind.startswith("CivitaiBridge") or row(kind) or kind in _PLAIN)


# Classes of core without a row in the table of nodes, because their inputs explain them; none makes lists.
_PLAIN = frozenset({
    "CLIPTextEncode", "CheckpointLoaderSimple", "EmptyLatentImage", "ImageScale", "ImageScaleBy", "ImageInvert",
    "ImagePadForOutpaint", "KSampler", "KSamplerAdvanced", "LoadImage", "LoadImageMask", "LoraLoader",
    "LoraLoaderModelOnly", "PreviewImage", "SaveImage", "SolidMask", "UNETLoader", "VAEDecode", "VAEEncode",
    "VAELoader", "Note", "MarkdownNote", "PrimitiveInt", "PrimitiveFloat", "PrimitiveString", "PrimitiveBoolean",
    "PrimitiveStringMultiline", "StringConcatenate",
})  # fmt: skip


_SERVICES = (SITE, FLEET, MEDIA, STORAGE)


def _hosts(deeds: Iterable[Deed], rules: Rules, *, loads: bool) -> tuple[str, ...]:
    speaks = {each for deed in deeds for each in deed.speaks if loads or not deed.downloads or each == SITE}
    return tuple(dict.fromkeys(host for each in _SERVICES if each in speaks for host in rules.hosts[each]))


def _notes(
    paying: Iterable[PayingNode],
    does: Iterable[str],
    deeds: Mapping[str, Deed],
    rules: Rules,
) -> Iterable[str]:
    paying = tuple(paying)
    if len(paying) > _MOST_LISTED:
        yield f"{len(paying)} nodes may pay; the first {_MOST_LISTED} are listed, and all are counted."
    unlimited = [node for node in paying if node.most_buzz is None]
    if unlimited:
        yield (
            f"{unlimited[0].kind} is of CivitAI's own pack: what it spends is not held by the limits of this pack."
            if len(unlimited) == 1
            else f"{len(unlimited)} nodes are of CivitAI's own pack: what they spend is not held by our limits."
        )
    if not rules.may_download and any(deeds[key].downloads for key in does):
        yield "Nodes that would load files are refused here: the setting graph_downloads is off."
    if any(node.repeats for node in paying):
        yield "A node behind a list or in a loop may run several times, so the limit for one prompt counts for it."


def _title(opened: OpenedGraph, key: str) -> str:
    return opened.titles.get(key) or one_line(opened.graph.kind(key))[:_LONGEST]


def _named(inputs: Mapping[str, Any]) -> str:
    for name in ("reference", "filename_prefix", "loras"):
        if name in inputs:
            return _shown(inputs[name])
    return ""


def _shown(value: object) -> str:
    """A widget's value as it may be shown; `""` for a wire."""
    return "" if isinstance(value, Wire) else one_line(text(value)[:_LONGEST])
