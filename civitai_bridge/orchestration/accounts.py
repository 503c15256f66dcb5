"""Whose purchase it is. One of another account or address is left alone, whatever is asked of it."""

from __future__ import annotations

from ..errors import NoKey
from ..settings import Settings
from . import report
from .journal import Journal
from .purchase import ACCEPTED, FINISHED, SENT, UNCONFIRMED, Purchase


def need_key(settings: Settings) -> None:
    """Raises NoKey where the settings have none."""
    if not settings.key:
        raise NoKey


def is_ours(purchase: Purchase, settings: Settings) -> bool:
    return purchase.account == settings.account and purchase.base == settings.base


def named(journal: Journal, name: str, settings: Settings) -> Purchase | None:
    """The purchase of this key or workflow id (reads the journal; not for the event loop). Raises AnotherAccount."""
    purchase = journal.get(name)
    if purchase is not None and not is_ours(purchase, settings):
        raise report.another_account(purchase, settings.base)
    return purchase


def waiting(journal: Journal, settings: Settings) -> list[Purchase]:
    """Purchases whose pictures nobody has been given yet, oldest first (reads the journal; not for the event loop)."""
    return [row for row in journal.rows((FINISHED, ACCEPTED, SENT, UNCONFIRMED)) if is_ours(row, settings)]
