"""Names of files that strangers chose -> names that stay in their folder, on every system."""

from __future__ import annotations

import os
import re
from pathlib import Path

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
