"""WebP: the EXIF and XMP chunks of its RIFF file. https://developers.google.com/speed/webp/docs/riff_container"""

from __future__ import annotations

import struct
from typing import BinaryIO

from .exif import read_exif
from .texts import Texts, read_exactly
from .xmp import read_xmp

_MOST_CHUNKS = 2_000_000


def read_webp(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of a WebP. Raises EOFError where it is cut off."""
    at = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            if head:
                raise EOFError
            return
        kind, length = head[:4], struct.unpack("<I", head[4:])[0]
        if kind in (b"EXIF", b"XMP "):
            if texts.may_hold(length, kind.decode().strip()):
                _text(kind, read_exactly(file, length), texts)
        elif kind in _SIZES:
            _SIZES[kind](read_exactly(file, min(length, 10)).ljust(10, b"\0"), texts)
        at += 8 + length + length % 2


def _text(kind: bytes, data: bytes, texts: Texts) -> None:
    if kind == b"EXIF":
        read_exif(data, texts)
    else:
        read_xmp(data, texts)


def _extended(data: bytes, texts: Texts) -> None:
    texts.width = int.from_bytes(data[4:7], "little") + 1
    texts.height = int.from_bytes(data[7:10], "little") + 1


def _lossy(data: bytes, texts: Texts) -> None:
    if texts.width is None and data[3:6] == b"\x9d\x01\x2a":
        texts.width = int.from_bytes(data[6:8], "little") & 0x3FFF
        texts.height = int.from_bytes(data[8:10], "little") & 0x3FFF


def _lossless(data: bytes, texts: Texts) -> None:
    if texts.width is None:
        bits = int.from_bytes(data[1:5], "little")
        texts.width, texts.height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


_SIZES = {b"VP8X": _extended, b"VP8 ": _lossy, b"VP8L": _lossless}
