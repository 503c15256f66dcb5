"""The index of the model files that are really on disk, by hash: one SQLite file, brought up to date by scans."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..errors import FileTrouble, StateTrouble
from .atomic import reason
from .database import Database
from .file_rows import OPTIONAL_COLUMNS, SCHEMA, add_missing_columns, hashed_row, keep_places, keep_rows, read_joined
from .hashing import BLAKE3, CRC32, Digests, Hashing
from .indexed import Files, Ownership, files_from_rows
from .listing import ListedFile, Place
from .names import is_text, no_text


class HashIndex:
    """Safe to use from several threads and processes at once. `hashing` says how files are hashed."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, hashing: Hashing | None = None) -> None:
        """`clock` gives seconds since the epoch. Raises StateTrouble."""
        self.hashing = hashing or Hashing()
        self.clock = clock
        self.database = Database(
            path,
            SCHEMA,
            called=f"The index of model files ({path})",
            if_damaged="it holds nothing that a scan does not find again",
            consequence="Make room or free it; it can also be deleted, the next scan makes it anew.",
            migrate=add_missing_columns,
            durable=False,
            cache=True,
        )
        self._files: tuple[object, Files] | None = None

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def files(self) -> Files:
        """Everything that is indexed; read again only after it changed, by us or by another process."""
        remakes = self.database.remakes
        try:
            return self._read_files()
        except StateTrouble:
            if self.database.remakes == remakes:
                raise
            return self._read_files()  # it was damaged, and is empty now

    def _read_files(self) -> Files:
        with self.database.reading() as connection:
            # What others changed, what this connection changed.
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            state = (version, connection.total_changes, self.database.remakes)
            if self._files is None or self._files[0] != state:
                self._files = (state, files_from_rows(read_joined(connection)))
            return self._files[1]

    def facts(self, path: str) -> Mapping[str, str]:
        """What the header of a file says: `ss_output_name`, `modelspec.*`, `sshs_*`."""
        with self.database.reading() as connection:
            row = connection.execute("SELECT facts FROM files WHERE path = ?", (path,)).fetchone()
        return json.loads(row[0]) if row else {}

    def learn(self, folder: str, name: str, path: str, rank: int, digests: Digests) -> None:
        """Take in a file whose hashes are known already: one that was just downloaded and verified. A scan finds it
        unchanged. Raises FileTrouble, StateTrouble."""
        try:
            row = hashed_row(ListedFile.of(path, os.stat(path)), digests, self.hashing)
        except OSError as error:
            raise FileTrouble(f"{path} cannot be read: {reason(error)}.") from error
        if not is_text(path) or not is_text(name):
            raise FileTrouble(no_text(path))
        with self.database.transaction() as connection:
            keep_rows(connection, [row])
            keep_places(connection, [Place(folder, name, path, rank)])

    def require(self, kinds: Iterable[str]) -> None:
        """Remember kinds of hash that a look-up needed: every later scan takes them too, whoever starts it."""
        missing = set(kinds) - self.required()
        if missing:
            with self.database.transaction() as connection:
                connection.executemany("INSERT OR IGNORE INTO kinds (kind) VALUES (?)", [(kind,) for kind in missing])

    def required(self) -> frozenset[str]:
        """The kinds of hash beyond the usual ones that a look-up has needed."""
        with self.database.reading() as connection:
            return frozenset(row[0] for row in connection.execute("SELECT kind FROM kinds"))

    def is_missing(self, kind: str) -> bool:
        """Whether a file that is here has no hash of this kind yet, so that a look-up by one proves nothing."""
        query = f"SELECT 1 FROM files WHERE gone IS NULL AND {OPTIONAL_COLUMNS[kind]} = '' LIMIT 1"
        with self.database.reading() as connection:
            return connection.execute(query).fetchone() is not None

    def state(self, stated: Mapping[str, Mapping[str, str]]) -> None:
        """Take in the hashes by kind that CivitAI states of bytes, by their SHA-256: they then need not be taken from
        the file."""
        rows = []
        for sha256, hashes in stated.items():
            by_kind = {kind.upper(): value.lower() for kind, value in hashes.items()}
            if by_kind.get(CRC32) or by_kind.get(BLAKE3):
                rows.append((by_kind.get(CRC32, ""), by_kind.get(BLAKE3, ""), sha256))
        with self.database.transaction() as connection:
            connection.executemany(
                "UPDATE files SET crc32 = CASE crc32 WHEN '' THEN ? ELSE crc32 END, "
                "blake3 = CASE blake3 WHEN '' THEN ? ELSE blake3 END WHERE sha256 = ?",
                rows,
            )

    def unasked(self, *, again: float = 24 * 3600.0) -> list[str]:
        """The SHA-256 of files that are here and of which CivitAI was never asked, or not for `again` seconds where it
        knew nothing."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT f.sha256 FROM places p JOIN files f ON f.path = p.path "
                "LEFT JOIN owners o ON o.sha256 = f.sha256 WHERE f.sha256 != '' AND f.gone IS NULL "
                "AND (o.sha256 IS NULL OR (o.version_id = 0 AND o.asked < ?)) ORDER BY f.sha256",
                (self.clock() - again,),
            ).fetchall()
        return [row[0] for row in rows]

    def undescribed(self) -> list[str]:
        """The SHA-256 of bytes whose version CivitAI named, without saying what that is."""
        with self.database.reading() as connection:
            rows = connection.execute("SELECT sha256 FROM owners WHERE version_id != 0 AND about = ''").fetchall()
        return [row[0] for row in rows]

    def own(self, owners: Iterable[Ownership]) -> None:
        """Keep what CivitAI says of bytes."""
        rows = [
            (
                owner.sha256,
                owner.version_id,
                owner.model_id,
                json.dumps(owner.about) if owner.about else "",
                self.clock(),
            )
            for owner in owners
        ]
        with self.database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO owners (sha256, version_id, model_id, about, asked) VALUES (?, ?, ?, ?, ?)",
                rows,
            )

    def owner_of(self, sha256: str) -> Ownership | None:
        """What CivitAI has said of bytes; None where it was not asked or does not know them."""
        query = "SELECT sha256, version_id, model_id, about FROM owners WHERE sha256 = ? AND version_id != 0"
        with self.database.reading() as connection:
            row = connection.execute(query, (sha256,)).fetchone()
        return Ownership(row[0], row[1], row[2], json.loads(row[3] or "{}")) if row else None

    def owners(self) -> dict[str, Ownership]:
        """What CivitAI has said of bytes, by SHA-256; without those it does not know."""
        query = "SELECT sha256, version_id, model_id, about FROM owners WHERE version_id != 0"
        with self.database.reading() as connection:
            rows = connection.execute(query).fetchall()
        return {sha: Ownership(sha, version, model, json.loads(about or "{}")) for sha, version, model, about in rows}


def forget_file(index: HashIndex, path: str) -> None:
    """Take note that a file has left its place; its hashes are kept for a while, for it may come back."""
    with index.database.transaction() as connection:
        connection.execute("DELETE FROM places WHERE path = ?", (path,))
        connection.execute("UPDATE files SET gone = ? WHERE path = ?", (index.clock(), path))
