"""The pictures that an edit begins from: where they may come from, what is sampled of them, and what stays."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_room import base64_of, png
from PIL import Image

from pack.civitai_bridge.errors import BadInput, BlobUnavailable, NotAPicture
from pack.civitai_bridge.link.images.request import ImageRequest
from pack.civitai_bridge.link.images.sources import MOST_BYTES, Canvas, load_picture, prepare
from pack.civitai_bridge.network.fetch import Fetched
from pack.civitai_bridge.settings import Settings

PLAIN = Settings()


def request(width: int = 0, height: int = 0, masked_only: bool = False) -> ImageRequest:
    return ImageRequest("ab", "", "", 1, 1, 1, width=width, height=height, masked_only=masked_only)


def canvas(init: bytes, mask: bytes | None = None, *, side: int = 512, most: int = 2048, **asked: Any) -> Canvas:
    return prepare(request(**asked), init, mask, side, most)


def colours(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)


async def nobody(*_: Any, **__: Any) -> Fetched:
    raise AssertionError("asked an address that it must not ask")


@pytest.mark.parametrize("head", ["", "data:image/png;base64,", "DATA:image/jpeg;base64,\n "])
async def test_base64_is_read_with_or_without_what_a_page_writes_before_it(head: str):
    assert await load_picture(head + base64_of(b"hello"), "initImage", PLAIN, nobody) == b"hello"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("!!!", "neither an https address nor base64"),
        ("aGk", "neither an https address nor base64"),
        ("file:///etc/passwd", "neither an https address nor base64"),
        ("é", "neither an https address nor base64"),
        ("A" * 50_000_000, "50000000 characters of base64; a picture of 16 MB is the most"),
        ("https://evil.example/x.png", "not at CivitAI's media hosts; it is not asked"),
        ("http://image.civitai.com/x.png", "not at CivitAI's media hosts"),
        ("https://image.civitai.com:8080/x.png", "not at CivitAI's media hosts"),
        ("https://image.civitai.com@evil.example/x", "not at CivitAI's media hosts"),
        ("https://127.0.0.1/x.png", "not at CivitAI's media hosts"),
        ("http://127.0.0.1:8188/view", "not at CivitAI's media hosts"),
        ("https://[::1", "not at CivitAI's media hosts"),
    ],
)
async def test_what_is_no_picture_of_civitai_is_not_asked_for(text: str, sentence: str):
    with pytest.raises(BadInput, match=sentence):
        await load_picture(text, "initImage", PLAIN, nobody)


async def test_an_address_of_civitai_is_asked_and_so_is_nothing_that_it_leads_to():
    asked: dict[str, Any] = {}

    async def fetch(url: str, **limits: Any) -> Fetched:
        asked.update(limits, url=url)
        return Fetched(b"bytes", "", "image/png", "image.civitai.com")

    url = "https://image.civitai.com/x/y.png"
    assert await load_picture(url, "initImage", PLAIN, fetch) == b"bytes"
    assert asked["url"] == url and asked["cap"] == MOST_BYTES
    assert asked["is_allowed"](url) and not asked["is_allowed"]("https://evil.example/y.png")


async def test_an_address_that_gives_nothing_is_said_without_the_address():
    async def fetch(url: str, **_: Any) -> Fetched:
        raise BlobUnavailable("image.civitai.com does not give the picture (HTTP 404).")

    with pytest.raises(BadInput, match="could not be loaded") as refused:
        await load_picture("https://image.civitai.com/secret?sig=1", "maskImage", PLAIN, fetch)
    assert "secret" not in str(refused.value)


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims many pixels and has none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 10_000), (30_000, 30_000), (8000, 5000)])
def test_a_picture_of_too_many_pixels_is_not_decoded(size: tuple[int, int]):
    with pytest.raises(NotAPicture, match="million"):
        canvas(bomb(*size))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg/>", b"\x89PNG\r\n\x1a\n", bomb(64, 64), png((64, 64))[:60]])
def test_what_is_no_whole_picture_is_refused(content: bytes):
    with pytest.raises(NotAPicture, match="initImage"):
        canvas(content)


def test_without_a_size_the_picture_keeps_its_own_on_the_grid():
    assert canvas(png((101, 84))).size == (96, 80)
    assert canvas(png((4000, 1000)), most=2000).size == (2000, 496)
    assert canvas(png((10, 10))).size == (64, 64)


def test_where_one_side_is_asked_the_other_follows_the_picture():
    assert canvas(png((400, 200)), width=128).size == (128, 64)
    assert canvas(png((400, 200)), height=128).size == (256, 128)


def test_a_size_that_is_asked_is_covered_and_cut_at_the_middle():
    picture = Image.new("RGB", (300, 100), "red")
    picture.paste("blue", (100, 0, 200, 100))
    out = io.BytesIO()
    picture.save(out, "PNG")
    made = canvas(out.getvalue(), width=128, height=128)
    assert made.size == (128, 128) and made.base.getpixel((64, 64)) == (0, 0, 255)
    assert made.finished(Image.new("RGB", (128, 128))).size == (128, 128)


def test_transparency_becomes_white_and_a_masks_own_becomes_the_mask():
    made = canvas(png((64, 64), (9, 9, 9, 0), "RGBA"))
    assert made.base.getpixel((3, 3)) == (255, 255, 255)
    cut = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    cut.paste((0, 0, 0, 255), (0, 0, 32, 64))
    out = io.BytesIO()
    cut.save(out, "PNG")
    made = canvas(png((64, 64)), out.getvalue())
    assert made.mask is not None and made.mask.getbbox() == (0, 0, 32, 64)


def test_a_mask_of_16_bits_keeps_its_greys():
    out = io.BytesIO()
    Image.fromarray(np.full((64, 64), 0x8000, np.uint16)).save(out, "PNG")
    made = canvas(png((64, 64)), out.getvalue())
    assert made.mask is not None and made.mask.getextrema() == (0x80, 0x80)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (png((64, 64), "black"), "black all over"),
        (png((64, 32), "white"), "another shape than initImage's 64 x 64"),
        (b"nothing", "maskImage is not a PNG"),
    ],
)
def test_a_mask_that_cannot_be_one_is_refused(mask: bytes, sentence: str):
    with pytest.raises(BadInput, match=sentence):
        canvas(png((64, 64)), mask)


def test_a_mask_outside_of_what_is_kept_of_the_picture_is_refused():
    with pytest.raises(BadInput, match="outside of the part"):
        canvas(png((300, 100)), png((300, 100), "black", box=(0, 0, 20, 100)), width=64, height=64)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_pixel_outside_of_the_mask_changes(data: st.DataObject):
    masked_only = data.draw(st.booleans())
    grid = 1 if masked_only else 8  # a whole picture is cut to the grid, and so might its mask be
    width, height = (data.draw(st.integers(64 // grid, 200 // grid)) * grid for _ in range(2))
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = (left, top, data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height)))
    noise = np.random.default_rng(7).integers(0, 255, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    asked = {"width": 64, "height": 96} if masked_only else {}
    made = canvas(out.getvalue(), png((width, height), "black", box=box), masked_only=masked_only, **asked)
    assert made.size[0] % 8 == made.size[1] % 8 == 0 and min(made.size) >= 64
    sources = made.sources()
    for source in (sources.init, sources.mask):
        assert source is not None and Image.open(io.BytesIO(source)).size == made.size
    whole = made.finished(Image.new("RGB", made.size, (255, 0, 255)))
    kept = colours(made.mask) == 0 if made.mask else None
    assert kept is not None and (colours(whole)[kept] == colours(made.base)[kept]).all()
    if masked_only:
        assert whole.size == (width, height) and (colours(made.base) == noise).all()
        assert (colours(whole)[box[1] : box[3], box[0] : box[2]] == (255, 0, 255)).all()


def test_only_the_masked_part_gets_all_the_pixels_that_are_asked():
    made = canvas(
        png((1000, 800)), png((1000, 800), "black", box=(400, 300, 464, 364)), masked_only=True, width=512, height=512
    )
    left, top, right, bottom = made.box
    assert (right - left, bottom - top) == (128, 128) and made.size == (512, 512)
    assert left <= 400 and right >= 464


async def test_decoding_is_left_to_a_thread_and_ends_in_time():
    noisy = png((2000, 2000))
    made = await asyncio.to_thread(canvas, noisy, most=1024)
    assert made.size == (1024, 1024)


def test_a_picture_of_a_camera_is_turned_upright(tmp_path: Path):
    picture = Image.new("RGB", (100, 64), "red")
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "x.jpg", exif=exif)
    assert canvas((tmp_path / "x.jpg").read_bytes()).base.size == (64, 96)
