"""The nodes in a real ComfyUI server."""

from __future__ import annotations

import asyncio
import io
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SAID = ("default", "min", "max", "step", "tooltip", "multiline", "control_after_generate", "options", "widgetType")
SALT = random.Random().randrange(2**40)


def generate(seed: int = 0, **inputs: Any) -> dict[str, Any]:
    given = {"model": "128078", "prompt": "a lighthouse at dusk", "seed": SALT + seed, "width": 256, "height": 256}
    return {"class_type": "CivitaiBridgeGenerate", "inputs": {**given, **inputs}}


def preview(of: str) -> dict[str, Any]:
    return {"class_type": "PreviewImage", "inputs": {"images": [of, 0]}}


async def test_a_graph_becomes_a_picture_and_says_what_it_cost(comfyui: Any):
    run = await comfyui.run({"1": generate(1), "2": preview("1")})
    assert run.history["status"]["status_str"] == "success", run.history
    (image,) = run.history["outputs"]["2"]["images"]
    query = f"filename={quote(image['filename'])}&subfolder={quote(image['subfolder'])}&type={image['type']}"
    with Image.open(io.BytesIO(comfyui.get(f"/view?{query}"))) as picture:
        assert picture.size == (256, 256)
        colours = picture.convert("RGB").resize((32, 32)).getcolors(1024) or []
        assert len(colours) > 50, "it is a picture and not a flat colour"
    assert "Paid 1 Buzz" in run.text("1")
    progress = b"".join(run.binary).decode("utf-8", "replace")
    assert "Buzz" in progress and "SECRET" not in progress


async def test_the_same_graph_again_is_not_paid_again(comfyui: Any):
    before = len(comfyui.ledger())
    await comfyui.run({"1": generate(2), "2": preview("1")})
    # Another preview node: core has the node in its cache; a changed `wait_minutes` makes it run and ask the journal.
    run = await comfyui.run({"1": generate(2, wait_minutes=29), "2": preview("1")})
    assert "nothing was paid now" in run.text("1")
    assert len(comfyui.ledger()) == before + 1


async def test_sixteen_nodes_run_at_once(comfyui: Any):
    comfyui.control(jobs=[{"seconds": 5.0}] * 16)
    prompt = {str(n): generate(100 + n) for n in range(16)} | {f"p{n}": preview(str(n)) for n in range(16)}
    run = await comfyui.run(prompt)
    assert run.history["status"]["status_str"] == "success"
    submits = [r for r in comfyui.requests() if r["route"] == "submit"]
    assert len({json.loads(r["body"])["externalId"] for r in submits[-16:]}) == 16


async def test_errors_are_sentences_on_the_node(comfyui: Any):
    for inputs, words in (
        ({"model": "999999"}, "unknown"),
        ({"model": "300009"}, "not published"),
        ({"model": "300007"}, "not enabled for generation"),
        ({"model": "urn:air:sdxl:checkpoint:huggingface:org/repo@main"}, "huggingface"),
        ({"model": "f" * 64}, "unknown"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x" * 10_001}, "10000"),
        ({"steps": 500}, "1 to 150"),
        ({"max_buzz": 1, "width": 1024, "height": 1024}, "max_buzz"),
        ({"model": "", "engine": "auto"}, "No model"),
    ):
        run = await comfyui.run({"1": generate(3, **inputs), "2": preview("1")})
        assert words in run.error, (inputs, run.error, run.queued)
        assert "SECRET" not in json.dumps(run.events)


async def test_the_price_alone(comfyui: Any):
    before = len(comfyui.ledger())
    node = generate(4) | {"class_type": "CivitaiBridgeEstimate"}
    run = await comfyui.run({"1": node})
    assert "Buzz for 1 picture" in run.text("1") and len(comfyui.ledger()) == before


async def test_resolve_feeds_generate_and_a_loader_is_told_what_is_missing(comfyui: Any):
    resolve = {
        "class_type": "CivitaiBridgeResolve",
        "inputs": {"reference": "https://civitai.com/models/101055?modelVersionId=128078"},
    }
    run = await comfyui.run({"1": resolve, "2": generate(5, model=["1", 0]), "3": preview("2")})
    assert run.history["status"]["status_str"] == "success" and "Missing" in run.text("1")
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ["1", 7]}}
    empty = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    decode = {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["4", 2]}}
    run = await comfyui.run({"1": resolve, "4": loader, "6": empty, "7": decode, "8": preview("7")})
    assert "Missing: no" in run.error


def sixteen(first: int) -> dict[str, Any]:
    return {str(n): generate(first + n) for n in range(16)} | {f"p{n}": preview(str(n)) for n in range(16)}


async def test_cancel_reaches_all_sixteen_jobs_and_only_that_prompt(comfyui: Any):
    comfyui.control(jobs=[{"seconds": 60.0}] * 16)
    run = await comfyui.run(sixteen(200), cancel_after=4.0)
    assert run.had("execution_interrupted") and not run.had("execution_error")
    await asyncio.sleep(1.0)
    assert len({r["path"] for r in comfyui.cancels(run.clicked)}) == 16
    assert (await comfyui.run({"1": generate(230), "2": preview("1")})).history["status"]["status_str"] == "success"
    assert len(comfyui.cancels(run.clicked)) == 16


async def test_a_cancel_that_a_synchronous_node_saw_reaches_all_sixteen(comfyui: Any):
    comfyui.control(jobs=[{"seconds": 60.0}] * 16)
    prompt = sixteen(300)
    # It starts a second later: core may run a ready synchronous node before ours, and then there is nothing to cancel.
    prompt["wait"] = {"class_type": "TestDelay", "inputs": {"seconds": 1.5, "salt": SALT}}
    prompt["slow"] = {"class_type": "TestSlowSync", "inputs": {"seconds": 20.0, "salt": SALT, "after": ["wait", 0]}}
    run = await comfyui.run(prompt, cancel_after=4.0)
    assert run.had("execution_interrupted")
    await asyncio.sleep(2.0)
    assert len({r["path"] for r in comfyui.cancels(run.clicked)}) == 16


async def test_a_cancel_ends_a_look_up_within_a_second(comfyui: Any):
    for kind, inputs in (
        ("CivitaiBridgeResolve", {"reference": "300003"}),
        ("CivitaiBridgeImageData", {"reference": "900003"}),
        ("CivitaiBridgeCatalogAdd", {"reference": "300005"}),
    ):
        comfyui.control(faults=[{"route": route, "kind": "hang", "seconds": 30.0} for route in ("site", "trpc")] * 4)
        run = await comfyui.run({"1": {"class_type": kind, "inputs": inputs}}, cancel_after=1.0)
        assert run.had("execution_interrupted") and run.ended - run.clicked <= 1.0, kind
        assert b"CivitAI" in b"".join(run.binary), "it shows what it waits for"
    comfyui.control(calm=True)


async def test_a_cancel_during_the_post_is_carried_out_when_its_answer_comes(comfyui: Any):
    comfyui.control(faults=[{"route": "submit", "kind": "slow", "seconds": 4.0}], jobs=[{"seconds": 60.0}])
    before = len(comfyui.ledger())
    run = await comfyui.run({"1": generate(350), "2": preview("1")}, cancel_after=2.0)
    assert run.had("execution_interrupted") and run.seconds < 3.5, "the prompt does not wait for the answer"
    await asyncio.sleep(4.0)
    assert len(comfyui.cancels(run.clicked)) == 1
    debit, credit = comfyui.ledger()[before:]
    assert (debit["kind"], credit["kind"]) == ("debit", "credit") and debit["workflow"] == credit["workflow"]


async def test_a_failing_sibling_cancels_nothing_and_the_pictures_wait(comfyui: Any):
    comfyui.control(jobs=[{"seconds": 12.0}])
    before = sum(1 for r in comfyui.requests() if r["route"] == "cancel")
    fails = {"class_type": "TestFailsLater", "inputs": {"seconds": 2.0, "salt": SALT}}
    run = await comfyui.run({"1": generate(400), "2": preview("1"), "3": fails})
    assert "a sibling failed" in run.error
    await asyncio.sleep(4.0)
    assert sum(1 for r in comfyui.requests() if r["route"] == "cancel") == before
    debits = len(comfyui.ledger())
    run = await comfyui.run({"1": generate(401), "2": preview("1")})
    assert "1 earlier purchase waits" in run.text("1")
    run = await comfyui.run({"1": generate(400), "2": preview("1")})
    assert "nothing was paid now" in run.text("1")
    assert len(comfyui.ledger()) == debits + 1


async def test_scripts_help_and_templates_are_served_from_an_odd_folder(comfyui: Any):
    listed = [path for path in comfyui.get("/extensions") if "civitai_bridge.js" in path]
    assert len(listed) == 1
    assert b"registerExtension" in comfyui.get(listed[0].replace(" ", "%20"))
    assert b"# CivitAI Generate" in comfyui.get("/extensions/civitai%20bridge/docs/CivitaiBridgeGenerate.md")
    templates = comfyui.get("/workflow_templates")
    names = templates["civitai bridge.v1"]
    assert len(names) == len(list((ROOT / "example_workflows").glob("*.json")))
    nodes = set(comfyui.get("/object_info"))
    for name in names:
        graph = comfyui.get(f"/api/workflow_templates/civitai%20bridge.v1/{quote(name)}.json")
        data = json.loads(graph) if isinstance(graph, bytes) else graph
        assert {node["type"] for node in data["nodes"]} <= nodes | {"MarkdownNote"}


def test_the_nodes_are_as_the_snapshot_has_them(comfyui: Any):
    snapshot = json.loads((ROOT / "tests" / "nodes" / "object_info.json").read_text(encoding="utf-8"))
    for name, wanted in snapshot.items():
        info = comfyui.get(f"/object_info/{name}")[name]
        for key in (
            "input_order",
            "output",
            "output_name",
            "output_node",
            "output_tooltips",
            "description",
            "category",
        ):
            assert info[key] == wanted[key], key
        for group, inputs in wanted["input"].items():
            for input_, spec in inputs.items():
                there = info["input"][group][input_]
                assert there[0] == spec[0]
                # Newer cores add keys of their own; what we say must be there as we said it.
                said = {key: value for key, value in (spec[1] if len(spec) > 1 else {}).items() if key in SAID}
                if "image_upload" in (spec[1] if len(spec) > 1 else {}):
                    del said["options"]  # what lies in the input folder
                assert {key: there[1].get(key) for key in said} == said, input_


def test_nothing_secret_was_written_anywhere(comfyui: Any):
    """Runs last: the console, the journal, the history and the page's files hold neither the key nor a signed
    address."""
    places = [comfyui.log, *Path(comfyui.state).rglob("*")]
    for path in places:
        if path.is_file():
            content = path.read_bytes()
            assert b"SECRET-KEY-OF-THE-TESTS" not in content, path.name
            assert b"?sig=" not in content, path.name
    assert "SECRET-KEY" not in json.dumps(comfyui.get("/history"))
    leaks = [r for r in comfyui.requests() if r["route"] == "content" and "Authorization" in r["headers"]]
    assert leaks == []
