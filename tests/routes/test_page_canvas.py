"""Prices before a run, and the nodes for what was pasted."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from routes_room import CHECKPOINT, IMAGE, LORA, Room

A1111 = "a red boat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x768"


async def priced(room: Room, prompt: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = await room.admin("POST", "/civitai_bridge/price", json={"prompt": prompt, **more})
    assert answer.status == 200, answer.text
    return answer.data


def generate(**inputs: Any) -> dict[str, Any]:
    return {"class_type": "CivitaiBridgeGenerate", "inputs": {"model": str(CHECKPOINT), "prompt": "a boat", **inputs}}


async def test_a_node_and_a_whole_graph_are_priced_and_nothing_is_bought(room: Room):
    prompt = {"1": generate(), "2": generate(quantity=3), "3": {"class_type": "KSampler", "inputs": {}}}
    whole = await priced(room, prompt)
    prices = {node["node"]: node["cost"] for node in whole["nodes"]}
    assert prices["2"] == 3 * prices["1"] > 0 and whole["total"] == prices["1"] + prices["2"]
    alone = await priced(room, prompt, node=2)
    assert [node["node"] for node in alone["nodes"]] == ["2"] and alone["nodes"][0]["affordable"] is True
    assert (await room.admin("GET", "/civitai_bridge/account")).data["spent_today"] == 0
    assert room.sandbox.orchestrator.runs == {}


async def test_wires_are_followed_to_what_is_written_and_the_rest_has_a_stand_in(room: Room):
    prompt = {
        "1": {"class_type": "PrimitiveInt", "inputs": {"value": 2}},
        "2": generate(quantity=["1", 0]),
        "3": {"class_type": "SomebodysNode", "inputs": {}},
        "4": generate(quantity=["3", 0]),
        "5": {"class_type": "CivitaiBridgeImageData", "inputs": {"reference": str(IMAGE)}},
        "6": generate(model="", prompt="", generation=["5", 0]),
    }
    nodes = {node["node"]: node for node in (await priced(room, prompt))["nodes"]}
    assert nodes["2"]["cost"] == 2 * nodes["4"]["cost"] and "quantity" in nodes["4"]["notes"][0]
    assert nodes["6"]["cost"] and not nodes["6"]["error"]


async def test_a_model_that_a_lookup_hands_on_costs_what_it_costs_when_it_is_typed(room: Room):
    references = [str(CHECKPOINT), f"https://civitai.com/models/101055?modelVersionId={CHECKPOINT}",
                  "https://civitai.com/models/101055", f"urn:air:sdxl:checkpoint:civitai:101055@{CHECKPOINT}"]  # fmt: skip
    prompt: dict[str, Any] = {"typed": generate()}
    for number, reference in enumerate(references):
        prompt[f"lookup {number}"] = {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": reference}}
        prompt[f"wired {number}"] = generate(model=[f"lookup {number}", 0])
    nodes = (await priced(room, prompt))["nodes"]
    assert [(node["error"], node["cost"]) for node in nodes] == [("", nodes[0]["cost"])] * (len(references) + 1)


async def test_what_cannot_be_priced_says_why(room: Room):
    prompt = {"1": generate(model=""), "2": generate(width={"odd": 1}), "3": generate(quantity=99),
              "4": {"class_type": "KSampler", "inputs": {}}}  # fmt: skip
    answer = await priced(room, prompt)
    assert answer["total"] is None and all(node["error"] for node in answer["nodes"])
    assert (await priced(room, prompt, node="4"))["nodes"][0]["error"]
    assert (await room.admin("POST", "/civitai_bridge/price", json={"prompt": prompt, "node": "9"})).status == 400
    room.forget(key="")
    assert (await priced(room, {"1": generate()}))["nodes"][0]["code"] == "no_key"


@pytest.mark.parametrize(
    ("text", "what", "kinds"),
    [
        ("https://civitai.com/images/900002", "image", ["ImageData", "GenerationSettings"]),
        (" https://civitai.com/posts/77 ", "image", ["ImageData", "GenerationSettings"]),
        (A1111, "text", ["ReadText", "GenerationSettings"]),
        (f"https://civitai.com/models/300000?modelVersionId={LORA}", "model", ["Resolve"]),
        ("urn:air:sdxl:lora:civitai:300000@300001", "model", ["Resolve"]),
        ("a red boat", "", []), ("", "", []), ("42", "", []), ("ink.safetensors", "", []),
        ("https://evil.example/images/900002", "", []), ('{"1": {"class_type": "KSampler", "inputs": {}}}', "", []),
        ("Steps: many", "", []),
    ],
)  # fmt: skip
async def test_what_is_pasted_becomes_nodes(room: Room, text: str, what: str, kinds: list[str]):
    answer = (await room.admin("POST", "/civitai_bridge/paste", json={"text": text})).data
    assert (answer["what"], [node["type"] for node in answer["nodes"]]) == (what, [f"CivitaiBridge{k}" for k in kinds])
    assert answer["links"] == ([[0, "generation", 1, "generation"]] if len(kinds) == 2 else [])


async def test_what_is_pasted_may_lead_to_the_fleet(room: Room):
    body = {"reference": "https://civitai.com/images/900002", "to": "fleet"}
    answer = (await room.admin("POST", "/civitai_bridge/paste", json=body)).data
    kinds = [node["type"].removeprefix("CivitaiBridge") for node in answer["nodes"]]
    assert kinds == ["ImageData", "Generate", "SaveImage"] and [1, "images", 2, "images"] in answer["links"]
    assert len({tuple(node["pos"]) for node in answer["nodes"]}) == 3
    assert (await room.admin("POST", "/civitai_bridge/paste", json={**body, "to": "moon"})).status == 400


async def test_a_picture_of_the_input_folder_becomes_nodes(room: Room):
    answer = (await room.admin("POST", "/civitai_bridge/paste", json={"image": "boat.png"})).data
    first = answer["nodes"][0]
    assert (first["id"], first["type"], first["widgets"]) == (0, "CivitaiBridgeReadImage", {"image": "boat.png"})
    assert (await room.admin("POST", "/civitai_bridge/paste", json={"image": "x" * 500})).status == 400
