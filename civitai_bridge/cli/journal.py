"""journal and cancel: what was paid and not yet collected, and how to stop what runs."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotFound
from ..orchestration.saving import check_folder, save_pictures
from .context import Context, accept_json, runs

if TYPE_CHECKING:
    from ..orchestration.purchase import Buyer, Purchase
    from ..orchestration.results import Results


def add_to(commands: Any) -> None:
    """The commands `journal list`, `journal resume` and `cancel`."""
    journal = commands.add_parser("journal", help="what was paid and what waits to be collected")
    kinds = journal.add_subparsers(metavar="list|resume", required=True)
    list_all = kinds.add_parser("list", help="every purchase, newest last")
    list_all.set_defaults(run=runs(_list))
    resume = kinds.add_parser("resume", help="look after what is open and fetch its pictures; never buys")
    resume.add_argument("key", nargs="?", default="", help="one purchase: its key or workflow id")
    resume.add_argument("--output", type=Path, metavar="DIR", help="write the pictures there, which collects them")
    resume.set_defaults(run=runs(_resume))
    for parser in (list_all, resume):
        accept_json(parser)
    cancel = commands.add_parser("cancel", help="ask CivitAI to stop a workflow")
    cancel.add_argument("workflow", help="a workflow id, or a key of the journal")
    cancel.set_defaults(run=runs(_cancel))


async def _list(context: Context, arguments: argparse.Namespace) -> int:
    from ..orchestration.accounts import buyer_in
    from ..orchestration.results import Results

    settings = context.settings()
    async with context.app() as app:
        journal = await app.journal()
        purchases, buyer = journal.rows(), buyer_in(journal, settings)
    results = Results(settings.home / "results")
    context.data(
        [_document(purchase, buyer, results) for purchase in purchases],
        "\n".join(line for purchase in purchases for line in _lines(purchase, buyer)) or "The journal is empty.",
    )
    return 0


async def _resume(context: Context, arguments: argparse.Namespace) -> int:
    from ..orchestration.accounts import buyer_in
    from ..orchestration.hand_over import pictures_of

    if arguments.output is not None:
        check_folder(arguments.output)
    lines, documents = [], []
    async with context.app() as app:
        fleet = await app.fleet()
        purchases = await fleet.resume(arguments.key)
        buyer = buyer_in(fleet.journal, fleet.settings)
        for purchase in purchases:
            document = _document(purchase, buyer, fleet.results)
            if arguments.output is not None:
                pictures = pictures_of(purchase, fleet.results)
                document["files"] = list(map(str, save_pictures(purchase.workflow_id, pictures, arguments.output)))
                await fleet.collected(purchase.key)
                document["state"] = (fleet.journal.get(purchase.key) or purchase).state
            documents.append(document)
            lines += [*_lines(purchase, buyer), *(f"    {file}" for file in document["files"])]
    context.data(documents, "\n".join(lines) or "Nothing is open.")
    return 0


async def _cancel(context: Context, arguments: argparse.Namespace) -> int:
    async with context.app() as app:
        try:
            sentence = await (await app.fleet()).cancel(arguments.workflow)
        except NotFound as error:
            raise NotFound(f"CivitAI knows no workflow {arguments.workflow!r} of your account.", status=404) from error
    context.data({"workflow_id": arguments.workflow, "message": sentence}, sentence)
    return 0


def _document(purchase: Purchase, buyer: Buyer, results: Results) -> dict[str, Any]:
    return {
        "key": purchase.key,
        "workflow_id": purchase.workflow_id,
        "state": purchase.state,
        "cost": purchase.cost,
        "price": purchase.price,
        "refunded": purchase.credited,
        "created": datetime.fromtimestamp(purchase.created).astimezone().isoformat(timespec="seconds"),
        "air": purchase.about.get("air", ""),
        "engine": purchase.about.get("variant", ""),
        "prompt": purchase.about.get("prompt", ""),
        "files": [str(results.path(picture.file)) for picture in purchase.slots if results.has(picture.file)],
        "missing": {picture.index: picture.reason for picture in purchase.slots if not picture.fetched},
        "mine": buyer.owns(purchase),
        "error": purchase.error,
        "notes": list(purchase.about.get("notes", ())),
    }


def _lines(purchase: Purchase, buyer: Buyer) -> list[str]:
    """One line for the purchase; below it what is not there and why, and what is worth knowing."""
    from ..orchestration.report import place_of

    missing = []
    for picture in purchase.slots:
        if not picture.fetched:
            how = "may still come" if picture.pending else "is missing"
            place = place_of(picture, len(purchase.slots))
            missing.append(f"    {place} {how}: {picture.reason or 'not fetched yet'}")
    return [_line(purchase, buyer), *missing, *(f"    {note}" for note in purchase.about.get("notes", ()))]


def _line(purchase: Purchase, buyer: Buyer) -> str:
    when = datetime.fromtimestamp(purchase.created).strftime("%Y-%m-%d %H:%M")
    arrived = sum(1 for picture in purchase.slots if picture.fetched)
    foreign = "" if buyer.account == "sandbox" or buyer.owns(purchase) else " (another account or address)"
    parts = [
        when,
        f"{purchase.state:11}",
        f"{purchase.cost:5} Buzz",
        purchase.workflow_id or purchase.key,
        f"{arrived}/{len(purchase.slots)} pictures" if purchase.slots else "",
        purchase.about.get("model", ""),
        purchase.error,
    ]
    return "  ".join(part for part in parts if part) + foreign
