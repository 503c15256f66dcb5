"""Source picture and mask of an order: which field takes them, and the bytes as they go along inside the body."""

from __future__ import annotations

import base64
import struct
from typing import Any

from ..errors import BadInput, NotAPicture
from .fields import Part, check_range, field_of
from .request import DEFAULT_DENOISE, GenerationRequest
from .variants import EDIT, VARIANT, Variant

LARGEST_INLINE = 8 * 1024 * 1024  # bytes of PNG that go along inside the body; there is no other road for larger ones


def pictures(request: GenerationRequest, variant: Variant) -> Part:
    """Image, strength and mask. Raises BadInput where the variant needs an image and none is there, or the reverse."""
    fields: dict[str, Any] = {}
    unused: tuple[str, ...] = ()
    own = field_of(variant, ("image", "images"))
    if request.image is not None:
        if own is None:
            raise BadInput(f"{variant.path} takes no image, but one is connected.")
        fields[own] = inline(request.image) if own == "image" else [inline(request.image)]
    elif own and (variant.fields[own].required or variant.kind in (EDIT, VARIANT)):
        raise BadInput(f"{variant.path} needs an image to {variant.kind or 'work from'}; connect one to `image`.")
    strength = field_of(variant, ("strength", "denoiseStrength"))
    if strength and variant.kind == VARIANT:
        check_range(variant, strength, request.denoise, "denoise")
        fields[strength] = request.denoise
    elif request.image is not None and request.denoise not in (DEFAULT_DENOISE, 1):
        unused = ("denoise",)
    if request.mask is not None:
        name = field_of(variant, ("mask", "maskImage"))
        if name is None:
            raise BadInput(f"{variant.path} takes no mask, but one is connected.")
        fields[name] = inline(request.mask)
    return Part(fields, unused=unused)


def inline(png: bytes) -> str:
    """PNG bytes as a `data:` address. Raises NotAPicture for other bytes and above LARGEST_INLINE."""
    if len(png) > LARGEST_INLINE:
        raise NotAPicture(
            f"The picture is {len(png) / 1e6:.1f} MB as PNG; up to {LARGEST_INLINE / 1e6:.1f} MB can be sent "
            "along. Make it smaller."
        )
    png_size(png)
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header chunk. Raises NotAPicture for other bytes."""
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 33:
        raise NotAPicture("The source picture is not a PNG.")
    width, height = struct.unpack(">II", png[16:24])
    return width, height
