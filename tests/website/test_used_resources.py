"""What takes part in a picture stands once in its data, with the weight that made it and what its creator says."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import answering, reply

from pack.civitai_bridge.metadata.civitai import generation_from_trpc
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource, loras_of
from pack.civitai_bridge.metadata.generation_json import generation_from_json
from pack.civitai_bridge.metadata.resources import join
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.website import ImageClient, SiteClient, fetch_image_data

LORA, MODEL = "urn:air:sdxl:lora:civitai:60@602", "urn:air:sdxl:checkpoint:civitai:50@501"
INK = {"modelVersionId": 602, "modelId": 60, "modelName": "Harbour Ink", "modelType": "LORA", "versionName": "v1", "baseModel": "SDXL 1.0", "strength": None}  # fmt: skip
BASE = {
    **INK,
    "modelVersionId": 501,
    "modelId": 50,
    "modelName": "Base",
    "modelType": "Checkpoint",
    "versionName": "v2",
}
VERSION: dict[str, Any] = {
    "id": 602, "modelId": 60, "name": "v1", "air": LORA, "baseModel": "SDXL 1.0", "model": {"name": "Harbour Ink", "type": "LORA"},
    "trainedWords": ["ink wash", "harbour"], "files": [{"id": 1, "name": "hbr_ink_07.safetensors", "primary": True, "hashes": {}}],
}  # fmt: skip


async def read(prompt: str = "a kite", *, strength: float | None = None, known: bool = True, **meta: Any) -> Any:
    """The image data of a payload with a model and a LoRA that CivitAI resolved."""
    payload = {"type": "image", "meta": {"prompt": prompt, **meta}, "resources": [BASE, {**INK, "strength": strength}]}
    keyed = answering(200, {"result": {"data": {"json": payload}}})

    async def site(request: Request) -> Response:
        return reply(200, VERSION) if known and request.path.endswith("/602") else reply(404, {"error": "no"})

    return await fetch_image_data("9", ImageClient(keyed, keyed), SiteClient(site))


async def test_a_lora_has_the_trigger_words_of_its_version():
    found = await read(strength=0.7)
    (lora,) = loras_of(found.data)
    assert (lora["triggerWord"], lora["file"]) == ("ink wash, harbour", "hbr_ink_07.safetensors")
    assert "LoRA Harbour Ink v1 at 0.7, from CivitAI; trigger words: ink wash, harbour." in found.report
    back = generation_from_json(found.data.to_json())
    assert loras_of(back) == loras_of(found.data)


async def test_a_version_that_is_unpublished_by_now_is_no_trouble():
    found = await read(strength=0.7, known=False)
    assert [lora["triggerWord"] for lora in loras_of(found.data)] == [""]
    assert not any("602" in line or "trigger" in line for line in found.report)


@pytest.mark.parametrize(("prompt", "weight"), [("<lora:hbr_ink_07:1.4>", 1.4), ("<lora:Harbour Ink:-1.2>", -1.2)])
@pytest.mark.parametrize("strength", [None, 1.0])
async def test_the_prompts_weight_wins_and_is_said_in_one_sentence(prompt: str, weight: float, strength: float | None):
    found = await read(prompt, strength=strength)
    (lora,) = found.data.networks
    assert (lora.version_id, lora.weight, lora.source) == (602, weight, "prompt")
    said = [line for line in found.report if "hbr_ink_07" in line or "Harbour Ink" in line]
    assert len(said) == 1 and f" at {weight:g}, from the prompt" in said[0]


@pytest.mark.parametrize("name", ["harbour_ink", "Harbour Ink v1", "harbour-ink"])
async def test_a_title_in_letters_of_its_own_is_a_second_mention(name: str):
    """The version is only an id in the settings; the prompt calls it by its title."""
    payload = {"type": "image", "resources": [], "meta": {
        "prompt": f"a kite <lora:{name}:0.6>", "civitaiResources": [{"type": "lora", "modelVersionId": 602}]}}  # fmt: skip
    keyed = answering(200, {"result": {"data": {"json": payload}}})
    found = await fetch_image_data("9", ImageClient(keyed, keyed), SiteClient(answering(200, VERSION)))
    assert [(used.version_id, used.weight, used.source) for used in found.data.networks] == [(602, 0.6, "prompt")]


async def test_a_lora_that_is_named_twice_keeps_both_weights():
    found = await read("<lora:hbr_ink_07:0.8>, dusk, <lora:hbr_ink_07:0.3>", strength=0.8)
    (lora,) = found.data.networks
    assert (lora.weight, lora.again, lora.version_id) == (0.8, ((0.3, None),), 602)


@pytest.mark.parametrize(
    "meta",
    [
        {"additionalResources": [{"name": LORA, "type": "lora", "strength": 0.8, "strengthClip": 0.8}], "models": [MODEL]},
        {"additionalResources": [{"name": f"{LORA}.safetensors", "type": "lora", "strength": 0.8}], "Model": MODEL},
        {"resources": [{"type": "lora", "name": "sdxl:lora:civitai:60@602", "weight": 0.8}, {"type": "model", "name": MODEL}]},
        {"civitaiResources": [{"type": "lora", "weight": 0.8, "modelVersionId": 602}, {"type": "checkpoint", "modelVersionId": 501}],
         "additionalResources": [{"name": LORA, "type": "lora", "strength": 0.8}], "models": [MODEL]},
    ],
)  # fmt: skip
async def test_an_air_in_a_files_place_is_the_resource_beside_it(meta: dict[str, Any]):
    found = await read(strength=0.8, **meta)
    assert [(used.kind, used.version_id, used.air, used.weight) for used in found.data.resources] == [
        ("lora", 602, LORA, 0.8)
    ]
    assert (found.data.model_version_id, found.data.model_name) == (501, "Base")
    assert not any("urn:air" in note for note in found.data.notes)


async def test_a_file_that_civitais_pack_saved_is_the_version_in_its_name():
    found = await read(
        strength=0.7, additionalResources=[{"name": "civitai_602_f12_ink.safetensors", "type": "lora", "strength": 0.8}]
    )
    assert [(used.version_id, used.weight) for used in found.data.networks] == [(602, 0.8)]
    (alone,) = join([UsedResource("", name="civitai_2024_ink", source="comfy")])
    assert alone.version_id is None, "a name proves nothing by itself"


def test_an_air_that_nothing_resolved_is_known_by_its_ids():
    data = generation_from_trpc({"type": "image", "resources": [], "meta": {
        "prompt": "x", "models": [MODEL], "vaes": ["urn:air:sdxl:vae:civitai:9@99"], "upscalers": ["urn:air:other:upscaler:civitai:147759@164821"],
        "additionalResources": [{"name": LORA, "type": "lora", "strength": 0.8}]}}, 9)  # fmt: skip
    assert (data.model_air, data.model_version_id, data.model_id, data.model_name) == (MODEL, 501, 50, "")
    assert [(used.kind, used.version_id) for used in data.resources] == [
        ("lora", 602),
        ("upscaler", 164821),
        ("vae", 99),
    ]


def test_a_name_with_an_at_sign_that_is_no_air_stays_a_name():
    (used,) = join([UsedResource("", name="style@night")])
    assert (used.name, used.air, used.version_id) == ("style@night", "", None)


def test_trigger_words_are_no_names():
    """A word that a LoRA was trained with may be another one's file name."""
    first = UsedResource(LORA, name="Harbour Ink", version_id=602, trained_words=("ink",), source="resources")
    assert len(join([first, UsedResource("", name="ink", source="prompt")])) == 2


def test_empty_trigger_words_are_not_written():
    assert "trained_words" not in UsedResource("", name="x").to_json()
    assert loras_of(GenerationData(networks=(UsedResource("", name="x"),)))[0]["triggerWord"] == ""
