"""Texts of videos: where core's SaveVideo, VideoHelperSuite and other tools put them, without a look at the pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import box, mp4, webm
from test_comfy_reader import core

from pack.civitai_bridge.metadata.container.reader import read_texts
from pack.civitai_bridge.metadata.read import read_file

A1111 = "a red kite\nNegative prompt: fog\nSteps: 21, Sampler: Euler a, Seed: 42"
GRAPH = json.dumps(core())
WORKFLOW = json.dumps({"nodes": [], "links": [], "version": 0.4})
PLACES = {
    "SaveVideo of core, MP4": mp4({"prompt": GRAPH, "workflow": WORKFLOW}),
    "SaveVideo of core, texts first": mp4({"prompt": GRAPH, "workflow": WORKFLOW}, first=True),
    "SaveWEBM of core": webm({"prompt": GRAPH, "workflow": WORKFLOW}),
    "SaveWEBM, texts first": webm({"prompt": GRAPH, "workflow": WORKFLOW}, first=True),
    "a WebM whose lengths are not known": webm({"prompt": GRAPH}, live=True),
    "VideoHelperSuite, MP4": mp4({"\xa9cmt": json.dumps({"prompt": GRAPH, "workflow": json.loads(WORKFLOW)})}, itunes=True),
    "VideoHelperSuite, WebM": webm({"comment": json.dumps({"prompt": core(), "CreationTime": "now"})}),
    "A1111 text as a comment": mp4({"\xa9cmt": A1111}, itunes=True),
    "A1111 text under its name": webm({"parameters": A1111}),
    "QuickTime's own string": box(b"ftyp", b"qt  \0\0\2\0qt  ") + box(b"moov", box(b"udta", box(
        b"\xa9cmt", len(A1111).to_bytes(2, "big") + b"\x15\xc7" + A1111.encode()))),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_a_videos_texts_are_read(name: str, tmp_path: Path):
    data = read_file(PLACES[name])
    assert (data.seed, data.steps) in ((42, 20), (42, 21)) and data.notes == read_file(io.BytesIO(PLACES[name])).notes
    path = tmp_path / "a video.mp4"
    path.write_bytes(PLACES[name])
    assert read_file(path) == data


def test_a_video_that_says_nothing_says_so():
    for data in (mp4({}), webm({}), box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", b"\0" * 99)):
        reading = read_file(data)
        assert reading.seed is None and reading.notes


class Watched(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("make", [mp4, webm])
def test_the_pictures_of_a_video_are_never_read(make):
    file = Watched(make({"prompt": GRAPH}))
    assert read_texts(file).texts and file.count < len(GRAPH) + 3000


@pytest.mark.parametrize("cut", [1, 40, 300, 1500])
@pytest.mark.parametrize("make", [mp4, webm])
def test_a_video_that_is_cut_off_says_so(make, cut: int):
    reading = read_file(make({"prompt": GRAPH})[:-cut])
    assert reading.notes and reading.seed in (None, 42)


GREEDY = {
    "boxes without end": box(b"ftyp", b"isom\0\0\0\0") + box(b"moov", box(b"udta", box(b"free", b"") * 200_000)),
    "boxes in boxes": box(b"ftyp", b"isom\0\0\0\0") + box(b"moov", b"\0\0\0\x08udta" * 200_000),
    "a box longer than the file": box(b"ftyp", b"isom\0\0\0\0") + b"\0\0\0\1moov\x7f" + b"\xff" * 7,
    "tags in tags": webm({})[:40] + b"\x12\x54\xc3\x67\x01" + (2**20).to_bytes(7, "big") + b"\x67\xc8\x40\xff" * 262_144,
    "an endless list of nothing": webm({})[:40] + b"\xec\x80" * 500_000,
}  # fmt: skip


@pytest.mark.parametrize("name", GREEDY)
def test_a_hostile_video_is_survived(name: str):
    assert read_file(GREEDY[name]).seed is None


@given(
    st.sampled_from(list(PLACES)),
    st.lists(st.tuples(st.integers(0, 9000), st.binary(min_size=1, max_size=4)), max_size=8),
    st.integers(0, 9000),
)
@settings(max_examples=300, deadline=None)
def test_any_damage_to_a_video_is_survived(name: str, edits: list[tuple[int, bytes]], length: int):
    broken = bytearray(PLACES[name])
    for at, piece in edits:
        broken[at : at + len(piece)] = piece
    read_file(bytes(broken[: len(broken) - length % 200]))
