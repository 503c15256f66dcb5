"""GIF: comments and XMP, over the pictures of which is seeked. https://www.w3.org/Graphics/GIF/spec-gif89a.txt"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from .texts import LARGEST_TEXT, Texts, read_exactly, utf8_or_latin
from .xmp import read_xmp

_EXTENSION, _PICTURE, _END = 0x21, 0x2C, 0x3B
_COMMENT, _APPLICATION = 0xFE, 0xFF
_XMP = b"XMP DataXMP"
_XMP_TAIL = b"\x01\xff\xfe\xfd\xfc"  # how the bytes begin that end such a packet
_MOST_BLOCKS = 1_000_000
_BUFFER = 65_536


def read_gif(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of a GIF. Raises EOFError where it is cut off."""
    file.seek(0)
    if not isinstance(file, io.RawIOBase):
        _blocks(file, texts)
        return
    # The pictures stand in blocks of 255 bytes, each with its length: without a buffer each would be a read of its own.
    stream = io.BufferedReader(file, _BUFFER)
    try:
        _blocks(stream, texts)
    finally:
        stream.detach()  # else the buffer closes the file with itself


def _blocks(stream: BinaryIO, texts: Texts) -> None:
    head = read_exactly(stream, 13)
    texts.width, texts.height = struct.unpack_from("<HH", head, 6)
    stream.seek(_colors(head[10]), io.SEEK_CUR)
    blocks = _MOST_BLOCKS
    while blocks > 0 and (kind := read_exactly(stream, 1)[0]) != _END:
        if kind == _PICTURE:
            flags = read_exactly(stream, 9)[8]
            stream.seek(_colors(flags) + 1, io.SEEK_CUR)
            blocks -= _pass(stream)
        elif kind == _EXTENSION:
            blocks -= _extension(stream, texts)
        else:
            raise EOFError


def _colors(flags: int) -> int:
    """Bytes of the colour table that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _extension(stream: BinaryIO, texts: Texts) -> int:
    label = read_exactly(stream, 1)[0]
    if label == _COMMENT:
        text, count = _collected(stream, texts)
        texts.add("Comment", utf8_or_latin(text))
        return count
    if label == _APPLICATION:
        name = read_exactly(stream, read_exactly(stream, 1)[0])
        if name == _XMP:
            # The packet stands as it is; its bytes are taken for block lengths, which a tail of 257 bytes ends.
            data, count = _collected(stream, texts, with_lengths=True)
            read_xmp(data.partition(_XMP_TAIL)[0], texts)
            return count
    return _pass(stream)


def _collected(stream: BinaryIO, texts: Texts, with_lengths: bool = False) -> tuple[bytes, int]:
    """The blocks up to the empty one, and how many they are; what is beyond the limit is left out."""
    parts, size, count = [], 0, 1
    while length := read_exactly(stream, 1)[0]:
        block = read_exactly(stream, length)
        count += 1
        size += length
        if size <= LARGEST_TEXT:
            parts.append(bytes((length,)) + block if with_lengths else block)
    return (b"".join(parts) if texts.may_hold(size, "A text") else b""), count


def _pass(stream: BinaryIO) -> int:
    count = 1
    while length := read_exactly(stream, 1)[0]:
        stream.seek(length, io.SEEK_CUR)
        count += 1
    return count
