"""An A1111 text beside the graph that ran: where it contradicts the graph, the graph is taken, and a note says so.

Nodes that save pictures write what is put into them, which may be nothing ("unknown", seed 0); a graph tells what ran.
What only one of the two says stays, and so does a text that says the same in more or fewer words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .comfy.remarks import MADE_ELSEWHERE
from .generation import GenerationData
from .prompt import clean_prompt, name_key
from .quantities import shown

_COMPARED: tuple[tuple[str, str], ...] = (
    ("prompt", "the prompt"), ("negative_prompt", "the negative prompt"), ("seed", "the seed"), ("steps", "the steps"),
    ("cfg", "CFG"), ("sampler", "the sampler"), ("scheduler", "the scheduler"),
)  # fmt: skip
_PROMPTS = ("prompt", "negative_prompt")
_MODEL = ("model_air", "model_name", "model_version_id", "model_id", "base_model", "model_hash")
_RESOURCES = ("networks", "embeddings", "others")
# Fields whose contradiction shows that a text was not filled in from this graph.
_TELLING = ("prompt", "seed", "model_name")
# What a graph holds of a text whose words were drawn when it ran, so that only the text tells them.
_DRAWN = re.compile(r"__[^\s_][^\n]*?__|\{[^{}]*\|[^{}]*\}")
# Nodes whose pictures a service makes: what stands in them are wishes, the text tells what came.
_SERVICES = ('"CivitaiBridgeGenerate', '"CivitaiImageGen', '"CivitaiVideoGen')
_UNSAID = (None, "")


def settled(text: GenerationData, graph: GenerationData) -> GenerationData:
    """The data of a text, set right by the graph of the same file where that tells of a sampler."""
    queued = graph.texts.get("prompt", "")
    if (graph.seed is None and graph.steps is None) or not queued or any(name in queued for name in _SERVICES):
        return text
    open_fields = graph.extra.get(MADE_ELSEWHERE, ())
    fields: dict[str, Any] = {}
    notes: list[str] = []
    for name, title in _COMPARED:
        of_text, of_graph = getattr(text, name), getattr(graph, name)
        if of_graph in _UNSAID or name in open_fields or (of_text in _UNSAID and name not in _PROMPTS[:1]):
            continue
        if _contradict(name, of_text, of_graph):
            fields[name] = of_graph
            notes.append(f"The text says {title} is {shown(of_text)}, the graph that ran {shown(of_graph)}.")
    fields |= _model(text, graph, notes)
    fields |= _size(text, graph, notes)
    if not any(name in fields for name in _TELLING):
        return text if not fields else replace(text, **fields, notes=(*text.notes, *notes))
    for name in _RESOURCES:
        if not getattr(text, name):
            fields[name] = getattr(graph, name)
    return replace(text, **fields, notes=(*text.notes, *notes))


def _contradict(name: str, of_text: object, of_graph: object) -> bool:
    """Whether two values cannot both be true: prompts do only where neither holds all words of the other."""
    if name not in _PROMPTS:
        return of_text != of_graph
    if _DRAWN.search(str(of_graph)):
        return False
    words_of_text, words_of_graph = _words(of_text), _words(of_graph)
    return not (words_of_text <= words_of_graph if words_of_text else False) and not words_of_graph <= words_of_text


def _words(prompt: object) -> set[str]:
    """The words of a prompt without the tags and marks that savers add or take away."""
    return set(re.findall(r"\w+", clean_prompt(str(prompt)).replace("embedding:", " ").casefold()))


def _model(text: GenerationData, graph: GenerationData, notes: list[str]) -> Mapping[str, Any]:
    """The graph's model where the text names another; a name that is a part of the other's is the same."""
    if not text.model_name or not graph.model_name:
        return {}
    of_text, of_graph = name_key(text.model_name), name_key(graph.model_name)
    if of_text in of_graph or of_graph in of_text:
        return {}
    notes.append(f"The text says the model is {shown(text.model_name)}, the graph that ran {shown(graph.model_name)}.")
    return {name: getattr(graph, name) for name in _MODEL}


def _size(text: GenerationData, graph: GenerationData, notes: list[str]) -> Mapping[str, Any]:
    """The graph's size where the text says another; a larger one of a picture that was enlarged is its own."""
    sizes = [(data.width, data.height) for data in (text, graph)]
    enlarged = graph.upscale is not None or any(used.kind == "upscaler" for used in graph.others)
    if sizes[0] == sizes[1] or None in (*sizes[0], *sizes[1]) or enlarged or text.upscale is not None:
        return {}
    notes.append("The text says the size is {}x{}, the graph that ran {}x{}.".format(*sizes[0], *sizes[1]))
    return {"width": graph.width, "height": graph.height}
