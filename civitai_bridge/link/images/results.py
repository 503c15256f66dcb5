"""Pictures that are made, as base64 in one message: PNG where that has room, else WebP, else smaller."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

# A relay takes messages of 1,000,000 bytes; a larger one ends the connection without a word.
LARGEST_MESSAGE = 900_000
_QUALITIES = (60, 70, 80, 85, 90, 95)
_SMALLER = 0.8
_LEAST_SIDE = 16  # pixels
_PER_PICTURE = 4  # bytes of JSON around each
_NO_PNG = 6  # pixels for a byte of room; no picture that is worth looking at packs so well


class Fitting:
    """Fits pictures one by one into what one message has room for, each into its share. `notes` says what that took,
    in sentences for the room."""

    def __init__(self, count: int, room: int) -> None:
        """`room` is in bytes of JSON, for all of the `count` pictures."""
        self.notes: list[str] = []
        self._most = max(0, room // max(1, count) - _PER_PICTURE) // 4 * 3  # bytes before base64
        self._done = 0

    def add(self, picture: Image) -> str:
        """A picture as base64, without `data:` before it, as A1111's extension sends it."""
        self._done += 1
        if picture.width * picture.height <= _NO_PNG * self._most:
            if len(content := _bytes(picture, "PNG", compress_level=6)) <= self._most:
                return base64.b64encode(content).decode()
        fitted = picture
        while (packed := self._as_webp(fitted)) is None and min(fitted.size) > _LEAST_SIDE:
            width, height = (max(_LEAST_SIDE, round(side * _SMALLER)) for side in fitted.size)
            fitted = picture.resize((width, height))
        content, quality = packed or (_bytes(fitted, "WEBP", quality=_QUALITIES[0]), _QUALITIES[0])
        scaled = "" if fitted is picture else f" and {fitted.width} x {fitted.height} pixels"
        self.notes.append(f"Picture {self._done} is a WebP of quality {quality}{scaled}, to fit into one message.")
        return base64.b64encode(content).decode()

    def _as_webp(self, picture: Image) -> tuple[bytes, int] | None:
        """The best quality that has room, and what it is; None where none has."""
        best, low, high = None, 0, len(_QUALITIES)
        while low < high:
            middle = (low + high) // 2
            content = _bytes(picture, "WEBP", quality=_QUALITIES[middle], method=4)
            if len(content) <= self._most:
                best, low = (content, _QUALITIES[middle]), middle + 1
            else:
                high = middle
        return best


def _bytes(picture: Image, kind: str, **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()
