"""What comes after the first sampler: the nodes that decode and finish its picture, and further samplers by what they
are: a second pass on an enlarged picture ("Hires fix"), a refiner, a second expert, a stage, a detailer."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ...resources.json_values import number
from ..generation import Upscale, UsedResource
from ..quantities import pixels, step_count
from .graph import Graph, Wire, ancestors, descendants, walk
from .inputs import word
from .latents import scale_of, size_at
from .loras import OFF
from .models import model_of
from .remarks import Remarks
from .resources import vae_at
from .samplers import role_of, settings_of

_ENLARGERS = re.compile(r"upscale|upsampl|hires", re.I)
_UPSCALE_MODELS = ("upscale_model", "upscale_model_opt", "upscaler_model")
_REFINERS = re.compile(r"refiner", re.I)
_EXPERTS = re.compile(r"(high|low)[ _-]?noise|[_-](high|low|hn|ln)[_.-]", re.I)
_STAGE_B = "StableCascade_StageB_Conditioning"


@dataclass(frozen=True)
class Pass:
    """A further sampler: `role` is `hires`, `refiner`, `expert`, `stage`, `detailer` or `again`; `model` its file where
    that is another than the first sampler's."""

    role: str
    key: str
    model: str


def finishing(graph: Graph, samplers: Sequence[str], every: Sequence[str]) -> list[str]:
    """The nodes that decode and finish the samplers' picture with all that they take, nearest to the samplers first;
    the others of `every` sampler, which make other pictures, and what is behind them take no part."""
    foreign = frozenset(every) - frozenset(samplers)
    after = descendants(graph, samplers) - foreign
    starts = (key for key in graph.nodes if key in after)
    return [key for key in ancestors(graph, starts, foreign) if key not in foreign]


def decoding_vae(graph: Graph, samplers: Sequence[str]) -> str | None:
    """The VAE file that decodes the samplers' picture, `""` for the model's own; None where nothing decodes."""
    after = descendants(graph, samplers)
    for key in (key for key in graph.nodes if key in after):
        inputs = graph.inputs(key)
        latents = (inputs.get(name) for name in ("samples", "latent"))
        if isinstance(inputs.get("vae"), Wire) and any(isinstance(latent, Wire) for latent in latents):
            line = walk(graph, inputs["vae"], ("vae",))
            return vae_at(graph, line[-1]) if line else None
    return None


def passes_after(graph: Graph, samplers: Sequence[str]) -> list[Pass]:
    """What each further sampler does to the picture of the first, in their order."""
    first, *later_ones = samplers
    after = descendants(graph, [first])
    own = model_of(graph, first)
    before = frozenset(key for key in samplers if role_of(graph, key) != "detailer")
    passes: list[Pass] = []
    for key in later_ones:
        model = model_of(graph, key)
        other = model if model and own and model != own else ""
        role = "detailer"
        if key in before:
            role = _role(graph, ancestors(graph, [key], before - {key}), after, (first, key), (own, other))
        if key in after or role == "detailer":
            passes.append(Pass(role, key, other))
    return passes


def _role(
    graph: Graph, behind: Sequence[str], after: Collection[str], samplers: tuple[str, str], models: tuple[str, str]
) -> str:
    """What a later sampler is, by the nodes behind it as far as the sampler before, and by the models of the first and
    of itself (`""` where it is the same)."""
    (first, key), (own, other) = samplers, models
    if any(graph.kind(place) == _STAGE_B for place in behind):
        return "stage"
    if not other:
        between = [place for place in behind if place in after and place not in samplers]
        return "hires" if _is_enlarged(graph, between, first, key) else "again"
    if _EXPERTS.search(own) and _EXPERTS.search(other):
        return "expert"
    starts = (step_count(graph.inputs(key).get(name)) for name in ("start_at_step", "start_step"))
    continues = any(starts) or any(graph.kind(place).startswith("SplitSigmas") for place in behind)
    refines = _REFINERS.search(other) or any("Refiner" in graph.kind(place) for place in behind)
    by_unet = any(word(graph.inputs(place), "unet_name") == other for place in behind)
    return "refiner" if refines or (continues and not by_unet) else "expert" if continues else "again"


def _is_enlarged(graph: Graph, between: Sequence[str], first: str, key: str) -> bool:
    """Whether a sampler works on more pixels than the first one made."""
    if role_of(graph, key) == "upscale":
        return scale_of(graph, key) != 1.0 or size_at(graph, key) is not None
    for node in between:
        scale, sides = scale_of(graph, node), size_at(graph, node)
        if role_of(graph, node) == "detailer":
            continue
        if scale is not None and scale > 1:
            return True
        if any(isinstance(graph.inputs(node).get(name), Wire) for name in _UPSCALE_MODELS):
            return True
        if sides is not None and (pixels_before := _first_size(graph, first)) and all(map(pixels, sides)):
            if pixels(sides[0]) * pixels(sides[1]) > pixels_before:  # type: ignore[operator]
                return True
        elif scale is None and _ENLARGERS.search(graph.kind(node)):
            return True
    return False


def _first_size(graph: Graph, first: str) -> int:
    """How many pixels the first sampler's latent stands for; 0 where that is not written."""
    for place in ancestors(graph, [first]):
        sides = size_at(graph, place)
        if sides is not None and (width := pixels(sides[0])) and (height := pixels(sides[1])):
            return width * height
    return 0


def upscale_of(graph: Graph, first: str, later: Pass) -> Upscale:
    """The second pass: its settings, and by what and how much the picture is enlarged before it."""
    after = descendants(graph, [first])
    behind = ancestors(graph, [later.key], frozenset([first]))
    stretch = [node for node in behind if node in after and node != first]
    upscalers = [name for node in stretch if (name := upscaler_at(graph, node))]
    scales = [scale for node in stretch if (scale := scale_of(graph, node)) is not None]
    settings = settings_of(graph, later.key, Remarks())
    upscale = Upscale(
        upscaler=upscalers[0] if upscalers else "", steps=settings.get("steps"), denoise=settings.get("denoise")
    )
    # A model enlarges by a factor of its own, so that a scale beside it is not the whole of it.
    own_scale = role_of(graph, later.key) == "upscale" or not upscalers
    if len(scales) == 1 and own_scale:
        upscale = replace(upscale, scale=scales[0])
    for node in stretch:
        sides = size_at(graph, node) if node != later.key else None
        if sides is not None and (width := pixels(sides[0])) and (height := pixels(sides[1])):
            return replace(upscale, width=width, height=height)
    return upscale


def upscaler_at(graph: Graph, key: str) -> str:
    """The upscale model that a node takes or names; `""` for none."""
    inputs = graph.inputs(key)
    for name in _UPSCALE_MODELS:
        for place in walk(graph, inputs.get(name), _UPSCALE_MODELS):
            if file := word(graph.inputs(place), "model_name", "upscale_model", "upscale_model_name"):
                return file
    file = word(inputs, "model_name") if _ENLARGERS.search(graph.kind(key)) else ""
    return "" if file.lower() in OFF else file


def script_pass(graph: Graph, key: str) -> Upscale | None:
    """The second pass that one of Efficiency's scripts (HighRes-Fix, Tiled Upscaler) adds to a sampler."""
    for place in walk(graph, graph.inputs(key).get("script"), ("script",)):
        inputs = graph.inputs(place)
        if "tiling_steps" in inputs:
            return Upscale(
                scale=number(inputs.get("upscale_by")),
                steps=step_count(inputs["tiling_steps"]),
                denoise=number(inputs.get("denoise")),
            )
        if "hires_steps" in inputs:
            by_pixels = inputs.get("upscale_type") in ("pixel", "both")
            return Upscale(
                upscaler=word(inputs, "pixel_upscaler") if by_pixels else word(inputs, "latent_upscaler"),
                scale=number(inputs.get("upscale_by")),
                steps=step_count(inputs.get("hires_steps")),
                denoise=number(inputs.get("denoise")),
            )
    return None


_SAID = {
    "refiner": "A refiner finished the picture", "expert": "A second expert sampled the rest of the steps",
    "stage": "A second stage follows the sampler", "detailer": "A detailer worked on the picture afterwards",
    "again": "The picture was sampled again without being enlarged",
}  # fmt: skip


def said_of(graph: Graph, later: Pass) -> str:
    """One sentence about a further sampler: what it is, its class, model, steps and strength."""
    details = [graph.kind(later.key)[:60], later.model[:60]]
    settings = settings_of(graph, later.key, Remarks())
    details += [f"{name} {settings[name]}" for name in ("steps", "denoise") if name in settings]
    return f"{_SAID[later.role]}: {', '.join(detail for detail in details if detail)}."


def by_role(resources: Sequence[UsedResource], passes: Sequence[Pass]) -> tuple[UsedResource, ...]:
    """The models of further samplers under the kind that their sampler gives them."""
    refiners = {later.model for later in passes if later.role == "refiner"}
    return tuple(
        replace(each, kind="refiner") if each.kind == "checkpoint" and (each.name or each.air) in refiners else each
        for each in resources
    )
