"""The tables of the index of model files, and what is read from and written to them."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from ..errors import NotSafetensors
from .hashing import BLAKE3, CRC32, Digests, Hashing
from .listing import ListedFile, Listing, Place
from .names import is_safetensors
from .safetensors import read_header

OPTIONAL_COLUMNS = {CRC32: "crc32", BLAKE3: "blake3"}  # what a scan takes only when a look-up needed it
REMEMBERED = 30 * 24 * 3600.0  # seconds for which the hashes of a file that is gone are kept: it may come back
_ELSEWHERE = 1000  # added to the rank of a file that is there, below no folder of the last scan of everything

SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    device TEXT NOT NULL,
    inode TEXT NOT NULL,
    head TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    autov1 TEXT NOT NULL,
    autov3 TEXT NOT NULL,
    blake3 TEXT NOT NULL,
    crc32 TEXT NOT NULL,
    output_name TEXT NOT NULL,
    facts TEXT NOT NULL,
    trouble TEXT NOT NULL,
    gone REAL,
    ctime_ns INTEGER NOT NULL DEFAULT 0,
    unproved INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_by_sha256 ON files (sha256);
CREATE TABLE IF NOT EXISTS places (
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    rank INTEGER NOT NULL,
    PRIMARY KEY (folder, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    sha256 TEXT PRIMARY KEY,
    version_id INTEGER NOT NULL,
    model_id INTEGER NOT NULL,
    about TEXT NOT NULL,
    asked REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kinds (
    kind TEXT PRIMARY KEY
) WITHOUT ROWID;
"""
_ADDED_COLUMNS = ("ctime_ns", "unproved")  # that an index of before may lack; both are 0 where nothing is known
_STATE = "path, size, mtime_ns, ctime_ns, device, inode"  # as in ListedFile
_HASHED = "head, sha256, autov1, autov3, blake3, crc32, output_name, facts, trouble"
_COLUMNS = f"{_STATE}, {_HASHED}"
_MARKS = ", ".join("?" * len(_COLUMNS.split(",")))
# A kind of hash that was taken before stays where the bytes are the same and it was not taken this time.
_SET = ", ".join(
    f"{name} = CASE WHEN excluded.{name} = '' AND files.sha256 = excluded.sha256 THEN files.{name} "
    f"ELSE excluded.{name} END"
    if name in OPTIONAL_COLUMNS.values()
    else f"{name} = excluded.{name}"
    for name in _COLUMNS.split(", ")[1:]
)


class KnownFile(NamedTuple):
    """What the index knows of a path; `head` is the hash of its samples, `gone` is since when it is not there.
    `unproved` = its hashes were taken over from another name or state, and are still to be taken from its bytes."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    device: str
    inode: str
    head: str
    sha256: str
    crc32: str
    blake3: str
    gone: float | None
    unproved: int

    @property
    def listed(self) -> ListedFile:
        """Its state when it was listed last."""
        return ListedFile(*self[:6])


class Adopted(NamedTuple):
    """A file that is taken for one that is known under `path`, whose hashes it gets at once; `unproved` = it is hashed
    all the same when there is time."""

    file: ListedFile
    path: str
    unproved: bool


@dataclass(frozen=True)
class Changes:
    """What a listing shows against the index: files to hash, and files to hash after all of them; files known under
    another name or inode; files never seen or changed; paths of files that came back; paths that are gone."""

    to_hash: tuple[ListedFile, ...]
    to_prove: tuple[ListedFile, ...]
    adopted: tuple[Adopted, ...]
    fresh: tuple[ListedFile, ...]
    returned: tuple[str, ...]
    gone: tuple[str, ...]


def add_missing_columns(connection: sqlite3.Connection) -> None:
    """Take over an index that an earlier version made."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(files)")}
    for column in _ADDED_COLUMNS:
        if column not in columns:
            connection.execute(f"ALTER TABLE files ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")


def hashed_row(file: ListedFile, digests: Digests, hashing: Hashing) -> tuple[Any, ...]:
    """A row of `files`: the state as it was listed, the hashes, what the header says. Raises OSError, FileTrouble."""
    facts: Mapping[str, str] = {}
    trouble = ""
    if is_safetensors(file.path):
        try:
            facts = read_header(file.path).facts
        except NotSafetensors as error:
            trouble = str(error)
    seen = file._replace(size=digests.size, mtime_ns=ListedFile.time(digests.mtime_ns))
    return (
        *seen, hashing.sample(file.path),
        digests.sha256, digests.autov1, digests.autov3, digests.blake3, digests.crc32,
        facts.get("ss_output_name", ""), json.dumps(facts), trouble,
    )  # fmt: skip


def keep_rows(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Take in files that were hashed."""
    connection.executemany(
        f"INSERT INTO files ({_COLUMNS}) VALUES ({_MARKS}) ON CONFLICT (path) DO UPDATE SET {_SET}, "
        "unproved = 0, gone = NULL",
        rows,
    )


def keep_places(connection: sqlite3.Connection, places: Iterable[Place]) -> None:
    """Note under which names files are found."""
    connection.executemany("INSERT OR REPLACE INTO places (folder, name, path, rank) VALUES (?, ?, ?, ?)", places)


def read_known(connection: sqlite3.Connection) -> dict[str, KnownFile]:
    """What the index knows of each path, of those that are gone too."""
    cursor = connection.cursor()
    cursor.row_factory = None  # plain tuples are quicker, and there may be 100,000
    rows = cursor.execute(f"SELECT {', '.join(KnownFile._fields)} FROM files")
    return {row[0]: KnownFile._make(row) for row in rows}


def read_joined(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """Every place with its file, in the order of ModelPath's fields; the lower rank of a folder first."""
    cursor = connection.cursor()
    cursor.row_factory = None
    places = cursor.execute("SELECT folder, name, path, rank FROM places").fetchall()
    places.sort(key=itemgetter(0, 3))
    owned = cursor.execute("SELECT sha256, version_id, model_id FROM owners WHERE version_id != 0")
    owners = {sha256: (version_id, model_id) for sha256, version_id, model_id in owned}
    columns = "path, size, sha256, autov1, autov3, blake3, crc32, output_name, trouble, mtime_ns, 1 - unproved"
    rows = cursor.execute(f"SELECT {columns} FROM files WHERE gone IS NULL")
    files = {row[0]: row[1:] for row in rows}  # joined here: half the time of a JOIN
    joined = ((place, row, owners.get(row[1], (0, 0))) for place in places if (row := files.get(place[2])))
    return [(*place, *row[:-2], owner[0], *row[-2:], owner[1]) for place, row, owner in joined]


def note_changes(
    connection: sqlite3.Connection, listing: Listing, changes: Changes, folders: Collection[str] | None, now: float
) -> None:
    """Write down where files are now, in `folders` alone if some are named. Nothing is written when nothing moved.

    What is there although it was not listed stays: it may have come while others were listed, or lie in a folder that
    only another program on this index knows."""
    before = {Place(*row) for row in connection.execute("SELECT folder, name, path, rank FROM places")}
    unlisted = [place for place in before - listing.places if not listing.is_unreadable(place.path)]
    if folders is not None:
        unlisted = [place for place in unlisted if place.folder in folders and listing.is_below_a_root(place.path)]
    gone = set(changes.gone)
    stay = {p for p in unlisted if p.path not in listing.files and p.path not in gone and os.path.isfile(p.path)}
    away = [place for place in unlisted if place not in stay]
    elsewhere = [p for p in stay if folders is None and p.rank < _ELSEWHERE and not listing.is_below_a_root(p.path)]
    come = listing.places - before
    forgotten = connection.execute("SELECT 1 FROM files WHERE gone < ? LIMIT 1", (now - REMEMBERED,)).fetchone()
    moved = (changes.adopted, changes.fresh, changes.returned, changes.gone)
    if not (away or come or elsewhere or forgotten or any(moved)):
        return
    connection.executemany("DELETE FROM places WHERE folder = ? AND path = ?", [(p.folder, p.path) for p in away])
    keep_places(connection, come)
    keep_places(connection, (place._replace(rank=place.rank + _ELSEWHERE) for place in elsewhere))
    _note_files(connection, changes, now)


def _note_files(connection: sqlite3.Connection, changes: Changes, now: float) -> None:
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS adopted AS SELECT * FROM files LIMIT 0")
    connection.execute("DELETE FROM adopted")  # files may have swapped names: all are read first
    connection.executemany(
        f"INSERT INTO adopted ({_COLUMNS}, unproved) SELECT ?, ?, ?, ?, ?, ?, {_HASHED}, ? FROM files WHERE path = ?",
        [(*file, unproved, path) for file, path, unproved in changes.adopted],
    )
    columns = f"{_COLUMNS}, unproved"
    connection.execute(f"INSERT OR REPLACE INTO files ({columns}) SELECT {columns} FROM adopted")
    connection.executemany(
        f"INSERT OR REPLACE INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, '', '', '', '', '', '', '', '{{}}', '')",
        changes.fresh,  # known by name until they are hashed; never by the hash of what stood there before
    )
    connection.executemany("UPDATE files SET gone = NULL WHERE path = ?", [(path,) for path in changes.returned])
    connection.executemany("UPDATE files SET gone = ? WHERE path = ?", [(now, path) for path in changes.gone])
    connection.execute("DELETE FROM files WHERE gone < ?", (now - REMEMBERED,))
