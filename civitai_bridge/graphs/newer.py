"""Newer versions of models that are here: CivitAI is asked once a day at most, a hundred models a request.

`newer.json` in the state folder remembers when it was asked and what it said."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalog.service import CatalogService
from ..errors import BadSetting, CivitaiError
from ..resources.json_values import integer, items, mapping, text
from ..settings import read_json, write_json
from ..website import Model

NAME = "newer.json"
_ONE_AT_A_TIME = threading.Lock()
_ASKED: dict[Path, float] = {}  # when this process asked last, by state folder
DAY = 24 * 3600.0  # seconds
MOST_MODELS = 1000  # of this disk that are asked about


@dataclass(frozen=True)
class NewerVersion:
    """A version of a model that is newer than the one on this disk, for the same base model."""

    version_id: int
    name: str
    base_model: str

    def as_json(self) -> dict[str, Any]:
        return {"version_id": self.version_id, "name": self.name, "base_model": self.base_model}


async def newer_versions(
    catalog: CatalogService, *, clock: Callable[[], float] = time.time
) -> Mapping[int, NewerVersion]:
    """The versions on this disk of which there is a newer one; what CivitAI said today, else it is asked now, unless
    the setting is off or the files are being looked through. What it does not answer is asked tomorrow."""
    if catalog.settings.newer_versions != "on":
        return {}
    home, now = catalog.settings.home, clock()
    _, newer = await asyncio.to_thread(_stored, home)
    versions = await asyncio.to_thread(_here, catalog)
    newer = {old: version for old, version in newer.items() if version.version_id not in versions}
    model_ids = list(dict.fromkeys(versions.values()))[:MOST_MODELS]
    if not model_ids or catalog.scanning is not None or not await asyncio.to_thread(_is_due, home, now, newer):
        return newer
    try:
        models = await catalog.site.models(model_ids)
    except CivitaiError:
        return newer
    newer = _newer(versions, models)
    await asyncio.to_thread(_keep, home, now, newer)
    return newer


def _is_due(home: Path, now: float, newer: Mapping[int, NewerVersion]) -> bool:
    """Whether CivitAI is to be asked now. Written down at once, so that of two pages one asks, and what fails is not
    asked again today."""
    with _ONE_AT_A_TIME:
        asked = _stored(home)[0], _ASKED.get(home, now - DAY)  # the file may not be there to be written
        if any(0 <= now - at < DAY for at in asked):
            return False
        _ASKED[home] = now
        _keep(home, now, newer)
        return True


def _here(catalog: CatalogService) -> dict[int, int]:
    """The versions whose files are here, each with its model."""
    return {file.version_id: file.model_id for file in catalog.index.files().all if file.version_id and file.model_id}


def _newer(versions: Mapping[int, int], models: Mapping[int, Model]) -> dict[int, NewerVersion]:
    newer = {}
    for version_id, model_id in versions.items():
        model = models.get(model_id)
        listed = model.newer_than(version_id) if model is not None else None
        if listed is not None and listed.version_id not in versions:
            newer[version_id] = NewerVersion(listed.version_id, listed.name, listed.base_model)
    return newer


def _stored(home: Path) -> tuple[float, dict[int, NewerVersion]]:
    try:
        stored = read_json(home / NAME)
    except BadSetting:
        return 0.0, {}
    asked_at = stored.get("asked")
    return float(asked_at) if isinstance(asked_at, (int, float)) else 0.0, dict(_entries(items(stored.get("newer"))))


def _entries(entries: Iterable[Any]) -> Iterable[tuple[int, NewerVersion]]:
    for entry in map(mapping, entries):
        old, new = integer(entry.get("here")), integer(entry.get("version_id"))
        if old is not None and new is not None:
            yield old, NewerVersion(new, text(entry.get("name")), text(entry.get("base_model")))


def _keep(home: Path, asked_at: float, newer: Mapping[int, NewerVersion]) -> None:
    entries = [{"here": version_id, **version.as_json()} for version_id, version in newer.items()]
    try:
        write_json(home / NAME, {"asked": asked_at, "newer": entries})
    except BadSetting:
        pass  # then this process alone remembers it
