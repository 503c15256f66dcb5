"""From an image on CivitAI to a local sampler and to the fleet, in a real ComfyUI server."""

from __future__ import annotations

import io
import json
import struct
import urllib.parse
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).resolve().parents[2]
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def api_of(workflow: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """A saved workflow as the page queues it: links by name, widgets by place."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] not in info:
            continue  # notes
        inputs, values = {}, iter(node["widgets_values"])
        wired = {one["name"]: links[one["link"]] for one in node["inputs"] if one["link"] is not None}
        known = info[node["type"]]
        for group in ("required", "optional"):
            for name in known["input_order"].get(group, []):
                kind, *options = known["input"][group][name]
                said = options[0] if options else {}
                if isinstance(kind, list) or kind in WIDGETS or said.get("widgetType") in WIDGETS:
                    inputs[name] = next(values)
                    if said.get("control_after_generate") or said.get("image_upload"):
                        next(values)
                if name in wired:
                    inputs[name] = wired[name]
        assert next(values, None) is None, f"{node['type']} has more values than widgets"
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def template(name: str, info: dict[str, Any]) -> dict[str, Any]:
    return api_of(json.loads((ROOT / "example_workflows" / name).read_text(encoding="utf-8")), info)


def node_of(prompt: dict[str, Any], kind: str) -> str:
    return next(key for key, node in prompt.items() if node["class_type"] == kind)


def folders(comfyui: Any) -> Path:
    return Path(comfyui.log).parent / "base"


def safetensors(tensors: dict[str, list[list[float]]]) -> bytes:
    """A file of float32 tensors, as the format has it: length of the header, header, bytes."""
    header, body = {}, b""
    for name, rows in tensors.items():
        data = b"".join(struct.pack("<f", value) for row in rows for value in row)
        header[name] = {
            "dtype": "F32",
            "shape": [len(rows), len(rows[0])],
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


async def test_the_template_for_the_fleet_runs_as_it_is(comfyui: Any):
    prompt = template("CivitAI image to the fleet.json", comfyui.get("/object_info"))
    run = await comfyui.run(prompt)
    assert not run.error
    save = node_of(prompt, "CivitaiBridgeSaveImage")
    (saved,) = run.history["outputs"][save]["images"]
    content = comfyui.get("/view?" + urllib.parse.urlencode(saved))
    text = Image.open(io.BytesIO(content)).info
    assert "a harbour at dawn" in text["parameters"] and "Civitai resources" in text["parameters"]
    assert "CivitAI will recognise every resource (2)" in run.text(save)
    assert "8 Buzz" in run.text(node_of(prompt, "CivitaiBridgeEstimate"))
    assert json.loads(text["prompt"]) == prompt


async def test_the_local_template_says_what_is_missing_before_anything_is_loaded(comfyui: Any):
    prompt = template("CivitAI image to local sampler.json", comfyui.get("/object_info"))
    run = await comfyui.run(prompt)
    assert "LoRAs cannot be applied. Storybook Light: not here" in run.error
    started = {data.get("node") for _, kind, data in run.events if kind == "executing"}
    assert node_of(prompt, "CheckpointLoaderSimple") not in started
    assert run.seconds < 10


async def test_loras_change_a_model_with_cores_own_code(comfyui: Any):
    """A model of one layer, a LoRA of rank 1, weights 0.5: what core would patch is read from its own list."""
    lora = {
        "diffusion_model.layer.lora_A.weight": [[1.0, 2.0]],
        "diffusion_model.layer.lora_B.weight": [[3.0], [4.0]],
    }
    place = folders(comfyui) / "models" / "loras" / "deep"
    place.mkdir(parents=True, exist_ok=True)
    (place / "Tiny One.safetensors").write_bytes(safetensors(lora))
    image = PngInfo()
    image.add_text("parameters", "x <lora:tiny one:0.5> <lora:off:0>\nSteps: 3, Sampler: Euler, Seed: 1, Size: 64x64")
    Image.new("RGB", (64, 64)).save(folders(comfyui) / "input" / "tiny.png", pnginfo=image)
    prompt = {
        "1": {"class_type": "CivitaiBridgeReadImage", "inputs": {"image": "tiny.png"}},
        "2": {"class_type": "TestTinyModel", "inputs": {}},
        "3": {
            "class_type": "CivitaiBridgeApplyLoras",
            "inputs": {"model": ["2", 0], "loras": ["1", 4], "missing": "error"},
        },
        "4": {"class_type": "TestPatches", "inputs": {"model": ["3", 0]}},
        "5": {"class_type": "CivitaiBridgeLoraStack", "inputs": {"loras": ["1", 4], "missing": "error"}},
        "6": {"class_type": "PreviewAny", "inputs": {"source": ["5", 1]}},
    }
    run = await comfyui.run(prompt)
    assert not run.error
    weights = json.loads(run.text("4"))
    assert weights == {"diffusion_model.layer.weight": [[1.5, 3.0], [2.0, 4.0]]}
    assert "deep/Tiny One.safetensors" in run.text("3").replace("\\", "/") and "off: off" in run.text("3")
    assert "<lora:Tiny One:0.5>" in run.text("6")


async def test_a_picture_that_is_saved_is_read_back_by_its_own_node(comfyui: Any):
    prompt = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 2, "color": 255}},
        "2": {
            "class_type": "CivitaiBridgeSaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": f"kept/{uuid.uuid4().hex}", "format": "webp"},
        },
    }
    run = await comfyui.run(prompt)
    assert not run.error and "Nothing is known of how this picture was made" in run.text("2")
    first, second = run.history["outputs"]["2"]["images"]
    assert first["subfolder"] == "kept" and first["filename"] != second["filename"]
    prompt["1"]["inputs"]["color"] = 0
    again = await comfyui.run(prompt)
    names = {one["filename"] for one in again.history["outputs"]["2"]["images"]}
    assert len(names) == 2 and not names & {first["filename"], second["filename"]}


async def test_settings_reach_ksampler_in_its_own_words(comfyui: Any):
    """Core would replace a name that it does not know without a word; validation passes, and the wire has real names."""
    prompt = {
        "1": {"class_type": "CivitaiBridgeImageData", "inputs": {"reference": "900001"}},
        "2": {"class_type": "CivitaiBridgeGenerationSettings", "inputs": {"generation": ["1", 0]}},
        "3": {
            "class_type": "TestSettings",
            "inputs": {"sampler_name": ["2", 3], "scheduler": ["2", 4], "seed": ["2", 0]},
        },
    }
    run = await comfyui.run(prompt)
    assert not run.error, run.error
    assert json.loads(run.text("3")) == ["euler_ancestral", "normal", 11]
    assert "The scheduler is not said; normal stands in for it." in run.text("2")


async def test_an_upload_is_read(comfyui: Any):
    image = PngInfo()
    image.add_text("parameters", "a boat\nNegative prompt: fog\nSteps: 3, Sampler: Euler a, Seed: 5, Size: 64x64")
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "PNG", pnginfo=image)
    name = f"drop {uuid.uuid4().hex}.png"
    async with aiohttp.ClientSession() as session:
        form = aiohttp.FormData()
        form.add_field("image", out.getvalue(), filename=name, content_type="image/png")
        async with session.post(comfyui.url + "/upload/image", data=form) as answer:
            assert answer.status == 200
            name = (await answer.json())["name"]
    run = await comfyui.run({"1": {"class_type": "CivitaiBridgeReadImage", "inputs": {"image": name}}})
    assert not run.error and "itself says what follows" in run.text("1")


@pytest.mark.parametrize(
    ("reference", "words"),
    [("899999", "899999"), ("https://example.com/images/1", "example.com"), ("900005", "")],
)
async def test_bad_references_are_sentences_on_the_node(comfyui: Any, reference: str, words: str):
    run = await comfyui.run({"1": {"class_type": "CivitaiBridgeImageData", "inputs": {"reference": reference}}})
    said = run.error or run.text("1")
    assert words in said and "Traceback" not in said
