"""catalog and download: what is here, what is missing, what may be added, and getting it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .context import Context

if TYPE_CHECKING:
    from ..catalog.service import CatalogService


def add_to(commands: Any) -> None:
    catalog = commands.add_parser("catalog", help="models.json and loras.json, and the model files on disk")
    verbs = catalog.add_subparsers(metavar="list|check|add|promote|remove|map|scan|token", required=True)

    def verb(name: str, run: Callable[..., int], help: str) -> Any:
        parser = verbs.add_parser(name, help=help)
        parser.set_defaults(run=run)
        parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return parser

    verb("list", _told(_list), "every entry of both catalogs")
    check = verb("check", _told(_check), "present, missing, not_found or unknown")
    check.add_argument("reference", nargs="+", help="a version id, address, AIR, hash or file name")
    verb("add", _told(_add), "put a version into models.json").add_argument("reference")
    verb("promote", _told(_promote), "move a LoRA from models.json to loras.json").add_argument("reference")
    verb("remove", _told(_remove), "take an entry away whose file is not on disk").add_argument("reference")
    verb("map", _told(_map), "all entries by version and by model")
    scan = verb("scan", _told(_scan), "hash the model files, and ask CivitAI what they are")
    scan.add_argument("folder", nargs="?", default="", help="a folder key or path; without one all of them")
    scan.add_argument("--offline", action="store_true", help="do not ask CivitAI")
    verb("token", _token, "show the admin token of the routes")
    download = commands.add_parser("download", help="get a model file, resumed and verified")
    download.add_argument("reference")
    download.add_argument("--dir", type=Path, help="where to; without it ComfyUI's folder for its type")
    download.set_defaults(run=_told(_download))


Tell = Callable[[Context, "CatalogService", argparse.Namespace], Awaitable[int]]


def _told(tell: Tell) -> Callable[[Context, argparse.Namespace], int]:
    """A command that needs the desk."""

    def run(frame: Context, arguments: argparse.Namespace) -> int:
        async def story() -> int:
            async with _desk(frame) as desk:
                return await tell(frame, desk, arguments)

        return frame.run(story())

    return run


@asynccontextmanager
async def _desk(frame: Context) -> AsyncIterator[CatalogService]:
    from ..catalog.service import open_desk
    from ..model_files.folders import known_folders

    async with frame.site() as (settings, network):
        folders, root = known_folders(settings)
        async with open_desk(settings, network, lambda: folders, root) as desk:
            yield desk


async def _list(frame: Context, desk: CatalogService, arguments: argparse.Namespace) -> int:
    entries = await desk.list_()
    lines = [f"{e['status']:8} {e['catalog']:12} {e['dest']}/{e['file']}  {e['name']}" for e in entries]
    frame.data(entries, "\n".join(lines) or "The catalogs are empty.")
    return 0


async def _check(frame: Context, desk: CatalogService, arguments: argparse.Namespace) -> int:
    checked = await desk.check("\n".join(arguments.reference))
    frame.data(checked.as_json(), checked.report)
    return 0


async def _add(frame: Context, desk: CatalogService, arguments: argparse.Namespace) -> int:
    added = await desk.add(arguments.reference)
    frame.data(added.as_json(), added.report)
    return 1 if added.status == "restricted" else 0


async def _promote(frame: Context, desk: CatalogService, arguments: argparse.Namespace) -> int:
    promoted = await desk.promote(arguments.reference)
    frame.data(promoted.as_json(), promoted.report)
    return 0


async def _remove(frame: Context, desk: CatalogService, arguments: argparse.Namespace) -> int:
    removed = await desk.remove(arguments.reference)
    frame.data(removed.as_json(), removed.report)
    return 0


async def _map(frame: Context, desk: CatalogService, arguments: argparse.Namespace) -> int:
    found = await desk.map_()
    lines = [f"{version}: {e['status']} {e['dest']}/{e['file']}" for version, e in found["by_version"].items()]
    frame.data(found, "\n".join(lines) or "The catalogs are empty.")
    return 0


async def _scan(frame: Context, desk: CatalogService, arguments: argparse.Namespace) -> int:
    from ..model_files.progress import HashingProgress

    with _bar(frame) as show, _ctrl_c() as stopped:

        def progress(done: HashingProgress) -> None:
            show(f"{done.files}/{done.of_files} {Path(done.path).name}", done.bytes, done.of_bytes)

        scanned = await desk.scan(
            arguments.folder, identified=not arguments.offline, cancelled=stopped.is_set, progress=progress
        )
    frame.data(scanned.as_json(), scanned.report)
    return 130 if scanned.disk.stopped else 0


async def _download(frame: Context, desk: CatalogService, arguments: argparse.Namespace) -> int:
    from ..model_files.progress import DownloadProgress

    with _bar(frame) as show, _ctrl_c() as stopped:

        def progress(done: DownloadProgress) -> None:
            show(done.text or done.name, done.bytes, done.of_bytes)

        directory = arguments.dir.expanduser().absolute() if arguments.dir else None
        found = await desk.download(
            arguments.reference, directory=directory, cancelled=stopped.is_set, progress=progress
        )
    frame.data(found.as_json(), found.report)
    return 0


def _token(frame: Context, arguments: argparse.Namespace) -> int:
    from ..settings import admin_token

    token = admin_token(frame.settings().home)
    frame.data({"token": token}, token)
    return 0


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Ctrl-C asks the story to stop; a second one ends the process."""
    stopped = threading.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopped.is_set():
            loop.remove_signal_handler(signal.SIGINT)
        stopped.set()

    try:
        loop.add_signal_handler(signal.SIGINT, stop)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread: KeyboardInterrupt then
        yield stopped
        return
    try:
        yield stopped
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _bar(frame: Context) -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar on a terminal; nothing elsewhere."""
    talk = frame.talk()
    if frame.json or not talk.is_terminal:
        yield lambda *_: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=talk, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)
