"""The fields of a variant, filled one group at a time.

Each function looks at the request and the variant's table and returns a `Part`. A value outside the variant's range is
refused by name; what the variant has no field for is named as unused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput, FieldRefused
from ..metadata.samplers import AUTO, for_dialect, schedule_for_dialect
from .request import GenerationRequest
from .variants import Variant

JSON_SAFE = 2**53  # whole numbers from here on are not exact in every JSON reader
INT32 = 2**31
OUTPUT_FORMATS = {"png": "png", "jpeg": "jpeg", "webp": "webP"}  # ours -> the contract's spelling
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
}


@dataclass(frozen=True)
class Part:
    """Some fields of an `input`, sentences for the report, and which of a person's inputs the variant cannot use."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def field_of(variant: Variant, names: Iterable[str]) -> str | None:
    """The first of the names that the variant has a field for."""
    return next((name for name in names if name in variant.fields), None)


def check_range(variant: Variant, name: str, value: float, ours: str = "") -> None:
    """Raise FieldRefused when a number is outside a field's range; `ours` is what the person calls it."""
    limits = variant.fields[name]
    low, high = limits.minimum, limits.maximum
    if not math.isfinite(value):
        raise FieldRefused(ours or name, value, "a number", variant.path)
    if (low is not None and value < low) or (high is not None and value > high):
        raise FieldRefused(ours or name, value, range_in_words(low, high), variant.path)


def checked(variant: Variant, name: str, value: Any) -> Any:
    """A value for one of the variant's own fields. Raises BadInput for an unknown field, FieldRefused for a wrong
    type, choice or range."""
    own = variant.fields.get(name)
    if own is None:
        raise BadInput(f"{variant.path} has no input {name!r}.")
    if own.choices and value not in own.choices:
        raise FieldRefused(name, value, f"one of {', '.join(map(str, own.choices))}", variant.path)
    wrong = own.type in _PYTHON_TYPES and not isinstance(value, _PYTHON_TYPES[own.type])
    if wrong or (isinstance(value, bool) and own.type in ("integer", "number")):
        raise FieldRefused(name, value, f"a {own.type}", variant.path)
    if own.type in ("integer", "number"):
        check_range(variant, name, value)
    return value


def prompts(request: GenerationRequest, variant: Variant) -> Part:
    """The prompt, which must be there, and the negative prompt where the variant takes one."""
    if not request.prompt.strip():
        raise BadInput("The prompt is empty.")
    _check_text(variant, "prompt", request.prompt)
    fields = {"prompt": request.prompt}
    if not request.negative_prompt.strip():
        return Part(fields)
    if "negativePrompt" not in variant.fields:
        return Part(fields, unused=("negative_prompt",))
    _check_text(variant, "negativePrompt", request.negative_prompt, "negative_prompt")
    return Part({**fields, "negativePrompt": request.negative_prompt})


def quantity(request: GenerationRequest, variant: Variant) -> Part:
    """How many pictures; variants without such a field make one."""
    name = field_of(variant, ("quantity", "numImages"))
    if name is not None:
        check_range(variant, name, request.quantity, "quantity")
        return Part({name: request.quantity})
    if request.quantity != 1:
        raise FieldRefused("quantity", request.quantity, "1", variant.path)
    return Part()


def number(variant: Variant, ours: str, value: float, names: Iterable[str]) -> Part:
    """A number that goes in under the variant's own name, if it was set (0 = it was not)."""
    if not value:
        return Part()
    name = field_of(variant, names)
    if name is None:
        return Part(unused=(ours,))
    check_range(variant, name, value, ours)
    if ours == "clip_skip" and value < 1:
        raise FieldRefused(ours, value, "1 or more", variant.path)
    return Part({name: value})


def guidance(request: GenerationRequest, variant: Variant) -> Part:
    """CFG and guidance. Where the variant has one field for both, the guidance goes in if it is set."""
    name = variant.guidance_field
    if not request.guidance or name is None:
        cfg = number(variant, "cfg", request.cfg, ("cfgScale", "guidanceScale"))
        return Part(cfg.fields, unused=(*cfg.unused, *(("guidance",) if request.guidance else ())))
    check_range(variant, name, request.guidance, "guidance")
    notes = [f"The guidance {request.guidance:g} is sent as {name}, which is the guidance of {variant.path}."]
    if request.cfg:
        notes.append(f"The cfg of {request.cfg:g} has no field there.")
    return Part({name: request.guidance}, tuple(notes))


def sampling(request: GenerationRequest, variant: Variant) -> Part:
    """Sampler and scheduler in the variant's own words: ComfyUI's, or those of stable-diffusion.cpp."""
    fields, unused = {}, []
    for ours, label, names, translate in (
        ("sampler_name", request.sampler_name, ("sampler", "sampleMethod"), for_dialect),
        ("scheduler", request.scheduler, ("scheduler", "schedule"), schedule_for_dialect),
    ):
        if label in (AUTO, ""):
            continue
        name = field_of(variant, names)
        if name is None:
            unused.append(ours)
        else:
            dialect = "comfy" if name in ("sampler", "scheduler") else "sdcpp"
            fields[name] = translate(label, variant.fields[name].choices, dialect)
    return Part(fields, unused=tuple(unused))


def seed(request: GenerationRequest, variant: Variant) -> Part:
    """The seed, folded into what the variant takes: picture i is made from seed + i, which must fit too."""
    if not 0 <= request.seed < JSON_SAFE:
        raise FieldRefused("seed", request.seed, f"0 to {JSON_SAFE - 1}")
    if "seed" not in variant.fields:
        return Part(unused=("seed",) if request.seed else ())
    room = (INT32 if variant.fields["seed"].format == "int32" else JSON_SAFE) - request.quantity + 1
    folded = request.seed % room
    note = f"The seed {request.seed} is above what {variant.path} takes; it was folded to {folded}."
    return Part({"seed": folded}, notes=(note,) if folded != request.seed else ())


def own_fields(request: GenerationRequest, variant: Variant) -> Part:
    """The variant's own fields that a person set, by the contract's names."""
    values = {name: value for name, value in request.extra.items() if value is not None and value != ""}
    return Part({name: checked(variant, name, value) for name, value in values.items()})


def still_required(variant: Variant, filled: Mapping[str, Any]) -> Part:
    """Fill what must be there and has an honest empty value; refuse what a person has to give."""
    fields: dict[str, Any] = {}
    for name, own in variant.fields.items():
        if not own.required or name in filled:
            continue
        if own.type == "style-references":
            fields[name] = []
        elif own.type != "air":  # sdcpp/flux1 lists four component AIRs as required, but takes the model alone
            raise BadInput(f"{variant.path} needs the input {name}.")
    return Part(fields)


def output_format(request: GenerationRequest) -> Part:
    """The file format, in the contract's spelling."""
    if request.output_format not in OUTPUT_FORMATS:
        raise FieldRefused("output_format", request.output_format, "png, jpeg or webp")
    return Part({"outputFormat": OUTPUT_FORMATS[request.output_format]})


def _check_text(variant: Variant, name: str, text: str, ours: str = "") -> None:
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise FieldRefused(ours or name, "a text with half a character in it", "whole characters", variant.path)
    most = variant.fields[name].max_length
    if most is not None and len(text) > most:
        raise FieldRefused(
            ours or name, f"{len(text)} characters long", f"at most {most} characters long", variant.path
        )


def range_in_words(low: float | None, high: float | None) -> str:
    """A range of which one end may be open; at least one of them is there."""
    if low is not None and high is not None:
        return f"{_digits(low)} to {_digits(high)}"
    return f"{_digits(low)} or more" if low is not None else f"{_digits(high)} or less"


def _digits(bound: float | None) -> str:
    return f"{bound:g}" if bound is not None and bound < 1e6 else str(bound)
