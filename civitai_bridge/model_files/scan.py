"""Bring the index up to date with the model folders.

A scan lists every folder (10,000 unchanged files in a fraction of a second), hashes what is new or changed, and writes
each file down as it is done, so a scan that is stopped or killed goes on where it was. A file that was moved or renamed
is known by size, time and three samples of its bytes, and is not hashed again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .file_rows import OPTIONAL_COLUMNS, Changes, keep_rows, note_changes, read_known
from .hash_pool import HashPool
from .hashing import USUAL
from .index import HashIndex
from .listing import ListedFile, Listing, list_models
from .progress import ScanControl

Known = Mapping[str, Mapping[str, Any]]


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


def scan(
    index: HashIndex,
    folders: Mapping[str, Sequence[str | Path]],
    control: ScanControl | None = None,
    *,
    kinds: Collection[str] = USUAL,
    whole: bool = True,
    list_folders: Callable[[Mapping[str, Sequence[str | Path]]], Listing] = list_models,
) -> ScanReport:
    """Bring the index up to date; slow, for a thread of its own. `folders` are ComfyUI's keys with their paths; with
    `whole` False they are some of them, and what is known of others stays.

    What is done stays done when the scan is cancelled. `kinds` beyond the usual ones, and those that a look-up needed,
    are taken for every file that lacks them. Raises StateTrouble."""
    listing = list_folders(folders)
    with index.database.reading() as connection:
        known = read_known(connection)
    kinds = index.hashing.kinds & {*kinds, *index.required()}
    columns = ["sha256", *(column for kind, column in OPTIONAL_COLUMNS.items() if kind in kinds)]
    changes = _changes(listing, known, columns, index.hashing.sample, whole)
    with index.database.transaction() as connection:
        note_changes(connection, listing, changes, None if whole else folders.keys(), index.clock())
    pool = HashPool(changes.to_hash, kinds, index.hashing, control or ScanControl())
    for batch in pool.run():
        with index.database.transaction() as connection:
            keep_rows(connection, batch)
    hashed_paths = {file.path for file in changes.to_hash}
    moved = sum(file.path not in hashed_paths and file.path != path for file, path in changes.adopted)
    return ScanReport(
        files=len(listing.files),
        hashed=pool.done,
        moved=moved,
        gone=len(changes.gone),
        unchanged=len(listing.files) - len(changes.to_hash) - moved,
        stopped=pool.stopped,
        troubles=(*listing.troubles, *pool.troubles),
    )


def _changes(
    listing: Listing, known: Known, columns: Sequence[str], sample: Callable[[str], str], whole: bool
) -> Changes:
    """What is new, moved, back and gone; a file is hashed where one of `columns` is empty."""
    alike: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for row in known.values():
        alike.setdefault((row["size"], row["mtime_ns"]), []).append(row)
    to_hash, adopted, fresh, returned = [], [], [], []
    for file in listing.files.values():
        row = known.get(file.path)
        if row is None or not _is_unchanged(row, file):
            row = _moved_from(alike.get((file.size, file.mtime_ns), ()), file, listing.files, sample)
            if row is not None:
                adopted.append((file, row["path"]))
            else:
                fresh.append(file)
        elif not row["ctime_ns"] and file.ctime_ns:
            adopted.append((file, file.path))
        elif row["gone"] is not None:
            returned.append(file.path)
        if row is None or not all(row[column] for column in columns):
            to_hash.append(file)
    gone = (path for path, row in known.items() if _is_gone(path, row, listing, whole))
    return Changes(tuple(to_hash), tuple(adopted), tuple(fresh), tuple(returned), tuple(gone))


def _is_gone(path: str, row: Mapping[str, Any], listing: Listing, whole: bool) -> bool:
    """Whether a known file is no longer there, as far as this listing could see."""
    if row["gone"] is not None or path in listing.files or listing.is_unreadable(path):
        return False
    return (whole or listing.is_below_a_root(path)) and not _listed(row).stands()


def _is_unchanged(row: Mapping[str, Any], file: ListedFile) -> bool:
    """Whether the file under a known name is the known one, untouched. A change time of 0 was never noted."""
    return (
        row["size"] == file.size
        and row["mtime_ns"] == file.mtime_ns
        and row["ctime_ns"] in (file.ctime_ns, 0)
        and (row["inode"] == file.inode or row["inode"] == "0" or file.inode == "0")
    )


def _moved_from(
    rows: Iterable[Mapping[str, Any]], file: ListedFile, listed: Mapping[str, ListedFile], sample: Callable[[str], str]
) -> Mapping[str, Any] | None:
    """Which known file a file is; size and time are equal already. That of its inode comes first, then one whose own
    place is empty now. Neither proves anything alone, since inodes are given out again and time stamps are copied: the
    samples must be the same too."""
    candidates = []
    for row in rows:
        if row["sha256"]:
            is_inode = row["inode"] != "0" and (row["device"], row["inode"]) == (file.device, file.inode)
            at_its_place = listed.get(row["path"])
            is_free = row["path"] == file.path or at_its_place is None or at_its_place[1:3] != file[1:3]
            if is_inode or is_free:
                candidates.append((not is_inode, row["path"] != file.path, len(candidates), row))
    if not candidates:
        return None
    try:
        samples = sample(file.path)
    except OSError:
        return None
    return next((row for *_, row in sorted(candidates) if row["head"] == samples), None)


def _listed(row: Mapping[str, Any]) -> ListedFile:
    return ListedFile(*(row[name] for name in ListedFile._fields))
