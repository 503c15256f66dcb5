"""`image:txt2img` and `image:img2img`: pictures made on this ComfyUI, where its person allows it.

The final status has `images` (base64 texts, PNG or WebP), `params` as they were really used, with the seed, and `notes`
in sentences, where something is not quite what was asked."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...errors import BadInput
from ...metadata.samplers import to_label, to_schedule_label
from ..command import Command, LinkContext, Report
from .files import FileFinder, ModelFiles
from .graph import GraphJob, Sampled, build_graph, sampled
from .prompt import Prompts, read_prompts
from .request import ImageRequest, read_request
from .results import LARGEST_MESSAGE, Fitting
from .sources import Canvas, check_source, load_picture, prepare

TXT2IMG, IMG2IMG = "image:txt2img", "image:img2img"
_ENVELOPE = 2000  # bytes of a status beside the fields of here
_LOGGED = 200  # characters of a prompt in the person's log


def _random_seed() -> int:
    return secrets.randbelow(2**32)


async def generate_images(
    command: Command, context: LinkContext, report: Report, *, random_seed: Callable[[], int] = _random_seed
) -> Mapping[str, Any]:
    """The handler of both commands. Raises BadInput and its kin for what cannot be done, with a sentence for the room;
    cancelled, it takes its prompt out of ComfyUI's queue or stops it."""
    if not context.settings.link_generate:
        raise BadInput("This ComfyUI makes no pictures for Civitai Link: its setting link_generate is off.")
    if context.generate is None:
        raise BadInput("Pictures are made by ComfyUI, and this Link agent runs without one.")
    request = read_request(command.fields, context.settings, random_seed, edits=command.type == IMG2IMG)
    for text, name in _source_texts(request):
        check_source(text, name, context.settings)
    files, prompts, notes = await asyncio.to_thread(_look_up, request, context)
    canvas, values = None, sampled(request, files.family)

    async def make_job() -> GraphJob:
        """When its turn comes: until then no picture is in memory."""
        nonlocal canvas, values
        if request.init_image:
            canvas = await _canvas(request, files.family.side, context)
            values = sampled(request, files.family, canvas.size)
        sources = await asyncio.to_thread(canvas.sources) if canvas else None
        return build_graph(request, files, prompts, values, sources, again=uuid.uuid4().hex)

    context.note(f"{request.count} × {files.model}: {request.prompt[:_LOGGED]}")
    pictures = await context.generate(make_job, lambda fraction: report(max(1.0, min(99.0, 100 * fraction))))
    fields: dict[str, Any] = {"params": _params(request, values), "notes": notes + _remarks(request, files, canvas)}
    return await asyncio.to_thread(_final, fields, pictures, canvas)


def _source_texts(request: ImageRequest) -> list[tuple[str, str]]:
    """The pictures that a request names, each with its field."""
    named = ((request.init_image, "initImage"), (request.mask_image, "maskImage"))
    return [(text, name) for text, name in named if text]


def _look_up(request: ImageRequest, context: LinkContext) -> tuple[ModelFiles, Prompts, list[str]]:
    index, mismatch = context.catalog.index, context.settings.lora_family_mismatch
    is_scanning = context.catalog.scanning is not None
    finder = FileFinder(index.files(), index.owner_of, mismatch, is_scanning=is_scanning)
    files = finder.model_files(request)
    return files, read_prompts(request, finder, files.family), finder.notes


async def _canvas(request: ImageRequest, side: int, context: LinkContext) -> Canvas:
    settings = context.settings
    loads = [await load_picture(text, name, settings, context.fetch) for text, name in _source_texts(request)]
    init, mask = loads[0], loads[1] if request.mask_image else None
    return await asyncio.to_thread(prepare, request, init, mask, side, settings.link_max_side)


def _remarks(request: ImageRequest, files: ModelFiles, canvas: Canvas | None) -> list[str]:
    """What differs from what a room may expect."""
    notes = []
    family = files.family
    if family.guidance and request.negative_prompt:
        notes.append(f"{family.name} takes no negative prompt; cfgScale is its guidance.")
    if request.clip_skip > 1 and not family.clip_skip:
        notes.append(f"{family.name} has no clip skip.")
    if canvas is not None and request.masked_only:
        notes.append(f"Only the masked part was sampled, with {canvas.size[0]} x {canvas.size[1]} pixels.")
    elif canvas is not None and not (request.width and request.height):
        notes.append(f"The size is that of initImage: {canvas.size[0]} x {canvas.size[1]}.")
    return notes


def _params(request: ImageRequest, values: Sampled) -> dict[str, Any]:
    """What was really sampled, in the words of the command."""
    label = f"{to_label(values.sampler)} {to_schedule_label(values.scheduler)}"
    params: dict[str, Any] = {
        "prompt": request.prompt, "negativePrompt": request.negative_prompt, "sampler": label, "seed": request.seed,
        "steps": values.steps, "width": values.width, "height": values.height, "cfgScale": values.cfg,
    }  # fmt: skip
    if request.clip_skip:
        params["clipSkip"] = request.clip_skip
    if request.init_image:
        params |= {"denoiseStrength": request.denoise, "maskedOnly": request.masked_only}
    return params


def _final(fields: dict[str, Any], pictures: Sequence[bytes], canvas: Canvas | None) -> dict[str, Any]:
    """The fields with the pictures in them, together no more than one message holds; slow, for a thread of its own."""
    from PIL import Image

    notes: list[str] = fields["notes"]
    room = LARGEST_MESSAGE - _ENVELOPE - len(json.dumps(fields)) - 100 * len(pictures)
    fitting = Fitting(len(pictures), room)
    images = []
    for content in pictures:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as opened:
            picture = opened.convert("RGB")
        images.append(fitting.add(canvas.finished(picture) if canvas else picture))
    return {"images": images, **fields, "notes": [*notes, *fitting.notes]}
