"""A picture, a video or a pasted text -> GenerationData: the texts, tried in CivitAI's order, then in ours.

The first that matches wins; all texts are kept, and the notes name what else was found.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from .a1111.reader import read_a1111
from .civitai import generation_from_meta
from .comfy.generator import extra_metadata
from .comfy.reader import read_comfy
from .container.pixels import read_hidden
from .container.reader import VIDEOS, read_texts
from .container.texts import Texts
from .contradictions import settled
from .fooocus import read_fooocus, read_ruined
from .generation import GenerationData
from .invokeai import read_dream, read_invokeai
from .json_formats import read_json_format
from .media_type import detected_type
from .novelai import read_novelai, texts_of_object
from .swarmui import read_swarmui
from .tables import decoded_object

# Where whole texts stand: where CivitAI looks for them, and then where other tools put them.
_TEXTS = (
    "parameters", "UserComment", "Comment", "ImageDescription", "XPComment", "Description", "XPTitle", "XPSubject",
    "XMP tiff:ImageDescription", "XMP exif:UserComment",
    "XMP dc:description", "generation_data", "stealth",
)  # fmt: skip
_JSON: tuple[Callable[[str], GenerationData | None], ...] = (
    read_swarmui, read_ruined, read_fooocus, read_invokeai, read_json_format, generation_from_meta,
)  # fmt: skip
_INVOKE = (("invokeai_metadata", read_invokeai), ("sd-metadata", read_invokeai), ("Dream", read_dream))
_SPELLINGS = {name.casefold(): name for name in (*_TEXTS, "prompt", "workflow", *(name for name, _ in _INVOKE))}
_NAMES = {
    "a1111": "A1111 text", "swarmui": "SwarmUI", "ruinedfooocus": "RuinedFooocus", "fooocus": "Fooocus",
    "comfy": "a ComfyUI graph", "invokeai": "InvokeAI", "novelai": "NovelAI", "easydiffusion": "Easy Diffusion",
    "drawthings": "Draw Things", "tensorart": "TensorArt", "huggingface": "a Space of Hugging Face",
    "civitai-meta": "CivitAI's copied data",
}  # fmt: skip
_OWN_TEXTS = frozenset(("use_stable_diffusion_model", "Stable Diffusion model"))
LARGEST_PASTE = 4 * 2**20  # characters; a longer text is none of one picture


def read_file(source: bytes | bytearray | memoryview | BinaryIO | str | os.PathLike[str]) -> GenerationData:
    """What a picture or video says about how it was made, from its bytes, a seekable file, or a path (OSError is the
    caller's).

    One that says nothing gives an empty value with a note."""
    if isinstance(source, (str, os.PathLike)):
        # Unbuffered: a buffer would read pixels around each chunk header.
        with open(source, "rb", buffering=0) as file:
            return _read_open(file)  # type: ignore[arg-type]
    return _read_open(io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source)


def _read_open(file: BinaryIO) -> GenerationData:
    container = read_texts(file)
    data = generation_from_texts(container.texts, container)
    if data.source == "file" and container.has_alpha:
        read_hidden(file, container)
        data = generation_from_texts(container.texts, container)
    return data


def read_pasted(text: str) -> GenerationData:
    """What a text says that a person pasted: A1111's, a graph (the prompt or the page), or what CivitAI's pages copy.

    A text that says nothing, or is longer than any of one picture, gives an empty value with a note."""
    if len(text) > LARGEST_PASTE:
        note = f"The text is longer than {LARGEST_PASTE:,} characters, so it is not read."
        return GenerationData(source="text", notes=(note,))
    data = generation_from_texts(_pasted_texts(text.strip("\ufeff\0 \t\r\n")))
    if data.source == "file":
        note = "The text is of no kind that is known here." if text.strip() else "The text is empty."
        return replace(data, source="text", notes=(note,))
    return data


def _pasted_texts(text: str) -> dict[str, str]:
    """A pasted text by the name under which a picture would hold it."""
    document = decoded_object(text) if text.startswith("{") else None
    if document is None:
        return {"parameters": text} if text else {}
    if isinstance(document.get("nodes"), list):
        return {"workflow": text}
    graphs = _graphs_of_object(document)
    if "output" in document and "workflow" in graphs:
        graphs["prompt"] = _graph_text(document["output"])
    if graphs:
        return {name: graph for name, graph in graphs.items() if graph}
    return {"prompt" if '"class_type"' in text else "parameters": text}


def generation_from_texts(texts: Mapping[str, str], container: Texts | None = None) -> GenerationData:
    """What a file's texts by name say; `container` tells the rest of the file."""
    readings = list(_readings({_SPELLINGS.get(name.casefold(), name): text for name, text in texts.items()}))
    notes = tuple(container.notes) if container is not None else ()
    kind = container.kind if container is not None else ""
    if not readings:
        sentence = "Its texts are of no kind that is known here." if texts else "It says nothing about how it was made."
        return GenerationData(source="file", notes=(*notes, sentence) if kind or texts else notes, texts=dict(texts))
    first, *others = readings
    if others:
        names = ", ".join(dict.fromkeys(_NAMES[reading.source] for reading in others))
        notes = (*notes, f"The file also holds {names}; what is shown comes from {_NAMES[first.source]}.")
    graph = next((reading for reading in others if reading.source == "comfy"), None)
    if first.source == "a1111" and graph is not None:
        first = settled(first, graph)
    media_type = first.media_type or ("video" if kind in VIDEOS else "image")
    direction = first.detected_type or next((other.detected_type for other in others if other.detected_type), "")
    return replace(
        first,
        texts=dict(texts),
        notes=(*notes, *first.notes),
        detected_type=direction or detected_type(first, media_type=media_type),
    )


def _readings(texts: Mapping[str, str]) -> Iterator[GenerationData]:
    for name in _TEXTS:
        text = texts.get(name, "")
        if not text:
            continue
        may_be_object = text.lstrip("\0 \r\n\t")[:1] == "{"
        reading = next((data for read in _JSON if (data := read(text)) is not None), None) if may_be_object else None
        if reading is None and not (may_be_object and decoded_object(text) is not None):
            reading = read_a1111(text)
        if reading is not None:
            yield reading
            break
    else:
        # Easy Diffusion gives each value a text of its own in a PNG.
        if not _OWN_TEXTS.isdisjoint(texts) and (reading := read_json_format(json.dumps(texts))) is not None:
            yield reading
    prompt, workflow, settings = _graphs(texts)
    if (prompt or workflow) and (reading := read_comfy(prompt, workflow)) is not None:
        yield extra_metadata(reading, settings) if settings else reading
    for name, read in _INVOKE:
        if name in texts and (reading := read(texts[name])) is not None:
            yield reading
            break
    members = texts_of_object(texts.get("UserComment", "")) or texts_of_object(texts.get("stealth", ""))
    if (reading := read_novelai({**texts, **members})) is not None:
        yield reading


def _graphs(texts: Mapping[str, str]) -> tuple[str, str, str]:
    """Prompt, workflow and extra metadata from everywhere they stand: texts of their names, EXIF fields that begin
    with `prompt:` or `workflow:`, one JSON text that holds them (VideoHelperSuite's comment), or one that is a graph
    (CivitAI's generator)."""
    prompt, workflow, settings = texts.get("prompt", ""), texts.get("workflow", ""), ""
    for name in ("Make", "Model", "ImageDescription", "Software"):
        head, colon, rest = texts.get(name, "").partition(":")
        if colon and head.strip().lower() == "prompt":
            prompt = prompt or rest
        elif colon and head.strip().lower() == "workflow":
            workflow = workflow or rest
    for name in ("UserComment", "parameters", "Comment", "Description"):
        text = texts.get(name, "")
        if '"extraMetadata"' in text:
            settings = settings or text
        if text.lstrip()[:1] != "{" or not any(word in text for word in ('"class_type"', '"nodes"', "class_type")):
            continue
        graphs = _graphs_of_object(decoded_object(text) or {})
        if graphs:
            prompt, workflow = prompt or graphs.get("prompt", ""), workflow or graphs.get("workflow", "")
        elif not prompt and '"class_type"' in text:
            prompt = text
    return prompt, workflow, settings


def _graphs_of_object(document: Mapping[str, Any]) -> dict[str, str]:
    """The graphs that are members of an object, as objects or as text."""
    graphs = {name: _graph_text(document.get(name)) for name in ("prompt", "workflow")}
    return {name: text for name, text in graphs.items() if text}


def _graph_text(value: object) -> str:
    if isinstance(value, str):
        return value if value.lstrip()[:1] == "{" else ""
    return json.dumps(value) if isinstance(value, dict) and value else ""
