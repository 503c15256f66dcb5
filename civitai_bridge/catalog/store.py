"""`models.json` and `loras.json` on disk: locked, written beside and renamed, never over a text that was not read.

folder/models.json             the catalog
folder/models.json.previous    as it was before the last save
folder/.catalogs.lock          held by whichever process changes one of them
folder/.promoting.json         what a promote is about to do; who finds it finishes it
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import CatalogBusy, CatalogDamaged, CatalogTrouble
from ..model_files.atomic import is_full, is_refused, reason, rename_over, replace_file, written_beside
from .edit import Document, Edit, WrongShape, apply, read_document, stamped, with_entry, without_entries
from .entries import LORAS, MODELS, Entry, category_name, entry_from_json, whole

_EMPTY = '{\n  "version": 0,\n  "date": "",\n  "categories": []\n}\n'
_NO_CATALOG = read_document(_EMPTY)  # one value, so that nobody takes it for a change
_LOCK, _INTENT = ".catalogs.lock", ".promoting.json"
_TRIES = 3


@dataclass(frozen=True)
class Loaded:
    """A catalog as it was read. `seen` is the state of the file then, None where there was none."""

    name: str
    document: Document
    seen: tuple[int, int, int] | None

    def entries(self) -> Iterator[Entry]:
        for category, raw in self.document.entries():
            yield entry_from_json(raw, self.name, category.id)

    def of_version(self, version_id: int) -> list[Entry]:
        return [
            entry_from_json(raw, self.name, category.id)
            for category, raw in self.document.entries()
            if whole(raw.get("civitai_version_id")) == version_id
        ]


class CatalogStore:
    """The two catalogs of a folder. Reading takes no lock, since files are only ever replaced as a whole."""

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = datetime.now, patience: float = 10.0) -> None:
        """`patience` is how many seconds another process may hold the catalogs."""
        self._folder = folder
        self._clock = clock
        self._patience = patience
        self._known: dict[str, Loaded] = {}
        self._inside = threading.RLock()

    @property
    def folder(self) -> Path:
        return self._folder

    def path(self, name: str) -> Path:
        """Where a catalog really lies: a link to it is followed, so that a save does not replace the link."""
        return Path(os.path.realpath(self._folder / name))

    def load(self, name: str) -> Loaded:
        """Read a catalog; the same file is not read twice. Raises CatalogDamaged, CatalogTrouble."""
        with self._inside:
            self._finish_if_interrupted()
            return self._load(name)

    def load_both(self) -> tuple[Loaded, Loaded]:
        return self.load(MODELS), self.load(LORAS)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Hold both catalogs against every other process, after finishing what a killed one left half done."""
        with self._inside, self._locked():
            self._sweep()
            change = Change(self)
            change.finish_interrupted()
            yield change

    def _sweep(self) -> None:
        """Remove what a killed save of ours left beside the catalogs; the lock is held, so nobody writes there now."""
        for path in (self.path(MODELS), self.path(LORAS), self._folder / _INTENT):
            with contextlib.suppress(OSError):  # what cannot be swept now is swept the next time
                for left in path.parent.glob(".*.part"):
                    if re.fullmatch(rf"\.{re.escape(path.name)}\.(\d+-\d+|previous)\.part", left.name):
                        left.unlink(missing_ok=True)

    def _finish_if_interrupted(self) -> None:
        if (self._folder / _INTENT).exists():
            with contextlib.suppress(CatalogTrouble), self._locked(wait=0.5):  # a live promote finishes it itself
                Change(self).finish_interrupted()

    @contextlib.contextmanager
    def _locked(self, wait: float | None = None) -> Iterator[None]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(self._folder / _LOCK)
            lock.acquire(timeout=self._patience if wait is None else wait)
        except Timeout as error:
            raise CatalogBusy(
                f"The catalogs in {self._folder} are being changed by another program; try again in a moment.",
                path=str(self._folder),
            ) from error
        except OSError as error:
            raise self._trouble(self._folder, error, "changed") from error
        except NotImplementedError as error:
            raise CatalogTrouble(
                f"{self._folder} lies on a file system without locks, where two programs could spoil a catalog; choose "
                "another place with `civitai-bridge settings catalog_folder`. Nothing was changed.",
                path=str(self._folder),
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _load(self, name: str) -> Loaded:
        path, known = self.path(name), self._known.get(name)
        try:
            seen = _state(os.stat(path))
            if known is not None and known.seen == seen:
                return known
            with open(path, "rb") as source:
                seen = _state(os.fstat(source.fileno()))
                content = source.read()
        except FileNotFoundError:
            return Loaded(name, _NO_CATALOG, None)
        except OSError as error:
            raise self._trouble(path, error, "read") from error
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            column = error.start - content.rfind(b"\n", 0, error.start)
            raise self._damaged(path, "it is not UTF-8 text", line, column) from error
        if known is not None and known.document.text == text:
            loaded = Loaded(name, known.document, seen)
        else:
            loaded = Loaded(name, self._read(path, text), seen)
        self._known[name] = loaded
        return loaded

    def _read(self, path: Path, text: str) -> Document:
        try:
            return read_document(text)
        except json.JSONDecodeError as error:
            raise self._damaged(path, error.msg, error.lineno, error.colno) from error
        except WrongShape as error:
            raise CatalogDamaged(
                f"{path} is no catalog: it {error}. It is left as it is; correct it, or move it away.", path=str(path)
            ) from error
        except (ValueError, RecursionError) as error:
            raise CatalogDamaged(
                f"{path} cannot be read as JSON: {error}. It is left as it is; correct it by hand.", path=str(path)
            ) from error

    def _damaged(self, path: Path, why: str, line: int, column: int) -> CatalogDamaged:
        before = " (the version before the last save stands beside it as .previous)" if _previous(path).exists() else ""
        return CatalogDamaged(
            f"{path} is not valid JSON, line {line}, column {column}: {why}. It is left as it is; correct it by "
            f"hand{before}.",
            path=str(path),
            line=line,
            column=column,
        )

    def _trouble(self, path: Path, error: OSError, what: str) -> CatalogTrouble:
        if is_full(error):
            why = "the disk is full, or a quota is used up; make room and try again"
        elif is_refused(error) and getattr(error, "winerror", None) == 32:
            why = "another program has it open; close it there and try again"
        elif is_refused(error):
            why = "it may not be written here (read-only, or another user's)" if what != "read" else "access is denied"
        else:
            why = reason(error)
        return CatalogTrouble(f"{path} cannot be {what}: {why}. Nothing was changed.", path=str(path))


class Change:
    """The catalogs while they are held; every call is one save of one file, or none."""

    def __init__(self, store: CatalogStore) -> None:
        self._store = store

    def load(self, name: str) -> Loaded:
        return self._store._load(name)

    def append(self, name: str, category: str, entry: Mapping[str, Any] | str) -> None:
        """Put an entry (or an entry's text, which stays as it is) at the end of a category."""

        def edits(document: Document) -> tuple[list[Edit], tuple[int, Any] | None]:
            made, number = with_entry(document, category, category_name(category), entry)
            value = json.loads(entry) if isinstance(entry, str) else dict(entry)
            return made, (number, value) if number >= 0 else None

        self._save(name, edits)

    def remove(self, name: str, version_id: int) -> list[str]:
        """Take a version's entries away; answers with their texts. Nothing is saved where none goes."""
        return self.take(name, lambda entry: entry.version_id == version_id)

    def take(self, name: str, gone: Callable[[Entry], bool]) -> list[str]:
        """Take the entries away that are meant, as `remove` does."""
        texts: list[str] = []

        def goes(raw: Mapping[str, Any]) -> bool:
            return gone(entry_from_json(raw, name))

        def edits(document: Document) -> tuple[list[Edit], tuple[int, Any] | None]:
            made, found = without_entries(document, goes)
            texts[:] = found
            return made, None

        self._save(name, edits)
        return texts

    def intend(self, intent: Mapping[str, Any]) -> None:
        """Note what is about to be done to both files; `done` forgets it."""
        path = self._store.folder / _INTENT
        try:
            replace_file(path, json.dumps(intent).encode())
        except OSError as error:
            raise self._store._trouble(path, error, "written") from error

    def done(self) -> None:
        (self._store.folder / _INTENT).unlink(missing_ok=True)

    def finish_interrupted(self) -> None:
        """Finish a promote that was killed: what has begun to arrive in loras.json arrives whole and leaves
        models.json; what has not stays where it was."""
        path = self._store.folder / _INTENT
        try:
            intent = json.loads(path.read_text(encoding="utf-8"))
            version_id, file = int(intent["version_id"]), str(intent["file"])
            category, texts = str(intent.get("category", "")), [str(text) for text in intent.get("texts", ())]
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._store._trouble(path, error, "read") from error
        except (ValueError, KeyError, TypeError, AttributeError):
            self.done()  # the intent itself was not finished, so nothing followed it
            return

        arrived = sum(entry.file == file for entry in self.load(LORAS).of_version(version_id))
        if arrived:  # none was there before; they come in order, and a person may have edited them since
            for text in texts[arrived:]:
                self.append(LORAS, category, text)
            self.take(MODELS, lambda entry: (entry.version_id, entry.file, entry.dest) == (version_id, file, "loras"))
        self.done()

    def _save(self, name: str, make: Callable[[Document], tuple[list[Edit], tuple[int, Any] | None]]) -> None:
        store, path = self._store, self._store.path(name)
        for _ in range(_TRIES):
            loaded = self.load(name)
            document = loaded.document
            stamps, version = stamped(document, store._clock().strftime("%Y-%m-%d %H:%M"))
            if any(edit.start == edit.end for edit in stamps):  # it had no version or date: first they are put in
                document, stamps = store._read(path, apply(document.text, stamps)), []
            edits, added = make(document)
            if not edits:
                return
            everything = [*edits, *stamps]
            if added is not None:
                after = document.after(everything, version, added)
            else:
                after = store._read(path, apply(document.text, everything))
            try:
                if not _write(path, after.text.encode("utf-8"), loaded.seen):
                    continue  # somebody without our lock wrote in between: their version is read first
                store._known[name] = Loaded(name, after, _state(os.stat(path)))
            except OSError as error:
                raise store._trouble(path, error, "written") from error
            return
        raise CatalogBusy(f"{path} is written by another program again and again; try later.", path=str(path))


def _write(path: Path, content: bytes, seen: tuple[int, int, int] | None) -> bool:
    """Save a catalog and keep the version before it. False where the file is not (any more) what was read."""
    with written_beside(path, content) as part:
        now = _state(os.stat(path)) if path.exists() else None
        if now != seen:
            return False
        if now is not None:
            with contextlib.suppress(OSError):  # a file system without modes
                os.chmod(part, os.stat(path).st_mode & 0o777)
            _keep_previous(path)
        rename_over(part, path)
    return True


def _keep_previous(path: Path) -> None:
    """The file as it is now becomes `.previous`: a second name for the same bytes, a copy where there are no such."""
    beside = path.with_name(f".{path.name}.previous.part")
    beside.unlink(missing_ok=True)
    try:
        os.link(path, beside)
    except OSError:
        shutil.copyfile(path, beside)
    rename_over(beside, _previous(path))


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def _state(seen: os.stat_result) -> tuple[int, int, int]:
    return seen.st_size, seen.st_mtime_ns, seen.st_ino
