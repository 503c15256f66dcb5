"""ComfyUI's graphs: the prompt as it ran, or the workflow as the page drew it, read from the samplers backwards.

What no sampler sees took no part. A field of a picture that a sampler made and that stays empty is said in a note: a
graph that is not understood is never silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..generation import GenerationData
from ..tables import DECODER
from .decoding import by_role, decoding_vae, finishing, passes_after, said_of, script_pass, upscale_of
from .direction import picture_kind
from .graph import MOST_NODES, Graph, ancestors, graph_of, prompt_nodes
from .latents import size_of
from .models import model_fields
from .prompts import prompts_of
from .remarks import CALLED, EMPTY_PROMPT, MADE_ELSEWHERE, NOT_WRITTEN, Remarks
from .resources import resources_of, unread
from .samplers import first_of_picture, in_turn, samplers_of, settings_of, working_together
from .wires import resolved
from .workflow import prompt_of_workflow

_TOO_MANY = f"The graph has more than {MOST_NODES:,} nodes; the rest is left out."


def read_comfy(prompt: str = "", workflow: str = "") -> GenerationData | None:
    """What ComfyUI's graphs say: the prompt that ran, or where there is none the workflow. None when neither is one."""
    remarks = Remarks()
    texts = {name: text for name, text in (("prompt", prompt), ("workflow", workflow)) if text}
    page = decoded_json(workflow, "workflow", remarks) if workflow else None
    nodes = _nodes_of(decoded_json(prompt, "prompt", remarks), remarks) if prompt else {}
    if not nodes and isinstance(page, Mapping):
        nodes = prompt_of_workflow(page, remarks)
    if not nodes:
        is_graph = bool(remarks.notes) and any("class_type" in text or '"nodes"' in text for text in texts.values())
        return GenerationData(texts=texts, source="comfy", notes=tuple(remarks.notes)) if is_graph else None
    fields = _fields(graph_of(nodes), remarks)
    if isinstance(page, Mapping):
        fields = _with_airs(fields, page)
    return GenerationData(texts=texts, source="comfy", notes=tuple(remarks.notes), **{"engine": "ComfyUI", **fields})


def read_graph(prompt: Mapping[str, Any]) -> GenerationData | None:
    """What a prompt says that is decoded already (the hidden input of a node); None where it is none."""
    remarks = Remarks()
    nodes = _nodes_of(prompt, remarks)
    if not nodes:
        return None
    fields = _fields(graph_of(nodes), remarks)
    return GenerationData(source="comfy", engine="ComfyUI", **fields, notes=tuple(remarks.notes))


def decoded_json(text: str, name: str, remarks: Remarks) -> Any:
    """JSON as ComfyUI writes it, with `NaN` in it, or as the site stores it, with `undefined`; None, with a note, for
    what is cut off."""
    text = text.strip().strip("\0")
    try:
        value, end = DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        try:
            value, end = DECODER.raw_decode(text.replace(":undefined", ":null").replace(": undefined", ": null"))
        except (ValueError, RecursionError):
            remarks.note(f"The {name} graph is cut off or broken: it could not be read.")
            return None
        end = len(text)
    if text[end:].strip():
        remarks.note(f"Behind the {name} graph stands more text, which is left out.")
    return value


def _nodes_of(value: object, remarks: Remarks) -> dict[str, dict[str, Any]]:
    nodes, are_more = prompt_nodes(value)
    if are_more:
        remarks.note(_TOO_MANY)
    return nodes


def _fields(queued: Graph, remarks: Remarks) -> dict[str, Any]:
    """The fields of `GenerationData` that a graph tells."""
    graph = resolved(queued, remarks)
    every = samplers_of(graph)
    fields = _sampled(graph, every, remarks) if every else _listed(graph, remarks)
    if remarks.elsewhere:
        fields["extra"] = {MADE_ELSEWHERE: list(remarks.elsewhere)}
    return fields


def _listed(graph: Graph, remarks: Remarks) -> dict[str, Any]:
    """What a graph without a sampler holds."""
    remarks.note("The graph has no sampler that is known here; its resources are listed as they stand in it.")
    used = list(graph.nodes)
    return {**resources_of(graph, [], used, {}, remarks), "detected_type": picture_kind(graph, [], used, None)}


def _sampled(graph: Graph, every: list[str], remarks: Remarks) -> dict[str, Any]:
    """What the samplers of one picture tell of it: the first its settings, the later ones what they do to it."""
    samplers = in_turn(graph, every)
    together = working_together(graph, samplers)
    if len(together) < len(samplers):
        remarks.note("The graph makes several pictures that have no part in one another; this tells of one of them.")
    first = first_of_picture(graph, together)
    together = [first, *(key for key in together if key != first)]
    used = list(dict.fromkeys((*ancestors(graph, together), *finishing(graph, together, every))))
    fields: dict[str, Any] = {
        **settings_of(graph, first, remarks),
        **prompts_of(graph, first, remarks),
        **size_of(graph, first, remarks),
        **model_fields(graph, first, remarks),
    }
    if (vae := decoding_vae(graph, together)) is not None:
        fields["vae"] = vae
    fields |= resources_of(graph, together, used, fields, remarks)
    passes = passes_after(graph, together)
    fields["others"] = by_role(fields.get("others", ()), passes)
    hires = next((later for later in passes if later.role == "hires"), None)
    fields["upscale"] = script_pass(graph, first) if hires is None else upscale_of(graph, first, hires)
    for later in passes:
        if later.role != "hires":
            remarks.note(said_of(graph, later))
    fields["detected_type"] = picture_kind(graph, together, used, fields.get("denoise"))
    _say_what_is_empty(graph, used, fields, remarks)
    return fields


def _say_what_is_empty(graph: Graph, used: list[str], fields: Mapping[str, Any], remarks: Remarks) -> None:
    """A note for each of prompt, model, seed, steps, size and LoRAs that a picture has and this reading has not."""
    models = ("model_name", "model_air", "model_version_id", "model_id")
    named = {**fields, "model": next((value for name in models if (value := fields.get(name))), None)}
    for name, sentence in NOT_WRITTEN.items():
        began = EMPTY_PROMPT if name == "prompt" else f"{CALLED[name]} is not known"
        if named.get(name) in (None, "") and not any(note.startswith(began) for note in remarks.notes):
            remarks.note(sentence)
            # The size that a picture came from is another's; the rest a wired generation may tell.
            remarks.elsewhere.update({} if name == "width" else {name: None})
    read = [used.name for name in ("networks", "others") for used in fields.get(name, ())]
    read.append(fields.get("model_name", ""))
    for sentence in unread(graph, used, read):
        remarks.note(sentence)


def _with_airs(fields: dict[str, Any], workflow: Mapping[str, Any]) -> dict[str, Any]:
    """With the versions, without weights, that CivitAI's old pack noted on the page (`ckpt_airs`, `lora_airs` …)."""
    extra = workflow.get("extra")
    if not isinstance(extra, Mapping):
        return fields
    noted = {name: extra[name] for name in ("ckpt_airs", "lora_airs", "embedding_airs", "airs") if extra.get(name)}
    engine = {"engine": "Civitai"} if extra.get("airs") else {}
    return {**fields, **({"extra": {**fields.get("extra", {}), **noted}} if noted else {}), **engine}
