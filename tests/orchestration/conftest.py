"""A journal on a clock that the test sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_orders import Clock

from pack.civitai_bridge.orchestration.journal import Journal


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock):
    journal = Journal(tmp_path / "state" / "journal.sqlite3", clock=clock, monotonic=clock.monotonic)
    yield journal
    journal.close()
