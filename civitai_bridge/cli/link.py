"""link: pair this machine with CivitAI's pages, see what they asked for, take back what they removed."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CivitaiError
from ..model_files.progress import amount
from .console import stopped_by_ctrl_c, table
from .context import Command, Context, accept_json, is_terminal, runs

if TYPE_CHECKING:
    from ..app import App
    from ..link.runner import LinkRunner

LinkStory = Callable[[Context, "App", "LinkRunner", argparse.Namespace], Coroutine[Any, Any, int]]
_SCAN_EVERY = 600.0  # seconds
_PAIRING = 60.0  # seconds for which `pair` waits


def add_to(commands: Any) -> None:
    """The commands `link …`."""
    link = commands.add_parser("link", help="manage this ComfyUI's models from CivitAI's pages")
    verbs = link.add_subparsers(metavar="pair|status|run|unpair|log|allow|deny|trash", required=True)

    def verb(family: Any, name: str, story: LinkStory, help: str) -> Any:
        parser = family.add_parser(name, help=help)
        parser.set_defaults(run=_with_link(story))
        accept_json(parser)
        return parser

    pair = verb(verbs, "pair", _pair, "enter the code that CivitAI shows, once")
    pair.add_argument("code", help="6 characters")
    pair.add_argument("--wait", type=float, default=_PAIRING, help="seconds to wait for CivitAI's page; 0 = not at all")
    verb(verbs, "status", _status, "how the link stands, what is at work, what waits for you")
    verb(verbs, "run", _run, "be linked without ComfyUI, until Ctrl-C")
    verb(verbs, "unpair", _unpair, "forget the key; CivitAI's pages can do nothing here any more")
    lines = verb(verbs, "log", _log, "what CivitAI's pages asked for, the newest last")
    lines.add_argument("--take", type=int, default=100, help="how many lines")
    for name, allow, help in (("allow", True, "let happen what waits for you"), ("deny", False, "refuse it")):
        verb(verbs, name, _answering(allow), help).add_argument("number", type=int, help="as `link status` shows it")
    trash = verbs.add_parser("trash", help="model files that were removed from CivitAI's pages")
    kinds = trash.add_subparsers(metavar="list|restore|empty", required=True)
    verb(kinds, "list", _trash_list, "what can be brought back")
    restore = verb(kinds, "restore", _trash_restore, "bring a file back to where it was")
    restore.add_argument("number", type=int, help="as `link trash list` shows it")
    empty = verb(kinds, "empty", _trash_empty, "delete all of them for good")
    empty.add_argument("--yes", action="store_true", help="do not ask")


def _with_link(story: LinkStory) -> Command:
    async def run(context: Context, arguments: argparse.Namespace) -> int:
        async with context.marked_app() as app, _runner(app) as link:
            return await story(context, app, link, arguments)

    return runs(run)


@asynccontextmanager
async def _runner(app: App) -> AsyncIterator[LinkRunner]:
    from ..link.runner import LinkRunner

    runner = LinkRunner(app.load, app.link)
    try:
        yield runner
    finally:
        await runner.stop()


async def _pair(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
    if arguments.wait <= 0:
        await link.enter(arguments.code)
        context.data({"status": "entered"}, "The code is kept; the next `civitai-bridge link run` or ComfyUI uses it.")
        return 0
    before = await link.pairing()
    await link.pair(arguments.code)
    ends = asyncio.get_running_loop().time() + arguments.wait
    while asyncio.get_running_loop().time() < ends:
        pairing = await link.pairing()
        if not pairing.code:
            break
        await asyncio.sleep(0.1)
    pairing = await link.pairing()
    if pairing.key and pairing.key != before.key:
        context.data(
            {"status": "paired"},
            "Paired. CivitAI's pages reach this machine while ComfyUI runs (one that runs now takes it over within "
            "seconds), or while `civitai-bridge link run` does.",
        )
        return 0
    if pairing.code:
        before_this = " The link of before is not reached until then." if pairing.key else ""
        raise BadInput(
            "CivitAI's page has not come to the room of this code yet. Keep its page open, start ComfyUI or run "
            f"`civitai-bridge link run`; the code is given up after {pairing.code_lives / 60:.0f} minutes.{before_this}"
        )
    raise BadInput(f"The code was not taken. {link.state.detail}".strip())


async def _status(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
    status = await link.look()
    lines = [status["sentence"]]
    lines += [f"Waits for you, number {row['number']}: {row['sentence']}" for row in status["questions"]]
    if status["questions"]:
        lines.append("`civitai-bridge link allow NUMBER` or `civitai-bridge link deny NUMBER` answers.")
    if status["trash"]:
        files = "file is" if status["trash"] == 1 else "files are"
        lines.append(f"{status['trash']} removed {files} in the trash; `civitai-bridge link trash list` shows them.")
    lines += [f"{name} is {value}." for name, value in status["settings"].items()]
    context.data(status, "\n".join(lines))
    return 0


async def _run(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
    if not await link.start():
        raise BadInput("This machine is not linked. `civitai-bridge link pair CODE` takes the code of CivitAI's page.")
    context.say("Linked until Ctrl-C; downloads that are not done then go on at the next start.")
    shown = ""
    with stopped_by_ctrl_c() as stopped:
        scans = asyncio.ensure_future(_scans(context, app, stopped.is_set))
        while not stopped.is_set() and link.is_running:
            if link.state.sentence != shown:
                shown = link.state.sentence
                context.say(shown)
            await asyncio.sleep(0.2)
    scans.cancel()
    await asyncio.gather(scans, link.stop(), return_exceptions=True)
    context.data({"status": "ended", "sentence": link.state.sentence}, "The link has ended.")
    return 0


async def _scans(context: Context, app: App, stopped: Callable[[], bool]) -> None:
    """Know the model files by their hashes, so that they can be listed; in ComfyUI its own watch does that."""
    while True:
        try:
            await (await app.catalog()).scan(cancelled=stopped)
        except CivitaiError as error:
            context.say(f"The model files could not all be looked at: {error}")
        await asyncio.sleep(_SCAN_EVERY)


async def _unpair(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
    if not await link.unpair():
        context.data({"status": "not_paired"}, "This machine was not linked.")
        return 0
    context.data(
        {"status": "unpaired"},
        "The key is forgotten. The link still stands in the list on CivitAI's page; delete it there too.",
    )
    return 0


async def _log(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
    from ..link.runner import log_lines

    lines = await log_lines(link, max(1, arguments.take))
    rows = [
        (_when(line["at"]), line["type"], line["outcome"], " ".join(filter(None, (line["subject"], line["detail"]))))
        for line in lines
    ]
    context.data(lines, table(rows) if rows else "Nothing has been asked for.")
    return 0


def _answering(allow: bool) -> LinkStory:
    async def answer(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
        await link.answer(arguments.number, allow=allow)
        word = "allowed" if allow else "denied"
        context.data({"status": word, "number": arguments.number}, f"Number {arguments.number} is {word}.")
        return 0

    return answer


async def _trash_list(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
    from ..link.runner import removed_files

    removed = await removed_files(link)
    rows = [
        (str(each["number"]), _when(each["at"]), amount(each["size"]), f"{each['folder']}/{each['name']}")
        for each in removed
    ]
    context.data(removed, table(rows) if rows else "The trash is empty.")
    return 0


async def _trash_restore(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
    from ..link.runner import restore_file

    restored = await restore_file(link, arguments.number)
    try:
        await (await app.catalog()).scan(restored["folder"], identified=False)
    except CivitaiError as error:  # it is back all the same
        context.say(f"Until the next scan it is not listed: {error}")
    context.data(restored, f"{restored['folder']}/{restored['name']} is back.")
    return 0


async def _trash_empty(context: Context, app: App, link: LinkRunner, arguments: argparse.Namespace) -> int:
    from ..link.runner import empty_trash, removed_files

    removed = await removed_files(link)
    size = amount(sum(each["size"] for each in removed))
    if removed and not arguments.yes:
        if context.json or not is_terminal():
            raise BadInput(f"This deletes {len(removed)} model files ({size}) for good; say so with --yes.")
        context.say(f"Delete {len(removed)} model files ({size}) for good? [y/N]")
        if (await asyncio.to_thread(input)).strip().lower() not in ("y", "yes"):
            context.say("Nothing was deleted.")
            return 1
    freed = await empty_trash(link, [each["number"] for each in removed])  # none that a room removes meanwhile
    context.data({"freed": freed}, f"{amount(freed)} were deleted." if removed else "The trash is empty.")
    return 0


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")
