"""Save Image: a file that tells the truth about its picture and that CivitAI's uploader recognises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import host
from .sockets import Generation, node_id, schema

if TYPE_CHECKING:
    from ..civitai_bridge.metadata.generation import GenerationData
    from ..civitai_bridge.metadata.write import PictureText

_ENDINGS = {"png": "png", "webp": "webp", "jpeg": "jpg"}
_JPEG_ROOM = 65_527  # what one EXIF segment of a JPEG holds


class CivitaiBridgeSaveImage(io.ComfyNode):
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

        graph, node = written(getattr(cls.hidden, "prompt", None) or {}), str(node_id(cls))
        # Only what leads to these pictures: another branch of the graph made others.
        mine = upstream(graph, node, "images")
        generation, notes = of_these_pictures(generation, graph, node, mine)
        told = await host.interruptible(lambda _: _told(mine, generation), node_id(cls))
        told, graphs = replace(told, lines=(*notes, *told.lines)), {}
        if host.metadata_is_off():
            told = replace(told, text="")
        else:
            said = {"prompt": graph, **(getattr(cls.hidden, "extra_pnginfo", None) or {})}
            graphs = {str(name): json.dumps(value) for name, value in said.items() if value or name != "prompt"}
        save = partial(_save, told, format, graphs)
        saved, lines = await asyncio.to_thread(_save_all, images, filename_prefix, save, _ENDINGS[format])
        report = host.marked("\n".join([*_said(told, generation), *lines]))
        return io.NodeOutput(ui={"images": saved, "text": [report]})


_FLEET = ("CivitaiBridgeGenerate", "CivitaiBridgeWorkflowImages")


def of_these_pictures(
    generation: GenerationData | None, graph: dict[str, Any], node: str, mine: dict[str, Any]
) -> tuple[GenerationData | None, list[str]]:
    """A wired generation as far as it is true of the pictures on `images`, and a line for each part that is not.

    The fleet's own word is taken as it is where the pictures come straight from it; where a local sampler made them,
    workflow and price are another picture's. Of the LoRAs only those that were really applied are taken."""
    if generation is None:
        return None, []
    lines: list[str] = []
    inputs = graph.get(node, {}).get("inputs", {})
    source = str((graph.get(_from(inputs.get("images"))) or {}).get("class_type", ""))
    if generation.workflow_id and not source.startswith((*_FLEET, "CivitaiBridgeReadImage")):
        kinds = [str(one.get("class_type", "")) for one in mine.values()]
        sampled = any("sampler" in kind.lower() and not kind.startswith("Civitai") for kind in kinds)
        if sampled or not any(kind.startswith(_FLEET) for kind in kinds):
            generation = replace(generation, workflow_id="", cost=None, arrived=(), missing={})
            lines.append(
                "The pictures do not come from the wired generation's workflow, so its id and price are left out."
            )
        elif len(generation.arrived) > 1 and generation.seed is not None:
            generation = replace(generation, seed=None)
            lines.append("The pictures were chosen or changed after the fleet made them, so the seed is left out.")
    for one in mine.values():
        if one.get("class_type") == "CivitaiBridgeApplyLoras":
            generation = _with_applied(generation, one.get("inputs", {}), inputs, lines)
    return generation, lines


def _with_applied(
    generation: GenerationData, apply: dict[str, Any], save: dict[str, Any], lines: list[str]
) -> GenerationData:
    """The generation with those LoRAs alone that Apply LoRAs took from it."""
    from ..civitai_bridge.metadata.generation import LORAS, loras_of
    from .loras import applied

    if _from(apply.get("loras")) != _from(save.get("generation")):
        lines.append(
            "The LoRAs that were applied come from another node than the wired generation; its own are left out."
        )
        return replace(generation, networks=tuple(one for one in generation.networks if one.kind not in LORAS))
    used = applied(loras_of(generation))
    if used is None or all(used):
        return generation
    flags, kept = iter(used), []
    for one in generation.networks:
        if one.kind not in LORAS or next(flags, True):
            kept.append(one)
        else:
            lines.append(f"LoRA {one.name or one.air} was not applied, so it is not written.")
    return replace(generation, networks=tuple(kept))


def _from(value: Any) -> str:
    """The node at the other end of a wire, `""` without one."""
    from ..civitai_bridge.metadata.comfy.graph import link_of

    link = link_of(value)
    return link[0] if link else ""


def written(prompt: dict[str, Any]) -> dict[str, Any]:
    """The prompt as it was queued, without what core notes in it while it runs."""
    return {
        key: {name: value for name, value in node.items() if name != "is_changed"} if isinstance(node, dict) else node
        for key, node in prompt.items()
    }


async def _told(graph: dict[str, Any], generation: GenerationData | None) -> PictureText:
    """The text, with the hashes of the files that the graph names as far as they are known. A picture is
    saved whatever becomes of that."""
    from ..civitai_bridge.catalog.loader_names import with_files
    from ..civitai_bridge.errors import CivitaiError
    from ..civitai_bridge.metadata.write import picture_text

    def tell(index: Any) -> PictureText:
        return picture_text(graph, generation, known=lambda data: with_files(data, index.files(), index.owners()))

    try:
        return await asyncio.to_thread(tell, (await host.desk()).index)
    except CivitaiError as error:
        told = await asyncio.to_thread(picture_text, graph, generation)
        return replace(told, lines=(*told.lines, f"The files' hashes could not be looked up: {error}"))


def _save_all(images: Any, prefix: str, save: Any, ending: str) -> tuple[list[dict[str, str]], list[str]]:
    """Every picture of the batch under the next free number; what is shown by the page, and what is worth saying."""
    import folder_paths

    from ..civitai_bridge.errors import StateTrouble
    from ..civitai_bridge.model_files.atomic import place_new

    height, width = images.shape[1:3]
    output = folder_paths.get_output_directory()
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, width, height)
    saved, lines = [], []
    for index in range(images.shape[0]):
        batched = name.replace("%batch_num%", str(index))
        content, said = save(images[index], index, images.shape[0])
        try:
            path = place_new(Path(folder), _names(batched, counter, ending), partial(_write, content))
        except OSError as error:
            raise StateTrouble(
                f"Picture {index + 1} of {images.shape[0]} could not be saved in {folder}: {error.strerror or error}."
            ) from error
        counter += 1
        saved.append({"filename": path.name, "subfolder": subfolder, "type": "output"})
        lines += said
        lines += _read_back(path) if index == 0 else []
    return saved, list(dict.fromkeys(lines))


def _save(
    told: PictureText, format: str, graphs: dict[str, str], image: Any, index: int, of: int
) -> tuple[bytes, list[str]]:
    """One picture's bytes with its own text and the graphs beside it."""
    from ..civitai_bridge.metadata.a1111.reader import write_a1111
    from ..civitai_bridge.metadata.write import exif_of
    from ..civitai_bridge.pictures import encode

    pixels = image.detach().cpu().float().numpy()
    text = write_a1111(_of_picture(told.data, index, of)) if told.text else ""
    if format == "png":
        return encode(pixels, "png", texts={"parameters": text, **graphs} if text else graphs), []
    prompt, drawn = graphs.get("prompt", ""), graphs.get("workflow", "")
    exif, said = exif_of(text, prompt=prompt, workflow=drawn, largest=_JPEG_ROOM if format == "jpeg" else None)
    return encode(pixels, format, exif=exif if text or prompt or drawn else b""), [said] if said else []


def _of_picture(data: GenerationData, index: int, of: int) -> GenerationData:
    """The data of one picture of a batch: picture i of a purchase was made with seed + i. What the sandbox made says
    so."""
    if data.source == "sandbox":
        data = replace(data, extra={**data.extra, "SANDBOX": "nothing of this is real"})
    if data.workflow_id and data.seed is not None and len(data.arrived) == of:
        return replace(data, seed=data.seed + data.arrived[index], arrived=(), missing={})
    return data


def _names(name: str, counter: int, ending: str) -> Iterator[str]:
    return (f"{name}_{number:05}_.{ending}" for number in range(counter, counter + 100_000))


def _write(content: bytes, part: Path) -> None:
    part.write_bytes(content)


def _read_back(path: Path) -> list[str]:
    """What CivitAI's uploader will make of the file as it lies there (facts/site-api.md §2)."""
    from ..civitai_bridge.metadata.container.reader import read_texts
    from ..civitai_bridge.metadata.write import judgement, recognised

    with open(path, "rb", buffering=0) as file:
        texts = read_texts(file).texts  # type: ignore[arg-type]
    text = texts.get("parameters") or texts.get("UserComment") or ""
    return list(judgement(text, recognised(text)))


def _said(told: PictureText, generation: GenerationData | None) -> list[str]:
    """What is worth saying before the file is read back: what the uploader makes of it, the file itself tells."""
    from ..civitai_bridge.settings import BADGE

    return [BADGE, *told.lines] if generation is not None and generation.source == "sandbox" else [*told.lines]
