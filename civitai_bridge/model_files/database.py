"""One SQLite file of ours: opened for its owner alone, written in transactions, its errors in words.

database = Database(path, schema, called="The journal journal.sqlite3")
with database.transaction("Nothing was sent.") as connection:
    connection.execute("…")
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from ..errors import StateTrouble


class Database:
    """Safe to use from several threads and processes at once: one writer at a time, in WAL where the drive can do it.

    `called` begins every sentence about it. `durable` waits for the disk at each commit (`synchronous=FULL`).
    `patience` is how many seconds another program's write is waited for. Raises StateTrouble."""

    def __init__(
        self, path: Path, schema: str, *, called: str, consequence: str, durable: bool = True, patience: float = 30.0
    ) -> None:
        self.path = path
        self._called = called
        self._lock = threading.RLock()
        try:
            _make_private(path)
            self._connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self.mode = str(self._connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]).lower()
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._connection.executescript(schema)
        except (OSError, sqlite3.Error) as error:
            raise self._trouble(error, consequence) from error

    @contextlib.contextmanager
    def transaction(self, consequence: str) -> Iterator[sqlite3.Connection]:
        """Everything in the block is written together or not at all. `consequence` ends the sentence when it is not."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._trouble(error, consequence) from error
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

    def _trouble(self, error: Exception, consequence: str) -> StateTrouble:
        return StateTrouble(f"{self._called} cannot be used: {_in_words(error)}. {consequence}")


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Only where there is no file yet: closing a second descriptor of a database drops the locks that this
        # process holds on it (sqlite.org/howtocorrupt.html §2.2), and its WAL would be taken away beside it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    os.chmod(path, 0o600)


def _in_words(error: Exception) -> str:
    text = str(error)
    if "full" in text or "No space" in text:
        return "the disk is full"
    if "locked" in text or "busy" in text:
        return "another program holds it locked, or the drive cannot lock files"
    if "readonly" in text or isinstance(error, PermissionError) or "unable to open" in text:
        return "the folder cannot be written"
    if "not a database" in text or "malformed" in text:
        return "the file is damaged; move it away to start a new one, and keep it: it names what was paid"
    return text
