"""Bytes to arrays and back: whole pictures only, one size a batch, alpha kept."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from pack.civitai_bridge.errors import BlobDamaged, NotAPicture
from pack.civitai_bridge.pictures import batch, kind_of, measure, png_from_file, small_png, write_png


def picture(kind: str = "PNG", size: tuple[int, int] = (16, 8), mode: str = "RGB", color: object = None) -> bytes:
    out = io.BytesIO()
    if color is None:
        color = {"RGB": (10, 20, 30), "RGBA": (10, 20, 30, 51), "L": 99, "P": 3}[mode]
    Image.new(mode, size, color).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "name"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp"), ("GIF", None)])
def test_kinds_by_their_first_bytes(kind: str, name: str | None):
    assert kind_of(picture(kind)) == name


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_whole_picture_is_measured_and_a_cut_one_refused(kind: str):
    content = picture(kind, (640, 400))
    assert (measure(content).width, measure(content).height) == (640, 400)
    with pytest.raises(BlobDamaged, match="cut off"):
        measure(content[: len(content) // 2])


@pytest.mark.parametrize("content", [b"", b"<html>", picture("GIF"), b"\x89PNG\r\n\x1a\n" + b"\0" * 20])
def test_other_bytes_are_refused(content: bytes):
    with pytest.raises(BlobDamaged):
        measure(content)


def test_a_batch_is_float_and_in_order():
    images, mask, notes = batch([picture(color=(255, 0, 0)), picture(color=(0, 51, 0))])
    assert images.shape == (2, 8, 16, 3) and images.dtype == np.float32
    assert np.allclose(images[0, 0, 0], (1, 0, 0)) and np.allclose(images[1, 0, 0], (0, 0.2, 0))
    assert mask.shape == (2, 8, 16) and not mask.any() and notes == []


def test_alpha_becomes_a_mask():
    images, mask, _ = batch([picture(mode="RGBA"), picture()])
    assert np.allclose(mask[0], 0.8) and not mask[1].any()
    assert np.allclose(images[0, 0, 0] * 255, (10, 20, 30))


def test_unequal_sizes_are_fitted_and_named():
    images, _, notes = batch([picture(), picture(size=(100, 100)), picture(size=(3, 9))])
    assert images.shape == (3, 8, 16, 3) and np.allclose(images * 255, (10, 20, 30), atol=1)
    assert len(notes) == 2 and "100 x 100" in notes[0] and "16 x 8" in notes[0]


@pytest.mark.parametrize("mode", ["L", "P"])
def test_grey_and_palette_pictures_become_rgb(mode: str):
    assert batch([picture(mode=mode)])[0].shape == (1, 8, 16, 3)


def test_damaged_pixels_are_an_error_and_not_a_grey_picture():
    noise = np.random.default_rng(1).random((64, 64, 3), dtype=np.float32)
    content = bytearray(write_png(noise))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(BlobDamaged, match="Picture 0"):
        batch([bytes(content)])


def test_a_picture_survives_the_round_trip():
    pixels = np.random.default_rng(2).integers(0, 256, (9, 7, 4), dtype=np.uint8).astype(np.float32) / 255
    images, mask, _ = batch([write_png(pixels)])
    assert np.allclose(images[0], pixels[..., :3], atol=1e-6) and np.allclose(1 - mask[0], pixels[..., 3], atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (0, 4, 3), (1, 4, 4, 3)])
def test_odd_shapes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(NotAPicture):
        write_png(np.zeros(shape, dtype=np.float32))


def test_values_outside_are_cut():
    image = np.array([[[np.nan, 2.0, -1.0]]], dtype=np.float32)
    assert np.allclose(batch([write_png(image)])[0], [0, 1, 0])


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP"])
def test_any_file_of_a_person_becomes_png(kind: str):
    assert kind_of(png_from_file(picture(kind))) == "png"


@pytest.mark.parametrize("content", [b"", b"hello", picture()[:40], picture("JPEG")[:60]])
def test_a_file_that_is_no_picture_is_a_sentence(content: bytes):
    with pytest.raises(NotAPicture, match="source"):
        png_from_file(content)


@pytest.mark.parametrize("read", [small_png, png_from_file])
def test_postscript_is_never_run(read: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **options: asked.append(arguments))
    with pytest.raises(NotAPicture):
        read(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert not asked


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_small_picture_is_drawn_of_every_usual_kind(kind: str):
    with Image.open(io.BytesIO(small_png(picture(kind, (900, 450)), 90))) as small:
        assert (small.format, small.size) == ("PNG", (90, 45))


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("WEBP", "RGB")]
)
def test_a_small_picture_stands_upright(kind: str, mode: str):
    lying, exif, out = Image.new("RGB", (400, 200), "white"), Image.Exif(), io.BytesIO()
    lying.paste("black", (0, 0, 200, 200))
    exif[0x0112] = 6  # to be turned clockwise
    lying.convert(mode).save(out, kind, exif=exif)
    with Image.open(io.BytesIO(small_png(out.getvalue(), 40))) as small:
        assert (small.size, small.mode) == ((20, 40), "RGB")
        top, bottom = (small.getpixel((10, y)) for y in (8, 32))
    assert isinstance(top, tuple) and isinstance(bottom, tuple) and top[0] < 20 and bottom[0] > 235
