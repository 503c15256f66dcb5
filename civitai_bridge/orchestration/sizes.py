"""Width and height in a variant's own words: pixels rounded to its step, an aspect ratio, or a named size."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..errors import FieldRefused
from .fields import Part, check_range
from .request import GenerationRequest
from .source_pictures import png_size
from .variants import Variant

_STEP = {"sd1": 16, "sdxl": 16, "flux1": 16}  # pixels, as CivitAI's recipe pages ask; everything else takes 8
_IMAGE_SIZES: Mapping[str, tuple[float, float]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}


def size(request: GenerationRequest, variant: Variant) -> Part:
    """The size of the pictures. Raises FieldRefused outside the variant's range, and where only one of the two sides
    is set although the two together choose the shape."""
    width, height = request.width, request.height
    if width < 0 or height < 0:
        raise FieldRefused("width" if width < 0 else "height", min(width, height), "0 or more")
    if "width" in variant.fields:
        return _in_pixels(request, variant)
    shapes = _shapes(variant)
    if shapes is None:
        return Part(unused=tuple(name for name, side in (("width", width), ("height", height)) if side))
    name, choices = shapes
    if width and height:
        best = min(choices, key=lambda choice: _distance((width, height), choices[choice]))
        return Part({name: best}, (f"{variant.path} takes no pixels: {width} x {height} became {name} {best}.",))
    if width or height:
        raise FieldRefused("height" if width else "width", 0, "set too, because the two choose the shape", variant.path)
    if variant.fields[name].required:
        return Part({name: "1024x1024" if "1024x1024" in choices else next(iter(choices))})
    return Part()


def _in_pixels(request: GenerationRequest, variant: Variant) -> Part:
    fields, notes = {}, []
    source = png_size(request.image) if request.image else (1024, 1024)
    for name, side, of_source in zip(("width", "height"), (request.width, request.height), source, strict=True):
        if not side and variant.fields[name].required:
            # The variant must be told: the source's own size where there is one.
            side = min(max(of_source, 64), int(variant.fields[name].maximum or 2048))
        if side:
            fields[name] = _rounded(variant, name, side)
            if fields[name] != side:
                step = _STEP.get(variant.family, 8)
                notes.append(f"{name} {side} became {fields[name]}: {variant.path} takes multiples of {step}.")
    return Part(fields, tuple(notes))


def _rounded(variant: Variant, name: str, side: int) -> int:
    step = _STEP.get(variant.family, 8)
    check_range(variant, name, side)
    limits = variant.fields[name]
    rounded = max(round(side / step) * step, math.ceil(max(limits.minimum or step, 1) / step) * step)
    return rounded if limits.maximum is None else min(rounded, math.floor(limits.maximum / step) * step)


def _shapes(variant: Variant) -> tuple[str, dict[str, tuple[float, float]]] | None:
    """The field that stands for a size and what its words mean in width and height."""
    fields = variant.fields
    if "aspectRatio" in fields:
        return "aspectRatio", _pairs(fields["aspectRatio"].choices, ":")
    if "imageSize" in fields:
        choices = fields["imageSize"].choices or tuple(_IMAGE_SIZES)
        return "imageSize", {choice: _IMAGE_SIZES[choice] for choice in choices if choice in _IMAGE_SIZES}
    if "size" in fields and (pairs := _pairs(fields["size"].choices, "x")):
        return "size", pairs
    return None


def _pairs(choices: tuple[str, ...], between: str) -> dict[str, tuple[float, float]]:
    sides = {choice: choice.split(between) for choice in choices if between in choice}
    return {choice: (float(width), float(height)) for choice, (width, height) in sides.items()}


def _distance(asked: tuple[float, float], offered: tuple[float, float]) -> tuple[float, float]:
    """How far an offered shape is from the one that was asked for: by ratio first, then by area."""
    ratio = abs(math.log((asked[0] / asked[1]) / (offered[0] / offered[1])))
    return round(ratio, 6), abs(math.log((asked[0] * asked[1]) / (offered[0] * offered[1])))
