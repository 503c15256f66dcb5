"""workflows and user: what an account ordered, page by page, or everything as it comes."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from .console import ProgressBar
from .context import Context, runs
from .listing import CsvRows, JsonRows, Rows, TextRows

if TYPE_CHECKING:
    from ..workflows.query import Page, WorkflowFilter
    from ..workflows.reader import WorkflowReader

_A_FEW = 5  # workflows that are written in one go
_IGNORED = {
    "tags": "the tags", "dates": "--from and --to", "excludeFailed": "--excludeFailed", "ascending": "--oldest",
}  # fmt: skip
_STATUSES = (
    *("unassigned", "preparing", "scheduled", "processing", "succeeded", "failed", "expired", "canceled", "deleted"),
)


def add_to(commands: Any) -> None:
    """The commands `workflows` and `user`."""
    workflows = commands.add_parser("workflows", help="list and search the workflows of your account")
    _add_filters(workflows, take=20, most=200)
    workflows.add_argument("--cursor", default="", metavar="CURSOR", help="go on where an earlier page ended")
    workflows.add_argument("--from", dest="begin", default="", metavar="DATE", help="first day or moment, in UTC")
    workflows.add_argument(
        "--to", dest="end", default="", metavar="DATE", help="last day (inclusive) or moment, in UTC"
    )
    workflows.add_argument(
        "--status", action="append", default=[], metavar="STATUS", help="only this status, compared here; repeatable"
    )
    workflows.add_argument("--all", action="store_true", help="every page, as it comes")
    workflows.add_argument("--csv", action="store_true", help="rows for a spreadsheet")
    workflows.set_defaults(run=runs(_workflows))
    user = commands.add_parser("user", help="list a user's workflows: for CivitAI's staff, or your own")
    user.add_argument("user", metavar="USER", help="a user's id, a number")
    _add_filters(user, take=10, most=10)
    user.set_defaults(run=runs(_user))


def _add_filters(parser: argparse.ArgumentParser, *, take: int, most: int) -> None:
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="repeatable; all must match")
    parser.add_argument("--query", default="", metavar="TEXT", help="look for this in the metadata")
    parser.add_argument("--exclude-failed", "--excludeFailed", action="store_true", help="no failed, expired, canceled")
    parser.add_argument("--oldest", action="store_true", help="from the oldest to the newest")
    parser.add_argument("--take", type=int, default=take, metavar="N", help=f"how many, 1 to {most}")


async def _workflows(context: Context, arguments: argparse.Namespace) -> int:
    if arguments.csv and context.json:
        raise BadInput("--csv and --json are two forms of the same; choose one.")
    query = _query(arguments)
    rows = CsvRows(context) if arguments.csv else JsonRows(context) if context.json else TextRows(context)
    form = tuple(f"--{name}" for name in ("all", "csv") if getattr(arguments, name))
    for status in sorted(set(query.statuses) - set(_STATUSES)):
        rows.note(f"{status!r} is no status that is known; known are {', '.join(_STATUSES)}.")
    async with context.marked_app() as app:
        reader = await app.workflows()
        if arguments.all:
            return await _everything(context, reader, query, rows, form)
        page = await reader.page(query)
    _note_ignored(rows, page)
    rows.add(page.workflows)
    if not page.came:
        rows.note("There is nothing." if not arguments.cursor else "There is nothing more.")
    elif len(page.workflows) < page.came and (query.statuses or page.ignored):
        rows.note(f"{len(page.workflows)} of the {page.came} workflows of this page fit.")
    rows.end(page.next, next_command(query, page.next, *form) if page.next else "")
    return 0


async def _everything(
    context: Context, reader: WorkflowReader, query: WorkflowFilter, rows: Rows, form: tuple[str, ...]
) -> int:
    """Every page, written as it comes; what ends it midway says from where to go on."""
    from dataclasses import replace

    from ..workflows.query import MOST_AT_ONCE

    query = replace(query.checked(), take=MOST_AT_ONCE)
    cursor, came, ignored = query.cursor, 0, set[str]()
    with (
        ProgressBar(context, with_json=True, beside_rows=True) as bar,
        rows.ended_by_trouble(lambda: (cursor, next_command(query, cursor, *form))),
    ):
        async for page in reader.pages(query):
            came += page.came
            ignored |= page.ignored
            for place in range(0, len(page.workflows), _A_FEW):
                rows.add(page.workflows[place : place + _A_FEW])
                await asyncio.sleep(0)  # meanwhile the next page is asked for and arrives
            cursor = page.next
            bar.show(f"{came:,} workflows")
        for name in sorted(ignored):
            rows.note(_ignored(name))
        rows.note(f"{rows.count:,} workflows." if came == rows.count else f"{rows.count:,} of {came:,} workflows fit.")
        rows.end("", "")
    return rows.exit_code


async def _user(context: Context, arguments: argparse.Namespace) -> int:
    user = arguments.user.strip()
    if not (user.isascii() and user.isdecimal()):
        raise BadInput(f"{arguments.user[:60]!r} is no user's id; that is a number, which `civitai-bridge test` shows.")
    rows = JsonRows(context) if context.json else TextRows(context)
    async with context.marked_app() as app:
        reader = await app.workflows()
        page, own = await reader.of_user(user, _query(arguments, most=10))
    if own:
        rows.note("The route that shows any user's workflows is for CivitAI's staff; these are your own.")
    _note_ignored(rows, page)
    rows.add(page.workflows)
    if not page.workflows:
        rows.note("There is nothing.")
    rows.end(page.next, next_command(_query(arguments, most=10), page.next) if page.next else "")
    return 0


def _query(arguments: argparse.Namespace, most: int = 200) -> WorkflowFilter:
    from ..workflows.moments import window
    from ..workflows.query import WorkflowFilter

    statuses = (word.strip().lower() for status in getattr(arguments, "status", ()) for word in status.split(","))
    return WorkflowFilter(
        tags=tuple(dict.fromkeys(arguments.tag)),
        text=arguments.query,
        exclude_failed=arguments.exclude_failed,
        oldest_first=arguments.oldest,
        take=arguments.take,
        cursor=getattr(arguments, "cursor", "").strip(),
        window=window(getattr(arguments, "begin", ""), getattr(arguments, "end", "")),
        statuses=tuple("canceled" if status == "cancelled" else status for status in statuses if status),
        texts=(getattr(arguments, "begin", ""), getattr(arguments, "end", "")),
    ).checked(most)


def next_command(query: WorkflowFilter, cursor: str, *options: str) -> str:
    """The command that shows the page of a cursor, to be copied into a shell."""
    words = ["civitai-bridge", "workflows", *(f"--tag={tag}" for tag in query.tags)]
    words += [f"--query={query.text}"] if query.text else []
    words += ["--excludeFailed"] if query.exclude_failed else []
    words += ["--oldest"] if query.oldest_first else []
    words += [f"--{name}={text}" for name, text in zip(("from", "to"), query.texts, strict=True) if text]
    words += [f"--status={status}" for status in query.statuses]
    words += [*options] if "--all" in options else [f"--take={query.take}", *options]
    return shlex.join([*words, *([f"--cursor={cursor}"] if cursor else [])])


def _note_ignored(rows: Rows, page: Page) -> None:
    for name in sorted(page.ignored):
        rows.note(_ignored(name))


def _ignored(name: str) -> str:
    if name == "ascending":
        return "CivitAI ignored --oldest: the newest come first."
    return f"CivitAI ignored {_IGNORED[name]}; what does not fit was left out here."
