"""Newer versions of what is here: one batch look-up a day, remembered, and off by a setting."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pack.civitai_bridge.errors import Unreachable
from pack.civitai_bridge.graphs.newer import DAY, newer_versions
from pack.civitai_bridge.settings import Settings
from pack.civitai_bridge.website import ListedVersion, Model


class Site:
    """Models of a site, and who asked for which."""

    def __init__(self, *models: Model) -> None:
        self.known = {model.model_id: model for model in models}
        self.asked: list[list[int]] = []
        self.away = False

    async def models(self, ids: list[int]) -> dict[int, Model]:
        self.asked.append(list(ids))
        if self.away:
            raise Unreachable("away", sent=False)
        return {id_: self.known[id_] for id_ in ids if id_ in self.known}


def model(id_: int, *versions: tuple[int, str, str]) -> Model:
    return Model(
        id_, "M", "LORA", versions=tuple(ListedVersion(v, f"v{v}", base, status) for v, base, status in versions)
    )


def catalog(home: Path, site: Site, *here: tuple[int, int]) -> Any:
    files = SimpleNamespace(all=[SimpleNamespace(version_id=version, model_id=model_id) for version, model_id in here])
    return SimpleNamespace(
        settings=Settings(home=home), site=site, scanning=None, index=SimpleNamespace(files=lambda: files)
    )


async def test_a_newer_version_of_the_same_base_model_is_told_once_a_day(tmp_path: Path):
    site = Site(
        model(1, (13, "SDXL 1.0", "Draft"), (12, "Pony", "Published"), (11, "SDXL 1.0", "Published"), (10, "SDXL 1.0", "Published")),
        model(2, (21, "SDXL 1.0", "Published"), (20, "SDXL 1.0", "Published")),
        model(3, (30, "Pony", "Published")),
    )  # fmt: skip
    shelf = catalog(tmp_path, site, (10, 1), (20, 2), (21, 2), (30, 3), (0, 0), (40, 4))
    newer = await newer_versions(shelf, clock=lambda: 1e9)
    assert {here: each.version_id for here, each in newer.items()} == {10: 11}, (
        "what is here too, or of another base, is not"
    )
    assert site.asked == [[1, 2, 3, 4]]
    assert await newer_versions(shelf, clock=lambda: 1e9 + DAY - 1) == newer and len(site.asked) == 1
    assert await newer_versions(shelf, clock=lambda: 1e9 + DAY + 1) == newer and len(site.asked) == 2


async def test_of_several_pages_at_once_one_asks(tmp_path: Path):
    site = Site(model(1, (11, "Pony", "Published"), (10, "Pony", "Published")))
    shelf = catalog(tmp_path, site, (10, 1))
    await asyncio.gather(*(newer_versions(shelf, clock=lambda: 1e9) for _ in range(8)))
    assert site.asked == [[1]]
    assert list(await newer_versions(shelf, clock=lambda: 1e9 + 5)) == [10]


async def test_a_service_that_is_away_is_not_asked_again_today_and_what_was_known_stays(tmp_path: Path):
    site = Site(model(1, (11, "A", "Published"), (10, "A", "Published")))
    shelf = catalog(tmp_path, site, (10, 1))
    first = await newer_versions(shelf, clock=lambda: 1e9)
    site.away = True
    assert await newer_versions(shelf, clock=lambda: 1e9 + 2 * DAY) == first
    assert await newer_versions(shelf, clock=lambda: 1e9 + 2 * DAY + 5) == first and len(site.asked) == 2


async def test_what_has_come_meanwhile_is_no_news_and_nothing_is_asked_while_files_are_hashed(tmp_path: Path):
    site = Site(model(1, (11, "A", "Published"), (10, "A", "Published")))
    shelf = catalog(tmp_path, site, (10, 1))
    shelf.scanning = object()
    assert await newer_versions(shelf, clock=lambda: 1e9) == {} and site.asked == []
    shelf.scanning = None
    assert list(await newer_versions(shelf, clock=lambda: 1e9)) == [10]
    assert await newer_versions(catalog(tmp_path, site, (10, 1), (11, 1)), clock=lambda: 1e9 + 5) == {}


async def test_it_is_off_by_a_setting_and_asks_nobody_where_nothing_is_here(tmp_path: Path):
    site = Site()
    shelf = catalog(tmp_path, site, (10, 1))
    shelf.settings = replace(shelf.settings, newer_versions="off")
    assert await newer_versions(shelf) == {} and site.asked == []
    assert await newer_versions(catalog(tmp_path, site), clock=lambda: 1.0) == {} and site.asked == []


async def test_a_state_folder_that_cannot_be_written_is_no_reason_to_ask_again(tmp_path: Path):
    (tmp_path / "newer.json").mkdir()
    site = Site(model(1, (11, "Pony", "Published"), (10, "Pony", "Published")))
    disk = catalog(tmp_path, site, (10, 1))
    for seconds in (0, 1, DAY - 1, DAY):
        await newer_versions(disk, clock=lambda at=seconds: 2 * DAY + at)
    assert len(site.asked) == 2
