"""EXIF blocks: the texts in them, read; and a block with A1111's text and ComfyUI's graphs, written.

Reading is our own: Pillow copies the block of each entry before anything can be counted, and a file of 2 MB that names
one block in 65,535 entries would make it copy 130 GB. Writing is Pillow's.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import BinaryIO

from .texts import Texts, decoded, latin, strict_utf8, utf8_or_latin

_USER_COMMENT, _MAKER_NOTE, _EXIF_IFD, _MAKE, _MODEL = 0x9286, 0x927C, 0x8769, 0x010F, 0x0110
_NAMES = {
    0x010E: "ImageDescription",
    _MAKE: "Make",
    _MODEL: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    _MAKER_NOTE: "MakerNote",
}
_XP_NAMES = {0x9C9B: "XPTitle", 0x9C9C: "XPComment", 0x9C9D: "XPAuthor", 0x9C9E: "XPKeywords", 0x9C9F: "XPSubject"}
_TEXT_TAGS = frozenset((*_NAMES, *_XP_NAMES, _USER_COMMENT))
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 13: 4, 129: 1}  # bytes of one value of each TIFF type
_COUNTED = 1000  # bytes of a UserComment in which CivitAI counts zeros
_MOST_DIRECTORIES = 16
_LONGEST_MAKER_NOTE = 200  # characters: cameras put binary there, Fooocus its one word


def read_exif(data: bytes | mmap.mmap, texts: Texts) -> None:
    """Collect the texts of a TIFF block; an `Exif\\0\\0` before it is stepped over."""
    if data[:6] == b"Exif\0\0":
        data = data[6:]
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        if data:
            texts.note("The EXIF block is damaged.")
        return
    visited: set[int] = set()
    directories = [struct.unpack_from(f"{order}I", data, 4)[0]]
    while directories and len(visited) < _MOST_DIRECTORIES:
        place = directories.pop()
        if place in visited or place + 2 > len(data):
            continue
        visited.add(place)
        for tag, kind, count, value in _entries(data, place, order):
            if not texts.may_enter():
                return
            if tag == _EXIF_IFD:
                directories.append(struct.unpack(f"{order}I", value)[0])
            elif tag in _TEXT_TAGS:
                size = _SIZES.get(kind, 0) * count
                block = value[:size] if size <= 4 else _block(data, struct.unpack(f"{order}I", value)[0], size, texts)
                if block is not None:
                    _add(tag, block, texts)


def read_tiff(file: BinaryIO, texts: Texts) -> None:
    """Collect the texts of a TIFF file, whose pictures are not read."""
    file.seek(0)
    try:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            read_exif(data, texts)
    except (OSError, AttributeError, ValueError):  # no file of the system's, such as bytes in memory
        file.seek(0)
        read_exif(file.read(), texts)


def _entries(data: bytes | mmap.mmap, place: int, order: str) -> Iterator[tuple[int, int, int, bytes]]:
    """(tag, type, count, the four bytes of its value or of where that stands) of a directory."""
    (count,) = struct.unpack_from(f"{order}H", data, place)
    for at in range(place + 2, min(place + 2 + 12 * count, len(data) - 11), 12):
        tag, kind, amount = struct.unpack_from(f"{order}HHI", data, at)
        yield tag, kind, amount, data[at + 8 : at + 12]


def _block(data: bytes | mmap.mmap, offset: int, size: int, texts: Texts) -> bytes | None:
    if not texts.may_read(min(size, len(data))):
        return None
    block = data[offset : offset + size]
    if len(block) < size:
        texts.note("The EXIF block is cut off.")
    return block


def _add(tag: int, block: bytes, texts: Texts) -> None:
    if tag == _USER_COMMENT:
        texts.add("UserComment", user_comment(block, texts))
    elif tag in _XP_NAMES:
        texts.add(_XP_NAMES[tag], decoded(block, "utf-16-le", texts, _XP_NAMES[tag]).rstrip("\0"))
    elif tag == _MAKER_NOTE:
        if len(block) < _LONGEST_MAKER_NOTE and block.rstrip(b"\0").isascii():
            texts.add("MakerNote", latin(block).rstrip("\0"))
    else:
        texts.add(_NAMES[tag], utf8_or_latin(block).rstrip("\0"))


def user_comment(block: bytes, texts: Texts) -> str:
    """A UserComment in any of the encodings that its first eight bytes may name, and without that name.

    `UNICODE` is UTF-16 of either end first; CivitAI itself writes it big-endian."""
    code, body = block[:8], block[8:]
    if code.startswith(b"ASCII"):
        return utf8_or_latin(body).replace("\0", "")
    if code.startswith(b"UTF8"):
        return decoded(body, "utf-8", texts, "UserComment").replace("\0", "")
    if code.startswith(b"JIS"):
        return decoded(body, "iso2022_jp", texts, "UserComment").replace("\0", "")
    if not code.startswith(b"UNICODE"):
        # Some writers leave the code out, or leave it empty.
        plain = (block if code.strip(b"\0") else body).rstrip(b"\0")
        if b"\0" not in plain and (text := strict_utf8(plain)) is not None:
            return text
    return (
        decoded(body[: len(body) // 2 * 2], _utf16(body), texts, "UserComment").replace("\0", "").removeprefix("\ufeff")
    )


def _utf16(body: bytes) -> str:
    """Big or little end first: by the mark, else by where the zeros of Latin letters stand."""
    if body[:2] == b"\xfe\xff":
        return "utf-16-be"
    if body[:2] == b"\xff\xfe":
        return "utf-16-le"
    return "utf-16-le" if body[1::2].count(0) > body[0::2].count(0) else "utf-16-be"


def exif_of(text: str, *, prompt: str = "", workflow: str = "", largest: int | None = None) -> tuple[bytes, str]:
    """EXIF for JPEG and WebP as CivitAI and ComfyUI read it, and a sentence about what found no room: A1111's text as
    UserComment in UTF-16 (big end first), the graphs as `Model` and `Make` in UTF-8.

    JPEG takes `largest=65_527` bytes; the workflow goes first, then the prompt, then the text."""
    block, sentence = b"", ""
    for parts, left_out in (((text, prompt, workflow), ""), ((text, prompt, ""), "the workflow"),
                            ((text, "", ""), "the workflow and the prompt"), (("", "", ""), "anything")):  # fmt: skip
        block = _written(*parts)
        if largest is None or len(block) <= largest:
            sentence = f"The file has no room for {left_out}; save as PNG or WebP to keep it." if left_out else ""
            break
    return block, sentence


def _written(text: str, prompt: str, workflow: str) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif.endian = ">"
    if workflow:
        exif[_MAKE] = f"workflow:{workflow}".encode("utf-8", "replace")
    if prompt:
        exif[_MODEL] = f"prompt:{prompt}".encode("utf-8", "replace")
    if text:
        body = text.encode("utf-16-be", "replace")
        # CivitAI, which counts zeros where no mark stands, would take some Chinese texts for little end first.
        mark = b"" if _utf16(body[:_COUNTED]) == "utf-16-be" else b"\xfe\xff"
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + mark + body
    return exif.tobytes().removeprefix(b"Exif\0\0")
