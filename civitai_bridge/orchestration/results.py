"""Bought pictures on disk, by SHA-256: `results/<sha256>.<ending>`, written beside and renamed, never changed.

They are kept before anything is decoded, so that a picture that was paid for survives whatever happens next. At most
5 GB or 30 days of them stay; the oldest that somebody has collected go first, one that still waits never goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import BlobDamaged, StateTrouble
from ..model_files.atomic import reason, replace_file
from ..pictures import check

MOST_BYTES = 5 * 1024**3
MOST_SECONDS = 30 * 24 * 3600.0
GRACE = 3600.0  # seconds after its writing in which a file is not removed: somebody may be about to use it


class Results:
    """The folder of bought pictures. A file's name is the SHA-256 of its bytes and an ending."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, file: str) -> Path:
        """Where a picture of this name lies; the name comes from the journal and has no folder in it."""
        return self._folder / Path(file).name

    def has(self, file: str) -> bool:
        return bool(file) and self.path(file).is_file()

    def intact(self, file: str, sha256: str) -> bool:
        """Whether a picture is there with all its bytes (reads it; not for the event loop)."""
        try:
            return bool(file) and hashlib.sha256(self.path(file).read_bytes()).hexdigest() == sha256
        except OSError:
            return False

    def keep(self, content: bytes, sha256: str, ending: str) -> str:
        """Write a picture (fsync, then rename) and return its file name. One that is there already, undamaged, is
        left alone."""
        file = f"{sha256}.{ending}"
        target = self.path(file)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.intact(file, sha256):
                os.utime(target)  # young again: it is about to be named by another row
                return file
            replace_file(target, content, mode=0o600)
        except OSError as error:
            raise StateTrouble(
                f"A bought picture could not be written to the results folder ({reason(error)}). It "
                "is paid and can be "
                "fetched again: make room, then run `civitai-bridge journal resume`."
            ) from error
        return file

    def set_aside_damaged(self, files: Iterable[str]) -> list[str]:
        """Rename what can no longer be shown (a disk that forgets), so that it is fetched again. Returns the names."""
        gone = []
        for file in files:
            path = self.path(file)
            try:
                check(path.read_bytes())
            except (OSError, BlobDamaged):
                with contextlib.suppress(OSError):  # it is gone: then it is fetched again all the same
                    os.replace(path, path.with_name(path.name + ".damaged"))
                    gone.append(file)
        return gone

    def prune(
        self, purchased: Mapping[str, tuple[float, bool]], *, now: float, most_bytes: int = MOST_BYTES
    ) -> list[str]:
        """Remove what is too old or too much, oldest collected first. `purchased` is `purchase.kept_files()`; files
        that no row names are left alone. Returns the names that went."""
        removable = []
        for file, (changed, collected) in purchased.items():
            if collected and self.has(file):
                status = self.path(file).stat()
                if abs(now - status.st_mtime) > GRACE:
                    removable.append((changed, file, status.st_size))
        removable.sort()
        files = self._folder.iterdir() if self._folder.is_dir() else ()
        total = sum(file.stat().st_size for file in files if file.is_file())
        gone = []
        for changed, file, size in removable:
            if now - changed <= MOST_SECONDS and total <= most_bytes:
                break
            self.path(file).unlink(missing_ok=True)
            total -= size
            gone.append(file)
        return gone
