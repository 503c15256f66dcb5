"""Width and height in a variant's own words: pixels rounded to its step, an aspect ratio, or a named size."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..errors import FieldRefused
from .fields import Part, range_in_words
from .request import GenerationRequest
from .source_pictures import png_size
from .variants import Field, Variant

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
    """The size of the pictures; what is outside the variant's range is fitted to it, with a note. Raises FieldRefused
    for a negative side, and where only one of the two is set although the two together choose the shape."""
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
    """The sides that were asked for, or that the variant must be told (the source's own), fitted to its limits."""
    source = png_size(request.image) if request.image else (1024, 1024)
    asked = {
        name: side or own
        for name, side, own in zip(("width", "height"), (request.width, request.height), source, strict=True)
        if side or variant.fields[name].required
    }
    fitted = _fitted(asked, variant)
    step = _STEP.get(variant.family, 8)
    sides = {name: _rounded(side, variant.fields[name], step) for name, side in fitted.items()}
    if fitted != asked:
        limits = [variant.fields[name] for name in asked]
        ranges = " and ".join(dict.fromkeys(range_in_words(limit.minimum, limit.maximum) for limit in limits))
        size_asked, size_sent = (" x ".join(str(side) for side in each.values()) for each in (asked, sides))
        what = f"The size {size_asked}" if len(asked) == 2 else f"The {next(iter(asked))} {size_asked}"
        return Part(sides, (f"{what} became {size_sent}: {variant.path} takes {ranges} pixels a side.",))
    notes = [
        f"{name} {side} became {sides[name]}: {variant.path} takes multiples of {step}."
        for name, side in asked.items()
        if sides[name] != side
    ]
    return Part(sides, tuple(notes))


def _fitted(asked: Mapping[str, int], variant: Variant) -> Mapping[str, float]:
    """The sides within the variant's limits, in the shape that was asked for where the limits leave room for it."""
    limits = {name: (variant.fields[name].minimum or 1, variant.fields[name].maximum or math.inf) for name in asked}
    smallest = max((limits[name][0] / side for name, side in asked.items()), default=1)
    largest = min((limits[name][1] / side for name, side in asked.items()), default=1)
    if smallest <= 1 <= largest:
        return asked
    if smallest <= largest:
        factor = largest if largest < 1 else smallest
        return {name: side * factor for name, side in asked.items()}
    return {name: min(max(side, limits[name][0]), limits[name][1]) for name, side in asked.items()}


def _rounded(side: float, limits: Field, step: int) -> int:
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
