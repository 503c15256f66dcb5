"""journal and cancel: what was paid and not yet collected, and how to stop what runs."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from ..errors import NotFound
from .context import Context


def add_to(commands: Any) -> None:
    journal = commands.add_parser("journal", help="what was paid and what waits to be collected")
    kinds = journal.add_subparsers(metavar="list|resume", required=True)
    list_ = kinds.add_parser("list", help="every purchase, newest last")
    list_.set_defaults(run=_list)
    resume = kinds.add_parser("resume", help="look after what is open and fetch its pictures; never buys")
    resume.add_argument("key", nargs="?", default="", help="one purchase: its key or workflow id")
    resume.set_defaults(run=_resume)
    for parser in (list_, resume):
        parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    cancel = commands.add_parser("cancel", help="ask CivitAI to stop a workflow")
    cancel.add_argument("workflow", help="a workflow id, or a key of the journal")
    cancel.set_defaults(run=_cancel)


def _list(frame: Context, arguments: argparse.Namespace) -> int:
    from ..orchestration.journal import Journal
    from ..orchestration.results import Results

    settings = frame.settings()
    journal = Journal(settings.home / "journal.sqlite3")
    try:
        rows = journal.rows()
    finally:
        journal.close()
    results = Results(settings.home / "results")
    frame.data(
        [_document(row, settings, results) for row in rows],
        "\n".join(line for row in rows for line in _lines(row, settings)) or "The journal is empty.",
    )
    return 0


def _resume(frame: Context, arguments: argparse.Namespace) -> int:
    return frame.run(_look(frame, arguments.key))


async def _look(frame: Context, key: str) -> int:
    async with frame.bridge() as bridge:
        rows = await bridge.resume(key)
        documents = [_document(row, bridge.settings, bridge.results) for row in rows]
        lines = []
        for row in rows:
            lines += _lines(row, bridge.settings)
            lines += [f"    {bridge.results.path(slot.file)}" for slot in row.slots if slot.here]
    frame.data(documents, "\n".join(lines) or "Nothing is open.")
    return 0


def _cancel(frame: Context, arguments: argparse.Namespace) -> int:
    return frame.run(_stop(frame, arguments.workflow))


async def _stop(frame: Context, name: str) -> int:
    async with frame.bridge() as bridge:
        try:
            sentence = await bridge.cancel(name)
        except NotFound as error:
            raise NotFound(f"CivitAI knows no workflow {name!r} of your account.", status=404) from error
    frame.data({"workflow_id": name, "message": sentence}, sentence)
    return 0


def _document(row: Any, settings: Any, results: Any) -> dict[str, Any]:
    return {
        "key": row.key,
        "workflow_id": row.workflow_id,
        "state": row.state,
        "cost": row.cost,
        "price": row.price,
        "refunded": row.credited,
        "created": datetime.fromtimestamp(row.created).astimezone().isoformat(timespec="seconds"),
        "air": row.about.get("air", ""),
        "engine": row.about.get("variant", ""),
        "prompt": row.about.get("prompt", ""),
        "files": [str(results.path(slot.file)) for slot in row.slots if slot.here],
        "missing": {slot.index: slot.reason for slot in row.slots if not slot.here},
        "mine": row.account == settings.account and row.base == settings.base,
        "error": row.error,
        "notes": list(row.about.get("notes", ())),
    }


def _lines(row: Any, settings: Any) -> list[str]:
    """One line for the purchase; below it what is not there and why, and what is worth knowing."""
    missing = []
    for slot in row.slots:
        if not slot.here:
            how = "may still come" if slot.pending else "is missing"
            missing.append(f"    picture {slot.index} {how}: {slot.reason or 'not fetched yet'}")
    return [_line(row, settings), *missing, *(f"    {note}" for note in row.about.get("notes", ()))]


def _line(row: Any, settings: Any) -> str:
    when = datetime.fromtimestamp(row.created).strftime("%Y-%m-%d %H:%M")
    here = sum(1 for slot in row.slots if slot.here)
    pictures = f"{here}/{len(row.slots)} pictures" if row.slots else ""
    mine = settings.sandbox or (row.account == settings.account and row.base == settings.base)
    foreign = "" if mine else " (another account or address)"
    parts = [
        when,
        f"{row.state:11}",
        f"{row.cost:5} Buzz",
        row.workflow_id or row.key,
        pictures,
        row.about.get("model", ""),
        row.error,
    ]
    return "  ".join(part for part in parts if part) + foreign
