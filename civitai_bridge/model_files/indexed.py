"""The model files of an index at one moment, ready for look-ups by hash, name, stem and version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..resources.hashes import AUTO_V2, is_of_nothing
from .listing import ListedFile
from .names import stem_of


class ModelPath(NamedTuple):
    """A model file on disk. `folder` is ComfyUI's key, `name` what its loaders call it (`sub/x.safetensors`);
    hashes are lower-case hex, `""` where not taken (yet); `trouble` is what is wrong with the file itself; `version_id`
    and `model_id` are what CivitAI says of its bytes, 0 where it was not asked or knows none. `mtime_ns` is its time
    when it was listed; what is not `proved` has the hashes of a file that it is taken for (moved to another disk,
    touched)."""

    folder: str
    name: str
    path: str
    rank: int
    size: int
    sha256: str
    autov1: str
    autov3: str
    blake3: str
    crc32: str
    output_name: str
    trouble: str
    version_id: int = 0
    mtime_ns: int = 0
    proved: bool = True
    model_id: int = 0

    def is_as_hashed(self) -> bool:
        """Whether the file is there with the size and time that it had when it was hashed."""
        return ListedFile(self.path, self.size, self.mtime_ns, 0, "", "").stands()


@dataclass(frozen=True)
class Files:
    """All model files at one moment. Hashes are in lower case, stems as `stem_of` writes them, names have their
    folder key before them."""

    all: tuple[ModelPath, ...] = field(repr=False, default=())
    by_hash: Mapping[str, Sequence[ModelPath]] = field(repr=False, default_factory=dict)
    by_stem: Mapping[str, Sequence[ModelPath]] = field(repr=False, default_factory=dict)
    by_name: Mapping[tuple[str, str], ModelPath] = field(repr=False, default_factory=dict)
    by_version: Mapping[int, Sequence[ModelPath]] = field(repr=False, default_factory=dict)
    by_model: Mapping[int, Sequence[ModelPath]] = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class Ownership:
    """Which version CivitAI says that bytes belong to (0 = none), and what it says about that version."""

    sha256: str
    version_id: int
    model_id: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)


def files_from_rows(rows: Iterable[tuple[Any, ...]]) -> Files:
    """Rows in the order of ModelPath's fields; those of a lower rank come first."""
    files = tuple(map(ModelPath._make, rows))
    by_hash: dict[str, list[ModelPath]] = {}
    by_stem: dict[str, list[ModelPath]] = {}
    by_version: dict[int, list[ModelPath]] = {}
    by_model: dict[int, list[ModelPath]] = {}
    for file in files:
        if file.sha256:
            by_hash.setdefault(file.sha256, []).append(file)
            by_hash.setdefault(file.sha256[:AUTO_V2], []).append(file)
        for value in (file.autov3, file.autov1, file.blake3, file.crc32):
            if value and not is_of_nothing(value):  # an AutoV1 or AutoV3 of nothing names no file
                by_hash.setdefault(value, []).append(file)
        stem = stem_of(file.name)
        by_stem.setdefault(stem, []).append(file)
        if file.output_name and (alias := stem_of(file.output_name)) != stem:
            by_stem.setdefault(alias, []).append(file)
        if file.version_id:
            by_version.setdefault(file.version_id, []).append(file)
            if file.model_id:
                by_model.setdefault(file.model_id, []).append(file)
    by_name = {(file.folder, file.name): file for file in reversed(files)}
    return Files(files, by_hash, by_stem, by_name, by_version, by_model)
