"""Texts out of pictures: every chunk and encoding, and files that were made to hurt."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import PNG, avif, box, chunk, jpeg, png, tiff, webp
from PIL import Image, PngImagePlugin

from pack.civitai_bridge.metadata.container.reader import read_texts
from pack.civitai_bridge.metadata.container.texts import LARGEST_TEXT, LARGEST_TOTAL


class Watched(io.BytesIO):
    """Remembers which bytes were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.seen: list[tuple[int, int]] = []

    def read(self, size: int | None = -1) -> bytes:
        at = self.tell()
        data = super().read(size)
        self.seen.append((at, at + len(data)))
        return data


@pytest.mark.parametrize(
    "piece",
    [
        chunk(b"tEXt", b"parameters\0a caf\xc3\xa9"),
        chunk(b"tEXt", b"parameters\0a caf\xe9"),
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress("a café".encode())),
        chunk(b"iTXt", b"parameters\0\0\0de\0Werte\0" + "a café".encode()),
        chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress("a café".encode())),
    ],
    ids=["tEXt utf-8", "tEXt latin-1", "zTXt", "iTXt", "iTXt packed"],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_png_texts_before_and_after_the_pixels(piece: bytes, place: str):
    found = read_texts(png(piece) if place == "before" else png(after=(piece,)))
    assert (found.kind, found.texts, found.notes) == ("png", {"parameters": "a café"}, [])
    assert (found.width, found.height) == (64, 48)


def test_pixels_are_never_read():
    file = Watched(png(chunk(b"tEXt", b"a\0b"), after=(chunk(b"tEXt", b"c\0d"),)))
    assert read_texts(file).texts == {"a": "b", "c": "d"}
    assert sum(end - start for start, end in file.seen) < 200


def test_two_texts_of_one_name_are_both_kept():
    found = read_texts(png(chunk(b"tEXt", b"a\0one"), chunk(b"tEXt", b"a\0two"), chunk(b"tEXt", b"a\0one")))
    assert found.texts == {"a": "one", "a (2)": "two"}


TEXT = "a café 墨, b"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (b"ASCII\0\0\0a cat\0", "a cat"),
        (b"ASCII\0\0\0" + "a café".encode(), "a café"),
        (b"ASCII\0\0\0a caf\xe9", "a café"),
        (b"UTF8\0\0\0\0" + TEXT.encode(), TEXT),
        (b"UNICODE\0" + TEXT.encode("utf-16-be"), TEXT),
        (b"UNICODE\0" + TEXT.encode("utf-16-le"), TEXT),
        (b"UNICODE\0\xfe\xff" + TEXT.encode("utf-16-be"), TEXT),
        (b"UNICODE\0\xff\xfe" + TEXT.encode("utf-16-le"), TEXT),
        (b"JIS\0\0\0\0\0" + "墨".encode("iso2022_jp"), "墨"),
        (b"\0\0\0\0\0\0\0\0" + TEXT.encode(), TEXT),
        (TEXT.encode(), TEXT),
        (b"{}", "{}"),
        (b"", ""),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_encoding_of_a_user_comment(block: bytes, text: str, order: str):
    found = read_texts(webp(tiff(order, comment=(0x9286, 7, block))))
    assert found.texts == ({"UserComment": text} if text else {})
    assert found.notes == []


def test_invalid_utf16_is_marked_and_named():
    found = read_texts(webp(tiff(comment=(0x9286, 7, b"UNICODE\0" + b"\0a\xd8\0\0b\0"))))
    assert "a" in found.texts["UserComment"] and "\ufffd" in found.texts["UserComment"]
    assert "badly encoded" in found.notes[0]


EXIF = tiff(
    model=(0x0110, 2, b"prompt:{}\0"), make=(0x010F, 2, b"workflow:{}\0"), what=(0x010E, 2, b"said\0"), soft=(0x0131, 2, b"Tool\0"),
    xp=(0x9C9C, 1, "a 墨".encode("utf-16-le") + b"\0\0"), comment=(0x9286, 7, b"ASCII\0\0\0hello"),
)  # fmt: skip
FIELDS = {
    "Model": "prompt:{}",
    "Make": "workflow:{}",
    "ImageDescription": "said",
    "Software": "Tool",
    "XPComment": "a 墨",
    "UserComment": "hello",
}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (jpeg((0xE1, b"Exif\0\0" + EXIF)), "jpeg"),
        (webp(EXIF), "webp"),
        (webp(b"Exif\0\0" + EXIF), "webp"),
        (avif(EXIF), "avif"),
        (avif(EXIF, 1), "avif"),
        (png(chunk(b"eXIf", EXIF)), "png"),
    ],
)
def test_exif_in_every_container(data: bytes, kind: str):
    found = read_texts(data)
    assert (found.kind, found.texts, found.notes) == (kind, FIELDS, [])


def test_jpeg_comments_and_xmp_and_nothing_after_the_scan():
    found = read_texts(
        jpeg((0xFE, b"a comment"), (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"), (0xC0, b"\x08\0\x30\0\x40\3"))
    )
    assert found.texts == {"Comment": "a comment", "XMP": "<x/>"}
    assert (found.width, found.height) == (64, 48)


def pillow(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, kind, **options)
    return out.getvalue()


def test_files_that_pillow_writes():
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a 墨", zip=False)
    info.add_itxt("prompt", "{}")
    info.add_text("workflow", "{ }", zip=True)
    assert read_texts(pillow("PNG", pnginfo=info)).texts == {"parameters": "a 墨", "prompt": "{}", "workflow": "{ }"}
    exif = Image.Exif()
    exif[0x0110] = "prompt:{}"
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "hé".encode("utf-16-be")
    for kind in ("JPEG", "WEBP"):
        found = read_texts(pillow(kind, exif=exif))
        assert found.texts == {"Model": "prompt:{}", "UserComment": "hé"}
        assert (found.width, found.height) == (64, 48)


# --- bad input ----------------------------------------------------------------------------------------------------


def test_a_zip_bomb_is_left_out_and_named():
    bomb = zlib.compress(b"a" * (LARGEST_TEXT + 1000), 9)
    assert len(bomb) < 20_000
    for piece in (chunk(b"zTXt", b"bomb\0\0" + bomb), chunk(b"iTXt", b"bomb\0\1\0\0\0" + bomb)):
        found = read_texts(png(piece, chunk(b"tEXt", b"a\0b")))
        assert found.texts == {"a": "b"}
        assert "'bomb' is larger" in found.notes[0]


def test_many_bombs_share_one_limit():
    bomb = zlib.compress(b"a" * (LARGEST_TEXT - 10), 9)
    found = read_texts(png(*(chunk(b"zTXt", b"x%d\0\0" % i + bomb) for i in range(6))))
    assert sum(map(len, found.texts.values())) <= LARGEST_TOTAL
    assert "more text than is read" in found.notes[0]


def pointing(tags: list[int], block: bytes) -> bytes:
    """An IFD whose entries all point at one block."""
    at = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(">HHII", tag, 7, len(block), at) for tag in tags)
    return b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + b"\0" * 4 + block


GREEDY = {
    "one comment again and again": webp(pointing([0x9286] * 65_535, b"UNICODE\0" + b"\0a" * 1_000_000)),
    "one block in every tag": webp(pointing([0x9C9C, 0x010E, 0x9286, 0x9C9B] * 10_000, b"a\0" * 1_000_000)),
    "tags without end": png(*[chunk(b"eXIf", pointing([0x0100] * 60_000, b"a" * 8))] * 3),
    "bombs": png(*[chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * (LARGEST_TEXT - 10), 9))] * 120),
    "bombs that are too large": png(*[chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * (LARGEST_TEXT + 10), 9))] * 120),
    "extents of no bytes": box(b"ftyp", b"avif\0\0\0\0avifmif1") + box(b"meta", b"\0\0\0\0" + box(
        b"iloc", b"\0\0\0\0\0\0" + struct.pack(">H", 65_535) + struct.pack(">HHH", 1, 0, 65_535) * 65_535)),
}  # fmt: skip


@pytest.mark.parametrize("name", GREEDY)
def test_what_a_file_makes_us_do_is_counted_over_the_whole_file(name: str):
    found = read_texts(GREEDY[name])
    assert any("more text than is read" in note or "lists more than is read" in note for note in found.notes)
    assert sum(map(len, found.texts.values())) <= LARGEST_TOTAL >= found.total
    assert found.entries <= 20_000


def test_texts_of_one_name_that_begin_alike_are_told_apart():
    texts = [b"a" * 20_000 + b"%d" % i for i in range(300)]
    found = read_texts(png(*(chunk(b"tEXt", b"x\0" + text) for text in (*texts, *texts)), chunk(b"tEXt", b"x (2)\0y")))
    assert list(found.texts.values()) == [text.decode() for text in texts] + ["y"]
    assert list(found.texts)[:2] == ["x", "x (2)"] and found.notes == []


def test_exif_of_20_mb_is_left_out_and_named():
    big = tiff(comment=(0x9286, 7, b"ASCII\0\0\0" + b"a" * 20_000_000))
    for data in (webp(big), png(chunk(b"eXIf", big), chunk(b"tEXt", b"a\0b")), avif(big), avif(big, 1)):
        found = read_texts(data)
        assert found.texts in ({}, {"a": "b"})
        assert "too large" in found.notes[0]


@pytest.mark.parametrize(
    "data",
    [
        PNG + chunk(b"tEXt", b"a\0b") + chunk(b"tEXt", b"c\0d", 0x7FFFFFFF),
        PNG + chunk(b"tEXt", b"a\0b") + chunk(b"tEXt", b"c\0d", 100),
        PNG + chunk(b"tEXt", b"a\0b") + b"\0\0",
    ],
)
def test_a_file_that_is_cut_off_keeps_what_came_before(data: bytes):
    found = read_texts(data)
    assert found.texts == {"a": "b"}
    assert found.notes


def test_damaged_packed_texts():
    packed = zlib.compress(b"hello world " * 50)
    found = read_texts(
        png(chunk(b"zTXt", b"a\0\0" + packed[:-8]), chunk(b"zTXt", b"b\0\0nonsense"), chunk(b"tEXt", b"c\0d"))
    )
    assert found.texts["c"] == "d" and found.texts["a"].startswith("hello")
    assert len(found.notes) == 2


def test_an_ifd_that_points_at_itself():
    data = bytearray(tiff(comment=(0x9286, 7, b"ASCII\0\0\0hello world")))
    data[data.index(struct.pack("<H", 0x8769)) + 8 :][:4] = b""
    at = data.index(struct.pack("<H", 0x8769)) + 8
    data[at : at + 4] = struct.pack("<I", 8)
    assert read_texts(webp(bytes(data))).texts == {}


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a" + b"\0" * 20, b"hello", b"\xff\xd8", PNG, b"RIFF\0\0\0\0WEBP", b"\0\0\0\x18ftypavif"]
)
def test_files_that_hold_nothing(data: bytes):
    assert read_texts(data).texts == {}


SAMPLES = [
    png(chunk(b"tEXt", b"a\0b"), chunk(b"eXIf", EXIF)),
    jpeg((0xE1, b"Exif\0\0" + EXIF)),
    webp(EXIF),
    avif(EXIF),
    avif(EXIF, 1),
]


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=4)), max_size=8),
    st.integers(0, 1500),
)
@settings(max_examples=400, deadline=None)
def test_any_damage_is_survived(data: bytes, edits: list[tuple[int, bytes]], length: int):
    broken = bytearray(data)
    for at, piece in edits:
        broken[at : at + len(piece)] = piece
    read_texts(bytes(broken[: len(broken) - length % 200]))


@given(st.sampled_from([PNG, b"\xff\xd8", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x10ftypavif\0\0\0\0"]), st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_survived(head: bytes, rest: bytes):
    read_texts(head + rest)


# --- further containers -------------------------------------------------------------------------------------------


def hexadecimal(name: str, data: bytes) -> bytes:
    """ImageMagick's way to keep a JPEG's EXIF in a PNG."""
    digits = "\n".join(data.hex()[i : i + 72] for i in range(0, 2 * len(data), 72))
    return f"Raw profile type {name}\0\n{name}\n{len(data):8}\n{digits}\n".encode()


@pytest.mark.parametrize(
    "piece",
    [
        chunk(b"tEXt", hexadecimal("exif", b"Exif\0\0" + EXIF)),
        chunk(b"tEXt", hexadecimal("APP1", b"Exif\0\0" + EXIF)),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexadecimal("exif", EXIF).partition(b"\0")[2])),
    ],
)
def test_exif_that_imagemagick_put_into_a_png(piece: bytes):
    assert read_texts(png(piece)).texts == FIELDS


XMP = b"<x:xmpmeta><rdf:Description><dc:description><rdf:Alt><rdf:li xml:lang='x-default'>a &lt;b&gt;</rdf:li></rdf:Alt></dc:description></rdf:Description></x:xmpmeta>"
XMP_TAIL = b"\x01" + bytes(range(255, -1, -1)) + b"\0"


def gif(*extensions: bytes) -> bytes:
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 64, 48, 0) + b"\x02" + (b"\xff" + b"\x21" * 255) * 20 + b"\0"
    return b"GIF89a" + struct.pack("<HHBBB", 64, 48, 0x80, 0, 0) + b"\0" * 6 + picture + b"".join(extensions) + b"\x3b"


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (gif(b"\x21\xfe\x05a cat\x04 sat\0"), {"Comment": "a cat sat"}),
        (gif(b"\x21\xff\x0bXMP DataXMP" + XMP + XMP_TAIL), {"XMP": XMP.decode(), "XMP dc:description": "a <b>"}),
        (
            gif(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", b"\x21\xf9\x04\0\0\0\0\0", b"\x21\xfe\x01x\0"),
            {"Comment": "x"},
        ),
        (EXIF, FIELDS),
        (tiff(">", what=(0x010E, 2, b"said for long\0")), {"ImageDescription": "said for long"}),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"jxlc", b"\0" * 99) + box(b"Exif", b"\0\0\0\0" + EXIF), FIELDS),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"xml ", XMP), {"XMP": XMP.decode(), "XMP dc:description": "a <b>"}),
        (b"\xff\x0a" + b"\0" * 50, {}),
    ],
)
def test_gif_tiff_and_jpeg_xl(data: bytes, texts: dict[str, str], tmp_path: Path):
    found = read_texts(data)
    assert (found.texts, found.notes) == (texts, [])
    path = tmp_path / "a picture"
    path.write_bytes(data)
    with open(path, "rb", buffering=0) as file:
        assert read_texts(file).texts == texts  # type: ignore[arg-type]


def test_a_packed_text_of_a_jpeg_xl_is_named():
    assert (
        "Brotli"
        in read_texts(
            b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"brob", b"Exif..."),
        ).notes[0]
    )


@given(st.sampled_from([gif(), EXIF, b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"Exif", b"\0\0\0\0" + EXIF)]), st.integers(0, 6000), st.binary(max_size=6))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_damage_to_the_further_containers_is_survived(data: bytes, at: int, piece: bytes):
    read_texts(data[: at % len(data)] + piece + data[at % len(data) + len(piece) :])


def test_a_damaged_gif_leaves_its_file_open(tmp_path: Path):
    path = tmp_path / "a.gif"
    path.write_bytes(gif()[:-9])
    with open(path, "rb", buffering=0) as file:
        assert read_texts(file).notes and not file.closed and file.seek(0) == 0  # type: ignore[arg-type]
