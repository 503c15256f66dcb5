"""Names and endings of results: safe, no two alike, by what the bytes are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pack.civitai_bridge.errors import BlobDamaged
from pack.civitai_bridge.model_files.names import safe_name
from pack.civitai_bridge.sandbox.drawing import draw
from pack.civitai_bridge.workflows.keeping import stems
from pack.civitai_bridge.workflows.kinds import ENDINGS, ending_for, sniff, verify
from pack.civitai_bridge.workflows.outputs import Output


def output(kind: str = "image", id_: str = "", **more: object) -> Output:
    return Output("s", 0, 0, kind, "", id=id_, **more)  # type: ignore[arg-type]


@example("0:" + "𝕊" * 60, ["𝕊" * 50])  # letters of four bytes
@given(st.text(max_size=80), st.lists(st.text(max_size=50), min_size=1, max_size=5))
def test_every_name_is_safe_and_no_two_are_alike(workflow: str, steps: list[str]):
    made = [Output(name, place, index, "image", "") for place, name in enumerate(steps) for index in range(2)]
    names = stems(workflow, made)
    assert len(set(names)) == len(names)
    for name in names:
        assert safe_name(f"{name}.png") == f"{name}.png" and not set(name) & set("/\\:$. ")


def test_names_of_steps_that_would_become_one_are_told_apart():
    made = [Output(name, place, 0, "image", "") for place, name in enumerate(("x", "$x", "x-1", "x"))]
    assert stems("w", made) == ["w_x_0", "w_x-1_0", "w_x-1-2_0", "w_x-3_0"]
    assert stems("a.b", made[:1]) != stems("a_b", made[:1])
    assert stems("a" * 70, made[:1]) != stems("a" * 71, made[:1])


KINDS = [
    (draw("a sea", 1, 8, 8, "png", None), "A.png", "png"),
    (draw("a sea", 1, 8, 8, "jpeg", None), "A.jpg", "jpg"),
    (draw("a sea", 1, 8, 8, "jpeg", None), "A.png", "jpeg"),
    (draw("a sea", 1, 8, 8, "webP", None), "A", "webp"),
    (b"GIF89a", "A.gif", "gif"),
    (b"\0\0\0\x18ftypmp42", "A.mov", "mov"),
    (b"\0\0\0\x18ftypavif", "A", "avif"),
    (b"\x1aE\xdf\xa3", "A.exe", "webm"),
    (b"RIFF....WAVE", "A", "wav"),
    (b"ID3", "", "mp3"),
    (b"fLaC", "", "flac"),
    (b"OggS", "A.opus", "opus"),
    (b"glTF", "", "glb"),
    (b"PK\x03\x04", "A.usdz", "usdz"),
    (b"\xef\xbb\xbf<?xml version='1.0'?><svg>", "A.png", "svg"),
    (b"MZ", "A.exe", "bin"),
    (b"v 1 2 3", "A.obj", "obj"),
    (b"#!/bin/sh", "A.sh", "bin"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "id_", "ending"), KINDS)
def test_the_ending_is_that_of_the_bytes(content: bytes, id_: str, ending: str):
    assert ending_for(output(id_=id_), sniff(content)) == ending
    assert ending in ENDINGS


def test_what_is_no_picture_is_damaged():
    picture = draw("a sea", 1, 8, 8, "png", None)
    size = verify(picture, output(), decode=False)
    assert size is not None and (size.width, size.height) == (8, 8)
    wrong = {b"": "without a byte", b"<!DOCTYPE html>": "page", b"text": "no picture", picture[:-20]: "cut off"}
    for content, sentence in wrong.items():
        with pytest.raises(BlobDamaged, match=sentence):
            verify(content, output(), decode=False)
    assert verify(b"anything", output("file"), decode=False) is None
    with pytest.raises(BlobDamaged, match="page"):
        verify(b"\n<html>", output("video"), decode=False)
