"""Which model a sampler uses: the file at the end of its wire, through whatever changes the model on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import CivitaiError
from ...model_files.names import MODEL_ENDINGS
from ...resources.json_values import whole
from ...resources.reference import AirReference, ModelReference, VersionReference, read_reference
from ..quantities import layers
from .graph import Graph, Unwritten, Wire, ancestors, walk
from .inputs import part, word
from .loras import OFF, resource
from .nodes import row
from .remarks import Remarks
from .samplers import role_of
from .values import is_wired, written

MODEL_WIRES = ("model", "unet", "base_model", "model1", "model_a", "MODEL", "opt_model", "optional_model", "models")
MODEL_INPUTS = (
    "ckpt_name",
    "unet_name",
    "base_ckpt_name",
    "model_path",
    "gguf_name",
    "diffusion_name",
    "unet_name_high",
)
_MODEL_NAMES = frozenset(MODEL_INPUTS)


def model_at(graph: Graph, key: str) -> str:
    """The model's file, or the AIR in its place, that a node loads; `""` where it loads none."""
    inputs, of = graph.inputs(key), row(graph.kind(key))
    if "model" not in of and "model" not in inputs and _MODEL_NAMES.isdisjoint(inputs):
        return ""
    file = word(inputs, *of["model"].split("|")) if "model" in of else word(inputs, *MODEL_INPUTS)
    if file.lower() in OFF and "ckpt" in of.get("air", ""):
        file = word(inputs, of["air"])
    if not file and (text := word(inputs, "model")).endswith(MODEL_ENDINGS):
        file = text
    return "" if file.lower() in OFF else file


def model_start(graph: Graph, key: str) -> object:
    """What stands at a sampler's model input (at its guider's, where it has one)."""
    guider = part(graph, key, "guider")
    inputs = graph.inputs(guider if guider is not None else key)
    return next((inputs[name] for name in ("model", "diffuser_model") if inputs.get(name) is not None), None)


def model_line(graph: Graph, key: str) -> list[str]:
    """The nodes through which a sampler's model goes, nearest first."""
    return walk(graph, model_start(graph, key), MODEL_WIRES)


def model_of(graph: Graph, key: str) -> str:
    """The model that a sampler uses; `""` where the graph does not name it."""
    start = model_start(graph, key)
    if isinstance(start, str):
        return start
    files = (model_at(graph, place) for place in reversed(model_line(graph, key)))
    return next((file for file in files if file), "")


def model_fields(graph: Graph, key: str, remarks: Remarks) -> dict[str, Any]:
    """The fields of a sampler's model (`model_name`, or what an AIR or another reference says) and `clip_skip`."""
    fields: dict[str, Any] = {}
    line, behind = model_line(graph, key), ancestors(graph, [key])
    file = model_of(graph, key) or _behind_unknown(graph, key, line, remarks)
    if file:
        fields = named_model(file, is_reference=role_of(graph, key) == "generate")
    elif isinstance(start := model_start(graph, key), Unwritten) or _wired_file(graph, (*line, *behind)):
        remarks.leave("model")
    elif isinstance(start, Wire) and role_of(graph, key) == "generate":
        remarks.leave("model")
    if role_of(graph, key) == "generate" and (skip := layers(graph.inputs(key).get("clip_skip"))):
        return {**fields, "clip_skip": skip}
    for place in (*line, *behind):
        inputs = graph.inputs(place)
        layer = whole(written(inputs.get("stop_at_clip_layer", inputs.get("clip_skip", inputs.get("base_clip_skip")))))
        if layer is not None and layer < 0 and (skip := layers(-layer)) is not None:
            return {**fields, "clip_skip": skip}
    return fields


def _behind_unknown(graph: Graph, key: str, line: Sequence[str], remarks: Remarks) -> str:
    """The model where its wire ends at a node that is not known to hand one on: the one file that stands behind that
    node, which is said; `""` where there are none or several."""
    start = model_start(graph, key)
    if isinstance(start, Unwritten):
        return ""
    places = ancestors(graph, line[-1:] or [key])
    files = list(dict.fromkeys(name for place in places if (name := model_at(graph, place))))
    if len(files) != 1:
        return ""
    if line:
        remarks.note(f"What {graph.kind(line[-1])[:60]} does to a model is not known; the model behind it is named.")
    return files[0]


def _wired_file(graph: Graph, places: tuple[str, ...]) -> bool:
    """Whether another node chooses the file of a loader."""
    inputs = (graph.inputs(place) for place in places)
    return any(is_wired(each.get(name)) for each in inputs for name in MODEL_INPUTS)


def named_model(file: str, *, is_reference: bool = False) -> dict[str, Any]:
    """The fields that a model's name gives; a reference (what our own nodes take) may be an id or an address."""
    used = resource(file, "checkpoint")
    if used.air:
        return {"model_air": used.air, "model_version_id": used.version_id, "model_id": used.model_id}
    if used.version_id is not None:
        return {"model_version_id": used.version_id}
    if is_reference:
        try:
            reference = read_reference(file)
        except CivitaiError:
            return {"model_name": file}
        if isinstance(reference, VersionReference):
            return {"model_version_id": reference.version_id}
        if isinstance(reference, ModelReference):
            return {"model_id": reference.model_id}
        if isinstance(reference, AirReference):
            air = reference.air
            return {"model_air": str(air), "model_version_id": air.version_id, "model_id": air.model_id}
    return {"model_name": file}
