"""The ledger: what every purchase took and gave back, by day, model and engine, and as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..resources.plain_text import one_line
from .purchase import CANCELED, REFUSED, Purchase

WALLETS = ("yellow", "blue", "green")  # that a person can have; others are named where they paid
# What a spreadsheet takes for a formula when a cell begins with it, the full-width forms too, and the separators that
# may hide one: owasp.org/www-community/attacks/CSV_Injection.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_UNKNOWN = "(not known)"


@dataclass(frozen=True)
class Entry:
    """One purchase as money, in whole Buzz. `charged` is what was taken, or the price while that is not known;
    `wallets` are the parts of it where CivitAI said them, `refunded` what came back. `asked_by` is the node or the
    command, `""` in journals that did not note it; `when` is seconds since the epoch; `pictures` arrived."""

    key: str
    workflow_id: str
    when: float
    asked_by: str
    model: str
    air: str
    engine: str
    state: str
    charged: int
    wallets: Mapping[str, int]
    refunded: int
    quantity: int
    pictures: int
    prompt: str
    tags: tuple[str, ...]
    error: str

    @property
    def net(self) -> int:
        """What it cost, refunds taken off."""
        return self.charged - self.refunded

    @property
    def day(self) -> str:
        """The day of this machine's clock on which it was ordered, as in `2026-11-28`."""
        return datetime.fromtimestamp(self.when).strftime("%Y-%m-%d")


@dataclass(frozen=True)
class Total:
    """The purchases of one day, model or engine together."""

    name: str
    purchases: int
    pictures: int
    charged: int
    refunded: int
    net: int


def entry_of(purchase: Purchase) -> Entry:
    """A purchase as money. What was refused or never left took nothing."""
    about = purchase.about
    never_paid = purchase.state == REFUSED or (purchase.state == CANCELED and not purchase.workflow_id)
    return Entry(
        key=purchase.key,
        workflow_id=purchase.workflow_id,
        when=purchase.created,
        asked_by=_text(about.get("asked_by")),
        model=_text(about.get("model")) or _text(about.get("air")),
        air=_text(about.get("air")),
        engine=_text(about.get("variant")),
        state=purchase.state,
        charged=0 if never_paid else purchase.debited or purchase.price,
        wallets=_paid_by(purchase),
        refunded=purchase.credited,
        quantity=int(about.get("quantity") or 1),
        pictures=sum(1 for image in purchase.slots if image.fetched),
        prompt=_text(about.get("prompt")),
        tags=tuple(map(_text, about.get("tags") or ())),
        error=_text(purchase.error),
    )


def _paid_by(purchase: Purchase) -> dict[str, int]:
    """Buzz by wallet before refunds; older journals noted what was left after them alone."""
    wallets = purchase.about.get("charged") or (purchase.wallets if not purchase.credited else {})
    return {name: amount for name, amount in wallets.items() if isinstance(amount, int) and amount > 0}


def _text(value: Any) -> str:
    return one_line(str(value or ""))


def totals(entries: Iterable[Entry], name_of: Callable[[Entry], str]) -> list[Total]:
    """The entries together by what `name_of` gives, in order of first appearance."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(name_of(entry) or _UNKNOWN, []).append(entry)
    return [_total(name, group) for name, group in groups.items()]


def _total(name: str, entries: Sequence[Entry]) -> Total:
    charged, refunded = sum(each.charged for each in entries), sum(each.refunded for each in entries)
    return Total(name, len(entries), sum(each.pictures for each in entries), charged, refunded, charged - refunded)


def all_totals(entries: Sequence[Entry]) -> dict[str, list[Total]]:
    """By day (oldest first), by model and by engine (the dearest first), and all together."""

    def dearest(name_of: Callable[[Entry], str]) -> list[Total]:
        return sorted(totals(entries, name_of), key=lambda total: (-total.net, total.name))

    return {
        "by_day": sorted(totals(entries, lambda entry: entry.day), key=lambda total: total.name),
        "by_model": dearest(lambda entry: entry.model),
        "by_engine": dearest(lambda entry: entry.engine),
        "all": totals(entries, lambda _: "all") or [Total("all", 0, 0, 0, 0, 0)],
    }


def as_csv(entries: Sequence[Entry]) -> str:
    """The entries as CSV with a head line, numbers as numbers, and no text that a spreadsheet would run."""
    seen = {name for entry in entries for name in entry.wallets}
    wallets = [*WALLETS, *sorted(seen - set(WALLETS))]
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    lines.writerow(
        ["when", "asked_by", "model", "engine", "state", "quantity", "pictures", "charged"]
        + [harmless(name) for name in wallets]
        + ["refunded", "net", "key", "workflow_id", "air", "prompt", "tags", "error"]
    )
    for entry in entries:
        when = datetime.fromtimestamp(entry.when).astimezone().isoformat(timespec="seconds")
        row = [when, entry.asked_by, entry.model, entry.engine, entry.state, entry.quantity, entry.pictures]
        row += [entry.charged, *(entry.wallets.get(name, 0) for name in wallets), entry.refunded, entry.net]
        row += [entry.key, entry.workflow_id, entry.air, entry.prompt, ",".join(entry.tags), entry.error]
        lines.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue().rstrip("\n")


def harmless(cell: str) -> str:
    """A text that a spreadsheet takes for text: what looks like a formula gets an apostrophe before it, which
    spreadsheets do not show.

    assert harmless("=1+1") == "'=1+1" and harmless("a=1") == "a=1"
    """
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell
