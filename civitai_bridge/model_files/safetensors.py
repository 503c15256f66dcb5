"""What the header of a safetensors file says, read without its tensors.

A file begins with the header's length (8 bytes, little-endian), then comes the header, a JSON object with a member for
each tensor and perhaps `__metadata__`, then the tensors (github.com/huggingface/safetensors)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import FileTrouble, NotSafetensors
from .atomic import reason

_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library itself
_SPACE = re.compile(r"[ \t\r\n]*")
_HALVES = re.compile("[\ud800-\udfff]")  # half a character: JSON may hold one, no file and no database takes it


@dataclass(frozen=True)
class Header:
    """What a header tells about the model: `ss_output_name` (the name at its training), `modelspec.*`, `sshs_*`."""

    facts: Mapping[str, str] = field(default_factory=dict)


def read_header(path: str | Path) -> Header:
    """The header of a safetensors file. Raises NotSafetensors with the reason, FileTrouble."""
    metadata = next((value for key, value in _members_of(path) if key == "__metadata__"), {})
    if not isinstance(metadata, Mapping):
        metadata = {}
    facts = {key: value for key, value in metadata.items() if _is_about_the_model(key) and isinstance(value, str)}
    return Header({_without_halves(key): _without_halves(value) for key, value in facts.items()})


def read_tensor_names(path: str | Path) -> Iterator[str]:
    """The names of the tensors, in the order of the header. Raises NotSafetensors, FileTrouble."""
    return (key for key, _ in _members_of(path) if key != "__metadata__")


def read_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor by its name; `()` where the header gives none. Raises NotSafetensors, FileTrouble."""
    return {key: _shape(value) for key, value in _members_of(path) if key != "__metadata__"}


def _shape(value: Any) -> tuple[int, ...]:
    sizes = value.get("shape") if isinstance(value, Mapping) else None
    return tuple(sizes) if isinstance(sizes, list) and all(isinstance(size, int) for size in sizes) else ()


def payload_start(source: BinaryIO, size: int) -> int:
    """Where the tensors begin in a file of `size` bytes that was just opened; 0 where it is no safetensors file."""
    head = source.read(9)
    length = int.from_bytes(head[:8], "little")
    return 8 + length if len(head) == 9 and head[8:] == b"{" and 2 <= length <= size - 8 else 0


def _members_of(path: str | Path) -> Iterator[tuple[str, Any]]:
    text = _header_text(path)
    try:
        yield from _members(text)
    except (ValueError, IndexError, RecursionError) as error:
        raise NotSafetensors(f"{path} is no safetensors file: its header is no JSON object.") from error


def _header_text(path: str | Path) -> str:
    try:
        with open(path, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            head = source.read(8)
            if len(head) < 8:
                raise NotSafetensors(f"{path} is no safetensors file: it has only {size} bytes.")
            length = int.from_bytes(head, "little")
            if length > size - 8:
                raise NotSafetensors(
                    f"{path} is no safetensors file, or one that is cut off: its header says {length} bytes, and the "
                    f"file has {size}."
                )
            if length > _LARGEST_HEADER:
                raise NotSafetensors(f"{path} has a header of {length} bytes; at most {_LARGEST_HEADER} are taken.")
            return source.read(length).decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotSafetensors(f"{path} is no safetensors file: its header is no text.") from error
    except OSError as error:
        raise FileTrouble(f"{path} cannot be read: {reason(error)}.") from error


def _is_about_the_model(key: str) -> bool:
    return key == "ss_output_name" or key.startswith(("modelspec.", "sshs_"))


def _without_halves(text: str) -> str:
    return _HALVES.sub("\ufffd", text)


def _members(text: str) -> Iterator[tuple[str, Any]]:
    """The members of a JSON object, decoded one by one: the list of tensors may be megabytes long, and one call that
    decodes it all would keep every other thread waiting. Raises ValueError, IndexError, RecursionError."""
    decode = json.JSONDecoder().raw_decode
    at = _skip_space(text, 0)
    if text[at] != "{":
        raise ValueError("no object")
    at = _skip_space(text, at + 1)
    if text[at] == "}":
        return
    while True:
        if text[at] != '"':
            raise ValueError("no key")
        key, at = decode(text, at)
        at = _skip_space(text, at)
        if text[at] != ":":
            raise ValueError("no colon")
        value, at = decode(text, _skip_space(text, at + 1))
        yield key, value
        at = _skip_space(text, at)
        if text[at] == "}":
            return
        if text[at] != ",":
            raise ValueError("no comma")
        at = _skip_space(text, at + 1)


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
