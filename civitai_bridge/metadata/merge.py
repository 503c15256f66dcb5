"""The graph that ran and a wired generation -> the truth about a picture, and where the two disagree.

The graph wins; the wire adds identities (AIRs, hashes, versions) to what the graph names, and whatever the graph leaves
to other nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..resources.hashes import AUTO_V2
from .comfy.remarks import CALLED, MADE_ELSEWHERE, NOT_WRITTEN, PARTLY_WRITTEN_PROMPT, WEIGHT_OF, not_known
from .generation import GenerationData, UsedResource
from .prompt import clean_prompt, name_key
from .quantities import shown
from .resources import is_called, join, may_be_one

_SETTINGS: tuple[tuple[str, str], ...] = (
    ("prompt", "the prompt"), ("negative_prompt", "the negative prompt"), ("seed", "the seed"), ("steps", "steps"),
    ("cfg", "CFG"), ("sampler", "the sampler"), ("scheduler", "the scheduler"), ("width", "the width"),
    ("height", "the height"), ("clip_skip", "clip skip"), ("denoise", "the denoising strength"),
    ("guidance", "the guidance"), ("vae", "the VAE"), ("upscale", "the second pass"),
)  # fmt: skip
# Where a graph that says none of these is no disagreement.
_QUIET = ("vae", "denoise", "width", "height")
_MODEL = ("model_air", "model_name", "model_version_id", "model_id", "base_model", "model_hash")
_IDENTITY = ("air", "version_id", "hash", "model_id", "version_name", "base_model")
_UNSAID = (None, "")
_PROMPTS = ("prompt", "negative_prompt")
# What of the graph's wires leaves a list of resources to the wired generation.
_OPEN = {"networks": frozenset(("networks",)), "embeddings": frozenset(_PROMPTS), "others": frozenset[str]()}
_KINDS = {
    "lora": "LoRA", "lyco": "LyCORIS", "hypernet": "hypernetwork", "vae": "VAE", "upscaler": "upscaler",
    "controlnet": "ControlNet",
}  # fmt: skip


def merge(local: GenerationData, wired: GenerationData) -> tuple[GenerationData, tuple[str, ...]]:
    """What is true of a picture whose graph says `local`, with a generation wired to it; and a line for a person for
    each disagreement.

    Resources that the graph does not use are not taken over. A generation that the fleet made is the truth as it is; a
    graph that says nothing leaves it to the wire."""
    if wired.workflow_id:
        return wired, ()
    if not says_anything(local):
        line = "The graph does not say how the picture was made; the wired generation is taken at its word."
        return replace(wired, texts=local.texts, notes=(*local.notes, *wired.notes)), (line,)
    elsewhere = frozenset(local.extra.get(MADE_ELSEWHERE, ()))
    lines: list[str] = []
    fields = _settings(local, wired, elsewhere, lines)
    fields.update(_model(local, wired, elsewhere, lines))
    for name, open_to_wire in _OPEN.items():
        of_graph, of_wire = getattr(local, name), getattr(wired, name)
        if elsewhere & open_to_wire:
            fields[name] = join((*of_graph, *of_wire))
        else:
            fields[name] = _resources(of_graph, of_wire, elsewhere, lines)
    if local.vae and not local.vae_hash and wired.vae_hash and name_key(local.vae) == name_key(wired.vae):
        fields["vae_hash"] = wired.vae_hash
    open_still = {name for name in elsewhere if not _is_answered(name, fields, local, wired)}
    extra = {key: value for key, value in local.extra.items() if key != MADE_ELSEWHERE}
    if open_still:
        extra[MADE_ELSEWHERE] = sorted(open_still)
    answered = _answered_notes(elsewhere - open_still, elsewhere, fields)
    notes = tuple(note for note in local.notes if note not in answered)
    return replace(local, **{**fields, "extra": extra, "notes": notes}), tuple(lines)


def says_anything(data: GenerationData) -> bool:
    """Whether the data says how a picture was made, or which node did."""
    values = (data.prompt, data.model_name, data.model_air, data.seed, data.steps, data.sampler, data.model_version_id)
    return any(value not in _UNSAID for value in values) or bool(data.networks or data.extra.get(MADE_ELSEWHERE))


def _is_answered(name: str, fields: Mapping[str, Any], local: GenerationData, wired: GenerationData) -> bool:
    """Whether what another node made is known now."""
    if name.startswith(WEIGHT_OF):
        file = name_key(name.removeprefix(WEIGHT_OF))
        loaded = [network for network in local.networks if name_key(network.name) == file]
        return any(_are_one(network, other) for network in loaded for other in wired.networks)
    names = ("model_name", "model_air") if name == "model" else (name,)
    return any(fields.get(field, getattr(local, field)) not in (*_UNSAID, ()) for field in names)


def _answered_notes(answered: frozenset[str], elsewhere: frozenset[str], fields: Mapping[str, Any]) -> set[str]:
    """The notes of the graph's reader that the wire has answered."""
    notes = {not_known(name) for name in answered if name.startswith(WEIGHT_OF) or name in CALLED}
    notes |= {NOT_WRITTEN[name] for name in answered if name in NOT_WRITTEN}
    if elsewhere.intersection(_PROMPTS) <= fields.keys():
        notes.add(PARTLY_WRITTEN_PROMPT)
    return notes


def _settings(
    local: GenerationData, wired: GenerationData, elsewhere: frozenset[str], lines: list[str]
) -> dict[str, Any]:
    """The settings that other nodes made, from the wire; a line for each of which the two speak differently."""
    fields: dict[str, Any] = {}
    for name, title in _SETTINGS:
        of_graph, of_wire = getattr(local, name), getattr(wired, name)
        if of_wire in _UNSAID or _are_alike(name, of_graph, of_wire):
            continue
        if name in elsewhere and (of_graph in _UNSAID or name in _PROMPTS):
            fields[name] = of_wire
        elif of_graph not in _UNSAID:
            lines.append(f"The wired generation names {title} {_short(of_wire)}, the graph used {_short(of_graph)}.")
        elif name not in _QUIET:
            lines.append(f"The wired generation names {title} {_short(of_wire)}, the graph used none.")
    return fields


def _are_alike(name: str, of_graph: object, of_wire: object) -> bool:
    if name in _PROMPTS:
        return _words(of_graph) == _words(of_wire)
    return name_key(str(of_graph)) == name_key(str(of_wire)) if name == "vae" else of_graph == of_wire


def _words(text: object) -> list[str]:
    """A prompt without what readers take out of it and how they spell embeddings."""
    return clean_prompt(str(text)).replace("embedding:", "").replace(",", " ").casefold().split()


def _short(value: object) -> str:
    return shown(value if isinstance(value, (str, int, float)) else "another one")


def _model(local: GenerationData, wired: GenerationData, elsewhere: frozenset[str], lines: list[str]) -> dict[str, Any]:
    of_wire = {name: value for name in _MODEL if (value := getattr(wired, name)) not in _UNSAID}
    name = local.model_name or local.model_air
    if not name:
        return of_wire if "model" in elsewhere else {}
    if not of_wire:
        return {}
    if _is_same_model(local, wired):
        return {field: value for field, value in of_wire.items() if getattr(local, field) in _UNSAID}
    other = wired.model_name or wired.model_air or "another one"
    lines.append(f"The wired generation names the model {_short(other)}, the graph loaded {_short(name)}.")
    return {}


def _is_same_model(local: GenerationData, wired: GenerationData) -> bool:
    if local.model_version_id is not None and wired.model_version_id is not None:
        return local.model_version_id == wired.model_version_id
    if local.model_air and local.model_air == wired.model_air:
        return True
    if local.model_hash and wired.model_hash:
        return local.model_hash[:AUTO_V2] == wired.model_hash[:AUTO_V2]
    return bool(local.model_name and wired.model_name) and name_key(local.model_name) == name_key(wired.model_name)


def _resources(
    of_graph: tuple[UsedResource, ...], of_wire: tuple[UsedResource, ...], elsewhere: frozenset[str], lines: list[str]
) -> tuple[UsedResource, ...]:
    """The graph's resources with the identities that the wire knows of them; weights stay the graph's, but for those
    that other nodes made."""
    unused = list(of_wire)
    resources: list[UsedResource] = []
    for loaded in of_graph:
        other = next((other for other in unused if _are_one(loaded, other)), None)
        if other is None:
            resources.append(loaded)
            if of_wire:
                lines.append(f"{_title(loaded)} is used by the graph and not named in the wired generation.")
            continue
        unused.remove(other)
        if f"{WEIGHT_OF}{loaded.name or loaded.air}" in elsewhere:
            loaded = replace(loaded, weight=other.weight, clip_weight=other.clip_weight, again=other.again)
        elif (weight := loaded.total[0]) != (wired_weight := other.total[0]):
            lines.append(
                f"{_title(loaded)} has weight {weight:g} in the graph and {wired_weight:g} in the wired generation."
            )
        resources.append(_with_identity(loaded, other))
    for other in unused:
        if other.weight:
            lines.append(f"{_title(other)} is named in the wired generation and not used by the graph.")
    return tuple(resources)


def _are_one(loaded: UsedResource, other: UsedResource) -> bool:
    if not may_be_one(loaded, other):
        return False
    for name in ("version_id", "air"):
        if getattr(loaded, name) and getattr(loaded, name) == getattr(other, name):
            return True
    if loaded.hash and other.hash and loaded.hash[:AUTO_V2] == other.hash[:AUTO_V2]:
        return True
    if not (loaded.name and other.name):
        return False
    return name_key(loaded.name) == name_key(other.name) or is_called(other, loaded.name)


def _with_identity(loaded: UsedResource, other: UsedResource) -> UsedResource:
    return replace(loaded, **{name: getattr(other, name) for name in _IDENTITY if getattr(loaded, name) in _UNSAID})


def _title(resource: UsedResource) -> str:
    name = resource.name or resource.air or str(resource.version_id)
    return f"{_KINDS.get(resource.kind, resource.kind)} {name[:80]}"
