"""The one writer of files: beside, fsync, rename. Nothing is ever half there, and a new file overwrites nothing.

    replace_file(home / "settings.json", content, mode=0o600)     # a file of ours, the old one or the new one whole
    path = place_new(folder, names, content)                       # the first name that is free
    put_in_place(part, target)                                     # a finished file gets its name

All of them raise OSError; `reason`, `is_full` and `is_refused` say in words what such an error means."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_WINDOWS_WAITS = (0.05, 0.2, 0.5)  # seconds; a virus scanner may hold a file that has just been written


def reason(error: OSError) -> str:
    """Why a system call failed, in the system's own words, without a path."""
    return error.strerror or str(error)


def is_full(error: OSError) -> bool:
    """Whether a write failed for want of room: the disk, a quota, or the largest file that the file system takes."""
    return error.errno in _FULL


def is_refused(error: OSError) -> bool:
    """Whether a write failed because it is not allowed: read-only, another user's, or (Windows) open elsewhere."""
    return error.errno in _REFUSED


@contextlib.contextmanager
def written_beside(path: Path, content: bytes, *, mode: int = 0o644) -> Iterator[Path]:
    """A file next to `path` that holds `content` and is on the disk, for as long as the block runs.

    Its name is `.<name>.<process>-<number>.part`. Whoever wants to keep it renames it in the block (`rename_over`).
    `mode` is cut by the umask. Its owner is that of what stands at `path`, where the system allows that."""
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.randbits(48)}.part")
    try:
        _write_whole(part, content, mode)
        _keep_owner(path, part)
        yield part
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def copied_beside(source: Path, path: Path) -> Iterator[Path]:
    """As `written_beside`, with the bytes of another file, which may be large and on another disk."""
    part = path.with_name(f".{os.getpid()}-{secrets.randbits(48)}.part")
    try:
        shutil.copyfile(source, part)
        with open(part, "rb+", buffering=0) as copy:
            os.fsync(copy.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Make `path` hold `content`, whatever stood there before. After a kill it holds the old bytes or the new ones."""
    with written_beside(path, content, mode=mode) as part:
        rename_over(part, path)


def rename_over(source: Path, target: Path) -> None:
    """Rename a file over another of the same folder; the new name is on the disk too, where the system can do that."""
    for wait in (*_WINDOWS_WAITS, None):
        try:
            os.replace(source, target)
            break
        except PermissionError:
            if wait is None or os.name != "nt":
                raise
            time.sleep(wait)
    if os.name != "nt":  # Windows has no handle of a folder to flush
        with contextlib.suppress(OSError):  # some network drives know no such thing; the file has its name
            descriptor = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def place_new(folder: Path, names: Iterable[str], content: bytes) -> Path:
    """Give `content` the first of `names` that is free in `folder`, and say which it was.

    Raises FileExistsError when no name is free."""
    with written_beside(folder / "new", content, mode=0o666) as part:
        for name in names:
            try:
                take_name(part, folder / name)
            except FileExistsError:
                continue
            return folder / name
    raise FileExistsError(f"No name is free in {folder}.")


def put_in_place(part: Path, target: Path) -> None:
    """Give a finished file its name, never over another one, also on another disk. Raises FileExistsError, OSError."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno == errno.EXDEV:
            with copied_beside(part, target) as copy:
                put_in_place(copy, target)
        else:  # a file system without hard links
            take_name(part, target)
            return
    with contextlib.suppress(OSError):  # the file has its new name all the same
        os.unlink(part)


def take_name(part: Path, target: Path) -> None:
    """Give a finished file a name that nothing has. It is reserved by exclusive create, so that two programs never take
    the same one. Raises FileExistsError, OSError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    try:
        os.replace(part, target)  # only over the empty file that was just made
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _keep_owner(path: Path, part: Path) -> None:
    """Root may give a file away, others at most to a group of their own."""
    if not hasattr(os, "chown") or not path.exists():
        return
    replaced, new = path.stat(), part.stat()
    for owner in (replaced.st_uid, -1):
        if (replaced.st_uid, replaced.st_gid) != (new.st_uid, new.st_gid):
            with contextlib.suppress(OSError):
                os.chown(part, owner, replaced.st_gid)
                return


def _write_whole(path: Path, content: bytes, mode: int) -> None:
    """Make a file of these bytes, which must not be there yet, and wait until they are on the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, mode), "wb", buffering=0) as out:
        rest = memoryview(content)
        while rest:
            rest = rest[out.write(rest) :]
        os.fsync(out.fileno())
