"""Pictures and videos made by hand, byte by byte: PNG, TIFF, WebP, JPEG, AVIF, MP4 and WebM with the texts that a test
puts in."""

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


def mp4(texts: dict[str, str], *, pixels: int = 5000, first: bool = False, itunes: bool = False) -> bytes:
    """A video with its texts behind the pixels, as ffmpeg writes them with `use_metadata_tags` (names of any length),
    or as iTunes does (`\xa9cmt` alone)."""
    if itunes:
        items = b"".join(box(name.encode("latin-1"), data_box(text)) for name, text in texts.items())
        handler = box(b"hdlr", b"\0" * 8 + b"mdir" + b"appl" + b"\0" * 9)
        meta = box(b"udta", box(b"meta", b"\0" * 4 + handler + box(b"ilst", items)))
    else:
        keys = b"".join(box(b"mdta", name.encode()) for name in texts)
        items = b"".join(box(struct.pack(">I", i), data_box(text)) for i, text in enumerate(texts.values(), 1))
        handler = box(b"hdlr", b"\0" * 8 + b"mdta" + b"\0" * 13)
        listed = box(b"keys", b"\0" * 4 + struct.pack(">I", len(texts)) + keys)
        meta = box(b"meta", handler + listed + box(b"ilst", items))
    moov = box(b"moov", box(b"mvhd", b"\0" * 100) + box(b"trak", b"\0" * 2000) + meta)
    head, body = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41"), box(b"mdat", b"\0" * pixels)
    return head + (moov + body if first else body + moov)


def data_box(text: str) -> bytes:
    return box(b"data", struct.pack(">II", 1, 0) + text.encode())


def element(name: bytes, data: bytes, *, known: bool = True) -> bytes:
    """A piece of a Matroska file; of one whose length is not known the reader has to enter the content."""
    return name + (b"\x01" + len(data).to_bytes(7, "big") if known else b"\x01" + b"\xff" * 7) + data


def webm(texts: dict[str, str], *, live: bool = False, first: bool = False) -> bytes:
    """A video with its texts behind the clusters; names in capitals, as ffmpeg writes them."""
    simple = b"".join(
        element(b"\x67\xc8", element(b"\x45\xa3", name.upper().encode()) + element(b"\x44\x87", text.encode()))
        for name, text in texts.items()
    )
    tags = element(b"\x12\x54\xc3\x67", element(b"\x73\x73", element(b"\x63\xc0", b"") + simple))
    cluster = element(b"\x1f\x43\xb6\x75", element(b"\xe7", b"\0") + element(b"\xa3", b"\0" * 900), known=not live)
    inner = (tags + cluster * 3) if first else (cluster * 3 + tags)
    return element(b"\x1a\x45\xdf\xa3", b"\x42\x82\x84webm") + element(b"\x18\x53\x80\x67", inner, known=not live)
