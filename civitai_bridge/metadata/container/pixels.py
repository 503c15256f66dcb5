"""Texts that stand in the pixels of a PNG: the lowest bit of its alpha, column by column ("stealth").

NovelAI and SwarmUI write them. https://github.com/neggles/sd-webui-stealth-pnginfo"""

from __future__ import annotations

import zlib
from typing import BinaryIO

from .texts import LARGEST_TEXT, Texts, utf8_or_latin

_SIGNATURES = {b"stealth_pnginfo": False, b"stealth_pngcomp": True}  # whether the text is packed
_HEAD = 15 + 4  # bytes of signature and length
_MOST_PIXELS = 64_000_000
_GZIP = 31  # what zlib calls gzip's frame


def read_hidden(file: BinaryIO, texts: Texts) -> None:
    """Collect, as `stealth`, the text that a PNG with alpha hides. Decodes the picture, so it is for those that say
    nothing else."""
    if not texts.has_alpha or (texts.width or 0) * (texts.height or 0) > _MOST_PIXELS:
        return
    import numpy as np
    from PIL import Image

    file.seek(0)
    try:
        with Image.open(file, formats=("PNG",)) as image:
            alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    except Exception:  # Pillow raises many kinds for broken files; the picture then hides nothing that can be read
        return
    bits = (alpha & 1).T.ravel()
    head = np.packbits(bits[: _HEAD * 8]).tobytes()
    packed = _SIGNATURES.get(head[:15])
    if packed is None or len(head) < _HEAD:
        return
    length = int.from_bytes(head[15:], "big") // 8
    if not texts.may_hold(length, "The text in the pixels"):
        return
    data = np.packbits(bits[_HEAD * 8 : (_HEAD + length) * 8]).tobytes()
    text = _unpacked(data, texts) if packed else data
    if text is not None:
        texts.add("stealth", utf8_or_latin(text))


def _unpacked(data: bytes, texts: Texts) -> bytes | None:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        text = unpacker.decompress(data, LARGEST_TEXT + 1)
    except zlib.error:
        texts.note("The text in the pixels is damaged.")
        return None
    return text if texts.may_hold(len(text), "The text in the pixels") else None
