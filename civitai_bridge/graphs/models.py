"""The models that a graph names: by loaders, by tags and `embedding:` in texts, and by references in our own nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import InvalidAir, UnknownReference
from ..metadata.comfy.graph import Graph, Node
from ..metadata.comfy.loras import OFF, loras_at
from ..metadata.comfy.models import MODEL_INPUTS
from ..metadata.comfy.remarks import Remarks
from ..metadata.embeddings import each_embedding
from ..metadata.generation import UsedResource
from ..metadata.prompt import each_tag
from ..model_files.names import MODEL_ENDINGS
from ..resources.reference import FileReference, ImageReference, PostReference, read_reference
from .opened import OpenedGraph

DISK, FLEET = "disk", "fleet"
MOST_MODELS = 2000
_LONGEST_NAME = 400  # characters; no file is called longer
_MOST_IN_TEXT = 100  # tags of one text
_PREFIX = "CivitaiBridge"
# Our nodes that order from the fleet: what they name is not needed on this disk.
_REMOTE = re.compile(r"CivitaiBridge(?:Generate\w*|Estimate|Upscale\w*|InterpolateVideo)")
IS_REMOTE = _REMOTE.fullmatch  # whether a class of that name orders from the fleet
# Our nodes that use files of this disk.
NEEDS_FILES = re.compile(r"CivitaiBridge(?:ApplyLoras|Catalog\w+|Download|LoraStack)").fullmatch
LOOKUP, _FILE_OUTPUT = "CivitaiBridgeResolve", 7  # our lookup, and its output `file`
_OUR_REFERENCES = re.compile(r"(?:.*\.)?(?:model|vae|air|reference(?:_?\d+)?)")
# (input or class, kind, ComfyUI's folder): the first whose pattern is in `class.input`.
_KINDS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(pattern, re.I), kind, folder)
    for pattern, kind, folder in (
        (r"lora|lyco", "lora", "loras"),
        (r"hypernet", "hypernet", "hypernetworks"),
        (r"clip_?vision", "clip_vision", "clip_vision"),
        (r"clip|t5|text_encoder|llm|\bte_?\d*_name", "text_encoder", "text_encoders"),
        (r"vae", "vae", "vae"),
        (r"control_?net", "controlnet", "controlnet"),
        (r"upscale", "upscaler", "upscale_models"),
        (r"unet|diffusion_model|gguf", "diffusion_model", "diffusion_models"),
        (r"ckpt|checkpoint", "checkpoint", "checkpoints"),
        (r"style_model", "style_model", "style_models"),
        (r"gligen", "gligen", "gligen"),
        (r"embedding", "embedding", "embeddings"),
    )
)
# Names of inputs that mean several kinds; the class says which.
_GENERIC = re.compile(r"(?:clip_name|model_name|model|name|file|file_name)\d*", re.I)
_COMPONENTS = frozenset({"vae", "text_encoder", "clip_vision"})


@dataclass(frozen=True)
class NamedModel:
    """A model as one input names it. `kind` is `checkpoint`, `lora`, `vae`, `text_encoder`, …, `""` where the input
    does not say; `folder` ComfyUI's key of the folder where its loader looks, `""` where that is not known; `reference`
    what it can be asked and loaded by, `""` for a bare file name. `place` says where it is needed: `disk` or
    `fleet`."""

    node: str
    title: str
    input: str
    name: str
    kind: str = ""
    folder: str = ""
    reference: str = ""
    place: str = DISK

    @property
    def is_component(self) -> bool:
        """Whether it is a part beside a model: a VAE, a text encoder."""
        return self.kind in _COMPONENTS


def models_of(opened: OpenedGraph) -> tuple[NamedModel, ...]:
    """Every model that the graph names, each once for a node and input, in the order of the nodes."""
    named: dict[tuple[str, str, str], NamedModel] = {}
    for key, node in opened.graph.nodes.items():
        place = FLEET if _REMOTE.fullmatch(node.kind) or _looks_up_for_the_fleet(opened.graph, key) else DISK
        for model in _named_by(key, opened.titles.get(key) or node.kind, node, place):
            named.setdefault((model.node, model.input, model.reference or model.name), model)
        if len(named) >= MOST_MODELS:
            break
    return tuple(list(named.values())[:MOST_MODELS])


def _looks_up_for_the_fleet(graph: Graph, key: str) -> bool:
    """Whether a node only looks up what the fleet is asked for: its file is not used here, and what it tells goes to
    nodes that order, and to no node of ours that needs the file."""
    if graph.kind(key) != LOOKUP:
        return False
    takers = [(graph.nodes[taker], wire) for taker in graph.takers[key] for wire in graph.nodes[taker].wires()]
    uses = [(node.kind, wire.slot) for node, wire in takers if wire.node == key]
    is_needed = any(slot == _FILE_OUTPUT or NEEDS_FILES(kind) for kind, slot in uses)
    return not is_needed and any(_REMOTE.fullmatch(kind) for kind, _ in uses)


def _named_by(key: str, title: str, node: Node, place: str) -> Iterator[NamedModel]:
    if node.kind.startswith(_PREFIX):
        yield from _by_reference(key, title, node, place)
    else:
        yield from _by_loader(key, title, node)
    yield from _in_texts(key, title, node)


def _by_reference(key: str, title: str, node: Node, place: str) -> Iterator[NamedModel]:
    for name, value in node.inputs.items():
        if not isinstance(value, str) or not _OUR_REFERENCES.fullmatch(name) or node.kind == f"{_PREFIX}ImageData":
            continue
        text = value.strip()[:_LONGEST_NAME]
        if (reference := _asked_by(text)) is not None:
            kind, folder = ("vae", "vae") if name.endswith("vae") else ("", "")
            yield NamedModel(key, title, name, text, kind, folder, reference, place)
    resources = node.inputs.get("resources")
    for line in resources.splitlines()[:_MOST_IN_TEXT] if isinstance(resources, str) else ():
        text = line.strip()[:_LONGEST_NAME]
        if (reference := _asked_by(text)) is not None:
            yield NamedModel(key, title, "resources", text, reference=reference)


def _by_loader(key: str, title: str, node: Node) -> Iterator[NamedModel]:
    """What a loader names: LoRAs by their own readers, the rest by the names of its inputs."""
    seen: set[str] = set()
    for used in loras_at(node, Remarks()):
        name = used.name or used.air
        if name and used.source == "comfy":
            seen.add(name)
            yield _of_used(key, title, node, used)
    for name, value in node.inputs.items():
        if not isinstance(value, str) or not value or len(value) > _LONGEST_NAME or value in seen:
            continue
        if value.lower() in OFF or value.startswith("Baked") or not _is_model(node, name, value):
            continue
        kind, folder = kind_of(node.kind, name)
        reference = value if _is_air(value) else ""
        yield NamedModel(key, title, name, value, kind, folder, reference)


def _is_model(node: Node, name: str, value: str) -> bool:
    is_file = value[-12:].lower().endswith(MODEL_ENDINGS) and not any(mark in value for mark in ("\n", "embedding:"))
    return is_file or (name in MODEL_INPUTS and bool(kind_of(node.kind, name)[0])) or _is_air(value)


def kind_of(kind: str, name: str) -> tuple[str, str]:
    """What an input of a class names, and ComfyUI's folder for it; `("", "")` where neither name says it.

    assert kind_of("VAELoader", "vae_name") == ("vae", "vae")
    """
    for words in (kind, name) if _GENERIC.fullmatch(name) else (name, kind):
        for pattern, means, folder in _KINDS:
            if pattern.search(words):
                return means, folder
    return "", ""


def _of_used(key: str, title: str, node: Node, used: UsedResource) -> NamedModel:
    name = used.name or used.air
    place = next((input_ for input_, value in node.inputs.items() if value == name), "")
    kind, folder = ("hypernet", "hypernetworks") if used.kind == "hypernet" else ("lora", "loras")
    reference = used.air or (str(used.version_id) if used.version_id else "")
    return NamedModel(key, title, place, name[:_LONGEST_NAME], kind, folder, reference)


def _in_texts(key: str, title: str, node: Node) -> Iterator[NamedModel]:
    """The networks and embeddings that a text names; what a wire brings stands in its own node."""
    if _REMOTE.fullmatch(node.kind):
        return  # the fleet reads no tags
    for name, value in node.inputs.items():
        if not isinstance(value, str) or ("<" not in value and "embedding:" not in value.lower()):
            continue
        for number, tag in enumerate(each_tag(value)):
            if number >= _MOST_IN_TEXT:
                break
            kind, folder = ("hypernet", "hypernetworks") if tag.kind == "hypernet" else ("lora", "loras")
            yield NamedModel(key, title, name, tag.name[:_LONGEST_NAME], kind, folder)
        for number, embedding in enumerate(each_embedding(value)):
            if number >= _MOST_IN_TEXT:
                break
            yield NamedModel(key, title, name, embedding.name[:_LONGEST_NAME], "embedding", "embeddings")


def _asked_by(text: str) -> str | None:
    """The text of a reference, `""` where it is a bare file name, None where it names no model."""
    try:
        reference = read_reference(text) if text else None
    except (UnknownReference, InvalidAir):
        return None
    if reference is None or isinstance(reference, (ImageReference, PostReference)):
        return None
    return "" if isinstance(reference, FileReference) else text


def _is_air(text: str) -> bool:
    return text.startswith(("urn:air:", "air:"))
