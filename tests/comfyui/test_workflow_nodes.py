"""Workflow Query and Workflow Images in a real ComfyUI server: a list of ids fans out, nothing is kept too early."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image
from test_server import SALT, generate, preview

KEY = "SECRET-KEY-OF-THE-TESTS"


def images(workflow_id: Any, **inputs: Any) -> dict[str, Any]:
    return {"class_type": "CivitaiBridgeWorkflowImages", "inputs": {"workflow_id": workflow_id, **inputs}}


def query(**inputs: Any) -> dict[str, Any]:
    return {"class_type": "CivitaiBridgeWorkflowQuery", "inputs": inputs}


def save(of: str) -> dict[str, Any]:
    inputs = {"images": [of, 0], "generation": [of, 2], "filename_prefix": f"fleet {SALT}", "format": "png"}
    return {"class_type": "CivitaiBridgeSaveImage", "inputs": inputs}


def shown(run: Any, node: str) -> list[dict[str, Any]]:
    return run.history["outputs"].get(node, {}).get("images", [])


async def test_a_query_fans_out_into_the_pictures_of_its_workflows(comfyui: Any):
    comfyui.control(fill=[{"key": KEY, "count": 3, "pictures": 2, "side": 64}])
    run = await comfyui.run(
        {"1": query(tags="made", take=10), "2": images(["1", 0]), "3": preview("2"), "4": save("2")}
    )
    assert run.history["status"]["status_str"] == "success", run.history
    assert len(shown(run, "3")) == 6 and len(shown(run, "4")) == 6
    assert run.text("1").count("succeeded") == 3 and run.text("2").count("2 pictures of") == 3
    output = Path(comfyui.state).parent / "base" / "output"
    texts = []
    for file in shown(run, "4"):
        with Image.open(output / file["subfolder"] / file["filename"]) as picture:
            texts.append(picture.info["parameters"])
    for number in range(3):  # each picture has its own workflow's prompt, and its own seed
        ours = [text for text in texts if f"a lighthouse at dusk, number {number}" in text]
        assert sorted(text.split("Seed: ")[1][:2] for text in ours) == ["42", "43"], texts
    assert all("Size: 64x64" in text for text in texts)


async def test_what_was_ordered_here_with_a_tag_is_found_by_it_and_brought_in_without_a_second_charge(comfyui: Any):
    tag = f"project:{SALT}"
    bought = await comfyui.run({"1": generate(900, tags=f"{tag}, b", quantity=2), "2": preview("1")})
    assert bought.history["status"]["status_str"] == "success", bought.history
    before = len(comfyui.ledger())
    run = await comfyui.run({"1": query(tags=tag), "2": images(["1", 0]), "3": preview("2")})
    assert len(shown(run, "3")) == 2 and len(comfyui.ledger()) == before
    nothing = await comfyui.run({"1": query(tags=f"{tag}, c"), "2": images(["1", 0]), "3": preview("2")})
    assert "No workflow of your account fits" in nothing.text("1") and not shown(nothing, "3")
    assert "No workflow" in nothing.error


def ordered_elsewhere(comfyui: Any, seconds: float) -> str:
    """The id of a workflow that another program has ordered of the same account."""
    comfyui.control(jobs=[{"seconds": seconds}])
    asked = {"engine": "comfy", "ecosystem": "sdxl", "operation": "createImage", "prompt": "from a script", "seed": 7}
    asked |= {"model": "urn:air:sdxl:checkpoint:civitai:101055@128078", "width": 64, "height": 64, "quantity": 2}
    body = {"currencies": [], "steps": [{"$type": "imageGen", "name": "a", "input": asked}]}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    url = comfyui.sandbox + "/v2/consumer/workflows"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.loads(answer.read())["id"]


def is_cached(run: Any, node: str) -> bool:
    return any(node in data["nodes"] for _, name, data in run.events if name == "execution_cached")


async def test_a_workflow_is_waited_for_and_kept_only_once_it_is_over(comfyui: Any):
    workflow_id = ordered_elsewhere(comfyui, 30.0)
    for _ in range(2):
        early = await comfyui.run({"1": images(workflow_id, wait=False), "2": preview("1")})
        assert not shown(early, "2") and "no picture yet" in early.text("1") and not is_cached(early, "1")
    over = await comfyui.run({"1": images(workflow_id), "2": preview("1")})
    assert len(shown(over, "2")) == 2 and over.seconds > 1 and "succeeded" in over.text("1")
    await comfyui.run({"1": images(workflow_id), "2": preview("1")})
    assert is_cached(await comfyui.run({"1": images(workflow_id), "2": preview("1")}), "1")


async def test_the_button_ends_the_wait_and_leaves_the_job_alone(comfyui: Any):
    workflow_id = ordered_elsewhere(comfyui, 60.0)
    run = await comfyui.run({"1": images(workflow_id), "2": preview("1")}, cancel_after=1.0)
    assert run.had("execution_interrupted") and run.seconds < 4 and comfyui.cancels(run.clicked - 1) == []


async def test_bad_input_is_a_sentence_on_the_node(comfyui: Any):
    for node, words in (
        (images("1-2"), "Workflow not found"),
        (images(""), "empty"),
        (images("../me"), "is no workflow id"),
        (images("JNFDW54JNTATNW42HACYCWSQP0.jpeg"), "Blob not found"),
        (query(from_date="yesterday"), "no date"),
        (query(from_date="2026-11-28", to_date="2026-11-01"), "is after"),
        (query(cursor="nonsense"), "cursor"),
        (query(tags="x" * 201), "1 to 200 characters"),
    ):
        run = await comfyui.run({"1": node})
        assert words in run.error, (node, run.error, run.queued)
    for take in (0, 99_999):
        run = await comfyui.run({"1": query(take=take)})
        assert "take" in json.dumps(run.queued["node_errors"]), run.queued


async def test_a_graph_that_was_saved_before_there_were_tags_runs_as_it_is(comfyui: Any):
    inputs = {"model": "128078", "prompt": "a lighthouse", "seed": SALT + 902, "width": 64, "height": 64}
    run = await comfyui.run({"1": {"class_type": "CivitaiBridgeEstimate", "inputs": {**inputs, "missing": "skip"}}})
    assert run.history["status"]["status_str"] == "success", run.history
