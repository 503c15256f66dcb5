"""From what made a picture to an order: what a person left at its default is filled from the generation, its LoRAs get
references, and what an order cannot hold is said or stops it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import BadInput, InvalidAir, UnknownReference
from ..metadata.generation import LORA_KINDS, GenerationData, loras_of
from ..metadata.media_type import direction
from ..metadata.prompt import clean_prompt, name_key
from ..metadata.samplers import AUTO, SAMPLER_NAMES, SCHEDULER_NAMES
from ..resources.json_values import text
from ..resources.reference import AirReference, VersionReference, read_reference
from .request import GenerationRequest, LoraInput

# LoRAs without a reference -> a reference each, `""` where nobody knows one.
NameLoras = Callable[[Sequence[LoraInput]], Awaitable[Sequence[str]]]
ERROR, SKIP = "error", "skip"  # what becomes of an order that cannot hold all that is meant
_SOURCES = {
    "prompt": "named in the prompt",
    "negative_prompt": "named in the negative prompt",
    "hashes": "in the picture's list of hashes",
    "comfy": "loaded by the picture's graph",
}


async def completed(
    request: GenerationRequest, generation: GenerationData | None, name_loras: NameLoras, *, missing: str = ERROR
) -> tuple[GenerationRequest, tuple[str, ...]]:
    """The request with whatever stands at its default filled from `generation`, its LoRAs with references, and a
    sentence for each thing that is paid for without. Raises BadInput for a LoRA that cannot be named to CivitAI and
    for a source picture that is not here, unless `missing` is `skip`."""
    original, request = request, filled(request, generation)
    if generation is not None and not request.model and request.engine == AUTO:
        raise BadInput(f"{_no_model(generation)} Name one in `model`, or choose an `engine`.")
    loras, notes, lost = await _with_references(request.loras, name_loras)
    if generation is not None and request.image is None and _began_from_a_picture(generation):
        lost.append("The original began from a picture that is not here.")
    if lost and missing != SKIP:
        raise BadInput(
            f"{' '.join(lost)} Nothing was ordered. Choose `missing` = skip to order without, or give what is missing."
        )
    notes += [f"{sentence.removesuffix('.')}; it is ordered without." for sentence in lost]
    left_out = _left_out(original, generation) if generation is not None else ()
    return replace(request, loras=tuple(loras)), (*notes, *left_out)


def filled(request: GenerationRequest, generation: GenerationData | None) -> GenerationRequest:
    """The request with whatever stands at its default filled from `generation`."""
    if generation is None:
        return request
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
        # A cfg that a person set wins: some engines have one field for both.
        "guidance": None if request.cfg else generation.guidance,
        "sampler_name": generation.sampler if generation.sampler in SAMPLER_NAMES else None,
        "scheduler": generation.scheduler if generation.scheduler in SCHEDULER_NAMES else None,
        "clip_skip": generation.clip_skip,
        "loras": lora_inputs(loras_of(generation)),
    }
    changes = {
        name: value for name, value in values.items() if value and getattr(request, name) == getattr(default, name)
    }
    return replace(request, **changes)


def lora_inputs(loras: Iterable[Mapping[str, Any]]) -> tuple[LoraInput, ...]:
    """CIVITAI_LORAS as an order's LoRAs; weight 0 is off."""
    return tuple(_lora_input(lora) for lora in loras if float(lora.get("strength", 1.0)))


def _lora_input(lora: Mapping[str, Any]) -> LoraInput:
    name = str(lora.get("name") or "")
    return LoraInput(
        str(lora.get("air") or lora.get("version_id") or "").strip() or (name if _is_air(name) else ""),
        float(lora.get("strength", 1.0)),
        name,
        str(lora.get("hash") or ""),
        text(lora.get("file")),
        text(lora.get("source")),
    )


async def _with_references(
    loras: Sequence[LoraInput], name_loras: NameLoras
) -> tuple[list[LoraInput], list[str], list[str]]:
    """The LoRAs that can be ordered, each version once; notes on how they were found; and a sentence for each that
    nobody can name."""
    named = [lora for lora in loras if lora.reference]
    names = {key for lora in named for key in _names(lora)}
    unnamed = [lora for lora in loras if not lora.reference and not names & _names(lora)]
    references = await name_loras(unnamed) if unnamed else ()
    notes, lost = [], []
    for lora, reference in zip(unnamed, references, strict=True):
        called = lora.name or lora.file or lora.hash or "without a name"
        if reference:
            named.append(replace(lora, reference=reference))
            notes.append(f"LoRA {called} is ordered as version {reference}, by what is known of it here.")
        else:
            lost.append(_cannot_be_named(called, _SOURCES.get(lora.source)))
    versions: dict[object, LoraInput] = {}
    for lora in named:
        versions.setdefault(_version_of(lora.reference), lora)
    return list(versions.values()), notes, lost


def _names(lora: LoraInput) -> set[str]:
    return {name_key(name) for name in (lora.name, lora.file) if name}


def _cannot_be_named(called: str, where: str | None) -> str:
    if where is None:
        return f"LoRA {called} cannot be named to CivitAI."
    return f"LoRA {called} ({where}) cannot be named to CivitAI."


def _version_of(reference: str) -> object:
    """What makes two references of a LoRA one: the version that they name."""
    try:
        parsed = read_reference(reference)
        if isinstance(parsed, AirReference):
            return parsed.air.version_id or reference
        return parsed.version_id if isinstance(parsed, VersionReference) else reference
    except (UnknownReference, InvalidAir):
        return reference


def _is_air(name: str) -> bool:
    try:
        return isinstance(read_reference(name), AirReference)
    except (UnknownReference, InvalidAir):
        return False


def _no_model(generation: GenerationData) -> str:
    if generation.media_type not in ("", "image"):
        return f"The generation is of a {generation.media_type}, and an order here is of images."
    if name := generation.model_name or generation.model_hash:
        return f"The model {name} of the generation cannot be named to CivitAI."
    return "The generation names no model."


def _began_from_a_picture(generation: GenerationData) -> bool:
    """Whether the first pass changed a picture, as far as is said."""
    kind = direction(generation.process) or generation.detected_type.replace("unknown", "")
    if kind:
        return kind in ("i2i", "i2v")
    return generation.denoise is not None and generation.denoise < 1 and generation.upscale is None


def _left_out(request: GenerationRequest, generation: GenerationData) -> Iterator[str]:
    """What a generation holds and no order does. `request` is what the person asked."""
    for network in generation.networks:
        if network.kind not in LORA_KINDS:
            yield f"{network.name or network.hash} of the generation is no LoRA and was left out."
    for embedding in generation.embeddings:
        name = embedding.name or embedding.hash
        yield f"The embedding {name} is not loaded by the fleet; its words are sent as plain text."
    if generation.vae and not request.vae:
        yield f"The VAE {generation.vae} was left out; `vae` takes one."
    for name, label, choice, names in (
        ("sampler", generation.sampler, request.sampler_name, SAMPLER_NAMES),
        ("scheduler", generation.scheduler, request.scheduler, SCHEDULER_NAMES),
    ):
        if label and label not in names and choice == AUTO:
            yield f"The {name} {label!r} is not known here; the engine's own is used."
