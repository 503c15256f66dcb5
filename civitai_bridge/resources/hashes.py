"""Hashes of model files as texts: read, compared, and the hash of nothing told apart from all others.

CivitAI knows a file by SHA256 (64 hex digits), AutoV1 (8, of a part of the file), AutoV2 (the first 10 of SHA256),
AutoV3 (the first 12 of the SHA256 without a safetensors header), CRC32 (8) and BLAKE3 (64). Twelve digits are an
AutoV3, but tools also write the first twelve of the whole file's SHA256, whose first ten are its AutoV2.
"""

from __future__ import annotations

import re
from collections.abc import Collection

OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA256 of no bytes at all
AUTO_V2, AUTO_V3, SHA256 = 10, 12, 64  # hex digits of each kind
# Other lengths and a prefix stand in pictures too: SHA-1, a hash that was cut, `sha256:` before it.
_HASH = re.compile(r"(?:0x|sha256:)?([0-9a-f]{8,72})", re.ASCII)


def bare_hash(text: str) -> str:
    """A hash as it is compared: lower case, without the `0x` that some trainers write.

    assert bare_hash(" 0x95D20EDA2F") == "95d20eda2f"
    """
    return text.strip().lower().removeprefix("0x")


def is_of_nothing(value: str) -> bool:
    """Whether a bare hash is the SHA256 of no bytes, or its beginning: programs write it for a file they could not
    read, so it names no file."""
    return OF_NOTHING.startswith(value)


def normal_hash(value: object) -> str:
    """A model file's hash as it is compared; `""` for what is none (8 to 72 hex digits) and for the hash of nothing.

    assert normal_hash("0x95D20EDA2F") == "95d20eda2f" and normal_hash("e3b0c44298fc") == ""
    """
    if not isinstance(value, str) or len(value) > 80:
        return ""
    match = _HASH.fullmatch(value) or _HASH.fullmatch(value.strip().lower())
    if match is None:
        return ""
    digits = match[1]
    return "" if OF_NOTHING.startswith(digits) else digits


def spellings(value: str) -> tuple[str, ...]:
    """What a bare hash may be looked for by, the exact one first: twelve digits may be the head of a SHA256, whose
    first ten are the file's AutoV2.

    assert spellings("95d20eda2f12") == ("95d20eda2f12", "95d20eda2f") and spellings("95d20eda2f") == ("95d20eda2f",)
    """
    return (value, value[:AUTO_V2]) if len(value) == AUTO_V3 else (value,)


def names_file(value: str, known: Collection[str]) -> bool:
    """Whether a bare hash is among the bare hashes of a file, AutoV2 included."""
    return any(spelling in known for spelling in spellings(value))
