"""Entries as people and other tools write them."""

from __future__ import annotations

from typing import Any

import pytest

from pack.civitai_bridge.catalog.entries import entry_from_json


@pytest.mark.parametrize(
    ("raw", "version_id"),
    [(7, 7), ("7", 7), (" 7", 7), ("7a", None), (None, None), (True, None), (7.0, 7), ("710001.0", 710001), (7.5, None), ("", None), ("٧", None), ("9" * 30, None)],
)  # fmt: skip
def test_a_version_id_may_be_a_numeric_string(raw: Any, version_id: int | None):
    assert entry_from_json({"civitai_version_id": raw}).version_id == version_id


def test_an_entry_takes_what_others_write():
    entry = entry_from_json({"file": 3, "civitai_base_model": "SDXL 1.0", "hash": "0xABC", "sha256": "D" * 64})
    assert (entry.file, entry.base_model, entry.hashes, entry.sha256) == ("", "SDXL 1.0", ("abc", "d" * 64), "d" * 64)
    assert entry_from_json({"base_model": "Pony", "civitai_base_model": "x"}).base_model == "Pony"
