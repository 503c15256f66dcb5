"""The templates of the pack, run as they are for every image of the sandbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from templates import ALL, FLEET, INFO, LOCAL, ROOT, nodes_of, run, values_of, widgets_of

from pack.civitai_bridge.network.background import background_loop
from pack.civitai_bridge.sandbox.images import IMAGES

PRICED = (900001, 900002, 900003, 900009, 900010, 900013, 900015, 900017, 900018, 900021)
CHOICES = ("`model`", "The prompt is empty", "lora_family_mismatch")


@pytest.fixture
def pack(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CIVITAI_BRIDGE_SANDBOX", "1")
    yield {node.define_schema().node_id: node for node in asyncio.run(nodes.extension().get_node_list())}
    background_loop().start(nodes.app.close()).result(20)
    background_loop().stop()


def test_the_fleet_template_gets_a_price_or_names_the_one_thing_to_choose(pack: Any):
    results = {image_id: run(pack, FLEET, str(image_id)) for image_id in IMAGES}
    assert {image_id for image_id in PRICED if results[image_id].kind != "price"} == set()
    for image_id, result in results.items():
        assert result.kind != "fault", (image_id, result)
        assert result.kind == "price" or any(choice in result.text for choice in CHOICES), (image_id, result)
    assert "nobody knows" in results[900009].text and "ordered without" in results[900009].text


def test_the_local_template_names_the_files_it_lacks(pack: Any):
    for image_id in IMAGES:
        result = run(pack, LOCAL, str(image_id))
        assert result.kind == "sentence" and ("not here" in result.text or "No model" in result.text), image_id


def test_every_other_template_runs_or_names_what_is_lacking(pack: Any):
    results = {name: run(pack, name, "900001") for name in ALL if name not in (FLEET, LOCAL)}
    words = {
        "bring in what was ordered before": "No workflow of your account",
        "check and download the models of an image": "graphs may not download",
        "generate from a model version": "not here",
        "picture file to local sampler": "example.png",
    }
    for name, result in results.items():
        assert result.kind == "sentence" and words[name] in result.text, (name, result)


def test_templates_fit_the_nodes_as_they_are():
    for path in sorted((ROOT / "example_workflows").glob("*.json")):
        for node in nodes_of(path.stem, "1"):
            assert set(node["inputs"]) >= {n for n in widgets_of(node["type"]) if " " not in n}, path
        assert path.with_suffix(".jpg").is_file(), f"{path.stem} has no picture"


def test_the_fleet_template_leaves_out_what_cannot_be_named_and_shows_the_price():
    kinds = {node["type"]: node["inputs"] for node in nodes_of(FLEET, "1")}
    assert kinds["CivitaiBridgeGenerate"]["missing"] == kinds["CivitaiBridgeEstimate"]["missing"] == "skip"
    assert (
        list(INFO["CivitaiBridgeGenerate"]["input_order"]["optional"])[-2:] == ["missing", "tags"]
        and values_of({}) == []
    )


def test_values_of_graphs_that_were_saved_before_stay_at_their_widgets():
    """Pages restore widgets by position, so what a first release saved must still fit: new ones come last."""
    first = [
        *("model", "prompt", "negative_prompt", "seed", "seed afterwards", "quantity", "width", "height", "steps"),
        *("cfg", "sampler_name", "scheduler", "engine", "operation", "denoise", "clip_skip", "vae", "output_format"),
        *("mature_content", "max_buzz", "reuse_paid", "wait_minutes"),
    ]
    for kind in ("CivitaiBridgeGenerate", "CivitaiBridgeEstimate"):
        assert widgets_of(kind) == [*first, "missing", "tags"]
    advanced = {
        name for name, spec in INFO["CivitaiBridgeGenerate"]["input"]["optional"].items() if spec[1].get("advanced")
    }
    assert advanced == {
        *("sampler_name", "scheduler", "operation", "denoise", "clip_skip", "vae", "output_format", "mature_content"),
        *("wait_minutes", "missing", "tags"),
    }
