"""What CivitAI's generator writes over its graph, in `extraMetadata`: prompt, settings and resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ...resources.hashes import normal_hash
from ...resources.json_values import number, objects, whole
from ..generation import GenerationData, UsedResource, by_list
from ..quantities import shown
from ..resources import join, kind_of
from ..samplers import read_label
from .reader import decoded_json
from .remarks import Remarks

_SETTINGS: tuple[tuple[str, str, Callable[[object], Any]], ...] = (
    ("cfgScale", "cfg", number), ("steps", "steps", whole), ("seed", "seed", whole), ("denoise", "denoise", number),
    ("width", "width", whole), ("height", "height", whole), ("clipSkip", "clip_skip", whole),
)  # fmt: skip


def extra_metadata(data: GenerationData, text: str) -> GenerationData:
    """The data of a graph with what `extraMetadata` says in its place; as it is where the text holds none."""
    remarks = Remarks()
    settings = decoded_json(text, "extraMetadata", remarks)
    if isinstance(settings, Mapping) and isinstance(settings.get("extraMetadata"), (str, Mapping)):
        inner = settings["extraMetadata"]
        settings = decoded_json(inner, "extraMetadata", remarks) if isinstance(inner, str) else inner
    if not isinstance(settings, Mapping) or not isinstance(settings.get("prompt"), str):
        return data
    fields = _settings(settings, remarks)
    listed: list[UsedResource] = []
    model = data.model_version_id
    for entry in objects(settings.get("resources")):
        version, kind = whole(entry.get("modelVersionId")), kind_of(entry.get("type"))
        weight = number(entry.get("strength"))
        if version is None or version == model:  # the list names the graph's model once more
            continue
        if kind == "checkpoint" and model is None:
            model = fields["model_version_id"] = version
        else:
            listed.append(
                UsedResource("", 1.0 if weight is None else weight, "", kind, version,
                             hash=normal_hash(entry.get("hash")), source="civitai_resources")
            )  # fmt: skip
    fields.update(by_list(join([*data.resources, *listed])))
    return replace(data, **fields, notes=(*data.notes, *remarks.notes))


def _settings(settings: Mapping[str, Any], remarks: Remarks) -> dict[str, Any]:
    fields: dict[str, Any] = {"prompt": settings["prompt"]}
    if isinstance(settings.get("negativePrompt"), str):
        fields["negative_prompt"] = settings["negativePrompt"]
    for key, name, read in _SETTINGS:
        if settings.get(key) is not None:
            value = read(settings[key])
            if value is None:
                remarks.note(f"{key} is left out: {shown(settings[key])} is no value for it.")
            else:
                fields[name] = value
    if isinstance(label := settings.get("sampler"), str) and label.strip():
        sampling, notes = read_label(label)
        fields.update(sampler=sampling.sampler, scheduler=sampling.scheduler)
        for sentence in notes:
            remarks.note(sentence)
    return fields
