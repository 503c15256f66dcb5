"""AVIF and HEIC: the EXIF and XMP items that the `meta` box of an ISO base media file (ISO/IEC 14496-12) lists; and
JPEG XL, whose boxes are these texts."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from .boxes import boxes_of, each_box
from .exif import read_exif
from .texts import LARGEST_TEXT, Texts, read_exactly
from .xmp import read_xmp

BRANDS = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"hevc", b"miaf")
JXL = b"\0\0\0\x0cJXL \r\n\x87\n"
JXL_CODESTREAM = b"\xff\x0a"
_MOST_ITEMS = 65_536
Extent = tuple[int, int, int]  # construction method (0 = in the file, 1 = in `idat`), offset, length


def read_avif(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of the first `meta` box. Raises EOFError where the file is cut off."""
    for kind, start, end in each_box(file, 0, None):
        if kind == b"meta":
            if end is not None and texts.may_hold(end - start, "The description"):
                file.seek(start)
                _meta(file, read_exactly(file, end - start), texts)
            return


def read_jxl(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of a JPEG XL; one without boxes holds none, and packed ones (Brotli) are named."""
    file.seek(0)
    if file.read(len(JXL)) != JXL:
        return
    for kind, start, end in each_box(file, 0, None):
        if kind == b"brob":
            texts.note("A text in this JPEG XL is packed with Brotli, which is not read.")
        elif kind in (b"Exif", b"xml ") and end is not None and texts.may_hold(end - start, "A text"):
            file.seek(start)
            _text(kind, read_exactly(file, end - start), texts)


def _text(kind: bytes, block: bytes, texts: Texts) -> None:
    """A block of EXIF, which begins with where its TIFF block does, or of XMP."""
    if kind != b"Exif":
        read_xmp(block, texts)
    elif len(block) > 4:
        read_exif(block[4 + struct.unpack_from(">I", block)[0] :], texts)


def _meta(file: BinaryIO, data: bytes, texts: Texts) -> None:
    inner = dict(boxes_of(data[4:]))
    kinds = dict(_text_items(inner.get(b"iinf", b"")))
    for kind, item in boxes_of(dict(boxes_of(inner.get(b"iprp", b""))).get(b"ipco", b"")):
        if kind == b"ispe" and texts.width is None:
            texts.width, texts.height = struct.unpack_from(">II", item, 4)
    for item_id, extents in _places(inner.get(b"iloc", b""), texts):
        if item_id not in kinds:
            continue
        _text(kinds[item_id], _item(file, inner.get(b"idat", b""), extents, texts), texts)


def _text_items(iinf: bytes) -> Iterator[tuple[int, bytes]]:
    """(item id, `Exif` or `mime`) of the items that are texts."""
    for kind, entry in boxes_of(iinf[6 if iinf[:1] == b"\0" else 8 :]):
        if kind == b"infe" and len(entry) >= 12:
            wide = entry[0] >= 3
            item_id = int.from_bytes(entry[4 : 8 if wide else 6], "big")
            item_type = entry[10:14] if wide else entry[8:12]
            if item_type == b"Exif" or (item_type == b"mime" and b"application/rdf+xml" in entry):
                yield item_id, item_type


def _places(iloc: bytes, texts: Texts) -> Iterator[tuple[int, list[Extent]]]:
    """(item id, its extents) of every item. Raises EOFError where the list is cut off."""
    if len(iloc) < 8:
        return
    version, sizes = iloc[0], int.from_bytes(iloc[4:6], "big")
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    stream = io.BytesIO(iloc)
    stream.seek(6)

    def integer(size: int) -> int:
        return int.from_bytes(read_exactly(stream, size), "big")

    for _ in range(min(integer(4 if version == 2 else 2), _MOST_ITEMS)):
        item_id = integer(4 if version == 2 else 2)
        method = integer(2) & 15 if version in (1, 2) else 0
        integer(2)
        base = integer(base_size)
        extents = []
        for _ in range(integer(2)):
            # An extent may take no bytes at all, so the list's own length bounds nothing.
            if not texts.may_enter():
                return
            integer(index_size if version in (1, 2) else 0)
            offset = base + integer(offset_size)
            extents.append((method, offset, integer(length_size)))
        yield item_id, extents


def _item(file: BinaryIO, idat: bytes, extents: list[Extent], texts: Texts) -> bytes:
    size = sum(length for _, _, length in extents)
    if size > LARGEST_TEXT:
        texts.note("EXIF in this file is too large and is left out.")
        return b""
    if not texts.may_read(size):
        return b""
    parts = []
    for method, offset, length in extents:
        if method == 1:
            parts.append(idat[offset : offset + length])
        elif method == 0 and offset < 2**62:
            file.seek(offset)
            parts.append(read_exactly(file, length))
    return b"".join(parts)
