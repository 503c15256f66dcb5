"""PNG: tEXt, zTXt, iTXt and eXIf chunks, before and after the pixels, over which is seeked.

The walk is our own: Pillow decodes the picture to get at the texts behind it. https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from .exif import read_exif
from .texts import LARGEST_TEXT, LARGEST_TOTAL, TOO_MUCH, Texts, decoded, latin, read_exactly, utf8_or_latin
from .xmp import XMP_HEAD, read_xmp

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp"
_PROFILE = b"Raw profile type "
_WITH_ALPHA = (4, 6)  # colour types
_UNPACKED_AT_ONCE = 65_536  # packed bytes


def read_png(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of a PNG. Raises EOFError where it is cut off."""
    at, read, seek = 8, file.read, file.seek
    length_of = struct.Struct(">I").unpack_from
    seek(at)
    while head := read(8):
        if len(head) < 8:
            raise EOFError
        (length,), kind = length_of(head), head[4:]
        if kind != b"IDAT":
            if kind == b"IEND":
                return
            if (read_chunk := _CHUNKS.get(kind)) is not None and texts.may_hold(length, "A text"):
                read_chunk(read_exactly(file, length), texts)
        at += length + 12
        seek(at)


def _head(data: bytes, texts: Texts) -> None:
    texts.width, texts.height, _, color = struct.unpack_from(">IIBB", data)
    texts.has_alpha = color in _WITH_ALPHA


def _plain(data: bytes, texts: Texts) -> None:
    name, _, text = data.partition(b"\0")
    _add(name, text, texts)


def _packed(data: bytes, texts: Texts) -> None:
    name, _, packed = data.partition(b"\0")
    if (text := _inflated(packed[1:], texts, latin(name))) is not None:
        _add(name, text, texts)


def _add(name: bytes, text: bytes, texts: Texts) -> None:
    """Keep a text; one that is EXIF or XMP in hexadecimal digits, as ImageMagick writes these, is read as such."""
    read = _PROFILES.get(name.removeprefix(_PROFILE)) if name.startswith(_PROFILE) else None
    if read is None:
        texts.add(latin(name), utf8_or_latin(text))
        return
    # A line break, the name, the length, the digits.
    *_, digits = text.strip().split(b"\n", 2)
    try:
        read(bytes.fromhex(latin(digits)), texts)
    except ValueError:
        texts.note(f"The text {latin(name)!r} is damaged.")


def _either(data: bytes, texts: Texts) -> None:
    """APP1 of a JPEG: EXIF or XMP."""
    if data.startswith(XMP_HEAD):
        read_xmp(data[len(XMP_HEAD) :], texts)
    else:
        read_exif(data, texts)


def _international(data: bytes, texts: Texts) -> None:
    name, _, rest = data.partition(b"\0")
    is_packed, rest = rest[:1] == b"\1", rest[2:]
    _language, _, rest = rest.partition(b"\0")
    _translated, _, text = rest.partition(b"\0")
    if is_packed:
        unpacked = _inflated(text, texts, latin(name))
        if unpacked is None:
            return
        text = unpacked
    if name == _XMP:
        read_xmp(text, texts)
    else:
        texts.add(latin(name), decoded(text, "utf-8", texts, latin(name)))


def _inflated(packed: bytes, texts: Texts, name: str) -> bytes | None:
    """Unpacked up to the cap, whatever the packed text claims; what a damaged stream gave before its end is kept."""
    unpacker = zlib.decompressobj()
    parts: list[bytes] = []
    size, most = 0, min(LARGEST_TEXT, LARGEST_TOTAL - texts.total)
    try:
        for start in range(0, len(packed), _UNPACKED_AT_ONCE):
            parts.append(unpacker.decompress(packed[start : start + _UNPACKED_AT_ONCE], most + 1 - size))
            size += len(parts[-1])
            if size > most:
                texts.total += most
                large = f"The packed text {name[:60]!r} is larger than {most:,} bytes unpacked; it is left out."
                texts.note(large if most == LARGEST_TEXT else TOO_MUCH)
                return None
            if unpacker.eof:
                break
    except zlib.error:
        texts.note(f"The packed text {name[:60]!r} is damaged.")
    else:
        if not unpacker.eof:
            texts.note(f"The packed text {name[:60]!r} is cut off.")
    texts.total += size
    return b"".join(parts)


_PROFILES = {b"exif": _either, b"APP1": _either, b"xmp": read_xmp}
_CHUNKS = {b"IHDR": _head, b"tEXt": _plain, b"zTXt": _packed, b"iTXt": _international, b"eXIf": read_exif}
