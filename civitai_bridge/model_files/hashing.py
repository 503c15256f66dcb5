"""The hashes by which CivitAI knows a model file, all of them from one reading, and what a safetensors header says.

What is hashed stands in facts/site-api.md §4:  SHA256 the whole file · AutoV2 its first 10 digits · AutoV1 the 64 KiB
at 1 MiB, 8 digits · AutoV3 a safetensors file without its header, 12 digits · BLAKE3 and CRC32 the whole file.
Every text is in lower case here; the API prints upper case and compares without regard to case.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import threading
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..errors import FileChanged, FileTrouble, NotSafetensors
from .atomic import reason

try:
    from blake3 import blake3  # pyright: ignore[reportMissingImports]
except ImportError:
    blake3 = None

SHA256, AUTOV1, AUTOV2, AUTOV3, BLAKE3, CRC32 = "SHA256", "AutoV1", "AutoV2", "AutoV3", "BLAKE3", "CRC32"
USUAL = frozenset({SHA256, AUTOV1, AUTOV2, AUTOV3})
EVERY = USUAL | {CRC32} | ({BLAKE3} if blake3 is not None else frozenset())

_PIECE = 512 * 1024
_PIECES = 6  # how far reading may run ahead of the slowest digest
_AUTOV1_FROM, _AUTOV1_TO = 0x100000, 0x110000
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors library itself
_SPACE = re.compile(r"[ \t\r\n]*")
_HALVES = re.compile("[\ud800-\udfff]")  # half a character: JSON may hold one, no file and no database takes it


@dataclass(frozen=True)
class Digests:
    """The hashes of one file in lower-case hex, `""` for a kind that was not asked for or that it cannot have, and
    the file's state when they were taken."""

    size: int
    mtime_ns: int
    sha256: str
    autov1: str
    autov3: str = ""
    blake3: str = ""
    crc32: str = ""

    @property
    def autov2(self) -> str:
        return self.sha256[:10]

    def by_kind(self) -> dict[str, str]:
        """The hashes that are there, by the names of the site's API."""
        pairs = {
            SHA256: self.sha256, AUTOV1: self.autov1, AUTOV2: self.autov2,
            AUTOV3: self.autov3, BLAKE3: self.blake3, CRC32: self.crc32,
        }  # fmt: skip
        return {kind: value for kind, value in pairs.items() if value}


@dataclass(frozen=True)
class Header:
    """What a safetensors header tells about the model: `ss_output_name`, `modelspec.*`, `sshs_*`."""

    length: int
    facts: Mapping[str, str] = field(default_factory=dict)


class _Hasher(Protocol):
    def update(self, data: Any, /) -> object: ...


class _Crc32:
    """zlib's running checksum in the shape of a hash."""

    def __init__(self) -> None:
        self.value = 0

    def update(self, data: Any, /) -> None:
        self.value = zlib.crc32(data, self.value)

    def hexdigest(self) -> str:
        return f"{self.value:08x}"


class _Part:
    """One digest over the bytes `start:end` of the file (`end` None = to its end); `done` counts the pieces it has
    had, `busy` says that a thread is at it."""

    def __init__(self, hasher: _Hasher, start: int = 0, end: int | None = None) -> None:
        self.hasher, self.start, self.end = hasher, start, end
        self.done, self.busy = 0, False

    def feed(self, piece: memoryview, offset: int) -> None:
        start = max(0, self.start - offset)
        end = len(piece) if self.end is None else min(len(piece), self.end - offset)
        if start < end:
            self.hasher.update(piece[start:end])


def digest_file(
    path: str | Path,
    *,
    kinds: Collection[str] = USUAL,
    threads: int = 1,
    on_piece: Callable[[int], None] | None = None,
) -> Digests:
    """Read a file once and take its hashes. SHA256, AutoV1, AutoV2 and AutoV3 are always taken.

    `threads` share the digests of this file. `on_piece` is told the size of each piece as it was read; it may wait, and
    it may raise to break off. Raises FileChanged when the file was written to meanwhile, FileTrouble when it cannot be
    read."""
    try:
        with open(path, "rb", buffering=0) as source:
            before = os.fstat(source.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise FileTrouble(f"{path} is no file.")
            payload = _payload(source, before.st_size)
            source.seek(0)
            parts: dict[str, Any] = {SHA256: _Part(hashlib.sha256())}
            parts[AUTOV1] = _Part(hashlib.sha256(), _AUTOV1_FROM, _AUTOV1_TO)
            if payload:
                parts[AUTOV3] = _Part(hashlib.sha256(), payload)
            if BLAKE3 in kinds and blake3 is not None:
                parts[BLAKE3] = _Part(blake3())
            if CRC32 in kinds:
                parts[CRC32] = _Part(_Crc32())
            size = _Reading(source, list(parts.values()), on_piece).run(threads)
            after, now = os.fstat(source.fileno()), os.stat(path)
    except FileNotFoundError as error:
        raise FileTrouble(f"{path} is not there (any more).") from error
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {reason(error)}.") from error
    if size != before.st_size or _state(after) != _state(before) or _state(now) != _state(before):
        raise FileChanged(f"{path} was changed while it was read; it is hashed again at the next scan.")
    taken = {kind: part.hasher.hexdigest() for kind, part in parts.items()}
    return Digests(
        size=size,
        mtime_ns=before.st_mtime_ns,
        sha256=taken[SHA256],
        autov1=taken[AUTOV1][:8],
        autov3=taken.get(AUTOV3, "")[:12],
        blake3=taken.get(BLAKE3, ""),
        crc32=taken.get(CRC32, ""),
    )


class _Reading:
    """A file read piece by piece into a ring of buffers; whichever thread is free takes the digest that is furthest
    behind, or reads on when none waits."""

    def __init__(self, source: BinaryIO, parts: list[_Part], on_piece: Callable[[int], None] | None) -> None:
        self._source, self._parts, self._on_piece = source, parts, on_piece
        self._ring = [bytearray(_PIECE) for _ in range(_PIECES)]
        self._sizes = [0] * _PIECES
        self._read = 0  # pieces read so far
        self._reading = self._ended = False
        self._total = 0
        self._error: BaseException | None = None
        self._turn = threading.Condition()

    def run(self, threads: int) -> int:
        others = [threading.Thread(target=self._work, daemon=True) for _ in range(max(1, threads) - 1)]
        for other in others:
            other.start()
        self._work()
        for other in others:
            other.join()
        if self._error is not None:
            raise self._error
        return self._total

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                self._read_on() if task is self else self._feed(task)
        except BaseException as error:
            with self._turn:
                self._error = self._error or error
                self._turn.notify_all()

    def _next(self) -> Any:
        """What is to be done now: a part, this reading itself, or None at the end. Waits while others have it all."""
        with self._turn:
            while self._error is None:
                waiting = [part for part in self._parts if not part.busy and part.done < self._read]
                if waiting:
                    part = min(waiting, key=lambda part: part.done)
                    part.busy = True
                    return part
                behind = min(part.done for part in self._parts)
                if not self._ended and not self._reading and self._read - behind < _PIECES:
                    self._reading = True
                    return self
                if self._ended and behind == self._read:
                    break
                self._turn.wait()
        return None

    def _feed(self, part: _Part) -> None:
        slot = part.done % _PIECES
        with memoryview(self._ring[slot]) as whole, whole[: self._sizes[slot]] as piece:
            part.feed(piece, part.done * _PIECE)
        with self._turn:
            part.busy, part.done = False, part.done + 1
            self._turn.notify_all()

    def _read_on(self) -> None:
        slot, size = self._read % _PIECES, 0
        with memoryview(self._ring[slot]) as whole:
            while size < _PIECE:  # a network drive may give less than asked for; offsets count on full pieces
                with whole[size:] as rest:
                    got = self._source.readinto(rest)  # type: ignore[attr-defined]
                if not got:
                    break
                size += got
        if size and self._on_piece is not None:
            self._on_piece(size)
        with self._turn:
            self._reading = False
            self._sizes[slot] = size
            self._total += size
            self._read += 1 if size else 0
            self._ended = size < _PIECE
            self._turn.notify_all()


def read_header(path: str | Path) -> Header:
    """The header of a safetensors file, without its tensors. Raises NotSafetensors with the reason, FileTrouble."""
    try:
        with open(path, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            head = source.read(8)
            if len(head) < 8:
                raise NotSafetensors(f"{path} is no safetensors file: it has only {size} bytes.")
            length = int.from_bytes(head, "little")
            if length > size - 8:
                raise NotSafetensors(
                    f"{path} is no safetensors file, or one that is cut off: its header says {length} bytes, and the "
                    f"file has {size}."
                )
            if length > _LARGEST_HEADER:
                raise NotSafetensors(f"{path} has a header of {length} bytes; at most {_LARGEST_HEADER} are taken.")
            text = source.read(length).decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotSafetensors(f"{path} is no safetensors file: its header is no text.") from error
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {reason(error)}.") from error
    try:
        metadata = _metadata(text)
    except (ValueError, IndexError, RecursionError) as error:
        raise NotSafetensors(f"{path} is no safetensors file: its header is no JSON object.") from error
    facts = {key: value for key, value in metadata.items() if _telling(key) and isinstance(value, str)}
    return Header(length, {_HALVES.sub("\ufffd", key): _HALVES.sub("\ufffd", value) for key, value in facts.items()})


def _telling(key: str) -> bool:
    return key == "ss_output_name" or key.startswith(("modelspec.", "sshs_"))


def _metadata(text: str) -> Mapping[str, Any]:
    """The value of `__metadata__`, walking the members one by one: the list of tensors may be megabytes long, and one
    call that decodes it all would keep every other thread waiting."""
    decode = json.JSONDecoder().raw_decode
    at = _skip(text, 0)
    if text[at] != "{":
        raise ValueError("no object")
    at = _skip(text, at + 1)
    if text[at] == "}":
        return {}
    while True:
        if text[at] != '"':
            raise ValueError("no key")
        key, at = scanstring(text, at + 1, True)
        at = _skip(text, at)
        if text[at] != ":":
            raise ValueError("no colon")
        value, at = decode(text, _skip(text, at + 1))
        if key == "__metadata__":
            return value if isinstance(value, Mapping) else {}
        at = _skip(text, at)
        if text[at] == "}":
            return {}
        if text[at] != ",":
            raise ValueError("no comma")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _payload(source: BinaryIO, size: int) -> int:
    """Where the tensors of a safetensors file begin; 0 for any other file."""
    head = source.read(9)
    length = int.from_bytes(head[:8], "little")
    return 8 + length if len(head) == 9 and head[8:] == b"{" and 2 <= length <= size - 8 else 0


def _state(seen: os.stat_result) -> tuple[int, int, int]:
    return seen.st_size, seen.st_mtime_ns, seen.st_ino
