"""Bought pictures on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pack.civitai_bridge.errors import StateTrouble
from pack.civitai_bridge.orchestration.results import MOST_SECONDS, Results


def keep(results: Results, content: bytes) -> str:
    return results.keep(content, hashlib.sha256(content).hexdigest(), "png")


def test_a_picture_is_kept_once_and_nothing_else_is_left(tmp_path: Path):
    results = Results(tmp_path / "results")
    file = keep(results, b"one")
    assert keep(results, b"one") == file and results.path(file).read_bytes() == b"one"
    assert [p.name for p in (tmp_path / "results").iterdir()] == [file]


def test_names_never_lead_out_of_the_folder(tmp_path: Path):
    results = Results(tmp_path / "results")
    assert results.path("../../etc/passwd") == tmp_path / "results" / "passwd"


def test_a_full_or_closed_drive_is_a_sentence(tmp_path: Path):
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(StateTrouble, match="journal resume"):
        keep(Results(tmp_path / "results"), b"one")


def test_the_oldest_collected_go_first_and_waiting_ones_never(tmp_path: Path):
    results = Results(tmp_path / "results")
    old, new, waiting = keep(results, b"a" * 100), keep(results, b"b" * 100), keep(results, b"c" * 100)
    kept = {old: (1.0, True), new: (2.0, True), waiting: (0.0, False)}
    assert results.prune(kept, now=3.0, most_bytes=1000) == []
    assert results.prune(kept, now=3.0, most_bytes=200) == [old]
    assert results.prune(kept, now=3.0 + MOST_SECONDS, most_bytes=1000) == [new]
    assert results.has(waiting)


def test_files_that_no_row_names_are_left_alone(tmp_path: Path):
    results = Results(tmp_path / "results")
    keep(results, b"somebody's")
    assert results.prune({}, now=1e12, most_bytes=0) == []
