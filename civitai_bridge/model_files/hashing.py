"""The hashes by which CivitAI knows a model file, all of them from one reading.

SHA256 and BLAKE3 and CRC32 are of the whole file. AutoV2 is the first 10 digits of its SHA256. AutoV1 is the SHA256 of
the 64 KiB at 1 MiB, 8 digits. AutoV3 is the SHA256 of a safetensors file without its header, 12 digits (AutoV1 and
AutoV3 as in AUTOMATIC1111/stable-diffusion-webui, modules/sd_models.py and modules/hashes.py).
Every text is in lower case; CivitAI's API prints upper case and compares without regard to case.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..errors import FileChanged, FileTrouble
from .atomic import reason
from .safetensors import payload_start

try:
    from blake3 import blake3  # pyright: ignore[reportMissingImports]
except ImportError:
    blake3 = None

SHA256, AUTOV1, AUTOV2, AUTOV3, BLAKE3, CRC32 = "SHA256", "AutoV1", "AutoV2", "AutoV3", "BLAKE3", "CRC32"
USUAL = frozenset({SHA256, AUTOV1, AUTOV2, AUTOV3})  # always taken
CHUNK = 1024 * 1024  # bytes
_AUTOV1_START, _AUTOV1_END = 0x100000, 0x110000
_SAMPLE = 64 * 1024  # bytes


class Hasher(Protocol):
    """As hashlib's objects are."""

    def update(self, data: Any, /) -> object: ...

    def hexdigest(self) -> str: ...


class Crc32:
    """zlib's running checksum in the shape of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Any, /) -> None:
        """Take more bytes in."""
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        """8 hex digits."""
        return f"{self._value:08x}"


# The kinds beyond the usual ones that can be taken here; BLAKE3 needs the package of its name.
OPTIONAL: Mapping[str, Callable[[], Hasher]] = {CRC32: Crc32, **({BLAKE3: blake3} if blake3 is not None else {})}
EVERY = USUAL.union(OPTIONAL)


@dataclass(frozen=True)
class Digests:
    """The hashes of one file in lower-case hex, `""` for a kind that was not asked for or that it cannot have, and
    the file's size in bytes and its time when they were taken."""

    size: int
    mtime_ns: int
    sha256: str
    autov1: str
    autov3: str = ""
    blake3: str = ""
    crc32: str = ""

    @property
    def autov2(self) -> str:
        """The first 10 digits of the SHA256."""
        return self.sha256[:10]

    def by_kind(self) -> dict[str, str]:
        """The hashes that are there, by the names of CivitAI's API."""
        pairs = {
            SHA256: self.sha256, AUTOV1: self.autov1, AUTOV2: self.autov2,
            AUTOV3: self.autov3, BLAKE3: self.blake3, CRC32: self.crc32,
        }  # fmt: skip
        return {kind: value for kind, value in pairs.items() if value}


@dataclass(frozen=True)
class _Span:
    """One digest over the bytes `start:end` of a file (`end` None = to its end)."""

    hasher: Hasher
    start: int = 0
    end: int | None = None

    def feed(self, chunk: memoryview, offset: int) -> None:
        start = max(0, self.start - offset)
        end = len(chunk) if self.end is None else min(len(chunk), self.end - offset)
        if start < end:
            self.hasher.update(chunk[start:end])


def digest_file(
    path: str | Path,
    *,
    kinds: Collection[str] = USUAL,
    two_threads: bool = False,
    on_chunk: Callable[[int], None] | None = None,
    optional: Mapping[str, Callable[[], Hasher]] = OPTIONAL,
    chunk_size: int = CHUNK,
) -> Digests:
    """Read a file once and take its hashes: the usual ones, and those of `kinds` that `optional` can take.

    With `two_threads` the SHA256 and all other digests are taken side by side, which takes half the time where two
    cores are free. `on_chunk` is called with the size of each chunk as it was read; it may wait, and it may raise to
    break off. Raises FileChanged when the file was written to meanwhile, FileTrouble when it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as source:
            before = os.fstat(source.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise FileTrouble(f"{path} is not a file.")
            spans = _spans(payload_start(source, before.st_size), kinds, optional)
            source.seek(0)
            size = _read(source, spans, chunk_size, two_threads, on_chunk)
            after, named = os.fstat(source.fileno()), os.stat(path)
    except FileNotFoundError as error:
        raise FileTrouble(f"{path} is not there (any more).") from error
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {reason(error)}.") from error
    if size != before.st_size or _state(after) != _state(before) or _state(named) != _state(before):
        raise FileChanged(f"{path} was changed while it was read; it is hashed again at the next scan.")
    values = {kind: span.hasher.hexdigest() for kind, span in spans.items()}
    return Digests(
        size=size,
        mtime_ns=before.st_mtime_ns,
        sha256=values[SHA256],
        autov1=values[AUTOV1][:8],
        autov3=values.get(AUTOV3, "")[:12],
        blake3=values.get(BLAKE3, ""),
        crc32=values.get(CRC32, ""),
    )


def sample_file(path: str | Path) -> str:
    """A SHA256 of the first, the middle and the last 64 KiB: versions of one model often share size, header and more.
    Raises OSError."""
    sample = hashlib.sha256()
    with open(path, "rb", buffering=0) as source:
        last = max(0, os.fstat(source.fileno()).st_size - _SAMPLE)
        for offset in sorted({0, last // 2, last}):
            source.seek(offset)
            sample.update(source.read(_SAMPLE))
    return sample.hexdigest()


@dataclass(frozen=True)
class Hashing:
    """How files are hashed here: the kinds that can be taken, the function that takes them all, the one for samples."""

    kinds: frozenset[str] = EVERY
    digest: Callable[..., Digests] = digest_file
    sample: Callable[[str | Path], str] = sample_file


def _spans(payload: int, kinds: Collection[str], optional: Mapping[str, Callable[[], Hasher]]) -> dict[str, _Span]:
    """What is to be taken, SHA256 first; the tensors of a safetensors file begin at `payload`, 0 for any other file."""
    spans = {SHA256: _Span(hashlib.sha256()), AUTOV1: _Span(hashlib.sha256(), _AUTOV1_START, _AUTOV1_END)}
    if payload:
        spans[AUTOV3] = _Span(hashlib.sha256(), payload)
    return {**spans, **{kind: _Span(make()) for kind, make in optional.items() if kind in kinds}}


def _read(
    source: BinaryIO,
    spans: Mapping[str, _Span],
    chunk_size: int,
    two_threads: bool,
    on_chunk: Callable[[int], None] | None,
) -> int:
    """Feed a file to its digests; how many bytes it had.

    The second thread is at one buffer while the next chunk is read into the other."""
    whole, rest = spans[SHA256], [span for kind, span in spans.items() if kind != SHA256]
    buffers = [memoryview(bytearray(chunk_size)), memoryview(bytearray(chunk_size))]
    size, busy = 0, [_nothing(), _nothing()]
    with ExitStack() as stack:
        second = stack.enter_context(ThreadPoolExecutor(1, "civitai-hash-second")) if two_threads else None
        while True:
            busy[0].result()  # the second thread may still read what this buffer had
            length = _fill(source, buffers[0])
            if not length:
                break
            if on_chunk is not None:
                on_chunk(length)
            chunk = buffers[0][:length]
            if second is not None:
                busy[0] = second.submit(_feed_all, rest, chunk, size)
            else:
                _feed_all(rest, chunk, size)
            whole.feed(chunk, size)
            size += length
            buffers.reverse()
            busy.reverse()
    return size


def _feed_all(spans: Collection[_Span], chunk: memoryview, offset: int) -> None:
    for span in spans:
        span.feed(chunk, offset)


def _nothing() -> Future[None]:
    done: Future[None] = Future()
    done.set_result(None)
    return done


def _fill(source: BinaryIO, buffer: memoryview) -> int:
    """Read until the buffer is full or the file ends: a network drive may give less than was asked for."""
    size = 0
    while size < len(buffer) and (length := source.readinto(buffer[size:])):  # type: ignore[attr-defined]
        size += length
    return size


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino
