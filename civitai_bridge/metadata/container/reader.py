"""A picture's bytes -> the texts in it. Pixels are never read: image data is seeked over.

PNG      tEXt, zTXt, iTXt and eXIf, before and after IDAT
JPEG     EXIF (APP1), XMP, comments, up to the first scan
WebP     EXIF and XMP chunks
AVIF     EXIF and XMP items of the `meta` box (ISO 14496-12); HEIC alike
EXIF     ImageDescription, Make, Model, Software, Artist, XP fields, MakerNote, UserComment (facts/site-api.md §2.2)

A text is capped before it is unpacked, and so is all that a file makes us unpack, decode and look up: a small file
may point at one block a thousand times. What is too large, cut off or badly encoded is named in the notes, and the
rest is read on.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

LARGEST_TEXT = 16 * 2**20
LARGEST_TOTAL = 48 * 2**20
MOST_TEXTS = 500
_MOST_CHUNKS = 2_000_000
_MOST_ENTRIES = 20_000
_PNG = b"\x89PNG\r\n\x1a\n"
_ISO_BRANDS = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"hevc", b"miaf")
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


_TOO_MUCH = "The file holds more text than is read; the rest is left out."


@dataclass
class Texts:
    """What a file says: its kind (`png`, `jpeg`, `webp`, `avif`, `""` for none of them), texts by name, notes."""

    kind: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    width: int | None = None
    height: int | None = None
    total: int = 0
    entries: int = 0
    again: dict[str, set[str]] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        """Keep a text; a second one of the same name gets a number."""
        if not text.strip("\0 \t\r\n"):
            return
        same = self.again.setdefault(name, set())
        if text in same:
            return
        if len(self.texts) >= MOST_TEXTS:
            self.note(_TOO_MUCH)
            return
        same.add(text)
        count = len(same)
        key = name if count == 1 else f"{name} ({count})"
        while key in self.texts:
            count += 1
            key = f"{name} ({count})"
        self.texts[key] = text

    def take(self, size: int) -> bool:
        """Whether so many bytes more may be read, unpacked or decoded; they are counted over the whole file."""
        if self.total + size > LARGEST_TOTAL:
            self.note(_TOO_MUCH)
            return False
        self.total += size
        return True

    def enter(self) -> bool:
        """Whether one more entry of a list may be looked at."""
        if self.entries == _MOST_ENTRIES:
            self.note("The file lists more than is read; the rest is left out.")
            return False
        self.entries += 1
        return True

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def read_texts(source: bytes | bytearray | memoryview | BinaryIO) -> Texts:
    """The texts of a picture, from its bytes or from a seekable file opened for reading bytes (best unbuffered)."""
    file = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source
    found = Texts()
    head = file.read(12)
    for kind, is_one, read in _KINDS:
        if is_one(head):
            found.kind = kind
            try:
                read(file, found)
            except (struct.error, IndexError, EOFError):
                found.note("The file is cut off or damaged; what could be read before that is kept.")
            return found
    found.note("This is no PNG, JPEG, WebP or AVIF file.")
    return found


def _take(file: BinaryIO, count: int) -> bytes:
    """Exactly so many bytes. Raises EOFError when the file ends before."""
    data = file.read(count)
    if len(data) < count:
        more = [data]
        while (missing := count - sum(map(len, more))) and (part := file.read(missing)):
            more.append(part)
        data = b"".join(more)
        if len(data) < count:
            raise EOFError
    return data


# --- PNG ----------------------------------------------------------------------------------------------------------


def _png(file: BinaryIO, found: Texts) -> None:
    at, read, seek = 8, file.read, file.seek
    size_of = struct.Struct(">I").unpack_from
    seek(at)
    while head := read(8):
        if len(head) < 8:
            raise EOFError
        (length,), kind = size_of(head), head[4:]
        if kind != b"IDAT":
            if kind == b"IEND":
                return
            if (take := _PNG_CHUNKS.get(kind)) is not None:
                if length > LARGEST_TEXT:
                    found.note(f"A text of {length:,} bytes is too large and is left out.")
                elif found.take(length):
                    take(_take(file, length), found)
        at += length + 12
        seek(at)


def _ihdr(data: bytes, found: Texts) -> None:
    found.width, found.height = struct.unpack_from(">II", data)


def _text_chunk(data: bytes, found: Texts) -> None:
    name, _, text = data.partition(b"\0")
    found.add(_latin(name), _utf8_or_latin(text))


def _ztxt_chunk(data: bytes, found: Texts) -> None:
    name, _, packed = data.partition(b"\0")
    if (text := _inflated(packed[1:], found, _latin(name))) is not None:
        found.add(_latin(name), _utf8_or_latin(text))


def _itxt_chunk(data: bytes, found: Texts) -> None:
    name, _, rest = data.partition(b"\0")
    packed, body = rest[:1] == b"\1", rest[2:]
    _language, _, body = body.partition(b"\0")
    _translated, _, text = body.partition(b"\0")
    if packed:
        unpacked = _inflated(text, found, _latin(name))
        if unpacked is None:
            return
        text = unpacked
    found.add(_latin(name), _decoded(text, "utf-8", found, _latin(name)))


def _inflated(packed: bytes, found: Texts, name: str) -> bytes | None:
    """Unpacked up to the cap, whatever the packed text claims; what a damaged stream gave before its end is kept."""
    unpacker = zlib.decompressobj()
    parts: list[bytes] = []
    size, most = 0, min(LARGEST_TEXT, LARGEST_TOTAL - found.total)
    try:
        for start in range(0, len(packed), 65536):
            parts.append(unpacker.decompress(packed[start : start + 65536], most + 1 - size))
            size += len(parts[-1])
            if size > most:
                found.total += most
                large = f"The packed text {name[:60]!r} is larger than {most:,} bytes unpacked; it is left out."
                found.note(large if most == LARGEST_TEXT else _TOO_MUCH)
                return None
            if unpacker.eof:
                break
    except zlib.error:
        found.note(f"The packed text {name[:60]!r} is damaged.")
    else:
        if not unpacker.eof:
            found.note(f"The packed text {name[:60]!r} is cut off.")
    found.total += size
    return b"".join(parts)


def _png_exif(data: bytes, found: Texts) -> None:
    _exif(data, found)


_PNG_CHUNKS = {
    b"IHDR": _ihdr,
    b"tEXt": _text_chunk,
    b"zTXt": _ztxt_chunk,
    b"iTXt": _itxt_chunk,
    b"eXIf": _png_exif,
}


# --- JPEG ---------------------------------------------------------------------------------------------------------


def _jpeg(file: BinaryIO, found: Texts) -> None:
    file.seek(2)
    at = 2
    for _ in range(_MOST_CHUNKS):
        head = file.read(4)
        if len(head) < 4:
            return
        if head[0] != 0xFF:
            raise EOFError
        marker = head[1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            file.seek(at)
            continue
        if marker in (0xDA, 0xD9):
            return
        length = struct.unpack(">H", head[2:])[0]
        if marker in (0xE1, 0xFE) or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            if not found.take(length):
                return
            _jpeg_segment(marker, _take(file, max(length - 2, 0)), found)
        at += 2 + max(length, 2)
        file.seek(at)


def _jpeg_segment(marker: int, data: bytes, found: Texts) -> None:
    if marker == 0xFE:
        found.add("Comment", _utf8_or_latin(data))
    elif marker != 0xE1:
        found.height, found.width = struct.unpack_from(">HH", data, 1)
    elif data.startswith(b"Exif\0"):
        _exif(data[6:], found)
    elif data.startswith(_XMP_HEAD):
        found.add("XMP", _decoded(data[len(_XMP_HEAD) :], "utf-8", found, "XMP"))


# --- WebP ---------------------------------------------------------------------------------------------------------


def _webp(file: BinaryIO, found: Texts) -> None:
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
            if length > LARGEST_TEXT:
                found.note(f"{kind.decode().strip()} of {length:,} bytes is too large and is left out.")
            elif not found.take(length):
                return
            elif kind == b"EXIF":
                _exif(_take(file, length), found)
            else:
                found.add("XMP", _decoded(_take(file, length), "utf-8", found, "XMP"))
        elif kind == b"VP8X":
            data = _take(file, min(length, 10)).ljust(10, b"\0")
            found.width = int.from_bytes(data[4:7], "little") + 1
            found.height = int.from_bytes(data[7:10], "little") + 1
        elif kind == b"VP8 ":
            data = _take(file, min(length, 10)).ljust(10, b"\0")
            if found.width is None and data[3:6] == b"\x9d\x01\x2a":
                found.width = int.from_bytes(data[6:8], "little") & 0x3FFF
                found.height = int.from_bytes(data[8:10], "little") & 0x3FFF
        elif kind == b"VP8L" and found.width is None:
            bits = int.from_bytes(_take(file, min(length, 5))[1:5], "little")
            found.width, found.height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        at += 8 + length + length % 2


# --- AVIF and HEIC ------------------------------------------------------------------------------------------------


def _avif(file: BinaryIO, found: Texts) -> None:
    at = 0
    for _ in range(1000):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind, start = _box(head)
        if kind == b"meta":
            if size > LARGEST_TEXT:
                found.note(f"The description of {size:,} bytes is too large and is left out.")
                return
            file.seek(at + start)
            _iso_meta(file, _take(file, size - start), found)
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
    for _ in range(_MOST_ENTRIES):
        if at + 8 > len(data):
            return
        size, kind, start = _box(data[at : at + 16].ljust(16, b"\0"))
        size = size or len(data) - at
        if size < start:
            return
        yield kind, data[at + start : at + size]
        at += size


def _iso_meta(file: BinaryIO, data: bytes, found: Texts) -> None:
    """The places of the EXIF and XMP items, and their bytes."""
    inner = dict(_boxes(data[4:]))
    wanted = dict(_iso_items(inner.get(b"iinf", b"")))
    for kind, item in _boxes(_property_boxes(inner.get(b"iprp", b""))):
        if kind == b"ispe" and found.width is None:
            found.width, found.height = struct.unpack_from(">II", item, 4)
    for item_id, extents in _iso_places(inner.get(b"iloc", b""), found):
        if item_id not in wanted:
            continue
        block = _iso_block(file, inner.get(b"idat", b""), extents, found)
        if wanted[item_id] == b"Exif" and len(block) > 4:
            _exif(block[4 + struct.unpack_from(">I", block)[0] :], found)
        elif wanted[item_id] == b"mime":
            found.add("XMP", _decoded(block, "utf-8", found, "XMP"))


def _property_boxes(iprp: bytes) -> bytes:
    return next((data for kind, data in _boxes(iprp) if kind == b"ipco"), b"")


def _iso_items(iinf: bytes) -> Iterator[tuple[int, bytes]]:
    """(item id, `Exif` or `mime`) of the items that are texts."""
    for kind, entry in _boxes(iinf[6 if iinf[:1] == b"\0" else 8 :]):
        if kind == b"infe" and len(entry) >= 12:
            wide = entry[0] >= 3
            item_id = int.from_bytes(entry[4 : 8 if wide else 6], "big")
            item_type = entry[10:14] if wide else entry[8:12]
            if item_type == b"Exif" or (item_type == b"mime" and b"application/rdf+xml" in entry):
                yield item_id, item_type


def _iso_places(iloc: bytes, found: Texts) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
    """(item id, [(construction method, offset, length)]) of every item."""
    if len(iloc) < 8:
        return
    version, sizes = iloc[0], int.from_bytes(iloc[4:6], "big")
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    stream = io.BytesIO(iloc)
    stream.seek(6)

    def take(count: int) -> int:
        return int.from_bytes(_take(stream, count), "big")

    for _ in range(min(take(4 if version == 2 else 2), 65536)):
        item_id = take(4 if version == 2 else 2)
        method = take(2) & 15 if version in (1, 2) else 0
        take(2)
        base = take(base_size)
        extents = []
        for _ in range(take(2)):
            # An extent may take no bytes at all.
            if not found.enter():
                return
            take(index_size if version in (1, 2) else 0)
            offset = base + take(offset_size)
            extents.append((method, offset, take(length_size)))
        yield item_id, extents


def _iso_block(file: BinaryIO, idat: bytes, extents: list[tuple[int, int, int]], found: Texts) -> bytes:
    size = sum(length for _, _, length in extents)
    if size > LARGEST_TEXT:
        found.note("EXIF in this file is too large and is left out.")
        return b""
    if not found.take(size):
        return b""
    parts = []
    for method, offset, length in extents:
        if method == 1:
            parts.append(idat[offset : offset + length])
        elif method == 0 and offset < 2**62:
            file.seek(offset)
            parts.append(_take(file, length))
    return b"".join(parts)


# --- EXIF ---------------------------------------------------------------------------------------------------------

_USER_COMMENT, _MAKER_NOTE, _EXIF_IFD = 0x9286, 0x927C, 0x8769
_ASCII_TAGS = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    _MAKER_NOTE: "MakerNote",
}
_XP_TAGS = {0x9C9B: "XPTitle", 0x9C9C: "XPComment", 0x9C9D: "XPAuthor", 0x9C9E: "XPKeywords", 0x9C9F: "XPSubject"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 13: 4, 129: 1}


def _exif(data: bytes, found: Texts) -> None:
    """The texts of a TIFF block; an `Exif\\0\\0` before it is stepped over."""
    if data.startswith(b"Exif\0\0"):
        data = data[6:]
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        if data:
            found.note("The EXIF block is damaged.")
        return
    seen: set[int] = set()
    todo = [struct.unpack_from(f"{order}I", data, 4)[0]]
    while todo and len(seen) < 16:
        place = todo.pop()
        if place in seen or place + 2 > len(data):
            continue
        seen.add(place)
        for tag, kind, count, value in _entries(data, place, order):
            if not found.enter():
                return
            if tag == _EXIF_IFD:
                todo.append(struct.unpack(f"{order}I", value[:4].ljust(4, b"\0"))[0])
                continue
            block = _value_of(data, order, kind, count, value, found, tag)
            if block is not None:
                _exif_text(tag, block, found)


def _entries(data: bytes, place: int, order: str) -> Iterator[tuple[int, int, int, bytes]]:
    (count,) = struct.unpack_from(f"{order}H", data, place)
    for at in range(place + 2, min(place + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, amount = struct.unpack_from(f"{order}HHI", data, at)
        yield tag, kind, amount, data[at + 8 : at + 12]


def _value_of(data: bytes, order: str, kind: int, count: int, value: bytes, found: Texts, tag: int) -> bytes | None:
    if tag not in _ASCII_TAGS and tag not in _XP_TAGS and tag != _USER_COMMENT:
        return None
    size = _SIZES.get(kind, 0) * count
    if size <= 4:
        return value[:size]
    (offset,) = struct.unpack(f"{order}I", value)
    if not found.take(min(size, len(data))):
        return None
    block = data[offset : offset + size]
    if len(block) < size:
        found.note("The EXIF block is cut off.")
    return block


def _exif_text(tag: int, block: bytes, found: Texts) -> None:
    if tag == _USER_COMMENT:
        found.add("UserComment", user_comment(block, found))
    elif tag in _XP_TAGS:
        found.add(_XP_TAGS[tag], _decoded(block, "utf-16-le", found, _XP_TAGS[tag]).rstrip("\0"))
    elif tag == _MAKER_NOTE:
        # Cameras put binary here, Fooocus its one word.
        if len(block) < 200 and block.rstrip(b"\0").isascii():
            found.add("MakerNote", _latin(block).rstrip("\0"))
    else:
        found.add(_ASCII_TAGS[tag], _utf8_or_latin(block).rstrip("\0"))


def user_comment(block: bytes, found: Texts) -> str:
    """A UserComment in any of its encodings (facts/site-api.md §2.2), also without the character code of 8 bytes."""
    code, body = block[:8], block[8:]
    if code.startswith(b"ASCII"):
        return _utf8_or_latin(body).replace("\0", "")
    if code.startswith(b"UTF8"):
        return _decoded(body, "utf-8", found, "UserComment").replace("\0", "")
    if code.startswith(b"JIS"):
        return _decoded(body, "iso2022_jp", found, "UserComment").replace("\0", "")
    if not code.startswith(b"UNICODE"):
        # Some writers leave the code out, or leave it empty.
        plain = block if code.strip(b"\0") else body
        if b"\0" not in plain.rstrip(b"\0") and (text := _strict_utf8(plain.rstrip(b"\0"))) is not None:
            return text
    return _decoded(body, _utf16(body), found, "UserComment").replace("\0", "").removeprefix("\ufeff")


def _utf16(body: bytes) -> str:
    """Big or little end first: by the mark, else by where the zeros stand in the first 1,000 bytes."""
    if body[:2] == b"\xfe\xff":
        return "utf-16-be"
    if body[:2] == b"\xff\xfe":
        return "utf-16-le"
    return "utf-16-le" if body[1:1000:2].count(0) > body[0:1000:2].count(0) else "utf-16-be"


def _decoded(data: bytes, encoding: str, found: Texts, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        found.note(f"The text {name[:60]!r} is badly encoded; the broken places are marked in it.")
        return data.decode(encoding, "replace")


def _strict_utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _utf8_or_latin(data: bytes) -> str:
    """The standard says Latin-1; most tools write UTF-8."""
    text = _strict_utf8(data)
    return _latin(data) if text is None else text


def _latin(data: bytes) -> str:
    return data.decode("latin-1")


_KINDS = (
    ("png", lambda head: head.startswith(_PNG), _png),
    ("jpeg", lambda head: head.startswith(b"\xff\xd8"), _jpeg),
    ("webp", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", _webp),
    ("avif", lambda head: head[4:8] == b"ftyp" and head[8:12] in _ISO_BRANDS, _avif),
)
