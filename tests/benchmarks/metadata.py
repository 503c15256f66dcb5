"""Rows of `make bench` about reading pictures: A1111 texts, hostile ones, and a folder of PNG files."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import statistics
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from made_files import mp4

from civitai_bridge.metadata.a1111.reader import read_a1111
from civitai_bridge.metadata.container.reader import read_texts
from civitai_bridge.metadata.read import read_file

TEXTS = 2_000
FILES = 1_000
SIZE = 2_000_000
HOSTILE_MS = 50
WORDS = "lighthouse dusk storm cliffs volumetric light masterpiece detailed long exposure sea birds rocks fog".split()
# Twenty-five settings; the hashes as A1111 itself and as CivitAI's extension write them.
DETAILS = (
    "Steps: {steps}, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: {seed}, Size: 832x1216, Model hash: {model}, "
    "Model: juggernautXL_v9, VAE hash: {vae}, VAE: sdxl_vae.safetensors, Denoising strength: 0.4, Clip skip: 2, ENSD: 31337, "
    "RNG: CPU, Hires upscale: 1.5, Hires steps: 15, Hires upscaler: 4x-UltraSharp, Eta: 0.67, Pad conds: v0.15, NGMS: 3, "
    'Schedule rho: 7, Lora hashes: "{a}: {ha}, {b}: {hb}", TI hashes: "easynegative: c74b4e810b03", '
    'Hashes: {{"model":"{model}","vae":"{vae}","lora:{a}":"{ha}","lora:{b}":"{hb}"}}, Version: v1.10.1'
)  # fmt: skip


def texts(count: int) -> list[str]:
    """Texts of 1.2 kB, no two alike: 25 settings, hashes, two tags."""
    dice = random.Random(4)

    def digits(length: int) -> str:
        return f"{dice.getrandbits(4 * length):0{length}x}"

    made = []
    for _ in range(count):
        a, b = f"ink_{digits(4)}", f"detail {digits(4)}"
        tags = f"<lora:{a}:0.7>, <lora:{b}:-0.5>"
        details = DETAILS.format(steps=dice.randrange(10, 60), seed=dice.getrandbits(32), model=digits(10), vae=digits(10),
                                 a=a, b=b, ha=digits(12), hb=digits(12))  # fmt: skip
        prompt = ", ".join(dice.choices(WORDS, k=90))[: 1200 - len(details) - len(tags) - 78]
        made.append(
            f"{prompt}, {tags}\nNegative prompt: lowres, bad anatomy, easynegative, blurry, jpeg artifacts\n{details}"
        )
    return made


def hostile() -> dict[str, str]:
    """A megabyte each, made to hurt."""
    end = "\nSteps: 1, Seed: 2"

    def hashes(name: str) -> str:
        return f'{end}, TI hashes: "' + ", ".join(f"{name.format(i)}: {i:010x}" for i in range(990)) + '"'

    return {
        "open quotes": 'Steps: 1, a: "' + 'b:"c' * 250_000, "commas": "Steps: 1" + "," * 1_000_000, "colons": "Steps: 1" + ":" * 1_000_000,
        "open objects": "Steps: 1, a: " + '{"a":1,"a":' * 90_000, "open lists": "Steps: 1, " + "a: [" * 250_000, "backslashes": 'Steps: 1, a: "' + "\\" * 1_000_000,
        "open tags": "<lora:" * 166_000 + end, "tags": "<lora:x:1>" * 100_000 + end, "steps": "Steps: " * 142_000, "negatives": "Negative prompt:" * 62_000 + end,
        "blanks": "a" + " " * 1_000_000 + end, "lines": "Steps: 1\n" * 111_000, "templates": "Steps: 1\n" + "Template: x\n" * 83_000,
        "settings": "Steps: 1" + "".join(f", k{i}: v" for i in range(90_000)), "words": "bad, " * 200_000 + '\nSteps: 1, TI hashes: "bad: aabbccddee"',
        "a lora list": "a" + end + ', Lora hashes: "' + ", ".join(f"n{i}: 1122334455" for i in range(50_000)) + '"', "embeddings": "embedding:" * 100_000 + end,
        "names that begin alike": "ab" * 480_000 + hashes("ababababc{}"), "names with one first word": "ab " * 320_000 + hashes("ab c{}"),
        "names that are there": ", ".join(f"n{i}" for i in range(990)) * 150 + hashes("n{}"), "a tag of blanks": "<lora:" + "a " * 480_000 + ":1>" + end,
        "odd tags": ("<lora:" + "a-" * 400 + "!:1>") * 1200 + end, "backslashes before tags": ("\\" * 1000 + "<lora:x!:1>") * 900 + end,
    }  # fmt: skip


def reading(row: Callable[..., None], folder: Path) -> None:
    parsing(row)
    videos(row, folder)
    folders(row, folder)


def best_of(rounds: int, run: Callable[[], object]) -> float:
    """Seconds of the quickest of several rounds: what the machine does beside it only ever adds."""
    seconds = []
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def parsing(row: Callable[..., None]) -> None:
    made = texts(TEXTS)
    first = read_a1111(made[0])
    assert first is not None and len(first.networks) == 2 and first.embeddings and first.upscale
    seconds = best_of(9, lambda: deque(map(read_a1111, made), maxlen=0))
    rate = TEXTS / seconds
    row("A1111 texts of 1.2 kB a second, one core", rate, ">= 18000", rate >= 18_000,
        f"{TEXTS:,} different texts of {sum(map(len, made)) / TEXTS:.0f} characters, best of 9 rounds")  # fmt: skip
    small, large = (f"{'a cat, ' * (size // 7)}\n{made[0].rsplit(chr(10), 1)[1]}" for size in (100_000, 1_000_000))
    ratio = best_of(5, lambda: read_a1111(large)) / best_of(5, lambda: read_a1111(small))
    row("… time for 1 MB of text against 100 kB", ratio, "<= 13 (linear is 10)", ratio <= 13, "a prompt of that size")
    worst = {name: best_of(3, lambda text=text: read_a1111(text)) * 1000 for name, text in hostile().items()}
    slowest = max(worst, key=lambda name: worst[name])
    row("… the worst hostile text of 1 MB", worst[slowest], f"<= {HOSTILE_MS} ms", worst[slowest] <= HOSTILE_MS,
        f"{slowest}; of {len(worst)} kinds", "ms")  # fmt: skip


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pictures(folder: Path) -> list[Path]:
    """PNG files of 2 MB, the image data in chunks of 64 kB as most writers make them, every fourth text after them."""
    folder.mkdir(parents=True)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 832, 1216, 8, 2, 0, 0, 0))
    one = chunk(b"IDAT", bytes(65_536))
    pixels = one * (SIZE // len(one))
    found = []
    for i, text in enumerate(texts(FILES)):
        said = chunk(b"tEXt", b"parameters\0" + text.encode())
        parts = (head, pixels, said) if i % 4 == 0 else (head, said, pixels)
        path = folder / f"{i}.png"
        path.write_bytes(b"".join(parts) + chunk(b"IEND", b""))
        found.append(path)
    return found


def walk(path: Path) -> int:
    """The least that a reader of PNG does: every chunk's head, and a seek over its data."""
    count, at = 0, 8
    with open(path, "rb", buffering=0) as file:
        read, seek, size_of = file.read, file.seek, struct.Struct(">I").unpack_from
        seek(at)
        while head := read(8):
            count += 1
            at += size_of(head)[0] + 12
            seek(at)
    return count


def texts_of(path: Path) -> dict[str, str]:
    with open(path, "rb", buffering=0) as file:
        return read_texts(file).texts


class Counted(io.FileIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(-1 if size is None else size)
        self.count += len(data)
        return data


def videos(row: Callable[..., None], folder: Path) -> None:
    """An MP4 of 200 MB whose texts, a graph of 100 kB among them, stand behind its pictures."""
    graph = json.dumps({str(i): {"class_type": "Note", "inputs": {"text": "x" * 60}} for i in range(1000)})
    data = mp4({"prompt": graph, "workflow": "{}", "comment": texts(1)[0]})
    head, pixels = data.index(b"mdat") - 4, 200_000_000
    end = data.index(b"moov") - 4
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / "video.mp4"
    with open(path, "wb") as file:
        file.write(data[:head] + struct.pack(">I4s", pixels + 8, b"mdat"))
        file.seek(pixels, os.SEEK_CUR)  # a hole: its bytes are zeros that take no room
        file.write(data[end:])
    try:
        with Counted(path) as file:
            assert set(read_texts(file).texts) == {"prompt", "workflow", "comment"}  # type: ignore[arg-type]
            count = file.count
        seconds = best_of(5, lambda: texts_of(path))
    finally:
        os.unlink(path)
    row(
        "texts of an MP4 of 200 MB, at its end",
        seconds * 1000,
        "<= 5 ms",
        seconds <= 0.005,
        f"{count:,} bytes read",
        "ms",
    )
    row("… bytes that are read for that", count, "<= 1000000", count <= 1_000_000, "")


def folders(row: Callable[..., None], folder: Path) -> None:
    files = pictures(folder)
    try:
        assert all(read_file(path).seed is not None for path in files)
        ways = (lambda: [walk(path) for path in files], lambda: [texts_of(path) for path in files],
                lambda: [read_file(path) for path in files])  # fmt: skip
        rounds = [[best_of(1, one) for one in ways] for _ in range(7)]
        walked, texts_read, parsed = (statistics.median(times) * 1000 for times in zip(*rounds, strict=True))
        ratio = statistics.median(texts / walk for walk, texts, _ in rounds)
    finally:
        for path in files:
            os.unlink(path)
    row("1,000 PNG of 2 MB read for their texts, against walking", ratio, "<= 1.3", ratio <= 1.3,
        f"{texts_read:.0f} ms against {walked:.0f}, 7 rounds; a quarter has its text after IDAT")  # fmt: skip
    row("… and parsed to GenerationData", parsed / walked, "", None, f"{parsed:.0f} ms")
