"""How far long work on files is, and how a person ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def never() -> bool:
    """For work that nobody pauses or cancels."""
    return False


def amount(size: int) -> str:
    """So many bytes, for a person.

    assert amount(600_000) == "0.6 MB" and amount(12) == "12 bytes"
    """
    if size >= 10**9:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 10**5 else f"{size} bytes"


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is, in bytes; `of_bytes` is None while nobody knows. `text` says what it waits for."""

    name: str
    bytes: int
    of_bytes: int | None
    text: str = ""


@dataclass(frozen=True)
class HashingProgress:
    """How far a scan is; `of_files` and `of_bytes` count the files that need hashing, `path` is the last one."""

    files: int
    of_files: int
    bytes: int
    of_bytes: int
    path: str = ""

    @property
    def sentence(self) -> str:
        """For a person."""
        if not self.of_files:
            return "The model folders are being looked through."
        files = "file is" if self.of_files == 1 else "files are"
        return f"{self.files:,} of {self.of_files:,} {files} hashed so far."


@dataclass(frozen=True)
class ScanControl:
    """How a scan works: on how many threads (None = one a core), and who is asked and told meanwhile.

    While `pause()` is true at most half of the cores hash. When `cancelled()` turns true the scan ends after the chunk
    it is at."""

    workers: int | None = None
    pause: Callable[[], bool] = never
    cancelled: Callable[[], bool] = never
    progress: Callable[[HashingProgress], None] = lambda _: None
