"""Model, LoRAs and VAE of an order: whether CivitAI runs them, whether they belong together, and their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import BadInput, NotGeneratable, WrongFamily
from ..resources.version import ModelVersion
from .fields import Part, check_range
from .request import ResolvedLora
from .variants import Variant, fits


def name_of(version: ModelVersion) -> str:
    """Name and version name as a person knows them; the AIR where there is neither."""
    return " ".join(part for part in (version.name, version.version_name) if part) or version.air


def check_model(model: ModelVersion | None) -> None:
    """Raise BadInput for a LoRA in the model's place, NotGeneratable for what CivitAI does not run."""
    if model is None:
        return
    if model.is_lora:
        raise BadInput(f"{name_of(model)} is a LoRA, not a checkpoint; connect it to `loras`.")
    if model.can_generate is False:
        raise NotGeneratable(
            f"CivitAI does not generate with {name_of(model)}: it is not enabled for "
            "generation. Choose another version."
        )


def model_field(model: ModelVersion | None, variant: Variant) -> Part:
    """The checkpoint's AIR where the variant takes one. Raises WrongFamily, or BadInput where it is missing."""
    name = variant.model_field
    if model is None:
        if name and variant.fields[name].required:
            raise BadInput(f"{variant.path} needs a model: give a version id, address, AIR or hash in `model`.")
        return Part()
    if not fits(variant, model.ecosystem, model.base_model):
        raise WrongFamily(
            f"{name_of(model)} is of the family {model.family}, but {variant.path} runs "
            f"{variant.family} models. Set `engine` to auto."
        )
    if name is None:
        own = f"{variant.path} runs its own model; the checkpoint {name_of(model)} itself is not sent."
        return Part(notes=(own,))
    return Part({name: model.air})


@dataclass(frozen=True)
class Family:
    """What LoRAs and VAE must belong to: the variant, the chosen model, and the base model that the order runs (`""` =
    not known). `mismatch` is `refuse`, or `warn` for a note in its place."""

    variant: Variant
    model: ModelVersion | None
    base_model: str
    mismatch: str


def loras_field(loras: Sequence[ResolvedLora], family: Family) -> Part:
    """The LoRAs with their strengths, as a map or a list, as the variant wants them."""
    variant = family.variant
    active = [lora for lora in loras if lora.strength != 0]
    notes = [
        f"The LoRA {name_of(lora.resource)} has strength 0 and is left out." for lora in loras if lora.strength == 0
    ]
    if not active:
        return Part(notes=tuple(notes))
    if variant.lora_shape is None:
        raise BadInput(
            f"{variant.path} takes no LoRAs, but {len(active)} {'is' if len(active) == 1 else 'are'} connected."
        )
    strengths: dict[str, float] = {}
    for lora in active:
        _check_lora(lora.resource)
        notes += _family_notes(lora.resource, "LoRA", family)
        air = lora.resource.air
        if air in strengths:
            notes.append(f"The LoRA {name_of(lora.resource)} is there twice; its strengths were added.")
        strengths[air] = strengths.get(air, 0.0) + lora.strength
    for air, strength in strengths.items():
        check_range(variant, "loras", strength, f"the strength of {air}")
    pairs = [{"air": air, "strength": strength} for air, strength in strengths.items()]
    return Part({"loras": strengths if variant.lora_shape == "lora-map" else pairs}, tuple(notes))


def vae_field(vae: ModelVersion | None, family: Family) -> Part:
    """The VAE's AIR. Raises BadInput where the variant takes none or the version is something else."""
    if vae is None:
        return Part()
    if "vaeModel" not in family.variant.fields:
        raise BadInput(f"{family.variant.path} takes no VAE, but {name_of(vae)} is set.")
    if vae.type and vae.type != "vae":
        raise BadInput(f"{name_of(vae)} is a {vae.type}, not a VAE.")
    notes = _family_notes(vae, "VAE", family)
    return Part({"vaeModel": vae.air}, tuple(notes))


def _check_lora(version: ModelVersion) -> None:
    if not version.is_lora and version.type:
        raise BadInput(f"{name_of(version)} is a {version.type}, not a LoRA.")
    if version.can_generate is False:
        raise NotGeneratable(
            f"CivitAI does not generate with the LoRA {name_of(version)}: it is not enabled for generation."
        )


def _family_notes(version: ModelVersion, kind: str, family: Family) -> list[str]:
    """Nothing where a version fits; else WrongFamily is raised, or by the setting a sentence comes back."""
    if fits(family.variant, version.ecosystem, version.base_model, family.base_model):
        return []
    chosen = family.model.family if family.model else family.variant.family
    text = f"The {kind} {name_of(version)} is of the family {version.family}, the model of {chosen}"
    if family.mismatch != "warn":
        raise WrongFamily(
            f"{text}; they do not fit, and CivitAI would charge for it all the same. Take it out, or allow it with "
            "`civitai-bridge settings lora_family_mismatch warn`."
        )
    return [f"{text}; the picture may not show it."]
