"""What the room is told to be here: from the index of model files alone, small enough for the relay."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

from ..model_files.indexed import ModelPath
from .kinds import LISTED_FOLDERS, Resource, listed_path, listed_type, site_type
from .outbox import LARGEST, first_that_fit

_ENVELOPE = 4_000  # bytes of a message beside its resources: ids and dates


@dataclass(frozen=True)
class Listed:
    """The entries of a list as the wire has them, and how many had no room in it."""

    entries: Sequence[dict[str, Any]]
    left_out: int


def list_files(
    files: Iterable[ModelPath], loading: Sequence[Resource] = (), types: Collection[str] = (), largest: int = LARGEST
) -> Listed:
    """Every hashed model file that the site has a type for, what is being loaded first, then the newest. Where not all
    of them fit into one message, those that were used or changed last do, without their paths, which nothing hangs on.
    Slow for many files: for a thread.

    `types` are in the site's spelling, empty for all."""
    busy = {resource.hash: resource for resource in loading}
    asked = {folder for folder in LISTED_FOLDERS if not types or listed_type(folder) in types}
    known = [f for f in files if f.sha256 and f.proved and f.folder in asked and f.sha256 not in busy]
    known.sort(key=attrgetter("mtime_ns"), reverse=True)
    first = [_loading_entry(each) for each in busy.values() if not types or each.type in types]
    count = len(first) + len(known)
    entries = first_that_fit(chain(first, map(_entry, known)), largest - _ENVELOPE)
    if len(entries) == count:
        return Listed(entries, 0)
    known.sort(key=_LastUse().of, reverse=True)
    entries = first_that_fit(chain(first, map(_short_entry, known)), largest - _ENVELOPE)
    return Listed(entries, count - len(entries))


def types_of(value: object) -> tuple[str, ...]:
    """The types that a list is asked for, in the site's spelling; what is none of them asks for nothing more."""
    names = [site_type(name) for name in value] if isinstance(value, list) else []
    folders = {"LoCon": "LORA", "DoRA": "LORA", "CLIP": "TextEncoder"}  # what their files are listed as
    return tuple(dict.fromkeys(folders.get(name, name) for name in names if name))


def _entry(file: ModelPath) -> dict[str, Any]:
    """`path` is what ComfyUI calls the file; no folder of this machine is told."""
    return {**_short_entry(file), "path": listed_path(file)}


def _short_entry(file: ModelPath) -> dict[str, Any]:
    name = file.name.replace("\\", "/").rpartition("/")[2]
    return {"type": listed_type(file.folder), "hash": file.sha256, "name": name, "hasPreview": ""}


def _loading_entry(resource: Resource) -> dict[str, Any]:
    named = {"type": resource.type, "hash": resource.hash, "name": resource.name or resource.title}
    return {**named, "hasPreview": "", "downloading": True}


class _LastUse(dict[str, bool]):
    """When files were read or changed last, in nanoseconds; many systems note a reading only once a day. A drive that
    is away is asked once for each of its folders."""

    def __missing__(self, folder: str) -> bool:
        self[folder] = os.path.isdir(folder)
        return self[folder]

    def of(self, file: ModelPath) -> int:
        """By the disk, else as it was when it was listed."""
        try:
            if self[os.path.dirname(file.path)]:
                status = os.stat(file.path)
                return max(status.st_atime_ns, status.st_mtime_ns)
        except (OSError, ValueError):
            pass  # it has gone meanwhile, or its name is none on this system
        return file.mtime_ns
