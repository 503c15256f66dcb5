"""Whether bytes on disk are the file that CivitAI describes: by its hashes, by its size where it states none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import DownloadTrouble, FileTrouble
from ..resources.version import ModelFile
from .atomic import reason
from .hashing import BLAKE3, CHUNK, CRC32, EVERY, SHA256, digest_file
from .names import is_safetensors

INEXACT = 1024  # bytes by which the site's `sizeKB`, a rounded float, may be off


@dataclass(frozen=True)
class DownloadedFile:
    """A file that is on disk now. `resumed` bytes were there from an earlier run; `was_there` = nothing was loaded;
    `verified` = it has the hashes that CivitAI states (which has none before it has scanned a file)."""

    path: Path
    size: int
    sha256: str
    resumed: int = 0
    was_there: bool = False
    verified: bool = True


def stated_size(file: ModelFile) -> int | None:
    """How many bytes CivitAI says that a file has, off by a rounding (`INEXACT`); None where it does not say."""
    return None if file.size_kb is None else round(file.size_kb * 1024)


def has_stated_size(file: ModelFile, size: int) -> bool:
    """Whether `size` bytes are all of a file, as far as CivitAI says how many those are."""
    return file.size_kb is not None and abs(size - file.size_kb * 1024) < 1


def stated_hashes(file: ModelFile) -> dict[str, str]:
    """What CivitAI states of a file, by kind in upper case, in lower-case hex."""
    return {kind.upper(): value.lower() for kind, value in file.hashes.items() if value}


def checkable(file: ModelFile) -> dict[str, str]:
    """The stated hashes of a whole file that can be taken here; of AutoV1, which is of 64 KiB, nothing follows."""
    stated = stated_hashes(file)
    lengths = {SHA256: 64, BLAKE3: 64 if BLAKE3 in EVERY else 0, "AUTOV2": 10, "AUTOV3": 12, CRC32: 8}
    if not is_safetensors(file.name):
        del lengths["AUTOV3"]
    return {kind: stated[kind] for kind, length in lengths.items() if length and len(stated.get(kind, "")) == length}


def contradiction(file: ModelFile, sha256: str, path: Path) -> str:
    """Which stated hash the bytes at `path` have not, in words, `""` where they have all.

    A SHA-256 is enough; without one whatever else is stated is taken in one more reading."""
    stated = checkable(file)
    if SHA256 in stated:
        actual, stated = {SHA256: sha256}, {SHA256: stated[SHA256]}
    elif not stated.keys() - {"AUTOV2"}:
        actual = {"AUTOV2": sha256[:10]}
    else:
        actual = {kind.upper(): value for kind, value in digest_file(path, kinds=EVERY).by_kind().items()}
    wrong = (kind for kind, value in stated.items() if actual.get(kind) != value)
    return next((f"{kind} {actual.get(kind, 'none')[:12]} in place of {stated[kind][:12]}" for kind in wrong), "")


def is_file(path: Path, file: ModelFile) -> bool:
    """Whether the bytes at `path` are this file. Reads all of it where the size fits."""
    try:
        if file.size_kb is not None and abs(path.stat().st_size - file.size_kb * 1024) > INEXACT:
            return False
        check_in_place(path, file)
    except (DownloadTrouble, FileTrouble, OSError):
        return False
    return True


def check_in_place(target: Path, file: ModelFile) -> DownloadedFile:
    """A file that has the name already: this one, or another that is left alone. Raises DownloadTrouble."""
    digest, size = hashlib.sha256(), 0
    try:
        with open(target, "rb", buffering=0) as source:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise DownloadTrouble(f"{target} is there and cannot be read: {reason(error)}.") from error
    sha256, is_stated = digest.hexdigest(), bool(checkable(file))
    if not (is_stated or has_stated_size(file, size)) or contradiction(file, sha256, target):
        raise DownloadTrouble(f"{target} is there already with other bytes; it is left alone. Move it away first.")
    return DownloadedFile(target, size, sha256, was_there=True, verified=is_stated)
