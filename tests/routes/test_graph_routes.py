"""The page's graph: what it will do, the models that it needs, and what a person agreed to."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from routes_room import CHECKPOINT, LORA, Room

from pack.civitai_bridge.routes.context import Asked
from pack.civitai_bridge.routes.graph_answers import graph_answer
from pack.civitai_bridge.sandbox import files, models


def buying(**inputs: Any) -> dict[str, Any]:
    return {
        "3": {
            "class_type": "CivitaiBridgeGenerate",
            "inputs": {"model": str(CHECKPOINT), "prompt": "a red boat", "seed": 1, "max_buzz": 50, **inputs},
            "_meta": {"title": "The boat"},
        },
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }


async def ask(room: Room, prompt: object, **more: Any) -> dict[str, Any]:
    answer = await room.admin("POST", "/civitai_bridge/graph", json={"prompt": prompt, **more})
    assert answer.status == 200, answer.text
    return answer.data


async def test_a_paying_graph_asks_until_a_person_agreed_and_again_for_more(room: Room):
    first = await ask(room, buying())
    assert (first["asks"], first["most_buzz"], first["agreed"]) == (True, 50, None)
    node = first["paying"][0]
    assert (node["node"], node["title"], node["model"], node["most_buzz"]) == ("3", "The boat", str(CHECKPOINT), 50)
    consent = {"hash": first["hash"], "most_buzz": 50}
    assert (await room.admin("POST", "/civitai_bridge/consent", json=consent)).data["agreed"] == 50
    again = await ask(room, buying(seed=2, prompt="a blue boat"))
    assert (again["hash"], again["asks"], again["agreed"]) == (first["hash"], False, 50)
    assert (await ask(room, buying(), batch=3))["asks"], "three runs may cost more than was agreed to"
    assert (await ask(room, buying(max_buzz=1), batch=4000))["most_buzz"] == 4000
    for batch in (0, -1, "3", 2.0, True, None):
        assert (await room.admin("POST", "/civitai_bridge/graph", json={"prompt": {}, "batch": batch})).status == 400
    assert (await ask(room, buying(max_buzz=60)))["asks"] and (await ask(room, buying(quantity=2)))["asks"]
    room.forget(limit_buzz_per_prompt=20)
    assert (await ask(room, buying()))["most_buzz"] == 20


async def test_of_files_of_one_name_in_two_folders_none_is_taken_for_the_other(room: Room):
    many = [f"style {number % 40}/{number}.safetensors" for number in range(4000)]
    offered = ["a/ink.safetensors", "b/ink.safetensors", "only/fog.safetensors", *many]
    context = replace(room.context, host=replace(room.context.host, listed=lambda folder: offered))
    names = [
        "ink.safetensors",
        "a/ink.safetensors",
        "B\\Ink.safetensors",
        "fog.safetensors",
        "x/39.safetensors",
        "no.safetensors",
    ]
    prompt = {name: {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": name}} for name in names}
    answer = await asyncio.wrap_future(room.behind.start(graph_answer(context, Asked(body={"prompt": prompt}))))
    files = {model["name"]: model["file"] for model in answer["models"]}
    assert list(files.values()) == [
        "", "a/ink.safetensors", "b/ink.safetensors", "only/fog.safetensors", "style 39/39.safetensors", ""
    ]  # fmt: skip
    first = answer["models"][0]
    assert first["missing"] and "2 files here are called so (a/ink.safetensors, b/ink.safetensors)" in first["notes"][0]


@pytest.mark.parametrize(
    "body", [{}, {"hash": "x", "most_buzz": 1}, {"hash": "a" * 64}, {"hash": "a" * 64, "most_buzz": -1},
             {"hash": "a" * 64, "most_buzz": True}, {"hash": ["a"], "most_buzz": 1}]
)  # fmt: skip
async def test_what_is_no_agreement_is_not_remembered(room: Room, body: dict[str, Any]):
    assert (await room.admin("POST", "/civitai_bridge/consent", json=body)).status == 400
    assert not (room.home / "consents.json").exists()


async def test_a_graph_that_only_reads_asks_nothing(room: Room):
    prompt = {"1": {"class_type": "CivitaiBridgeImageData", "inputs": {"reference": "900002"}}}
    answer = await ask(room, prompt)
    assert (answer["asks"], answer["most_buzz"], answer["paying"], answer["writes"]) == (False, 0, [], [])
    assert (await ask(room, {}))["asks"] is False


async def test_its_models_have_the_catalogs_statuses_and_what_civitai_says(room: Room):
    await room.admin("POST", f"/admin/civitai/add/{LORA}")
    prompt = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "unknown.safetensors"}},
        "2": {"class_type": "LoraLoaderModelOnly",
              "inputs": {"model": ["1", 0], "lora_name": "storybookLight_v2.safetensors", "strength_model": 0.8}},
        "3": {"class_type": "CivitaiBridgeGenerate", "inputs": {"model": str(CHECKPOINT)}},
    }  # fmt: skip
    local = {model["name"]: model for model in (await ask(room, prompt))["models"]}
    assert (local["unknown.safetensors"]["status"], local["unknown.safetensors"]["missing"]) == ("unknown", True)
    lora = local["storybookLight_v2.safetensors"]
    assert (lora["status"], lora["reference"], lora["size"], lora["license"]) == ("missing", str(LORA), None, None)
    answer = await ask(room, prompt, models="asked")
    lora = next(model for model in answer["models"] if model["node"] == "2")
    content = files.content(models.VERSIONS[LORA].files[0])
    assert lora["size"] == len(content) and lora["trigger_words"] == list(models.VERSIONS[LORA].words)
    assert lora["license"]["commercial"] == ["Image", "RentCivit"] and lora["early_access"] is None
    remote = next(model for model in answer["models"] if model["node"] == "3")
    assert (remote["place"], remote["missing"], remote["model_name"]) == ("fleet", False, "SD XL v1.0 VAE fix")
    assert answer["missing"] == 2 and str(room.models) not in json.dumps(answer)
    target = room.models / "loras" / "storybookLight_v2.safetensors"
    target.parent.mkdir()
    target.write_bytes(content)
    lora = next(model for model in (await ask(room, prompt))["models"] if model["node"] == "2")
    assert (lora["status"], lora["here"], lora["file"]) == ("present", True, "storybookLight_v2.safetensors")


@pytest.mark.parametrize(("beside", "place"), [("ApplyLoras", "disk"), ("Generate", "fleet"), ("SaveImage", "disk")])
async def test_what_made_the_images_that_a_graph_reads_is_needed_where_it_is_used(room: Room, beside: str, place: str):
    prompt = {
        "1": {"class_type": "CivitaiBridgeImageData", "inputs": {"reference": "https://civitai.com/images/900001"}},
        "2": {"class_type": f"CivitaiBridge{beside}", "inputs": {"loras": ["1", 4]}},
    }
    local = await ask(room, prompt)
    assert (local["models"], local["images"]) == ([], ["https://civitai.com/images/900001"])
    answer = await ask(room, prompt, models="asked")
    needed = {model["version_id"]: (model["node"], model["place"]) for model in answer["models"]}
    assert needed == {CHECKPOINT: ("1", place), LORA: ("1", place)}
    assert answer["missing"] == (2 if place == "disk" else 0)
    prompt["3"] = {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": str(LORA)}}
    assert [model["version_id"] for model in (await ask(room, prompt, models="asked"))["models"]].count(LORA) == 1


async def test_an_image_that_nobody_has_leaves_the_other_models_and_is_said(room: Room):
    prompt = {
        "1": {"class_type": "CivitaiBridgeImageData", "inputs": {"reference": "999999999"}},
        "2": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": str(LORA)}},
    }
    answer = await ask(room, prompt, models="asked")
    assert [model["version_id"] for model in answer["models"]] == [LORA] and answer["models_note"]


@pytest.mark.parametrize("body", [{}, {"prompt": 7}, {"prompt": [], "workflow": {}}, {"prompt": {}, "models": "all"}])
async def test_what_is_no_graph_is_said(room: Room, body: dict[str, Any]):
    answer = await room.admin("POST", "/civitai_bridge/graph", json=body)
    assert answer.status == 400 and answer.data["error"]


async def test_a_newer_version_the_parts_of_a_model_and_early_access_are_told(room: Room):
    old = models.VERSIONS[126601].files[0]
    (room.models / "checkpoints").mkdir()
    (room.models / "checkpoints" / old.name).write_bytes(files.content(old))
    await room.app_on_loop(lambda app: app.catalog(), lambda catalog: catalog.scan())
    prompt = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": old.name}},
        "2": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": "300027"}},
        "3": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": "300045"}},
    }
    present, parts, early = (await ask(room, prompt, models="asked"))["models"]
    assert (present["here"], present["version_id"], present["newer"]["version_id"]) == (True, 126601, CHECKPOINT)
    kinds = {part["type"]: part for part in parts["parts"]}
    assert set(kinds) == {"Diffusion Model", "Text Encoder", "VAE", "Config"}
    assert kinds["VAE"]["status"] == "missing" and kinds["VAE"]["size"] > 0
    assert kinds["VAE"]["reference"].endswith(f"/300027?fileId={kinds['VAE']['file_id']}")
    needed = {kind for kind, part in kinds.items() if part["needed"]}
    assert needed == {"Text Encoder", "VAE"}, "beside the model itself; a trainer's settings are nothing to load"
    fleet = {"1": {"class_type": "CivitaiBridgeGenerate", "inputs": {"model": "300027"}}}
    assert not any(part["needed"] for part in (await ask(room, fleet, models="asked"))["models"][0]["parts"])
    assert early["early_access"]["until"].startswith("2099") and "early access" in early["restricted"]
    begun = await room.admin("POST", "/civitai_bridge/download", json={"reference": kinds["VAE"]["reference"]})
    assert begun.status == 200
    room.forget(newer_versions="off")
    assert (await ask(room, prompt, models="asked"))["models"][0]["newer"] is None


async def test_a_graph_of_more_models_than_are_listed_says_so(room: Room):
    prompt = {str(n): {"class_type": "VAELoader", "inputs": {"vae_name": f"{n}.safetensors"}} for n in range(2001)}
    answer = await ask(room, prompt)
    assert len(answer["models"]) == 2000 and "first 2,000 models" in answer["models_note"]
    assert (await ask(room, {"1": prompt["1"]}))["models_note"] == ""
