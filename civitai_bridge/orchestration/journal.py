"""The journal: what was ordered, what it costs, what came back. One SQLite file that outlives every crash.

    planned ──> sent ──> accepted ──> finished ──> collected
       │          │          │
       │          ├─> refused (nothing was paid)
       │          └─> unconfirmed (nobody knows; found by tag or sent again with the same key)
       └─> canceled          └─> failed, canceled

One row is one purchase: its key is the `externalId`, random, made once. Key and exact body are on disk before the
first POST leaves (WAL, `synchronous=FULL`). Limits are checked in the transaction that writes the row, so racing
nodes, prompts and servers cannot pass them together. A row has one owner at a time, with a heartbeat; whoever finds
the heart stopped may take it over. Rows belong to an account and an address and are never touched for another.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LimitReached, StateTrouble

DAY = 24 * 3600.0
MONTH = 30 * DAY
HEART_STOPS = 20.0  # seconds without a beat after which a row may be taken over; a story beats every 3 s

PLANNED, SENT, ACCEPTED, FINISHED, COLLECTED = "planned", "sent", "accepted", "finished", "collected"
REFUSED, CANCELED, FAILED, UNCONFIRMED = "refused", "canceled", "failed", "unconfirmed"

ALIVE = (PLANNED, SENT, UNCONFIRMED, ACCEPTED, FINISHED)
_UNSURE_OR_PAID = (PLANNED, SENT, UNCONFIRMED, ACCEPTED, FINISHED, COLLECTED, FAILED, CANCELED)

_NOTHING_SENT = "Nothing was sent without it."
_ROW_KEPT = "What was ordered keeps its key there, so nothing is paid twice; queue the same graph again later."
_FACTS = frozenset({"state", "price", "debited", "credited", "wallets", "workflow_id", "slots", "error", "about"})

_SCHEMA = """
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
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS purchases_by_hash ON purchases (request_hash, account, base);
CREATE INDEX IF NOT EXISTS purchases_by_time ON purchases (base, created);
CREATE INDEX IF NOT EXISTS purchases_by_workflow ON purchases (workflow_id);
CREATE TABLE IF NOT EXISTS attempts (
    key TEXT NOT NULL,
    number INTEGER NOT NULL,
    started REAL NOT NULL,
    outcome TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (key, number)
);
"""


@dataclass(frozen=True)
class PurchasedImage:
    """One picture of a purchase: where it is, or why it is not there. `pending` = it may still come; `blocked` = it was
    made and is withheld."""

    index: int
    seed: int | None
    blob_id: str = ""
    sha256: str = ""
    file: str = ""
    width: int | None = None
    height: int | None = None
    reason: str = ""
    pending: bool = False
    blocked: bool = False

    @property
    def here(self) -> bool:
        return bool(self.sha256)


@dataclass(frozen=True)
class Attempt:
    """One POST of an order. `outcome` is `accepted: ID`, `refused: …`, `not sent: …`, `unclear: …` (it was answered,
    and nobody knows what was done), `cut off: …` or `""`: no answer came, so it may still be worked on."""

    number: int
    started: float
    outcome: str

    @property
    def workflow_id(self) -> str:
        return self.outcome[len("accepted: ") :] if self.outcome.startswith("accepted: ") else ""

    @property
    def cut_off(self) -> bool:
        return not self.outcome or self.outcome.startswith("cut off")

    @property
    def unclear(self) -> bool:
        return not self.outcome.startswith(("refused", "not sent", "accepted"))


@dataclass(frozen=True)
class Purchase:
    """One purchase as it stands. Money is whole Buzz, times are seconds since the epoch; `cancels` counts the wishes to
    cancel that stand, `cancel_wanted` says that there is one. Lists of rows come without `body`."""

    key: str
    request_hash: str
    account: str
    base: str
    state: str
    body: str = field(repr=False)
    created: float
    updated: float
    prompt_id: str
    price: int
    debited: int
    credited: int
    wallets: Mapping[str, int]
    workflow_id: str
    cancel_wanted: bool
    cancels: int
    owner: str
    heartbeat: float
    about: Mapping[str, Any]
    slots: tuple[PurchasedImage, ...]
    error: str

    @property
    def cost(self) -> int:
        """Net Buzz: what was taken less what came back; the price while nothing is known."""
        return (self.debited if self.debited else self.price) - self.credited if self.state != REFUSED else 0


@dataclass(frozen=True)
class Plan:
    """A purchase that is about to be made; `body` is the exact text to send, its `externalId` is `key`. `reuse_paid` =
    an equal purchase that was collected before may serve in its place."""

    key: str
    request_hash: str
    account: str
    base: str
    body: str = field(repr=False)
    price: int
    prompt_id: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    reuse_paid: bool = True


@dataclass(frozen=True)
class Limits:
    """Buzz for one prompt and for the last 24 hours."""

    per_prompt: int
    per_day: int


def new_key() -> str:
    """A key for one purchase: random, never derived from the request, inside `^[A-Za-z0-9_-]{1,128}$`."""
    return f"cb-{uuid.uuid4().hex}"


class Journal:
    """Safe to use from several threads and processes at once; every method is one transaction."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        heart_stops: float = HEART_STOPS,
        patience: float = 30.0,
    ) -> None:
        self._path = path
        self._clock = clock
        self._monotonic = monotonic
        self.heart_stops = heart_stops
        self._hearts: dict[str, tuple[tuple[str, float], float]] = {}
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                # Only where nothing is there: closing a second descriptor of a database drops the locks that this
                # process holds on it (sqlite.org/howtocorrupt.html §2.2), and its WAL would be taken away beside it.
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            os.chmod(path, 0o600)
            self._db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self.mode = str(self._db.execute("PRAGMA journal_mode=WAL").fetchone()[0])
            self._db.execute("PRAGMA synchronous=FULL")
            if self.mode.lower() != "wal":
                self._need_locks()
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StateTrouble(_in_words(path, error, _NOTHING_SENT)) from error

    def _need_locks(self) -> None:
        """A drive that cannot do WAL may not lock either, and then two servers could pass a limit together."""
        other = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            self._db.execute("BEGIN EXCLUSIVE")
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return  # it locks, as it should
            finally:
                self._db.execute("ROLLBACK")
            raise StateTrouble(
                f"The state folder {self._path.parent} lies on a drive that cannot lock files, so two programs could "
                "buy the same twice. Set CIVITAI_BRIDGE_HOME to a folder on a local drive. Nothing was sent."
            )
        finally:
            other.close()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @property
    def note(self) -> str:
        """A sentence for the report when the file system cannot do WAL, else nothing."""
        if self.mode.lower() == "wal":
            return ""
        return (
            f"The state folder's drive cannot do SQLite's WAL; the journal runs with a rollback journal ({self.mode})."
        )

    # --- buying -----------------------------------------------------------------------------------------------

    def find(
        self, request_hash: str, account: str, base: str, *, usable: Callable[[Purchase], bool]
    ) -> Purchase | None:
        """The oldest row of this request that is under way or not collected; else the newest collected one, if it is
        `usable`."""
        with self._transaction(_NOTHING_SENT) as db:
            return self._find(db, request_hash, account, base, usable)

    def reserve(
        self,
        plans: Sequence[Plan],
        limits: Limits,
        *,
        usable: Callable[[Plan, Purchase], bool],
        owner: Callable[[Plan], str],
    ) -> list[Purchase]:
        """In one transaction: for each plan the row that serves it, a living one of the same request, a collected one
        that is `usable` for it, or a new one.

        New rows are checked together against the limits first; if they do not fit, none is written and LimitReached
        is raised. A row returned with `owner(plan)` as its owner is the caller's to carry on; any other has an owner
        who is alive."""
        now = self._clock()
        with self._transaction(_NOTHING_SENT) as db:
            served: dict[int, str] = {}
            fresh: list[tuple[int, Plan]] = []
            # What never left and has no owner any more never cost anything: its process died before the POST.
            for found in db.execute("SELECT * FROM purchases WHERE state = ?", (PLANNED,)).fetchall():
                if self._heart_stopped(_row(found), now):
                    self._set(db, found["key"], {"state": CANCELED, "error": "never sent"}, now)
            by_hash: dict[tuple[str, str, str], str] = {}
            for place, plan in enumerate(plans):
                same = (plan.request_hash, plan.account, plan.base)
                row = self._find(db, *same, lambda row, plan=plan: usable(plan, row))
                if row is not None:
                    served[place] = row.key
                elif same in by_hash:
                    served[place] = by_hash[same]
                else:
                    by_hash[same] = plan.key
                    served[place] = plan.key
                    fresh.append((place, plan))
            self._check_limits(db, [plan for _, plan in fresh], limits, now)
            for _, plan in fresh:
                db.execute(
                    "INSERT INTO purchases (key, request_hash, account, base, state, body, created, updated, "
                    "prompt_id, price, about,"
                    " owner, heartbeat) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (plan.key, plan.request_hash, plan.account, plan.base, PLANNED, plan.body, now, now, plan.prompt_id,
                     plan.price, json.dumps(dict(plan.about)), owner(plan), now),
                )  # fmt: skip
            return [self._get(db, served[place]) for place in range(len(plans))]

    def spent(self, base: str, *, prompt_id: str = "", since: float | None = None) -> int:
        """Net Buzz of this address, reserved ones included: of one prompt, or since a moment."""
        with self._transaction() as db:
            return sum(cost for _, cost in self._costs(db, base, prompt_id=prompt_id, since=since))

    def take(self, key: str, owner: str, *, forget_cancels: int = 0) -> Purchase | None:
        """Become the owner of a row whose owner is gone; None when somebody alive has it.

        `forget_cancels`: a person asks anew for what was to be cancelled, and saw this many wishes. Unless another
        came since, they are taken back: nobody carries them out any more."""
        now = self._clock()
        with self._transaction() as db:
            row = self._get(db, key)
            if row.owner and row.owner != owner and not self._heart_stopped(row, now):
                return None
            db.execute("UPDATE purchases SET owner = ?, heartbeat = ? WHERE key = ?", (owner, now, key))
            if forget_cancels and row.cancels == forget_cancels:
                db.execute("UPDATE purchases SET cancel_wanted = 0 WHERE key = ?", (key,))
            return self._get(db, key)

    def _heart_stopped(self, row: Purchase, now: float) -> bool:
        """Whether a row's owner is gone: no beat for long by the clock, and none while we watched. The clock alone may
        have jumped."""
        sign, here = (row.owner, row.heartbeat), self._monotonic()
        seen, since = self._hearts.get(row.key, (None, 0.0))
        if seen != sign:
            self._hearts[row.key] = (sign, here)
            since = here
        return abs(now - row.heartbeat) >= self.heart_stops and here - since >= self.heart_stops / 3

    def beat(self, key: str, owner: str) -> Purchase:
        """Say that the owner lives, and see whether a cancel is wanted."""
        with self._transaction() as db:
            db.execute("UPDATE purchases SET heartbeat = ? WHERE key = ? AND owner = ?", (self._clock(), key, owner))
            return self._get(db, key)

    def release(self, key: str, owner: str) -> None:
        with self._transaction() as db:
            db.execute("UPDATE purchases SET owner = '', heartbeat = 0 WHERE key = ? AND owner = ?", (key, owner))

    def begin_attempt(self, key: str, owner: str) -> int | None:
        """Note that the POST is about to leave and return the attempt's number.

        None when it must not: the row has another owner by now, or a person wants it cancelled."""
        now = self._clock()
        with self._transaction(_NOTHING_SENT) as db:
            row = self._get(db, key)
            if row.owner != owner or row.state not in (PLANNED, SENT, UNCONFIRMED) or row.cancel_wanted:
                return None
            number = db.execute("SELECT COUNT(*) FROM attempts WHERE key = ?", (key,)).fetchone()[0] + 1
            db.execute("INSERT INTO attempts (key, number, started) VALUES (?, ?, ?)", (key, number, now))
            db.execute(
                "UPDATE purchases SET state = ?, updated = ?, heartbeat = ? WHERE key = ?", (SENT, now, now, key)
            )
            return number

    def readmit(self, key: str, price: int, prompt_id: str, limits: Limits) -> Purchase:
        """Let an order that nobody answered be sent once more, as if it were new: it counts from now on, for this
        prompt. Raises LimitReached."""
        now = self._clock()
        with self._transaction(_NOTHING_SENT) as db:
            row = self._get(db, key)
            price = max(price, row.price)
            plan = Plan(key, row.request_hash, row.account, row.base, "", price, prompt_id)
            self._check_limits(db, [plan], limits, now)
            self._set(db, key, {"price": price, "prompt_id": prompt_id, "created": now}, now)
            return self._get(db, key)

    def end_attempt(self, key: str, number: int, outcome: str) -> None:
        with self._transaction() as db:
            db.execute("UPDATE attempts SET outcome = ? WHERE key = ? AND number = ?", (outcome, key, number))

    def attempts(self, key: str) -> list[Attempt]:
        """Every POST of the order so far, in order."""
        with self._transaction() as db:
            rows = db.execute("SELECT number, started, outcome FROM attempts WHERE key = ? ORDER BY number", (key,))
            return [Attempt(*row) for row in rows.fetchall()]

    def accepted(self, key: str, number: int | None, *, owner: str, workflow_id: str, **facts: Any) -> Purchase:
        """The service has the order: what came of the attempt, the id and the state in one transaction. The id is
        written whoever owns the row by now; the rest as `record` does it."""
        with self._transaction() as db:
            if number is not None:
                outcome = f"accepted: {workflow_id}"
                db.execute("UPDATE attempts SET outcome = ? WHERE key = ? AND number = ?", (outcome, key, number))
            row = self._get(db, key)
            if row.owner == owner or not row.workflow_id:
                self._record(db, row, {**facts, "workflow_id": workflow_id})
            return self._get(db, key)

    def want_cancel(self, key: str) -> Purchase:
        """A person wants it cancelled. What has not left never leaves; the rest is asked for as soon as its id is
        known."""
        now = self._clock()
        with self._transaction() as db:
            db.execute("UPDATE purchases SET cancel_wanted = cancel_wanted + 1, updated = ? WHERE key = ?", (now, key))
            db.execute("UPDATE purchases SET state = ? WHERE key = ? AND state = ?", (CANCELED, key, PLANNED))
            return self._get(db, key)

    # --- what became of it ------------------------------------------------------------------------------------

    def record(self, key: str, *, owner: str | None = None, **facts: Any) -> Purchase:
        """Write what is now known: any of state, price, debited, credited, wallets, workflow_id, slots, error, about.

        With `owner`, nothing is written once somebody else owns the row; the row as it is comes back. The price only
        rises (the higher figure counts), a row that was collected stays collected, and one that has a workflow is
        never said to have been refused."""
        with self._transaction() as db:
            row = self._get(db, key)
            if owner is None or row.owner == owner:
                self._record(db, row, facts)
            return self._get(db, key)

    def _record(self, db: sqlite3.Connection, row: Purchase, facts: Mapping[str, Any]) -> None:
        columns: dict[str, Any] = {}
        for name, value in facts.items():
            if name not in _FACTS:
                raise TypeError(f"no such column: {name}")
            if name == "slots":
                value = json.dumps([vars(slot) for slot in value])
            elif name in {"wallets", "about"}:
                value = json.dumps(dict(value))
            columns[name] = value
        if "price" in columns:
            columns["price"] = max(columns["price"], row.price)
        if row.state == COLLECTED or (row.workflow_id and columns.get("state") in (REFUSED, UNCONFIRMED)):
            columns.pop("state", None)
        if columns.get("state") in (COLLECTED, REFUSED):
            columns["body"] = ""  # it will never be sent again, and with source pictures it is large
        self._set(db, row.key, columns, self._clock())

    def _set(self, db: sqlite3.Connection, key: str, columns: Mapping[str, Any], now: float) -> None:
        sets = ", ".join(f"{name} = ?" for name in (*columns, "updated"))
        db.execute(f"UPDATE purchases SET {sets} WHERE key = ?", (*columns.values(), now, key))

    def get(self, key: str) -> Purchase | None:
        with self._transaction() as db:
            found = db.execute("SELECT * FROM purchases WHERE key = ?", (key,)).fetchone()
            return _row(found) if found else None

    def by_workflow(self, workflow_id: str) -> Purchase | None:
        with self._transaction() as db:
            found = db.execute(
                "SELECT * FROM purchases WHERE workflow_id = ? ORDER BY created", (workflow_id,)
            ).fetchone()
            return _row(found) if found else None

    def rows(self, states: Iterable[str] = ()) -> list[Purchase]:
        """All rows, oldest first, or those in the named states; without their bodies."""
        wanted = list(states)
        where = f"WHERE state IN ({', '.join('?' * len(wanted))})" if wanted else ""
        with self._transaction() as db:
            found = db.execute(f"SELECT {_SHORT} FROM purchases {where} ORDER BY created, rowid", wanted).fetchall()
        return [_row(one) for one in found]

    def open_rows(self) -> list[Purchase]:
        """What still wants a look: under way, not collected, or over (for a month at most) without the refund having
        been seen."""
        now = self._clock()
        return [
            row
            for row in self.rows((*ALIVE, FAILED, CANCELED))
            if row.state in ALIVE
            or (row.workflow_id and max(row.price, row.debited) > row.credited and abs(now - row.created) < MONTH)
        ]

    def kept_files(self) -> dict[str, tuple[float, bool]]:
        """File name in `results/` -> (when its row last changed, whether every row that names it is collected)."""
        kept: dict[str, tuple[float, bool]] = {}
        for row in self.rows():
            for slot in row.slots:
                if slot.file:
                    when, done = kept.get(slot.file, (0.0, True))
                    kept[slot.file] = (max(when, row.updated), done and row.state == COLLECTED)
        return kept

    # --- inside -----------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, consequence: str = _ROW_KEPT) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise StateTrouble(_in_words(self._path, error, consequence)) from error
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise StateTrouble(_in_words(self._path, error, consequence)) from error
                raise

    def _get(self, db: sqlite3.Connection, key: str) -> Purchase:
        found = db.execute("SELECT * FROM purchases WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise StateTrouble(f"The journal has no purchase {key!r}. `civitai-bridge journal list` shows what it has.")
        return _row(found)

    def _find(
        self, db: sqlite3.Connection, request_hash: str, account: str, base: str, usable: Callable[[Purchase], bool]
    ) -> Purchase | None:
        query = (
            "SELECT * FROM purchases WHERE request_hash = ? AND account = ? AND base = ? AND state IN ({}) ORDER BY {}"
        )
        marks = ", ".join("?" * len(ALIVE))
        # Also a row that a person wants cancelled: until it is over, nobody knows whether it is paid and finishes.
        alive = query.format(marks, "created, rowid")
        for found in db.execute(alive, (request_hash, account, base, *ALIVE)).fetchall():
            row = _row(found)
            # What was handed over once, less a picture that may still come, is not new to whoever buys deliberately.
            if not (row.state == FINISHED and row.about.get("handed_over")) or usable(row):
                return row
        collected = query.format("?", "created DESC, rowid DESC")
        found = db.execute(collected, (request_hash, account, base, COLLECTED)).fetchone()
        return _row(found) if found is not None and usable(_row(found)) else None

    def _costs(
        self, db: sqlite3.Connection, base: str, *, prompt_id: str = "", since: float | None = None, but: str = ""
    ) -> list[tuple[float, int]]:
        marks = ", ".join("?" * len(_UNSURE_OR_PAID))
        query = (
            "SELECT created, state, price, debited, credited, workflow_id FROM purchases WHERE base = ? "
            f"AND state IN ({marks}) AND key != ?"
        )
        values: list[Any] = [base, *_UNSURE_OR_PAID, but]
        if prompt_id:
            query, values = query + " AND prompt_id = ?", [*values, prompt_id]
        if since is not None:
            query, values = query + " AND created > ?", [*values, since]
        costs = []
        for created, state, price, debited, credited, workflow_id in db.execute(
            query + " ORDER BY created", values
        ).fetchall():
            # A row cancelled before it left never cost anything; everything else counts the higher of price and debit.
            cost = 0 if state == CANCELED and not workflow_id else max(price, debited) - credited
            costs.append((created, max(0, cost)))
        return costs

    def _check_limits(self, db: sqlite3.Connection, plans: Sequence[Plan], limits: Limits, now: float) -> None:
        if not plans:
            return
        base, wanted = plans[0].base, sum(plan.price for plan in plans)
        itself = plans[0].key  # it has a row only when it is readmitted
        day = self._costs(db, base, since=now - DAY, but=itself)
        left = limits.per_day - sum(cost for _, cost in day)
        if wanted > left:
            frees_at = next((created + DAY for created, cost in day if cost), None)
            when = f" The oldest part frees at {time.strftime('%H:%M', time.localtime(frees_at))}." if frees_at else ""
            raise LimitReached(
                f"This would cost {wanted} Buzz, and {max(0, left)} of the day's limit of {limits.per_day} are left "
                f"(setting limit_buzz_per_day).{when} Nothing was bought.",
                limit="limit_buzz_per_day",
                left=max(0, left),
                frees_at=frees_at,
            )
        for prompt_id in sorted({plan.prompt_id for plan in plans if plan.prompt_id} or {""}):
            mine = sum(plan.price for plan in plans if plan.prompt_id == prompt_id)
            before = sum(cost for _, cost in self._costs(db, base, prompt_id=prompt_id, but=itself)) if prompt_id else 0
            left = limits.per_prompt - before
            if mine > left:
                bought = f" {before} Buzz of this prompt are spent or reserved already." if before else ""
                raise LimitReached(
                    f"This would cost {mine} Buzz, and {max(0, left)} of the limit of {limits.per_prompt} for "
                    "one prompt are left "
                    f"(setting limit_buzz_per_prompt).{bought} Nothing more was bought.",
                    limit="limit_buzz_per_prompt",
                    left=max(0, left),
                )


_SHORT = ", ".join(
    "'' AS body" if name == "body" else name
    for name in (
        *("key", "request_hash", "account", "base", "state", "body", "created", "updated", "prompt_id", "price"),
        *("debited", "credited", "wallets", "workflow_id", "cancel_wanted", "owner", "heartbeat", "about", "slots"),
        "error",
    )
)


def _row(found: sqlite3.Row) -> Purchase:
    values = dict(found)
    values["cancels"] = values["cancel_wanted"]
    values["cancel_wanted"] = bool(values["cancel_wanted"])
    values["wallets"] = json.loads(values["wallets"])
    values["about"] = json.loads(values["about"])
    values["slots"] = tuple(PurchasedImage(**slot) for slot in json.loads(values["slots"]))
    return Purchase(**values)


def _in_words(path: Path, error: Exception, consequence: str) -> str:
    text = str(error)
    if "full" in text or "No space" in text:
        why = "the disk is full"
    elif "locked" in text or "busy" in text:
        why = "another program holds it locked, or the drive cannot lock files"
    elif "readonly" in text or isinstance(error, PermissionError) or "unable to open" in text:
        why = "the folder cannot be written"
    elif "not a database" in text or "malformed" in text:
        why = "the file is damaged; move it away to start a new one, and keep it: it names what was paid"
    else:
        why = text
    return f"The journal {path.name} in the state folder cannot be used: {why}. {consequence}"
