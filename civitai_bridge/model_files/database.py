"""One SQLite file of ours: opened for its owner alone, written in transactions, its errors in words.

database = Database(path, schema, called="The journal journal.sqlite3", if_damaged="…", consequence="…")
with database.transaction("Nothing was sent.") as connection:
    connection.execute("…")
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import StateTrouble


class Database:
    """Safe to use from several threads and processes at once: one writer at a time, in WAL where the drive can do it.

    `called` begins every sentence about it, `if_damaged` says what to do when it is no database any more,
    `consequence` ends them. `migrate` takes over what an earlier version wrote. `durable` waits for the disk at each
    commit (`synchronous=FULL`). `patience` is how many seconds another program's write is waited for. Raises
    StateTrouble."""

    def __init__(
        self,
        path: Path,
        schema: str,
        *,
        called: str,
        if_damaged: str,
        consequence: str,
        migrate: Callable[[sqlite3.Connection], None] = lambda _: None,
        durable: bool = True,
        patience: float = 30.0,
    ) -> None:
        self.path = path
        self._called = called
        self._if_damaged = if_damaged
        self._consequence = consequence
        self._lock = threading.RLock()
        try:
            _make_private(path)
            self._connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self.mode = str(self._connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]).lower()
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._connection.executescript(schema)
            with self.transaction() as connection:
                migrate(connection)
        except (OSError, sqlite3.Error) as error:
            raise self._trouble(error, None) from error

    @contextlib.contextmanager
    def reading(self, consequence: str | None = None) -> Iterator[sqlite3.Connection]:
        """The connection, held against the other threads of this process, for questions alone."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise self._trouble(error, consequence) from error

    @contextlib.contextmanager
    def transaction(self, consequence: str | None = None) -> Iterator[sqlite3.Connection]:
        """Everything in the block is written together or not at all. `consequence` ends the sentence when it is not."""
        with self.reading(consequence) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def can_lock(self) -> bool:
        """Whether a second connection is kept out while the first one writes. A drive that cannot do WAL may not."""
        if self.mode == "wal":
            return True
        other = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            finally:
                self._connection.execute("ROLLBACK")
            return False
        finally:
            other.close()

    def close(self) -> None:
        """Close the file; nothing may be asked afterwards."""
        with self._lock:
            self._connection.close()

    def _trouble(self, error: Exception, consequence: str | None) -> StateTrouble:
        ending = self._consequence if consequence is None else consequence
        return StateTrouble(f"{self._called} cannot be used: {self._in_words(error)}. {ending}")

    def _in_words(self, error: Exception) -> str:
        text = str(error)
        if "full" in text or "No space" in text:
            return "the disk is full"
        if "locked" in text or "busy" in text:
            return "another program holds it locked, or the drive cannot lock files"
        if "readonly" in text or isinstance(error, PermissionError) or "unable to open" in text:
            return "the folder cannot be written"
        if "not a database" in text or "malformed" in text:
            return f"the file is damaged; {self._if_damaged}"
        return text


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Only where there is no file yet: closing a second descriptor of a database drops the locks that this
        # process holds on it (sqlite.org/howtocorrupt.html §2.2), and its WAL would be taken away beside it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    os.chmod(path, 0o600)
