"""The journal: one SQLite file of purchases that outlives every crash.

One row is one purchase: its key is the `externalId`, random, made once. Key and exact body are on disk before the
first POST leaves (WAL, `synchronous=FULL`). Limits are checked in the transaction that writes the row, so racing
nodes, prompts and servers cannot pass them together. A row has one owner at a time, with a heartbeat; whoever finds
the heart stopped may take it over. Rows belong to a user and a service and are never touched for another.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import AnotherAccount, StateTrouble
from ..model_files.database import Database
from . import purchase_table as table
from .limits import Limits, check_limits
from .owners import HEART_STOPS, Hearts
from .purchase import ACCEPTED, CANCELED, PLANNED, SENT, UNCONFIRMED, Attempt, Buyer, PlannedPurchase, Purchase

_NOTHING_SENT = "Nothing was sent without it."
_ROW_KEPT = "What was ordered keeps its key there, so nothing is paid twice; queue the same graph again later."


class Journal:
    """Safe to use from several threads and processes at once; every method is one transaction.

    `clock` is seconds since the epoch, `monotonic` seconds that only pass; `patience` is how long another program's
    write is waited for. Every method raises StateTrouble where the file cannot be used or has no such purchase."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        heart_stops: float = HEART_STOPS,
        patience: float = 30.0,
    ) -> None:
        self.clock = clock
        self._hearts = Hearts(heart_stops, monotonic)
        self.heart_stops = heart_stops
        called = f"The journal {path.name} in the state folder"
        self.database = Database(
            path,
            table.SCHEMA,
            called=called,
            if_damaged="move it away to start a new one, and keep it: it names what was paid",
            consequence=_NOTHING_SENT,
            migrate=table.bring_up_to_date,
            patience=patience,
        )
        if not self.database.can_lock():
            raise StateTrouble(
                f"The state folder {path.parent} lies on a drive that cannot lock files, so two programs could "
                "buy the same twice. Set CIVITAI_BRIDGE_HOME to a folder on a local drive. Nothing was sent."
            )
        with self.database.transaction(_NOTHING_SENT) as connection:
            _close_unsent(connection, self._hearts, clock())

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def get(self, name: str) -> Purchase | None:
        """A purchase by its key or its workflow id, the oldest where there are several."""
        query = "SELECT * FROM purchases WHERE key = ? OR (workflow_id = ? AND workflow_id != '') ORDER BY created"
        with self.database.transaction(_ROW_KEPT) as connection:
            row = connection.execute(query, (name, name)).fetchone()
            return table.purchase_from_row(row) if row else None

    def rows(self, states: Iterable[str] = ()) -> list[Purchase]:
        """All purchases, oldest first, or those in the named states; without their bodies."""
        with self.database.transaction(_ROW_KEPT) as connection:
            return table.read_all(connection, states)

    def attempts(self, key: str) -> list[Attempt]:
        """Every POST of the order so far, in order."""
        query = "SELECT number, started, outcome FROM attempts WHERE key = ? ORDER BY number"
        with self.database.transaction(_ROW_KEPT) as connection:
            return [Attempt(*row) for row in connection.execute(query, (key,)).fetchall()]

    def reserve(
        self,
        planned: Sequence[PlannedPurchase],
        limits: Limits,
        *,
        usable: Callable[[PlannedPurchase, Purchase], bool],
        owner: Callable[[PlannedPurchase], str],
    ) -> list[Purchase]:
        """In one transaction: for each planned purchase the row that serves it, a living one of the same request, a
        collected one that is `usable` for it, or a new one.

        New rows are checked together against the limits first; if they do not fit, none is written and LimitReached
        is raised. A row returned with `owner(planned)` as its owner is the caller's to carry on; any other has an
        owner who is alive."""
        now = self.clock()
        with self.database.transaction(_NOTHING_SENT) as connection:
            _close_unsent(connection, self._hearts, now)
            serving: list[str] = []
            fresh: dict[str, PlannedPurchase] = {}  # by request; a prompt has one buyer
            for each in planned:
                equal = table.find_equal(connection, each.request_hash, each.buyer, partial(usable, each))
                if equal is None and each.reuse_paid:
                    _refuse(table.find_doubtful(connection, each.request_hash, each.buyer))
                serving.append(equal.key if equal else fresh.setdefault(each.request_hash, each).key)
            _check_limits(connection, list(fresh.values()), limits, now)
            for each in fresh.values():
                table.insert(connection, each, owner(each), now)
            return [table.read(connection, key) for key in serving]

    def readmit(self, key: str, price: int, prompt_id: str, limits: Limits) -> Purchase:
        """Let an order that nobody answered be sent once more, as if it were new: it counts from now on, for this
        prompt. Raises LimitReached."""
        now = self.clock()
        with self.database.transaction(_NOTHING_SENT) as connection:
            row = table.read(connection, key)
            price = max(price, row.price)
            buyer = Buyer(row.account, row.base, row.user_id)
            again = PlannedPurchase(key, row.request_hash, buyer, "", price, prompt_id)
            _check_limits(connection, [again], limits, now)
            table.update(connection, key, {"price": price, "prompt_id": prompt_id, "created": now}, now)
            return table.read(connection, key)

    def begin_attempt(self, key: str, owner: str) -> int | None:
        """Note that the POST is about to leave and return the attempt's number.

        None when it must not: the row has another owner by now, or a person wants it cancelled."""
        now = self.clock()
        with self.database.transaction(_NOTHING_SENT) as connection:
            row = table.read(connection, key)
            if row.owner != owner or row.state not in (PLANNED, SENT, UNCONFIRMED) or row.cancel_wanted:
                return None
            number = connection.execute("SELECT COUNT(*) FROM attempts WHERE key = ?", (key,)).fetchone()[0] + 1
            connection.execute("INSERT INTO attempts (key, number, started) VALUES (?, ?, ?)", (key, number, now))
            table.update(connection, key, {"state": SENT, "heartbeat": now}, now)
            return number

    def end_attempt(self, key: str, number: int, outcome: str) -> None:
        """Note what came of a POST, in the words of `Attempt.outcome`."""
        with self.database.transaction(_ROW_KEPT) as connection:
            _end_attempt(connection, key, number, outcome)

    def accepted(self, key: str, number: int | None, *, owner: str, workflow_id: str, **facts: Any) -> Purchase:
        """The service has the order: what came of the attempt, the id and the state in one transaction. The id is
        written whoever owns the row by now; the rest as `record` does it."""
        now = self.clock()
        with self.database.transaction(_ROW_KEPT) as connection:
            if number is not None:
                _end_attempt(connection, key, number, f"accepted: {workflow_id}")
            row = table.read(connection, key)
            if row.owner == owner or not row.workflow_id:
                columns = table.columns_of(row, {"state": ACCEPTED, **facts, "workflow_id": workflow_id})
                table.update(connection, key, columns, now)
            return table.read(connection, key)

    def record(self, key: str, *, owner: str | None = None, **facts: Any) -> Purchase:
        """Write what is now known: any of state, price, debited, credited, wallets, workflow_id, slots, error, about.

        With `owner`, nothing is written once somebody else owns the row; the row as it is comes back. What may not
        change any more (`purchase_table.columns_of`) stays."""
        with self.database.transaction(_ROW_KEPT) as connection:
            row = table.read(connection, key)
            if owner is None or row.owner == owner:
                table.update(connection, key, table.columns_of(row, facts), self.clock())
            return table.read(connection, key)

    def want_cancel(self, key: str) -> Purchase:
        """A person wants it cancelled. What has not left never leaves; the rest is asked for as soon as its id is
        known."""
        now = self.clock()
        with self.database.transaction(_ROW_KEPT) as connection:
            row = table.read(connection, key)
            ended = table.columns_of(row, {"state": CANCELED}) if row.state == PLANNED else {}
            table.update(connection, key, {"cancel_wanted": row.cancels + 1, **ended}, now)
            return table.read(connection, key)

    def take(self, key: str, owner: str, *, forget_cancels: int = 0) -> Purchase | None:
        """Become the owner of a row whose owner is gone; None when somebody alive has it.

        `forget_cancels`: a person asks again for what was to be cancelled, and saw this many wishes. Unless another
        came since, they are taken back: nobody carries them out any more."""
        now = self.clock()
        with self.database.transaction(_ROW_KEPT) as connection:
            row = table.read(connection, key)
            if row.owner and row.owner != owner and not self._hearts.stopped(row, now):
                return None
            connection.execute("UPDATE purchases SET owner = ?, heartbeat = ? WHERE key = ?", (owner, now, key))
            if forget_cancels and row.cancels == forget_cancels:
                connection.execute("UPDATE purchases SET cancel_wanted = 0 WHERE key = ?", (key,))
            return table.read(connection, key)

    def beat(self, key: str, owner: str) -> Purchase:
        """Say that the owner lives, and see whether a cancel is wanted."""
        now = self.clock()
        with self.database.transaction(_ROW_KEPT) as connection:
            connection.execute("UPDATE purchases SET heartbeat = ? WHERE key = ? AND owner = ?", (now, key, owner))
            return table.read(connection, key)

    def release(self, key: str, owner: str) -> None:
        """Give a row up, so that the next one need not wait for the heart to stop."""
        with self.database.transaction(_ROW_KEPT) as connection:
            connection.execute(
                "UPDATE purchases SET owner = '', heartbeat = 0 WHERE key = ? AND owner = ?", (key, owner)
            )


def find_equal(
    journal: Journal, request_hash: str, buyer: Buyer, *, usable: Callable[[Purchase], bool]
) -> Purchase | None:
    """The buyer's oldest purchase of a request that is under way or not collected; else the newest collected one that
    is `usable`."""
    with journal.database.transaction(_NOTHING_SENT) as connection:
        return table.find_equal(connection, request_hash, buyer, usable)


def equal_purchases(journal: Journal, request_hash: str) -> list[Purchase]:
    """Every purchase of a request that is alive or collected, whosever it is, oldest first."""
    with journal.database.transaction(_ROW_KEPT) as connection:
        return table.equal(connection, request_hash)


def refuse_doubtful(journal: Journal, request_hash: str, buyer: Buyer) -> None:
    """Raise AnotherAccount where an equal purchase is alive and nobody can tell whether it is the buyer's."""
    with journal.database.transaction(_NOTHING_SENT) as connection:
        _refuse(table.find_doubtful(connection, request_hash, buyer))


def rollback_note(journal: Journal) -> str:
    """A sentence for the report when the file system cannot do WAL, else nothing."""
    mode = journal.database.mode
    if mode == "wal":
        return ""
    return f"The state folder's drive cannot do SQLite's WAL; the journal runs with a rollback journal ({mode})."


def _refuse(purchase: Purchase | None) -> None:
    if purchase is not None:
        raise AnotherAccount(
            f"An equal order ({purchase.workflow_id or purchase.key}) was bought with another key and is not over, and "
            "CivitAI does not say now whether that key is yours. So that nothing is paid twice, nothing was bought. "
            "Ask again later; with `reuse_paid` off (in the shell: `--no-reuse`) it is bought in any case."
        )


def _close_unsent(connection: sqlite3.Connection, hearts: Hearts, now: float) -> None:
    """What never left and has no owner any more holds no Buzz: its process ended before the POST, or before one that
    reached CivitAI and was not refused."""
    for purchase in table.read_all(connection, (PLANNED, SENT)):
        if (not purchase.owner or hearts.stopped(purchase, now)) and _never_left(connection, purchase):
            facts = {"state": CANCELED, "error": "never sent: its process ended before the order left"}
            columns = table.columns_of(table.read(connection, purchase.key), facts)
            table.update(connection, purchase.key, columns, now)


def _never_left(connection: sqlite3.Connection, purchase: Purchase) -> bool:
    query = "SELECT number, started, outcome FROM attempts WHERE key = ?"
    attempts = [Attempt(*row) for row in connection.execute(query, (purchase.key,)).fetchall()]
    unclear = any(attempt.unclear or attempt.workflow_id for attempt in attempts)
    return not unclear and (bool(attempts) or purchase.state == PLANNED)


def _end_attempt(connection: sqlite3.Connection, key: str, number: int, outcome: str) -> None:
    connection.execute("UPDATE attempts SET outcome = ? WHERE key = ? AND number = ?", (outcome, key, number))


def _check_limits(
    connection: sqlite3.Connection, planned: Sequence[PlannedPurchase], limits: Limits, now: float
) -> None:
    """Raise LimitReached where what is planned, all at one address, does not fit beside what was spent there."""
    if planned:
        # The key of the first has a row only when it is admitted again, and then counts by its new price alone.
        spendings = table.spendings(connection, planned[0].buyer.base, but=planned[0].key)
        check_limits(planned, limits, spendings, now)
