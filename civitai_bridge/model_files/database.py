"""One SQLite file of ours: opened for its owner alone, written in transactions, its errors in words.

database = Database(path, schema, called="The journal journal.sqlite3", if_damaged="…", consequence="…")
with database.transaction("Nothing was sent.") as connection:
    connection.execute("…")
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import StateTrouble

log = logging.getLogger(__name__)


class Database:
    """Safe to use from several threads and processes at once: one writer at a time, in WAL where the drive can do it.

    `called` begins every sentence about it, `if_damaged` says what to do when it is no database any more,
    `consequence` ends them. `migrate` takes over what an earlier version wrote. `durable` waits for the disk at each
    commit (`synchronous=FULL`). `patience` is how many seconds another program's write is waited for. A `cache` that is
    damaged is put aside as `<name>.damaged` and begun again, which `remakes` counts. Raises StateTrouble."""

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
        cache: bool = False,
    ) -> None:
        self.path = path
        self.remakes = 0
        self._schema, self._migrate = schema, migrate
        self._durable, self._patience, self._cache = durable, patience, cache
        self._called = called
        self._if_damaged = if_damaged
        self._consequence = consequence
        self._lock = threading.RLock()
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            if not self._remade(error):
                raise self._trouble(error, None) from error

    def _write_ahead(self, connection: sqlite3.Connection) -> str:
        """Switch to WAL and give the mode it then has. SQLite itself does not wait here for another program that opens
        the same new file."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]).lower()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.02)

    def _open(self) -> None:
        _make_private(self.path)
        self._inode = os.stat(self.path).st_ino
        connection = sqlite3.connect(self.path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            self.mode = self._write_ahead(connection)
            connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
            connection.executescript(self._schema)
            connection.execute("BEGIN IMMEDIATE")
            self._migrate(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _remade(self, error: Exception) -> bool:
        """Whether a cache was damaged and is begun again now."""
        if not (self._cache and _is_damage(error)):
            return False
        log.warning("%s is damaged (%s). It is put aside and begun again; a scan fills it.", self._called, error)
        try:
            if os.stat(self.path).st_ino == self._inode:  # else another process was first
                for ending in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
                os.replace(self.path, self.path.with_name(self.path.name + ".damaged"))
            self._open()
        except (OSError, sqlite3.Error) as again:
            raise self._trouble(again, None) from again
        self.remakes += 1
        return True

    @contextlib.contextmanager
    def reading(self, consequence: str | None = None) -> Iterator[sqlite3.Connection]:
        """The connection, held against the other threads of this process, for questions alone."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                trouble = self._trouble(error, consequence)
                if self._cache and _is_damage(error):
                    self._connection.close()
                    self._remade(error)
                raise trouble from error

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
                    with contextlib.suppress(sqlite3.DatabaseError):  # a damaged one may not even take that
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
        if _is_damage(error):
            return f"the file is damaged; {self._if_damaged}"
        return text


def _is_damage(error: Exception) -> bool:
    """Whether an error says that a file is no database any more, or is none of ours."""
    words = ("not a database", "malformed", "no such column")
    return isinstance(error, sqlite3.DatabaseError) and any(part in str(error) for part in words)


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Only where there is no file yet: closing a second descriptor of a database drops the locks that this
        # process holds on it (sqlite.org/howtocorrupt.html §2.2), and its WAL would be taken away beside it.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    os.chmod(path, 0o600)
