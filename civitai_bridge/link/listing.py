"""What the room is told to be here: from the index of model files alone, small enough for the relay."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..model_files.indexed import ModelPath
from .kinds import Resource, listed_type, site_type
from .outbox import LARGEST

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
    of them fit into one message, those that were used or changed last do. Slow for many files: for a thread.

    `types` are in the site's spelling, empty for all."""
    busy = {resource.hash: resource for resource in loading}
    known = [
        file
        for file in files
        if file.sha256 and file.proved and file.sha256 not in busy and (type_ := listed_type(file.folder))
        if not types or type_ in types
    ]
    known.sort(key=lambda file: file.mtime_ns, reverse=True)
    entries = [_loading_entry(each) for each in busy.values() if not types or each.type in types]
    listed = _fitting([*entries, *map(_entry, known)], largest)
    if not listed.left_out:
        return listed
    known.sort(key=_last_use, reverse=True)
    return _fitting([*entries, *map(_entry, known)], largest)


def types_of(value: object) -> tuple[str, ...]:
    """The types that a list is asked for, in the site's spelling; what is none of them asks for nothing more."""
    names = [site_type(name) for name in value] if isinstance(value, list) else []
    folders = {"LoCon": "LORA", "DoRA": "LORA", "CLIP": "TextEncoder"}  # what their files are listed as
    return tuple(dict.fromkeys(folders.get(name, name) for name in names if name))


def _fitting(entries: list[dict[str, Any]], largest: int) -> Listed:
    room = largest - _ENVELOPE
    for number, entry in enumerate(entries):
        room -= len(json.dumps(entry)) + 2
        if room < 0:
            return Listed(entries[:number], len(entries) - number)
    return Listed(entries, 0)


def _entry(file: ModelPath) -> dict[str, Any]:
    """`path` is what ComfyUI calls the file; no folder of this machine is told."""
    name = file.name.replace("\\", "/")
    return {
        "type": listed_type(file.folder),
        "hash": file.sha256,
        "name": name.rpartition("/")[2],
        "path": f"{file.folder}/{name}",
        "hasPreview": "",
    }


def _loading_entry(resource: Resource) -> dict[str, Any]:
    named = {"type": resource.type, "hash": resource.hash, "name": resource.name or resource.title}
    return {**named, "hasPreview": "", "downloading": True}


def _last_use(file: ModelPath) -> int:
    """When it was read or changed last, in nanoseconds; many systems note a reading only once a day."""
    try:
        status = os.stat(file.path)
    except (OSError, ValueError):
        return 0
    return max(status.st_atime_ns, status.st_mtime_ns)
