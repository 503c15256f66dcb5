"""The ledger as a person reads it: a table of purchases, and totals below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .console import table

if TYPE_CHECKING:
    from ..orchestration.ledger import Entry, Total
    from ..orchestration.purchase import Buyer, Purchase

_WIDEST = 32  # characters of a name in a table


def is_own(purchase: Purchase, buyer: Buyer) -> bool:
    """Whether a purchase counts for the person who asks; on the sandbox there is one person."""
    return buyer.account == "sandbox" or buyer.owns(purchase)


def purchase_lines(
    purchases: Sequence[Purchase], buyer: Buyer, files: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """A table of purchases; below each what is not there and why, what is worth knowing, and its `files` by its key."""
    from ..orchestration.ledger import entry_of

    if not purchases:
        return []
    head = ("when", "asked by", "model", "Buzz", "refund", "state", "pictures", "key", "workflow")
    rows = [_cells(purchase, entry_of(purchase), buyer) for purchase in purchases]
    top, *lines = table([head, *rows]).split("\n")
    text = [top.rstrip()]
    for purchase, line in zip(purchases, lines, strict=True):
        text += [line.rstrip(), *_below(purchase), *(f"    {file}" for file in (files or {}).get(purchase.key, ()))]
    return text


def _cells(purchase: Purchase, entry: Entry, buyer: Buyer) -> tuple[str, ...]:
    paid_by = ", ".join(f"{amount} {name}" for name, amount in entry.wallets.items())
    foreign = "" if is_own(purchase, buyer) else " (another account or address)"
    return (
        datetime.fromtimestamp(entry.when).strftime("%Y-%m-%d %H:%M"),
        _short(entry.asked_by) or "-",
        _short(entry.model) or "-",
        f"{entry.charged} ({paid_by})" if paid_by else str(entry.charged),
        str(entry.refunded) if entry.refunded else "-",
        entry.state,
        f"{entry.pictures}/{len(purchase.slots)} pictures" if purchase.slots else "-",
        entry.key,
        f"{entry.workflow_id or '-'}{foreign}",
    )


def _below(purchase: Purchase) -> list[str]:
    from ..orchestration.report import place_of

    lines = [f"    {purchase.error}"] if purchase.error else []
    for picture in purchase.slots:
        if not picture.fetched:
            how = "may still come" if picture.pending else "is missing"
            place = place_of(picture, len(purchase.slots))
            lines.append(f"    {place} {how}: {picture.reason or 'not fetched yet'}")
    return [*lines, *(f"    {note}" for note in purchase.about.get("notes", ()))]


def _short(name: str) -> str:
    return name if len(name) <= _WIDEST else f"{name[: _WIDEST - 1]}…"


def totals_document(purchases: Sequence[Purchase]) -> dict[str, Any]:
    """The totals for a program: lists by day, model and engine, and one of all."""
    from ..orchestration.ledger import all_totals, entry_of

    groups = all_totals([entry_of(purchase) for purchase in purchases])
    return {name: [asdict(total) for total in totals] for name, totals in groups.items()}


def totals_lines(purchases: Sequence[Purchase]) -> list[str]:
    """Tables by day, model and engine, then all together."""
    from ..orchestration.ledger import all_totals, entry_of

    if not purchases:
        return []
    groups = all_totals([entry_of(purchase) for purchase in purchases])
    heads = {"by_day": "day", "by_model": "model", "by_engine": "engine", "all": ""}
    lines = []
    for name, totals in groups.items():
        head = (heads[name], "purchases", "pictures", "Buzz", "refund", "net")
        lines += ["", *(line.rstrip() for line in table([head, *map(_total_cells, totals)]).split("\n"))]
    return lines


def _total_cells(total: Total) -> tuple[str, ...]:
    numbers = (total.purchases, total.pictures, total.charged, total.refunded, total.net)
    return (_short(total.name), *map(str, numbers))
