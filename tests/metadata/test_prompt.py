"""Network tags and embeddings in prompt text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pack.civitai_bridge.metadata.embeddings import for_comfyui, known_words, read_embeddings
from pack.civitai_bridge.metadata.prompt import clean_prompt, name_key, network_tags, read_tags, write_tag


@pytest.mark.parametrize(
    ("tag", "kind", "name", "weight", "clip"),
    [
        ("<lora:ink:0.7>", "lora", "ink", 0.7, None),
        ("<LoRA:ink:0.7>", "lora", "ink", 0.7, None),
        ("<lora:ink>", "lora", "ink", 1.0, None),
        ("<lora:ink:-0.5>", "lora", "ink", -0.5, None),
        ("<lora:slider:+2>", "lora", "slider", 2.0, None),
        ("<lora:ink:.5>", "lora", "ink", 0.5, None),
        ("<lora:ink:0>", "lora", "ink", 0.0, None),
        ("<lora:x:0.8:0.6>", "lora", "x", 0.6, 0.8),
        ("<lora:x:0.8:0.8>", "lora", "x", 0.8, None),
        ("<lora:name:te=0.5:unet=0.8>", "lora", "name", 0.8, 0.5),
        ("<lora:name:unet=0.8>", "lora", "name", 0.8, 1.0),
        ("<lora:name:te=0.5>", "lora", "name", 0.5, None),
        ("<lora:x:0.8:lbw=MIDD:stop=12>", "lora", "x", 0.8, None),
        ("<lora:my ink (v2):0.8>", "lora", "my ink (v2)", 0.8, None),
        ("<lora:style/ink.safetensors:1>", "lora", "style/ink", 1.0, None),
        (r"<lora:style\ink:1>", "lora", "style/ink", 1.0, None),
        ("<lora: 墨絵 :1.2>", "lora", "墨絵", 1.2, None),
        ("<lyco:x:0.5>", "lyco", "x", 0.5, None),
        ("<loha:x:0.5>", "lyco", "x", 0.5, None),
        ("<locon:x:0.5>", "lyco", "x", 0.5, None),
        ("<hypernet:x:0.5>", "hypernet", "x", 0.5, None),
    ],
)
def test_tags(tag: str, kind: str, name: str, weight: float, clip: float | None):
    (read,) = read_tags(f"a {tag} b")
    assert (read.kind, read.name, read.weight, read.clip_weight, read.text) == (kind, name, weight, clip, tag)
    assert read.odd == ()
    assert clean_prompt(f"a {tag} b") == "a b"


@pytest.mark.parametrize(
    "text",
    ["<3", "<s0>", "<wildcard:x>", "<lora:>", "<lora: :1>", r"\<lora:x:1>", "<lora:x", "<lora:a\nb:1>", "a < b > c"],
)
def test_what_is_no_tag_stays_text(text: str):
    assert read_tags(text) == [] == network_tags(text)
    assert clean_prompt(text) == text


@pytest.mark.parametrize("arg", ["nan", "inf", "-inf", "1e999", "9" * 400, "zero", "unet=nan", "0x5"])
def test_an_argument_that_is_no_number_is_named(arg: str):
    (tag,) = read_tags(f"<lora:x:{arg}>")
    assert (tag.weight, tag.odd) == (1.0, (arg,))


@pytest.mark.parametrize(
    ("prompt", "clean"),
    [
        ("a cat, <lora:x:0.8>, sitting", "a cat, sitting"),
        ("<lora:x:0.8>, a cat", "a cat"),
        ("a cat ,<lora:x:1> <lyco:y:1>,", "a cat"),
        ("a  cat  , dog", "a cat, dog"),
        ("a,b", "a,b"),
        ("one <lora:x:1>\nBREAK\ntwo AND three, <lora:y>", "one\nBREAK\ntwo AND three"),
        ("a\n<lora:x:1>\nb", "a\n\nb"),
        ("(a:1.2), [b|c], __wild__, {x|y}, <3, <s0>, embedding:bad", "(a:1.2), [b|c], __wild__, {x|y}, <3, <s0>, embedding:bad"),
        ("<lora:<lora:x:1>", "<lora:"),
    ],
)  # fmt: skip
def test_the_cleaned_prompt(prompt: str, clean: str):
    assert clean_prompt(prompt) == clean


@given(st.text(alphabet="<>:lorayc, \n\\.0123-=teunx()", max_size=200))
def test_cleaning_twice_is_cleaning_once_for_lines_without_new_tags(text: str):
    once = clean_prompt(text)
    assert once.count("\n") == text.count("\n")
    if not read_tags(once):
        assert clean_prompt(once) == once


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str):
    clean_prompt(text)
    read_embeddings(text)
    for_comfyui(text, ["a", "bad"])


@given(
    st.sampled_from(["lora", "lyco", "hypernet"]),
    st.text(alphabet="abcXYZ 0_-.()é/", min_size=1, max_size=20).filter(lambda s: s == s.strip()),
    st.floats(-1e6, 1e6),
    st.none() | st.floats(-10, 10),
)
def test_a_written_tag_reads_back(kind: str, name: str, weight: float, clip: float | None):
    (tag,) = read_tags(write_tag(kind, name, weight, clip))
    assert (tag.kind, tag.name) == (kind, name)
    assert tag.weight == pytest.approx(weight, abs=1e-15)
    if clip is not None:
        assert (tag.weight if tag.clip_weight is None else tag.clip_weight) == pytest.approx(clip, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("embedding:bad", [("bad", 1.0)]),
        ("a, embedding:bad.pt, b", [("bad", 1.0)]),
        ("(embedding:bad.safetensors:1.2)", [("bad", 1.2)]),
        ("embedding:dir/bad:0.5 x", [("dir/bad", 0.5)]),
        (r"embedding:bad\(v2\),", [("bad(v2)", 1.0)]),
        ("myembedding:bad", []),
        ("embedding: bad", []),
        ("EMBEDDING:Bad", [("Bad", 1.0)]),
    ],
)
def test_embeddings_as_comfyui_spells_them(text: str, found: list[tuple[str, float]]):
    assert [(e.name, e.weight) for e in read_embeddings(text)] == found


def test_only_known_words_are_embeddings():
    text = "bad, easynegative, (bad_prompt:0.8), notbad_prompt, EasyNegativeV2"
    assert [(e.name, e.weight) for e in known_words(text, ["EasyNegative", "bad_prompt"])] == [
        ("EasyNegative", 1.0), ("bad_prompt", 0.8),
    ]  # fmt: skip
    assert known_words(text, []) == []
    assert for_comfyui(
        "bad,easynegative, (bad_prompt:0.8), embedding:easynegative", ["easynegative", "bad_prompt"]
    ) == ("bad, embedding:easynegative, (embedding:bad_prompt:0.8), embedding:easynegative")


@pytest.mark.parametrize("most", [None, 3])
@pytest.mark.parametrize("between", ["x, ", "x\u2003", "x\n(", "xx"])
def test_names_are_found_in_long_texts_as_in_short_ones(most: int | None, between: str):
    names = [f"ti {i}" for i in range(40)] + [f"n{i}" for i in range(40)] + ["(odd", "...", " "]
    text = between * 9000 + ", ".join(names[:80:7]) + ", " + between * 9000 + " (n7:0.5) (odd"
    found = known_words(text, names, most)
    short = known_words(between * 9 + ", ".join(names[:80:7]) + ", " + between * 9 + " (n7:0.5) (odd", names, most)
    assert [(one.name, one.weight) for one in found] == [(one.name, one.weight) for one in short]
    assert {one.name for one in found} >= {"ti 35", "n2", "n7"}
    assert all(text[one.start : one.end] == one.name for one in found)


def test_of_a_name_only_the_first_mentions_are_told():
    assert len(known_words("bad, " * 9, ["bad"], 3)) == 3 and len(known_words("bad, " * 9, ["bad"])) == 9
    assert known_words("xbad " * 90 + "bad", ["bad"], 3) == []


@pytest.mark.parametrize(
    ("text", "words", "written"),
    [
        ("a, bad, b", {"bad": "Bad_v2"}, "a, embedding:Bad_v2, b"),
        ("(BAD:0.8),bad", {"bad": "Bad_v2"}, "(embedding:Bad_v2:0.8), embedding:Bad_v2"),
        ("easy neg, easy", {"easy": "e", "easy neg": "en"}, "embedding:en, embedding:e"),
        ("bad embedding:bad", {"bad": "Bad_v2"}, "embedding:Bad_v2 embedding:bad"),
        ("bad", {"bad": "a file"}, "bad"),
        ("bad", {"bad": ""}, "bad"),
        ("a dragon", {}, "a dragon"),
    ],
)
def test_a_word_becomes_the_file_that_it_calls(text: str, words: dict[str, str], written: str):
    assert for_comfyui(text, words) == written


@pytest.mark.parametrize(("slashes", "tag"), [(1, False), (2, True), (1023, False), (1024, True), (1025, False), (4096, True)])  # fmt: skip
def test_a_tag_behind_backslashes(slashes: int, tag: bool):
    for name in ("x", "x!", "x.y"):
        assert len(read_tags("\\" * slashes + f"<lora:{name}:1>")) == tag


@pytest.mark.parametrize("name", ["a", "a b", "é-_墨", "a(b)", "x!", "a/b", "a'b", "1", "a,b", "a  b"])
def test_names_are_read_alike_by_either_road(name: str):
    (plain,), (odd,) = read_tags(f"<lora:{name}:0.5:0.25>"), read_tags(f"<lora:{name} :00000.5:te=0.5:0.25>")
    assert (plain.name, plain.weight, plain.clip_weight) == (name, 0.25, 0.5) and odd.name == name


def test_names_meet_in_their_last_segment():
    assert name_key(r"style\Ink.safetensors") == name_key("ink") == "ink"
