"""Foreign JSON: a value of the right kind, or nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pack.civitai_bridge.resources import json_values as values

ANYTHING: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(ANYTHING)
def test_whatever_comes_the_kind_is_kept(value: Any):
    assert type(values.integer(value)) in (int, type(None))
    assert type(values.text(value)) is str and type(values.items(value)) is list
    assert all(isinstance(entry, dict) for entry in values.objects(value))
    for read in (values.decimal, values.number):
        parsed = read(value)
        assert parsed is None or math.isfinite(parsed)
    whole = values.whole(value)
    assert whole is None or -values.LARGEST < whole < values.LARGEST


@pytest.mark.parametrize(
    ("value", "whole", "number"),
    [
        ("20", 20, 20.0),
        (" -7 ", -7, -7.0),
        ("20.0", 20, 20.0),
        ("20.5", None, 20.5),
        (True, None, None),
        ("1_000", None, None),
        ("nan", None, None),
        (float("inf"), None, None),
        ("9" * 70, None, None),
        (str(2**64), None, float(2**64)),
        ("²", None, None),
    ],
)
def test_numbers_that_were_written_as_text(value: object, whole: int | None, number: float | None):
    assert values.whole(value) == whole and values.number(value) == number
