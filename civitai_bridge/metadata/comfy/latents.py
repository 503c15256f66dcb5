"""Where a sampler begins: its latent, what that was made from, and the size that is written for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...resources.json_values import number, whole
from ..quantities import pixels, shown
from .graph import Graph, walk
from .nodes import row
from .remarks import Remarks
from .values import is_wired, preset_size, written

LATENTS = ("latent_image", "latent", "samples", "optional_latent", "image_embeds", "latents")
ON_THE_WAY = (*LATENTS, "video_latent", "av_latent", "pixels", "image", "images", "noise_image")
_SIZES = (("width", "height"), ("empty_latent_width", "empty_latent_height"), ("target_width", "target_height"))
# Values by which a resizing node keeps the picture's proportions, so that its numbers are only bounds.
_WITHIN = (True, "true", "resize", "keep proportion")
SCALES = ("scale_by", "upscale_by", "rescale_factor", "upscale_factor", "scale_factor", "factor", "scale")


def latent_of(inputs: Mapping[str, Any]) -> object:
    """What a sampler works on; None where it takes nothing (then it begins from noise of its own)."""
    return next((inputs[name] for name in LATENTS if name in inputs), None)


def begins_empty(graph: Graph, key: str) -> bool:
    """Whether a sampler's latent is an empty one."""
    passed = walk(graph, latent_of(graph.inputs(key)), ON_THE_WAY)
    return bool(passed) and "Empty" in graph.kind(passed[-1])


def scale_of(graph: Graph, key: str) -> float | None:
    """By how much a node enlarges, where a number says so."""
    inputs = graph.inputs(key)
    names = (scale,) if (scale := row(graph.kind(key)).get("scale")) else SCALES
    return next((factor for name in names if (factor := number(inputs.get(name))) is not None), None)


def size_at(graph: Graph, key: str) -> tuple[Any, Any] | None:
    """The size that a node names, in whatever form; None where it names none, or only bounds of one."""
    inputs = graph.inputs(key)
    if any(written(inputs.get(name)) in _WITHIN for name in ("keep_proportion", "keep_proportions", "method")):
        return None
    if (names := row(graph.kind(key)).get("size")) is not None:
        sides = preset_size(inputs, names)
        return sides if any(side is not None for side in sides) else None
    return next(((inputs.get(w), inputs.get(h)) for w, h in _SIZES if w in inputs or h in inputs), None)


def size_of(graph: Graph, key: str, remarks: Remarks) -> dict[str, Any]:
    """`width` and `height` in pixels of what a sampler makes, from the nearest node that names a size."""
    for place in (key, *walk(graph, latent_of(graph.inputs(key)), ON_THE_WAY)):
        sides = size_at(graph, place)
        if sides is not None:
            size = [pixels(side) for side in sides]
            if all(size):
                return {"width": size[0], "height": size[1]}
            if any(is_wired(side) for side in sides):
                remarks.leave("width", "height")
                return {}
            if all(whole(side) for side in sides):
                remarks.note(f"The size is not known: {shown(list(sides))}.")
                return {}
        if place != key and scale_of(graph, place) not in (None, 1.0):
            remarks.note("The size is not known: what was sampled had been enlarged before.")
            return {}
    return {}
