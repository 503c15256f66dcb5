"""From what made a picture to an order: what is filled, how LoRAs get references, what stops it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pack.civitai_bridge.errors import BadInput
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource
from pack.civitai_bridge.orchestration.fill import completed, filled, lora_inputs
from pack.civitai_bridge.orchestration.request import GenerationRequest, LoraInput

DATA = GenerationData(model_version_id=128078, prompt="a boat <lora:x:1>", seed=5, steps=12, cfg=1.0, guidance=3.5)


async def nobody(loras: Sequence[LoraInput]) -> list[str]:
    return ["" for _ in loras]


def test_what_stands_at_its_default_is_filled_and_nothing_else():
    request = filled(GenerationRequest(steps=20), DATA)
    assert (request.model, request.prompt, request.seed, request.steps) == ("128078", "a boat", 5, 20)
    assert (request.cfg, request.guidance) == (1.0, 3.5)
    assert filled(GenerationRequest(), None) == GenerationRequest()


def test_a_cfg_that_a_person_set_wins_over_the_guidance_of_the_picture():
    request = filled(GenerationRequest(cfg=4.0), DATA)
    assert (request.cfg, request.guidance) == (4.0, 0.0)


async def test_a_lora_that_nobody_can_name_stops_the_order_or_is_left_out():
    data = replace(
        DATA,
        networks=(
            UsedResource("", 0.7, "nobody", source="prompt"),
            UsedResource("", 0.7, hash="0123456789ab", source="hashes"),
            UsedResource("", 0.0, "off"),
        ),
    )
    with pytest.raises(BadInput) as caught:
        await completed(GenerationRequest(), data, nobody)
    sentence = str(caught.value)
    assert "LoRA nobody (named in the prompt) cannot be named" in sentence and "`missing` = skip" in sentence
    assert "0123456789ab (in the picture's list of hashes)" in sentence and " off " not in sentence
    request, notes = await completed(GenerationRequest(), data, nobody, missing="skip")
    assert request.loras == () and len(notes) == 2 and all("ordered without" in note for note in notes)


async def test_second_mentions_are_joined_and_a_name_that_is_an_air_is_one():
    air = "urn:air:sdxl:lora:civitai:300000@300001"
    loras = lora_inputs(
        [
            {"air": air, "strength": 0.6, "name": "Storybook Light", "file": "storybookLight_v2.safetensors"},
            {"air": "", "strength": 0.7, "name": "storybooklight_V2", "source": "prompt"},
            {"air": "", "strength": 0.5, "name": "Storybook Light"},
            {"air": "", "strength": 0.4, "name": "urn:air:sdxl:lora:civitai:300002@300003"},
            {"air": "", "version_id": 300003, "strength": 0.4, "name": "again"},
        ]
    )
    request, notes = await completed(GenerationRequest(model="1", loras=loras), None, nobody)
    assert [(lora.reference, lora.strength) for lora in request.loras] == [
        (air, 0.6),
        ("urn:air:sdxl:lora:civitai:300002@300003", 0.4),
    ]
    assert notes == ()


async def test_what_this_machine_knows_names_a_lora_and_is_said():
    async def name(loras: Sequence[LoraInput]) -> list[str]:
        return ["300001" if lora.name == "here" else "" for lora in loras]

    data = replace(DATA, networks=(UsedResource("", 0.7, "here"),))
    request, notes = await completed(GenerationRequest(), data, name)
    assert [lora.reference for lora in request.loras] == ["300001"] and "LoRA here is ordered as version" in notes[0]


@pytest.mark.parametrize(
    "data",
    [
        replace(DATA, process="img2img"),
        replace(DATA, process="inpainting", denoise=0.6),
        replace(DATA, denoise=0.4),
        replace(DATA, process="image:edit"),
        replace(DATA, process="inpainting + ControlNet"),
        replace(DATA, process="img2img-upscale"),
        replace(DATA, process="comfy", detected_type="i2i"),
    ],
)
async def test_an_order_without_the_picture_that_the_original_began_from_says_so(data: GenerationData):
    with pytest.raises(BadInput, match="began from a picture that is not here"):
        await completed(GenerationRequest(), data, nobody)
    _, notes = await completed(GenerationRequest(), data, nobody, missing="skip")
    assert "began from a picture" in notes[0]
    assert (await completed(GenerationRequest(image=b"png"), data, nobody))[1] == ()
    txt2img = replace(data, process="txt2img")
    assert (await completed(GenerationRequest(), txt2img, nobody))[1] == ()


async def test_a_model_that_nobody_can_name_is_named():
    with pytest.raises(BadInput, match=r"model my mix of the generation .* Name one in `model`"):
        await completed(GenerationRequest(), GenerationData(model_name="my mix"), nobody, missing="skip")
    request, _ = await completed(GenerationRequest(engine="flux1/dev"), GenerationData(model_name="my mix"), nobody)
    assert request.model == ""


@pytest.mark.parametrize(
    ("data", "words"),
    [(GenerationData(prompt="x"), "names no model"), (GenerationData(prompt="x", media_type="video"), "of a video")],
)
async def test_what_is_no_picture_of_a_model_says_what_to_choose(data: GenerationData, words: str):
    with pytest.raises(BadInput, match=f"{words}.* Name one in `model`, or choose an `engine`"):
        await completed(GenerationRequest(), data, nobody, missing="skip")


async def test_what_no_order_holds_is_said():
    data = replace(
        DATA,
        sampler="foo",
        vae="a vae",
        embeddings=(UsedResource("", name="bad hands", kind="embedding"),),
        networks=(UsedResource("", 1.0, "old", kind="hypernet"),),
    )
    _, notes = await completed(GenerationRequest(), data, nobody)
    text = "\n".join(notes)
    assert "old of the generation is no LoRA" in text and "VAE a vae" in text and "sampler 'foo'" in text
    assert "embedding bad hands is not loaded by the fleet; its words are sent as plain text" in text
