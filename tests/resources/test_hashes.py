"""Hashes as texts: how they are read, compared and looked for."""

from __future__ import annotations

import hashlib

import pytest

from pack.civitai_bridge.resources.hashes import (
    OF_NOTHING,
    bare_hash,
    is_of_nothing,
    names_file,
    normal_hash,
    spellings,
)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("95D20EDA2F", "95d20eda2f"),
        (" 0x95D20EDA2F ", "95d20eda2f"),
        ("sha256:" + "a" * 64, "a" * 64),
        ("1234567", ""),
        ("g" * 10, ""),
        ("e3b0c44298fc", ""),
        (OF_NOTHING.upper(), ""),
        (None, ""),
        (12345678, ""),
        ("f" * 81, ""),
    ],
)
def test_a_hash_is_read_as_it_is_compared(written: object, normal: str):
    assert normal_hash(written) == normal


def test_the_hash_of_nothing_is_what_it_says():
    assert hashlib.sha256(b"").hexdigest() == OF_NOTHING
    assert is_of_nothing("e3b0c44298") and not is_of_nothing("e3b0c44299")


def test_twelve_digits_may_be_the_head_of_a_whole_files_hash():
    full = hashlib.sha256(b"x").hexdigest()
    assert spellings(full[:12]) == (full[:12], full[:10]) and spellings(full) == (full,)
    assert names_file(full[:12], {full, full[:10]}) and not names_file(full[:11], {full, full[:10]})


def test_a_trainers_prefix_is_no_part_of_a_hash():
    assert bare_hash("0xABCDEF12") == bare_hash("abcdef12 ") == "abcdef12"
