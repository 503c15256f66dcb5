"""The answer about an image says the weight that made it, and what CivitAI says beside it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fakes import answering

from pack.civitai_bridge.catalog.answers import NOT_FOUND, Answer, Checked, Located
from pack.civitai_bridge.routes.image_answer import image_answer
from pack.civitai_bridge.website import ImageClient, Lookups, SiteClient, fetch_image_data

INK = {"modelVersionId": 602, "modelId": 60, "modelName": "Ink", "modelType": "LORA", "versionName": "v1", "baseModel": "SDXL 1.0", "strength": None}  # fmt: skip


async def resource(prompt: str, strength: float | None) -> dict[str, Any]:
    """The entry of a LoRA that CivitAI resolved with this strength."""
    payload = {"type": "image", "meta": {"prompt": prompt}, "resources": [{**INK, "strength": strength}]}
    keyed = answering(200, {"result": {"data": {"json": payload}}})
    image = await fetch_image_data("9", ImageClient(keyed, keyed), SiteClient(answering(404, {"error": "no"})))

    async def check(resources: Any) -> Checked:
        return Checked(tuple(Answer("", Located(NOT_FOUND)) for _ in resources), "")

    catalog: Any = SimpleNamespace(check=check, lookups=Lookups())
    return (await image_answer(image, catalog))["resources"][0]


@pytest.mark.parametrize("strength", [None, 1.0, 0.5])
async def test_the_prompts_weight_wins_and_civitais_stands_beside_it(strength: float | None):
    entry = await resource("a kite <lora:Ink:-1.2>", strength)
    assert (entry["strength"], entry["strength_source"], entry["civitai_strength"]) == (-1.2, "prompt", strength)


async def test_both_weights_of_a_lora_that_is_named_twice_are_there():
    entry = await resource("<lora:ink:0.8:0.6> a kite <lora:ink:0.3>", 0.8)
    assert (entry["strength"], entry["strength_clip"], entry["weights"]) == (0.6, 0.8, [0.6, 0.3])


@pytest.mark.parametrize(("strength", "shown"), [(None, 1.0), (0.7, 0.7)])
async def test_where_nothing_else_says_one_it_is_civitais(strength: float | None, shown: float):
    entry = await resource("a kite", strength)
    assert entry["strength"] == shown and "strength_source" not in entry
    assert entry.get("civitai_strength", strength) is strength


async def test_an_equal_weight_is_said_once():
    assert "civitai_strength" not in await resource("<lora:ink:0.7>", 0.7)
