"""A picture's or video's bytes -> the texts in it. Pixels are never read: what is drawn is seeked over.

What is too large, cut off or badly encoded is named in the notes, and the rest is read on.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from . import matroska
from .exif import read_tiff
from .gif import read_gif
from .isobmff import BRANDS, JXL, JXL_CODESTREAM, read_avif, read_jxl
from .jpeg import read_jpeg
from .mp4 import BEGINNINGS, read_mp4
from .png import SIGNATURE, read_png
from .texts import Texts
from .webp import read_webp

# Kind, whether the first twelve bytes show it, and its reader.
_KINDS = (
    ("png", lambda head: head.startswith(SIGNATURE), read_png),
    ("jpeg", lambda head: head.startswith(b"\xff\xd8"), read_jpeg),
    ("webp", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", read_webp),
    ("avif", lambda head: head[4:8] == b"ftyp" and head[8:12] in BRANDS, read_avif),
    ("mp4", lambda head: head[4:8] in BEGINNINGS, read_mp4),
    ("webm", lambda head: head.startswith(matroska.SIGNATURE), matroska.read_matroska),
    ("gif", lambda head: head[:6] in (b"GIF87a", b"GIF89a"), read_gif),
    ("tiff", lambda head: head[:4] in (b"II*\0", b"MM\0*"), read_tiff),
    ("jxl", lambda head: head.startswith((JXL, JXL_CODESTREAM)), read_jxl),
)


VIDEOS = frozenset(("mp4", "webm"))


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
    texts.note("This is no PNG, JPEG, WebP, AVIF, GIF, TIFF, JPEG XL, MP4 or WebM file.")
    return texts
