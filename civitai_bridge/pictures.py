"""Image bytes <-> arrays: float32 in 0..1, batches of unequal pictures, alpha kept as a mask.

Shapes follow ComfyUI: images [B, H, W, 3], masks [B, H, W]. A mask value is 1 -
alpha, as core's LoadImage gives it: 0 where the picture is opaque.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BlobDamaged, NotAPicture

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

MOST_PIXELS = 16384 * 16384 // 4  # 67 megapixels; the largest variant makes 4096 x 4096


_MAGIC = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"))


@dataclass(frozen=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int


def kind_of(content: bytes) -> str | None:
    """`png`, `jpeg` or `webp` by the first bytes, else None."""
    for magic, kind in _MAGIC:
        if content.startswith(magic):
            return kind
    return "webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


def measure(content: bytes, *, blob_id: str = "") -> Size:
    """Check that the bytes are a whole picture and return its size. Raises BlobDamaged with the reason.

    PNG and JPEG ends are looked for and the header is read; the pixels are decoded later, when they are wanted."""
    kind = kind_of(content)
    if kind is None:
        raise BlobDamaged("What arrived is not a PNG, JPEG or WebP picture.", blob_id=blob_id)
    whole = {
        "png": content[-12:-4].endswith(b"IEND"),
        "jpeg": content.rstrip(b"\0").endswith(b"\xff\xd9"),
        "webp": len(content) >= 8 + int.from_bytes(content[4:8], "little"),
    }[kind]
    if not whole:
        raise BlobDamaged(f"The picture arrived cut off after {len(content)} bytes.", blob_id=blob_id)
    try:
        with _open(content) as image:
            return Size(image.width, image.height)
    except Exception as error:  # Pillow raises many kinds for broken files; all mean the same here
        raise BlobDamaged("The picture's header cannot be read.", blob_id=blob_id) from error


def check(content: bytes, *, blob_id: str = "") -> Size:
    """The same with all of its data read: what is kept can be shown. A PNG by its checksums, the others by decoding
    them. Slow, for a thread of its own."""
    size = measure(content, blob_id=blob_id)
    try:
        with _open(content) as image:
            image.verify() if image.format == "PNG" else image.load()
    except Exception as error:  # Pillow raises many kinds for broken files; all mean the same here
        raise BlobDamaged("The picture's data is damaged.", blob_id=blob_id) from error
    return size


def batch(
    sources: Sequence[bytes | Path],
    *,
    workers: int | None = None,
    allocate: Callable[[tuple[int, ...]], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Decode pictures into one batch: images float32 [B, H, W, 3], mask float32 [B, H, W], and notes for the report.

    Decoding runs in `workers` threads straight into the batch, so that beside it only one picture a thread is in
    memory. Pictures of other sizes than the first are scaled to cover it and cut at the middle; a note says so.
    Raises BlobDamaged."""
    import numpy as np

    if not sources:
        raise NotAPicture("There is no picture to put into a batch.")
    with _open(sources[0]) as first:
        width, height = first.size
    shape = (len(sources), height, width, 3)
    images = allocate(shape) if allocate else np.empty(shape, dtype=np.float32)
    mask = np.zeros(shape[:3], dtype=np.float32)
    notes: list[str | None] = [None] * len(sources)

    def decode(place: int) -> None:
        notes[place] = _decode_into(sources[place], images[place], mask[place], place)

    # One more than there are cores: a thread that waits for Python's lock leaves no core idle (measured 4 % faster).
    count = min(len(sources), workers or (os.cpu_count() or 1) + 1)
    if count == 1:
        for place in range(len(sources)):
            decode(place)
    else:
        with ThreadPoolExecutor(count, thread_name_prefix="civitai-bridge-decode") as pool:
            list(pool.map(decode, range(len(sources))))
    return images, mask, [note for note in notes if note]


def write_png(image: np.ndarray) -> bytes:
    """A float32 picture [H, W, 3 or 4] in 0..1 as PNG bytes; values outside are cut, NaN becomes black."""
    return encode(image, "png")


def encode(
    image: np.ndarray, kind: str, *, texts: Mapping[str, str] | None = None, exif: bytes = b"", level: int = 4
) -> bytes:
    """A float32 picture [H, W, 1, 3 or 4] in 0..1 as `png`, `webp` or `jpeg`; values outside are cut, NaN is black.

    PNG takes `texts` (Latin-1 as tEXt, everything else as iTXt), the others an EXIF block. JPEG has no alpha."""
    import numpy as np
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise NotAPicture(f"The image has the shape {tuple(image.shape)}; height x width x 3 or 4 channels is needed.")
    pixels = np.rint(np.clip(np.nan_to_num(image), 0.0, 1.0) * 255.0).astype(np.uint8)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    out, made = io.BytesIO(), Image.fromarray(pixels)
    block = b"Exif\0\0" + exif if exif else b""  # as a JPEG's segment begins; Pillow takes it off for WebP
    if kind == "png":
        info = PngInfo()
        for name, text in (texts or {}).items():
            info.add_text(name, text)
        made.save(out, "PNG", compress_level=level, pnginfo=info)
    elif kind == "webp":
        made.save(out, "WEBP", quality=95, method=4, exif=block)
    else:
        made.convert("RGB").save(out, "JPEG", quality=95, subsampling=0, exif=block)
    return out.getvalue()


def png_from_file(content: bytes) -> bytes:
    """Any picture a person hands over, as PNG. Raises NotAPicture with a sentence."""
    from PIL import Image, ImageOps

    if kind_of(content) == "png":
        try:
            measure(content)
        except BlobDamaged as error:
            raise NotAPicture(f"The source picture cannot be used. {error}") from error
        return content
    try:
        with Image.open(io.BytesIO(content), formats=_raster_formats()) as image:
            if image.width * image.height > MOST_PIXELS:
                raise NotAPicture(
                    f"The source picture has {image.width} x {image.height} pixels, more than can be sent."
                )
            upright = ImageOps.exif_transpose(image)
            has_alpha = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
            out = io.BytesIO()
            upright.convert("RGBA" if has_alpha else "RGB").save(out, "PNG", compress_level=4)
            return out.getvalue()
    except NotAPicture:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files; all mean the same here
        raise NotAPicture("The source file is not a picture that can be read.") from error


def small_png(content: bytes, longest: int = 768) -> bytes:
    """A picture that somebody else chose, drawn again as PNG with no side over `longest` pixels, without whatever else
    its file held. Raises NotAPicture."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content), formats=_raster_formats()) as image:
            if image.width * image.height > MOST_PIXELS:
                raise NotAPicture(f"The picture has {image.width} x {image.height} pixels, more than are read.")
            # Made small before it is turned: a large JPEG is then decoded small, and nothing large is copied.
            small: Image.Image = image if image.mode in ("RGB", "L") else image.convert("RGB")
            small.thumbnail((longest, longest))
            upright = ImageOps.exif_transpose(small).convert("RGB")
            out = io.BytesIO()
            Image.frombytes("RGB", upright.size, upright.tobytes()).save(out, "PNG")
            return out.getvalue()
    except NotAPicture:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files; all mean the same here
        raise NotAPicture("What arrived is not a picture that can be read.") from error


def _raster_formats() -> list[str]:
    """What is decoded of pictures that others chose, as far as this Pillow knows it: left to itself it would also hand
    PostScript to Ghostscript, which runs it."""
    from PIL import Image

    Image.init()
    return [kind for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF") if kind in Image.OPEN]


def _open(source: bytes | Path) -> Image.Image:
    from PIL import Image

    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=("PNG", "JPEG", "WEBP"))
    if image.width * image.height > MOST_PIXELS:
        raise BlobDamaged(f"The picture claims {image.width} x {image.height} pixels, more than any engine makes.")
    return image


def _decode_into(source: bytes | Path, target: np.ndarray, mask: np.ndarray, place: int) -> str | None:
    import numpy as np
    from PIL import Image

    note = None
    height, width = target.shape[:2]
    try:
        with _open(source) as image:
            has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            mode = "RGBA" if has_alpha else "RGB"
            image.load()
            decoded = (
                image.convert(mode) if image.mode != mode else image.copy() if image.size != (width, height) else image
            )
            pixels = np.asarray(decoded) if decoded.size == (width, height) else None
    except BlobDamaged:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files; all mean the same here
        raise BlobDamaged(f"Picture {place} cannot be decoded: its data is damaged.") from error
    if pixels is None:
        note = (
            f"Picture {place} has {decoded.width} x {decoded.height} pixels; it was scaled and cut at the middle to "
            f"{width} x {height}, the size of the first, because a batch has one size."
        )
        scale = max(width / decoded.width, height / decoded.height)
        scaled = decoded.resize(
            (max(width, round(decoded.width * scale)), max(height, round(decoded.height * scale))),
            Image.Resampling.LANCZOS,
        )
        left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
        pixels = np.asarray(scaled.crop((left, top, left + width, top + height)))
    np.multiply(pixels[..., :3], np.float32(1 / 255), out=target, casting="unsafe")
    if has_alpha:
        np.multiply(pixels[..., 3], np.float32(-1 / 255), out=mask, casting="unsafe")
        mask += 1.0
    return note
