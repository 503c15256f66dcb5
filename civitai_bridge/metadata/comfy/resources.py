"""The resources that take part in a picture: LoRAs in their order, embeddings, VAE, upscalers, ControlNets, models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...model_files.names import MODEL_ENDINGS
from ..generation import UsedResource, by_list
from ..resources import join, named_embeddings
from .graph import Graph, Wire, walk
from .inputs import word
from .loras import OFF, is_off, loras_at, resource
from .models import MODEL_INPUTS, model_at, model_line, named_model
from .nodes import row
from .remarks import Remarks
from .values import VERSION, is_wired

_STACKS = ("lora_stack", "optional_lora_stack", "LORA_STACK", "lora", "prev_lora", "loras")
# What the file is that an input names.
_FILES: Mapping[str, str] = {
    "vae_name": "vae",
    **dict.fromkeys(("control_net_name", "controlnet_name", "tile_controlnet"), "controlnet"),
    **dict.fromkeys(("model_name", "upscale_model_name", "pixel_upscaler", "upscale_model"), "upscaler"),
    "refiner_ckpt_name": "refiner",
}
_UPSCALERS = re.compile(r"upscale|hires", re.I)
# Classes that apply LoRAs, by their names; not the other nodes of LoRA Manager, and not those that pick blocks.
_LORA_CLASSES = re.compile(r"^(?!.*block).*lora(?!manager)", re.I)
# Inputs that name files which are no resource of a picture: text encoders, detectors and the like.
_PARTS = re.compile(
    r"clip|t5|text_encoder|llm|vision|sam_|segm|bbox|ipadapter|style_model|gligen|insight|audio|config", re.I
)


def resources_of(
    graph: Graph, samplers: Sequence[str], used: Sequence[str], fields: Mapping[str, Any], remarks: Remarks
) -> dict[str, Any]:
    """`networks`, `embeddings`, `others`, `vae`, and the model where `fields` names none; `used` are the nodes that
    take part, nearest to the picture's first sampler first."""
    resources: dict[str, Any] = {}
    listed = [*_networks(graph, samplers, used, remarks)]
    for name, source in (("prompt", "prompt"), ("negative_prompt", "negative_prompt")):
        listed += named_embeddings(fields.get(name, ""), source)
    model = fields.get("model_name") or fields.get("model_air") or VERSION.format(fields.get("model_version_id"))
    for key in used:
        for file, kind in _files_at(graph, key, remarks):
            if kind == "vae" and fields.get("vae", resources.get("vae")) in (None, file):
                resources["vae"] = file
            elif kind != "checkpoint" or file != model:
                listed.append(resource(file, kind))
    if not samplers:
        checkpoint = next((used for used in listed if used.kind == "checkpoint"), None)
        if checkpoint is not None:
            resources.update(named_model(checkpoint.air or checkpoint.name))
            listed.remove(checkpoint)
    return {**resources, **by_list(join(listed))}


def _networks(graph: Graph, samplers: Sequence[str], used: Sequence[str], remarks: Remarks) -> tuple[UsedResource, ...]:
    """What stands twice in the first sampler's row of loaders is applied twice; what another row holds once more is
    not."""
    in_row = _row_of(graph, samplers[:1])
    applied: list[UsedResource] = []
    beside: list[UsedResource] = []
    for key in reversed(used):
        node = graph.nodes[key]
        loras = loras_at(node, remarks)
        (applied if key in in_row else beside).extend(loras)
        wired = node.inputs.get("loras")
        if is_wired(wired) and not (isinstance(wired, Wire) and "loras" in row(graph.kind(wired.node))):
            remarks.leave("networks")
        if not loras and _LORA_CLASSES.search(node.kind) and not is_off(node.inputs):
            for name, value in _unread_files(graph, key):
                remarks.note(f"A LoRA is not read: {value[:60]} ({name[:40]} of {node.kind[:60]}).")
            if not any("lora" in name.lower() for name in node.inputs):
                remarks.note(f"Which LoRA {node.kind[:60]} applies, if any, is not written in the graph.")
    return join(join(applied, each=True) + join(beside), remarks.notes)


def _row_of(graph: Graph, first: Sequence[str]) -> set[str]:
    """The nodes through which the first sampler's model goes, and the stacks that these take."""
    row_of = {*first, *(place for key in first for place in model_line(graph, key))}
    starts = (value for place in row_of for name in _STACKS if (value := graph.inputs(place).get(name)) is not None)
    return row_of.union(*(walk(graph, start, _STACKS) for start in starts))


def _files_at(graph: Graph, key: str, remarks: Remarks) -> Iterator[tuple[str, str]]:
    """The files that a node loads, each with its kind."""
    inputs, kind = graph.inputs(key), graph.kind(key)
    for name in () if _FILES.keys().isdisjoint(inputs) else _FILES:
        if name not in inputs or (_FILES[name] == "controlnet" and inputs.get("use_controlnet") is False):
            continue
        file, is_a = word(inputs, name), _FILES[name]
        if name == "model_name":
            is_a = "vae" if "VAE" in kind else "upscaler"
            file = file if is_a == "vae" or _UPSCALERS.search(kind) else ""
        if is_a == "vae" and not file and is_wired(inputs[name]):
            remarks.elsewhere["vae"] = None
        if file and file.lower() not in OFF and not file.startswith("Baked"):
            yield file, is_a
    if file := model_at(graph, key):
        yield file, "checkpoint"


def vae_at(graph: Graph, key: str) -> str:
    """The VAE's file that a node loads; `""` for none, and for the one inside its checkpoint."""
    return next((file for file, kind in _files_at(graph, key, Remarks()) if kind == "vae"), "")


def _unread_files(graph: Graph, key: str) -> Iterator[tuple[str, str]]:
    """(input, file) of what looks like a model's file and has a name that says nothing here."""
    for name, text in graph.inputs(key).items():
        if not isinstance(text, str) or len(text) > 260 or not text[-12:].lower().endswith(MODEL_ENDINGS):
            continue
        is_one = not any(mark in text for mark in (",", "\n", "embedding:"))
        if is_one and name not in _FILES and name not in MODEL_INPUTS and not _PARTS.search(name):
            yield name, text


def unread(graph: Graph, used: Iterable[str], read: Iterable[str]) -> Iterator[str]:
    """A sentence for each model file that a node names in an input which is not known here."""
    seen = set(read)
    for key in used:
        kind = graph.kind(key)
        if "lora" in kind.lower() or "Save" in kind or _PARTS.search(kind):
            continue
        for name, file in _unread_files(graph, key):
            if file not in seen:
                seen.add(file)
                yield f"What {file[:60]} does is not known ({name[:40]} of {kind[:60]})."
