"""Bring the index up to date with the model folders.

A scan lists every folder (10,000 unchanged files in a fraction of a second), hashes what is new or changed, and writes
each file down as it is done, so a scan that is stopped or killed goes on where it was. A file that was renamed is known
by its inode, size, time and three samples of its bytes, and is not hashed again; one that came from another disk or was
touched is known at once, and hashed when everything else is."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .file_rows import OPTIONAL_COLUMNS, Adopted, Changes, KnownFile, keep_rows, note_changes, read_known
from .hash_pool import HashPool
from .hashing import USUAL
from .index import HashIndex
from .listing import ListedFile, Listing, list_models
from .progress import ScanControl


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
        indexed = read_known(connection)
    kinds = index.hashing.kinds & {*kinds, *index.required()}
    columns = ["sha256", *(column for kind, column in OPTIONAL_COLUMNS.items() if kind in kinds)]
    changes = _changes(listing, indexed, columns, index.hashing.sample, whole)
    with index.database.transaction() as connection:
        note_changes(connection, listing, changes, None if whole else folders.keys(), index.clock())
    pool = HashPool((*changes.to_hash, *changes.to_prove), kinds, index.hashing, control or ScanControl())
    for batch in pool.run():
        with index.database.transaction() as connection:
            keep_rows(connection, batch)
    hashed_paths = {file.path for file in changes.to_hash}
    moved = sum(file.path not in hashed_paths and file.path != path for file, path, _ in changes.adopted)
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
    listing: Listing,
    indexed: Mapping[str, KnownFile],
    columns: Sequence[str],
    sample: Callable[[str], str],
    whole: bool,
) -> Changes:
    """What is new, moved, back and gone; a file is hashed where one of `columns` is empty."""
    alike: dict[tuple[int, int], list[KnownFile]] = {}
    for row in indexed.values():
        alike.setdefault((row.size, row.mtime_ns), []).append(row)
    to_hash, to_prove, adopted, fresh, returned = [], [], [], [], []
    for file in listing.files.values():
        row = indexed.get(file.path)
        if row is None or not _is_unchanged(row, file):
            origin = _origin(alike.get((file.size, file.mtime_ns), ()), file, listing.files, sample)
            adopted += [origin] if origin else []
            fresh += [] if origin else [file]
            row, unproved = (indexed[origin.path], origin.unproved) if origin else (None, False)
        else:
            unproved = bool(row.unproved)
            if not row.ctime_ns and file.ctime_ns:
                adopted.append(Adopted(file, file.path, unproved))
            elif row.gone is not None:
                returned.append(file.path)
        if row is None or not all(getattr(row, column) for column in columns):
            to_hash.append(file)
        elif unproved:
            to_prove.append(file)
    gone = (path for path, row in indexed.items() if _is_gone(path, row, listing, whole))
    return Changes(tuple(to_hash), tuple(to_prove), tuple(adopted), tuple(fresh), tuple(returned), tuple(gone))


def _is_gone(path: str, row: KnownFile, listing: Listing, whole: bool) -> bool:
    """Whether a known file is no longer there, as far as this listing could see."""
    if row.gone is not None or path in listing.files or listing.is_unreadable(path):
        return False
    return (whole or listing.is_below_a_root(path)) and not row.listed.stands()


def _is_unchanged(row: KnownFile, file: ListedFile) -> bool:
    """Whether the file under a known name is the known one, untouched. A change time of 0 was never noted."""
    return (
        row.size == file.size
        and row.mtime_ns == file.mtime_ns
        and row.ctime_ns in (file.ctime_ns, 0)
        and (row.inode == file.inode or row.inode == "0" or file.inode == "0")
    )


def _origin(
    rows: Iterable[KnownFile], file: ListedFile, listed: Mapping[str, ListedFile], sample: Callable[[str], str]
) -> Adopted | None:
    """Which known file a file is taken for; size and time are equal already. Its samples must be the same too, since
    inodes are given out again and time stamps are copied.

    The file of its inode is believed where its own place was or is empty, or where it was not touched. Else something
    about it was changed (its mode, its links, or its bytes with the time set back), and it is hashed again when there
    is time. Where inodes say nothing (there are none, or the disk is another one), the only file whose own place is
    empty now is taken for it until then."""
    hashed = [row for row in rows if row.sha256]
    same_inode = [row for row in hashed if file.inode != "0" and (row.device, row.inode) == (file.device, file.inode)]
    elsewhere = [row for row in hashed if "0" in (row.inode, file.inode) or row.device != file.device]
    candidates = same_inode or [row for row in elsewhere if row.path == file.path or not _has_its_place(row, listed)]
    if not candidates:
        return None
    try:
        samples = sample(file.path)
    except OSError:
        return None
    alike = [row for row in candidates if row.head == samples]
    if not alike or (not same_inode and len({row.sha256 for row in alike}) > 1):
        return None
    row = next((row for row in alike if row.path == file.path), alike[0])
    is_free = row.gone is not None or not _has_its_place(row, listed)
    is_believed = bool(same_inode) and (is_free or row.ctime_ns == file.ctime_ns)
    return Adopted(file, row.path, bool(row.unproved) or not is_believed)


def _has_its_place(row: KnownFile, listed: Mapping[str, ListedFile]) -> bool:
    """Whether a known file, or another one, is still where it was."""
    return row.path in listed or os.path.lexists(row.path)
