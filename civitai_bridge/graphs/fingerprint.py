"""The name of a graph for remembered agreements: a hash over what it does, not over what it draws.

In it are the classes of the nodes, the wires, and the widgets that choose a model, an engine, a quantity, a path or a
limit; in none are seeds, texts, titles and positions. Nodes count by what leads to them, not by their ids, which pages
give anew: a graph that is copied or loaded again has the same name. What feeds a choosing input by a wire is in it with
all of its values."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from ..metadata.comfy.graph import Graph, Wire, ancestors
from ..model_files.names import MODEL_ENDINGS

_VERSION = "civitai-bridge graph 2"
_ROUNDS = 3  # how far around itself a node of a ring is looked at; core runs no ring
# Inputs of our own nodes that choose; a nested one (`variant.model`) counts by its last part, and its selectors whole.
_OUR_CHOICES = frozenset({
    "model", "engine", "operation", "variant", "quantity", "max_buzz", "vae", "missing", "reuse_paid", "reference",
    "resources", "allow_download", "files", "filename_prefix", "workflow_id", "mature_content", "count", "duration",
    "frames", "resolution", "scale", "format", "loras", "generation",
})  # fmt: skip
# Inputs of our own readers that name the model by what they hold: other than a prompt, this text chooses.
_NAMES_MODELS = {"CivitaiBridgeReadText": "text", "CivitaiBridgeReadImage": "image"}
_CHOOSES = re.compile(
    r"(?:^|_)(?:name|model|ckpt|unet|lora|vae|engine|quantity|batch|batch_size|count|amount|limit|max|path|paths|"
    r"dir|directory|folder|file|filename|prefix|url|urls|air|airs|hash|version|reference|provider|service)(?:_|\d|$)",
    re.I,
)
_LEFT_OUT = re.compile(
    r"(?:^|_)(?:seed|text|prompt|negative|positive|report|title|note|notes|description|wildcard|populated|sampler)"
    r"(?:_|\d|$)",
    re.I,
)


def fingerprint(graph: Graph, circumstances: object = ()) -> str:
    """64 hex digits that name the graph, and beside it the circumstances (as JSON) that a person agrees to with it."""
    telling = _telling(graph)
    own = {key: _own_label(graph, key, telling) for key in graph.nodes}
    labels: dict[str, str] = {}
    for key in _in_order(graph):
        labels[key] = _label(graph, key, own, labels)
    ring = [key for key in graph.nodes if key not in labels]
    around = own
    for _ in range(_ROUNDS if ring else 0):
        around = {**around, **{key: _label(graph, key, own, {**around, **labels}) for key in ring}}
    labels.update({key: around[key] for key in ring})
    return _hash([_VERSION, circumstances, *sorted(labels.values())])


def chosen_inputs(kind: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    """The inputs of a node that choose a model, an engine, a quantity, a path or a limit."""
    ours = kind.startswith("CivitaiBridge")
    for name, value in inputs.items():
        last = name.rpartition(".")[2]
        if ours:
            is_selector = name.startswith("variant.") and isinstance(value, str)
            is_choice = last in _OUR_CHOICES or last.startswith("reference") or is_selector
            is_choice = (is_choice and not _LEFT_OUT.search(last)) or _NAMES_MODELS.get(kind) == name
        elif isinstance(value, str) and value[-12:].lower().endswith(MODEL_ENDINGS):
            is_choice = True
        else:
            is_choice = _CHOOSES.search(last) is not None and not _LEFT_OUT.search(last)
        if is_choice:
            yield name


def _telling(graph: Graph) -> frozenset[str]:
    """The nodes that make a value which one of our nodes chooses by."""
    wires = [
        value.node
        for node in graph.nodes.values()
        if node.kind.startswith("Civitai")
        for name in chosen_inputs(node.kind, node.inputs)
        if isinstance(value := node.inputs[name], Wire)
    ]
    return frozenset(key for key in ancestors(graph, wires) if not graph.kind(key).startswith("CivitaiBridge"))


def _own_label(graph: Graph, key: str, telling: frozenset[str]) -> str:
    node = graph.nodes[key]
    names = (name for name in node.inputs if "seed" not in name) if key in telling else None
    chosen = chosen_inputs(node.kind, node.inputs) if names is None else names
    values = {name: node.inputs[name] for name in chosen if not isinstance(node.inputs[name], Wire)}
    return _hash([node.kind, values])


def _label(graph: Graph, key: str, own: Mapping[str, str], labels: Mapping[str, str]) -> str:
    wires = [
        [name, labels.get(value.node, ""), value.slot]
        for name, value in sorted(graph.inputs(key).items())
        if isinstance(value, Wire)
    ]
    return _hash([own[key], wires])


def _in_order(graph: Graph) -> Iterator[str]:
    """The nodes, each behind all that lead to it; those of rings and behind them are left out."""
    open_ = {key: len(sources) for key, sources in graph.sources.items()}
    ready = [key for key, count in open_.items() if not count]
    while ready:
        key = ready.pop()
        yield key
        for taker in graph.takers[key]:
            open_[taker] -= 1
            if not open_[taker]:
                ready.append(taker)


def _hash(value: object) -> str:
    try:
        content = json.dumps(value, sort_keys=True, separators=(",", ":"), default=repr)
    except (RecursionError, ValueError):
        content = secrets.token_hex()  # nested too deep, as no input of a node is: it equals nothing, not even itself
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
