"""One process at a time loads a file: a lock beside it, in the state folder where the models' drive knows none."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import DownloadTrouble
from .partial import in_words, open_own

_PATIENCE = 0.2  # seconds between two looks whether the lock is free
_ODD = 20  # how often a lock may seem another file than before; some network drives number files anew each time


@contextlib.asynccontextmanager
async def held(part: Path, home: Path, on_wait: Callable[[], None]) -> AsyncIterator[None]:
    """Hold a partial file against every other process and task that loads it; `on_wait` is called once when somebody
    else does. Raises DownloadTrouble.

    The lock's file is removed while it is held. Who had opened it just before then holds a file without a name
    (filelock 3.12 does not look), so a lock counts only where its file was there before and is the same after."""
    path, waited, odd = part.with_name(f".{part.name}.lock"), False, 0
    while True:
        lock = FileLock(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _open_meanwhile(path) as is_still_there:
                lock.acquire(timeout=0)
                if is_still_there() or odd >= _ODD:
                    break
                lock.release()
                odd += 1
        except Timeout:
            if not waited:
                on_wait()
                waited = True
            await asyncio.sleep(_PATIENCE)
        except OSError as error:
            raise in_words(error, path.parent) from error
        except NotImplementedError as error:
            path.unlink(missing_ok=True)
            path = _elsewhere(path, part, home, error)
    try:
        yield
    finally:
        if os.name != "nt":
            with contextlib.suppress(OSError):  # a lock's empty file that stays harms nobody
                path.unlink(missing_ok=True)
        lock.release()


def _elsewhere(path: Path, part: Path, home: Path, error: NotImplementedError) -> Path:
    """A lock in the state folder, where the file system of the models knows none."""
    if path.parent == home:
        raise DownloadTrouble(
            f"Neither {part.parent} nor {home} is on a file system with locks, without which two programs could spoil "
            "a file; choose another folder with --dir."
        ) from error
    name = hashlib.sha256(os.fsencode(part.absolute())).hexdigest()
    return home / f".{name[:32]}.part.lock"


@contextlib.contextmanager
def _open_meanwhile(path: Path) -> Iterator[Callable[[], bool]]:
    """Whether a name is of one file all the while; made where there is none. The file is held open, so that no later
    one can get its number. On Windows an open file keeps its name anyway."""
    if os.name == "nt":
        yield lambda: True
        return
    descriptor = open_own(path)

    def is_still_there() -> bool:
        with contextlib.suppress(FileNotFoundError):  # whoever had the lock took its file away
            return os.path.samestat(os.fstat(descriptor), os.lstat(path))
        return False

    try:
        yield is_still_there
    finally:
        os.close(descriptor)
