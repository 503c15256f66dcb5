"""image and read: what made a picture, from CivitAI or from the file itself, and what of it is here."""

from __future__ import annotations

import argparse
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

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif"})


def add_to(commands: Any) -> None:
    """The commands `image` and `read`."""
    image = commands.add_parser("image", help="what CivitAI knows about one of its images")
    image.add_argument("reference", help="an image's id or address, or a post's (its first image)")
    image.set_defaults(run=runs(_image))
    read = commands.add_parser("read", help="what picture files say about how they were made")
    read.add_argument("file", nargs="+", type=Path, help="picture files, or folders with pictures in them")
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
    """The document and the text for one file. Raises OSError."""
    image = await (await app.reader()).file(path, look_up=not offline)
    checked = await (await app.catalog()).check(image.data, ask=False)
    return _document(image, checked), _text(image, checked)


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
