"""A picture's bytes -> the texts in it. Pixels are never read: image data is seeked over.

What is too large, cut off or badly encoded is named in the notes, and the rest is read on.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from .isobmff import BRANDS, read_avif
from .jpeg import read_jpeg
from .png import SIGNATURE, read_png
from .texts import Texts
from .webp import read_webp

# Kind, whether the first twelve bytes show it, and its reader.
_KINDS = (
    ("png", lambda head: head.startswith(SIGNATURE), read_png),
    ("jpeg", lambda head: head.startswith(b"\xff\xd8"), read_jpeg),
    ("webp", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", read_webp),
    ("avif", lambda head: head[4:8] == b"ftyp" and head[8:12] in BRANDS, read_avif),
)


def read_texts(source: bytes | bytearray | memoryview | BinaryIO) -> Texts:
    """The texts of a picture, from its bytes or from a seekable file opened for reading bytes (best unbuffered).

    Never raises for what is in the file; OSError of a file that cannot be read is the caller's."""
    file = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source
    texts = Texts()
    head = file.read(12)
    for kind, begins_so, read in _KINDS:
        if begins_so(head):
            texts.kind = kind
            try:
                read(file, texts)
            except (struct.error, IndexError, EOFError):
                texts.note("The file is cut off or damaged; what could be read before that is kept.")
            return texts
    texts.note("This is no PNG, JPEG, WebP or AVIF file.")
    return texts
