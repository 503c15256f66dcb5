"""Every case of `tests/data/metadata`, held against what reading it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cases import FAMILIES, cases, containers, expected_of, lost, texts_of, unseen, written, wrong

from pack.civitai_bridge.metadata.read import generation_from_texts, read_file

CASES = [(f"{family}/{name}", case) for family in FAMILIES for name, case in cases(family)]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_a_picture_is_read_as_its_case_says(name: str, case: dict[str, Any]):
    assert wrong(generation_from_texts(texts_of(case)), expected_of(case)) == []


@pytest.mark.parametrize("path", containers(), ids=lambda path: path.name)
def test_the_text_in_every_container_is_seen_or_its_absence_said(path: Path):
    assert unseen(path, read_file(path)) == []


WRITING = list(cases("writing"))


@pytest.mark.parametrize(("name", "case"), WRITING, ids=[name for name, _ in WRITING])
def test_civitai_keeps_everything_that_is_written(name: str, case: dict[str, Any]):
    assert lost(*written(case)) == []
