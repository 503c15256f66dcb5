"""`link.sqlite3`: what a room asked for and what became of it, what waits for a person, what was removed.

A job is written down before it begins and with its final status before that is sent, so that a process that is killed
goes on with it at its next start and never ends it twice. Server and command line read and write the same file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from ..model_files.database import Database
from .message import Command

LINK_BOOK = "link.sqlite3"
LONGEST_LOG = 5000  # lines
_LONGEST_TEXT = 2000  # characters in a column of one
MOST_JOBS = 500  # ended ones that are remembered, so that a command that comes again is not obeyed again

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    command TEXT NOT NULL,
    began REAL NOT NULL,
    ended REAL,
    final TEXT NOT NULL DEFAULT '',
    canceled INTEGER NOT NULL DEFAULT 0,
    cleared INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS questions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,
    sentence TEXT NOT NULL,
    answer TEXT NOT NULL DEFAULT '',
    open INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS trash (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    job TEXT NOT NULL,
    moves TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS state (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class LogLine:
    """Something that a room asked for. `at` is in seconds since the epoch; `outcome` is a status of the wire, or
    `asked` while it is at work."""

    number: int
    at: float
    type: str
    subject: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class OpenJob:
    """A job that has no final status yet, and whether the room cancelled it."""

    command: Command
    is_canceled: bool


class LinkBook:
    """Safe to use from several threads and processes at once; every method may wait for the disk. Raises
    StateTrouble."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.database = Database(
            path,
            _SCHEMA,
            called="What Civitai Link keeps (link.sqlite3)",
            if_damaged="move it away, a new one is made; what it listed as removed stays in the trash folders",
            consequence="Make room or free it.",
            durable=False,
        )

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def begin(self, command: Command, subject: str) -> tuple[str | None, int]:
        """Write a job down before it begins, with a line in the log. None where it is new; else what its final status
        was, as JSON, `""` where it has none yet. Then the number of its line."""
        with self.database.transaction() as connection:
            row = connection.execute("SELECT final FROM jobs WHERE id = ?", (command.id,)).fetchone()
            if row is not None:
                return str(row[0]), 0
            # What a person once said to a forgotten command of this id is no word on this one.
            connection.execute("DELETE FROM questions WHERE job = ?", (command.id,))
            connection.execute(
                "INSERT INTO jobs (id, type, command, began) VALUES (?, ?, ?, ?)",
                (command.id, command.type, _command_text(command), self.clock()),
            )
            return None, self._write_line(connection, command.type, subject, "asked", "")

    def cancel(self, id_: str) -> None:
        """Keep that the room cancelled a job: it is not begun again, whatever happens to this process."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE jobs SET canceled = 1 WHERE id = ? AND ended IS NULL", (id_,))

    def cancel_all(self) -> None:
        """Keep that nobody wants any open job: the room is no more."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE jobs SET canceled = 1 WHERE ended IS NULL")
            connection.execute("UPDATE questions SET open = 0")

    def end(self, id_: str, final: Mapping[str, Any], line: int, subject: str, detail: str) -> None:
        """Keep the final status of a job before it is sent, finish its line in the log (0 = another one, about
        `subject`), and forget the oldest ended ones, with what a person said to them."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET ended = ?, final = ?, command = '' WHERE id = ? AND ended IS NULL",
                (self.clock(), json.dumps(final), id_),
            )
            connection.execute("UPDATE questions SET open = 0 WHERE job = ?", (id_,))
            outcome = str(final["status"])
            finished = connection.execute(
                "UPDATE log SET outcome = ?, detail = ? WHERE number = ?", (outcome, _text(detail), line)
            )
            if not finished.rowcount:  # it was begun by an earlier process
                self._write_line(connection, str(final["type"]).lower(), subject, outcome, detail)
            connection.execute(
                "DELETE FROM jobs WHERE ended IS NOT NULL AND id NOT IN "
                "(SELECT id FROM jobs WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT ?)",
                (MOST_JOBS,),
            )
            connection.execute("DELETE FROM questions WHERE job NOT IN (SELECT id FROM jobs)")

    def open_jobs(self) -> list[OpenJob]:
        """Jobs without a final status, in the order in which they were asked for."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT command, canceled FROM jobs WHERE ended IS NULL ORDER BY rowid"
            ).fetchall()
        return [OpenJob(_command(row[0]), bool(row[1])) for row in rows]

    def finals(self, types: Sequence[str], most: int) -> list[dict[str, Any]]:
        """The newest final statuses of jobs of these types that were not cleared away, the oldest of them first."""
        marks = ", ".join("?" * len(types))
        with self.database.reading() as connection:
            rows = connection.execute(
                f"SELECT final FROM jobs WHERE ended IS NOT NULL AND cleared = 0 AND type IN ({marks}) "
                "ORDER BY ended DESC, rowid DESC LIMIT ?",
                (*types, most),
            ).fetchall()
        return [json.loads(row[0]) for row in reversed(rows)]

    def clear(self) -> None:
        """List ended jobs no more; that they were obeyed stays known."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE jobs SET cleared = 1 WHERE ended IS NOT NULL AND cleared = 0")

    def forget_room(self) -> None:
        """The room is no more: a later one gets to see nothing of what this one asked for. That it was obeyed stays
        known, and the log stays as it is."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE jobs SET cleared = 2 WHERE ended IS NOT NULL")

    def finals_since(self, moment: float) -> list[dict[str, Any]]:
        """The final statuses of this room's jobs that ended after a moment, in seconds since the epoch."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT final FROM jobs WHERE ended >= ? AND cleared < 2 ORDER BY ended", (moment,)
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def log(self, type_: str, subject: str, outcome: str, detail: str = "") -> None:
        """Write a line for the person about what is no job."""
        with self.database.transaction() as connection:
            self._write_line(connection, type_, subject, outcome, detail)

    def _write_line(self, connection: Connection, type_: str, subject: str, outcome: str, detail: str) -> int:
        number = connection.execute(
            "INSERT INTO log (at, type, subject, outcome, detail) VALUES (?, ?, ?, ?, ?)",
            (self.clock(), *map(_text, (type_, subject, outcome, detail))),
        ).lastrowid
        connection.execute("DELETE FROM log WHERE number <= ?", ((number or 0) - LONGEST_LOG,))
        return number or 0

    def lines(self, most: int = 100) -> list[LogLine]:
        """The newest lines of the log, the oldest of them first."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT number, at, type, subject, outcome, detail FROM log ORDER BY number DESC LIMIT ?", (most,)
            ).fetchall()
        return [LogLine(*row) for row in reversed(rows)]


def _text(value: str) -> str:
    """As the database takes it, within a length: JSON may hold half a character."""
    return value[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def _command_text(command: Command) -> str:
    members = (command.id, command.type, command.asked_type, command.created_at, dict(command.fields))
    return json.dumps(members)


def _command(text: str) -> Command:
    id_, type_, asked, created, fields = json.loads(text)
    return Command(id_, type_, asked, created, fields)
