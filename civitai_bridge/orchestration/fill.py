"""From what made a picture to an order: the fields that a person left at their default are filled from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..metadata.generation import LORA_KINDS, GenerationData, loras_of
from ..metadata.prompt import clean_prompt
from ..metadata.samplers import AUTO, SAMPLER_NAMES, SCHEDULER_NAMES
from .request import GenerationRequest, LoraInput


def filled(request: GenerationRequest, generation: GenerationData | None) -> tuple[GenerationRequest, tuple[str, ...]]:
    """The request with whatever stands at its default filled from `generation`, and a sentence for each part of the
    generation that the request does not hold: it is paid for without it."""
    if generation is None:
        return request, ()
    default = GenerationRequest()
    values = {
        "model": generation.model_air or str(generation.model_version_id or ""),
        "prompt": clean_prompt(generation.prompt),
        "negative_prompt": clean_prompt(generation.negative_prompt),
        "seed": generation.seed,
        "width": generation.width,
        "height": generation.height,
        "steps": generation.steps,
        "cfg": generation.cfg,
        "sampler_name": generation.sampler if generation.sampler in SAMPLER_NAMES else None,
        "scheduler": generation.scheduler if generation.scheduler in SCHEDULER_NAMES else None,
        "clip_skip": generation.clip_skip,
        "loras": tuple(
            LoraInput(reference, lora["strength"], lora["name"])
            for lora in loras_of(generation)
            if (reference := _reference(lora)) and lora["strength"]
        ),
    }
    changes = {
        name: value for name, value in values.items() if value and getattr(request, name) == getattr(default, name)
    }
    return replace(request, **changes), tuple(_left_out(request, generation))


def _left_out(request: GenerationRequest, generation: GenerationData) -> Iterator[str]:
    if not request.loras:
        for lora in loras_of(generation):
            if lora["strength"] and not _reference(lora):
                name = lora["name"] or lora["hash"]
                yield f"LoRA {name} of the generation is not known to CivitAI and was left out."
    for network in generation.networks:
        if network.kind not in LORA_KINDS:
            yield f"{network.name or network.hash} of the generation is no LoRA and was left out."
    for embedding in generation.embeddings:
        yield f"The embedding {embedding.name or embedding.hash} was left out: orders take none."
    if generation.vae and not request.vae:
        yield f"The VAE {generation.vae} was left out; `vae` takes one."
    for name, label, choice, names in (
        ("sampler", generation.sampler, request.sampler_name, SAMPLER_NAMES),
        ("scheduler", generation.scheduler, request.scheduler, SCHEDULER_NAMES),
    ):
        if label and label not in names and choice == AUTO:
            yield f"The {name} {label!r} is not known here; the engine's own is used."


def _reference(lora: dict[str, Any]) -> str:
    """How an order names a LoRA of a generation: what CivitAI resolved."""
    return str(lora["air"] or lora["version_id"] or "")
