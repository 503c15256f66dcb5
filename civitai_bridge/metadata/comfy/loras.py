"""The LoRAs and hypernetworks that one node applies, told by the names of its inputs or by its row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from ...resources.json_values import number, whole
from ..generation import UsedResource
from ..quantities import shown
from ..resources import from_air, tagged
from .graph import Node, Unwritten
from .inputs import numeric, word
from .nodes import row
from .remarks import WEIGHT_OF, Remarks
from .values import is_wired, truth, version_in_words, written

OFF = ("none", "", "disabled", "[none]")
_WEIGHTS = ("strength_model", "lora_model_strength", "lora_strength", "strength", "model_strength", "weight")
_CLIP_WEIGHTS = ("strength_clip", "lora_clip_strength", "clip_strength")
_NUMBERED = re.compile(r"lora_?(?:name_?)?(\d{1,4})(?:_name)?")
# The weights of the LoRA with a number; the first name that the node has.
_NUMBERED_WEIGHTS = (
    "model_str_{}", "model_weight_{}", "lora_{}_model_strength", "lora{}_model_strength", "model_strength_{}",
    "strength_model_{}", "lora_wt_{}", "lora_{}_strength", "lora{}_strength", "strength_{}", "lora_weight_{}",
    "lora_strength_{}", "weight_{}",
)  # fmt: skip
_SIMPLE_WEIGHTS = ("lora_wt_{}", "lora_{}_strength", "lora{}_strength", "strength_{}")
_NUMBERED_CLIPS = (
    "clip_str_{}", "clip_weight_{}", "lora_{}_clip_strength", "lora{}_clip_strength", "clip_strength_{}",
    "strength_clip_{}",
)  # fmt: skip
_NUMBERED_SWITCHES = ("switch_{}", "on_{}", "enabled_{}", "enable_{}", "toggle_{}", "lora_{}_enabled")
_NAMES_ONE = re.compile(r"lora|hypernet|ildcard", re.I)
_AIR_TAIL = re.compile(r"\d@\d")


def resource(file: str, kind: str, weight: float = 1.0, clip: float | None = None) -> UsedResource:
    """A resource by its file, or by the AIR (or its tail `model@version`) that stands where a file would."""
    clip = None if clip == weight else clip
    if "@" in file and (used := from_air(file, weight=weight, clip_weight=clip, source="comfy")) is not None:
        return used if used.kind != "other" else replace(used, kind=kind)
    if (version := version_in_words(file)) is not None:
        return UsedResource("", weight, "", kind, version, clip, "", "comfy")
    return UsedResource("", weight, file, kind, None, clip, "", "comfy")


def loras_at(node: Node, remarks: Remarks) -> list[UsedResource]:
    """What a loader, a stack or a prompt node applies to the model, in its order."""
    inputs, of = node.inputs, row(node.kind)
    if "tags" not in of and not _NAMES_ONE.search(" ".join((node.kind, *inputs))):
        return []
    if is_off(inputs):
        return []
    loras = [*_listed(inputs, of.get("loras", ""), remarks), *_by_number(inputs, remarks), *_single(inputs, remarks)]
    if not loras and "lora" in of.get("air", "") and _AIR_TAIL.search(air := word(inputs, of["air"])):
        loras = [_weighed(inputs, air, _WEIGHTS, _CLIP_WEIGHTS, remarks)]
    for name in _tag_inputs(node, of):
        value = inputs.get(name)
        text = value.text if isinstance(value, Unwritten) else value
        if is_wired(value):
            remarks.elsewhere["networks"] = None
        if isinstance(text, str):
            loras += tagged(text, "comfy", remarks.notes)
    return loras


def is_off(inputs: Mapping[str, Any]) -> bool:
    """Whether a loader or stack is switched off as a whole."""
    return (
        truth(inputs.get("toggle")) is False
        or truth(inputs.get("bypass")) is True
        or inputs.get("switch") in ("Off", False)
    )


def _tag_inputs(node: Node, of: Mapping[str, Any]) -> Sequence[str]:
    """The inputs in whose text the node itself looks for `<lora:…>`."""
    if "tags" in of:
        return of["tags"]
    if "ildcard" in node.kind:
        return ["populated_text" if "populated_text" in node.inputs else "text"]
    return ["text"] if node.kind.endswith("(LoraManager)") and "loras" not in node.inputs and "ora" in node.kind else ()


def _single(inputs: Mapping[str, Any], remarks: Remarks) -> Iterator[UsedResource]:
    """A loader of one LoRA or hypernetwork."""
    if "hypernetwork_name" in inputs and (file := _file(inputs, remarks, "hypernetwork_name")):
        yield replace(_weighed(inputs, file, _WEIGHTS, (), remarks), kind="hypernet")
    elif "lora_name" in inputs or (
        "lora" in inputs and "strength" in inputs and not isinstance(inputs["lora"], Mapping)
    ):
        if file := _file(inputs, remarks, "lora_name", "lora"):
            yield _weighed(inputs, file, _WEIGHTS, _CLIP_WEIGHTS, remarks)


def _by_number(inputs: Mapping[str, Any], remarks: Remarks) -> Iterator[UsedResource]:
    """The numbered LoRAs of a stack, as far as it counts them and has them switched on."""
    count = next(
        (n for name in ("lora_count", "num_loras") if (n := whole(written(inputs.get(name)))) is not None), None
    )
    simple = "simple" in (inputs.get("input_mode"), inputs.get("mode"))
    only = whole(written(inputs.get("select"))) if "lora_strength" in inputs else None
    for name in list(inputs):
        match = _NUMBERED.fullmatch(name)
        if match is None or isinstance(inputs[name], Mapping):
            continue
        place = int(match[1])
        if (count is not None and place > count) or (only is not None and place != only):
            continue
        if any(truth(inputs.get(switch.format(match[1]))) is False for switch in _NUMBERED_SWITCHES):
            continue
        if f"chance_{place}" in inputs:
            remarks.leave("networks")
        elif file := _file(inputs, remarks, name):
            weights = [pattern.format(match[1]) for pattern in (_SIMPLE_WEIGHTS if simple else _NUMBERED_WEIGHTS)]
            clips = [] if simple else [pattern.format(match[1]) for pattern in _NUMBERED_CLIPS]
            yield _weighed(inputs, file, (*weights, "lora_strength"), clips, remarks)


def _listed(inputs: Mapping[str, Any], json_name: str, remarks: Remarks) -> Iterator[UsedResource]:
    """LoRAs that are objects: `lora_1: {on, lora, strength, strengthTwo}` and `loras: [{name, active, strength …}]`."""
    lists: list[Iterable[Any]] = [inputs["loras"]] if isinstance(inputs.get("loras"), list) else []
    if json_name:
        try:
            decoded = json.loads(word(inputs, json_name) or "[]")
        except (ValueError, RecursionError):
            decoded = None
        if isinstance(decoded, list):
            lists.append(decoded)
        else:
            remarks.leave("networks")
    lists.append(
        [value for value in inputs.values() if isinstance(value, Mapping) and isinstance(value.get("lora"), str)]
    )
    for entry in chain(*lists):
        if isinstance(entry, Mapping) and not any(entry.get(name) is False for name in ("on", "active", "enabled")):
            yield from _entry(entry, remarks)


def _entry(entry: Mapping[str, Any], remarks: Remarks) -> Iterator[UsedResource]:
    file = entry.get("lora", entry.get("name", entry.get("air")))
    if not isinstance(file, str) or file.lower() in OFF:
        return
    weights: list[float | None] = []
    for names in (("strength",), ("strengthTwo", "clipStrength", "strength_clip")):
        weight = next((entry[name] for name in names if entry.get(name) is not None), None)
        weights.append(number(weight))
        if weight is not None and weights[-1] is None:
            remarks.note(f"A weight of {file[:60]} (1 stands in) is not known: {shown(weight)}.")
    yield resource(file, "lora", 1.0 if weights[0] is None else weights[0], weights[1])


def _file(inputs: Mapping[str, Any], remarks: Remarks, *names: str) -> str:
    """The file that an input names; `""` for none. One that another node chooses is left to it."""
    file = word(inputs, *names)
    if not file and any(is_wired(inputs.get(name)) for name in names):
        remarks.leave("networks")
    return "" if file.lower() in OFF else file


def _weighed(
    inputs: Mapping[str, Any], file: str, names: Sequence[str], clips: Sequence[str], remarks: Remarks
) -> UsedResource:
    called, field = f"A weight of {file[:60]} (1 stands in)", f"{WEIGHT_OF}{file}"
    weight = numeric(inputs, names, number, field, remarks, called)
    has_clip = any(name in inputs for name in clips)
    clip = numeric(inputs, clips, number, field, remarks, called) if has_clip else None
    return resource(file, "lora", 1.0 if weight is None else weight, clip)
