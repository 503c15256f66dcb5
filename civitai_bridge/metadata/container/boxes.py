"""The boxes of ISO base media files (ISO/IEC 14496-12), of QuickTime and of JPEG XL: length, kind, content."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from .texts import MOST_ENTRIES

_MOST_BOXES = 100_000  # of one file, at one level


def box(head: bytes) -> tuple[int, bytes, int]:
    """A box's whole size (0 = to the end), its kind, and where its content begins; from its first 16 bytes."""
    size, kind = struct.unpack_from(">I4s", head)
    if size == 1:
        return struct.unpack_from(">Q", head, 8)[0], kind, 16
    return size, kind, 8


def each_box(file: BinaryIO, start: int, end: int | None) -> Iterator[tuple[bytes, int, int | None]]:
    """Kind, begin and end of content (None = to the end of the file) of the boxes between two places of a file, whose
    content is not read."""
    at = start
    for _ in range(_MOST_BOXES):
        if end is not None and at + 8 > end:
            return
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind, begin = box(head.ljust(16, b"\0"))
        if size and size < begin:
            return
        yield kind, at + begin, at + size if size else end
        if not size:
            return
        at += size


def boxes_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes that stand in a block."""
    at = 0
    for _ in range(MOST_ENTRIES):
        if at + 8 > len(data):
            return
        size, kind, start = box(data[at : at + 16].ljust(16, b"\0"))
        size = size or len(data) - at
        if size < start:
            return
        yield kind, data[at + start : at + size]
        at += size
