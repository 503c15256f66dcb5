"""AVIF and HEIC: the EXIF and XMP items that the `meta` box of an ISO base media file (ISO/IEC 14496-12) lists."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from .exif import read_exif
from .texts import LARGEST_TEXT, MOST_ENTRIES, Texts, decoded, read_exactly

BRANDS = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"hevc", b"miaf")
_MOST_BOXES = 1000  # at the top of a file
_MOST_ITEMS = 65_536
Extent = tuple[int, int, int]  # construction method (0 = in the file, 1 = in `idat`), offset, length


def read_avif(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of the first `meta` box. Raises EOFError where the file is cut off."""
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind, start = _box(head)
        if kind == b"meta":
            if texts.may_hold(size, "The description"):
                file.seek(at + start)
                _meta(file, read_exactly(file, size - start), texts)
            return
        if size < 8:
            return
        at += size


def _box(head: bytes) -> tuple[int, bytes, int]:
    """A box's whole size (0 = to the end), its kind, and where its content begins."""
    size, kind = struct.unpack_from(">I4s", head)
    if size == 1:
        return struct.unpack_from(">Q", head, 8)[0], kind, 16
    return size, kind, 8


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    for _ in range(MOST_ENTRIES):
        if at + 8 > len(data):
            return
        size, kind, start = _box(data[at : at + 16].ljust(16, b"\0"))
        size = size or len(data) - at
        if size < start:
            return
        yield kind, data[at + start : at + size]
        at += size


def _meta(file: BinaryIO, data: bytes, texts: Texts) -> None:
    inner = dict(_boxes(data[4:]))
    kinds = dict(_text_items(inner.get(b"iinf", b"")))
    for kind, item in _boxes(dict(_boxes(inner.get(b"iprp", b""))).get(b"ipco", b"")):
        if kind == b"ispe" and texts.width is None:
            texts.width, texts.height = struct.unpack_from(">II", item, 4)
    for item_id, extents in _places(inner.get(b"iloc", b""), texts):
        if item_id not in kinds:
            continue
        block = _item(file, inner.get(b"idat", b""), extents, texts)
        if kinds[item_id] == b"Exif" and len(block) > 4:
            read_exif(block[4 + struct.unpack_from(">I", block)[0] :], texts)
        elif kinds[item_id] == b"mime":
            texts.add("XMP", decoded(block, "utf-8", texts, "XMP"))


def _text_items(iinf: bytes) -> Iterator[tuple[int, bytes]]:
    """(item id, `Exif` or `mime`) of the items that are texts."""
    for kind, entry in _boxes(iinf[6 if iinf[:1] == b"\0" else 8 :]):
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
