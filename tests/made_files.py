"""Picture files made by hand, byte by byte: PNG, TIFF, WebP, JPEG and AVIF with the texts that a test puts in."""

from __future__ import annotations

import struct
import zlib

PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(data) if length is None else length)
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
    )


IHDR = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
IDAT, IEND = chunk(b"IDAT", b"\0" * 5000), chunk(b"IEND", b"")


def png(*before: bytes, after: tuple[bytes, ...] = ()) -> bytes:
    return PNG + IHDR + b"".join(before) + IDAT + IDAT + b"".join(after) + IEND


def tiff(order: str = "<", **tags: tuple[int, int, bytes]) -> bytes:
    """IFD0 with ASCII-like tags given as name=(tag, type, bytes); a tag called `comment` goes into the Exif IFD."""
    main = [t for n, t in tags.items() if n != "comment"]
    inner = [tags["comment"]] if "comment" in tags else []
    count = len(main) + bool(inner)
    exif_at = 8 + 2 + 12 * count + 4
    data_at = exif_at + (2 + 12 * len(inner) + 4 if inner else 0)
    body = b""

    def entry(tag: int, kind: int, data: bytes) -> bytes:
        nonlocal body
        if len(data) <= 4:
            return struct.pack(f"{order}HHI", tag, kind, len(data)) + data.ljust(4, b"\0")
        place = data_at + len(body)
        body += data
        return struct.pack(f"{order}HHII", tag, kind, len(data), place)

    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8) + struct.pack(f"{order}H", count)
    entries = b"".join(entry(*one) for one in main)
    if inner:
        entries += struct.pack(f"{order}HHII", 0x8769, 4, 1, exif_at)
    out = head + entries + b"\0" * 4
    if inner:
        out += struct.pack(f"{order}H", 1) + b"".join(entry(*one) for one in inner) + b"\0" * 4
    return out + body


def webp(exif: bytes, xmp: bytes = b"") -> bytes:
    def one(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    body = b"WEBP" + one(b"VP8X", b"\x08\0\0\0" + (63).to_bytes(3, "little") + (47).to_bytes(3, "little"))
    body += one(b"VP8 ", b"\0" * 999) + one(b"EXIF", exif) + (one(b"XMP ", xmp) if xmp else b"")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in segments)
    return b"\xff\xd8" + body + b"\xff\xda\0\x02" + b"\xff\xe1fake" + b"\xff\xd9"


def box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data) + 8, kind) + data


def avif(exif: bytes, method: int = 0) -> bytes:
    block = struct.pack(">I", 0) + exif
    infe = box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 2, 0) + b"Exif\0")
    iinf = box(b"iinf", b"\0\0\0\0" + struct.pack(">H", 1) + infe)

    def iloc(offset: int) -> bytes:
        return box(
            b"iloc",
            b"\1\0\0\0\x44\0" + struct.pack(">HHHHH", 1, 2, method, 0, 1) + struct.pack(">II", offset, len(block)),
        )

    ftyp = box(b"ftyp", b"avif\0\0\0\0avifmif1")
    idat = box(b"idat", block) if method else b""
    size = len(ftyp) + len(box(b"meta", b"\0\0\0\0" + iinf + iloc(0) + idat))
    meta = box(b"meta", b"\0\0\0\0" + iinf + iloc(0 if method else size + 8) + idat)
    return ftyp + meta + box(b"mdat", block)
