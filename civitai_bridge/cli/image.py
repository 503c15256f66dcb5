"""image and read: what made a picture, from CivitAI or from the file itself, and what of it is here."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..model_files.atomic import reason
from .context import Context

if TYPE_CHECKING:
    from ..catalog.answers import Checked
    from ..catalog.service import CatalogService
    from ..website import ImageData, Reader

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif"})


def add_to(commands: Any) -> None:
    image = commands.add_parser("image", help="what CivitAI knows about one of its images")
    image.add_argument("reference", help="an image's id or address, or a post's (its first image)")
    image.set_defaults(run=lambda frame, arguments: frame.run(_image(frame, arguments)))
    read = commands.add_parser("read", help="what picture files say about how they were made")
    read.add_argument("file", nargs="+", type=Path, help="picture files, or folders with pictures in them")
    read.add_argument("--offline", action="store_true", help="do not ask CivitAI whose the hashes are")
    read.set_defaults(run=lambda frame, arguments: frame.run(_read(frame, arguments)))


async def _image(frame: Context, arguments: argparse.Namespace) -> int:
    async with _rooms(frame) as (reader, desk):
        found = await reader.image(arguments.reference)
        checked = await desk.check(found.data, ask=False)
    document = {**_document(found, checked), "image_id": found.data.image_id, "others": list(found.others)}
    frame.data(document, _text(found, checked))
    return 0


async def _read(frame: Context, arguments: argparse.Namespace) -> int:
    """One document for one file, else a list; a file that cannot be read is named and spoils no other."""
    files = list(_files(arguments.file))
    if not files:
        raise BadInput(f"There is no picture in {', '.join(map(str, arguments.file))}.")
    documents, texts, failed = [], [], 0
    async with _rooms(frame) as (reader, desk):
        with _progress(frame, len(files)) as done:
            for path in files:
                try:
                    found = await reader.file(path, look_up=not arguments.offline)
                except OSError as error:
                    failed += 1
                    why = f"{path}: {reason(error)}."
                    documents.append({"file": str(path), "error": {"code": "not_readable", "message": why}})
                    texts.append(why)
                else:
                    checked = await desk.check(found.data, ask=False)
                    documents.append({"file": str(path), **_document(found, checked)})
                    texts.append(_text(found, checked))
                done()
    single = len(arguments.file) == 1 and not arguments.file[0].is_dir()
    frame.data(documents[0] if single else documents, "\n\n".join(texts))
    return 2 if failed == len(files) else 1 if failed else 0


@asynccontextmanager
async def _rooms(frame: Context) -> AsyncIterator[tuple[Reader, CatalogService]]:
    from ..catalog.service import open_desk
    from ..model_files.folders import known_folders
    from ..website import connect_reader

    async with frame.site() as (settings, network):
        folders, root = known_folders(settings)
        async with open_desk(settings, network, lambda: folders, root) as desk:
            yield connect_reader(settings, network), desk


def _files(given: Sequence[Path]) -> Iterator[Path]:
    """The files that were named, and the pictures in the folders that were named, by name."""
    for one in given:
        if one.is_dir():
            yield from sorted(path for path in one.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
        else:
            yield one


@contextlib.contextmanager
def _progress(frame: Context, total: int) -> Iterator[Any]:
    """A bar for many files, for a person at a terminal."""
    from rich.progress import Progress

    if total < 2 or frame.json or not frame.talk().is_terminal:
        yield lambda: None
        return
    with Progress(console=frame.talk(), transient=True) as bar:
        task = bar.add_task("Reading pictures", total=total)
        yield lambda: bar.advance(task)


def _document(found: ImageData, checked: Checked) -> dict[str, Any]:
    from ..metadata.prompt import clean_prompt

    return {
        "generation": found.data.to_json(),
        "clean_prompt": clean_prompt(found.data.prompt),
        "resources": [answer.as_json() for answer in checked.answers],
        "report": list(found.report),
    }


def _text(found: ImageData, checked: Checked) -> str:
    """For people: what was said, then where the resources are."""
    from ..metadata.prompt import clean_prompt

    data = found.data
    lines = [*found.report]
    if data.prompt:
        lines += ["", clean_prompt(data.prompt)]
    if data.negative_prompt:
        lines += ["", f"Negative prompt: {clean_prompt(data.negative_prompt)}"]
    size = f"{data.width} x {data.height}" if data.width and data.height else None
    settings = {
        "seed": data.seed, "steps": data.steps, "CFG": data.cfg, "sampler": data.sampler or None,
        "scheduler": data.scheduler or None, "size": size, "clip skip": data.clip_skip, "denoise": data.denoise,
    }  # fmt: skip
    if said := ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None):
        lines += ["", f"{said[0].upper()}{said[1:]}."]
    if checked.answers:
        lines += ["", "In the catalogs:", *(f"  {answer.report}" for answer in checked.answers)]
    return "\n".join(lines)
