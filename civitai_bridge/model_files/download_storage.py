"""What a storage's answer means: whether its body is the file, from which byte, and how large the whole is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import DownloadDamaged, DownloadForbidden
from ..network.fetch import Opened
from ..resources.version import ModelFile
from ..settings import Settings
from .download_address import TryAgain
from .download_rules import too_large
from .verify import INEXACT, checkable, stated_size


def is_complete(answer: Opened, file: ModelFile, size: int) -> bool:
    """Whether nothing is missing after `size` bytes (HTTP 416); False where the rest follows.

    Raises TryAgain, DownloadDamaged for what any other status or body means."""
    status = answer.status
    content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if status in (200, 206) and content_type in ("text/html", "application/xhtml+xml"):
        raise DownloadDamaged(f"The storage sends a page instead of {file.name}; try again later.", status=status)
    if status in (200, 206) and answer.headers.get("content-encoding", "identity") != "identity":
        raise DownloadDamaged(f"The storage sends {file.name} packed, which was not asked for.", status=status)
    if status == 416:
        _, total = _content_range(answer)
        if total is not None and total == size:
            return True
        raise TryAgain("The storage has not the rest that is missing.", start=True)
    if status in (400, 401, 403, 404, 410):
        raise TryAgain(f"The storage does not accept the address any more (HTTP {status}).", fresh=True, pause=0.0)
    if status == 206 and _content_range(answer)[0] != size:
        raise TryAgain("The storage sends another part than was asked for.", start=True)
    if status not in (200, 206):
        raise TryAgain(f"The storage has trouble (HTTP {status}).")
    return False


@dataclass(frozen=True)
class WholeSize:
    """How many bytes the whole file has; `slack` is by how many it may be off, where only CivitAI says it."""

    bytes: int
    slack: int = 0


def whole_size(answer: Opened, file: ModelFile, settings: Settings) -> WholeSize:
    """The size of the whole file as the storage states it, held against CivitAI's word and our limit. Where the storage
    does not say it, CivitAI's word is enough for a file whose hash decides in the end. Raises DownloadDamaged,
    DownloadForbidden."""
    total, stated = _stated_total(answer), stated_size(file)
    slack = 0
    if total is None:
        if stated is None or not checkable(file):
            raise DownloadDamaged(f"The storage does not say how large {file.name} is; it is not loaded.")
        total, slack = stated, INEXACT
    if total == 0:
        raise DownloadDamaged(f"The storage has {file.name} with no byte in it; it is not loaded.")
    if reason := too_large(settings, file, total):
        raise DownloadForbidden(reason)
    if stated is not None and abs(total - stated) > INEXACT:
        raise DownloadDamaged(
            f"The storage has {total} bytes of {file.name}, and CivitAI states {stated}. It is not loaded; try again "
            "later."
        )
    return WholeSize(total, slack)


def _stated_total(answer: Opened) -> int | None:
    if answer.status == 206:
        return _content_range(answer)[1]
    length = answer.headers.get("content-length", "")
    return int(length) if length.isdigit() else None


def strong_etag(answer: Opened) -> str:
    """The mark of exactly these bytes, for `If-Range`; `""` where the storage has none (a weak one names no bytes)."""
    etag = answer.headers.get("etag", "")
    return "" if etag.startswith("W") else etag


def _content_range(answer: Opened) -> tuple[int | None, int | None]:
    """First byte and whole size: `bytes 5-9/10`, `bytes */10`, `bytes 5-9/*`."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("content-range", "").strip())
    if match is None:
        return None, None
    return int(match[1]) if match[1] else None, int(match[2]) if match[2] != "*" else None
