"""CivitAI's answers -> GenerationData: both wire formats, the public list wrapped and flat, hostile and hidden meta."""

from __future__ import annotations

import copy
import json
import math
import random
from typing import Any

import pytest
from fakes import answering
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.metadata.civitai import generation_from_rest, generation_from_trpc
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.metadata.generation_json import generation_from_json
from pack.civitai_bridge.metadata.lookup import answered, hash_questions
from pack.civitai_bridge.metadata.media_type import direction
from pack.civitai_bridge.metadata.resources import join
from pack.civitai_bridge.resources.hashes import normal_hash, spellings
from pack.civitai_bridge.sandbox import wire as their_wire
from pack.civitai_bridge.sandbox.image_answers import generation_data
from pack.civitai_bridge.sandbox.images import IMAGES
from pack.civitai_bridge.website import ImageClient


def resource(version: int, kind: str = "LORA", strength: Any = 0.7, **more: Any) -> dict[str, Any]:
    return {"imageId": 9, "modelVersionId": version, "strength": strength, "modelId": version // 10, "modelName": f"Model {version}", "modelType": kind,
            "versionId": version, "versionName": "v1", "baseModel": "SDXL 1.0", **more}  # fmt: skip


META: dict[str, Any] = {
    "prompt": "portrait <lora:ink:0.7:0.6>", "negativePrompt": "lowres", "steps": 30, "cfgScale": 5, "sampler": "DPM++ 2M Karras", "seed": 11,
    "width": 832, "height": 1216, "clipSkip": 2, "Model": "base", "Model hash": "aabbccddee", "hashes": {"lora:ink": "0x1122334455"},
    "civitaiResources": [{"type": "checkpoint", "modelVersionId": 501}, {"type": "lora", "weight": 0.7, "modelVersionId": 602}],
}  # fmt: skip
UNHASHED: dict[str, Any] = {key: value for key, value in META.items() if key != "hashes"}
PAYLOAD: dict[str, Any] = {
    "type": "image", "onSite": True, "process": "txt2img", "meta": META, "displayKeys": ["seed"], "tools": [{"id": 1, "name": "ComfyUI"}],
    "resources": [resource(501, "Checkpoint", None), resource(602)], "techniques": [{"id": 1, "name": "txt2img"}], "external": None, "remixOfId": 7,
}  # fmt: skip


def trpc(**change: Any) -> GenerationData:
    return generation_from_trpc({**PAYLOAD, **change}, 9)


def of_meta(**change: Any) -> GenerationData:
    return trpc(meta={**META, **change})


@pytest.mark.parametrize("wire", ["superjson", "devalue"])
async def test_both_wire_formats_give_one_value(wire: str):
    body = {"result": {"data": {"json": PAYLOAD} if wire == "superjson" else their_wire.devalue(PAYLOAD)}}
    send = answering(200, body)
    payload = await ImageClient(send, send).generation_payload(9)
    data = generation_from_trpc(payload.raw, 9)
    assert data == trpc()
    assert (data.prompt, data.negative_prompt, data.steps, data.cfg, data.seed) == (
        META["prompt"],
        "lowres",
        30,
        5.0,
        11,
    )
    assert (data.sampler, data.scheduler, data.width, data.height, data.clip_skip) == (
        "dpmpp_2m",
        "karras",
        832,
        1216,
        2,
    )
    assert (data.model_name, data.model_version_id, data.model_air) == (
        "base",
        501,
        "urn:air:sdxl:checkpoint:civitai:50@501",
    )
    assert (data.image_id, data.media_type, data.detected_type, data.process) == (9, "image", "t2i", "txt2img")
    assert (data.tools, data.techniques, data.extra["remixOfId"]) == (("ComfyUI",), ("txt2img",), 7)


def parts(data: GenerationData) -> list[tuple[str, str, int | None, float]]:
    return [(one.kind, one.name, one.version_id, one.weight) for one in data.resources]


RESOURCES: list[tuple[str, dict[str, Any], list[tuple[str, str, int | None, float]]]] = [
    ("a tag and a version that nothing joins", {}, [("lora", "ink", None, 0.6), ("lora", "Model 602", 602, 0.7)]),
    ("a tag by the model's name", {"meta": UNHASHED, "resources": [resource(602, modelName="Ink")]}, [("lora", "ink", 602, 0.6)]),
    ("a tag by model and version", {"meta": UNHASHED, "resources": [resource(602, modelName="in", versionName="k")]}, [("lora", "ink", 602, 0.6)]),
    ("a tag whose hash is to be asked", {"resources": [resource(602, modelName="Ink")]}, [("lora", "ink", None, 0.6), ("lora", "Ink", 602, 0.7)]),
    ("null strength is 1", {"meta": None, "resources": [resource(602, strength=None)]}, [("lora", "Model 602", 602, 1.0)]),
    ("every type", {"meta": None, "resources": [resource(n, kind) for n, kind in enumerate(
        ("LORA", "LoCon", "DoRA", "TextualInversion", "Hypernetwork", "VAE", "Upscaler", "Controlnet", "Poses", "Checkpoint"), 11)]},
        [("lora", "Model 11", 11, 0.7), ("lyco", "Model 12", 12, 0.7), ("lora", "Model 13", 13, 0.7), ("hypernet", "Model 15", 15, 0.7), ("embedding", "Model 14", 14, 0.7),
         ("vae", "Model 16", 16, 0.7), ("upscaler", "Model 17", 17, 0.7), ("controlnet", "Model 18", 18, 0.7), ("other", "Model 19", 19, 0.7)]),
    ("no version, no resource", {"meta": None, "resources": [{"modelName": "x"}, "x", None, {"modelVersionId": -1}, {"modelVersionId": "nan"}]}, []),
    ("twice the same", {"meta": None, "resources": [resource(602), resource(602)]}, [("lora", "Model 602", 602, 0.7)]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "found"), [row[1:] for row in RESOURCES], ids=[row[0] for row in RESOURCES])
def test_resources(change: dict[str, Any], found: list[Any]):
    assert parts(trpc(**change)) == found


INK = {"prompt": "x <lora:Ink:0.8>", "hashes": {"lora:Ink": "aaaaaaaaaaaa"}, "resources": [
    {"type": "lora", "name": "Ink", "weight": 0.8, "hash": "aaaaaaaaaaaa"}]}  # fmt: skip
VERSIONS = [
    resource(602, strength=None, modelName="Ink", versionName="v2"),
    resource(601, strength=0.8, modelName="Ink"),
]
MODELS = [resource(8, "Checkpoint", None, modelName="Dream", versionName="8"), resource(7, "Checkpoint", None, modelName="Dream", versionName="7")]  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_a_hash_is_asked_before_a_name_is_believed(order: int):
    """The list also holds the version of the image's post, in no order."""
    data = trpc(meta=INK, resources=VERSIONS[::order])
    assert [one.tries for one in hash_questions(data)] == [("aaaaaaaaaaaa", "aaaaaaaaaa")]
    data = answered(data, {"aaaaaaaaaaaa": UsedResource("", kind="lora", version_id=601)})
    assert sorted((one.version_id, one.weight) for one in data.networks) == [(601, 0.8), (602, 1.0)]
    alone = trpc(meta=INK, resources=VERSIONS[:1])
    assert [(one.version_id, one.weight) for one in alone.networks] == [(None, 0.8), (602, 1.0)]


@pytest.mark.parametrize("order", [1, -1])
def test_the_models_hash_is_asked_before_its_name_is_believed(order: int):
    data = trpc(meta={"prompt": "x", "Model": "Dream", "Model hash": "bbbbbbbbbb"}, resources=MODELS[::order])
    assert data.model_version_id is None and {one.version_id for one in data.others} == {7, 8}
    assert [one.hash for one in hash_questions(data)] == ["bbbbbbbbbb"]
    data = answered(data, {"bbbbbbbbbb": UsedResource("", name="Dream", kind="checkpoint", version_id=7)})
    assert data.model_version_id == 7 and [one.version_id for one in data.others] == [8]


@pytest.mark.parametrize(("name", "version"), [("Dream", None), ("Dream7", 7), ("dream_8.safetensors", 8), ("Other", None)])  # fmt: skip
def test_a_name_of_two_versions_names_none(name: str, version: int | None):
    data = trpc(meta={"prompt": "x", "Model": name}, resources=MODELS)
    assert data.model_version_id == version
    assert any("names 2 versions of Dream" in note for note in data.notes) == (name == "Dream")


def test_lists_in_the_settings():
    data = of_meta(
        civitaiResources=[{"type": "embed", "weight": 0.5, "modelVersionId": 703}, {"modelVersionId": 704}, {"type": "lora"}, 5, {"type": "lora", "modelVersionId": 705, "weight": "nan"}],
        additionalResources=[{"name": "x.safetensors", "type": "lora", "strength": 0.4, "strengthClip": 0.3}, {"name": "y", "strength": float("nan")}, {"air": "urn:air:sdxl:lora:civitai:1@706"}],
        resources=[{"type": "lora", "name": "z", "weight": 0.2, "hash": "99AABBCCDD"}, {"type": "lora", "name": "gone", "hash": "e3b0c44298fc"}],
    )  # fmt: skip
    found = {name or version: (kind, weight) for kind, name, version, weight in parts(data)}
    assert (
        found["x.safetensors"] == ("lora", 0.4) and found["z"] == ("lora", 0.2) and found["Model 602"] == ("lora", 0.7)
    )
    assert found[703] == ("embedding", 0.5) and found[705] == ("lora", 1.0) and found["y"] == ("lora", 1.0)
    assert 704 in found and 706 in {one.version_id for one in data.networks}
    for words in ("names no version", "A weight is left out", "The weight of y"):
        assert any(words in note for note in data.notes)
    assert next(one for one in data.networks if one.name == "z").hash == "99aabbccdd"
    assert next(one for one in data.networks if one.name == "gone").hash == ""


HIDDEN = [
    ({"meta": None}, "The uploader hid the settings"),
    ({"meta": {}, "resources": [resource(602, strength=None)]}, "its uploader hid them, or there are none"),
    ({"meta": None, "resources": []}, "neither settings nor resources"),
    ({"meta": None, "resources": [], "external": {"source": {"name": "x"}}}, "The uploader hid the settings"),
    ({"meta": "text", "resources": []}, "neither settings nor resources"),
]


@pytest.mark.parametrize(("change", "words"), HIDDEN)
def test_hidden_and_absent_settings_are_told_as_they_are_known(change: dict[str, Any], words: str):
    data = trpc(**change)
    assert any(words in note for note in data.notes) and data.prompt == "" and data.seed is None


TYPES: list[tuple[str, dict[str, Any], str]] = [
    ("image", {"process": "txt2img"}, "t2i"),
    ("image", {"process": "img2img"}, "i2i"),
    ("image", {"process": "inpainting + ControlNet"}, "i2i"),
    ("image", {"process": "txt2img + Hi-Res"}, "t2i"),
    ("image", {"process": None, "meta": {**META, "workflow": "img2img-upscale"}}, "i2i"),
    ("image", {"process": "txt2vid", "techniques": []}, "t2i"),
    ("image", {"process": "comfy", "meta": {**META, "Denoising strength": "0.4"}, "techniques": []}, "i2i"),
    ("image", {"process": "comfy", "meta": {**META, "Denoising strength": "0.4", "Hires upscale": "2"}, "techniques": []}, "t2i"),
    ("video", {"process": "txt2img"}, "t2v"),
    ("video", {"process": "img2vid"}, "i2v"),
    ("video", {"process": "img2vid:first-last-frame"}, "i2v"),
    ("video", {"process": "ref2vid"}, "i2v"),
    ("video", {"process": "txt2img", "techniques": [{"name": "img2vid"}]}, "i2v"),
    ("video", {"process": None, "meta": {**META, "sourceImage": {"url": "x"}}}, "i2v"),
    ("video", {"process": None, "meta": None, "resources": [resource(1, "Checkpoint", baseModel="Wan Video 14B i2v 480p")]}, "i2v"),
    ("video", {"process": None, "meta": None, "resources": [resource(1, "Checkpoint", baseModel="Wan Video 2.2 TI2V-5B")]}, "t2v"),
    ("video", {"process": "vid2vid:edit"}, "i2v"),
    ("audio", {"process": "txt2music"}, "unknown"),
    ("hologram", {}, "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("media", "change", "kind"), TYPES)
def test_detected_types(media: str, change: dict[str, Any], kind: str):
    data = trpc(type=media, **change)
    assert data.detected_type == kind
    assert any("made from a video" in note for note in data.notes) == ("vid2vid" in str(change))


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("img2img:upscale + ControlNet", "i2i"), ("txt2img:hires-fix", "t2i"), ("image:create", "t2i"), ("image:edit", "i2i"), ("video:create", "t2v"),
        ("video:animate", "i2v"), ("vid2vid:upscale", "v2v"), ("txt2music", ""), ("workflow", ""), ("controlnet", ""), (None, ""), (5, ""), ("", ""),
    ],
)  # fmt: skip
def test_directions(word: object, found: str):
    assert direction(word) == found


# --- the public list ----------------------------------------------------------------------------------------------

ITEM: dict[str, Any] = {
    "id": 9,
    "type": "image",
    "baseModel": "SDXL 1.0",
    "modelVersionIds": [501, 602, 703],
    "meta": META,
}


@pytest.mark.parametrize("meta", [META, {"id": 9, "meta": META}])
def test_the_public_list_flat_and_wrapped(meta: dict[str, Any]):
    data = generation_from_rest({**ITEM, "meta": meta})
    assert (data.source, data.prompt, data.model_version_id, data.image_id) == ("civitai-rest", META["prompt"], 501, 9)
    assert [(one.kind, one.version_id) for one in data.others] == [("other", 703)], "no id is listed twice"


@pytest.mark.parametrize("meta", [None, {"id": 9, "meta": None}, {"id": 9, "meta": {}}, "text", 5])
def test_the_public_list_without_settings(meta: Any):
    data = generation_from_rest({**ITEM, "meta": meta})
    assert "or there are none" in data.notes[-1] and {one.version_id for one in data.others} == {501, 602, 703}


GRAPH = {"3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 9, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0]}},
         "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "g.safetensors"}}, "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
         "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "of the graph", "clip": ["4", 1]}}}  # fmt: skip
COMFY = [
    (json.dumps({"prompt": GRAPH, "workflow": {}}), 5),
    ('{"prompt": ' + json.dumps(GRAPH) + ', "workflow": undefined}', 5),
    ('{"prompt": ' + json.dumps(GRAPH).replace("2.0", "NaN") + ', "workflow": undefined}', 5),
    ({"prompt": GRAPH}, 5),
    ({"prompt": json.dumps(GRAPH)}, 5),
    ('{"prompt": ' + json.dumps(GRAPH)[:200], None),
    ("", None),
    ({}, None),
    (5, None),
]


@pytest.mark.parametrize(("comfy", "seed"), COMFY)
def test_graphs_as_text_and_as_objects(comfy: Any, seed: int | None):
    data = generation_from_rest({**ITEM, "meta": {"prompt": "of meta", "comfy": comfy}, "modelVersionIds": []})
    assert data.prompt == "of meta" and data.seed == seed
    if isinstance(comfy, str) and comfy and seed is None:
        assert any("broken" in note for note in data.notes)


# --- bad values ---------------------------------------------------------------------------------------------------

BAD = [
    None,
    [],
    {},
    True,
    "many",
    "nan",
    math.nan,
    math.inf,
    1e308,
    "9" * 5000,
    -1,
    "\ud800",
    [[]] * 3,
    {"a": {"b": [1]}},
]


@pytest.mark.parametrize(
    "key",
    [
        *META,
        "Size",
        "Hires upscale",
        "VAE hash",
        "TI hashes",
        "Lora hashes",
        "comfy",
        "resources",
        "models",
        "workflow",
        "engine",
        "Refiner",
        "Civitai metadata",
    ],
)
def test_one_bad_value_of_the_settings_never_loses_the_rest(key: str):
    good = of_meta()
    fields = (
        "prompt",
        "negative_prompt",
        "seed",
        "steps",
        "cfg",
        "width",
        "height",
        "sampler",
        "clip_skip",
        "model_name",
        "model_version_id",
    )
    for bad in BAD:
        data = of_meta(**{key: copy.deepcopy(bad)})
        lost = [name for name in fields if getattr(data, name) != getattr(good, name)]
        assert len(lost) <= 1, (key, bad, lost)
        for one in data.resources:
            assert math.isfinite(one.weight)
        assert generation_from_json(json.loads(json.dumps(data.to_json()))).seed == data.seed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted({*META, *PAYLOAD, *resource(1), "type", "hash", "weight", "air", "comfy"})),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(sorted(PAYLOAD)), json_values),
    st.dictionaries(st.sampled_from(sorted(META)), json_values),
)
@settings(max_examples=200, deadline=None)
def test_any_answer_is_survived(payload: dict[str, Any], meta: dict[str, Any]):
    for data in (
        trpc(**payload),
        of_meta(**meta),
        generation_from_rest({**ITEM, **payload}),
        generation_from_rest({**ITEM, "meta": {"id": 9, "meta": {**META, **meta}}}),
    ):
        json.dumps(data.to_json())


def test_mutated_answers_of_the_sandbox_are_survived():
    for image in IMAGES.values():
        body = json.dumps(their_wire.success(generation_data(image), "superjson")["result"]["data"]["json"])[:20_000]
        for seed in range(15):
            dice = random.Random(seed)
            at = dice.randrange(len(body))
            cut = body[:at] + dice.choice(["null", "0", '""', "[]", "{}", "1e999", ""]) + body[at + dice.randrange(6) :]
            try:
                value = json.loads(cut)
            except ValueError:
                continue
            if isinstance(value, dict):
                json.dumps(generation_from_trpc(value).to_json())


def test_a_meta_of_many_resources_takes_no_time_and_names_what_is_left_out():
    many = 20_000
    data = of_meta(
        prompt="<lora:x:1>" * many,
        hashes={f"lora:n{i}": "1122334455" for i in range(many)},
        resources=[{"type": "lora", "name": f"m{i}", "weight": 1} for i in range(many)],
    )
    assert data.seed == 11 and any("left out" in note for note in data.notes)


# --- joining ------------------------------------------------------------------------------------------------------


def test_joining_lists_nothing_twice():
    air = "urn:air:sdxl:lora:civitai:60@602"
    found = join((
        UsedResource("", 0.5, "style/Ink.safetensors", source="prompt"), UsedResource("", 1.0, "ink", hash="1122334455", source="hashes"),
        UsedResource(air, 0.5, "Ink", version_id=602, hash="112233445566", source="resources"), UsedResource("", 0.3, "other/ink", hash="9988776655"),
    ))  # fmt: skip
    assert [(one.name, one.version_id, one.weight) for one in found] == [
        ("style/Ink.safetensors", 602, 0.5),
        ("other/ink", None, 0.3),
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("0xAABBCCDDEE", "aabbccddee"),
        ("E3B0C44298FC", ""),
        ("e3b0c442", ""),
        ("xyz", ""),
        ("", ""),
        (5, ""),
        ("12345", ""),
        ("a" * 200, ""),
        (None, ""),
    ],
)
def test_hashes(value: object, found: str):
    assert normal_hash(value) == found


def test_twelve_digits_are_tried_as_ten():
    assert spellings("112233445566") == ("112233445566", "1122334455") and spellings("1122334455") == ("1122334455",)
