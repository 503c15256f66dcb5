"""How far a wired generation is true of the pictures that Save Image is given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .host.services import services

if TYPE_CHECKING:
    from ..civitai_bridge.metadata.generation import GenerationData

Graph = dict[str, Any]
_FLEET = ("CivitaiBridgeGenerate", "CivitaiBridgeWorkflowImages")


def of_these_pictures(
    generation: GenerationData | None, graph: Graph, node: str, upstream: Graph
) -> tuple[GenerationData | None, list[str]]:
    """The generation as far as it is true of the pictures on `images` of `node`, and a line for each part that is not.
    `upstream` are the nodes of the graph that lead to these pictures.

    The fleet's own word is taken as it is where the pictures come straight from it; where a local sampler made them,
    workflow and price are another picture's. Of the LoRAs only those that were really applied are taken."""
    if generation is None:
        return None, []
    lines: list[str] = []
    inputs = graph.get(node, {}).get("inputs", {})
    source = str((graph.get(_source(inputs.get("images"))) or {}).get("class_type", ""))
    if generation.workflow_id and not source.startswith((*_FLEET, "CivitaiBridgeReadImage")):
        generation = _not_straight_from_the_fleet(generation, upstream, lines)
    for entry in upstream.values():
        if entry.get("class_type") == "CivitaiBridgeApplyLoras":
            generation = _with_applied(generation, entry.get("inputs", {}), inputs, lines)
    return generation, lines


def _not_straight_from_the_fleet(generation: GenerationData, upstream: Graph, lines: list[str]) -> GenerationData:
    kinds = [str(entry.get("class_type", "")) for entry in upstream.values()]
    sampled = any("sampler" in kind.lower() and not kind.startswith("Civitai") for kind in kinds)
    if sampled or not any(kind.startswith(_FLEET) for kind in kinds):
        lines.append("The pictures do not come from the wired generation's workflow, so its id and price are left out.")
        return replace(generation, workflow_id="", cost=None, arrived=(), missing={})
    if len(generation.arrived) > 1 and generation.seed is not None:
        lines.append("The pictures were chosen or changed after the fleet made them, so the seed is left out.")
        return replace(generation, seed=None)
    return generation


def _with_applied(
    generation: GenerationData, apply: dict[str, Any], save: dict[str, Any], lines: list[str]
) -> GenerationData:
    """The generation with those LoRAs alone that Apply LoRAs took from it; `apply` and `save` are the inputs of the two
    nodes."""
    from ..civitai_bridge.metadata.generation import LORA_KINDS, loras_of

    if _source(apply.get("loras")) != _source(save.get("generation")):
        lines.append(
            "The LoRAs that were applied come from another node than the wired generation; its own are left out."
        )
        others = tuple(network for network in generation.networks if network.kind not in LORA_KINDS)
        return replace(generation, networks=others)
    applied = services().applied(loras_of(generation))
    if applied is None:
        return generation
    files, networks = iter(applied), []
    for network in generation.networks:
        file = next(files, "") if network.kind in LORA_KINDS else network.file
        if network.kind in LORA_KINDS and not file:
            lines.append(f"LoRA {network.name or network.air} was not applied, so it is not written.")
        else:
            is_named_alone = not (network.air or network.version_id or network.hash)
            networks.append(replace(network, file=file) if is_named_alone else network)
    return replace(generation, networks=tuple(networks))


def _source(value: Any) -> str:
    """The node at the other end of a wire, `""` without one."""
    from ..civitai_bridge.metadata.comfy.graph import link_of

    link = link_of(value)
    return link[0] if link else ""


def as_queued(prompt: Graph) -> Graph:
    """The prompt as it was queued, without what core notes in it while it runs."""
    return {
        key: {name: value for name, value in node.items() if name != "is_changed"} if isinstance(node, dict) else node
        for key, node in prompt.items()
    }
