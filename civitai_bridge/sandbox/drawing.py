"""The sandbox's pictures: a landscape of prompt and seed, the same for the same two, in any size and format.

Words choose the palette (sunset, night, snow, desert, forest, …) and what stands in it (a lighthouse, a city, trees,
water).
"""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any

# word -> sky above, sky at the horizon, far ridge, near ridge (RGB)
_PALETTES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "dusk sunset evening": ((44, 38, 92), (250, 148, 92), (120, 82, 120), (28, 22, 44)),
    "dawn sunrise morning": ((92, 132, 190), (255, 214, 170), (150, 140, 165), (52, 60, 78)),
    "night moon stars dark": ((8, 12, 34), (42, 60, 104), (30, 42, 76), (8, 12, 24)),
    "snow winter ice mountain": ((120, 160, 205), (226, 238, 248), (176, 196, 220), (84, 108, 140)),
    "desert sand dune": ((96, 156, 196), (252, 222, 164), (214, 156, 98), (142, 86, 52)),
    "forest green jungle tree trees": ((122, 176, 190), (222, 236, 206), (92, 136, 110), (22, 52, 38)),
    "ocean sea water beach lake": ((70, 136, 196), (206, 232, 238), (96, 146, 170), (24, 62, 88)),
    "red fire lava": ((46, 10, 18), (240, 92, 40), (120, 32, 30), (30, 8, 12)),
    "neon cyberpunk city future": ((20, 8, 48), (234, 70, 150), (78, 34, 120), (14, 8, 36)),
}

_NIGHT = frozenset({"night", "moon", "stars", "dark"})
_WATER = frozenset({"ocean", "sea", "water", "lake", "lighthouse", "beach", "river", "island"})
_FORMATS: dict[str, tuple[str, dict[str, int]]] = {
    "png": ("PNG", {"compress_level": 3}),
    "jpeg": ("JPEG", {"quality": 92}),
    "webP": ("WEBP", {"quality": 88, "method": 2}),
}


def draw(prompt: str, seed: int, width: int, height: int, format: str = "png", source: bytes | None = None) -> bytes:
    """A picture as bytes; `format` is png, jpeg or webP. A `source` picture shines through."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter

    words = set(re.findall(r"[a-z]+", prompt.lower()))
    digest = hashlib.sha256(f"{seed}\0{prompt}".encode()).digest()
    rng = np.random.default_rng(list(digest))
    palette = np.array(_palette(words, rng), dtype=np.float32)
    palette = np.clip(palette * rng.uniform(0.92, 1.08, (1, 3)), 0, 255)
    horizon = int(height * rng.uniform(0.55, 0.66))
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    canvas = _sky(rng, palette, rows, columns, horizon, is_night=bool(words & _NIGHT))
    _mountains(rng, canvas, palette, rows, columns, horizon)
    if words & _WATER or digest[0] % 3 == 0:
        _water(canvas, palette, seed)
    vignette = 1 - 0.35 * ((columns - 0.5) ** 2 + (rows - 0.5) ** 2)[..., None]
    canvas = np.clip(canvas * vignette + rng.normal(0, 2.2, (height, width, 1)), 0, 255)
    image = Image.fromarray(canvas.astype(np.uint8))
    _stand(ImageDraw.Draw(image), words, rng, width, height, tuple(int(part * 0.6) for part in palette[3]))
    if source is not None:
        with Image.open(io.BytesIO(source)) as original:
            image = Image.blend(original.convert("RGB").resize((width, height)), image, 0.55)
    image = image.filter(ImageFilter.UnsharpMask(1, 60, 2))
    _mark(image)
    out = io.BytesIO()
    name, options = _FORMATS[format]
    image.save(out, name, **options)
    return out.getvalue()


def _sky(rng: Any, palette: Any, rows: Any, columns: Any, horizon: int, *, is_night: bool) -> Any:
    """Colours from the top to the horizon, the sun or the moon with its glow, stars, clouds."""
    import numpy as np

    height, width = rows.shape[0], columns.shape[1]
    fade = np.clip(rows * height / horizon, 0, 1)[..., None] ** 1.3
    canvas = np.repeat(palette[0] * (1 - fade) + palette[1] * fade, width, axis=1)
    across, down = rng.uniform(0.2, 0.8), rng.uniform(0.22, 0.46)
    distance = np.sqrt(((columns - across) * width / height) ** 2 + (rows - down) ** 2)
    disc = np.array((240, 240, 225) if is_night else (255, 240, 205), dtype=np.float32)
    glow = np.exp(-distance * rng.uniform(5, 8))[..., None]
    canvas += (disc - canvas) * glow * 0.65
    canvas += (disc - canvas) * np.clip((0.06 - distance) * 400, 0, 1)[..., None]
    if is_night:
        count = width * height // 2500
        star_rows, star_columns = rng.integers(0, max(1, horizon - 8), count), rng.integers(0, width, count)
        canvas[star_rows, star_columns] += rng.uniform(40, 200, (count, 1))
    canvas += _clouds(rng, columns, rows, down)[..., None] * (palette[1] * 0.35 + 150 - canvas) * 0.5
    return canvas


def _mountains(rng: Any, canvas: Any, palette: Any, rows: Any, columns: Any, horizon: int) -> None:
    """Four ridges, the nearer the darker."""
    import numpy as np

    height, ridges = rows.shape[0], 4
    for layer in range(ridges):
        depth = (layer + 1) / ridges
        line = horizon + height * (depth * 0.16 - 0.12)
        top = line - height * _ridge(rng, columns[0]) * (0.16 - 0.08 * depth)
        colour = palette[2] * (1 - depth) + palette[3] * depth
        colour = colour * (0.5 + 0.5 * depth) + palette[1] * (0.5 - 0.5 * depth)
        cover = np.clip(rows * height - top[None, :], 0, 1)[..., None]
        canvas += (colour - canvas) * cover


def _water(canvas: Any, palette: Any, seed: int) -> None:
    """The lowest quarter mirrors what stands above it, in waves."""
    import numpy as np

    height, width = canvas.shape[:2]
    level = int(height * 0.74)
    end = max(0, 2 * level - height) - 1 if 2 * level > height else None
    mirror = canvas[level - 1 : end : -1][: height - level]
    rows = np.arange(mirror.shape[0])
    shift = (np.sin(rows * 0.45 + seed % 7) * (1 + rows * 0.03) * width / 512).astype(int)
    for row in range(mirror.shape[0]):
        canvas[level + row] = np.roll(mirror[row], int(shift[row]), axis=0) * 0.72 + palette[3] * 0.22


def _palette(words: set[str], rng: Any) -> tuple[tuple[int, int, int], ...]:
    for names, palette in _PALETTES.items():
        if words & set(names.split()):
            return palette
    return list(_PALETTES.values())[int(rng.integers(len(_PALETTES)))]


def _ridge(rng: Any, x: Any) -> Any:
    """A mountain line in about -1 … 2: octaves of waves, each rougher and lower."""
    import numpy as np

    line = np.zeros_like(x)
    for octave in range(1, 8):
        waves = 2.0**octave * rng.uniform(0.6, 1.3)
        line += np.sin(x * waves * 3.1 + rng.uniform(0, 6.3)) / octave**1.5 * 0.8
    return line


def _clouds(rng: Any, x: Any, y: Any, cy: float) -> Any:
    import numpy as np

    field = np.zeros((y.shape[0], x.shape[1]), dtype=np.float32)
    for _ in range(5):
        fx, fy, phase = rng.uniform(2, 9), rng.uniform(12, 34), rng.uniform(0, 6.3)
        field += np.sin(x * fx + np.sin(y * fy * 0.5 + phase) * 1.6 + phase) * np.sin(y * fy + phase)
    return np.clip(field / 3 - 0.25, 0, 0.6) * np.clip(1.2 - np.abs(y - cy) * 3, 0, 1)


def _stand(pen: Any, words: set[str], rng: Any, width: int, height: int, dark: tuple[int, ...]) -> None:
    """What the words put into the foreground, as silhouettes."""
    unit = height / 100
    if words & {"lighthouse", "tower"}:
        base, foot = width * rng.uniform(0.2, 0.8), height * 0.76
        pen.ellipse((base - 26 * unit, foot - 3 * unit, base + 26 * unit, foot + 12 * unit), fill=dark)
        top = foot - 34 * unit
        shaft = [(base - 4 * unit, foot), (base - 2.4 * unit, top), (base + 2.4 * unit, top), (base + 4 * unit, foot)]
        pen.polygon(shaft, fill=(214, 208, 200))
        for band in range(3):
            top = foot - (8 + band * 10) * unit
            pen.rectangle((base - 3.4 * unit, top - 4 * unit, base + 3.4 * unit, top), fill=(164, 56, 50))
        pen.rectangle((base - 3 * unit, foot - 39 * unit, base + 3 * unit, foot - 34 * unit), fill=(255, 232, 150))
        pen.polygon(
            [(base - 4 * unit, foot - 39 * unit), (base, foot - 44 * unit), (base + 4 * unit, foot - 39 * unit)],
            fill=dark,
        )
    if words & {"city", "cyberpunk", "skyline", "tokyo", "street"}:
        place = 0.0
        while place < width:
            wide = float(rng.uniform(4, 11)) * unit
            tall = float(rng.uniform(12, 42)) * unit
            pen.rectangle((place, height - tall, place + wide, height), fill=dark)
            for _ in range(int(tall / unit)):
                wx, wy = place + float(rng.uniform(0.1, 0.85)) * wide, height - float(rng.uniform(0.05, 0.95)) * tall
                pen.rectangle((wx, wy, wx + 0.7 * unit, wy + 0.9 * unit), fill=(255, 214, 130))
            place += wide + float(rng.uniform(0, 2)) * unit
    if words & {"forest", "tree", "trees", "jungle", "wood", "woods", "fox", "cabin"}:
        for _ in range(int(26 * width / height)):
            tx, tall = float(rng.uniform(0, width)), float(rng.uniform(12, 34)) * unit
            foot = height * float(rng.uniform(0.95, 1.06))
            for part in range(4):
                half = tall * (0.24 - part * 0.045)
                low = foot - tall * part * 0.22
                pen.polygon([(tx - half, low), (tx, low - tall * 0.42), (tx + half, low)], fill=dark)


def _mark(image: Any) -> None:
    """Every picture says where it comes from."""
    from PIL import ImageDraw, ImageFont

    size = max(9, image.height // 48)
    try:
        font = ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one size
        font = ImageFont.load_default()
    pen = ImageDraw.Draw(image)
    pen.text(
        (size * 0.7, image.height - size * 1.8),
        "SANDBOX",
        font=font,
        fill=(255, 255, 255),
        stroke_width=1,
        stroke_fill=(0, 0, 0),
    )
