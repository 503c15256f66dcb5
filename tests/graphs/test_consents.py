"""What was agreed to is remembered by the graph's name, bounded, and a damaged file asks again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pack.civitai_bridge.errors import BadInput
from pack.civitai_bridge.graphs import consents
from pack.civitai_bridge.graphs.consents import agree, agreed_to


def test_the_last_agreement_counts_and_the_oldest_are_forgotten(tmp_path: Path):
    names = [f"{number:064x}" for number in range(consents.MOST + 5)]
    for name in names:
        agree(tmp_path, name, 1)
    assert agreed_to(tmp_path, names[0]) is None and agreed_to(tmp_path, names[-1]) == 1
    agree(tmp_path, names[5], 9, clock=lambda: 7.0)  # the oldest that is left becomes the newest
    agree(tmp_path, "f" * 64, 0)
    assert (agreed_to(tmp_path, names[5]), agreed_to(tmp_path, names[6]), agreed_to(tmp_path, "f" * 64)) == (9, None, 0)
    stored = json.loads((tmp_path / consents.NAME).read_text())["graphs"]
    assert len(stored) == consents.MOST and stored[names[5]] == {"most_buzz": 9, "at": 7}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"graphs": 3}',
        b'{"graphs": {"x": 1}}',
        b"\xff",
        b'{"graphs": {"%s": {"most_buzz": "5"}}}' % (b"a" * 64),
    ],
)
def test_a_damaged_file_holds_nothing_and_is_written_anew(tmp_path: Path, content: bytes):
    (tmp_path / consents.NAME).write_bytes(content)
    assert agreed_to(tmp_path, "a" * 64) is None
    assert agree(tmp_path, "a" * 64, 5) == 5 == agreed_to(tmp_path, "a" * 64)


def test_what_is_no_agreement_is_refused(tmp_path: Path):
    for name, most in (("A" * 64, 1), ("a" * 63, 1), (None, 1), ("a" * 64, 1.5), ("a" * 64, "1"), ("a" * 64, 10**10)):
        with pytest.raises(BadInput):
            agree(tmp_path, name, most)
