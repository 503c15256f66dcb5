"""JPEG: EXIF (APP1), XMP and comments, up to the first scan. https://www.w3.org/Graphics/JPEG/itu-t81.pdf"""

from __future__ import annotations

import struct
from typing import BinaryIO

from .exif import read_exif
from .texts import Texts, read_exactly, utf8_or_latin
from .xmp import XMP_HEAD, read_xmp

_APP1, _COMMENT, _SCAN, _END = 0xE1, 0xFE, 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the segments that tell the size
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_MOST_SEGMENTS = 2_000_000


def read_jpeg(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of a JPEG. Raises EOFError where it is damaged."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            return
        if head[0] != 0xFF:
            raise EOFError
        marker = head[1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (_SCAN, _END):
            return
        (length,) = struct.unpack(">H", head[2:])
        if marker in (_APP1, _COMMENT) or marker in _FRAMES:
            if not texts.may_read(length):
                return
            _segment(marker, read_exactly(file, max(length - 2, 0)), texts)
        at += 2 + max(length, 2)


def _segment(marker: int, data: bytes, texts: Texts) -> None:
    if marker == _COMMENT:
        texts.add("Comment", utf8_or_latin(data))
    elif marker != _APP1:
        texts.height, texts.width = struct.unpack_from(">HH", data, 1)
    elif data.startswith(b"Exif\0"):
        read_exif(data[6:], texts)
    elif data.startswith(XMP_HEAD):
        read_xmp(data[len(XMP_HEAD) :], texts)
