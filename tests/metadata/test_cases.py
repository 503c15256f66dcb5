"""Every case of `tests/data/metadata`, held against what reading it gives."""

from __future__ import annotations

from typing import Any

import pytest
from cases import FAMILIES, cases, expected_of, texts_of, wrong

from pack.civitai_bridge.metadata.read import generation_from_texts

CASES = [(f"{family}/{name}", case) for family in FAMILIES for name, case in cases(family)]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_a_picture_is_read_as_its_case_says(name: str, case: dict[str, Any]):
    assert wrong(generation_from_texts(texts_of(case)), expected_of(case)) == []
