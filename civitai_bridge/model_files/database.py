"""One SQLite file of ours: opened, changed whole or not at all, its errors in words.

database = Database(path, SCHEMA, in_words)
with database.transaction() as connection:
    connection.execute(…)
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import CivitaiError


class Database:
    """One connection for all threads of this process; other processes may have theirs. `mode` is the journal mode that
    the drive allows, `wal` on nearly all.

    `in_words` makes the error that is raised from one of SQLite or of the system."""

    def __init__(
        self,
        path: Path,
        schema: str,
        in_words: Callable[[Exception], CivitaiError],
        *,
        synchronous: str = "NORMAL",
        patience: float = 30.0,
    ) -> None:
        """`patience` is how many seconds another process may hold the file. `synchronous` FULL keeps every transaction
        through a power cut, NORMAL all but the last ones."""
        self.path = path
        self._in_words = in_words
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
            self.mode = str(self._connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]).lower()
            self._connection.execute(f"PRAGMA synchronous={synchronous}")
            self._connection.executescript(schema)
        except (OSError, sqlite3.Error) as error:
            raise in_words(error) from error

    def close(self) -> None:
        """Close the connection, after what another thread is at."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def reading(self, in_words: Callable[[Exception], CivitaiError] | None = None) -> Iterator[sqlite3.Connection]:
        """The connection, held against the other threads of this process."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise (in_words or self._in_words)(error) from error

    @contextlib.contextmanager
    def transaction(self, in_words: Callable[[Exception], CivitaiError] | None = None) -> Iterator[sqlite3.Connection]:
        """What the block does is done whole or not at all, and no other process writes meanwhile."""
        with self.reading(in_words) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
