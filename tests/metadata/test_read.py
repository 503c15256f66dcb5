"""One door for a file: many texts are kept, the first in CivitAI's order has the word, and no bad part loses the rest."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import avif, chunk, jpeg, png, webp
from test_a1111 import A1111, FORGE, ON_SITE
from test_comfy_reader import core
from test_metadata_formats import INVOKE, INVOKE_OLD, NOVEL, RUINED, STOCK, SWARM

from pack.civitai_bridge.metadata.container.exif import exif_of
from pack.civitai_bridge.metadata.generation import GenerationData
from pack.civitai_bridge.metadata.read import generation_from_texts, read_file


def text(name: str, value: str | bytes) -> bytes:
    return chunk(
        b"tEXt", name.encode() + b"\0" + (value if isinstance(value, bytes) else value.encode("utf-8", "replace"))
    )


GRAPH = json.dumps(core())
WORKFLOW = json.dumps({"nodes": [], "links": [], "version": 0.4})
FILES: dict[str, tuple[dict[str, str], str, int | None]] = {
    "a1111": ({"parameters": A1111}, "a1111", 1234567890),
    "forge": ({"parameters": FORGE}, "a1111", 5),
    "on-site": ({"parameters": ON_SITE}, "a1111", 11),
    "in a comment": ({"Comment": A1111}, "a1111", 1234567890),
    "swarmui": ({"parameters": json.dumps(SWARM)}, "swarmui", 1234567890),
    "ruined": ({"parameters": json.dumps(RUINED)}, "ruinedfooocus", 77),
    "fooocus": ({"parameters": json.dumps(STOCK), "fooocus_scheme": "fooocus"}, "fooocus", 4611686018427387904),
    "comfy": ({"prompt": GRAPH, "workflow": WORKFLOW}, "comfy", 42),
    "invokeai": ({"invokeai_metadata": json.dumps(INVOKE)}, "invokeai", 99),
    "invokeai 2": ({"sd-metadata": json.dumps(INVOKE_OLD), "Dream": "a boat"}, "invokeai", 5),
    "novelai": ({"Software": "NovelAI", "Title": "x", "Description": "1girl", "Source": "NAI", "Comment": json.dumps(NOVEL)}, "novelai", 3),
    "a1111 over a graph": ({"prompt": GRAPH, "workflow": WORKFLOW, "parameters": FORGE}, "a1111", 42),
    "a graph over invoke": ({"prompt": GRAPH, "invokeai_metadata": json.dumps(INVOKE)}, "comfy", 42),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file(name: str, tmp_path: Path):
    texts, source, seed = FILES[name]
    data = png(*(text(key, value) for key, value in texts.items()))
    found = read_file(data)
    assert (found.source, found.seed, dict(found.texts)) == (source, seed, texts)
    assert found.detected_type in ("t2i", "i2i")
    path = tmp_path / "a picture.png"
    path.write_bytes(data)
    assert read_file(path) == read_file(str(path)) == read_file(io.BytesIO(data)) == found
    assert read_file(png(after=tuple(text(key, value) for key, value in texts.items()))) == found


@pytest.mark.parametrize(
    "make", [webp, avif, lambda exif: jpeg((0xE1, b"Exif\0\0" + exif))], ids=["webp", "avif", "jpeg"]
)
def test_the_same_text_in_every_container(make: Any):
    for value, source in (
        (A1111, "a1111"),
        (json.dumps(STOCK), "fooocus"),
        (json.dumps(RUINED), "ruinedfooocus"),
        (json.dumps(SWARM), "swarmui"),
    ):
        assert read_file(make(exif_of(value)[0])).source == source
    found = read_file(make(exif_of("", prompt=GRAPH, workflow=WORKFLOW)[0]))
    assert (found.source, found.seed) == ("comfy", 42)
    both = read_file(make(exif_of(FORGE, prompt=GRAPH, workflow=WORKFLOW)[0]))
    assert (both.source, both.seed) == ("a1111", 42) and "a ComfyUI graph" in both.notes[0]
    assert "The text says the seed is 5, the graph that ran 42." in both.notes


def test_what_else_a_file_holds_is_named_and_kept():
    found = read_file(
        png(
            text("parameters", FORGE),
            text("prompt", GRAPH),
            text("invokeai_metadata", json.dumps(INVOKE)),
            text("Comment", "made on a boat"),
        )
    )
    assert found.source == "a1111" and set(found.texts) == {"parameters", "prompt", "invokeai_metadata", "Comment"}
    assert "The file also holds a ComfyUI graph, InvokeAI; what is shown comes from A1111 text." in found.notes
    assert found.texts["Comment"] == "made on a boat"


def test_a_broken_graph_leaves_the_text_and_a_broken_text_the_graph():
    found = read_file(png(text("parameters", A1111), text("prompt", GRAPH[:300])))
    assert found.seed == 1234567890 and found.texts["prompt"] == GRAPH[:300]
    found = read_file(png(text("parameters", json.dumps(SWARM)[:200]), text("prompt", GRAPH)))
    assert (found.source, found.seed) == ("comfy", 42) and "parameters" in found.texts
    found = read_file(png(text("prompt", GRAPH[:300]), text("workflow", WORKFLOW)))
    assert any("cut off or broken" in note for note in found.notes) and found.texts


def test_a_graph_with_a_cycle():
    graph = core()
    graph["10"]["inputs"]["model"] = ["10", 0]
    graph["6"]["inputs"]["text"] = ["6", 0]
    graph["5"]["inputs"]["width"] = ["5", 0]
    found = read_file(png(text("prompt", json.dumps(graph))))
    assert (found.seed, found.negative_prompt) == (42, "lowres") and found.notes


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            png(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * 100_000_000)), text("prompt", GRAPH)),
            "is larger than",
        ),
        (
            png(chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(b"a" * 100_000_000)), text("prompt", GRAPH)),
            "is larger than",
        ),
        (png(chunk(b"zTXt", b"parameters\0\0nonsense"), text("prompt", GRAPH)), "damaged"),
        (png(chunk(b"eXIf", b"MM\0*" + b"\0" * 20_000_000), text("prompt", GRAPH)), "too large"),
        (png(text("prompt", GRAPH))[:-20] + b"\0\0\xff\xfftEXtcut", "cut off"),
    ],
    ids=["zTXt bomb", "iTXt bomb", "no zlib", "EXIF of 20 MB", "cut off"],
)
def test_what_cannot_be_read_is_named_and_the_rest_is_read(data: bytes, words: str):
    found = read_file(data)
    assert found.seed == 42 and any(words in note for note in found.notes), found.notes


def test_invalid_utf_16_keeps_what_it_can():
    block = b"UNICODE\0" + FORGE.encode("utf-16-be").replace("cat".encode("utf-16-be"), b"\xd8\x00\x00c\x00t")
    body = (
        b"MM\0*"
        + struct.pack(">IHHHIII", 8, 1, 0x8769, 4, 1, 26, 0)
        + struct.pack(">HHHIII", 1, 0x9286, 7, len(block), 44, 0)
        + block
    )
    found = read_file(webp(body))
    assert found.seed == 5 and any("badly encoded" in note for note in found.notes), found.notes


def test_a_prompt_of_a_megabyte_and_a_weight_of_nan():
    prompt = "a cat, " * 150_000 + "<lora:ink:nan>"
    found = read_file(png(text("parameters", f"{prompt}\nSteps: 20, Seed: 9")))
    assert (found.seed, len(found.prompt)) == (9, len(prompt))
    assert [(one.name, one.weight) for one in found.networks] == [("ink", 1.0)] and any(
        "nan" in note for note in found.notes
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"GIF89a" + b"\0" * 50, png(), jpeg(), webp(b"MM\0*")],
    ids=["empty", "x", "gif", "png", "jpeg", "webp"],
)
def test_a_file_that_says_nothing_says_so(data: bytes):
    found = read_file(data)
    assert found.notes and found.seed is None and not found.networks


def test_texts_of_no_known_kind_are_kept():
    found = read_file(png(text("Comment", "made on a boat"), text("parameters", "nothing here")))
    assert found.notes == ("Its texts are of no kind that is known here.",) and len(found.texts) == 2


def test_a_missing_file_is_an_os_error(tmp_path: Path):
    with pytest.raises(OSError):
        read_file(tmp_path / "none.png")
    with pytest.raises(OSError):
        read_file(tmp_path)


# --- fuzz ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_mutated_files_are_survived(name: str):
    texts, _, _ = FILES[name]
    data = png(*(text(key, value) for key, value in texts.items()))
    for seed in range(120):
        dice = random.Random(seed)
        cut = bytearray(data)
        for _ in range(dice.randint(1, 8)):
            at = dice.randrange(len(cut))
            if dice.random() < 0.8:
                cut[at] = dice.randrange(256)
            else:
                del cut[at : at + dice.randrange(40)]
        json.dumps(read_file(bytes(cut)).to_json())


@pytest.mark.parametrize("name", FILES)
def test_mutated_texts_are_survived(name: str):
    texts, _, _ = FILES[name]
    for seed in range(120):
        dice = random.Random(seed)
        key = dice.choice(list(texts))
        value = texts[key]
        at = dice.randrange(len(value) + 1)
        piece = dice.choice(["", "\0", '"', "{", "]", "nan", "1e999", "9" * 5000, "\ud800", value[at : at + 30] * 2])
        found = generation_from_texts({**texts, key: value[:at] + piece + value[at + dice.randrange(20) :]})
        assert isinstance(found, GenerationData)
        json.dumps(found.to_json())


NAMES = (
    "parameters",
    "prompt",
    "workflow",
    "UserComment",
    "Comment",
    "Description",
    "Software",
    "Source",
    "Make",
    "Model",
    "invokeai_metadata",
    "sd-metadata",
)
PIECES = st.text(max_size=40) | st.sampled_from([A1111, FORGE, GRAPH, WORKFLOW, json.dumps(STOCK), json.dumps(SWARM), json.dumps(NOVEL), "NovelAI", "prompt:" + GRAPH, "workflow:" + WORKFLOW, '{"extraMetadata": "{}"}', "null", "[]"])  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), PIECES, max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_texts_beside_each_other_are_survived(texts: dict[str, str]):
    found = generation_from_texts(texts)
    assert dict(found.texts) == texts
    json.dumps(found.to_json())
