"""What lies in the model folders, by name and state; no file is opened."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .atomic import reason
from .names import MODEL_ENDINGS, is_text, no_text

_LARGEST = 1 << 63  # SQLite's integers end here; times that a file system allows do not


class ListedFile(NamedTuple):
    """A file as its folder shows it: size in bytes, times in nanoseconds, where it lies on the disk."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    device: str
    inode: str

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> ListedFile:
        """From what the system says of a file."""
        times = cls.time(status.st_mtime_ns), cls.time(status.st_ctime_ns)
        return cls(path, status.st_size, *times, str(status.st_dev), str(status.st_ino))

    @staticmethod
    def time(nanoseconds: int) -> int:
        """A file's time, cut to what SQLite can hold."""
        return nanoseconds % _LARGEST

    def stands(self) -> bool:
        """Whether the file lies there with this size and time."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and (status.st_size, self.time(status.st_mtime_ns)) == self[1:3]


class Place(NamedTuple):
    """Under which name a loader finds a file: ComfyUI's folder key, the name below its root, the path, and which of the
    key's roots it is (0 comes first)."""

    folder: str
    name: str
    path: str
    rank: int


@dataclass(frozen=True)
class Listing:
    """`files` by path; `troubles` are sentences about what could not be read or named; `unreadable` are folders (with a
    `/` at the end) whose files may be there all the same."""

    files: Mapping[str, ListedFile]
    places: frozenset[Place]
    troubles: tuple[str, ...]
    unreadable: tuple[str, ...]
    roots: tuple[str, ...]

    def is_unreadable(self, path: str) -> bool:
        """Whether a file may well be there although it was not listed (an unplugged drive)."""
        return path.startswith(self.unreadable)

    def is_below_a_root(self, path: str) -> bool:
        """Whether a path is of the folders that were listed."""
        return path.startswith(self.roots)


def list_models(folders: Mapping[str, Sequence[str | Path]]) -> Listing:
    """Every model file below the roots of ComfyUI's folder keys; a root that several keys have is listed once."""
    walk, places = _Walk(), {}
    for folder, roots in folders.items():
        for rank, root in enumerate(roots):
            if not is_text(str(root)):
                walk.troubles.append(no_text(str(root)))
                continue
            for name, path in walk.root(os.path.abspath(root)):
                places.setdefault((folder, path), Place(folder, name, path, rank))
    roots_listed = tuple(os.path.join(root, "") for root in walk.roots)
    return Listing(walk.files, frozenset(places.values()), tuple(walk.troubles), tuple(walk.unreadable), roots_listed)


class _Walk:
    """A walk through the folders. A directory is entered once a root, so that links in a ring come to an end."""

    def __init__(self) -> None:
        self.files: dict[str, ListedFile] = {}
        self.roots: dict[str, list[tuple[str, str]]] = {}  # the names and paths below each
        self.troubles: list[str] = []
        self.unreadable: list[str] = []

    def root(self, root: str) -> list[tuple[str, str]]:
        if root not in self.roots:
            self.roots[root] = []
            visited: set[tuple[int, int | str]] = set()
            pending, links = [(root, "")], []
            while pending or links:  # real directories first: a name without links in it is the better name
                directory, lead = pending.pop() if pending else links.pop()
                if self._is_new(directory, lead, visited):
                    for entry in self._folders(root, directory, lead):
                        below = links if entry.is_symlink() else pending
                        below.append((entry.path, f"{lead}{entry.name}/"))
        return self.roots[root]

    def _is_new(self, directory: str, lead: str, visited: set[tuple[int, int | str]]) -> bool:
        try:
            status = os.stat(directory)
        except OSError as error:
            self._cannot_read(directory, lead, error)
            return False
        identity = status.st_dev, status.st_ino or os.path.realpath(directory)  # some drives number nothing
        is_new = identity not in visited
        visited.add(identity)
        return is_new

    def _folders(self, root: str, directory: str, lead: str) -> list[os.DirEntry[str]]:
        """Note the files of a directory; the directories in it."""
        folders = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    is_model = entry.name.lower().endswith(MODEL_ENDINGS)
                    if not is_text(entry.name):
                        if is_model or _is_folder(entry):
                            self.troubles.append(no_text(entry.path))
                    elif is_model:
                        self._file(root, entry, lead)
                    elif not entry.name.startswith(".") and _is_folder(entry):
                        folders.append(entry)
        except OSError as error:
            self._cannot_read(directory, lead, error)
        return folders

    def _file(self, root: str, entry: os.DirEntry[str], lead: str) -> None:
        try:
            status = entry.stat()
        except FileNotFoundError:
            return  # a link to nothing, or gone just now
        except OSError as error:
            self.troubles.append(f"{entry.path} cannot be read: {reason(error)}.")
            return
        if stat.S_ISREG(status.st_mode):
            if entry.path not in self.files:
                self.files[entry.path] = ListedFile.of(entry.path, status)
            self.roots[root].append((f"{lead}{entry.name}", entry.path))

    def _cannot_read(self, directory: str, lead: str, error: OSError) -> None:
        self.unreadable.append(os.path.join(directory, ""))
        if lead or not isinstance(error, FileNotFoundError):  # a root that is not there is a drive that is away
            self.troubles.append(f"{directory} cannot be read: {reason(error)}.")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):  # a link in a ring
        return entry.is_dir()
    return False
