"""A1111 and Forge text: the grammar as a table, the round trip, and what a stranger may write."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.metadata.a1111.reader import read_a1111
from pack.civitai_bridge.metadata.a1111.write import carried, write_a1111
from pack.civitai_bridge.metadata.generation import GenerationData, Upscale, UsedResource
from pack.civitai_bridge.metadata.samplers import SAMPLER_NAMES, SCHEDULER_NAMES

A1111 = """a lighthouse, dusk <lora:ink_style:0.7>, <lora:add detail:0.5:0.4>
second line
Negative prompt: lowres, easynegative,
bad hands
Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1234567890, Size: 832x1216, Model hash: 67ab2fd8ec, Model: pony_v6, VAE hash: 235745af8d, VAE: sdxl_vae.safetensors, Denoising strength: 0.4, Clip skip: 2, Hires upscale: 1.5, Hires steps: 15, Hires upscaler: 4x-UltraSharp, Lora hashes: "ink_style: 0123456789ab, add detail: 7c6bad76eb54", TI hashes: "easynegative: c74b4e810b03", Version: v1.9.4"""
FORGE = """a cat
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 5, Size: 896x1152, Model hash: fa5ac3ce23, Model: flux1-dev, Version: f2.0.1v1.10.1-previous-664-gd557aef9, Module 1: ae, Module 2: t5xxl_fp16"""
ON_SITE = """portrait
Negative prompt: lowres
Steps: 30, Sampler: Euler a, CFG scale: 5, Seed: 11, Size: 832x1216, Clip skip: 2, Created Date: 2026-02-25T22:09:08.123Z, Civitai resources: [{"type":"checkpoint","modelVersionId":501,"modelName":"Base","modelVersionName":"v2"},{"type":"lora","weight":0.7,"modelVersionId":602,"modelName":"Ink"},{"type":"embed","weight":1,"modelVersionId":703}], Civitai metadata: {"remixOfId":9}"""
THIRD_PARTY = """portrait
Steps: 30, Sampler: Euler a, Seed: 11, Civitai resources: [{"modelName":"Base","versionName":"v2","air":"urn:air:sdxl:checkpoint:civitai:50@501"},{"modelName":"Ink","versionName":"v1","weight":-0.5,"air":"urn:air:sdxl:lora:civitai:60@602"}], Hashes: {"model":"aabbccddee"}"""


def read(text: str) -> GenerationData:
    data = read_a1111(text)
    assert data is not None
    return data


def test_a_text_of_a1111():
    data = read(A1111)
    assert data.prompt == "a lighthouse, dusk <lora:ink_style:0.7>, <lora:add detail:0.5:0.4>\nsecond line"
    assert data.negative_prompt == "lowres, easynegative,\nbad hands"
    assert (data.steps, data.cfg, data.seed, data.width, data.height) == (30, 7.0, 1234567890, 832, 1216)
    assert (data.sampler, data.scheduler, data.clip_skip) == ("dpmpp_2m", "karras", 2)
    assert (data.model_name, data.model_hash, data.vae, data.vae_hash) == (
        "pony_v6",
        "67ab2fd8ec",
        "sdxl_vae.safetensors",
        "235745af8d",
    )
    assert data.denoise is None
    assert data.upscale == Upscale("4x-UltraSharp", 1.5, 15, 0.4)
    assert data.networks == (
        UsedResource("", 0.7, "ink_style", hash="0123456789ab", source="prompt"),
        UsedResource("", 0.4, "add detail", clip_weight=0.5, hash="7c6bad76eb54", source="prompt"),
    )  # fmt: skip
    assert data.embeddings == (
        UsedResource(
            "", 1.0, "easynegative", "embedding", hash="c74b4e810b03", source="negative_prompt", words=("easynegative",)
        ),
    )
    assert (data.software, dict(data.extra), data.notes, data.texts["parameters"]) == ("v1.9.4", {}, (), A1111)


def test_a_text_of_forge():
    data = read(FORGE)
    assert (data.sampler, data.scheduler, data.cfg, data.guidance) == ("euler", "simple", 1.0, 3.5)
    assert dict(data.extra) == {"Module 1": "ae", "Module 2": "t5xxl_fp16"}


def test_both_dialects_of_civitai_resources():
    data = read(ON_SITE)
    assert (data.model_version_id, data.model_name) == (501, "Base")
    assert [(n.kind, n.version_id, n.weight, n.name) for n in data.networks] == [("lora", 602, 0.7, "Ink")]
    assert [(n.kind, n.version_id) for n in data.embeddings] == [("embedding", 703)]
    assert data.extra == {"Created Date": "2026-02-25T22:09:08.123Z", "Civitai metadata": {"remixOfId": 9}}
    data = read(THIRD_PARTY)
    assert (data.model_air, data.model_version_id, data.model_id) == ("urn:air:sdxl:checkpoint:civitai:50@501", 501, 50)
    assert data.model_hash == "aabbccddee"
    (lora,) = data.networks
    assert (lora.air, lora.version_id, lora.weight, lora.version_name) == (
        "urn:air:sdxl:lora:civitai:60@602",
        602,
        -0.5,
        "v1",
    )


DETAILS = "Steps: 20, Sampler: Euler a, Seed: 1"


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        (f"a\n{DETAILS}", "a", ""),
        (f"a\r\nNegative prompt: b\r\n{DETAILS}", "a", "b"),
        (f"Parameters: a\n{DETAILS}", "a", ""),
        (f"Parameters   : a\nNegative prompt: b\n{DETAILS}", "a", "b"),
        (f"Negative prompt: b\n{DETAILS}", "", "b"),
        (DETAILS, "", ""),
        (f"a cat. Negative prompt: b, c. {DETAILS}", "a cat", "b, c"),
        (f"a cat, Negative prompt: b, {DETAILS}", "a cat", "b"),
        (f"a, b\n\nBREAK\nc\n{DETAILS}", "a, b\n\nBREAK\nc", ""),
        (f"Steps: 5 to the door\na\n{DETAILS}", "Steps: 5 to the door\na", ""),
        (f"{DETAILS}\nSteps: 99, Seed: 7", "", ""),
        (f"a\n{DETAILS}\nTemplate: x\nSteps: 99 bottles\nNegative Template: y", "a", ""),
        (f"the Steps: to heaven\n{DETAILS}", "the Steps: to heaven", ""),
        ("a\nSampler: Euler a, Seed: 1, Size: 64x64, Steps: 20", "a", ""),
        (f"a\n{DETAILS}\nTemplate: x __y__\nmore\nNegative Template: z", "a", ""),
    ],
)
def test_where_the_prompts_end(text: str, prompt: str, negative: str):
    data = read(text)
    assert (data.prompt, data.negative_prompt, data.steps, data.seed) == (prompt, negative, 20, 1)
    assert data.sampler == "euler_ancestral"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat",
        "Steps",
        "Steps: many",
        "{}",
        '{"Steps: ": 1}',
        "a: b, c: d, e: f",
        "1girl, (x:1.2), (y:1.3), (z:1.1)",
    ],
)
def test_what_is_no_such_text(text: str):
    assert read_a1111(text) is None


@pytest.mark.parametrize(
    ("pair", "key", "value"),
    [
        ("Foo: bar", "Foo", "bar"),
        ("Foo: bar, baz", "Foo", "bar, baz"),
        ('Foo: "x, y: z"', "Foo", "x, y: z"),
        (r'Foo: "say \"hi\", \n \\ you"', "Foo", 'say "hi", \n \\ you'),
        ('Foo: "open, Bar', "Foo", '"open, Bar'),
        ('Foo: "a" b', "Foo", '"a" b'),
        ('ControlNet 0: "Module: canny, Model: x [abc]"', "ControlNet 0", "Module: canny, Model: x [abc]"),
        ("Foo: [a|b]", "Foo", "[a|b]"),
        ('Foo: {"a": [{"b": 1}]}', "Foo", {"a": [{"b": 1}]}),
        ("Date: 2026-02-25T22:09:08", "Date", "2026-02-25T22:09:08"),
        ('ADetailer prompt: "a\nb"', "ADetailer prompt", "a\nb"),
    ],
)
def test_a_setting_that_has_no_field_is_kept(pair: str, key: str, value: object):
    data = read(f"a\nSteps: 20, {pair}, Seed: 1" if '"open' not in pair else f"a\nSteps: 20, Seed: 1, {pair}")
    assert dict(data.extra) == {key: value}
    assert data.seed == 1


def test_templates_are_kept():
    data = read(f"a\n{DETAILS}\nTemplate: x, __y__: 2\nmore\nNegative Template: z")
    assert data.extra == {"Template": "x, __y__: 2\nmore", "Negative Template": "z"}


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e999", "", "many", "9" * 5000, "0x5", "1_0"])
@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("CFG scale", "cfg"),
        ("Seed", "seed"),
        ("Denoising strength", "denoise"),
        ("Size", "width"),
        ("Clip skip", "clip_skip"),
    ],
)
def test_a_bad_value_is_named_and_loses_nothing_else(key: str, field: str, bad: str):
    data = read(f"a\nSteps: 20, {key}: {bad}, Model: m")
    assert getattr(data, field) is None
    assert any(note.startswith(key) for note in data.notes)
    assert (data.steps, data.model_name) == (20, "m")


def test_a_weight_that_is_no_number_is_named():
    data = read("a <lora:x:nan> <lora:y:0.5>\n" + DETAILS)
    assert [(n.name, n.weight) for n in data.networks] == [("x", 1.0), ("y", 0.5)]
    assert "nan" in data.notes[0]
    data = read(
        f'a\n{DETAILS}, Civitai resources: [{{"type":"lora","weight":NaN,"modelVersionId":1}},{{"type":"lora","weight":"nan","modelVersionId":2}},{{"weight":1}},7]'
    )
    assert [(n.version_id, n.weight) for n in data.networks] == [(1, 1.0), (2, 1.0)]
    assert len(data.notes) == 4


@pytest.mark.parametrize(
    "cut",
    ['Hashes: {"model": "aab', 'Civitai resources: [{"type":"lora","modelVers', "Hashes: {]", 'Hashes: {"model": 5}'],
)
def test_cut_off_json_is_named(cut: str):
    data = read(f"a\n{DETAILS}, {cut}")
    assert (data.steps, data.seed) == (20, 1)
    assert data.notes


def test_an_unknown_sampler_is_kept_and_named():
    data = read("a\nSteps: 20, Sampler: Sideways 3, Schedule type: Karras")
    assert (data.sampler, data.scheduler) == ("Sideways 3", "karras")
    assert "Sideways 3" in data.notes[0]
    data = read("a\nSteps: 20, Sampler: Euler a, Schedule type: Zigzag")
    assert (data.sampler, data.scheduler) == ("euler_ancestral", "Zigzag")


def test_hashes_join_what_the_tags_name():
    text = """<lora:Ink:0.5> <lora:dir/two:1> <lora:Ink:0.3> <lyco:three:0.2> <hypernet:h:0.1>
Negative prompt: <lora:neg:-1> (easy:1.2)
Steps: 20, Hashes: {"LORA:ink": "0xAABBCCDDEE", "lora:two": "1122334455", "lyco:three": "99aabbccdd", "hypernet:h": "0011223344", "embed:easy": "5566778899", "lora:gone": "e3b0c44298fc", "lora:only": "1234567890", "model": "ffeeddccbb"}, Lora hashes: "Ink: 010203040506" """
    data = read(text)
    assert [(n.kind, n.name, n.weight, n.hash) for n in data.networks] == [
        ("lora", "Ink", 0.5, "010203040506"), ("lora", "dir/two", 1.0, "1122334455"), ("lyco", "three", 0.2, "99aabbccdd"),
        ("hypernet", "h", 0.1, "0011223344"), ("lora", "neg", -1.0, ""), ("lora", "gone", 1.0, ""), ("lora", "only", 1.0, "1234567890"),
    ]  # fmt: skip
    assert data.networks[0].again == ((0.3, None),)
    assert [(n.name, n.weight, n.hash) for n in data.embeddings] == [("easy", 1.2, "5566778899")]
    assert data.model_hash == "ffeeddccbb"


@pytest.mark.parametrize(
    ("settings", "field", "name"),
    [
        ("Steps: 99999999999", "steps", "Steps"),
        ("Steps: 1, Size: 999999999x999999999", "width", "Size"),
        ("Steps: 1, CFG scale: 1e300", "cfg", "CFG scale"),
        ("Steps: 1, Clip skip: 300", "clip_skip", "Clip skip"),
        ('Steps: 1, Civitai metadata: {"bridge":{"steps":-4}}', "cost", "steps"),
        ('Steps: 1, Civitai metadata: {"bridge":{"width":-1}}', "width", "width"),
    ],
)
def test_what_no_tool_takes_is_named_and_left_out(settings: str, field: str, name: str):
    data = read(f"a\n{settings}, Seed: 1")
    assert getattr(data, field) is None and data.seed == 1
    assert any(note.startswith(f"{name} is left out") for note in data.notes)


LISTED = 'Civitai resources: [{{"type":"lora","weight":{},"modelVersionId":5,"modelName":"x"}}]'


@pytest.mark.parametrize(("tag", "listed", "differ"), [("1", 0.4, True), ("0.4", 1, True), ("0.4", 0.5, True), ("0.4", 0.4, False)])  # fmt: skip
def test_where_two_places_differ_on_a_weight_a_note_says_so(tag: str, listed: float, differ: bool):
    data = read(f"a <lora:x:{tag}>\nSteps: 20, {LISTED.format(listed)}")
    assert [one.weight for one in data.networks] == [float(tag)]
    assert any(f"x has weight {tag} in" in note and "the first is taken" in note for note in data.notes) == differ


def test_a_second_line_of_settings_is_named():
    assert any("second line" in note for note in read("a\nSteps: 20, Seed: 1\nSteps: 99, Seed: 7").notes)


def test_old_extensions():
    data = read(
        "a\nSteps: 20, AddNet Enabled: True, AddNet Module 1: LoRA, AddNet Model 1: ink(aabbccddee11), AddNet Weight A 1: 0.7, AddNet Weight B 1: 0.6, Hypernet: hyp(aabbccdd), Hypernet strength: 0.3, Refiner: ref [1122334455], Refiner switch at: 0.8"
    )
    assert [(n.kind, n.name, n.weight, n.clip_weight, n.hash) for n in data.networks] == [
        ("lora", "ink", 0.7, 0.6, "aabbccddee11"), ("hypernet", "hyp", 0.3, None, "aabbccdd"),
    ]  # fmt: skip
    assert [(n.kind, n.name, n.hash) for n in data.others] == [("refiner", "ref", "1122334455")]


def test_a_prompt_of_a_megabyte_is_read_whole():
    prompt = "a cat, " * 150_000
    assert read(f"{prompt}\n{DETAILS}").prompt == prompt.strip()


HOSTILE = {
    "quotes": 'Steps: 1, a: "' + 'b:"c' * 250_000,
    "commas": "Steps: 1" + "," * 1_000_000,
    "colons": "Steps: 1" + ":" * 1_000_000,
    "brackets": "Steps: 1, a: " + '{"a":1,"a":' * 90_000,
    "lists": "Steps: 1, " + "a: [" * 250_000,
    "backslashes": 'Steps: 1, a: "' + "\\" * 1_000_000,
    "tags": "<lora:" * 166_000 + "\nSteps: 1",
    "steps": "Steps: " * 142_000,
    "negatives": "Negative prompt:" * 62_000 + "\nSteps: 1",
    "blanks": "a" + " " * 1_000_000 + "\nSteps: 1",
    "lines": "Steps: 1\n" * 111_000,
    "templates": "Steps: 1\n" + "Template: x\n" * 83_000,
    "pairs": "Steps: 1" + "".join(f", k{i}: v" for i in range(90_000)),
    "same pairs": "Steps: 1" + ", k: v, k: w" * 80_000,
    "embeddings": "embedding:" * 100_000 + "\nSteps: 1",
    "many tags": "<lora:x:1>" * 100_000 + "\nSteps: 1",
    "names that the text begins": "ab" * 480_000
    + '\nSteps: 1, TI hashes: "'
    + ", ".join(f"{'ab' * 4}c{i}: {i:010x}" for i in range(990))
    + '"',
    "names with one first word": "ab " * 320_000
    + '\nSteps: 1, TI hashes: "'
    + ", ".join(f"ab c{i}: {i:010x}" for i in range(990))
    + '"',
    "names that are there": ", ".join(f"n{i}" for i in range(990)) * 150
    + '\nSteps: 1, TI hashes: "'
    + ", ".join(f"n{i}: {i:010x}" for i in range(990))
    + '"',
    "a tag of blanks": "<lora:" + "a " * 480_000 + ":1>\nSteps: 1",
    "tags that are odd at their end": ("<lora:" + "a-" * 400 + "!:1>") * 1200 + "\nSteps: 1",
    "backslashes before tags": ("\\" * 1000 + "<lora:x!:1>") * 900 + "\nSteps: 1",
    "known words": "bad, " * 200_000 + '\nSteps: 1, TI hashes: "bad: aabbccddee"',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_megabyte_is_read(name: str):
    data = read_a1111(HOSTILE[name])
    assert data is None or data.steps in (1, None)


# --- the round trip -----------------------------------------------------------------------------------------------

TEXT = st.text(max_size=60) | st.sampled_from(["a cat, <lora:x:0.8>", "Steps: 20, Seed: 1", "x\nNegative prompt: y", " a ", "a: b, c", "}], x", "\r\n", '"q"', "Template: x", "Resources: 5", "embedding:bad"])  # fmt: skip
WORD = st.text(alphabet="abcXYZ019 _-.()/é", max_size=16)
HASH = st.just("") | st.text(alphabet="0123456789abcdef", min_size=10, max_size=12).filter(
    lambda h: not h.startswith("e3b0")
)
NUMBER = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 0.7, 3.5])
COUNT = st.integers(0, 2**63)
SCALE, SIZE = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 7.0]), st.integers(1, 65_535)
AIR = st.just("") | st.builds(
    "urn:air:sdxl:{}:civitai:{}@{}".format,
    st.sampled_from(["lora", "lycoris", "embedding", "vae"]),
    st.integers(1, 999),
    st.integers(1, 999),
)


def networks(*kinds: str) -> st.SearchStrategy[tuple[UsedResource, ...]]:
    one = st.builds(
        UsedResource, AIR, NUMBER, WORD, st.sampled_from(kinds), st.none() | st.integers(1, 9999), st.none() | NUMBER, HASH,
        st.sampled_from(["", "prompt", "hashes"]), st.none() | st.integers(1, 99), WORD, WORD,
        st.lists(st.tuples(NUMBER, st.none() | NUMBER), max_size=2).map(tuple), st.lists(WORD, max_size=2).map(tuple), WORD,
    )  # fmt: skip
    return st.lists(one, max_size=3).map(tuple)


JSONABLE = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
DATA = st.builds(
    GenerationData, prompt=TEXT, negative_prompt=TEXT, model_air=AIR, model_name=TEXT, networks=networks("lora", "lyco", "hypernet"),
    seed=st.none() | COUNT, steps=st.none() | st.integers(0, 500), cfg=st.none() | SCALE,
    sampler=st.sampled_from(["", *SAMPLER_NAMES[1:]]) | WORD, scheduler=st.sampled_from(["", *SCHEDULER_NAMES[1:]]) | WORD,
    width=st.none() | st.integers(1, 9999), height=st.none() | st.integers(1, 9999), clip_skip=st.none() | st.integers(0, 12),
    denoise=st.none() | NUMBER, engine=WORD, workflow_id=WORD, cost=st.none() | NUMBER, arrived=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    missing=st.dictionaries(st.integers(0, 9), TEXT, max_size=2), extra=st.dictionaries(TEXT | WORD, JSONABLE, max_size=3),
    model_hash=HASH, model_version_id=st.none() | st.integers(1, 9999), model_id=st.none() | st.integers(1, 99), base_model=WORD, vae=TEXT,
    vae_hash=HASH, embeddings=networks("embedding"), others=networks("vae", "upscaler", "controlnet", "other", "refiner"),
    guidance=st.none() | SCALE, software=TEXT, image_id=st.none() | COUNT, media_type=st.sampled_from(["", "image"]), process=WORD,
    techniques=st.lists(WORD, max_size=2).map(tuple), detected_type=st.sampled_from(["", "t2i"]),
    upscale=st.none() | st.builds(Upscale, TEXT, st.none() | NUMBER, st.none() | st.integers(0, 500), st.none() | NUMBER, st.none() | SIZE, st.none() | SIZE, TEXT, TEXT),
)  # fmt: skip


@given(DATA)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_written_reads_back_as_an_equal_value(data: GenerationData):
    text = write_a1111(data)
    assert carried(read(text)) == carried(data)
    text.encode("utf-8")


def test_what_was_read_is_written_plainly():
    for text in (A1111, FORGE, ON_SITE, THIRD_PARTY):
        data = read(text)
        written = write_a1111(data)
        assert carried(read(written)) == carried(data)
        assert '"prompt"' not in written


def test_the_site_finds_its_resources_in_what_is_written():
    """The site's own two regexes on a value that tries to break them."""
    import re

    nasty = UsedResource("urn:air:sdxl:lora:civitai:60@602", 0.5, 'x}], Hashes: {"a": 1}, Resources: ', "lora", 602)
    data = GenerationData(
        prompt="a\nSteps: 3",
        steps=20,
        networks=(nasty,),
        model_air="urn:air:sdxl:checkpoint:civitai:50@501",
        model_hash="aabbccddee",
        workflow_id="w-1",
        cost=12.0,
    )
    text = write_a1111(data)
    (details,) = [line for line in text.split("\n") if line.startswith("Steps: ")]
    assert "Resources: " not in details.replace("Civitai resources: ", "")
    found = re.search(r", Civitai resources:\s*(\[\{.*?\}\])", details)
    assert found and [item["air"] for item in json.loads(found[1])] == [data.model_air, nasty.air]
    assert details.count(", Hashes: {") == 1
    assert '"workflow_id":"w-1"' in text and '"cost":12.0' in text


# --- fuzz ---------------------------------------------------------------------------------------------------------


@given(st.text(alphabet='Steps: 20,\n"{}[]\\Negative promptHashSeLra<>1.', max_size=300))
@settings(deadline=None)
def test_any_text_can_be_read(text: str):
    data = read_a1111(text)
    if data is not None:
        data.to_json()


def mutated(text: str, seed: int) -> str:
    """A real-shaped text with a few of its pieces cut, doubled, swapped or replaced."""
    dice = random.Random(seed)
    for _ in range(dice.randint(1, 6)):
        at, length = dice.randrange(len(text) + 1), dice.randrange(40)
        piece = text[at : at + length]
        text = (
            text[:at]
            + dice.choice(
                ["", piece * 2, piece[::-1], "\0", '"', "{", "}]", "\n", ",", ":", "<lora:", "nan", "\ud800", "é"]
            )
            + text[at + length :]
        )
    return text


@pytest.mark.parametrize(
    "corpus", [A1111, FORGE, ON_SITE, THIRD_PARTY], ids=["a1111", "forge", "on-site", "third-party"]
)
def test_mutated_texts_are_read(corpus: str):
    for seed in range(400):
        data = read_a1111(mutated(corpus, seed))
        if data is not None:
            assert carried(read(write_a1111(data))) == carried(data)
