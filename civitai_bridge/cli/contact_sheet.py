"""Pictures side by side in one."""

from __future__ import annotations

import io
from pathlib import Path


def contact_sheet(files: list[Path], *, height: int = 420, gap: int = 12) -> bytes:
    """The pictures side by side, `height` pixels high and `gap` pixels apart, as JPEG."""
    from PIL import Image

    pictures = []
    for file in files:
        with Image.open(file) as image:
            pictures.append(image.convert("RGB").resize((round(image.width * height / image.height), height)))
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) + 1)
    sheet = Image.new("RGB", (width, height + 2 * gap), (24, 24, 28))
    left = gap
    for picture in pictures:
        sheet.paste(picture, (left, gap))
        left += picture.width + gap
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=90)
    return out.getvalue()
