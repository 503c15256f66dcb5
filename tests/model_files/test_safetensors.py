"""What the header of a safetensors file says, without its tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pack.civitai_bridge.errors import FileTrouble, NotSafetensors
from pack.civitai_bridge.model_files.safetensors import read_header


def safetensors(header: object, payload: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


def test_a_file_that_is_not_there_has_no_header(tmp_path: Path):
    with pytest.raises(FileTrouble):
        read_header(tmp_path / "none")


def test_a_header_tells_names_and_keeps_the_rest_to_itself(tmp_path: Path):
    facts = {
        "ss_output_name": "ink",
        "modelspec.title": "Ink é",
        "sshs_model_hash": "ab",
        "ss_tag_frequency": "{}",
        "format": "pt",
    }
    tensors = {f"layer.{n}": {"dtype": "F16", "shape": [1], "data_offsets": [n, n + 2]} for n in range(50)}
    path = tmp_path / "x.safetensors"
    for header in ({"__metadata__": facts, **tensors}, {**tensors, "__metadata__": facts}):
        path.write_bytes(safetensors(header, b"\0" * 100))
        assert read_header(path).facts == {
            "ss_output_name": "ink",
            "modelspec.title": "Ink é",
            "sshs_model_hash": "ab",
        }
    path.write_bytes(safetensors(tensors, b"\0" * 100))
    assert read_header(path).facts == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "only 0 bytes"),
        (b"abc", "only 3 bytes"),
        ((2**63).to_bytes(8, "little") + b"{}", "header says 9223372036854775808 bytes"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "cut off"),
        ((0).to_bytes(8, "little"), "no JSON"),
        ((2).to_bytes(8, "little") + b"[]", "no JSON"),
        ((2).to_bytes(8, "little") + b'{"', "no JSON"),
        ((9).to_bytes(8, "little") + b'{"a":1 "b', "no JSON"),
        ((4).to_bytes(8, "little") + b"\xff\xfe{}", "no text"),
        ((200_005).to_bytes(8, "little") + b'{"a":' + b"[" * 200_000, "no JSON"),
    ],
    ids=range(10),
)
def test_what_is_no_safetensors_header_is_said(content: bytes, sentence: str, tmp_path: Path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(NotSafetensors, match=sentence):
        read_header(path)


def test_metadata_that_is_no_object_tells_nothing(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors({"__metadata__": [1], "a": 2}))
    assert read_header(path).facts == {}
