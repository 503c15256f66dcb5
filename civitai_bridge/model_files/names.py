"""Names of model files: made safe where a stranger chose them, compared, told apart by their endings."""

from __future__ import annotations

import os
import re
from pathlib import Path

MODEL_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl", ".gguf", ".onnx")
SAFETENSORS_ENDINGS = (".safetensors", ".sft")
_MODEL_ENDINGS = frozenset(ending[1:] for ending in MODEL_ENDINGS)
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])")
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]')
_PLAIN = re.compile(r"[^/\\:\0]+")
# In bytes. File systems stop at 255, of which `.<name>.<whose>.part.lock` takes 24; what is named anew stays below.
_LONGEST, LONGEST_TAKEN = 200, 231


def safe_name(name: str, *, longest: int = _LONGEST) -> str:
    """The last part of a name without what file systems forbid, in at most `longest` bytes; `""` where nothing is left.

    assert safe_name("../../x.pt") == "x.pt" and safe_name("CON.safetensors") == "_CON.safetensors"
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    last = _FORBIDDEN.sub("_", last).strip().rstrip(". ")
    if not last.strip("._ "):
        return ""
    if _RESERVED.fullmatch(last.split(".", 1)[0].rstrip()):
        last = f"_{last}"
    if last.startswith("."):
        last = f"_{last}"
    stem, ending = os.path.splitext(last)
    ending = ending if len(ending.encode()) <= 20 else ""
    stem = last[: len(last) - len(ending)] if ending else last
    while len((stem + ending).encode()) > longest:
        stem = stem[:-1]
    return stem.rstrip(". ") + ending


def with_suffix(name: str, suffix: str) -> str:
    """A safe name with more at the end of its stem, which gives way where the whole would be too long.

    assert with_suffix("x.pt", "_7") == "x_7.pt"
    """
    stem, ending = os.path.splitext(safe_name(name, longest=_LONGEST - len(suffix.encode())))
    return f"{stem}{suffix}{ending}"


def below(root: str | Path, name: str) -> str | None:
    """The path of a name that may have folders in it, or None where it would leave the root."""
    if _PLAIN.fullmatch(name) and name not in (".", ".."):
        return os.path.join(root, name)
    parts = name.replace("\\", "/").split("/")
    if not name or any(part in ("", ".", "..") or ":" in part or "\0" in part for part in parts):
        return None
    return os.path.join(root, *parts)


def is_safetensors(name: str) -> bool:
    """Whether a file is a safetensors file by its name."""
    return name.lower().endswith(SAFETENSORS_ENDINGS)


def stem_of(name: str) -> str:
    """A model file's name as it is compared: without folder and ending, case folded, without the `civitai_<id>_` that
    some download tools put before it.

    assert stem_of("style/Ink.safetensors") == stem_of("civitai_12_ink.PT") == "ink"
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1].casefold()
    stem, _, ending = last.rpartition(".")
    if stem and ending in _MODEL_ENDINGS:
        last = stem
    if last.startswith("civitai_"):
        number, _, rest = last[8:].partition("_")
        if number.isdigit() and rest:
            return rest
    return last


def is_text(name: str) -> bool:
    """Whether a name can be written down: POSIX allows bytes that are no UTF-8, Windows half characters."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def no_text(path: str) -> str:
    """A sentence about a name that is no text."""
    shown = path.encode("utf-8", "replace").decode()
    return f"{shown} is left out, because its name is no valid text (UTF-8); rename it."
