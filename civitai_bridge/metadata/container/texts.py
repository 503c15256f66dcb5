"""The texts of one file while they are collected, the limits of all that, and bytes as text.

A text is capped before it is unpacked, and so is all that a file makes us unpack, decode and look up: a small file may
point at one block a thousand times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

LARGEST_TEXT = 16 * 2**20  # bytes of one text
LARGEST_TOTAL = 48 * 2**20  # bytes of all of a file's texts, unpacked
MOST_TEXTS = 500
MOST_ENTRIES = 20_000  # of all of a file's lists together
TOO_MUCH = "The file holds more text than is read; the rest is left out."


@dataclass
class Texts:
    """What a file holds: its kind (`png`, `jpeg`, `webp`, `avif` …, `""` for none of them), texts by name, notes on
    what could not be read, width and height in pixels where its head says them, and whether a PNG has alpha.

    `total` counts the bytes that were read for texts, `entries` the list entries that were looked at."""

    kind: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    width: int | None = None
    height: int | None = None
    has_alpha: bool = False
    total: int = 0
    entries: int = 0
    _by_name: dict[str, set[str]] = field(default_factory=dict, repr=False)

    def add(self, name: str, text: str) -> None:
        """Keep a text; a second one of the same name gets a number. Blank texts and repetitions are left out."""
        if not text.strip("\0 \t\r\n"):
            return
        alike = self._by_name.setdefault(name, set())
        if text in alike:
            return
        if len(self.texts) >= MOST_TEXTS:
            self.note(TOO_MUCH)
            return
        alike.add(text)
        count = len(alike)
        key = name if count == 1 else f"{name} ({count})"
        while key in self.texts:
            count += 1
            key = f"{name} ({count})"
        self.texts[key] = text

    def may_read(self, size: int) -> bool:
        """Whether so many bytes more may be read, unpacked or decoded; they are counted over the whole file."""
        if self.total + size > LARGEST_TOTAL:
            self.note(TOO_MUCH)
            return False
        self.total += size
        return True

    def may_hold(self, size: int, name: str) -> bool:
        """As `may_read` for one text, which a note calls `name` where it is too large by itself."""
        if size > LARGEST_TEXT:
            self.note(f"{name} of {size:,} bytes is too large and is left out.")
            return False
        return self.may_read(size)

    def may_enter(self) -> bool:
        """Whether one more entry of a list may be looked at."""
        if self.entries == MOST_ENTRIES:
            self.note("The file lists more than is read; the rest is left out.")
            return False
        self.entries += 1
        return True

    def note(self, sentence: str) -> None:
        """Keep a sentence, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def read_exactly(file: BinaryIO, count: int) -> bytes:
    """So many bytes. Raises EOFError when the file ends before."""
    data = file.read(count)
    if len(data) < count:
        parts = [data]
        while (missing := count - sum(map(len, parts))) and (part := file.read(missing)):
            parts.append(part)
        data = b"".join(parts)
        if len(data) < count:
            raise EOFError
    return data


def decoded(data: bytes, encoding: str, texts: Texts, name: str) -> str:
    """Bytes as text; broken places are marked in it and named in a note."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        texts.note(f"The text {name[:60]!r} is badly encoded; the broken places are marked in it.")
        return data.decode(encoding, "replace")


def strict_utf8(data: bytes) -> str | None:
    """Bytes as UTF-8; None where they are not."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def utf8_or_latin(data: bytes) -> str:
    """UTF-8, which most tools write, else Latin-1, which the standards of PNG and EXIF ask for."""
    text = strict_utf8(data)
    return latin(data) if text is None else text


def latin(data: bytes) -> str:
    """Each byte as one character."""
    return data.decode("latin-1")
