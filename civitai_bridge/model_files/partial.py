"""A file while it is being loaded: `<name>.<mark>.part`, written and hashed in a thread of its own.

The mark is the beginning of the SHA-256 (or the file's id), so that what an earlier run left is only gone on with where
it is the same file."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..errors import DownloadTrouble, NoRoom
from .atomic import is_full, is_refused, reason
from .progress import amount

T = TypeVar("T")
PIECE = 2 * 1024 * 1024  # bytes that are written and hashed in one go; a thread that does less waits for the GIL
_AHEAD = 3  # pieces that may wait to be written while the next one arrives


class PartialFile:
    """`size` bytes are written, `resumed` is how many of them an earlier run left. One without a byte does not stay."""

    def __init__(self, path: Path, *, keep: bool, piece: int = PIECE) -> None:
        """`keep` goes on with what is there, and leaves to the next run what is not finished."""
        self.path = path
        self.size = self.resumed = 0
        self._keep, self._piece = keep, piece
        self._thread = ThreadPoolExecutor(1, "civitai-download")
        self._sha256 = hashlib.sha256()
        self._finished = False
        self._file = -1
        self._error: OSError | None = None  # of a write; what comes after it would stand in the wrong place

    async def __aenter__(self) -> PartialFile:
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    @property
    def kept(self) -> int:
        """How many bytes the next run would go on from."""
        return self.size if self._keep else 0

    async def take(self, chunks: AsyncIterator[bytes], most: int, on_piece: Callable[[], None]) -> bool:
        """Write what arrives; False where it is more than `most` bytes in all. What had arrived is kept, whatever ends
        it. `on_piece` is called for every piece. Raises DownloadTrouble."""
        writes: deque[asyncio.Future[None]] = deque()
        waiting: list[bytes] = []
        size, room = 0, most - self.size
        try:
            async for chunk in chunks:
                room -= len(chunk)
                if room < 0:
                    return False
                waiting.append(chunk)
                size += len(chunk)
                if size >= self._piece:
                    writes.append(self._in_thread(self._write, waiting))
                    waiting, size = [], 0
                    on_piece()
                    if len(writes) > _AHEAD:
                        await writes.popleft()
        finally:
            if waiting:
                writes.append(self._in_thread(self._write, waiting))
            results = await asyncio.gather(*writes, return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                raise error
        on_piece()
        return True

    async def empty(self) -> None:
        """Begin again."""
        await self._in_thread(self._empty)

    async def finish(self) -> str:
        """Make sure that it is on disk; the SHA-256 of everything, in lower-case hex."""
        return await self._in_thread(self._finish)

    def _in_thread(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Call one of the methods below, in the order of the calls."""

        def call() -> T:
            try:
                return work(*arguments)
            except OSError as error:
                raise in_words(error, self.path.parent, self.kept) from error

        return asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _open(self) -> None:
        self._file = open_own(self.path)
        if not self._keep:
            os.ftruncate(self._file, 0)
        while piece := os.read(self._file, self._piece):
            self._sha256.update(piece)
            self.size += len(piece)
        self.resumed = self.size

    def _write(self, chunks: Sequence[bytes]) -> None:
        if self._error is not None:
            raise self._error
        piece = b"".join(chunks)
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            self._error = error
            os.ftruncate(self._file, self.size)
            raise
        self._sha256.update(piece)
        self.size += len(piece)

    def _empty(self) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self._sha256 = hashlib.sha256()
        self.size = self.resumed = 0
        self._finished = False

    def _finish(self) -> str:
        os.fsync(self._file)
        self._finished = True
        return self._sha256.hexdigest()

    def _close(self) -> None:
        if self._file < 0:
            return
        os.close(self._file)
        self._file = -1
        if not (self.kept or self._finished):
            with contextlib.suppress(OSError):  # an empty part that stays is taken up by the next download
                os.unlink(self.path)


def open_own(path: Path) -> int:
    """A descriptor of a file of ours for reading and writing, made where there is none. Raises OSError.

    Its name can be guessed, so that somebody may have put a link there, to a file that is not to be written: what is no
    file of this one name is taken away first."""
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.unlink(path)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o644)


def in_words(error: OSError, folder: Path, size: int = 0) -> DownloadTrouble:
    """Why a folder does not take a file; `size` bytes of it have arrived and are kept."""
    if is_full(error):
        kept = f"The {amount(size)} that have arrived are kept; make" if size else "Make"
        return NoRoom(f"The disk of {folder} is full (or a quota is used up). {kept} room and try again.")
    if is_refused(error):
        return DownloadTrouble(f"{folder} may not be written: it is read-only, or another user's. Nothing was changed.")
    return DownloadTrouble(f"{folder} cannot be written: {reason(error)}.")
