"""One catalog on disk: read, and saved so that nothing is lost. Nothing is written over a text that was not read.

models.json             the catalog
models.json.previous    as it was before the last save
.models.json.rewrite    what is being written into it, where it has other names (hard links)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CatalogDamaged, CatalogTrouble
from ..model_files.atomic import is_full, is_refused, reason, rename_over, written_beside
from ..resources.json_values import identifier
from .edit import Document, WrongShape, read_document
from .entries import Entry, entry_from_json

_EMPTY = '{\n  "version": 0,\n  "date": "",\n  "categories": []\n}\n'
_NO_CATALOG = read_document(_EMPTY)  # one value, so that nobody takes it for a change
State = tuple[int, int, int]  # size, time in ns and inode


@dataclass(frozen=True)
class Catalog:
    """A catalog as it was read. `state` is that of the file then, None where there was none."""

    name: str
    document: Document
    state: State | None

    def entries(self) -> Iterator[Entry]:
        """Every entry, in the order of the file."""
        for category, raw in self.document.entries():
            yield entry_from_json(raw, self.name, category)

    def of_version(self, version_id: int) -> list[Entry]:
        """The entries of a version of CivitAI."""
        return [
            entry_from_json(raw, self.name, category)
            for category, raw in self.document.entries()
            if identifier(raw.get("civitai_version_id")) == version_id
        ]


def no_catalog(name: str) -> Catalog:
    """An empty catalog, for where there is no file."""
    return Catalog(name, _NO_CATALOG, None)


def read_catalog(path: Path, name: str, previous: Catalog | None = None) -> Catalog:
    """Read a catalog, an empty one where there is no file; `previous` where the file is still as it was then. Raises
    CatalogDamaged, CatalogTrouble."""
    try:
        if previous is not None and previous.state == _state(os.stat(path)):
            return previous
        with open(path, "rb") as source:
            state = _state(os.fstat(source.fileno()))
            content = source.read()
    except FileNotFoundError:
        return no_catalog(name)
    except OSError as error:
        raise trouble(path, error, "read") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise _damaged(path, "it is not UTF-8 text", line, column) from error
    return Catalog(name, _parsed(path, text), state)


def _parsed(path: Path, text: str) -> Document:
    try:
        return read_document(text)
    except json.JSONDecodeError as error:
        raise _damaged(path, error.msg, error.lineno, error.colno) from error
    except WrongShape as error:
        raise CatalogDamaged(
            f"{path} is no catalog: it {error}. It is left as it is; correct it, or move it away.", path=str(path)
        ) from error
    except (ValueError, RecursionError) as error:
        raise CatalogDamaged(
            f"{path} cannot be read as JSON: {error}. It is left as it is; correct it by hand.", path=str(path)
        ) from error


def save_catalog(path: Path, read: Catalog, document: Document) -> Catalog | None:
    """Make a catalog's file hold another document, and keep the version before it. None where the file is not (any
    more) what was read. Raises CatalogTrouble.

    Mode and owner stay where the system allows that. A file with other names (hard links), or one that is mounted by
    itself, is rewritten in its place, so that they go on showing it; what was to be written is kept beside it until
    that is done (`finish_rewrite`)."""
    try:
        with written_beside(path, document.content) as part:
            before = os.stat(path) if path.exists() else None
            if (_state(before) if before else None) != read.state:
                return None
            if before is None:
                rename_over(part, path)
            else:
                _replace(part, path, before)
        return Catalog(read.name, document, _state(os.stat(path)))
    except OSError as error:
        raise trouble(path, error, "written") from error


def _replace(part: Path, path: Path, before: os.stat_result) -> None:
    with contextlib.suppress(OSError):  # a file system without modes
        os.chmod(part, before.st_mode & 0o777)
    if _has_other_names(path, before):
        _keep_previous(path, as_copy=True)
        _rewrite(part, path)
        return
    _keep_previous(path)
    try:
        rename_over(part, path)
    except OSError as error:
        if error.errno != errno.EBUSY:  # a mount point
            raise
        _keep_previous(path, as_copy=True)
        _rewrite(part, path)


def _has_other_names(path: Path, before: os.stat_result) -> bool:
    """Whether a person has linked the file; `.previous` may be a second name of ours, left by a kill."""
    previous = _previous(path)
    ours = previous.exists() and os.path.samestat(os.stat(previous), before)
    return before.st_nlink - ours > 1


def _rewrite(part: Path, path: Path) -> None:
    pending = _pending(path)
    rename_over(part, pending)
    _write_into(path, pending.read_bytes())
    pending.unlink(missing_ok=True)


def is_rewriting(path: Path) -> bool:
    """Whether a catalog was being rewritten in its place, by a process that is at it or was killed."""
    return _pending(path).exists()


def finish_rewrite(path: Path) -> None:
    """Write what is kept beside a catalog into it; not over what somebody has mended meanwhile. Raises OSError. The
    catalogs must be held."""
    pending = _pending(path)
    try:
        new, now, old = pending.read_bytes(), path.read_bytes(), _previous(path).read_bytes()
    except FileNotFoundError:
        return
    done = _same_head(new, now)
    if now != new and now[done:] == old[done:]:  # else somebody has mended it meanwhile
        _write_into(path, new)
    pending.unlink(missing_ok=True)


def _same_head(content: bytes, other: bytes) -> int:
    """How many bytes are the same at the beginning."""
    least, most = 0, min(len(content), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if content[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _write_into(path: Path, content: bytes) -> None:
    with open(path, "r+b") as out:
        out.write(content)
        out.truncate()
        out.flush()
        os.fsync(out.fileno())


def _keep_previous(path: Path, *, as_copy: bool = False) -> None:
    """The file as it is now becomes `.previous`: a second name for the same bytes, a copy where there are no such."""
    beside = path.with_name(f".{path.name}.previous.part")
    beside.unlink(missing_ok=True)
    linked = False
    if not as_copy:
        with contextlib.suppress(OSError):  # a file system without links
            os.link(path, beside)
            linked = True
    if not linked:
        shutil.copyfile(path, beside)
    rename_over(beside, _previous(path))


def _pending(path: Path) -> Path:
    return path.with_name(f".{path.name}.rewrite")


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def _state(seen: os.stat_result) -> State:
    return seen.st_size, seen.st_mtime_ns, seen.st_ino


def _damaged(path: Path, why: str, line: int, column: int) -> CatalogDamaged:
    before = " (the version before the last save stands beside it as .previous)" if _previous(path).exists() else ""
    return CatalogDamaged(
        f"{path} is not valid JSON, line {line}, column {column}: {why}. It is left as it is; correct it by "
        f"hand{before}.",
        path=str(path),
        line=line,
        column=column,
    )


def trouble(path: Path, error: OSError, verb: str) -> CatalogTrouble:
    """The sentence for an error of the system; `verb` is what was not possible (`read`, `written`, `changed`)."""
    if is_full(error):
        why = "the disk is full, or a quota is used up; make room and try again"
    elif is_refused(error) and getattr(error, "winerror", None) == 32:
        why = "another program has it open; close it there and try again"
    elif is_refused(error):
        why = "it may not be written here (read-only, or another user's)" if verb != "read" else "access is denied"
    else:
        why = reason(error)
    return CatalogTrouble(f"{path} cannot be {verb}: {why}. Nothing was changed.", path=str(path))
