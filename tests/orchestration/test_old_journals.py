"""A journal that an earlier version wrote is opened and goes on: `data/journal_42d62df.sql` is what that commit left after
five purchases, one of them with another key, one at another address of the same service."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.purchase import ACCEPTED, COLLECTED, FAILED, Attempt

WRITTEN_BEFORE = Path(__file__).parent.parent / "data" / "journal_42d62df.sql"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.sqlite3"
    database = sqlite3.connect(path)
    database.executescript(WRITTEN_BEFORE.read_text(encoding="utf-8"))
    database.close()
    return path


def test_a_journal_of_an_earlier_version_is_opened_as_it_is(path: Path):
    journal = Journal(path)
    rows = journal.rows()
    assert [(row.state, row.workflow_id, row.cost, row.about["seed"]) for row in rows] == [
        (COLLECTED, "7-1", 16, 1),
        (ACCEPTED, "7-2", 16, 2),
        (ACCEPTED, "7-3", 16, 3),
        (ACCEPTED, "7-4", 16, 4),
        (FAILED, "7-5", 16, 5),
    ]
    assert [image.seed for image in rows[0].slots if image.fetched] == [1, 2]
    (attempt,) = journal.attempts(rows[1].key)
    assert attempt == Attempt(1, attempt.started, "accepted: 7-2")
    assert journal.take(rows[1].key, "o").owner == "o"
    assert journal.record(rows[1].key, owner="o", state=FAILED, error="e").state == FAILED
    journal.close()
    again = Journal(path)
    assert [row.state for row in again.rows()].count(FAILED) == 2
    again.close()
