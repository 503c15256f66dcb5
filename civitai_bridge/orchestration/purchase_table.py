"""The tables of the journal's file, and how a row of them is read and written, inside the journal's transactions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import StateTrouble
from ..resources.addresses import ORCHESTRATION, ORCHESTRATION_ADDRESSES
from .echo import by_content
from .limits import Spending, net_cost
from .purchase import (
    ALIVE,
    COLLECTED,
    FINISHED,
    NEVER_SENT_AGAIN,
    PLANNED,
    REFUSED,
    UNCONFIRMED,
    UNDER_WAY,
    UNSURE_OR_PAID,
    Buyer,
    PlannedPurchase,
    Purchase,
    PurchasedImage,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS purchases (
    key TEXT PRIMARY KEY,
    request_hash TEXT NOT NULL,
    account TEXT NOT NULL,
    base TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    prompt_id TEXT NOT NULL DEFAULT '',
    price INTEGER NOT NULL,
    debited INTEGER NOT NULL DEFAULT 0,
    credited INTEGER NOT NULL DEFAULT 0,
    wallets TEXT NOT NULL DEFAULT '{}',
    workflow_id TEXT NOT NULL DEFAULT '',
    cancel_wanted INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    heartbeat REAL NOT NULL DEFAULT 0,
    about TEXT NOT NULL DEFAULT '{}',
    slots TEXT NOT NULL DEFAULT '[]',
    error TEXT NOT NULL DEFAULT '',
    user_id TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS purchases_by_hash ON purchases (request_hash, account, base);
CREATE INDEX IF NOT EXISTS purchases_by_account ON purchases (account);
CREATE INDEX IF NOT EXISTS purchases_by_time ON purchases (base, created);
CREATE INDEX IF NOT EXISTS purchases_by_workflow ON purchases (workflow_id);
CREATE TABLE IF NOT EXISTS attempts (
    key TEXT NOT NULL,
    number INTEGER NOT NULL,
    started REAL NOT NULL,
    outcome TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (key, number)
);
CREATE TABLE IF NOT EXISTS users (
    account TEXT PRIMARY KEY,
    user_id TEXT NOT NULL
);
"""
VERSION = 1  # of the file: 0 = rows belonged to keys and addresses, and ended ones kept their source pictures
_COLUMNS = (
    *("key", "request_hash", "account", "base", "state", "body", "created", "updated", "prompt_id", "price", "debited"),
    *(
        "credited",
        "wallets",
        "workflow_id",
        "cancel_wanted",
        "owner",
        "heartbeat",
        "about",
        "slots",
        "error",
        "user_id",
    ),
)
_SHORT = ", ".join("'' AS body" if name == "body" else name for name in _COLUMNS)
_FACTS = frozenset(
    {"state", "price", "debited", "credited", "wallets", "workflow_id", "slots", "error", "about", "user_id"}
)
_NEWER = (
    "The journal in the state folder was written by a newer version of this pack, which may mean other things by it. "
    "Update the pack. Nothing was sent."
)


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Take over what an earlier version wrote. Raises StateTrouble for a file of a newer one."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    columns = [row[1] for row in connection.execute("PRAGMA table_info(purchases)")]
    if version > VERSION or set(columns) - set(_COLUMNS):
        raise StateTrouble(_NEWER)
    if "user_id" not in columns:
        connection.execute("ALTER TABLE purchases ADD COLUMN user_id TEXT NOT NULL DEFAULT ''")
    if version < VERSION:
        for address in ORCHESTRATION_ADDRESSES[1:]:
            connection.execute("UPDATE purchases SET base = ? WHERE base = ?", (ORCHESTRATION, address))
        ended = f"SELECT key, body FROM purchases WHERE state IN ({_marks(NEVER_SENT_AGAIN)}) AND body LIKE '%\"data:%'"
        for key, body in connection.execute(ended, NEVER_SENT_AGAIN).fetchall():
            connection.execute("UPDATE purchases SET body = ? WHERE key = ?", (without_pictures(body), key))
        connection.execute(f"PRAGMA user_version = {VERSION}")


def without_pictures(body: str) -> str:
    """The text of an order with every picture replaced by its SHA-256, as the request's hash has it."""
    try:
        return json.dumps(by_content(json.loads(body)), ensure_ascii=False, separators=(",", ":"))
    except ValueError:  # empty since an earlier version, or damaged
        return ""


def purchase_from_row(row: sqlite3.Row) -> Purchase:
    """A row of `purchases` as a value."""
    values = dict(row)
    values["cancels"] = values["cancel_wanted"]
    values["cancel_wanted"] = bool(values["cancel_wanted"])
    values["wallets"] = json.loads(values["wallets"])
    values["about"] = json.loads(values["about"])
    try:
        values["slots"] = tuple(PurchasedImage(**slot) for slot in json.loads(values["slots"]))
    except TypeError as error:
        raise StateTrouble(_NEWER) from error
    return Purchase(**values)


def read(connection: sqlite3.Connection, key: str) -> Purchase:
    """One purchase by its key. Raises StateTrouble where there is none."""
    row = connection.execute("SELECT * FROM purchases WHERE key = ?", (key,)).fetchone()
    if row is None:
        raise StateTrouble(f"The journal has no purchase {key!r}. `civitai-bridge journal list` shows what it has.")
    return purchase_from_row(row)


def read_all(connection: sqlite3.Connection, states: Iterable[str]) -> list[Purchase]:
    """All purchases, oldest first, or those in the named states; without their bodies."""
    chosen = list(states)
    where = f"WHERE state IN ({_marks(chosen)})" if chosen else ""
    rows = connection.execute(f"SELECT {_SHORT} FROM purchases {where} ORDER BY created, rowid", chosen)
    return [purchase_from_row(row) for row in rows.fetchall()]


def find_equal(
    connection: sqlite3.Connection, request_hash: str, buyer: Buyer, usable: Callable[[Purchase], bool]
) -> Purchase | None:
    """The buyer's oldest purchase of a request that is under way or not collected; else the newest collected one that
    is `usable`. What runs as the twin of another serves only where nothing else does."""
    purchases = [purchase for purchase in equal(connection, request_hash) if buyer.owns(purchase)]
    collected = (purchase for purchase in reversed(purchases) if purchase.state == COLLECTED)
    newest = next(filter(usable, collected), None)
    for purchase in purchases:
        # Also one that a person wants cancelled: until it is over, nobody knows whether it is paid and finishes. What
        # was handed over once, less a picture that may still come, is not new to whoever buys deliberately.
        handed_over = purchase.state == FINISHED and purchase.about.get("handed_over")
        runs_beside = newest is not None and purchase.state in UNDER_WAY and "twin_of" in purchase.about
        if purchase.state in ALIVE and not runs_beside and (not handed_over or usable(purchase)):
            return purchase
    return newest


def find_doubtful(connection: sqlite3.Connection, request_hash: str, buyer: Buyer) -> Purchase | None:
    """An equal purchase that is alive, of another key, while nobody can tell whether that key is the same user's."""
    alive = [purchase for purchase in equal(connection, request_hash) if purchase.state in ALIVE]
    return next((purchase for purchase in alive if buyer.may_own(purchase)), None)


def equal(connection: sqlite3.Connection, request_hash: str) -> list[Purchase]:
    """Every purchase of a request that is alive or collected, oldest first, without bodies."""
    states = (*ALIVE, COLLECTED)
    query = f"SELECT {_SHORT} FROM purchases WHERE request_hash = ? AND state IN ({_marks(states)})"
    rows = connection.execute(f"{query} ORDER BY created, rowid", (request_hash, *states))
    return [purchase_from_row(row) for row in rows.fetchall()]


def insert(connection: sqlite3.Connection, planned: PlannedPurchase, owner: str, now: float) -> None:
    """Write a new purchase down, owned by whoever carries it on."""
    columns = {
        "key": planned.key,
        "request_hash": planned.request_hash,
        "account": planned.buyer.account,
        "base": planned.buyer.base,
        "user_id": planned.buyer.user_id,
        "state": PLANNED,
        "body": planned.body,
        "created": now,
        "updated": now,
        "prompt_id": planned.prompt_id,
        "price": planned.price,
        "about": json.dumps(dict(planned.about)),
        "owner": owner,
        "heartbeat": now,
    }
    insert_row(connection, columns)


def insert_row(connection: sqlite3.Connection, columns: Mapping[str, Any]) -> None:
    """Write a new row of these columns, the rest at their defaults."""
    names = ", ".join(columns)
    connection.execute(f"INSERT INTO purchases ({names}) VALUES ({_marks(columns)})", tuple(columns.values()))


def read_twins(connection: sqlite3.Connection, key: str) -> list[Purchase]:
    """The rows of the twins of a purchase, in the order in which they were entered."""
    start = f"{key}-twin-"
    rows = connection.execute("SELECT * FROM purchases WHERE substr(key, 1, ?) = ? ORDER BY rowid", (len(start), start))
    return [purchase_from_row(row) for row in rows.fetchall()]


def update(connection: sqlite3.Connection, key: str, columns: Mapping[str, Any], now: float) -> None:
    """Write columns of a purchase, and that it changed now."""
    assignments = ", ".join(f"{name} = ?" for name in (*columns, "updated"))
    connection.execute(f"UPDATE purchases SET {assignments} WHERE key = ?", (*columns.values(), now, key))


def columns_of(purchase: Purchase, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The columns for what became known of a purchase. The price only rises (the higher figure counts), one that was
    collected stays collected, and one that has a workflow is never said to have been refused."""
    if unknown := facts.keys() - _FACTS:
        raise TypeError(f"no such column: {', '.join(sorted(unknown))}")
    columns = dict(facts)
    for name in {"wallets", "about"} & facts.keys():
        columns[name] = json.dumps(dict(facts[name]))
    if "slots" in facts:
        columns["slots"] = json.dumps([vars(image) for image in facts["slots"]])
    if "price" in facts:
        columns["price"] = max(facts["price"], purchase.price)
    if purchase.state == COLLECTED or (purchase.workflow_id and facts.get("state") in (REFUSED, UNCONFIRMED)):
        columns.pop("state", None)
    if columns.get("state") in NEVER_SENT_AGAIN:
        columns["body"] = without_pictures(purchase.body)  # with pictures it is large
    if purchase.user_id:
        columns.pop("user_id", None)
    return columns


def spendings(connection: sqlite3.Connection, base: str, *, but: str = "") -> list[Spending]:
    """What every purchase at an address counts, oldest first; `but` is the key of one that is left out."""
    rows = connection.execute(
        "SELECT created, prompt_id, state, workflow_id, price, debited, credited FROM purchases "
        f"WHERE base = ? AND state IN ({_marks(UNSURE_OR_PAID)}) AND key != ? ORDER BY created",
        (base, *UNSURE_OR_PAID, but),
    )
    return [Spending(created, prompt_id, net_cost(*money)) for created, prompt_id, *money in rows.fetchall()]


def _marks(values: Iterable[Any]) -> str:
    return ", ".join("?" for _ in values)
