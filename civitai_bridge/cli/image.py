"""image and read: what made a picture, from CivitAI or from the file itself, and what of it is here."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..model_files.atomic import reason
from .console import ProgressBar
from .context import Context, runs

if TYPE_CHECKING:
    from ..app import App
    from ..catalog.answers import Checked
    from ..website import ImageData

_STILL = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".jxl", ".gif", ".tif", ".tiff")
PICTURES = frozenset((*_STILL, ".mp4", ".m4v", ".mov", ".webm", ".mkv"))
STANDARD_INPUT = Path("-")
_LARGEST_INPUT = 64 * 2**20  # bytes of standard input


def add_to(commands: Any) -> None:
    """The commands `image` and `read`."""
    image = commands.add_parser("image", help="what CivitAI knows about one of its images")
    image.add_argument("reference", help="an image's id or address, or a post's (its first image)")
    image.set_defaults(run=runs(_image))
    read = commands.add_parser("read", help="what picture files say about how they were made")
    read.add_argument(
        "file", nargs="+", type=Path, help="pictures, videos, folders of them, or - for a text on standard input"
    )
    read.add_argument("--offline", action="store_true", help="do not ask CivitAI whose the hashes are")
    read.set_defaults(run=runs(_read))


async def _image(context: Context, arguments: argparse.Namespace) -> int:
    async with context.marked_app() as app:
        image = await (await app.reader()).image(arguments.reference)
        checked = await (await app.catalog()).check(image.data, ask=False)
    document = {**_document(image, checked), "image_id": image.data.image_id, "others": list(image.others)}
    context.data(document, _text(image, checked))
    return 0


async def _read(context: Context, arguments: argparse.Namespace) -> int:
    """One document for one file, else a list; a file that cannot be read is named and spoils no other."""
    files = list(_pictures(arguments.file))
    if not files:
        raise BadInput(f"There is no picture in {', '.join(map(str, arguments.file))}.")
    documents, texts, failed = [], [], 0
    async with context.marked_app() as app:
        with ProgressBar(context) as bar:
            for number, path in enumerate(files, 1):
                try:
                    document, text = await _read_file(app, path, offline=arguments.offline)
                except OSError as error:
                    failed += 1
                    text = f"{path}: {reason(error)}."
                    document = {"error": {"code": "not_readable", "message": text}}
                documents.append({"file": str(path), **document})
                texts.append(text)
                if len(files) > 1:
                    bar.show("Reading pictures", number, len(files))
    single = len(arguments.file) == 1 and not arguments.file[0].is_dir()
    context.data(documents[0] if single else documents, "\n\n".join(texts))
    return 2 if failed == len(files) else 1 if failed else 0


async def _read_file(app: App, path: Path, *, offline: bool) -> tuple[dict[str, Any], str]:
    """The document and the text for one file, or for what stands on standard input. Raises OSError."""
    reader = await app.reader()
    source = await asyncio.to_thread(_standard_input) if path == STANDARD_INPUT else path
    if isinstance(source, str):
        image = await reader.text(source, look_up=not offline)
    else:
        image = await reader.file(source, look_up=not offline)
    checked = await (await app.catalog()).check(image.data, ask=False)
    return _document(image, checked), _text(image, checked)


def _standard_input() -> str | bytes:
    """The text on standard input, in UTF-8 or with a mark in UTF-16; bytes where it is no text. Raises BadInput for
    more than a picture has."""
    stream = getattr(sys.stdin, "buffer", sys.stdin)  # a console without bytes has text
    data = stream.read(_LARGEST_INPUT + 1)
    if len(data) > _LARGEST_INPUT:
        raise BadInput(f"There are more than {_LARGEST_INPUT // 2**20} MB on standard input; name the file instead.")
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        return data


def _pictures(paths: Sequence[Path]) -> Iterator[Path]:
    """The files that were named, and the pictures in the folders that were named, by name."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES and file.is_file())
        else:
            yield path


def _document(image: ImageData, checked: Checked) -> dict[str, Any]:
    from ..metadata.prompt import clean_prompt

    return {
        "generation": image.data.to_json(),
        "clean_prompt": clean_prompt(image.data.prompt),
        "resources": [answer.as_json() for answer in checked.answers],
        "report": list(image.report),
    }


def _text(image: ImageData, checked: Checked) -> str:
    """For people: what made the picture, then where its resources are."""
    from ..metadata.prompt import clean_prompt

    data = image.data
    lines = [*image.report]
    if data.prompt:
        lines += ["", clean_prompt(data.prompt)]
    if data.negative_prompt:
        lines += ["", f"Negative prompt: {clean_prompt(data.negative_prompt)}"]
    size = f"{data.width} x {data.height}" if data.width and data.height else None
    settings = {
        "seed": data.seed, "steps": data.steps, "CFG": data.cfg, "sampler": data.sampler or None,
        "scheduler": data.scheduler or None, "size": size, "clip skip": data.clip_skip, "denoise": data.denoise,
    }  # fmt: skip
    if listed := ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None):
        lines += ["", f"{listed[0].upper()}{listed[1:]}."]
    if checked.answers:
        lines += ["", "In the catalogs:", *(f"  {answer.report}" for answer in checked.answers)]
    return "\n".join(lines)
