"""The models that the sandbox's site knows (models.json): one of each kind that a client must tell apart, and how the
site chooses and finds their files.

In models.json, in this order: what people use, networks and their families; files in several precisions, quantisations
and parts; what the creator or the site does not allow; odd names; equal bytes in two versions; a storage that does not
keep its word; types; one model in two families; and twenty palettes for pictures with many networks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import files as _files
from .files import File

_AIR_TYPES = {
    "Checkpoint": "checkpoint", "LORA": "lora", "LoCon": "lycoris", "DoRA": "dora", "TextualInversion": "embedding",
    "Hypernetwork": "hypernet", "VAE": "vae", "Controlnet": "controlnet", "Upscaler": "upscaler",
    "MotionModule": "motion", "UNet": "unet", "TextEncoder": "text_encoders", "CLIPVision": "clipvision",
}  # fmt: skip
_AIR_TYPE_BY_FILE = {"Diffusion Model": "diffusionmodel", "UNet": "unet"}
_WEIGHTS = (("format", 100.0), ("size", 10.0), ("fp", 1.0), ("quantType", 0.5))
PREFERENCES = {"format": "SafeTensor", "size": "pruned", "fp": "fp16", "quantType": "Q4_K_M"}
# Base models whose checkpoints are uploaded without text encoder and VAE.
_BARE = ("Anima", "Chroma", "Flux", "HiDream", "Krea", "Qwen", "Wan", "ZImage")
_LARGE = 1_150_000  # beyond the block that AutoV1 is taken from
THEN = "2026-01-02T03:04:05.678Z"
FOREVER = "forever"


@dataclass(frozen=True)
class Version:
    """One model version. `status` other than Published is a 404; `can_generate` is what the fleet says; `paid` is the
    end of an early access, or FOREVER; `linked` are versions whose first file is listed with this one's."""

    id: int
    model_id: int
    model: str
    name: str
    base: str
    ecosystem: str
    type: str = "Checkpoint"
    words: tuple[str, ...] = ()
    can_generate: bool = True
    status: str = "Published"
    usage: str = "Download"
    mode: str = ""
    uploaded: tuple[File, ...] = ()
    rated: bool = True
    level: int = 1
    paid: str = ""
    private: bool = False
    needs_login: bool = False
    poi: bool = False
    deleted: bool = False
    published: str = THEN
    linked: tuple[int, ...] = ()
    downloads: int | None = 1000

    @property
    def air(self) -> str:
        main = primary(self)
        kind = _AIR_TYPE_BY_FILE.get(main.type if main else "") or _AIR_TYPES.get(self.type, "unknown")
        return f"urn:air:{self.ecosystem}:{kind}:civitai:{self.model_id}@{self.id}"

    @property
    def files(self) -> tuple[File, ...]:
        """What was uploaded; a version that names nothing has one file of its type's usual size."""
        if self.uploaded:
            return self.uploaded
        length = _LARGE if self.type == "Checkpoint" else 24_000
        whole = not self.base.startswith(_BARE)
        return (File(f"{_short(self.model)}_{_short(self.name)}.safetensors", length=length, whole=whole),)


def _load() -> dict[int, Version]:
    rows = json.loads((Path(__file__).parent / "models.json").read_text(encoding="utf-8"))
    versions = [Version(**{**row, **_tuples(row), "uploaded": _files_of(row)}) for row in rows]
    return {version.id: version for version in versions}


def _files_of(row: dict[str, Any]) -> tuple[File, ...]:
    return tuple(File(**{**stated, **_tuples(stated)}) for stated in row.get("uploaded", ()))


def _tuples(row: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(value) for name, value in row.items() if isinstance(value, list)}


def _short(text: str) -> str:
    """Camel case of Latin letters and digits, at most 20 characters, cut between words."""
    name = ""
    for number, word in enumerate(re.findall(r"[A-Za-z0-9]+", text)):
        part = (
            word[:1].upper() + word[1:] if number else (word.lower() if word.isupper() else word[:1].lower() + word[1:])
        )
        if name and len(name) + len(part) > 20:
            break
        name += part
    return name[:20] or "model"


def shown_name(version: Version, file: File) -> str:
    """The name that by-id states and, without an override, a download carries."""
    if version.type in ("LORA", "LoCon", "VAE") or not re.search(r"[A-Za-z]", version.model) or not version.uploaded:
        return file.name
    if version.type == "TextualInversion" and version.words:
        return f"{version.words[0]}{'-neg' if file.type == 'Negative' else ''}.{file.ending}"
    return f"{_short(version.model)}_{_short(version.name)}.{file.ending}"


def download_name(version: Version, file: File) -> str:
    """The name that a download carries."""
    return file.override or shown_name(version, file)


def score(file: File, preferences: dict[str, str]) -> float:
    """How the site ranks files: for each key that a file states, its weight up or down."""
    stated = metadata(file, whole=True)
    points = 1000.0
    for key, weight in _WEIGHTS:
        if stated.get(key):
            points += weight if stated[key] == preferences.get(key) else -weight
    return points + (1000 if file.type in ("Model", "Pruned Model", "Diffusion Model", "UNet") else 0)


def primary(version: Version) -> File | None:
    """The file that the site gives when nobody asks for another."""
    public = [file for file in version.files if file.public]
    return max(public, key=lambda file: score(file, PREFERENCES)) if public else None


def file_id(version: Version, file: File) -> int:
    """The id of a file: its version's id and its place."""
    return version.id * 10 + version.files.index(file)


def file_of(id: int) -> tuple[Version, File] | None:
    """Version and file of an id; None where there is none."""
    version = VERSIONS.get(id // 10)
    if version is None or id % 10 >= len(version.files):
        return None
    return version, version.files[id % 10]


def metadata(file: File, *, whole: bool = False) -> dict[str, str]:
    """What the site states of a file; `whole` = its quantisation too."""
    stated = {"format": file.format, "size": file.size, "fp": file.fp}
    if whole:
        stated["quantType"] = file.quant
    return {key: value for key, value in stated.items() if value}


def visible(version: Version | None) -> bool:
    """Whether the public routes show a version."""
    return version is not None and version.status == "Published" and version.rated and not version.deleted


@lru_cache(maxsize=1)
def _index() -> dict[str, list[tuple[Version, File]]]:
    """Every stored hash but BLAKE3 -> the files that have it, in the order of their ids."""
    files: dict[str, list[tuple[Version, File]]] = {}
    for version in sorted(VERSIONS.values(), key=lambda v: v.id):
        for file in version.files if visible(version) else ():
            if file.scanned:
                for kind, value in _files.fast_hashes(file).items():
                    if kind not in file.lacks:
                        files.setdefault(value, []).append((version, file))
    return files


@lru_cache(maxsize=1)
def _slow_index() -> dict[str, list[tuple[Version, File]]]:
    files: dict[str, list[tuple[Version, File]]] = {}
    for version, file in dict.fromkeys(pair for pairs in _index().values() for pair in pairs):
        if "BLAKE3" not in file.lacks:
            files.setdefault(_files.blake3_of(file), []).append((version, file))
    return files


def by_hash(text: str) -> Version | None:
    """The earliest published version with a file of this hash, of any kind, whole and in any case."""
    asked = text.upper()
    pairs = _index().get(asked) or (_slow_index().get(asked) if len(asked) == 64 else None) or []
    return min((version for version, _ in pairs), key=lambda v: v.published, default=None)


def by_sha256(asked: set[str]) -> list[tuple[Version, File]]:
    """Every file with one of these (upper-case) SHA-256, in the database's order; a version may come twice."""
    pairs = [pair for sha in asked for pair in _index().get(sha, ()) if len(sha) == 64]
    return sorted(pairs, key=lambda pair: file_id(*pair))


def by_air(air: str) -> Version | None:
    """The version that an AIR names."""
    tail = air.rsplit("@", 1)[-1].split("+")[0]
    return VERSIONS.get(int(tail)) if tail.isdigit() else None


def sha256(file: File) -> str:
    """SHA-256 of the bytes in upper-case hex."""
    return _files.fast_hashes(file)["SHA256"]


VERSIONS: dict[int, Version] = _load()
