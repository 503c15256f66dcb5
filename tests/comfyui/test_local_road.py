"""From what is known of a picture to a picture of one's own, whole: a real ComfyUI samples with a checkpoint and LoRAs
of random weights on the processor, and the file that is saved says what was asked."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import io
import json
import os
import shutil
import subprocess
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, comfyui_python, start
from PIL import Image
from test_generation_data import folders, node_of, template

from pack.civitai_bridge.metadata.civitai_upload import recognised, uploaded_meta
from pack.civitai_bridge.metadata.generation import GenerationData, loras_of
from pack.civitai_bridge.metadata.read import read_file
from pack.civitai_bridge.sandbox import files
from pack.civitai_bridge.sandbox.models import VERSIONS

pytestmark = pytest.mark.timeout(600)
CHECKPOINT, LORA, KNOWN_LORA, IMAGE = 910001, 910003, 300001, 910005
CHECKPOINT_FILE, LORA_FILE, KNOWN_FILE = "randomWeights_v1.safetensors", "bent lines.safetensors", "storybookLight_v2"
ASKED = {
    "prompt": "a harbour at dawn, (soft glow:1.2)", "negative_prompt": "lowres, blurry", "seed": 1234567890123,
    "steps": 2, "cfg": 5.5, "sampler": "dpmpp_2m", "scheduler": "karras", "width": 64, "height": 72,
}  # fmt: skip

# What the sandbox's site has besides: a model and a LoRA whose files were never scanned, so that they are found by
# their exact names, and an image that was made with them at a size that a processor samples in seconds.
SITE = {
    "versions": [
        {
            "id": CHECKPOINT, "model_id": 910000, "model": "Random Weights", "name": "v1", "base": "SD 1.5",
            "ecosystem": "sd1", "uploaded": [{"name": CHECKPOINT_FILE, "scanned": False}],
        },
        {
            "id": LORA, "model_id": 910002, "model": "Bent Lines", "name": "v1", "base": "SD 1.5", "type": "LORA",
            "ecosystem": "sd1", "uploaded": [{"name": LORA_FILE, "scanned": False}],
        },
    ],
    "images": [
        {
            "id": IMAGE, "post_id": 910004, "width": 64, "height": 72, "base": "SD 1.5",
            "resources": [[CHECKPOINT, None], [LORA, -0.5], [KNOWN_LORA, 0.7]],
            "meta": {
                "prompt": ASKED["prompt"], "negativePrompt": ASKED["negative_prompt"], "seed": ASKED["seed"],
                "steps": 2, "cfgScale": 5.5, "sampler": "DPM++ 2M Karras", "width": 64, "height": 72,
                "civitaiResources": [
                    {"type": "checkpoint", "modelVersionId": CHECKPOINT},
                    {"type": "lora", "weight": -0.5, "modelVersionId": LORA},
                    {"type": "lora", "weight": 0.7, "modelVersionId": KNOWN_LORA},
                ],
            },
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with files that core really loads: a checkpoint, a LoRA of ours and one of the sandbox's site."""
    tmp = tmp_path_factory.mktemp("road")
    (tmp / "more.json").write_text(json.dumps(SITE), encoding="utf-8")
    for server in start(tmp, tmp / "more.json"):
        furnish(folders(server) / "models")
        yield server
        log = server.log.read_text(encoding="utf-8", errors="replace")
        assert "lora key not loaded" not in log and "missing keys" not in log and "unet missing" not in log


def furnish(models: Path) -> None:
    """The files that SITE's image was made with."""
    (models / "loras" / "deep").mkdir(parents=True)
    known = VERSIONS[KNOWN_LORA].files[0]
    (models / "loras" / "deep" / known.name).write_bytes(files.content(known))
    where = Path(os.environ["COMFYUI_PATH"])
    maker = Path(__file__).parent / "random_weights.py"
    made = [str(models / "checkpoints" / CHECKPOINT_FILE), str(models / "loras" / LORA_FILE)]
    command = [comfyui_python(where), str(maker), str(where), *made]
    subprocess.run(command, cwd=where, check=True, capture_output=True, timeout=300)


def local_template(server: Server) -> dict[str, Any]:
    return template("CivitAI image to local sampler.json", server.get("/object_info"))


def with_reader(prompt: dict[str, Any], kind: str, **inputs: Any) -> dict[str, Any]:
    """The template with another node where the image's address stood; its outputs stand in the same order."""
    changed = copy.deepcopy(prompt)
    changed[node_of(prompt, "CivitaiBridgeImageData")] = {"class_type": f"CivitaiBridge{kind}", "inputs": inputs}
    return changed


def saved_file(server: Server, run: Any, node: str) -> bytes:
    (saved,) = run.history["outputs"][node]["images"]
    return server.get("/view?" + urllib.parse.urlencode(saved))


async def run_until_hashed(server: Server, prompt: dict[str, Any], save: str) -> Any:
    """Save again until the pack's own scan knows the files; until then the report says that only names are written."""
    deadline = time.monotonic() + 200
    while True:
        prompt[save]["inputs"]["filename_prefix"] = uuid.uuid4().hex
        run = await server.run(prompt)
        assert not run.error, run.error
        if "Only the name of" not in run.text(save):
            return run
        assert time.monotonic() < deadline, run.text(save)
        await asyncio.sleep(0.5)


def pixels(content: bytes) -> bytes:
    return Image.open(io.BytesIO(content)).convert("RGB").tobytes()


def asked_of(data: GenerationData) -> dict[str, Any]:
    return {name: getattr(data, name) for name in ASKED}


def weights_of(data: GenerationData) -> dict[str, tuple[float, float]]:
    """Model and text encoder strength by the LoRA's file name or, where it has none, its name."""
    loras = loras_of(data)
    return {(lora["file"] or lora["name"]).removesuffix(".safetensors"): _pair(lora) for lora in loras}


def _pair(lora: dict[str, Any]) -> tuple[float, float]:
    clip = lora["strength_clip"]
    return lora["strength"], lora["strength"] if clip is None else clip


@pytest.fixture(scope="module")
def from_site(road: Server) -> dict[str, Any]:
    """The template run once on the image of the site: its graph, what it reported and the file that it saved."""
    prompt = local_template(road)
    prompt[node_of(prompt, "CivitaiBridgeImageData")]["inputs"]["reference"] = f"https://civitai.com/images/{IMAGE}"
    run = asyncio.run(road.run(prompt))
    assert not run.error, run.error
    save = node_of(prompt, "CivitaiBridgeSaveImage")
    return {"prompt": prompt, "run": run, "report": run.text(save), "content": saved_file(road, run, save)}


def test_the_template_samples_and_saves_what_the_image_on_civitai_says(from_site: dict[str, Any]):
    data = read_file(from_site["content"])
    assert asked_of(data) == ASKED
    assert data.model_version_id == CHECKPOINT and data.model_name == "Random Weights"
    assert {lora.version_id: lora.total[0] for lora in data.networks} == {LORA: -0.5, KNOWN_LORA: 0.7}
    assert "CivitAI will recognise every resource (3)" in from_site["report"]
    assert json.loads(data.texts["prompt"]) == from_site["prompt"]
    assert Image.open(io.BytesIO(from_site["content"])).size == (64, 72)


async def test_a_saved_picture_that_is_read_makes_itself_again(road: Server, from_site: dict[str, Any]):
    name = f"again {uuid.uuid4().hex}.png"
    (folders(road) / "input" / name).write_bytes(from_site["content"])
    prompt = with_reader(from_site["prompt"], "ReadImage", image=name)
    run = await road.run(prompt)
    assert not run.error, run.error
    content = saved_file(road, run, node_of(prompt, "CivitaiBridgeSaveImage"))
    assert pixels(content) == pixels(from_site["content"])
    first, again = read_file(from_site["content"]), read_file(content)
    assert asked_of(again) == ASKED and weights_of(again) == weights_of(first)
    assert (again.model_version_id, again.model_name) == (first.model_version_id, first.model_name)


# A1111 writes the text encoder's weight before the model's.
PASTED = """a harbour at dawn, (soft glow:1.2), <lora:bent lines:0.8:0.4> <lora:storybookLight_v2:-1>
Negative prompt: lowres, blurry
Steps: 2, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 1234567890123, Size: 64x72, Model: x"""


async def test_a_pasted_text_samples_as_cores_own_nodes_do(road: Server):
    prompt = with_reader(local_template(road), "ReadText", text=PASTED)
    loader, save = (node_of(prompt, kind) for kind in ("CheckpointLoaderSimple", "CivitaiBridgeSaveImage"))
    del prompt[node_of(prompt, "CivitaiBridgeResolve")]  # the text names a model that CivitAI does not know
    prompt[loader]["inputs"]["ckpt_name"] = CHECKPOINT_FILE
    run = await run_until_hashed(road, prompt, save)
    content = saved_file(road, run, save)
    data = read_file(content)
    assert asked_of(data) == {**ASKED, "prompt": PASTED.partition("\n")[0]}
    assert data.model_name == CHECKPOINT_FILE
    assert weights_of(data) == {"bent lines": (0.4, 0.8), "storybookLight_v2": (-1, -1)}
    lora = hashlib.sha256((folders(road) / "models" / "loras" / LORA_FILE).read_bytes()).hexdigest()
    uploaded = uploaded_meta(data.texts["parameters"])
    assert lora[:10] in uploaded.hashes and KNOWN_LORA in uploaded.versions

    core = await road.run(cores_graph())
    assert not core.error, core.error
    assert pixels(saved_file(road, core, "9")) == pixels(content)


def cores_graph() -> dict[str, Any]:
    """What the pasted text asks, in core's nodes and numbers; only the file is written by ours."""

    def lora(model: str, name: str, strength: float, clip: float) -> dict[str, Any]:
        wired = {"model": [model, 0], "clip": [model, 1]}
        weights = {"lora_name": name, "strength_model": strength, "strength_clip": clip}
        return {"class_type": "LoraLoader", "inputs": {**wired, **weights}}

    def encode(text: Any) -> dict[str, Any]:
        return {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": ["3", 1]}}

    known = os.path.join("deep", VERSIONS[KNOWN_LORA].files[0].name)
    sampling = {
        "seed": ASKED["seed"], "steps": 2, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras",
        "denoise": 1.0, "model": ["3", 0], "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["6", 0],
    }  # fmt: skip
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT_FILE}},
        "2": lora("1", LORA_FILE, 0.4, 0.8),
        "3": lora("2", known, -1.0, -1.0),
        "4": encode(ASKED["prompt"]),
        "5": encode(ASKED["negative_prompt"]),
        "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 72, "batch_size": 1}},
        "7": {"class_type": "KSampler", "inputs": sampling},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["1", 2]}},
        "9": {
            "class_type": "CivitaiBridgeSaveImage",
            "inputs": {"images": ["8", 0], "filename_prefix": "core", "format": "png"},
        },
    }


@pytest.mark.parametrize("name", ["SDXL/sub folder (v2).safetensors", "SDXL\\x.safetensors"])
async def test_a_model_in_a_sub_folder_is_judged_as_civitai_will(road: Server, name: str):
    """Windows' core spells a file of a sub-folder with a backslash. Elsewhere that is a file's own name, which core
    lists and loads just as well, so that the graph's text has that spelling on every system."""
    checkpoints = folders(road) / "models" / "checkpoints"
    listed = name.replace("/", os.sep)
    place = checkpoints / listed
    place.parent.mkdir(exist_ok=True)
    shutil.copyfile(checkpoints / CHECKPOINT_FILE, place)
    with place.open("r+b") as file:  # bytes of its own: one of the last weights is another
        file.seek(-2, os.SEEK_END)
        file.write(bytes([len(name), 0x1C]))
    sha256 = hashlib.sha256(place.read_bytes()).hexdigest()
    prompt = cores_graph()
    prompt["1"]["inputs"]["ckpt_name"] = listed
    run = await run_until_hashed(road, prompt, "9")
    assert "CivitAI will recognise every resource (3), 2 of them only if it knows the hash." in run.text("9")
    text = read_file(saved_file(road, run, "9")).texts["parameters"]
    stem = listed.replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors")
    assert sha256[:10] in uploaded_meta(text).hashes and uploaded_meta(text).meta["Model"]
    model = next(each for each in recognised(text) if each.kind == "checkpoint")
    assert model.by == "hash" and sha256[:10] in model.reason and stem in model.reason
