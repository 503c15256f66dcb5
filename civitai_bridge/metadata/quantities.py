"""The doors through which a stranger's numbers come: finite and in range, or absent.

Each takes a value as JSON, a text or a graph has it, and gives None for what is none of its kind."""

from __future__ import annotations

from ..resources.json_values import number, whole

# More than any tool takes (ComfyUI's KSampler: 10,000 steps, CFG 100) and than any picture is wide (JPEG: 65,535).
MOST_STEPS, MOST_CFG, MOST_PIXELS, MOST_CLIP_SKIP = 10_000, 1_000.0, 65_535, 100


def pixels(value: object) -> int | None:
    """A width or height: a whole number from 1 to what a picture can have."""
    length = whole(value)
    return length if length is not None and 0 < length <= MOST_PIXELS else None


def step_count(value: object) -> int | None:
    """A number of steps that some sampler takes, from 0."""
    steps = whole(value)
    return steps if steps is not None and 0 <= steps <= MOST_STEPS else None


def layers(value: object) -> int | None:
    """A clip skip: layers of a text encoder, from 0."""
    count = whole(value)
    return count if count is not None and 0 <= count <= MOST_CLIP_SKIP else None


def guidance_scale(value: object) -> float | None:
    """A CFG or guidance that leaves something of the picture."""
    scale = number(value)
    return scale if scale is not None and -MOST_CFG <= scale <= MOST_CFG else None


def weight_of(name: str, value: object, notes: list[str]) -> float:
    """The weight of a network; 1 stands in for what is no number, and a note says so."""
    weight = number(value)
    if weight is None:
        notes.append(f"The weight of {name[:60]} (1 stands in) is not known: {shown(value)}.")
        return 1.0
    return weight


def shown(value: object, longest: int = 60) -> str:
    """A stranger's value in one short line, for a note."""
    text = repr(value[:longest] if isinstance(value, (str, list, tuple)) else value)
    return text if len(text) <= longest else text[:longest] + "…"
