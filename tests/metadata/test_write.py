"""What goes into a picture's file, what CivitAI's uploader makes of it, and who is right when graph and wire differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from made_files import jpeg, webp
from test_a1111 import A1111, DATA, FORGE, ON_SITE, THIRD_PARTY
from test_comfy_reader import core, node

from pack.civitai_bridge.metadata.a1111.reader import read_a1111
from pack.civitai_bridge.metadata.a1111.write import carried, write_a1111
from pack.civitai_bridge.metadata.civitai_upload import recognised, resources_of, uploaded_meta
from pack.civitai_bridge.metadata.comfy.graph import upstream
from pack.civitai_bridge.metadata.comfy.reader import read_graph
from pack.civitai_bridge.metadata.comfy.remarks import MADE_ELSEWHERE
from pack.civitai_bridge.metadata.container.exif import exif_of
from pack.civitai_bridge.metadata.container.reader import read_texts
from pack.civitai_bridge.metadata.generation import GenerationData, Upscale, UsedResource
from pack.civitai_bridge.metadata.merge import merge
from pack.civitai_bridge.metadata.read import read_file
from pack.civitai_bridge.metadata.write import picture_text

STEPS = "Steps: 20, Sampler: Euler a, Seed: 1"

# --- the site's parser --------------------------------------------------------------------------------------------

KEPT: list[tuple[str, dict[str, Any]]] = [
    (f"a\nNegative prompt: b\n{STEPS}", {"prompt": "a", "negativePrompt": "b", "steps": "20", "sampler": "Euler a", "seed": "1"}),
    (f"a, Negative prompt: b, {STEPS}", {"prompt": "a", "negativePrompt": "b"}),
    (f"Parameters : a\n{STEPS},", {"prompt": "a"}),
    (f"a\n{STEPS}\nTemplate: x\nmore", {"prompt": "a"}),
    (f"a\n{STEPS}, CFG scale: 7, Clip skip: 2", {"cfgScale": "7", "clipSkip": "2"}),
    (f'a\n{STEPS}, Hashes: {{"model": "aabbccddee"}}', {"hashes": {"model": "aabbccddee"}}),
    (f"a\n{STEPS}, Resources: x, Model: y", {"Model": None}),
    (f'a\n{STEPS}, Hires prompt: "x, y: z"', {"Hires prompt": {"y": "z"}}),
    (f"a <lora:x:0.5> <lora:b c:1> <lora:d:-1> <lora:e:1:2> <lyco:f:1>\n{STEPS}", {"resources": [{"type": "lora", "name": "x", "weight": 0.5}]}),
    (f'a <lora:x:0.5>\n{STEPS}, Lora hashes: "x: 0011223344, y: 5566778899"', {"resources": [
        {"type": "lora", "name": "x", "weight": 0.5, "hash": "0011223344"}, {"type": "lora", "name": "y", "hash": "5566778899"}],
        "hashes": {"lora:x": "0011223344", "lora:y": "5566778899"}}),
    (ON_SITE, {"civitaiResources": [{"type": "checkpoint", "modelVersionId": 501}, {"type": "lora", "weight": 0.7, "modelVersionId": 602}, {"type": "embed", "weight": 1, "modelVersionId": 703}], "extra": {"remixOfId": 9}}),
    (THIRD_PARTY, {"civitaiResources": [{"type": "checkpoint", "modelVersionId": 501}, {"type": "lora", "weight": -0.5, "modelVersionId": 602}]}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kept"), KEPT)
def test_what_the_site_keeps(text: str, kept: dict[str, Any]):
    found = uploaded_meta(text)
    assert found.reason == "" and {key: found.meta.get(key) for key in kept} == kept


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a cat", "without `Steps: `"),
        ("a Steps: 20", "no line of settings"),
        ("a\nSteps: 20, CFG scale: many", "cfgScale is no number"),
        ('a\nSteps: 20, Hashes: {"model": 5}', "the hash of model is no text"),
        ('a\nSteps: 20, Hashes: {"model": nan}', "Hashes is broken"),
        ('a\nSteps: 20, Civitai resources: [{"type":"lora"}]', "names no version"),
        ('a\nSteps: 20, Civitai resources: [{"modelVersionId":1,"weight":"x"}]', "no number"),
        ('a\nSteps: 20, Civitai resources: [{"air":"urn:air:x y"}]', "broken AIR"),
        ('a\nSteps: 20, Civitai resources: [{"modelVersionId":1,"x":[{"a":1}]}]', "Civitai resources is broken"),
    ],
)
def test_one_bad_value_loses_everything_there(text: str, reason: str):
    found = uploaded_meta(text)
    assert not found.meta and reason in found.reason
    assert all(not one.recognised and reason in one.reason for one in recognised(text))


def test_each_resource_is_judged_with_its_reason():
    text = f"""a <lora:known:0.5> <lora:named only:1> embedding:good, <hypernet:h:1>
Negative prompt: easy
{STEPS}, Model: base, Model hash: 0123456789, VAE: v, VAE hash: 9988776655, Lora hashes: "known: aabbccddeeff, odd: 77bbccddeef", TI hashes: "easy: 1122334455", Hashes: {{"embed:good": "5544332211", "hypernet:h": "0xaabbccdd11"}}, Civitai resources: [{{"type":"lora","weight":0.7,"modelVersionId":602,"modelName":"Ink"}}]"""
    found = {one.name: (one.by, one.reason) for one in recognised(text)}
    assert {name: by for name, (by, _) in found.items()} == {
        "base": "hash", "known": "hash", "named only": "", "h": "", "Ink": "version", "odd": "", "good": "hash", "easy": "", "v": "",
    }  # fmt: skip
    for name, words in (
        ("named only", "Only the name"),
        ("h", "written with 0x"),
        ("odd", "as long as no hash"),
        ("easy", "stands where CivitAI does not look"),
        ("v", "passes over the hash of a VAE"),
        ("Ink", "by its version 602"),
        ("known", "if it knows the hash aabbccddeeff"),
    ):
        assert words in found[name][1]


@given(DATA)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_site_reads_what_is_written_whatever_it_says(data: GenerationData):
    uploaded = uploaded_meta(write_a1111(data))
    assert uploaded.reason == ""
    listed = resources_of(data)
    assert {one.version_id for one in listed if one.version_id and not one.air} <= uploaded.versions
    assert int(uploaded.meta["steps"]) == (data.steps or 0)
    for name, ours in (("seed", data.seed), ("clipSkip", data.clip_skip), ("cfgScale", data.cfg)):
        assert (ours is None and name not in uploaded.meta) or float(uploaded.meta[name]) == float(ours or 0)


@given(DATA)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_file_of_ours_reads_back_as_an_equal_value(data: GenerationData):
    text = write_a1111(data)
    for file in (webp(exif_of(text)[0]), jpeg((0xE1, b"Exif\0\0" + exif_of(text)[0]))):
        back = carried(read_file(file))
        # What kind of picture it is, is worked out where it is not said.
        assert replace(back, detected_type=data.detected_type) == carried(data)


@pytest.mark.parametrize("text", [A1111, FORGE, ON_SITE, THIRD_PARTY])
def test_what_others_wrote_is_recognised_after_us_as_before(text: str):
    data = read_a1111(text)
    assert data is not None
    before = {one.name for one in recognised(text) if one.recognised}
    after = {one.name for one in recognised(write_a1111(data)) if one.recognised}
    assert before <= after


# --- graph and wire -----------------------------------------------------------------------------------------------

INK = UsedResource(
    "urn:air:sdxl:lora:civitai:60@602", 0.8, "Ink", "lora", 602, 0.6, version_name="", source="resources"
)
WIRED = GenerationData(
    prompt="a cat, embedding:good", negative_prompt="lowres", model_air="urn:air:sdxl:checkpoint:civitai:50@501", model_name="base",
    model_version_id=501, model_hash="aabbccddee", seed=42, steps=20, cfg=7.5, sampler="dpmpp_2m", scheduler="karras", width=832, height=1216,
    networks=(INK,), embeddings=(UsedResource("urn:air:sdxl:embedding:civitai:70@703", name="good", kind="embedding", version_id=703),),
    source="civitai", image_id=9, clip_skip=None, base_model="SDXL 1.0",
)  # fmt: skip


def test_the_graph_has_the_word_and_the_wire_names_its_files():
    local = read_graph(core())
    assert local is not None
    data, lines = merge(local, WIRED)
    assert lines == ()
    assert (data.model_name, data.model_version_id, data.model_hash) == ("sdxl/base.safetensors", 501, "aabbccddee")
    assert [(one.name, one.air, one.weight, one.clip_weight) for one in data.networks] == [
        ("ink.safetensors", INK.air, 0.8, 0.6)
    ]
    assert [one.version_id for one in data.embeddings] == [703]
    assert (data.source, data.image_id) == ("comfy", None), "the picture is ours, not the one that was copied"


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"seed": 7}, "the seed 7, the graph used 42"),
    ({"prompt": "a dog"}, "the prompt 'a dog', the graph used 'a cat"),
    ({"negative_prompt": "ugly"}, "the negative prompt 'ugly', the graph used 'lowres'"),
    ({"clip_skip": 2}, "clip skip 2, the graph used none"),
    ({"upscale": Upscale("x", 2.0)}, "the second pass"),
    ({"sampler": "euler"}, "the sampler 'euler', the graph used 'dpmpp_2m'"),
    ({"width": 512}, "the width 512, the graph used 832"),
    ({"model_name": "other", "model_version_id": 9, "model_hash": "", "model_air": ""}, "the model 'other', the graph loaded 'sdxl/base"),
    ({"networks": (replace(INK, weight=0.3),)}, "LoRA ink.safetensors has weight 0.8 in the graph and 0.3"),
    ({"networks": (INK, UsedResource("", 1.0, "pen"))}, "LoRA pen is named in the wired generation and not used by the graph"),
    ({"networks": (UsedResource("", 1.0, "pen"),)}, "LoRA ink.safetensors is used by the graph and not named"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), CHANGES)
def test_where_they_differ_the_graph_is_told_and_a_line_says_so(change: dict[str, Any], line: str):
    local = read_graph(core())
    assert local is not None
    data, lines = merge(local, replace(WIRED, **change))
    assert [one for one in lines if line in one], lines
    assert (data.seed, data.prompt, data.sampler, data.width, data.clip_skip) == (42, "a cat, embedding:good", "dpmpp_2m", 832, None)  # fmt: skip
    assert [(one.name, one.weight) for one in data.networks] == [("ink.safetensors", 0.8)]
    if "model_name" in change:
        assert (data.model_name, data.model_version_id, data.model_air) == ("sdxl/base.safetensors", None, "")


def bridged() -> dict[str, Any]:
    """CivitAI image -> local sampler: the values come from our own nodes and are not written in the graph."""
    return {
        "1": node("CivitaiBridgeImageData", reference="900001"),
        "2": node("CivitaiBridgeGenerationSettings", generation=["1", 0]),
        "3": node("KSampler", seed=["2", 0], steps=["2", 1], cfg=["2", 2], sampler_name=["2", 3], scheduler=["2", 4], denoise=1.0,
                  model=["10", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0]),
        "4": node("CheckpointLoaderSimple", ckpt_name="base.safetensors"),
        "5": node("EmptyLatentImage", width=["2", 5], height=["2", 6], batch_size=1),
        "6": node("CLIPTextEncode", text=["1", 1], clip=["10", 1]),
        "7": node("CLIPTextEncode", text=["1", 2], clip=["10", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("CivitaiBridgeSaveImage", images=["8", 0], generation=["1", 0]),
        "10": node("CivitaiBridgeApplyLoras", model=["4", 0], clip=["4", 1], loras=["1", 4], missing="error"),
    }  # fmt: skip


def test_what_other_nodes_make_comes_from_the_wire():
    local = read_graph(bridged())
    assert local is not None
    assert set(local.extra[MADE_ELSEWHERE]) == {
        "seed", "steps", "cfg", "sampler", "scheduler", "width", "height", "prompt", "negative_prompt", "networks",
    }  # fmt: skip
    data, lines = merge(local, WIRED)
    assert lines == () and data.notes == () and MADE_ELSEWHERE not in data.extra
    for name in ("prompt", "negative_prompt", "seed", "steps", "cfg", "sampler", "scheduler", "width", "height"):
        assert getattr(data, name) == getattr(WIRED, name)
    assert (data.model_name, data.model_version_id) == ("base.safetensors", 501)
    assert [one.version_id for one in (*data.networks, *data.embeddings)] == [602, 703]
    written = picture_text(bridged(), WIRED)
    assert {one.by for one in written.resources} == {"version"}
    assert written.report == ("CivitAI will recognise every resource (3).",)


def test_what_only_a_hash_names_is_promised_under_its_condition():
    networks = (
        UsedResource("urn:air:sdxl:lora:civitai:601@602", 0.5, "ink", version_id=602),
        UsedResource("", 0.5, "x", hash="ab" * 5),
    )
    written = picture_text(None, GenerationData(model_name="own", model_hash="0123abcdef", seed=1, networks=networks))
    assert written.report == (
        "CivitAI will recognise every resource (3), 2 of them only if it knows the hash.",
        "By hash, if CivitAI knows it: own, x.",
    )


def test_a_wire_that_changes_a_part_does_not_change_the_rest():
    """The seed is typed at the sampler; the rest comes from the wire."""
    graph = bridged()
    graph["3"]["inputs"]["seed"] = 5
    graph["7"] = node("CLIPTextEncode", text="", clip=["10", 1])
    local = read_graph(graph)
    assert local is not None
    data, lines = merge(local, WIRED)
    assert (data.seed, data.steps, data.negative_prompt) == (5, 20, "")
    assert len(lines) == 2 and "the seed 42, the graph used 5" in lines[0] + lines[1]


def test_a_file_that_is_applied_twice_is_told_with_all_its_weight():
    graph = core(
        **{"11": node("LoraLoaderModelOnly", lora_name="ink.safetensors", strength_model=0.25, model=["10", 0])}
    )
    graph["3"]["inputs"]["model"] = ["11", 0]
    written = picture_text(graph, replace(WIRED, networks=(replace(INK, weight=1.05),)))
    assert '"weight":1.05,"clipWeight":0.85' in written.text and not any("weight" in line for line in written.report)
    back = read_a1111(written.text)
    assert back is not None and [(one.weight, one.again) for one in back.networks] == [(0.8, ((0.25, None),))]
    assert any("weight 1.05 in the graph and 0.8" in line for line in picture_text(graph, WIRED).report)


def test_without_a_wire_the_notes_stay():
    written = picture_text(bridged())
    assert any("another node makes it" in line for line in written.report)
    assert any("Only the name of base.safetensors is written" in line for line in written.report)
    assert MADE_ELSEWHERE not in written.text


def test_only_what_the_saving_node_hangs_on_made_its_picture():
    """Two samplers in one graph, each with its own picture; the page's order says nothing."""
    other = {f"o{key}": one for key, one in core().items()}
    for one in other.values():
        one["inputs"] = {name: [f"o{v[0]}", v[1]] if isinstance(v, list) else v for name, v in one["inputs"].items()}
    other["o3"]["inputs"].update(seed=7, steps=4)
    graph = {**other, **core()}
    assert read_a1111(picture_text(upstream(graph, "9", "images")).text).seed == 42  # type: ignore[union-attr]
    assert read_a1111(picture_text(upstream(graph, "o9", "images")).text).seed == 7  # type: ignore[union-attr]
    graph["9"]["inputs"]["images"] = ["9", 0]
    assert picture_text(upstream(graph, "9", "images")).text == "" and upstream(graph, "gone", "images") == {}


def test_the_size_of_the_picture_stands_in_where_nobody_says_one():
    graph = core()
    graph["5"] = node("VAEEncode", pixels=["11", 0], vae=["4", 2])
    graph["11"] = node("LoadImage", image="x.png")
    back = read_a1111(picture_text(graph, size=(640, 480)).text)
    assert back is not None and (back.width, back.height) == (640, 480)
    back = read_a1111(picture_text(core(), size=(640, 480)).text)
    assert back is not None and (back.width, back.height) == (832, 1216)


def test_a_fleet_image_is_told_as_the_fleet_told_it():
    fleet = replace(WIRED, workflow_id="wf-1", cost=12.0, seed=99)
    local = read_graph(core())
    assert local is not None and merge(local, fleet) == (fleet, ())
    written = picture_text(core(), fleet)
    back = read_a1111(written.text)
    assert back is not None and (back.workflow_id, back.cost, back.seed) == ("wf-1", 12.0, 99)


def test_a_graph_that_says_nothing_leaves_it_to_the_wire():
    graph = {"1": node("LoadImage", image="x.png"), "2": node("SaveImage", images=["1", 0])}
    local = read_graph(graph)
    assert local is not None
    data, lines = merge(local, WIRED)
    assert data.networks == WIRED.networks and "taken at its word" in lines[0]
    for nothing in (picture_text(graph), picture_text(None), picture_text({})):
        assert nothing.text == "" and "Nothing is known" in nothing.report[-1]


@given(DATA, DATA)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_two_can_be_merged(local: GenerationData, wired: GenerationData):
    data, lines = merge(replace(local, workflow_id=""), wired)
    write_a1111(data)
    assert all(line.endswith(".") for line in lines)
    _, lines = merge(replace(local, workflow_id=""), replace(local, workflow_id=""))
    assert not [line for line in lines if "the graph used" in line or "the graph loaded" in line], lines


# --- EXIF ---------------------------------------------------------------------------------------------------------


def test_exif_carries_text_and_graphs():
    text, prompt, workflow = "a café 墨\nSteps: 20, Seed: 1", '{"3": {"class_type": "KSampler"}}', '{"nodes": []}'
    block, said = exif_of(text, prompt=prompt, workflow=workflow)
    found = read_texts(webp(block))
    assert said == "" and found.notes == []
    assert found.texts == {"Make": "workflow:" + workflow, "Model": "prompt:" + prompt, "UserComment": text}
    assert read_texts(jpeg((0xE1, b"Exif\0\0" + block))).texts == found.texts
    assert exif_of("")[0] == b"MM\0*\0\0\0\x08\0\0\0\0\0\0"


def test_a_jpeg_without_room_says_what_is_left_out():
    text, graph = "a\n" + STEPS, "x" * 40_000
    for said, prompt, workflow in (
        ("", "", ""),
        ("the workflow", graph, graph),
        ("the workflow and the prompt", graph * 2, ""),
    ):
        block, sentence = exif_of(text, prompt=prompt, workflow=workflow, largest=65_527)
        assert len(block) <= 65_527 and (said in sentence if said else sentence == "")
        assert read_file(webp(block)).seed == 1
    block, sentence = exif_of("a" * 70_000, largest=65_527)
    assert "no room for anything" in sentence and read_texts(webp(block)).texts == {}
