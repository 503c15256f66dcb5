"""The images that the sandbox's site knows (images.json): one of each kind that a client must tell apart.

`meta` is what the uploader's file held, as the site stores it: Comfy graphs are text, numbers are already numbers.
`{"hash_of": VERSION, "kind": …, "before": …}` stands for a hash of that version's first file; kind `head` is the first
12 digits of the whole file's SHA-256, as Forge writes it. `{"text": …, "then": …, "times": …}` stands for a long text.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files, models


@dataclass(frozen=True)
class Image:
    """One image. `resources` are what the site resolved at its upload: version id and weight, or None. `shown` False =
    private, unpublished or under review: REST does not list it, tRPC gives it all the same."""

    id: int
    post_id: int
    meta: dict[str, Any] | None = None
    type: str = "image"
    level: int = 1
    hidden: bool = False
    shown: bool = True
    resources: tuple[tuple[int, float | None], ...] = ()
    process: str | None = "txt2img"
    tools: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    display_keys: tuple[str, ...] = ()
    width: int = 832
    height: int = 1216
    base: str = "SDXL 1.0"
    likes: int = 1

    @property
    def uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox image {self.id}"))

    @property
    def open_meta(self) -> dict[str, Any] | None:
        return None if self.hidden else _stored(self.meta)


def _stored(value: Any) -> Any:
    """What was stored, with hashes and long texts in their places."""
    if isinstance(value, list):
        return [_stored(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if "hash_of" in value:
        return value.get("before", "") + _hash(value["hash_of"], value.get("kind", "AutoV2"))
    if value.keys() == {"text", "then", "times"}:
        return value["text"] + value["then"] * value["times"]
    return {key: _stored(inner) for key, inner in value.items()}


def _hash(version_id: int, kind: str) -> str:
    hashes = files.fast_hashes(models.VERSIONS[version_id].files[0])
    return (hashes["SHA256"][:12] if kind == "head" else hashes[kind]).lower()


def _load() -> dict[int, Image]:
    rows = json.loads((Path(__file__).parent / "images.json").read_text(encoding="utf-8"))
    for row in rows:
        row["resources"] = tuple((version_id, weight) for version_id, weight in row.get("resources", ()))
        row |= {name: tuple(row[name]) for name in ("tools", "techniques", "display_keys") if name in row}
    return {row["id"]: Image(**row) for row in rows}


IMAGES: dict[int, Image] = _load()
