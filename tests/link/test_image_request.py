"""A room's fields become a request within the limits, or a sentence."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pack.civitai_bridge.errors import BadInput
from pack.civitai_bridge.link.images.request import EMBEDDING, HYPERNET, LORA, ImageRequest, Network, read_request
from pack.civitai_bridge.metadata.samplers import Sampling
from pack.civitai_bridge.settings import Settings

HASH = "AB" * 32
SETTINGS = Settings(link_max_images=4, link_max_side=1024)


def read(edits: bool = False, **fields: Any) -> ImageRequest:
    fields = {"model": HASH, **fields, "params": {"prompt": "a cat", **fields.get("params", {})}}
    return read_request(fields, SETTINGS, lambda: 4242, edits=edits)


def test_a_command_of_the_document_is_understood_whole():
    networks = [
        {"type": "hypernet", "hash": "cd" * 5, "name": "h", "strength": 0.5},
        {"type": "LoCon", "hash": HASH, "name": "x\n\x1b[2Jy"},
        {"type": "TextualInversion", "hash": HASH, "name": "bad", "strength": 1},
    ]
    params = {
        "prompt": "a", "negativePrompt": "b", "sampler": "DPM++ 2M Karras", "seed": 7, "steps": 20.0, "width": 512,
        "height": 768, "cfgScale": 7, "clipSkip": 2, "initImage": "aGk=", "maskImage": "aGk=", "denoiseStrength": 0.4,
        "maskedOnly": True,
    }  # fmt: skip
    assert read(True, vae=HASH, quantity=2, batchSize=2, additionalNetworks=networks, params=params) == ImageRequest(
        model=HASH.lower(), prompt="a", negative_prompt="b", seed=7, quantity=2, batch_size=2, vae=HASH.lower(),
        networks=(
            Network(HYPERNET, "cdcdcdcdcd", "h", 0.5),
            Network(LORA, HASH.lower(), "x y", 1.0),
            Network(EMBEDDING, HASH.lower(), "bad", 1.0),
        ),
        sampler=Sampling("dpmpp_2m", "karras"), width=512, height=768, steps=20, cfg=7.0, clip_skip=2,
        init_image="aGk=", mask_image="aGk=", masked_only=True, denoise=0.4,
    )  # fmt: skip


@pytest.mark.parametrize("seed", [-1, None])
def test_a_random_seed_is_drawn_and_known(seed: int | None):
    assert read(params={"seed": seed}).seed == 4242


def test_what_is_not_said_is_left_to_the_models_family():
    request = read()
    assert (request.sampler, request.width, request.height, request.steps, request.cfg) == (None, 0, 0, 0, None)
    assert (request.quantity, request.batch_size, request.clip_skip, request.denoise) == (1, 1, 0, 1.0)


def test_half_a_character_never_reaches_a_tokenizer():
    assert read(params={"prompt": json.loads('"a \\ud83d"')}).prompt == "a ?"


@pytest.mark.parametrize(("strength", "denoise"), [(0.456, 0.46), (1e-9, 0.0), (0, 0.0), (1, 1.0), (None, 0.75)])
def test_a_strength_is_in_hundredths_so_that_no_schedule_grows_without_end(strength: Any, denoise: float):
    assert read(True, params={"initImage": "x", "denoiseStrength": strength}).denoise == denoise


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model must be the hash"),
    ({"model": "x"}, "model must be the hash"),
    ({"model": 7}, "model must be the hash"),
    ({"model": "e3b0c44298"}, "model must be the hash"),
    ({"vae": {}}, "vae must be the hash"),
    ({"quantity": 5}, "quantity is 5, but it must be a whole number from 1 to 4"),
    ({"quantity": 3, "batchSize": 2}, "link_max_images"),
    ({"quantity": -1}, "quantity is -1"),
    ({"quantity": True}, "quantity is True"),
    ({"batchSize": 0}, "batchSize is 0"),
    ({"batchSize": 10**400}, "batchSize is 1"),
    ({"additionalNetworks": "lora"}, "must be a list of objects"),
    ({"additionalNetworks": [7]}, "must be a list of objects"),
    ({"additionalNetworks": [{}] * 21}, "21 additionalNetworks are more than the 20"),
    ({"additionalNetworks": [{"type": "checkpoint", "hash": HASH}]}, "must be lora, locon"),
    ({"additionalNetworks": [{"type": ["lora"], "hash": HASH}]}, "must be lora, locon"),
    ({"additionalNetworks": [{"type": "lora"}]}, "hash of a lora must be"),
    ({"additionalNetworks": [{"type": "lora", "hash": HASH, "strength": math.nan}]}, "strength is nan"),
    ({"additionalNetworks": [{"type": "lora", "hash": HASH, "strength": "1"}]}, "strength is '1'"),
    ({"params": {"prompt": ["x"]}}, "prompt is"),
    ({"params": {"prompt": "x" * 5001}}, "5001 characters"),
    ({"params": {"negativePrompt": 7}}, "negativePrompt is 7"),
    ({"params": {"sampler": "Warp 9"}}, "'Warp 9' is unknown"),
    ({"params": {"sampler": 7}}, "sampler is 7"),
    ({"params": {"sampler": "x" * 61}}, "sampler is"),
    ({"params": {"seed": -2}}, "seed is -2, but it must be -1"),
    ({"params": {"seed": "7"}}, "seed is '7'"),
    ({"params": {"seed": 2**53}}, "seed is"),
    ({"params": {"steps": 0}}, "steps is 0"),
    ({"params": {"steps": 10**9}}, "from 1 to 150"),
    ({"params": {"steps": 2.5}}, "steps is 2.5"),
    ({"params": {"width": 100}}, "width is 100, but it must be a multiple of 8 from 64 to 1024"),
    ({"params": {"height": 2048}}, "height is 2048"),
    ({"params": {"width": -512}}, "width is -512"),
    ({"params": {"width": math.inf}}, "width is inf"),
    ({"params": {"cfgScale": math.nan}}, "cfgScale is nan"),
    ({"params": {"cfgScale": -1}}, "cfgScale is -1"),
    ({"params": {"clipSkip": 13}}, "clipSkip is 13"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "sentence"), BAD)
def test_what_cannot_be_is_refused_with_a_sentence(fields: dict[str, Any], sentence: str):
    with pytest.raises(BadInput, match=sentence.replace("(", "\\(")):
        read(**fields)


BAD_EDITS: list[tuple[dict[str, Any], str]] = [
    ({}, "needs an initImage"),
    ({"initImage": 7}, "initImage must be a text"),
    ({"initImage": "x", "maskImage": {}}, "maskImage must be a text"),
    ({"initImage": "x", "maskedOnly": "yes"}, "maskedOnly is 'yes'"),
    ({"initImage": "x", "maskedOnly": True}, "needs a maskImage"),
    ({"initImage": "x", "denoiseStrength": 1.5}, "denoiseStrength is 1.5"),
    ({"initImage": "x", "denoiseStrength": math.nan}, "denoiseStrength is nan"),
]


@pytest.mark.parametrize(("params", "sentence"), BAD_EDITS)
def test_an_edit_that_cannot_be_is_refused_with_a_sentence(params: dict[str, Any], sentence: str):
    with pytest.raises(BadInput, match=sentence):
        read(True, params=params)


@pytest.mark.parametrize("params", [None, [], "x", {}])
def test_a_command_without_params_is_refused(params: object):
    with pytest.raises(BadInput, match="no params"):
        read_request({"model": HASH, "params": params}, SETTINGS, lambda: 1, edits=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("model", "vae", "quantity", "batchSize", "additionalNetworks")
PARAMS = (
    "prompt", "negativePrompt", "sampler", "seed", "steps", "width", "height", "cfgScale", "clipSkip", "initImage",
    "maskImage", "denoiseStrength", "maskedOnly",
)  # fmt: skip


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.dictionaries(st.sampled_from(NAMES), JSON), st.dictionaries(st.sampled_from(PARAMS), JSON), st.booleans())
def test_whatever_a_room_sends_becomes_a_request_or_a_sentence(fields: Any, params: Any, edits: bool):
    try:
        request = read_request({"model": HASH, **fields, "params": params}, SETTINGS, lambda: 1, edits=edits)
    except BadInput as error:
        assert str(error).endswith(".")
    else:
        assert 1 <= request.count <= 4 and request.width <= 1024 and request.seed >= 0
