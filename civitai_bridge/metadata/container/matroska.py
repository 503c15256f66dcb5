"""WebM and Matroska: the tags of a video, over the clusters of which is seeked. https://www.rfc-editor.org/rfc/rfc9559"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from .texts import LARGEST_TEXT, Texts, decoded, read_exactly

SIGNATURE = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER, _TAGS = 0x18538067, 0x1F43B675, 0x1254C367
_TAG, _SIMPLE_TAG, _NAME, _STRING = 0x7373, 0x67C8, 0x45A3, 0x4487
_MOST_ELEMENTS = 200_000
_DEEPEST_TAG = 8  # tags may hold tags


def read_matroska(file: BinaryIO, texts: Texts) -> None:
    """Collect the tags of a video. Raises EOFError where it is cut off."""
    at = 0
    for _ in range(_MOST_ELEMENTS):
        file.seek(at)
        head = file.read(12)
        if not head:
            return
        kind, size, start = _element(head)
        if kind == _TAGS and size is not None and texts.may_hold(size, "The list of tags"):
            file.seek(at + start)
            _tags(read_exactly(file, size), texts)
        # What has no length, and the segment, is entered: its parts follow one another.
        at += start if kind == _SEGMENT or size is None else start + size


def _element(head: bytes) -> tuple[int, int | None, int]:
    """An element's id, the length of its content (None = not said), and where that begins."""
    id_length = _length(head, 0)
    size_length = _length(head, id_length)
    size = int.from_bytes(head[id_length : id_length + size_length], "big") & ((1 << 7 * size_length) - 1)
    unknown = size == (1 << 7 * size_length) - 1
    return int.from_bytes(head[:id_length], "big"), None if unknown else size, id_length + size_length


def _length(head: bytes, at: int) -> int:
    """Bytes of a number, by the zeros that begin it."""
    if at >= len(head) or head[at] == 0:
        raise EOFError
    length = 9 - head[at].bit_length()
    if at + length > len(head):
        raise EOFError
    return length


def _elements(data: bytes, texts: Texts) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data) and texts.may_enter():
        kind, size, start = _element(data[at : at + 12])
        end = len(data) if size is None else at + start + size
        yield kind, data[at + start : end]
        at = end


def _tags(data: bytes, texts: Texts) -> None:
    for kind, tag in _elements(data, texts):
        if kind == _TAG:
            _simple_tags(tag, texts, 0)


def _simple_tags(data: bytes, texts: Texts, depth: int) -> None:
    for kind, tag in _elements(data, texts):
        if kind == _SIMPLE_TAG and depth < _DEEPEST_TAG:
            members = dict(_elements(tag, texts))
            name, value = members.get(_NAME, b""), members.get(_STRING)
            if value is not None and len(value) <= LARGEST_TEXT:
                label = decoded(name.rstrip(b"\0"), "utf-8", texts, "a tag")
                texts.add(label, decoded(value.rstrip(b"\0"), "utf-8", texts, label))
            _simple_tags(tag, texts, depth + 1)
