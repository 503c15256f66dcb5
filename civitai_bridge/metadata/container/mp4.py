"""MP4 and MOV: the texts that `moov` holds, as iTunes, QuickTime and ffmpeg write them; tracks and pictures are seeked
over. ISO/IEC 14496-12; https://developer.apple.com/documentation/quicktime-file-format/metadata_atoms_and_types"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from .boxes import boxes_of, each_box
from .texts import LARGEST_TEXT, Texts, read_exactly, utf8_or_latin

# The boxes with which a file may begin.
BEGINNINGS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_NAMES = {
    b"\xa9cmt": "Comment", b"\xa9des": "Description", b"desc": "Description", b"ldes": "Description",
    b"\xa9nam": "Title", b"\xa9too": "Software", b"\xa9swr": "Software", b"\xa9inf": "Description",
}  # fmt: skip
_UTF8, _UTF16 = 1, 2  # types of a `data` box


def read_mp4(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of a video. Raises EOFError where it is cut off before them."""
    for kind, start, end in each_box(file, 0, None):
        if kind == b"moov":
            _movie(file, start, end, texts)
            return
    texts.note("The video has no head; it is cut off or damaged.")


def _movie(file: BinaryIO, start: int, end: int | None, texts: Texts) -> None:
    for kind, begin, stop in each_box(file, start, end):
        if kind in (b"udta", b"meta") and stop is not None and texts.may_hold(stop - begin, "The description"):
            file.seek(begin)
            _READERS[kind](read_exactly(file, stop - begin), texts)


def _user_data(data: bytes, texts: Texts) -> None:
    for kind, content in boxes_of(data):
        if not texts.may_enter():
            return
        if kind == b"meta":
            _meta(content, texts)
        elif kind in _NAMES and len(content) > 4:
            # QuickTime's own strings: length, language, text.
            (length,) = struct.unpack_from(">H", content)
            texts.add(_NAMES[kind], utf8_or_latin(content[4 : 4 + length]))


def _meta(data: bytes, texts: Texts) -> None:
    """`ilst` with names of four letters or, by their place in `keys`, of any length."""
    # ISO's box begins with its version, QuickTime's does not.
    inner = dict(boxes_of(data[4:] if data[4:8] != b"hdlr" else data))
    keys = list(_keys(inner.get(b"keys", b"")))
    for kind, item in boxes_of(inner.get(b"ilst", b"")):
        if not texts.may_enter():
            return
        members = dict(boxes_of(item))
        place = int.from_bytes(kind, "big")
        name = keys[place - 1] if 0 < place <= len(keys) else _NAMES.get(kind, "")
        if kind == b"----":
            name = utf8_or_latin(members.get(b"name", b"")[4:])
        content = members.get(b"data", b"")
        if name and len(content) > 8 and len(content) <= LARGEST_TEXT:
            _value(name, content, texts)


def _value(name: str, content: bytes, texts: Texts) -> None:
    kind = int.from_bytes(content[:4], "big")
    if kind == _UTF16:
        texts.add(name, content[8:].decode("utf-16-be", "replace"))
    elif kind in (0, _UTF8):
        texts.add(name, utf8_or_latin(content[8:]))


def _keys(data: bytes) -> Iterator[str]:
    """Names without the beginnings that QuickTime gives its own."""
    for _, name in boxes_of(data[8:]):
        yield utf8_or_latin(name).removeprefix("com.apple.quicktime.")


_READERS: dict[bytes, Callable[[bytes, Texts], None]] = {b"udta": _user_data, b"meta": _meta}
