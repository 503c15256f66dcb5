"""catalog and download: what is here, what is missing, what may be added, and getting it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import ProgressBar, stopped_by_ctrl_c, table
from .context import Command, Context, accept_json, runs

if TYPE_CHECKING:
    from ..catalog.service import CatalogService

CatalogStory = Callable[[Context, "CatalogService", argparse.Namespace], Coroutine[Any, Any, int]]


def add_to(commands: Any) -> None:
    """The commands `catalog …` and `download`."""
    catalog = commands.add_parser("catalog", help="models.json and loras.json, and the model files on disk")
    verbs = catalog.add_subparsers(metavar="list|check|add|promote|remove|map|scan|token", required=True)

    def verb(name: str, run: Command, help: str) -> Any:
        parser = verbs.add_parser(name, help=help)
        parser.set_defaults(run=run)
        accept_json(parser)
        return parser

    verb("list", _with_catalog(_list), "every entry of both catalogs")
    check = verb(
        "check",
        _with_catalog(_check),
        "present (catalogued and here), missing (catalogued, not here), not_found, unknown",
    )
    check.add_argument("reference", nargs="+", help="a version id, address, AIR, hash or file name")
    verb("add", _with_catalog(_add), "put a version into models.json").add_argument("reference")
    verb("promote", _with_catalog(_promote), "move a LoRA from models.json to loras.json").add_argument("reference")
    verb("remove", _with_catalog(_remove), "take an entry away whose file is not on disk").add_argument("reference")
    verb("map", _with_catalog(_map), "all entries by version and by model")
    scan = verb("scan", _with_catalog(_scan), "hash the model files, and ask CivitAI what they are")
    scan.add_argument("folder", nargs="?", default="", help="a folder key or path; without one all of them")
    scan.add_argument("--offline", action="store_true", help="do not ask CivitAI")
    verb("token", _token, "show the admin token of the routes")
    download = commands.add_parser("download", help="get a model file, resumed and verified")
    download.add_argument("reference")
    download.add_argument("--dir", type=Path, help="where to; without it ComfyUI's folder for its type")
    download.add_argument(
        "--all-files", action="store_true", help="every file of the version that ComfyUI has a folder for"
    )
    download.set_defaults(run=_with_catalog(_download))


def _with_catalog(story: CatalogStory) -> Command:
    async def run(context: Context, arguments: argparse.Namespace) -> int:
        async with context.marked_app() as app:
            return await story(context, await app.catalog(), arguments)

    return runs(run)


async def _list(context: Context, catalog: CatalogService, arguments: argparse.Namespace) -> int:
    entries = await catalog.list()
    rows = [(entry["status"], entry["catalog"], f"{entry['dest']}/{entry['file']}", entry["name"]) for entry in entries]
    context.data(entries, table(rows) or "The catalogs are empty.")
    _, troubles = await asyncio.to_thread(catalog.store.load_readable)
    for trouble in troubles:
        context.say(trouble)
    return 0


async def _check(context: Context, catalog: CatalogService, arguments: argparse.Namespace) -> int:
    checked = await catalog.check("\n".join(arguments.reference))
    context.data(checked.as_json(), checked.report)
    return 0


async def _add(context: Context, catalog: CatalogService, arguments: argparse.Namespace) -> int:
    added = await catalog.add(arguments.reference)
    context.data(added.as_json(), added.report)
    return 1 if added.status == "restricted" else 0


async def _promote(context: Context, catalog: CatalogService, arguments: argparse.Namespace) -> int:
    promoted = await catalog.promote(arguments.reference)
    context.data(promoted.as_json(), promoted.report)
    return 0


async def _remove(context: Context, catalog: CatalogService, arguments: argparse.Namespace) -> int:
    removed = await catalog.remove(arguments.reference)
    context.data(removed.as_json(), removed.report)
    return 0


async def _map(context: Context, catalog: CatalogService, arguments: argparse.Namespace) -> int:
    index = await catalog.map()
    entries = index["by_version"].items()
    lines = [f"{version}: {entry['status']} {entry['dest']}/{entry['file']}" for version, entry in entries]
    context.data(index, "\n".join(lines) or "The catalogs are empty.")
    return 0


async def _scan(context: Context, catalog: CatalogService, arguments: argparse.Namespace) -> int:
    from ..model_files.progress import HashingProgress

    with ProgressBar(context, bytes=True) as bar, stopped_by_ctrl_c() as stopped:

        def show(progress: HashingProgress) -> None:
            text = f"{progress.files}/{progress.of_files} {Path(progress.path).name}"
            bar.show(text, progress.bytes, progress.of_bytes)

        scanned = await catalog.scan(
            arguments.folder, identified=not arguments.offline, cancelled=stopped.is_set, progress=show
        )
    context.data(scanned.as_json(), scanned.report)
    return 130 if scanned.disk.stopped else 0


async def _download(context: Context, catalog: CatalogService, arguments: argparse.Namespace) -> int:
    from ..model_files.progress import DownloadProgress

    folder = arguments.dir.expanduser().absolute() if arguments.dir else None
    with ProgressBar(context, bytes=True) as bar, stopped_by_ctrl_c() as stopped:

        def show(progress: DownloadProgress) -> None:
            bar.show(progress.text or progress.name, progress.bytes, progress.of_bytes)

        load = catalog.download_all if arguments.all_files else catalog.download
        downloaded = await load(arguments.reference, directory=folder, cancelled=stopped.is_set, progress=show)
    context.data(downloaded.as_json(), downloaded.report)
    return 0


def _token(context: Context, arguments: argparse.Namespace) -> int:
    from ..settings import admin_token, own_folder

    token = admin_token(own_folder())
    context.data({"token": token}, token)
    return 0
