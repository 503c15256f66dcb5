"""The short plan of `make test`; the long one is `make fire-link`. When it fails, its figures and seed are printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from fire.link_plan import draw
from fire.link_run import run


def test_the_same_seed_draws_the_same_link_plan():
    assert draw(7, 500, 5, 2) == draw(7, 500, 5, 2) != draw(8, 500, 5, 2)
    versions = [version for lane in draw(7, 500, 5, 2).lanes for version in lane.versions]
    assert len(versions) == len(set(versions))


@pytest.mark.timeout(180)
async def test_every_command_of_a_room_ends_once_under_fire(tmp_path: Path):
    plan = draw(20261128, faults=10, kills=2, restarts=1)
    verdict = await run(plan, tmp_path)
    assert not verdict.wrong, (
        f"FIRE_SEED={plan.seed} FIRE_FAULTS=10 FIRE_KILLS=2 FIRE_RESTARTS=1 make fire-link\n{verdict}"
    )
    assert verdict.counts["kills"] == 2 and verdict.counts["restarts of the relay"] == 1
    assert verdict.counts["commands that reached the agent"] >= 10
