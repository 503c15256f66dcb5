"""A picture -> GenerationData: the texts in the file, tried in CivitAI's order (facts/site-api.md §2.3), then ours.

The first that matches has the word; all texts are kept, and the notes name what else was found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO

from .a1111.reader import read_a1111
from .comfy.generator import extra_metadata
from .comfy.reader import read_comfy
from .container.reader import read_texts
from .container.texts import Texts
from .contradictions import settled
from .fooocus import read_fooocus, read_ruined
from .generation import GenerationData
from .invokeai import read_invokeai
from .media_type import detected_type
from .novelai import read_novelai
from .swarmui import read_swarmui
from .tables import decoded_object

# Where whole texts stand, in the site's order and then where other tools put them.
_TEXTS = ("parameters", "UserComment", "Comment", "ImageDescription", "XPComment", "Description")
_JSON: tuple[Callable[[str], GenerationData | None], ...] = (read_swarmui, read_ruined, read_fooocus, read_invokeai)
_INVOKE = ("invokeai_metadata", "sd-metadata")
_NAMES = {
    "a1111": "A1111 text", "swarmui": "SwarmUI", "ruinedfooocus": "RuinedFooocus", "fooocus": "Fooocus",
    "comfy": "a ComfyUI graph", "invokeai": "InvokeAI", "novelai": "NovelAI",
}  # fmt: skip


def read_file(source: bytes | bytearray | memoryview | BinaryIO | str | os.PathLike[str]) -> GenerationData:
    """What a picture says about how it was made, from its bytes, a seekable file, or a path (OSError is the caller's).

    A picture that says nothing gives an empty value with a note."""
    if isinstance(source, (str, os.PathLike)):
        # Unbuffered: a buffer would read pixels around each chunk header.
        with open(source, "rb", buffering=0) as file:
            found = read_texts(file)  # type: ignore[arg-type]
    else:
        found = read_texts(source)
    return generation_from_texts(found.texts, found)


def generation_from_texts(texts: Mapping[str, str], container: Texts | None = None) -> GenerationData:
    """The same from a file's texts by name."""
    found = list(_readings(texts))
    notes = tuple(container.notes) if container is not None else ()
    kind = container.kind if container is not None else ""
    if not found:
        said = "Its texts are of no kind that is known here." if texts else "It says nothing about how it was made."
        return GenerationData(source="file", notes=(*notes, said) if kind or texts else notes, texts=dict(texts))
    first, *others = found
    if others:
        names = ", ".join(dict.fromkeys(_NAMES[one.source] for one in others))
        notes = (*notes, f"The file also holds {names}; what is shown comes from {_NAMES[first.source]}.")
    graph = next((one for one in others if one.source == "comfy"), None)
    if first.source == "a1111" and graph is not None:
        first = settled(first, graph)
    known = first.detected_type or next((one.detected_type for one in others if one.detected_type), "")
    return replace(
        first,
        texts=dict(texts),
        notes=(*notes, *first.notes),
        detected_type=known or detected_type(first, media_type="image"),
    )


def _readings(texts: Mapping[str, str]) -> Iterator[GenerationData]:
    for name in _TEXTS:
        text = texts.get(name, "")
        if not text:
            continue
        readers = _JSON if text.lstrip("\0 \r\n\t")[:1] == "{" and decoded_object(text) is not None else (read_a1111,)
        one = next((made for read in readers if (made := read(text)) is not None), None)
        if one is not None:
            yield one
            break
    prompt, workflow, more = _graphs(texts)
    if (prompt or workflow) and (one := read_comfy(prompt, workflow)) is not None:
        yield extra_metadata(one, more) if more else one
    for name in _INVOKE:
        if name in texts and (one := read_invokeai(texts[name])) is not None:
            yield one
            break
    if (one := read_novelai(texts)) is not None:
        yield one


def _graphs(texts: Mapping[str, str]) -> tuple[str, str, str]:
    """Prompt, workflow and extra metadata from everywhere they stand (facts/site-api.md §2.7): PNG texts, EXIF fields
    that begin with `prompt:` or `workflow:`, or one JSON text that holds them."""
    prompt, workflow, more = texts.get("prompt", ""), texts.get("workflow", ""), ""
    for name in ("Make", "Model", "ImageDescription", "Software"):
        text = texts.get(name, "")
        head, colon, rest = text.partition(":")
        if colon and head.strip().lower() == "prompt":
            prompt = prompt or rest
        elif colon and head.strip().lower() == "workflow":
            workflow = workflow or rest
    for name in ("UserComment", "parameters"):
        text = texts.get(name, "")
        if '"extraMetadata"' in text:
            more = more or text
        if not prompt and '"class_type"' in text and text.lstrip()[:1] == "{":
            prompt = text
    return prompt, workflow, more
