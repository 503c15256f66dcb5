"""journal and cancel: what was paid and not yet collected, and how to stop what runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotFound
from ..orchestration.saving import check_folder, save_pictures
from .context import Context, accept_json, runs
from .ledger_text import is_own, purchase_lines, totals_document, totals_lines

if TYPE_CHECKING:
    from ..orchestration.purchase import Buyer, Purchase
    from ..orchestration.results import Results


def add_to(commands: Any) -> None:
    """The commands `journal list`, `journal resume`, `journal export` and `cancel`."""
    journal = commands.add_parser("journal", help="what was paid and what waits to be collected")
    kinds = journal.add_subparsers(metavar="list|resume|export", required=True)
    list_all = kinds.add_parser("list", help="every purchase, newest last")
    list_all.add_argument("--totals", action="store_true", help="only the totals by day, model and engine")
    list_all.set_defaults(run=runs(_list))
    resume = kinds.add_parser("resume", help="look after what is open and fetch its pictures; never buys")
    resume.add_argument("key", nargs="?", default="", help="one purchase: its key or workflow id")
    resume.add_argument("--output", type=Path, metavar="DIR", help="write the pictures there, which collects them")
    resume.set_defaults(run=runs(_resume))
    export = kinds.add_parser("export", help="every purchase for a spreadsheet")
    export.add_argument("--csv", action="store_true", required=True, help="as comma-separated values on stdout")
    export.set_defaults(run=runs(_export))
    for parser in (list_all, resume, export):
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
    own = [purchase for purchase in purchases if is_own(purchase, buyer)]
    if arguments.totals:
        context.data(totals_document(own), "\n".join(totals_lines(own)) or "The journal is empty.")
        return 0
    documents = [_document(purchase, buyer, results) for purchase in purchases]
    lines = [*purchase_lines(purchases, buyer), *totals_lines(own)]
    context.data(documents, "\n".join(lines) or "The journal is empty.")
    return 0


async def _export(context: Context, arguments: argparse.Namespace) -> int:
    from ..orchestration.accounts import buyer_in
    from ..orchestration.ledger import as_csv, entry_of

    settings = context.settings()
    async with context.app() as app:
        journal = await app.journal()
        purchases, buyer = journal.rows(), buyer_in(journal, settings)
    entries = [entry_of(purchase) for purchase in purchases if is_own(purchase, buyer)]
    context.data([{**asdict(entry), "net": entry.net} for entry in entries], as_csv(entries))
    return 0


async def _resume(context: Context, arguments: argparse.Namespace) -> int:
    from ..orchestration.accounts import buyer_in
    from ..orchestration.hand_over import pictures_of
    from ..orchestration.purchase import UNDER_WAY

    if arguments.output is not None:
        check_folder(arguments.output)
    documents = []
    async with context.app() as app:
        fleet = await app.fleet()
        purchases = await fleet.resume(arguments.key)
        buyer = buyer_in(fleet.journal, fleet.settings)
        for purchase in purchases:
            document = _document(purchase, buyer, fleet.results)
            if arguments.output is not None:
                pictures = pictures_of(purchase, fleet.results)
                document["files"] = list(map(str, save_pictures(purchase.workflow_id, pictures, arguments.output)))
                if purchase.state not in UNDER_WAY:  # one that ends only now has pictures that were not written
                    await fleet.collected(purchase.key)
                document["state"] = (fleet.journal.get(purchase.key) or purchase).state
            documents.append(document)
    files = {document["key"]: document["files"] for document in documents}
    lines = purchase_lines(purchases, buyer, files)
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
    from ..orchestration.ledger import entry_of

    entry = entry_of(purchase)
    return {
        "key": purchase.key,
        "workflow_id": purchase.workflow_id,
        "state": purchase.state,
        "asked_by": entry.asked_by,
        "cost": purchase.cost,
        "price": purchase.price,
        "charged": entry.charged,
        "wallets": dict(entry.wallets),
        "refunded": purchase.credited,
        "created": datetime.fromtimestamp(purchase.created).astimezone().isoformat(timespec="seconds"),
        "model": entry.model,
        "air": purchase.about.get("air", ""),
        "engine": purchase.about.get("variant", ""),
        "prompt": purchase.about.get("prompt", ""),
        "tags": list(entry.tags),
        "files": [str(results.path(picture.file)) for picture in purchase.slots if results.has(picture.file)],
        "missing": {picture.index: picture.reason for picture in purchase.slots if not picture.fetched},
        "mine": buyer.owns(purchase),
        "error": purchase.error,
        "notes": list(purchase.about.get("notes", ())),
    }
