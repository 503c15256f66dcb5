"""From a reference or a file to GenerationData: every family of the sandbox, both wire formats, with and without key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import Fake, answering, reply
from made_files import chunk, png

from pack.civitai_bridge.errors import (
    CivitaiError,
    NotFound,
    RateLimited,
    Unauthorized,
    UnknownReference,
    Unreachable,
)
from pack.civitai_bridge.metadata.a1111.reader import read_a1111
from pack.civitai_bridge.metadata.a1111.write import carried, write_a1111
from pack.civitai_bridge.metadata.embeddings import for_comfyui
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.metadata.generation_json import generation_from_json
from pack.civitai_bridge.metadata.lookup import embedding_words
from pack.civitai_bridge.metadata.prompt import name_key
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.images import IMAGES
from pack.civitai_bridge.website import (
    ImageClient,
    ImageData,
    Lookups,
    SiteClient,
    fetch_image_data,
    look_up,
    read_file_data,
)

World = tuple[Sandbox, ImageClient, ImageClient, SiteClient]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """The sandbox, a client with a key, one without, and the site."""
    async with Sandbox() as sandbox, HttpClient() as wires:
        public, keyed = wires.send_to(sandbox.site_url), wires.send_to(sandbox.site_url, "mine")
        yield sandbox, ImageClient(public, keyed), ImageClient(public), SiteClient(public)


def parts(data: GenerationData) -> tuple[UsedResource, ...]:
    return data.resources


def told(data: GenerationData) -> list[tuple[str, int | str, float]]:
    """Kind, version id (or the name, where none is known) and weight."""
    return [(one.kind, one.version_id or one.name, one.weight) for one in parts(data)]


_INK = [("lora", 300001, 0.8), ("lora", "harbour ink", -0.5), ("lora", "nobody knows", 1.0)]
_REST = [("embedding", 300031, 1.0), ("vae", 300005, 1.0)]
_GRAPH = [("lora", "storybookLight_v2.safetensors", 0.7), ("embedding", "badhandsaway", 1.0)]
_PALETTES = [("lora", 300201 + 2 * n, (n + 1) / 100) for n in range(20)]
_A1111 = (128078, [*_INK, *_REST], "t2i", 1234567890)
# image -> model version (or name), resources, detected type, seed
FAMILIES: dict[int, tuple[int | str | None, list[tuple[str, int | str, float]], str, int | None]] = {
    900001: (128078, [("lora", 300001, 0.7)], "t2i", 11),
    900002: _A1111,
    900003: (128078, _GRAPH, "t2i", 42),
    900004: (128078, [("lora", 300001, 0.8)], "t2i", None),
    900005: (None, [], "t2i", None),
    900006: (None, [("lora", 300099, 1.0)], "i2v", 77),
    900007: (None, [("lora", 300099, 1.0)], "i2v", 77),
    900008: (None, [], "t2v", None),
    900009: (128078, [_INK[0], _INK[2], *_REST], "t2i", 1234567890),
    900010: (128078, _GRAPH, "t2i", 42),
    900011: (None, _PALETTES, "t2i", 20),
    900012: ("dreamShaper_8", [("lora", 300003, 0.6)], "t2i", 5),
    900013: (126601, [], "t2i", 6),
    900014: (128713, [("lyco", 300087, 0.4), ("lora", 300003, 0.9), ("embedding", 300031, 1.0)], "t2i", 11),
    900015: _A1111,
    900016: (128078, [("lora", 300003, 1.0), ("lora", 300001, 0.8), _INK[2], _REST[0], ("checkpoint", 128713, 1.0), _REST[1]], "i2i", 1234567890),
    900017: (128078, [*_INK, *_REST], "i2i", 1234567890),
    900018: _A1111,
    900019: (None, [], "unknown", None),
    900020: (128078, [("lora", "storybookLight_v2", 0.8), _INK[1], ("lora", 300003, 1.0), ("lora", "empty", 1.0), ("lora", 300087, 1.0), ("lora", 300019, 1.0), ("lora", "gone", 1.0), _REST[0]], "t2i", 1234567890),
    900021: (128078, [("lora", 300001, 0.7)], "t2i", 11),
    900022: (None, [], "t2v", 77),
    900023: (None, [], "t2i", None),
    900024: (None, [], "t2i", 9),
    900025: (290640, [], "t2i", 2**60),
    900026: (None, [], "t2i", None),
    900027: (None, [], "t2i", None),
}  # fmt: skip
NOT_PUBLIC = {900015, 900023}


def judged(image_id: int, found: ImageData, weights: bool = True) -> None:
    """What the table says, and what holds for every image: nothing twice, a line for all, values that travel."""
    data = found.data
    model, resources, kind, seed = FAMILIES[image_id]
    assert (data.model_version_id or data.model_name or None) == model
    wanted = resources if weights else [(one, name, 1.0) for one, name, _ in resources]
    assert told(data) == wanted
    assert (data.detected_type, data.seed, data.image_id) == (kind, seed, image_id)
    ids = [one.version_id for one in parts(data) if one.version_id] + [data.model_version_id]
    names = [("lora" if one.kind == "lyco" else one.kind, name_key(one.name)) for one in parts(data)]
    assert len(set(ids)) == len(ids) and len(set(names)) == len(names)
    assert all(one.air for one in parts(data) if one.version_id), "what has an id has its AIR"
    for one in parts(data):
        assert any(one.name in line for line in found.report)
    assert generation_from_json(json.loads(json.dumps(data.to_json()))) == data
    again = read_a1111(write_a1111(data))
    assert again is not None and carried(again) == carried(data)


@pytest.mark.parametrize("wire", ["superjson", "devalue"])
async def test_every_family_with_a_key(world: World, wire: str):
    sandbox, keyed, _, site = world
    sandbox.site.wire = wire
    assert set(FAMILIES) == set(IMAGES)
    for image_id in IMAGES:
        found = await fetch_image_data(str(image_id), keyed, site)
        judged(image_id, found)
        assert found.data.source == "civitai" and "CivitAI's generation data" in found.report[0]


async def test_every_family_without_a_key(world: World):
    _, _, public, site = world
    for image_id in IMAGES:
        if image_id in NOT_PUBLIC:
            with pytest.raises(NotFound, match="With an API key"):
                await fetch_image_data(str(image_id), public, site)
            continue
        found = await fetch_image_data(str(image_id), public, site)
        judged(image_id, found, weights=image_id != 900004)
        assert found.data.source == "civitai-rest" and "public image list" in found.report[0]
        assert "Without an API key" in found.report[1]


REPORTS = {
    900002: ["LoRA harbour ink at -0.5, from the prompt; only its name is known.", "CivitAI does not know LoRA nobody knows by hash a1b2c3d4e5f6.", "Found by hash 06410ba954: VAE clearSkyVAE_v1.safetensors is Clear Sky VAE v1."],
    900004: ["The uploader hid the settings of this image; CivitAI tells only what it resolved."],
    900005: ["CivitAI says neither settings nor resources for this image: its uploader hid them, or there are none."],
    900007: ["This video was made from a video; it is told as i2v."],
    900003: ["LoRA storybookLight_v2.safetensors at 0.7 (clip 0.6), from the ComfyUI graph; only its name is known."],
    900025: ["Model is left out: {'Name': 'x'} is no value for it.", "CivitAI keeps seeds above 9007199254740992 rounded, so 1152921504606846976 may not be the one that was used."],
    900020: ["A list of hashes gives no weights; 1 stands in for harbourInk_v1 v1, empty, fineLines v1, long v1, gone."],
}  # fmt: skip


async def test_the_report_says_who_gave_what(world: World):
    _, keyed, _, site = world
    for image_id, lines in REPORTS.items():
        found = await fetch_image_data(str(image_id), keyed, site)
        assert [line for line in lines if line not in found.report] == []


async def test_a_broken_graph_of_the_public_list_is_mended_or_named(world: World):
    _, _, public, site = world
    found = await fetch_image_data("900010", public, site)
    assert found.data.networks[0].clip_weight == 0.6 and found.data.prompt == "a lighthouse at dusk, wide angle"


async def test_what_no_weight_is_given_for_is_named(world: World):
    _, _, public, site = world
    found = await fetch_image_data("900004", public, site)
    assert "The public list gives no weights; 1 stands in for Storybook Light v2." in found.report
    assert any("its uploader hid them, or there are none" in line for line in found.report)


async def test_what_civitai_did_not_resolve_is_apart(world: World):
    _, keyed, _, site = world
    found = await fetch_image_data("900002", keyed, site)
    assert [(one.name, one.source) for one in found.detected] == [
        ("harbour ink", "prompt"), ("nobody knows", "hashes"), ("clearSkyVAE_v1.safetensors", "hashes"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "reference",
    [
        "900001", " 900001 ", "https://civitai.com/images/900001", "civitai.com/images/900001?period=AllTime",
        "https://civitai.red/images/900001", "https://www.civitai.com/images/900001",
        "https://image.civitai.com/token/0e8b0e0e-0000-4000-8000-000000000000/width=450/900001.jpeg",
        "https://civitai.com/posts/800001",
    ],
)  # fmt: skip
async def test_every_way_to_name_an_image(world: World, reference: str):
    _, keyed, public, site = world
    for client in (keyed, public):
        assert (await fetch_image_data(reference, client, site)).data.image_id == 900001


@pytest.mark.parametrize(
    "reference",
    [
        "", "a cat", "https://civitai.com.evil.example/images/900001", "https://evil.example/civitai.com/images/900001",
        "https://civitai.com@evil.example/images/900001", "http://127.0.0.1/images/900001", "https://civitai.com/models/5",
        "https://image.civitai.com.evil.example/t/u/width=450/900001.jpeg", "https://huggingface.co/x/y", "900001@5",
        "https://image.civitai.com/token/0e8b0e0e-0000-4000-8000-000000000000/original=true/0e8b0e0e.jpeg", "0", "99999999999",
    ],
)  # fmt: skip
async def test_any_other_address_is_refused_without_a_request(world: World, reference: str):
    sandbox, keyed, _, site = world
    with pytest.raises(UnknownReference):
        await fetch_image_data(reference, keyed, site)
    assert sandbox.requests == []


async def test_a_post_gives_its_first_image_and_names_the_others(world: World):
    _, keyed, public, site = world
    for client in (keyed, public):
        found = await fetch_image_data("https://civitai.com/posts/800001", client, site)
        assert found.others == (900002, 900003, 900021, 900024)
        line = "Image 900001 is the first of post 800001; its others are 900002, 900003, 900021, 900024."
        assert line in found.report
        assert ("Post 800004 has this one image.") in (
            await fetch_image_data("https://civitai.com/posts/800004", client, site)
        ).report
        with pytest.raises(NotFound, match="post 800008"):
            await fetch_image_data("https://civitai.com/posts/800008", client, site)


async def test_twenty_resources_take_few_questions_and_a_second_run_none(world: World):
    sandbox, keyed, public, site = world
    for client, asked in ((keyed, 22), (public, 22)):  # each LoRA has trigger words of its own
        lookups = Lookups()
        before = len(sandbox.requests)
        first = await fetch_image_data("900011", client, site, lookups)
        assert len(sandbox.requests) - before == asked
        assert await fetch_image_data("900011", client, site, lookups) == first
        assert len(sandbox.requests) - before == asked


async def test_an_unknown_image_and_keys_that_do_not_work(world: World):
    sandbox, keyed, public, site = world
    with pytest.raises(NotFound, match="does not know image 1"):
        await fetch_image_data("1", keyed, site)
    with pytest.raises(NotFound, match="shows no image 1 in public"):
        await fetch_image_data("1", public, site)
    async with HttpClient() as wires:
        for key, sentence in (("wrong", "does not accept the API key"), ("no-media", "may not read images")):
            client = ImageClient(wires.send_to(sandbox.site_url), wires.send_to(sandbox.site_url, key))
            found = await fetch_image_data("900001", client, site)
            assert found.data.source == "civitai-rest" and sentence in found.report[1]
            with pytest.raises(CivitaiError, match=sentence):
                await fetch_image_data("900015", client, site)


async def test_a_service_that_asks_for_peace_says_so():
    send = Fake(reply(429, {"error": "slow down"}, **{"retry-after": "30"}))
    with pytest.raises(RateLimited, match="fewer requests"):
        await fetch_image_data("9", ImageClient(send, send), SiteClient(send))
    with pytest.raises(Unauthorized):
        refused = answering(401, {"error": {"json": {"message": "no", "code": -32001}}})
        await fetch_image_data("9", ImageClient(answering(200, {"items": []}), refused), SiteClient(refused))


async def test_a_failed_look_up_costs_only_its_answer(world: World):
    _, keyed, _, _ = world
    away = SiteClient(Fake(Unreachable("CivitAI does not answer.")))
    found = await fetch_image_data("900011", keyed, away)
    assert [one.version_id for one in found.data.networks] == [300201 + 2 * n for n in range(10)] + [None] * 10
    (line,) = [line for line in found.report if "could not be looked up" in line]
    assert "palette11_v1" in line and line.endswith("CivitAI does not answer.")
    assert not any("does not know" in line for line in found.report), "no network error is taken for 'not found'"


async def test_a_site_that_is_away_is_asked_eight_questions_and_named_once(world: World):
    _, keyed, _, _ = world
    reasons = [Unreachable(f"CivitAI does not answer. It is asked again in {n} s.") for n in range(60, 40, -1)]
    send = Fake(*reasons)
    found = await fetch_image_data("900011", keyed, SiteClient(send))
    (line,) = [line for line in found.report if "could not be looked up" in line]
    assert "trigger words" in line and "by hash" in line and line.endswith(str(reasons[0]))
    assert len(send.requests) <= 8


# --- look-ups of what a file names --------------------------------------------------------------------------------


def version(version_id: int, kind: str, name: str, **hashes: str) -> dict[str, Any]:
    return {
        "id": version_id, "modelId": version_id // 10, "name": "v1", "baseModel": "SDXL 1.0",
        "air": f"urn:air:sdxl:{kind.lower()}:civitai:{version_id // 10}@{version_id}",
        "model": {"name": name, "type": kind}, "files": [{"id": 1, "name": "x", "hashes": hashes, "primary": True}],
    }  # fmt: skip


async def test_an_answer_of_another_kind_is_named_and_not_taken():
    data = GenerationData(
        model_name="base", model_hash="aabbccdd", networks=(UsedResource("", 0.5, "ink", hash="1122334455"),), vae="v", vae_hash="99887766"
    )  # fmt: skip
    send = Fake(reply(200, version(50, "Checkpoint", "Base")))
    found, _ = await look_up(data, SiteClient(answering(200, version(50, "LORA", "Other"))))
    assert found.model_version_id is None and found.networks[0].version_id == 50
    assert [note for note in found.notes if "aabbccdd" in note and "lora, Other" in note]
    assert [note for note in found.notes if "99887766" in note]
    found, _ = await look_up(data, SiteClient(send))
    assert found.model_version_id == 50 and found.networks[0].version_id is None
    assert "1122334455" in found.notes[0]


async def test_one_version_by_two_hashes_is_listed_once():
    data = GenerationData(
        networks=(UsedResource("", 0.5, "ink", hash="1122334455"), UsedResource("", 1.0, "pen", hash="998877665544"))
    )
    found, _ = await look_up(data, SiteClient(answering(200, version(60, "LORA", "Ink"))))
    assert [(one.name, one.version_id, one.weight) for one in found.networks] == [("ink", 60, 0.5)]


@pytest.mark.parametrize("source", ["comfy", "prompt"])
async def test_two_files_of_one_version_stay_two(source: str):
    """The LoRA of a video model comes as one for high and one for low noise."""
    high, low = ("wan_high", "1122334455", 1.0), ("wan_low", "9988776655", 0.7)
    pair = tuple(UsedResource("", weight, name, hash=hash, source=source) for name, hash, weight in (high, low))
    site = SiteClient(answering(200, version(60, "LORA", "Wan")))
    found, _ = await look_up(GenerationData(networks=pair), site)
    assert [(one.name, one.version_id, one.weight) for one in found.networks] == [("wan_high", 60, 1.0), ("wan_low", 60, 0.7)]  # fmt: skip
    copies = tuple(replace(one, hash="1122334455") for one in pair)
    assert len((await look_up(GenerationData(networks=copies), site))[0].networks) == 1


EMBEDDINGS = [
    ("a title is no word", {"civitaiResources": [{"type": "embed", "modelVersionId": 90}]}, [], {}),
    ("the trained word", {}, ["bad_prompt_version2"], {"bad_prompt_version2": "x"}),
    ("the first of several", {}, ["bad_v2", "bad"], {"bad_v2": "x"}),
    ("a word of a list of hashes", {"TI hashes": "neg: 1122334455"}, [], {"neg": "x"}),
    ("both", {"hashes": {"embed:neg": "1122334455"}}, ["bad_v2"], {"neg": "x", "bad_v2": "x"}),
    ("as ComfyUI spells it", {"prompt": "a dragon, embedding:mine"}, [], {"mine": "mine"}),
]


@pytest.mark.parametrize(("meta", "trained", "words"), [row[1:] for row in EMBEDDINGS], ids=[row[0] for row in EMBEDDINGS])  # fmt: skip
async def test_the_words_that_call_an_embedding(meta: dict[str, Any], trained: list[str], words: dict[str, str]):
    resolved = {"modelVersionId": 90, "modelId": 9, "modelName": "Dragon", "modelType": "TextualInversion", "versionName": "v1", "baseModel": "SD 1.5", "strength": 1}  # fmt: skip
    payload = {
        "type": "image",
        "meta": {"prompt": "a dragon, bad_v2, neg", "steps": 5, **meta},
        "resources": [resolved],
    }
    images = answering(200, {"result": {"data": {"json": payload}}})
    site = SiteClient(answering(200, {**version(90, "TextualInversion", "Dragon"), "trainedWords": trained}))
    data = (await fetch_image_data("9", ImageClient(images, images), site)).data
    assert embedding_words(data) == words
    written = for_comfyui(data.prompt, embedding_words(data))
    assert "embedding:Dragon" not in written and "a dragon" in written
    here = embedding_words(data, lambda one: "local.pt" if one.version_id == 90 else "")
    assert here == {word: name if name == "mine" else "local" for word, name in words.items()}


async def test_an_embedding_and_its_trained_word_are_one():
    data = GenerationData(embeddings=(UsedResource("", 0.8, "bad_v2", "embedding", source="prompt", words=("bad_v2",)),
                                      UsedResource("a", name="Bad", kind="embedding", version_id=90, source="resources")))  # fmt: skip
    site = SiteClient(answering(200, {**version(90, "TextualInversion", "Bad"), "trainedWords": ["bad_v2"]}))
    found, _ = await look_up(data, site)
    assert [(one.name, one.version_id, one.weight) for one in found.embeddings] == [("bad_v2", 90, 0.8)]


@pytest.mark.parametrize("strength", [None, 1])
async def test_a_weight_that_nobody_says_is_named(strength: int | None):
    posted = {"modelVersionId": 70, "modelId": 7, "modelName": "Posted", "modelType": "LORA", "versionName": "v2", "baseModel": "SD 1.5", "strength": strength}  # fmt: skip
    payload = {"type": "image", "meta": {"prompt": "x"}, "resources": [posted]}
    keyed = answering(200, {"result": {"data": {"json": payload}}})
    found = await fetch_image_data("9", ImageClient(keyed, keyed), SiteClient(answering(404, {"error": "no"})))
    said = "CivitAI says no weight for Posted; 1 stands in." in found.report
    assert said is (strength is None) is any("1 stands in" in line for line in found.report)


async def test_the_models_hash_has_the_word_over_a_post():
    """CivitAI adds the version that a post belongs to; the file's own hash tells which model it was."""
    payload = {"type": "image", "meta": {"prompt": "x", "Model": "mine", "Model hash": "aabbccddee"}, "resources": [
        {"modelVersionId": 70, "modelId": 7, "modelName": "Posted", "modelType": "Checkpoint", "versionName": "v2", "baseModel": "SD 1.5", "strength": None}]}  # fmt: skip
    keyed = answering(200, {"result": {"data": {"json": payload}}})
    images = ImageClient(keyed, keyed)
    found = await fetch_image_data("9", images, SiteClient(answering(200, version(80, "Checkpoint", "Mine"))))
    assert (found.data.model_version_id, told(found.data)) == (80, [("checkpoint", 70, 1.0)])
    found = await fetch_image_data("9", images, SiteClient(answering(404, {"error": "no"})))
    assert (found.data.model_version_id, told(found.data)) == (None, [("checkpoint", 70, 1.0)])
    found = await fetch_image_data("9", images, SiteClient(answering(200, version(70, "Checkpoint", "Posted"))))
    assert (found.data.model_version_id, told(found.data)) == (70, [])


async def test_a_base_model_that_the_look_up_tells_makes_a_video_i2v():
    item = {"id": 9, "type": "video", "baseModel": None, "modelVersionIds": [80], "meta": {"prompt": "waves"}}
    for base, kind in (("Wan Video 14B i2v 480p", "i2v"), ("Wan Video 2.2 TI2V-5B", "t2v")):
        site = SiteClient(answering(200, {**version(80, "Checkpoint", "Wan"), "baseModel": base}))
        found = await fetch_image_data("9", ImageClient(answering(200, {"items": [item]})), site)
        assert (found.data.detected_type, found.data.base_model) == (kind, base)
    item["meta"] = {"prompt": "waves", "workflow": "txt2vid"}
    site = SiteClient(answering(200, {**version(80, "Checkpoint", "Wan"), "baseModel": "Wan Video 14B i2v 480p"}))
    assert (
        await fetch_image_data("9", ImageClient(answering(200, {"items": [item]})), site)
    ).data.detected_type == "t2v"


async def test_a_file_is_read_and_looked_up_only_when_asked(world: World, tmp_path: Path):
    sandbox, _, _, site = world
    meta = IMAGES[900002].open_meta
    assert meta
    ink = meta["resources"][0]["hash"]
    text = f'a <lora:storybookLight_v2:0.8>\nSteps: 20, Lora hashes: "storybookLight_v2: {ink}", Model hash: 0123456789'
    data = png(chunk(b"tEXt", b"parameters\0" + text.encode()))
    path = tmp_path / "ein Bild.png"
    path.write_bytes(data)
    alone = await read_file_data(path)
    assert told(alone.data) == [("lora", "storybookLight_v2", 0.8)] and sandbox.requests == []
    assert alone.report[0].startswith("ein Bild.png itself") and alone.answer is None
    found = await read_file_data(data, site)
    assert told(found.data) == [("lora", 300001, 0.8)]
    assert any("CivitAI does not know checkpoint without a name by hash 0123456789" in line for line in found.report)
    with pytest.raises(OSError):
        await read_file_data(tmp_path / "none.png")
    nothing = await read_file_data(b"BM6")
    assert nothing.report[-1].startswith("This is no PNG")


async def test_two_at_once_share_nothing_they_should_not(world: World):
    _, keyed, public, site = world
    both = await asyncio.gather(fetch_image_data("900002", keyed, site), fetch_image_data("900002", public, site))
    assert [one.data.source for one in both] == ["civitai", "civitai-rest"]
    assert told(both[0].data) == told(both[1].data)
