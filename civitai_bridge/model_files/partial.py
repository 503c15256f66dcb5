"""A file while it is being loaded: `<name>.<whose>.part`, written and hashed in a thread of its own.

`whose` is the beginning of the SHA-256 (or the file's id), so that what an earlier run left is only gone on with where
it is the same file. What is hashed is read back from the page cache: nothing is copied on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..errors import DownloadTrouble, NoRoom
from .atomic import is_full, is_refused, reason

T = TypeVar("T")
PIECE = 2 * 1024 * 1024
_AHEAD = 3  # pieces that may wait to be written while the next one arrives
_LARGE = 128 * 1024  # chunks that are worth a call of their own to hash
_MOST_BUFFERS = 512  # of one call of writev; systems take 1024


class PartialFile:
    """`size` bytes are written, `taken` is how many of them an earlier run left. One without a byte does not stay."""

    def __init__(self, path: Path, *, keep: bool) -> None:
        """`keep` goes on with what is there; else the file begins anew."""
        self.path = path
        self.size = self.taken = 0
        self._keep = keep
        self._thread = ThreadPoolExecutor(1, "civitai-download")
        self._buffer = bytearray(PIECE)
        self._sha = hashlib.sha256()
        self._file = self._back = -1

    async def __aenter__(self) -> PartialFile:
        try:
            await self._run(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def take(self, chunks: AsyncIterator[bytes], most: int, tell: Callable[[], None]) -> bool:
        """Write what arrives; False where it is more than `most` bytes. What had arrived is kept, whatever ends it."""
        behind: deque[asyncio.Future[None]] = deque()
        waiting: list[bytes] = []
        size, room = 0, most - self.size
        try:
            async for chunk in chunks:
                room -= len(chunk)
                if room < 0:
                    return False
                waiting.append(chunk)
                size += len(chunk)
                if size >= PIECE:
                    behind.append(self._soon(self._write, waiting, size))
                    waiting, size = [], 0
                    tell()
                    if len(behind) > _AHEAD:
                        await behind.popleft()
        finally:
            if waiting:
                behind.append(self._soon(self._write, waiting, size))
            for one in behind:
                await one
        tell()
        return True

    async def empty(self) -> None:
        await self._run(self._empty)

    async def finish(self) -> str:
        """Make sure that it is on disk; the SHA-256 of everything, in lower-case hex."""
        return await self._run(self._finish)

    def _soon(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._worded(work, *arguments))

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._soon(work)

    def _worded(self, work: Callable[..., T], *arguments: object) -> T:
        try:
            return work(*arguments)
        except OSError as error:
            raise in_words(error, self.path.parent) from error

    # --- in the thread

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        self._back = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        if not self._keep:
            os.ftruncate(self._file, 0)
        there = os.fstat(self._file).st_size
        while self.size < there:
            self._hash(min(PIECE, there - self.size))
        self.taken = self.size
        os.lseek(self._file, self.size, os.SEEK_SET)

    def _write(self, chunks: Sequence[bytes], size: int) -> None:
        if hasattr(os, "writev"):
            self._write_at_once(list(chunks))
        else:
            rest = memoryview(b"".join(chunks))
            while rest:
                rest = rest[os.write(self._file, rest) :]
        if size >= _LARGE * len(chunks):
            for chunk in chunks:
                self._sha.update(chunk)
            self.size += size
            return
        while size:
            size -= self._hash(min(PIECE, size))

    def _write_at_once(self, chunks: list[bytes]) -> None:
        rest: list[bytes | memoryview] = list(chunks)
        while rest:
            written = os.writev(self._file, rest[:_MOST_BUFFERS])
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = memoryview(rest[0])[written:]

    def _hash(self, size: int) -> int:
        """Take up to `size` bytes that stand on disk into the hash; the file may not be shorter than that."""
        with memoryview(self._buffer) as whole, whole[:size] as piece:
            if hasattr(os, "preadv"):
                got = os.preadv(self._back, [piece], self.size)
            else:
                os.lseek(self._back, self.size, os.SEEK_SET)
                content = os.read(self._back, size)
                got = len(content)
                piece[:got] = content
            if not got:
                raise DownloadTrouble(f"{self.path} was cut off by another program while it was loaded; try again.")
            with piece[:got] as real:
                self._sha.update(real)
        self.size += got
        return got

    def _empty(self) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self._sha = hashlib.sha256()
        self.size = self.taken = 0

    def _finish(self) -> str:
        os.fsync(self._file)
        return self._sha.hexdigest()

    def _close(self) -> None:
        for descriptor in (self._file, self._back):
            if descriptor >= 0:
                os.close(descriptor)
        if self._file >= 0 and not self.size:
            with contextlib.suppress(OSError):  # an empty part that stays is taken up by the next download
                os.unlink(self.path)
        self._file = self._back = -1


def in_words(error: OSError, folder: Path) -> DownloadTrouble:
    """Why a folder does not take a file."""
    if is_full(error):
        return NoRoom(
            f"The disk of {folder} is full (or a quota is used up). What has arrived is kept; make room and try again."
        )
    if is_refused(error):
        return DownloadTrouble(f"{folder} may not be written: it is read-only, or another user's. Nothing was changed.")
    return DownloadTrouble(f"{folder} cannot be written: {reason(error)}.")
