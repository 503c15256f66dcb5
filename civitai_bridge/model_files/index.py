"""The index of the model files that are really on disk, by hash: one SQLite file, filled by scans in the background.

A scan lists every folder (10,000 unchanged files in a fraction of a second), hashes what is new or changed, and writes
each file down as it is done, so a scan that is stopped or killed goes on where it was. A file that was moved or renamed
is known by size, time and three samples of its bytes, and is not hashed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from ..catalog.shelf import Shelf, no_collecting
from ..errors import FileTrouble, NotSafetensors, StateTrouble
from .atomic import reason
from .hashing import BLAKE3, CRC32, EVERY, USUAL, Digests, digest_file, read_header

SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl", ".gguf", ".onnx")
_ENDINGS = frozenset(suffix[1:] for suffix in SUFFIXES)
_SAFETENSORS = (".safetensors", ".sft")
# The first digits of the SHA-256 of nothing: an AutoV1 or AutoV3 like this names no file (site-api §4).
_NOTHING = frozenset({"e3b0c442", "e3b0c44298fc"})
_SAMPLE = 64 * 1024
_REMEMBERED = 30 * 24 * 3600.0  # how long the hashes of a file that is gone are kept, in case it comes back elsewhere
_BATCH_SECONDS, _BATCH_FILES = 0.5, 64
_PATIENCE = 0.05  # how often a worker that yields asks whether it may go on
_ELSEWHERE = 1000  # added to the rank of a file that is there, below no folder of the last scan of everything
_LARGEST = 1 << 63  # SQLite's integers end here; times that a file system allows do not
_OPTIONAL = {CRC32: "crc32", BLAKE3: "blake3"}  # what a scan takes only when a look-up wanted it, with its column

_SCHEMA = """
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
    ctime_ns INTEGER NOT NULL DEFAULT 0
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
_STATE = "path, size, mtime_ns, ctime_ns, device, inode"  # as in _Found
_TAKEN = "head, sha256, autov1, autov3, blake3, crc32, output_name, facts, trouble"
_COLUMNS = f"{_STATE}, {_TAKEN}"
_SET = ", ".join(
    f"{name} = CASE WHEN excluded.{name} = '' AND files.sha256 = excluded.sha256 THEN files.{name} "
    f"ELSE excluded.{name} END"
    if name in _OPTIONAL.values()
    else f"{name} = excluded.{name}"
    for name in _COLUMNS.split(", ")[1:]
)


class ModelPath(NamedTuple):
    """A model file on disk. `folder` is ComfyUI's key, `name` what its loaders call it (`sub/x.safetensors`);
    hashes are lower-case hex, `""` where not taken (yet); `trouble` is what is wrong with the file itself; `version_id`
    is what CivitAI says of its bytes, 0 where it was not asked or knows none."""

    folder: str
    name: str
    path: str
    rank: int
    size: int
    sha256: str
    autov1: str
    autov3: str
    blake3: str
    crc32: str
    output_name: str
    trouble: str
    version_id: int = 0


@dataclass(frozen=True)
class Files:
    """All model files at one moment, ready for look-ups."""

    all: tuple[ModelPath, ...] = field(repr=False, default=())
    by_hash: Shelf[str, ModelPath] = field(repr=False, default_factory=Shelf)
    by_stem: Shelf[str, ModelPath] = field(repr=False, default_factory=Shelf)
    by_name: Mapping[tuple[str, str], ModelPath] = field(repr=False, default_factory=dict)
    by_version: Shelf[int, ModelPath] = field(repr=False, default_factory=Shelf)


@dataclass(frozen=True)
class Ownership:
    """Which version CivitAI says that bytes belong to (0 = none), and what it told about it."""

    sha256: str
    version_id: int
    model_id: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """How far the hashing is; bytes are of the files that need it."""

    files: int
    of_files: int
    bytes: int
    of_bytes: int
    path: str = ""

    @property
    def sentence(self) -> str:
        if not self.of_files:
            return "The model folders are being looked through."
        files = "file is" if self.of_files == 1 else "files are"
        return f"{self.files:,} of {self.of_files:,} {files} hashed so far."


@dataclass(frozen=True)
class ScanReport:
    """What a scan found. `troubles` are sentences about folders and files that could not be read; `stopped` = it was
    cancelled before everything was hashed."""

    files: int
    hashed: int
    moved: int
    gone: int
    unchanged: int
    stopped: bool = False
    troubles: tuple[str, ...] = ()


class _Found(NamedTuple):
    """A file as a listing shows it."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    device: str
    inode: str

    @classmethod
    def of(cls, path: str, seen: os.stat_result) -> _Found:
        times = seen.st_mtime_ns % _LARGEST, seen.st_ctime_ns % _LARGEST
        return cls(path, seen.st_size, *times, str(seen.st_dev), str(seen.st_ino))


@dataclass
class _Work:
    """What a listing asks for: files to hash; files known under another name or inode (with that name); files never
    seen or changed; files that came back; paths that are gone."""

    todo: list[_Found] = field(default_factory=list)
    adopted: list[tuple[_Found, str]] = field(default_factory=list)
    fresh: list[_Found] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class _Stopped(Exception):
    pass


def never() -> bool:
    return False


class HashIndex:
    """Safe to use from several threads and processes at once."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.RLock()
        self._files: tuple[object, Files] | None = None
        self._changes = 0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self.mode = str(self._db.execute("PRAGMA journal_mode=WAL").fetchone()[0])
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            if "ctime_ns" not in {row[1] for row in self._db.execute("PRAGMA table_info(files)")}:
                self._db.execute("ALTER TABLE files ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0")
        except (OSError, sqlite3.Error) as error:
            raise self._trouble(error) from error

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def files(self) -> Files:
        """Everything that is indexed; read again only after it changed, by us or by another process."""
        with self._lock, self._answering():
            state = (self._db.execute("PRAGMA data_version").fetchone()[0], self._changes)
            if self._files is None or self._files[0] != state:
                with no_collecting():
                    places = self._db.execute("SELECT folder, name, path, rank FROM places").fetchall()
                    owned = dict(self._db.execute("SELECT sha256, version_id FROM owners WHERE version_id != 0"))
                    columns = "path, size, sha256, autov1, autov3, blake3, crc32, output_name, trouble"
                    rows = self._db.execute(f"SELECT {columns} FROM files WHERE gone IS NULL")
                    known = {row[0]: row[1:] for row in rows}  # joined here: half the time of a JOIN
                    places.sort(key=itemgetter(0, 3))
                    joined = ((*place, *row, owned.get(row[1], 0)) for place in places if (row := known.get(place[2])))
                    self._files = (state, _files(joined))
            return self._files[1]

    def facts(self, path: str) -> Mapping[str, str]:
        """The header facts of a file: `ss_output_name`, `modelspec.*`, `sshs_*`."""
        with self._lock, self._answering():
            row = self._db.execute("SELECT facts FROM files WHERE path = ?", (path,)).fetchone()
        return json.loads(row[0]) if row else {}

    def learn(self, folder: str, name: str, path: str, rank: int, digests: Digests) -> None:
        """Take in a file whose hashes are known already: one that was just downloaded and verified. A scan finds it
        unchanged."""
        try:
            row = _row_of(_Found.of(path, os.stat(path)), digests)
        except OSError as error:
            raise FileTrouble(f"{path} cannot be read: {reason(error)}.") from error
        if not _is_text(path) or not _is_text(name):
            raise FileTrouble(_no_text(path))
        self._keep([row])
        with self._lock, self._answering(), self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO places (folder, name, path, rank) VALUES (?, ?, ?, ?)",
                (folder, name, path, rank),
            )

    def want(self, kinds: Iterable[str]) -> None:
        """Remember kinds of hash that a look-up needed: every later scan takes them too, whoever starts it."""
        missing = set(kinds) - self.wanted()
        if missing:
            with self._lock, self._answering(), self._transaction() as db:
                db.executemany("INSERT OR IGNORE INTO kinds (kind) VALUES (?)", [(kind,) for kind in missing])

    def wanted(self) -> frozenset[str]:
        """The kinds of hash beyond the usual ones that a look-up has needed."""
        with self._lock, self._answering():
            return frozenset(row[0] for row in self._db.execute("SELECT kind FROM kinds"))

    def lacks(self, kind: str) -> bool:
        """Whether a file that is here has no hash of this kind yet, so that a look-up by one proves nothing."""
        with self._lock, self._answering():
            row = self._db.execute(
                f"SELECT 1 FROM files WHERE gone IS NULL AND {_OPTIONAL[kind]} = '' LIMIT 1"
            ).fetchone()
        return row is not None

    def state(self, stated: Mapping[str, Mapping[str, str]]) -> None:
        """Take in what CivitAI states of bytes, by SHA-256: kinds of hash that then need not be taken from the
        file."""
        rows = []
        for sha, hashes in stated.items():
            low = {kind.upper(): value.lower() for kind, value in hashes.items()}
            if low.get(CRC32) or low.get(BLAKE3):
                rows.append((low.get(CRC32, ""), low.get(BLAKE3, ""), sha))
        with self._lock, self._answering(), self._transaction() as db:
            db.executemany(
                "UPDATE files SET crc32 = CASE crc32 WHEN '' THEN ? ELSE crc32 END, "
                "blake3 = CASE blake3 WHEN '' THEN ? ELSE blake3 END WHERE sha256 = ?",
                rows,
            )

    def unasked(self, *, again: float = 24 * 3600.0) -> list[str]:
        """The SHA-256 of files that are here and of which CivitAI was never asked, or not for `again` seconds where it
        knew nothing."""
        with self._lock, self._answering():
            rows = self._db.execute(
                "SELECT DISTINCT f.sha256 FROM places p JOIN files f ON f.path = p.path "
                "LEFT JOIN owners o ON o.sha256 = f.sha256 WHERE f.sha256 != '' AND f.gone IS NULL "
                "AND (o.sha256 IS NULL OR (o.version_id = 0 AND o.asked < ?)) ORDER BY f.sha256",
                (self._clock() - again,),
            ).fetchall()
        return [row[0] for row in rows]

    def undescribed(self) -> list[str]:
        """The SHA-256 of which CivitAI said whose they are, and not what that is."""
        with self._lock, self._answering():
            rows = self._db.execute("SELECT sha256 FROM owners WHERE version_id != 0 AND about = ''").fetchall()
        return [row[0] for row in rows]

    def own(self, owners: Iterable[Ownership]) -> None:
        """Keep what CivitAI says of bytes."""
        rows = [
            (one.sha256, one.version_id, one.model_id, json.dumps(one.about) if one.about else "", self._clock())
            for one in owners
        ]
        with self._lock, self._answering(), self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO owners (sha256, version_id, model_id, about, asked) VALUES (?, ?, ?, ?, ?)",
                rows,
            )

    def owners(self) -> dict[str, Ownership]:
        """What CivitAI has said of bytes, by SHA-256; without those it does not know."""
        with self._lock, self._answering():
            rows = self._db.execute(
                "SELECT sha256, version_id, model_id, about FROM owners WHERE version_id != 0"
            ).fetchall()
        return {sha: Ownership(sha, version, model, json.loads(about or "{}")) for sha, version, model, about in rows}

    def scan(
        self,
        folders: Mapping[str, Sequence[str | Path]],
        *,
        workers: int | None = None,
        pause: Callable[[], bool] = never,
        cancelled: Callable[[], bool] = never,
        progress: Callable[[Progress], None] | None = None,
        kinds: Collection[str] = USUAL,
        whole: bool = True,
    ) -> ScanReport:
        """Bring the index up to date; slow, for a thread of its own. `folders` are ComfyUI's keys with their paths;
        with `whole` False they are some of them, and what is known of others stays.

        While `pause()` is true at most half of the cores hash. `cancelled()` ends the scan after the piece it is at;
        what is done stays done. `kinds` beyond the usual ones, and those that a look-up wanted, are taken for every
        file that lacks them."""
        listing = _Listing()
        places = listing.places(folders)
        known = self._known()
        kinds = EVERY & {*kinds, *self.wanted()}  # BLAKE3 only where its package is here
        needed = ["sha256", *(column for kind, column in _OPTIONAL.items() if kind in kinds)]
        alike: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for row in known.values():
            alike.setdefault((row["size"], row["mtime_ns"]), []).append(row)
        work = _Work()
        for found in listing.files.values():
            row = known.get(found.path)
            if row is None or not _is_unchanged(row, found):
                row = _same(alike.get((found.size, found.mtime_ns), ()), found, listing.files)
                if row is not None:
                    work.adopted.append((found, row["path"]))
                else:
                    work.fresh.append(found)
            elif not row["ctime_ns"] and found.ctime_ns:
                work.adopted.append((found, found.path))
            elif row["gone"] is not None:
                work.returned.append(found.path)
            if row is None or not all(row[column] for column in needed):
                work.todo.append(found)
        work.gone = [
            path
            for path, row in known.items()
            if row["gone"] is None and path not in listing.files and not listing.is_unreadable(path)
            if whole or listing.is_below_a_root(path)
            if not _stands(row)
        ]
        self._note(places, listing, work, None if whole else folders.keys())
        todo = work.todo
        again = {found.path for found in todo}
        moved = sum(found.path not in again and found.path != old for found, old in work.adopted)
        hashing = _Hashing(todo, kinds, _count(workers), pause, cancelled, progress)
        for batch in hashing.run():
            self._keep(batch)
        return ScanReport(
            files=len(listing.files),
            hashed=hashing.done,
            moved=moved,
            gone=len(work.gone),
            unchanged=len(listing.files) - len(todo) - moved,
            stopped=hashing.stopped,
            troubles=(*listing.troubles, *hashing.troubles),
        )

    def _known(self) -> dict[str, dict[str, Any]]:
        names = ("path", "size", "mtime_ns", "ctime_ns", "device", "inode", "head", "sha256", "crc32", "blake3", "gone")
        with self._lock, self._answering():
            rows = self._db.execute(f"SELECT {', '.join(names)} FROM files").fetchall()
        return {row[0]: dict(zip(names, row, strict=True)) for row in rows}

    def _note(
        self,
        places: Collection[tuple[str, str, str, int]],
        listing: _Listing,
        work: _Work,
        only: Collection[str] | None,
    ) -> None:
        """Write down where files are now, in `only` these folders if some are named. Nothing is written when nothing
        moved.

        What is there although it was not listed stays: it may have come while others were listed, or lie in a folder
        that only another program on this index knows."""
        now = self._clock()
        with self._lock, self._answering():
            before = set(self._db.execute("SELECT folder, name, path, rank FROM places"))
            new = set(places)
            away = [place for place in before - new if not listing.is_unreadable(place[2])]
            if only is not None:
                away = [place for place in away if place[0] in only and listing.is_below_a_root(place[2])]
            gone = set(work.gone)
            stay = {p for p in away if p[2] not in listing.files and p[2] not in gone and os.path.isfile(p[2])}
            away = [place for place in away if place not in stay]
            beside = [p for p in stay if only is None and p[3] < _ELSEWHERE and not listing.is_below_a_root(p[2])]
            come = new - before
            old = self._db.execute("SELECT 1 FROM files WHERE gone < ? LIMIT 1", (now - _REMEMBERED,)).fetchone()
            if not (away or come or beside or work.adopted or work.fresh or work.returned or work.gone or old):
                return
            with self._transaction() as db:
                db.executemany("DELETE FROM places WHERE folder = ? AND path = ?", [(p[0], p[2]) for p in away])
                db.executemany("INSERT OR REPLACE INTO places (folder, name, path, rank) VALUES (?, ?, ?, ?)", come)
                db.executemany(
                    "UPDATE places SET rank = rank + ? WHERE folder = ? AND path = ?",
                    [(_ELSEWHERE, p[0], p[2]) for p in beside],
                )
                db.execute("CREATE TEMP TABLE IF NOT EXISTS adopted AS SELECT * FROM files LIMIT 0")
                db.execute("DELETE FROM adopted")  # files may have swapped names: all are read first
                db.executemany(
                    f"INSERT INTO adopted ({_COLUMNS}) SELECT ?, ?, ?, ?, ?, ?, {_TAKEN} FROM files WHERE path = ?",
                    [(*found, old) for found, old in work.adopted],
                )
                db.execute(f"INSERT OR REPLACE INTO files ({_COLUMNS}) SELECT {_COLUMNS} FROM adopted")
                db.executemany(
                    f"INSERT OR REPLACE INTO files ({_COLUMNS}) "
                    "VALUES (?, ?, ?, ?, ?, ?, '', '', '', '', '', '', '', '{}', '')",
                    work.fresh,  # known by name until they are hashed; never by the hash of what stood there before
                )
                db.executemany("UPDATE files SET gone = NULL WHERE path = ?", [(path,) for path in work.returned])
                db.executemany("UPDATE files SET gone = ? WHERE path = ?", [(now, path) for path in work.gone])
                db.execute("DELETE FROM files WHERE gone < ?", (now - _REMEMBERED,))

    def _keep(self, batch: Iterable[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(_COLUMNS.split(",")))
        with self._lock, self._answering(), self._transaction() as db:
            db.executemany(
                f"INSERT INTO files ({_COLUMNS}) VALUES ({marks}) ON CONFLICT (path) DO UPDATE SET {_SET}, gone = NULL",
                batch,
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        self._changes += 1

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> StateTrouble:
        return StateTrouble(
            f"The index of model files ({self._path}) cannot be used: {error}. Make room or free it; it can also be "
            "deleted, the next scan makes it anew."
        )


# --- listing


class _Listing:
    """What lies in the folders. A directory is entered once a root, so that links in a ring come to an end."""

    def __init__(self) -> None:
        self.files: dict[str, _Found] = {}
        self.troubles: list[str] = []
        self._unreadable: list[str] = []
        self._roots: dict[str, list[tuple[str, str]]] = {}

    def places(self, folders: Mapping[str, Sequence[str | Path]]) -> set[tuple[str, str, str, int]]:
        """(folder key, name, path, rank of the root) of every model file; the same root is listed once."""
        found: dict[tuple[str, str], tuple[str, str, str, int]] = {}
        for folder, roots in folders.items():
            for rank, root in enumerate(roots):
                if not _is_text(str(root)):
                    self.troubles.append(_no_text(str(root)))
                    continue
                for name, path in self._list(os.path.abspath(root)):
                    found.setdefault((folder, path), (folder, name, path, rank))
        return set(found.values())

    def is_unreadable(self, path: str) -> bool:
        """Whether a file may well be there still: its folder could not be read (an unplugged drive)."""
        return any(path.startswith(folder) for folder in self._unreadable)

    def is_below_a_root(self, path: str) -> bool:
        return any(path.startswith(os.path.join(root, "")) for root in self._roots)

    def _list(self, root: str) -> list[tuple[str, str]]:
        if root not in self._roots:
            self._roots[root] = found = []
            visited: set[tuple[int, int]] = set()
            pending = [(root, "")]
            links: list[tuple[str, str]] = []
            while pending or links:  # real directories first: a name without links in it is the better name
                directory, lead = pending.pop() if pending else links.pop()
                self._directory(directory, lead, visited, found, pending, links)
        return self._roots[root]

    def _directory(
        self,
        directory: str,
        lead: str,
        visited: set[tuple[int, int]],
        found: list[tuple[str, str]],
        pending: list[tuple[str, str]],
        links: list[tuple[str, str]],
    ) -> None:
        try:
            seen = os.stat(directory)
            identity = (seen.st_dev, seen.st_ino)
            if identity in visited:
                return
            visited.add(identity)
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not _is_text(entry.name):
                        if entry.name.lower().endswith(SUFFIXES) or _is_dir(entry):
                            self.troubles.append(_no_text(entry.path))
                    elif entry.name.lower().endswith(SUFFIXES):
                        with contextlib.suppress(FileNotFoundError):  # a link to nothing, or gone just now
                            self._file(entry, lead, found)
                    elif not entry.name.startswith(".") and _is_dir(entry):
                        (links if entry.is_symlink() else pending).append((entry.path, f"{lead}{entry.name}/"))
        except OSError as error:
            self._unreadable.append(os.path.join(directory, ""))
            if not (isinstance(error, FileNotFoundError) and not lead):
                self.troubles.append(f"{directory} cannot be read: {reason(error)}.")

    def _file(self, entry: os.DirEntry[str], lead: str, found: list[tuple[str, str]]) -> None:
        try:
            seen = entry.stat()
        except FileNotFoundError:
            raise
        except OSError as error:
            self.troubles.append(f"{entry.path} cannot be read: {reason(error)}.")
            return
        if not _is_file(seen.st_mode):
            return
        path = entry.path
        if path not in self.files:
            self.files[path] = _Found.of(path, seen)
        found.append((f"{lead}{entry.name}", path))


def _is_file(mode: int) -> bool:
    return mode & 0o170000 == 0o100000


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link in a ring


def _is_text(name: str) -> bool:
    """Whether a name can be written down: POSIX allows bytes that are no UTF-8, Windows half characters."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_text(path: str) -> str:
    shown = path.encode("utf-8", "replace").decode()
    return f"{shown} is left out, because its name is no valid text (UTF-8); rename it."


def _is_unchanged(row: Mapping[str, Any], found: _Found) -> bool:
    """Whether the file under a known name is the known one, untouched. A change time of 0 was never noted."""
    return (
        row["size"] == found.size
        and row["mtime_ns"] == found.mtime_ns
        and row["ctime_ns"] in (found.ctime_ns, 0)
        and (row["inode"] == found.inode or row["inode"] == "0" or found.inode == "0")
    )


def _same(rows: Iterable[Mapping[str, Any]], found: _Found, listed: Mapping[str, _Found]) -> Mapping[str, Any] | None:
    """Which known file a file is; size and time are equal already. That of its inode comes first, then one whose own
    place is empty now. Neither proves anything alone, since inodes are given out again and time stamps are copied: the
    samples must be the same too."""
    fitting = []
    for row in rows:
        if row["sha256"]:
            is_inode = row["inode"] != "0" and (row["device"], row["inode"]) == (found.device, found.inode)
            there = listed.get(row["path"])
            is_free = row["path"] == found.path or there is None or there[1:3] != found[1:3]
            if is_inode or is_free:
                fitting.append((not is_inode, row["path"] != found.path, len(fitting), row))
    if not fitting:
        return None
    try:
        samples = _samples(found.path)
    except OSError:
        return None
    return next((row for *_, row in sorted(fitting) if row["head"] == samples), None)


def _stands(row: Mapping[str, Any]) -> bool:
    """Whether a known file lies where it was, as it was."""
    try:
        seen = os.stat(row["path"])
    except OSError:
        return False
    return _is_file(seen.st_mode) and (seen.st_size, seen.st_mtime_ns % _LARGEST) == (row["size"], row["mtime_ns"])


def _samples(path: str) -> str:
    """A hash of the beginning, the middle and the end: versions of one model often share size, header and more."""
    taken = hashlib.sha256()
    with open(path, "rb", buffering=0) as source:
        last = max(0, os.fstat(source.fileno()).st_size - _SAMPLE)
        for at in sorted({0, last // 2, last}):
            source.seek(at)
            taken.update(source.read(_SAMPLE))
    return taken.hexdigest()


# --- hashing


class _Hashing:
    """A bounded pool of threads over the files that need it; `run` gives what is done, in batches."""

    def __init__(
        self,
        todo: Sequence[_Found],
        kinds: Collection[str],
        workers: int,
        pause: Callable[[], bool],
        cancelled: Callable[[], bool],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.done, self.stopped = 0, False
        self.troubles: list[str] = []
        self._todo: queue.SimpleQueue[_Found] = queue.SimpleQueue()
        for found in todo:
            self._todo.put(found)
        self._kinds, self._pause, self._cancelled, self._progress = kinds, pause, cancelled, progress
        self._workers = min(workers, max(1, len(todo)))
        self._while_paused = max(1, (os.cpu_count() or 2) // 2)
        self._finished: queue.SimpleQueue[tuple[_Found, Any] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._counting = threading.Lock()
        self._bytes, self._files = 0, 0
        self._of_files, self._of_bytes = len(todo), sum(found.size for found in todo)

    def run(self) -> Iterator[list[tuple[Any, ...]]]:
        if not self._of_files:
            return
        threads = [
            threading.Thread(target=self._work, args=(number,), name=f"civitai-hash-{number}", daemon=True)
            for number in range(self._workers)
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._batches(len(threads))
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _batches(self, running: int) -> Iterator[list[tuple[Any, ...]]]:
        batch: list[tuple[Any, ...]] = []
        since = time.monotonic()
        while running:
            with contextlib.suppress(queue.Empty):  # nothing yet: what is there is kept below
                finished = self._finished.get(timeout=_BATCH_SECONDS)
                if finished is None:
                    running -= 1
                elif isinstance(finished[1], str):
                    self.troubles.append(finished[1])
                else:
                    batch.append(finished[1])
                    self.done += 1
            if batch and (len(batch) >= _BATCH_FILES or time.monotonic() - since > _BATCH_SECONDS or not running):
                yield batch
                batch, since = [], time.monotonic()

    def _work(self, number: int) -> None:
        def on_piece(size: int) -> None:
            self._yield(number)
            with self._counting:
                self._bytes += size
            self._tell(path)

        path = ""
        try:
            while True:
                self._yield(number, idle=True)
                try:
                    found = self._todo.get_nowait()
                except queue.Empty:
                    return
                path = found.path
                try:
                    result: Any = _row(found, self._kinds, on_piece)
                except FileTrouble as error:
                    result = str(error)
                except OSError as error:  # gone between its hashes and its header
                    result = f"{path} cannot be read: {reason(error)}."
                with self._counting:
                    self._files += 1
                self._finished.put((found, result))
                self._tell(path)
        except _Stopped:
            self.stopped = True
        except Exception as error:
            self._finished.put((_Found(path, 0, 0, 0, "", ""), f"{path} could not be hashed: {error}."))
            self.stopped = True
        finally:
            self._finished.put(None)

    def _yield(self, number: int, idle: bool = False) -> None:
        """Wait while a prompt runs and half of the cores are busy hashing already; break off when cancelled. One that
        is `idle` has no file and need not wait when none is left."""
        while True:
            if self._stop.is_set() or self._cancelled():
                raise _Stopped
            if number < self._while_paused or (idle and self._todo.empty()) or not self._pause():
                return
            time.sleep(_PATIENCE)

    def _tell(self, path: str) -> None:
        if self._progress is not None:
            self._progress(Progress(self._files, self._of_files, self._bytes, self._of_bytes, path))


def _row(found: _Found, kinds: Collection[str], on_piece: Callable[[int], None]) -> tuple[Any, ...]:
    return _row_of(found, digest_file(found.path, kinds=kinds, on_piece=on_piece))


def _row_of(found: _Found, taken: Digests) -> tuple[Any, ...]:
    facts: Mapping[str, str] = {}
    trouble = ""
    if found.path.lower().endswith(_SAFETENSORS):
        try:
            facts = read_header(found.path).facts
        except NotSafetensors as error:
            trouble = str(error)
    return (
        found.path, taken.size, taken.mtime_ns % _LARGEST, found.ctime_ns, found.device, found.inode,
        _samples(found.path),
        taken.sha256, taken.autov1, taken.autov3, taken.blake3, taken.crc32,
        facts.get("ss_output_name", ""), json.dumps(facts), trouble,
    )  # fmt: skip


def _count(workers: int | None) -> int:
    return max(1, workers if workers is not None else (os.cpu_count() or 1))


# --- look-ups


def stem_of(name: str) -> str:
    """A file's name as it is compared: without folder and ending, case folded, without `civitai_<id>_` (site-api
    §8.2)."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1].casefold()
    stem, _, ending = last.rpartition(".")
    if stem and ending in _ENDINGS:
        last = stem
    if last.startswith("civitai_"):
        number, _, rest = last[8:].partition("_")
        if number.isdigit() and rest:
            return rest
    return last


def _files(rows: Iterable[tuple[Any, ...]]) -> Files:
    every = tuple(map(ModelPath._make, rows))
    found = Files(every, by_name={(one.folder, one.name): one for one in reversed(every)})
    by_hash, by_stem, by_version = found.by_hash.put, found.by_stem.put, found.by_version.put
    for one in every:
        sha, stem = one.sha256, stem_of(one.name)
        if sha:
            by_hash(sha, one)
            by_hash(sha[:10], one)
        for value in (one.autov3, one.autov1, one.blake3, one.crc32):
            if value and value not in _NOTHING:
                by_hash(value, one)
        by_stem(stem, one)
        if one.output_name and (alias := stem_of(one.output_name)) != stem:
            by_stem(alias, one)
        if one.version_id:
            by_version(one.version_id, one)
    return found
