"""Which nodes of a graph sample, in which order they ran, and with what settings.

Samplers are known by the shape of their inputs, so that the packs which copy core's need no rows; a row's `role` has
the last word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ...resources.json_values import number, whole
from ..quantities import guidance_scale, step_count
from .graph import Graph, Wire, walk
from .inputs import choice, numeric, part, word
from .latents import begins_empty
from .nodes import row
from .remarks import Remarks

_MOST_SAMPLERS = 64
_ROLES = ("sampler", "detailer", "upscale", "generate")
_SEEDS = ("seed", "noise_seed", "main_seed", "seed_value")
_STEPS = ("steps", "steps_total", "base_steps", "num_inference_steps")
_CFGS = ("cfg", "cfg_conds", "guidance_scale", "cfg_scale", "video_cfg")
_DENOISES = ("denoise", "denoise_strength", "base_denoise")
_DETAILERS = re.compile(r"detailer|face ?fix|handfix", re.I)
# Nodes that write a picture into a file, not only show it.
_SAVES = re.compile(r"save|videocombine|image ?saver", re.I)
# Inputs that steer a sampler and give it no picture.
_STEERS = re.compile(
    r"(optional_|opt_)?(model|clip|vae|positive|negative|cond|guider|sigmas|noise$|sampler|control|mask|lora|text|upscale_model)",
    re.I,
)
_BESIDES = ("sampler_name", "positive", "cfg", "latent_image", "scheduler")


def role_of(graph: Graph, key: str) -> str:
    """`sampler`, `detailer`, `upscale` (samples again, enlarged), `generate` (a service samples), `""` for none."""
    kind, inputs = graph.kind(key), graph.inputs(key)
    of = row(kind)
    if (role := of.get("role", "")) or "takes" in of or "pipe" in of:
        return role if role in _ROLES else ""
    if "steps" not in inputs and "sigmas" not in inputs:
        return ""
    custom = ("guider" in inputs or "positive" in inputs) and "sampler" in inputs and "sigmas" in inputs
    plain = "steps" in inputs and any(name in inputs for name in _SEEDS[:2])
    if custom or (plain and any(name in inputs for name in _BESIDES)):
        return "detailer" if _DETAILERS.search(kind) else "upscale" if "upscale_by" in inputs else "sampler"
    return ""


def samplers_of(graph: Graph) -> list[str]:
    """All nodes that sample, as they stand in the graph."""
    return [key for key in graph.nodes if role_of(graph, key)]


def in_turn(graph: Graph, every: Sequence[str]) -> list[str]:
    """The samplers in the order in which they ran. Only those whose picture something takes, and is saved, when there
    is one."""
    if len(every) < 2:
        return list(every)
    keys = ([key for key in every if graph.takers[key]] or list(every))[:_MOST_SAMPLERS]
    behind = samplers_behind(graph, keys)
    saved = 0
    for key, node in graph.nodes.items():
        saved |= behind[key] if _SAVES.search(node.kind) else 0
    keys = [key for place, key in enumerate(keys) if saved >> place & 1] or keys
    counts = Counter(behind[key].bit_count() for key in keys)

    def turn(key: str) -> tuple[int, bool, bool]:
        depth = behind[key].bit_count()
        is_late = role_of(graph, key) in ("detailer", "upscale")
        return depth, is_late, counts[depth] > 1 and not begins_empty(graph, key)

    return sorted(keys, key=turn)


def samplers_behind(graph: Graph, samplers: Sequence[str]) -> dict[str, int]:
    """For each node, as bits, the samplers that it depends on and itself; in a ring, which never runs, some."""
    behind = {key: 0 for key in graph.nodes} | {key: 1 << i for i, key in enumerate(samplers)}
    waits = {key: len(sources) for key, sources in graph.sources.items()}
    ready = [key for key, count in waits.items() if not count]
    for key in ready:
        for taker in graph.takers[key]:
            behind[taker] |= behind[key]
            waits[taker] -= 1
            if not waits[taker]:
                ready.append(taker)
    return behind


def working_together(graph: Graph, samplers: Sequence[str]) -> list[str]:
    """The samplers that work on one picture with the first: behind it, before it, or joined by a later one."""
    behind = samplers_behind(graph, samplers)
    picture = 1
    for _ in samplers:
        joined = picture
        for key in samplers:
            if behind[key] & joined:
                joined |= behind[key]
        if joined == picture:
            break
        picture = joined
    return [key for i, key in enumerate(samplers) if picture >> i & 1]


def first_of_picture(graph: Graph, samplers: Sequence[str]) -> str:
    """The first of the samplers (in the order in which they ran) from which the last one's picture comes: one that only
    makes a hint for it, as depth estimators do, is none."""
    last = samplers[-1]
    seen, todo = {last}, [last]
    while todo:
        for source in _pictures_of(graph, todo.pop()):
            if source not in seen:
                seen.add(source)
                todo.append(source)
    return next(key for key in samplers if key in seen)


def _pictures_of(graph: Graph, key: str) -> list[str]:
    """The nodes from which a node has its picture or latent: all but what steers a sampler."""
    inputs = graph.inputs(key)
    sources = [value.node for name, value in inputs.items() if isinstance(value, Wire) and not _STEERS.match(name)]
    for place in walk(graph, inputs.get("positive"), ("positive", "conditioning")):
        if isinstance(stage := graph.inputs(place).get("stage_c"), Wire):
            sources.append(stage.node)
    return sources


def settings_of(graph: Graph, key: str, remarks: Remarks) -> dict[str, Any]:
    """`seed`, `steps`, `cfg`, `denoise`, `sampler` and `scheduler` of a sampler, as far as they are written."""
    inputs = graph.inputs(key)
    seeds, sigmas, guiding = (
        graph.inputs(place) if (place := part(graph, key, name)) is not None else inputs
        for name in ("noise", "sigmas", "guider")
    )
    sampler, scheduler = _names(graph, key, remarks)
    steps = numeric(sigmas, _STEPS, step_count, "steps", remarks)
    settings = {
        "seed": _seed(seeds, remarks),
        "steps": _schedule_node(graph, key).get("steps") if steps is None and "steps" not in sigmas else steps,
        "cfg": numeric(guiding, _CFGS, guidance_scale, "cfg", remarks),
        "denoise": numeric(sigmas, _DENOISES, number, "denoise", remarks),
        "sampler": sampler,
        "scheduler": scheduler,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _seed(inputs: Mapping[str, Any], remarks: Remarks) -> int | None:
    seed = numeric(inputs, _SEEDS, whole, "seed", remarks)
    if seed is not None and seed < 0:
        remarks.note("The seed is not known: it was drawn when the graph ran.")
        remarks.elsewhere["seed"] = None
        return None
    return seed


def _names(graph: Graph, key: str, remarks: Remarks) -> tuple[str, str]:
    """The names of sampler and scheduler; a node that is a sampler or a schedule itself gives its class's."""
    inputs = graph.inputs(key)
    chosen, sigmas = part(graph, key, "sampler"), part(graph, key, "sigmas")
    if chosen is not None:
        names = graph.inputs(chosen)
        sampler = choice(names, ("sampler_name",), "sampler", remarks) or word(names, "solver")
        if not sampler and "sampler" not in remarks.elsewhere:
            sampler = row(graph.kind(chosen)).get("sampler", graph.kind(chosen))
    else:
        sampler = choice(inputs, ("sampler_name", "sampler", "sample_method"), "sampler", remarks)
    if sigmas is not None:
        scheduler = choice(graph.inputs(sigmas), ("scheduler",), "scheduler", remarks)
        if not scheduler and "scheduler" not in remarks.elsewhere:
            scheduler = row(graph.kind(sigmas)).get("schedule", graph.kind(sigmas))
    else:
        written_by = _schedule_node(graph, key)
        scheduler = word(written_by, "scheduler") or choice(inputs, ("scheduler", "schedule"), "scheduler", remarks)
    return sampler, scheduler


def _schedule_node(graph: Graph, key: str) -> Mapping[str, Any]:
    """The inputs of a node that makes a sampler's scheduler, where it is not a name but a wire."""
    place = part(graph, key, "scheduler")
    return graph.inputs(place) if place is not None else {}
