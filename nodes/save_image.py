"""Save Image: a file that tells the truth about its picture and that CivitAI's uploader recognises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..civitai_bridge.settings import BADGE
from .base import Node, output, schema
from .host import comfyui
from .host.services import services
from .provenance import as_queued, of_these_pictures
from .sockets import Generation

if TYPE_CHECKING:
    from ..civitai_bridge.metadata.generation import GenerationData
    from ..civitai_bridge.metadata.write import PictureText
    from ..civitai_bridge.model_files.index import HashIndex

Encode = Callable[[Any, int, int], tuple[bytes, list[str]]]  # picture, its place in the batch, the batch's length
_ENDINGS = {"png": "png", "webp": "webp", "jpeg": "jpg"}
_JPEG_ROOM = 65_527  # what one EXIF segment of a JPEG holds


class CivitaiBridgeSaveImage(Node):
    """Save Image: pictures in, files out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeSaveImage",
            display_name="CivitAI Save Image",
            description="Saves pictures with what made them, so that CivitAI's uploader recognises model and LoRAs. "
            "Local pictures are described by the graph that ran, fleet pictures by what the fleet did.",
            search_aliases=["civitai", "save", "metadata", "a1111", "upload"],
            inputs=[
                io.Image.Input("images", tooltip="Each picture of the batch becomes a file."),
                io.String.Input(
                    "filename_prefix",
                    default="ComfyUI",
                    tooltip="As in ComfyUI's Save Image: folders and %year%, %month%, %day%, %width% … are understood.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(_ENDINGS),
                    default="png",
                    tooltip="PNG keeps every pixel; WebP and JPEG at quality 95.",
                ),
                Generation.Input(
                    "generation",
                    optional=True,
                    tooltip="From Generate: used as it is. From elsewhere: adds what the graph cannot say.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    async def execute(
        cls,
        images: Any,
        filename_prefix: str = "ComfyUI",
        format: str = "png",
        generation: GenerationData | None = None,
    ) -> io.NodeOutput:
        from ..civitai_bridge.metadata.comfy.graph import upstream

        graph, node = as_queued(getattr(cls.hidden, "prompt", None) or {}), str(cls.node_id())
        # Only what leads to these pictures: another branch of the graph made others.
        leading = upstream(graph, node, "images")
        generation, notes = of_these_pictures(generation, graph, node, leading)
        text = await cls.look(lambda _: _picture_text(leading, generation), "Looking up the files' hashes")
        graphs: dict[str, str] = {}
        if comfyui.metadata_is_off():
            text = replace(text, text="")
        else:
            embedded = {"prompt": graph, **(getattr(cls.hidden, "extra_pnginfo", None) or {})}
            graphs = {str(name): json.dumps(value) for name, value in embedded.items() if value or name != "prompt"}
        encode = partial(_encode, text, format, graphs)
        files, lines = await asyncio.to_thread(_save_all, images, filename_prefix, encode, _ENDINGS[format])
        badge = [BADGE] if generation is not None and generation.source == "sandbox" else []
        return output(images=files, report="\n".join([*badge, *notes, *text.lines, *lines]))


async def _picture_text(graph: dict[str, Any], generation: GenerationData | None) -> PictureText:
    """The text, with the hashes of the files that the graph names as far as they are known. A picture is saved
    whatever becomes of that."""
    from ..civitai_bridge.catalog.loader_names import with_applied_files, with_files
    from ..civitai_bridge.errors import CivitaiError
    from ..civitai_bridge.metadata.write import picture_text

    def write(index: HashIndex) -> PictureText:
        files, owners = index.files(), index.owners()
        is_applied = any(entry.get("class_type") == "CivitaiBridgeApplyLoras" for entry in graph.values())
        wired = with_applied_files(generation, files, owners) if generation and is_applied else generation
        return picture_text(graph, wired, known=lambda data: with_files(data, files, owners))

    try:
        return await asyncio.to_thread(write, (await services().catalog()).index)
    except CivitaiError as error:
        text = await asyncio.to_thread(picture_text, graph, generation)
        return replace(text, lines=(*text.lines, f"The files' hashes could not be looked up: {error}"))


def _save_all(images: Any, prefix: str, encode: Encode, ending: str) -> tuple[list[dict[str, str]], list[str]]:
    """Every picture of the batch under the next free number; what is shown by the page, and what is worth saying.
    Raises StateTrouble."""
    import folder_paths

    from ..civitai_bridge.errors import StateTrouble
    from ..civitai_bridge.model_files.atomic import place_new, reason

    height, width = images.shape[1:3]
    root = folder_paths.get_output_directory()
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, root, width, height)
    saved, lines = [], []
    for index in range(images.shape[0]):
        batched = name.replace("%batch_num%", str(index))
        content, notes = encode(images[index], index, images.shape[0])
        try:
            path = place_new(Path(folder), _names(batched, counter, ending), content)
        except OSError as error:
            raise StateTrouble(
                f"Picture {index + 1} of {images.shape[0]} could not be saved in {folder}: {reason(error)}."
            ) from error
        counter += 1
        saved.append({"filename": path.name, "subfolder": subfolder, "type": "output"})
        lines += notes
        lines += _read_back(path) if index == 0 else []
    return saved, list(dict.fromkeys(lines))


def _encode(
    text: PictureText, format: str, graphs: dict[str, str], image: Any, index: int, count: int
) -> tuple[bytes, list[str]]:
    """One picture's bytes with its own text and the graphs beside it, and what had to be left out."""
    from ..civitai_bridge.metadata.a1111.write import write_a1111
    from ..civitai_bridge.metadata.container.exif import exif_of
    from ..civitai_bridge.pictures import encode

    pixels = image.detach().cpu().float().numpy()
    parameters = write_a1111(_of_picture(text.data, index, count)) if text.text else ""
    if format == "png":
        return encode(pixels, "png", texts={"parameters": parameters, **graphs} if parameters else graphs), []
    prompt, workflow = graphs.get("prompt", ""), graphs.get("workflow", "")
    largest = _JPEG_ROOM if format == "jpeg" else None
    exif, note = exif_of(parameters, prompt=prompt, workflow=workflow, largest=largest)
    content = encode(pixels, format, exif=exif if parameters or prompt or workflow else b"")
    return content, [note] if note else []


def _of_picture(data: GenerationData, index: int, count: int) -> GenerationData:
    """The data of one picture of a batch: picture i of a purchase was made with seed + i. What the sandbox made says
    so."""
    if data.source == "sandbox":
        data = replace(data, extra={**data.extra, "SANDBOX": "nothing of this is real"})
    if data.workflow_id and data.seed is not None and len(data.arrived) == count:
        return replace(data, seed=data.seed + data.arrived[index], arrived=(), missing={})
    return data


def _names(name: str, counter: int, ending: str) -> Iterator[str]:
    return (f"{name}_{number:05}_.{ending}" for number in range(counter, counter + 100_000))


def _read_back(path: Path) -> list[str]:
    """What CivitAI's uploader will make of the file as it is on disk."""
    from ..civitai_bridge.metadata.container.reader import read_texts
    from ..civitai_bridge.metadata.write import judgement, recognised

    with open(path, "rb", buffering=0) as file:
        texts = read_texts(file).texts  # type: ignore[arg-type]
    text = texts.get("parameters") or texts.get("UserComment") or ""
    return list(judgement(text, recognised(text)))
