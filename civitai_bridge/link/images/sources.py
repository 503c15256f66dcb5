"""The picture and the mask that an `image:img2img` begins from, and what is put together at its end.

Without `maskedOnly` the picture is scaled to cover the size that is asked and cut at the middle, and all of it is
sampled. With `maskedOnly` only the masked part and a margin around it are sampled, with as many pixels as are asked for
the whole, and put back into the picture at its own size. Either way a pixel where the mask is black stays as it was,
to the last bit; where it is grey, old and new are mixed."""

from __future__ import annotations

import base64
import binascii
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import BadInput, CivitaiError, NotAPicture
from ...model_files.sidecars import is_media_address
from ...network.fetch import Fetch
from ...pictures import kind_of
from ...settings import Settings
from .graph import SourcePictures
from .request import ImageRequest

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 16 * 1024 * 1024  # of one picture; the relay carries far less, an address may lead to more
MOST_PIXELS = 32_000_000
_SECONDS = 60.0
_GRID, _LEAST_SIDE = 8, 64  # pixels, as for the sizes that are asked
_MARGIN = 32  # pixels around the mask, as A1111's "only masked padding"
_DATA = re.compile(r"data:image/[a-z+.-]{1,20};base64,", re.IGNORECASE)
_MODES_WITH_ALPHA = ("RGBA", "LA", "PA")

Box = tuple[int, int, int, int]  # left, top, right, bottom


async def load_picture(text: str, name: str, settings: Settings, fetch: Fetch) -> bytes:
    """The bytes of an address at CivitAI's media hosts, or of a base64 text with or without `data:` before it. Raises
    BadInput, in whose sentence no address stands."""
    check_source(text, name, settings)
    if not _is_address(text):
        return _decoded(text, name)
    try:
        fetched = await fetch(
            text, cap=MOST_BYTES, timeout=_SECONDS, is_allowed=lambda address: is_media_address(address, settings)
        )
    except CivitaiError as error:
        raise BadInput(f"{name} could not be loaded from its address. {error}") from error
    return fetched.content


def check_source(text: str, name: str, settings: Settings) -> None:
    """What is wrong with an address or a base64 text at first sight, before anything is asked or decoded. Raises
    BadInput."""
    if _is_address(text) and not is_media_address(text, settings):
        raise BadInput(f"{name} is an address that is not at CivitAI's media hosts; it is not asked.")
    if len(text) > MOST_BYTES * 4 // 3 + 100:
        raise BadInput(f"{name} has {len(text)} characters of base64; a picture of {MOST_BYTES >> 20} MB is the most.")


def _is_address(text: str) -> bool:
    return bool(re.match(r"https?:", text[:6], re.IGNORECASE))


def _decoded(text: str, name: str) -> bytes:
    head = _DATA.match(text[:40])
    try:
        return base64.b64decode("".join(text[head.end() if head else 0 :].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"{name} is neither an https address nor base64.") from error


@dataclass(frozen=True)
class Canvas:
    """`base` is the picture as it will be given back, RGB; `mask` has its size, white where it is to be repainted, or
    is None. `box` is the part that is sampled, and `size` how many pixels it is sampled with."""

    base: Image = field(repr=False)
    mask: Image | None = field(repr=False)
    box: Box
    size: tuple[int, int]

    def sources(self) -> SourcePictures:
        """The part that is sampled, at the size of the sampling."""
        return SourcePictures(_png(self._part(self.base)), _png(self._part(self.mask)) if self.mask else None)

    def finished(self, picture: Image) -> Image:
        """A sampled picture put back where it belongs."""
        if self.mask is None:
            return picture
        left, top, right, bottom = self.box
        whole = self.base.copy()
        whole.paste(_scaled(picture, (right - left, bottom - top)), self.box, self.mask.crop(self.box))
        return whole

    def _part(self, picture: Image) -> Image:
        return _scaled(picture.crop(self.box), self.size)


def prepare(request: ImageRequest, init: bytes, mask: bytes | None, side: int, most_side: int) -> Canvas:
    """Decode both and see which part is sampled; slow, for a thread of its own. `side` stands in for a width or height
    that was not asked. Raises BadInput, NotAPicture."""
    base = _decode(init, "initImage")
    layer = None if mask is None else _as_mask(_open(mask, "maskImage"), base.size)
    if request.masked_only and layer is not None:
        asked = request.width or side, request.height or side
        box = _region(layer, asked)
        return Canvas(base, layer, box, _size_for(box, asked, most_side))
    size = _whole_size(request, base.size, most_side)
    layer = None if layer is None else _covering(layer, size)
    if layer is not None and layer.getbbox() is None:
        raise BadInput("What the maskImage marks lies outside of the part of the picture that fits the size asked.")
    return Canvas(_covering(base, size), layer, (0, 0, *size), size)


def _open(content: bytes, name: str) -> Image:
    """A picture that somebody else chose, upright, its pixels read. Raises NotAPicture."""
    from PIL import Image, ImageOps

    if kind_of(content) is None:
        raise NotAPicture(f"{name} is not a PNG, JPEG or WebP picture.")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise NotAPicture(
                    f"{name} has {image.width} x {image.height} pixels; {MOST_PIXELS // 10**6} million are the most."
                )
            image.load()
            return ImageOps.exif_transpose(_in_eight_bits(image))
    except NotAPicture:
        raise
    except Image.DecompressionBombError as error:
        raise NotAPicture(f"{name} has more pixels than the {MOST_PIXELS // 10**6} million that are read.") from error
    except Exception as error:  # Pillow raises many kinds for broken files; all mean the same here
        raise NotAPicture(f"{name} is damaged; it cannot be read as a picture.") from error


def _in_eight_bits(picture: Image) -> Image:
    """A grey picture of 16 bits in 8: Pillow itself would make white of nearly all of it."""
    if not picture.mode.startswith("I"):
        return picture
    import numpy as np
    from PIL import Image

    return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))


def _decode(content: bytes, name: str) -> Image:
    """As RGB; what is transparent becomes white, as A1111 does it."""
    from PIL import Image

    picture = _open(content, name)
    if picture.mode not in _MODES_WITH_ALPHA and "transparency" not in picture.info:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _as_mask(picture: Image, size: tuple[int, int]) -> Image:
    """The mask in grey at the picture's size; of one with transparent parts the opaque ones count, as A1111 has it."""
    width, height = size
    if abs(picture.width * height - picture.height * width) > max(picture.width, picture.height, width, height):
        raise BadInput(
            f"maskImage has {picture.width} x {picture.height} pixels, which is another shape than initImage's "
            f"{width} x {height}."
        )
    alpha = picture.getchannel("A") if picture.mode in _MODES_WITH_ALPHA else None
    layer = alpha if alpha is not None and alpha.getextrema() != (255, 255) else picture.convert("L")
    layer = _scaled(layer, size)
    if layer.getbbox() is None:
        raise BadInput("maskImage is black all over: it marks nothing that is to be repainted.")
    return layer


def _region(mask: Image, asked: tuple[int, int]) -> Box:
    """What the mask marks and a margin, grown towards the proportions that are asked as far as the picture goes."""
    marked = mask.getbbox()
    assert marked is not None
    left, top, right, bottom = marked
    left, right = max(0, left - _MARGIN), min(mask.width, right + _MARGIN)
    top, bottom = max(0, top - _MARGIN), min(mask.height, bottom + _MARGIN)
    ratio = asked[0] / asked[1]
    left, right = _grown(left, right, round((bottom - top) * ratio), mask.width)
    top, bottom = _grown(top, bottom, round((right - left) / ratio), mask.height)
    return left, top, right, bottom


def _grown(start: int, end: int, length: int, limit: int) -> tuple[int, int]:
    """A span made as long as `length`, if it is shorter, around its middle and inside of 0 … `limit`."""
    length = min(max(length, end - start), limit)
    start = min(max(0, start - (length - (end - start)) // 2), limit - length)
    return start, start + length


def _size_for(box: Box, asked: tuple[int, int], most_side: int) -> tuple[int, int]:
    """As many pixels as were asked for, in the proportions of the box."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = (asked[0] * asked[1] / (width * height)) ** 0.5
    return _on_grid(width * scale, most_side), _on_grid(height * scale, most_side)


def _whole_size(request: ImageRequest, size: tuple[int, int], most_side: int) -> tuple[int, int]:
    """The size that is asked; where a side is not, the picture's own proportions, and its own size without both."""
    width, height = request.width, request.height
    scale = width / size[0] if width else height / size[1] if height else min(1.0, most_side / max(size))
    return width or _on_grid(size[0] * scale, most_side), height or _on_grid(size[1] * scale, most_side)


def _on_grid(length: float, most: int) -> int:
    return max(_LEAST_SIDE, min(int(length) // _GRID * _GRID, most // _GRID * _GRID))


def _covering(picture: Image, size: tuple[int, int]) -> Image:
    """Scaled so that it covers the size, and cut at the middle."""
    from PIL import ImageOps

    return picture if picture.size == size else ImageOps.fit(picture, size, _filter(picture))


def _scaled(picture: Image, size: tuple[int, int]) -> Image:
    return picture if picture.size == size else picture.resize(size, _filter(picture))


def _filter(picture: Image) -> Any:
    """Sharp for pictures; for masks one that marks nothing beyond their edges."""
    from PIL import Image

    return Image.Resampling.BILINEAR if picture.mode == "L" else Image.Resampling.LANCZOS


def _png(picture: Image) -> bytes:
    out = io.BytesIO()
    picture.convert("RGB").save(out, "PNG", compress_level=1)
    return out.getvalue()
