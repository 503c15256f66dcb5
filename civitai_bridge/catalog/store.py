"""`models.json` and `loras.json` of a folder: read, and changed while no other program changes them.

folder/.catalogs.lock          held by whichever process changes one of them
folder/.promoting.json         what a promote is about to do; who finds it finishes it
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import CatalogBusy, CatalogTrouble
from ..model_files.atomic import replace_file
from ..resources.json_values import identifier, text
from .catalog_file import Catalog, finish_rewrite, is_rewriting, no_catalog, read_catalog, save_catalog, trouble
from .edit import Document, append_entry, remove_entries, stamp
from .entries import LORAS, MODELS, category_name

_LOCK, _INTENT = ".catalogs.lock", ".promoting.json"
_TRIES = 3


class CatalogStore:
    """The two catalogs of a folder. Reading takes no lock, since files are only ever replaced as a whole."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], datetime] = datetime.now,
        patience: float = 10.0,
        change: Callable[[CatalogStore], Change] | None = None,
    ) -> None:
        """`patience` is how many seconds another process may hold the catalogs; `change` makes what `changing` gives
        (tests end it midway)."""
        self._folder = folder
        self._change = change or Change
        self._clock = clock
        self._patience = patience
        self._known: dict[str, Catalog] = {}
        self._inside = threading.RLock()

    @property
    def folder(self) -> Path:
        return self._folder

    def path(self, name: str) -> Path:
        """Where a catalog really is: a link to it is followed, so that a save does not replace the link."""
        return Path(os.path.realpath(self._folder / name))

    def load(self, name: str) -> Catalog:
        """Read a catalog; the same file is not read twice. Raises CatalogDamaged, CatalogTrouble."""
        with self._inside:
            if (self._folder / _INTENT).exists() or is_rewriting(self.path(name)):
                with contextlib.suppress(CatalogTrouble), self._locked(wait=0.5):  # a live promote finishes it itself
                    self._finish()
            return self._load(name)

    def load_readable(self) -> tuple[tuple[Catalog, Catalog], tuple[str, ...]]:
        """Both catalogs, an empty one in place of one that cannot be read, and what is wrong with that."""
        catalogs, troubles = [], []
        for name in (MODELS, LORAS):
            try:
                catalogs.append(self.load(name))
            except CatalogTrouble as error:
                catalogs.append(no_catalog(name))
                troubles.append(str(error))
        return (catalogs[0], catalogs[1]), tuple(troubles)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Hold both catalogs against every other process, after finishing what a killed one left half done. Raises
        CatalogBusy, CatalogTrouble."""
        with self._inside, self._locked():
            self._sweep()
            self._finish()
            yield self._change(self)

    def _finish(self) -> None:
        """Finish what a killed process left half done; the lock is held."""
        for name in (MODELS, LORAS):
            path = self.path(name)
            try:
                finish_rewrite(path)
            except OSError as error:
                raise trouble(path, error, "written") from error
        Change(self).finish_interrupted()

    def _load(self, name: str) -> Catalog:
        catalog = read_catalog(self.path(name), name, self._known.get(name))
        if catalog.state is not None:
            self._known[name] = catalog
        return catalog

    def _save(self, name: str, make: Callable[[Document], Document]) -> None:
        """Save what `make` makes of a catalog; nothing where it changes nothing."""
        for _ in range(_TRIES):
            read = self._load(name)
            document = make(read.document)
            if document is read.document:
                return
            stamped = stamp(document, self._clock().strftime("%Y-%m-%d %H:%M"))
            saved = save_catalog(self.path(name), read, stamped)
            if saved is not None:
                self._known[name] = saved
                return
        path = self.path(name)  # somebody without our lock wrote in between, each time
        raise CatalogBusy(f"{path} is written by another program again and again; try later.", path=str(path))

    def _sweep(self) -> None:
        """Remove what a killed save of ours left beside the catalogs; the lock is held, so nobody writes there now."""
        for path in (self.path(MODELS), self.path(LORAS), self._folder / _INTENT):
            with contextlib.suppress(OSError):  # what cannot be swept now is swept the next time
                for left in path.parent.glob(".*.part"):
                    if re.fullmatch(rf"\.{re.escape(path.name)}\.(\d+-\d+|previous)\.part", left.name):
                        left.unlink(missing_ok=True)

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
            raise trouble(self._folder, error, "changed") from error
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


class Change:
    """The catalogs while they are held; every call is one save of one file, or none. All of them raise CatalogTrouble
    and its kin."""

    def __init__(self, store: CatalogStore) -> None:
        self._store = store

    def load(self, name: str) -> Catalog:
        """A catalog as it is now."""
        return self._store._load(name)

    def readable(self, name: str) -> Catalog:
        """A catalog as it is now, an empty one where it cannot be read: for who only looks whether it has something."""
        try:
            return self.load(name)
        except CatalogTrouble:
            return no_catalog(name)

    def append(self, name: str, category: str, entry: Mapping[str, Any] | str) -> None:
        """Put an entry (or an entry's text, which stays as it is) at the end of a category."""
        self._store._save(name, lambda document: append_entry(document, category, category_name(category), entry))

    def remove(self, name: str, is_meant: Callable[[Mapping[str, Any]], bool]) -> list[str]:
        """Take the entries away that are meant, and give their texts. Nothing is saved where there are none."""
        texts: list[str] = []

        def without(document: Document) -> Document:
            nonlocal texts
            thinned, texts = remove_entries(document, is_meant)
            return thinned

        self._store._save(name, without)
        return texts

    def intend(self, intent: Mapping[str, Any]) -> None:
        """Note what is about to be done to both files; `done` forgets it."""
        path = self._store.folder / _INTENT
        try:
            replace_file(path, json.dumps(intent).encode())
        except OSError as error:
            raise trouble(path, error, "written") from error

    def done(self) -> None:
        """Forget what was intended."""
        (self._store.folder / _INTENT).unlink(missing_ok=True)

    def finish_interrupted(self) -> None:
        """Finish a promote that was killed: what has begun to arrive in loras.json arrives whole and leaves
        models.json; what has not stays where it was."""
        path = self._store.folder / _INTENT
        try:
            intent = json.loads(path.read_text(encoding="utf-8"))
            version_id, file = int(intent["version_id"]), str(intent["file"])
            category, texts = str(intent.get("category", "")), [str(each) for each in intent.get("texts", ())]
        except FileNotFoundError:
            return
        except OSError as error:
            raise trouble(path, error, "read") from error
        except (ValueError, KeyError, TypeError, AttributeError):
            self.done()  # the intent itself was not finished, so nothing followed it
            return
        arrived = sum(entry.file == file for entry in self.load(LORAS).of_version(version_id))
        if arrived:  # none was in it before; they come in order, and a person may have edited them since
            for entry_text in texts[arrived:]:
                self.append(LORAS, category, entry_text)
            self.remove(MODELS, lambda raw: is_lora_of(raw, version_id, file))
        self.done()


def is_lora_of(raw: Mapping[str, Any], version_id: int, file: str) -> bool:
    """Whether an entry as it is written is the LoRA file of this name of a version."""
    if identifier(raw.get("civitai_version_id")) != version_id:
        return False
    return text(raw.get("file")) == file and text(raw.get("dest")) == "loras"
