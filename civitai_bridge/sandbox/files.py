"""The bytes behind the sandbox's model files, and their true hashes: small, made when first asked for, always the
same.

A safetensors file has a header that any reader takes, with the trainer's notes in it; its
hashes are taken as CivitAI takes them.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

KINDS = ("AutoV1", "AutoV2", "AutoV3", "SHA256", "CRC32", "BLAKE3")
_SLOW = "BLAKE3"  # the one that the standard library has not


@dataclass(frozen=True)
class File:
    """A file as its creator uploaded it. `bytes_of` names the file whose bytes it shares (a re-upload); `lacks` are
    hash kinds that the scan did not store; `scanned` False = no hashes yet; `sends` is what storage does instead of
    telling the truth: wrong, cut, short, gone (cannot be resolved), expired."""

    name: str
    type: str = "Model"
    format: str = "SafeTensor"
    size: str = "pruned"
    fp: str = "fp16"
    quant: str = ""
    length: int = 24_000
    override: str = ""
    bytes_of: str = ""
    scanned: bool = True
    lacks: tuple[str, ...] = ()
    pickle_scan: str = "Success"
    public: bool = True
    sends: str = ""
    trainer_hash: str = ""
    whole: bool = True  # a checkpoint with text encoder and VAE in it

    @property
    def ending(self) -> str:
        return self.name.rsplit(".", 1)[-1].lower()


@cache
def content(file: File) -> bytes:
    """The bytes of a file."""
    seed = file.bytes_of or file.name
    match file.ending:
        case "safetensors" | "sft":
            return _safetensors(seed, file)
        case "gguf":
            return _gguf(seed, file.length)
        case "pt" | "ckpt" | "bin" | "pth":
            return pickle.dumps({"string_to_param": {"*": _noise(seed, file.length)}, "name": seed}, protocol=2)
        case "zip":
            return _zip(seed)
    return f"# {seed}\nmodel:\n  target: sandbox\n".encode()


def hashes(file: File) -> dict[str, str]:
    """What the site states for a file: upper-case hex by kind, some or all of them missing."""
    if not file.scanned:
        return {}
    hashes = dict(fast_hashes(file))
    if _SLOW not in file.lacks:
        hashes[_SLOW] = blake3_of(file)
    return {kind: hashes[kind] for kind in KINDS if hashes.get(kind) and kind not in file.lacks}


@cache
def fast_hashes(file: File) -> dict[str, str]:
    """All kinds but BLAKE3."""
    data = content(file)
    whole = hashlib.sha256(data).hexdigest().upper()
    hashes = {
        "SHA256": whole,
        "AutoV2": whole[:10],
        "AutoV1": hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8].upper(),
        "CRC32": f"{zlib.crc32(data):08X}",
    }
    if file.ending in ("safetensors", "sft"):
        payload = data[8 + int.from_bytes(data[:8], "little") :]
        hashes["AutoV3"] = hashlib.sha256(payload).hexdigest()[:12].upper()
    return hashes


@cache
def blake3_of(file: File) -> str:
    """BLAKE3 of the bytes in upper-case hex; slow, so only where it is asked for."""
    return blake3(content(file)).hex().upper()


# --- bytes ----------------------------------------------------------------------------------------------------------


def _noise(seed: str, length: int) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(max(0, length))


def _safetensors(seed: str, file: File) -> bytes:
    """One or two half-precision tensors of small numbers; LoRA files get names that loaders know."""
    import numpy as np

    count = max(64, file.length // 2)
    numbers = np.frombuffer(_noise(seed, 2 * count), dtype="<u2").astype("<f4")
    payload = ((numbers / 65535 - 0.5) * 0.02).astype("<f2").tobytes()
    stem = seed.rsplit(".", 1)[0]
    width = 320
    rank = min(4, count // (2 * width)) if file.length < 1_000_000 else 0
    if rank:
        shapes = {
            "lora_unet_input_blocks_1_1_proj_in.lora_down.weight": (rank, width),
            "lora_unet_input_blocks_1_1_proj_in.lora_up.weight": (width, rank),
        }
        payload = payload[: 4 * rank * width]
    else:
        parts = ("cond_stage_model.logit_scale", "first_stage_model.quant_conv.bias") if file.whole else ()
        shapes = {"model.diffusion_model.input_blocks.0.0.weight": (count - len(parts),), **dict.fromkeys(parts, (1,))}
    tensors: dict[str, Any] = {}
    place = 0
    for name, shape in shapes.items():
        end = place + 2 * int(np.prod(shape))
        tensors[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [place, end]}
        place = end
    notes = {
        "format": "pt",
        "modelspec.title": stem,
        "ss_output_name": stem,
        "sshs_model_hash": file.trainer_hash or hashlib.sha256(payload).hexdigest(),
    }
    header = json.dumps({"__metadata__": notes, **tensors}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + payload


def _gguf(seed: str, length: int) -> bytes:
    """A GGUF file of version 3 with one note and no tensor."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("general.architecture") + struct.pack("<I", 8) + text("flux")
    return head + b"\0" * (-len(head) % 32) + _noise(seed, length)


def _zip(seed: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr(zipfile.ZipInfo("workflow.json"), json.dumps({"name": seed, "nodes": []}))
    return out.getvalue()


# --- BLAKE3, written from its paper: all chunks of a file side by side ------------------------------------------------

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8


def blake3(data: bytes) -> bytes:
    """The 32 bytes of a BLAKE3 digest."""
    import numpy as np

    count = max(1, -(-len(data) // 1024))
    last = len(data) - 1024 * (count - 1)
    blocks = np.frombuffer(data.ljust(1024 * count, b"\0"), dtype="<u4").reshape(count, 16, 16).astype("u4")
    values = np.tile(np.array(_IV, "u4")[:, None], (1, count))
    for place in range(16):
        size = np.full(count, 64, "u4")
        size[-1] = min(64, max(0, last - 64 * place))
        final = np.full(count, place == 15)
        final[-1] = place == max(0, -(-last // 64) - 1)
        flags = np.where(final, _CHUNK_END, 0).astype("u4") | np.uint32(_CHUNK_START if place == 0 else 0)
        if count == 1:
            flags |= np.where(final, _ROOT, 0).astype("u4")
        live = np.ones(count, bool)
        live[-1] = place == 0 or 64 * place < last
        new = _compress(values, blocks[:, place].T, np.arange(count, dtype="u8"), size, flags)
        values = np.where(live, new, values)
    while values.shape[1] > 1:
        values = _parents(values)
    return values[:, 0].astype("<u4").tobytes()


def _parents(values: Any) -> Any:
    """One level of the tree: neighbours joined, an odd one carried up as it is."""
    import numpy as np

    pairs = values.shape[1] // 2
    words = np.concatenate((values[:, 0 : 2 * pairs : 2], values[:, 1 : 2 * pairs : 2]))
    flags = np.full(pairs, _PARENT | (_ROOT if values.shape[1] == 2 else 0), "u4")
    start = np.tile(np.array(_IV, "u4")[:, None], (1, pairs))
    joined = _compress(start, words, np.zeros(pairs, "u8"), np.full(pairs, 64, "u4"), flags)
    return np.concatenate((joined, values[:, 2 * pairs :]), axis=1)


def _compress(values: Any, words: Any, counter: Any, size: Any, flags: Any) -> Any:
    import numpy as np

    a, b = values[:4].copy(), values[4:].copy()
    c = np.tile(np.array(_IV[:4], "u4")[:, None], (1, values.shape[1]))
    d = np.stack(((counter & 0xFFFFFFFF).astype("u4"), (counter >> 32).astype("u4"), size, flags))

    def turn(x: Any, by: int) -> Any:
        return (x >> np.uint32(by)) | (x << np.uint32(32 - by))

    def mix(x: Any, y: Any) -> None:
        nonlocal a, b, c, d
        for word, first, second in ((x, 16, 12), (y, 8, 7)):
            a = a + b + word
            d = turn(d ^ a, first)
            c = c + d
            b = turn(b ^ c, second)

    for number in range(7):
        mix(words[0:8:2], words[1:8:2])
        b, c, d = np.roll(b, -1, 0), np.roll(c, -2, 0), np.roll(d, -3, 0)
        mix(words[8::2], words[9::2])
        b, c, d = np.roll(b, 1, 0), np.roll(c, 2, 0), np.roll(d, 3, 0)
        if number < 6:
            words = words[list(_ORDER)]
    return np.concatenate((a ^ c, b ^ d))
