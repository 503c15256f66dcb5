"""GenerationData from the JSON that its `to_json` wrote, also after a stranger's hand was in it.

A value of the wrong kind is left out and named in a note; the rest stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..resources.json_values import number, whole
from .generation import GenerationData, Upscale, UsedResource
from .quantities import guidance_scale, layers, pixels, shown, step_count

# Reads a JSON value, None where it is none of its kind; what is lost inside of it is named in the notes.
_Reader = Callable[[Any, list[str]], Any]


def generation_from_json(value: Mapping[str, Any]) -> GenerationData:
    """The reverse of `GenerationData.to_json`."""
    notes: list[str] = []
    checked = from_json_fields(value, notes)
    checked["notes"] = (*checked.get("notes", ()), *notes)
    return GenerationData(**checked)


def from_json_fields(value: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The fields of a `GenerationData` that a JSON object holds, each checked on its own."""
    return _checked(GenerationData, value, notes)


def _checked(cls: type, value: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for field in fields(cls):
        if (raw := value.get(field.name)) is None:
            continue
        bounded = _BOUNDED.get(field.name)
        valid = _READERS[str(field.type)](raw, notes) if bounded is None else bounded(raw)
        if valid is None:
            notes.append(f"{field.name} is left out: {shown(raw)} is not a value for it.")
        else:
            checked[field.name] = valid
    return checked


def _text(value: object, _: list[str]) -> str | None:
    return value if isinstance(value, str) else None


def _list_of(read_entry: _Reader) -> _Reader:
    def read(value: object, notes: list[str]) -> tuple[Any, ...] | None:
        if not isinstance(value, (list, tuple)):
            return None
        entries = [read_entry(entry, notes) for entry in value]
        if None in entries:
            notes.append(f"{entries.count(None)} of {len(entries)} entries of a list could not be read.")
        return tuple(entry for entry in entries if entry is not None)

    return read


def _used_resource(value: object, notes: list[str]) -> UsedResource | None:
    if not isinstance(value, Mapping):
        return None
    return UsedResource(**{"air": "", **_checked(UsedResource, value, notes)})


def _upscale(value: object, notes: list[str]) -> Upscale | None:
    return Upscale(**_checked(Upscale, value, notes)) if isinstance(value, Mapping) else None


def _weight_pair(value: object, _: list[str]) -> tuple[float, float | None] | None:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or (weight := number(value[0])) is None:
        return None
    return weight, number(value[1])


def _mapping(read_key: Callable[[Any], Any], value_type: type) -> _Reader:
    def read(value: object, _: list[str]) -> dict[Any, Any] | None:
        if not isinstance(value, Mapping):
            return None
        pairs = ((read_key(name), member) for name, member in value.items())
        return {key: member for key, member in pairs if key is not None and isinstance(member, value_type)}

    return read


# By the annotation of a field.
_READERS: Mapping[str, _Reader] = {
    "str": _text,
    "int | None": lambda value, _: whole(value),
    "float": lambda value, _: number(value),
    "float | None": lambda value, _: number(value),
    "tuple[UsedResource, ...]": _list_of(_used_resource),
    "tuple[str, ...]": _list_of(_text),
    "tuple[int, ...]": _list_of(lambda value, _: whole(value)),
    "tuple[tuple[float, float | None], ...]": _list_of(_weight_pair),
    "Upscale | None": _upscale,
    "Mapping[int, str]": _mapping(whole, str),
    "Mapping[str, str]": _mapping(str, str),
    "Mapping[str, Any]": _mapping(str, object),
}
# The fields whose values have bounds, whoever says them.
_BOUNDED: Mapping[str, Callable[[object], Any]] = {
    "steps": step_count, "cfg": guidance_scale, "guidance": guidance_scale, "width": pixels, "height": pixels,
    "clip_skip": layers,
}  # fmt: skip
