"""Twins: further workflows that CivitAI made of one order whose answer was lost, each of them charged.

Every workflow has a row of its own, so a twin counts for the limits, its refund and its pictures are looked for, and a
person can cancel it. It shows up in the list by our key, maybe only some seconds after a second POST.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import purchase_table as table
from . import report
from .client import OrchestrationClient
from .journal import Journal
from .owned import OwnedPurchase
from .purchase import ACCEPTED, CANCELED, FAILED, Purchase
from .workflow import Workflow

_TAKEN_OVER = (
    "air",
    "model",
    "variant",
    "prompt",
    "quantity",
    "seed",
    "tags",
    "asked_by",
)  # what is known of the order itself


async def workflows_of(client: OrchestrationClient, key: str) -> list[Workflow]:
    """Every workflow that carries the key of a purchase, oldest first. Asked without dates: the tag is unique, and our
    clock may be wrong."""
    workflows = [workflow for workflow in await client.tagged(key) if workflow.id and workflow.is_of(key)]
    return sorted(workflows, key=lambda workflow: workflow.created_at)


async def enter_twins(owned: OwnedPurchase, workflow_id: str, twins: Sequence[Workflow]) -> None:
    """Give each twin of the purchase, whose own workflow is `workflow_id`, a row; and a note to the purchase that
    names them with their price."""
    services, purchase = owned.services, owned.purchase
    rows = await services.in_thread(write_twins, services.journal, purchase, workflow_id, twins)
    about = owned.purchase.about
    notes = [note for note in about.get("notes", ()) if not note.startswith(report.TWINS)]
    await owned.write(about={**about, "notes": [*notes, report.twins(workflow_id, rows)]})


def write_twins(journal: Journal, purchase: Purchase, workflow_id: str, twins: Sequence[Workflow]) -> list[Purchase]:
    """The rows of all twins, made where they are not there yet (waits for the disk; not for the loop). The row of a
    twin that became the purchase's own workflow takes over one that has none."""
    with journal.database.transaction("The order keeps its key, so nothing is paid twice.") as connection:
        now, rows = journal.clock(), table.read_twins(connection, purchase.key)
        entered = {row.workflow_id for row in rows} - {workflow_id}
        free = [row.key for row in rows if row.workflow_id == workflow_id]
        for twin in twins:
            if twin.id in entered:
                continue
            columns = _columns(purchase, twin)
            if free:
                table.update(connection, free.pop(), columns, now)
            else:
                key = f"{purchase.key}-twin-{len(table.read_twins(connection, purchase.key)) + 1}"
                table.insert_row(connection, {**columns, "key": key, "created": purchase.created, "updated": now})
        return [row for row in table.read_twins(connection, purchase.key) if row.workflow_id != workflow_id]


def _columns(purchase: Purchase, twin: Workflow) -> Mapping[str, Any]:
    over = twin.ended_badly and not any(blob.available for blob in twin.images)
    ended = CANCELED if twin.status == "canceled" else FAILED
    about = {name: purchase.about[name] for name in _TAKEN_OVER if name in purchase.about}
    return {
        "request_hash": purchase.request_hash,
        "account": purchase.account,
        "user_id": purchase.user_id,
        "base": purchase.base,
        "prompt_id": purchase.prompt_id,
        "body": "",
        "state": ended if over else ACCEPTED,
        "workflow_id": twin.id,
        # Whoever wanted the order cancelled before anybody knew of the twin wanted all of it cancelled.
        "cancel_wanted": 0 if over else max(purchase.cancels, int(purchase.cancel_wanted)),
        "price": purchase.price if twin.cost is None else twin.cost,
        "debited": twin.debited,
        "credited": twin.credited,
        "wallets": json.dumps(twin.wallets),
        "slots": "[]",
        "error": "; ".join(twin.reasons) if over else "",
        "about": json.dumps(
            {**about, "charged": twin.charged, "twin_of": purchase.key, "notes": [report.twin_of(purchase)]}
        ),
    }
