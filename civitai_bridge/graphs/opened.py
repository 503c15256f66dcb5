"""A graph as it would be queued: from the page's prompt, or from a workflow as it was saved.

Muted and bypassed nodes are not in a prompt; in a workflow they are left out, reroutes and subgraphs followed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput
from ..metadata.comfy.graph import MOST_NODES, Graph, Wire, graph_of
from ..metadata.comfy.remarks import Remarks
from ..metadata.comfy.workflow import prompt_of_workflow
from ..resources.json_values import mapping, objects, text
from ..resources.plain_text import one_line

_LONGEST_TITLE = 120


@dataclass(frozen=True)
class OpenedGraph:
    """Nodes by id, their titles as the person named them, and `notes` on what could not be read. `hints` are the models
    that a workflow names beside its nodes: file name -> (address, folder), as ComfyUI's own templates write them."""

    graph: Graph
    titles: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def open_graph(prompt: object, workflow: object = None) -> OpenedGraph:
    """The graph of a prompt (`{id: {"class_type": …, "inputs": …}}`), else of a workflow (`{"nodes": […], …}`), which
    beside a prompt only gives hints. Raises BadInput where neither is one."""
    remarks = Remarks()
    hints = model_hints(workflow)
    if isinstance(prompt, Mapping):
        nodes = _nodes(prompt)
        titles = {key: text(mapping(mapping(prompt[key]).get("_meta")).get("title")) for key in nodes}
    elif isinstance(workflow, Mapping) and isinstance(workflow.get("nodes"), list):
        nodes = prompt_of_workflow(workflow, remarks)
        if len(nodes) >= MOST_NODES:
            raise BadInput(f"The workflow has more than {MOST_NODES:,} nodes; that is more than is looked at.")
        titles = {str(node.get("id")): text(node.get("title")) for node in objects(workflow["nodes"])}
    else:
        raise BadInput("This is no graph of ComfyUI: neither a prompt (API format) nor a saved workflow.")
    shown = {key: one_line(title)[:_LONGEST_TITLE] for key, title in titles.items() if key in nodes and title.strip()}
    return OpenedGraph(graph_of(nodes), shown, hints, tuple(remarks.notes))


def open_graph_text(content: str) -> OpenedGraph:
    """The graph of a JSON file, in either form. Raises BadInput."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput("The file holds no JSON of a graph.") from error
    if not isinstance(value, Mapping):
        raise BadInput("The file holds no JSON of a graph.")
    if isinstance(value.get("nodes"), list):
        return open_graph(None, value)
    inner = value.get("prompt")
    if isinstance(inner, Mapping) and "class_type" not in inner:  # as it is sent to a server
        return open_graph(inner, mapping(mapping(value.get("extra_data")).get("extra_pnginfo")).get("workflow"))
    if not _nodes(value):
        raise BadInput("The file holds JSON, but no graph of ComfyUI.")
    return open_graph(value)


def _nodes(prompt: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """All of them: a cap would leave out what is to be counted."""
    return {
        str(key): {
            "class_type": node["class_type"],
            "inputs": {name: _as_core_reads(value, prompt) for name, value in mapping(node.get("inputs")).items()},
        }
        for key, node in prompt.items()
        if isinstance(node, Mapping) and isinstance(node.get("class_type"), str)
    }


def _as_core_reads(value: object, prompt: Mapping[str, Any]) -> object:
    """A value of a prompt; a wire where core follows one: also where the output's number is a yes, a no or a fraction,
    and where the pair stands in `{"__value__": …}`, which core takes off before it looks for wires."""
    pair = value["__value__"] if isinstance(value, Mapping) and "__value__" in value else value
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str) or pair[0] not in prompt:
        return value
    slot = pair[1]
    is_number = isinstance(slot, int) or (isinstance(slot, float) and math.isfinite(slot))
    return Wire(pair[0], int(slot)) if is_number else value


def model_hints(workflow: object) -> dict[str, tuple[str, str]]:
    """The models that the nodes of a workflow name in `properties.models`, those of its subgraphs too."""
    if not isinstance(workflow, Mapping):
        return {}
    subgraphs = objects(mapping(workflow.get("definitions")).get("subgraphs"))
    nodes = [node for graph in (workflow, *subgraphs) for node in objects(graph.get("nodes"))]
    hints: dict[str, tuple[str, str]] = {}
    for node in nodes:
        for model in objects(mapping(node.get("properties")).get("models")):
            if name := text(model.get("name")):
                hints.setdefault(name, (text(model.get("url")), text(model.get("directory"))))
    return hints
