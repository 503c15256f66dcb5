"""A room's `image:txt2img` and `image:img2img` inside of a real ComfyUI: core samples with a checkpoint of random
weights on the processor, and takes the graphs of families whose weights nobody has here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Server, comfyui_python, start
from model_headers import TENSORS, header_only
from picture_room import NEEDED, Room, base64_of, png
from PIL import Image
from test_generation_data import folders

pytestmark = pytest.mark.timeout(600)
PARAMS = {
    "prompt": "a harbour at dawn, (soft glow:1.2)", "negativePrompt": "lowres", "sampler": "DPM++ 2M Karras",
    "seed": 1234567890123, "steps": 2, "width": 64, "height": 64, "cfgScale": 5.5,
}  # fmt: skip


class LinkServer:
    """A server, what lies in its folders by hash, and a room that asks it."""

    def __init__(self, server: Server) -> None:
        self.server, self.hashes = server, {}

    def ask(self, kind: str = "image:txt2img", id: str = "", **fields: Any) -> dict[str, Any]:
        """The answer to a command; asked again while the files are still being hashed."""
        deadline = time.monotonic() + 120
        while True:
            command = {"id": id or uuid.uuid4().hex, "type": kind, "model": self.hashes["model"], **fields}
            answer = self.server.post(self.server.url + "/link_direct", command)
            if "ask again later" not in answer.get("error", ""):
                return answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.5)

    def pictures(self, *args: Any, **fields: Any) -> list[np.ndarray]:
        answer = self.ask(*args, **fields)
        assert answer["status"] == "success", answer
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in answer["images"]]

    def left(self) -> list[str]:
        """What stays behind: files of the temp folder, prompts of the history and of the queue."""
        base = folders(self.server)
        files = [str(path) for path in (base / "temp").rglob("*") if path.is_file()]
        queue = self.server.get("/queue")
        return [*files, *self.server.get("/history"), *queue["queue_running"], *queue["queue_pending"]]


def vae_of(checkpoint: Path) -> bytes:
    """The VAE of a checkpoint as a file of its own, its last weights turned around."""
    content = checkpoint.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    tensors, out = {}, b""
    for name, tensor in header.items():
        if name.startswith("first_stage_model."):
            begin, end = tensor["data_offsets"]
            part = bytearray(data[begin:end])
            if name.endswith("taesd_decoder.0.weight") or "decoder.1.weight" in name:
                part[1::2] = bytes(byte ^ 0x80 for byte in part[1::2])  # the sign of half-precision numbers
            offsets = [len(out), len(out) + len(part)]
            tensors[name.removeprefix("first_stage_model.")] = {**tensor, "data_offsets": offsets}
            out += part
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + out


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkServer]:
    tmp = tmp_path_factory.mktemp("link")
    (tmp / "state").mkdir()
    (tmp / "state" / "settings.json").write_text('{"link_generate": true}', encoding="utf-8")
    for server in start(tmp):
        made = LinkServer(server)
        models = folders(server) / "models"
        for name in ("loras", "vae", "embeddings"):
            (models / name).mkdir(exist_ok=True)
        paths = {
            "model": models / "checkpoints" / "sub" / "random weights.safetensors",
            "lora": models / "loras" / "bent lines.safetensors",
        }
        paths["model"].parent.mkdir()
        where = Path(os.environ["COMFYUI_PATH"])
        maker = Path(__file__).parent / "random_weights.py"
        command = [comfyui_python(where), str(maker), str(where), str(paths["model"]), str(paths["lora"])]
        subprocess.run(command, cwd=where, check=True, capture_output=True, timeout=300)
        paths["vae"], paths["broken"] = models / "vae" / "turned.safetensors", models / "checkpoints" / "b.safetensors"
        paths["vae"].write_bytes(vae_of(paths["model"]))
        paths["broken"].write_bytes(header_only(TENSORS["sd1"]))
        made.hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
        made.ask(params=PARAMS)
        yield made
        log = server.log.read_text(encoding="utf-8", errors="replace")
        assert "lora key not loaded" not in log and "missing keys" not in log and "unet missing" not in log


def cores_graph(lora: float = 0.0) -> dict[str, Any]:
    """What PARAMS ask, in core's nodes and numbers, written by hand."""
    clip: Any = ["1", 1]
    graph: dict[str, Any] = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": os.path.join("sub", "random weights.safetensors")}},
        "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["1", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "core"}},
    }  # fmt: skip
    model: Any = ["1", 0]
    if lora:
        weights = {"lora_name": "bent lines.safetensors", "strength_model": lora, "strength_clip": lora}
        graph["2"] = {"class_type": "LoraLoader", "inputs": {"model": model, "clip": clip, **weights}}
        model, clip = ["2", 0], ["2", 1]
    for node, text in (("4", PARAMS["prompt"]), ("5", PARAMS["negativePrompt"])):
        graph[node] = {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": clip}}
    graph["7"] = {
        "class_type": "KSampler",
        "inputs": {
            "seed": PARAMS["seed"], "steps": 2, "cfg": 5.5, "sampler_name": "dpmpp_2m", "scheduler": "karras",
            "denoise": 1.0, "model": model, "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["6", 0],
        },
    }  # fmt: skip
    return graph


def cores_picture(link: LinkServer, **how: float) -> np.ndarray:
    run = asyncio.run(link.server.run(cores_graph(**how)))
    assert not run.error, run.error
    (saved,) = run.history["outputs"]["9"]["images"]
    link.server.post(link.server.url + "/history", {"clear": True})
    content = link.server.get("/view?" + urllib.parse.urlencode(saved))
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_rooms_picture_is_the_one_that_cores_own_nodes_make(link: LinkServer):
    answer = link.ask(params=PARAMS)
    assert answer["status"] == "success" and answer["params"] == PARAMS and answer["notes"] == []
    (picture,) = link.pictures(params=PARAMS)
    assert (picture == cores_picture(link)).all()
    assert link.left() == []


def test_a_lora_acts_with_its_strength_and_so_does_its_tag(link: LinkServer):
    networks = [{"type": "lora", "hash": link.hashes["lora"][:10].upper(), "name": "x", "strength": 0.7}]
    (picture,) = link.pictures(params=PARAMS, additionalNetworks=networks)
    wanted = cores_picture(link, lora=0.7)
    (tagged,) = link.pictures(params={**PARAMS, "prompt": f"{PARAMS['prompt']}, <lora:Bent Lines:0.7>"})
    assert (picture == wanted).all() and (tagged == wanted).all()
    assert (picture != cores_picture(link)).any()


def test_a_vae_is_taken_by_its_hash(link: LinkServer):
    (own,), (other,) = link.pictures(params=PARAMS), link.pictures(params=PARAMS, vae=link.hashes["vae"])
    assert own.shape == other.shape and (own != other).any()


def test_quantity_times_batch_size_pictures_come_and_the_first_is_that_of_the_seed(link: LinkServer):
    pictures = link.pictures(params=PARAMS, quantity=2, batchSize=2)
    (alone,), (third,) = link.pictures(params=PARAMS), link.pictures(params={**PARAMS, "seed": PARAMS["seed"] + 2})
    assert len({picture.tobytes() for picture in pictures}) == len(pictures) == 4
    # A batch is not sampled bit by bit as its first picture alone is.
    assert np.abs(pictures[0].astype(int) - alone).mean() < 2 and np.abs(pictures[2].astype(int) - third).mean() < 2


def test_a_random_seed_is_told_and_makes_the_picture_again(link: LinkServer):
    answer = link.ask(params={**PARAMS, "seed": -1})
    seed = answer["params"]["seed"]
    assert 0 <= seed < 2**32 and link.ask(params={**PARAMS, "seed": seed})["images"] == answer["images"]


def source() -> tuple[np.ndarray, str]:
    pixels = np.random.default_rng(3).integers(0, 255, (80, 96, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return pixels, base64_of(out.getvalue())


@pytest.mark.parametrize("masked_only", [False, True])
def test_only_what_the_mask_marks_is_painted_anew(link: LinkServer, masked_only: bool):
    pixels, init = source()
    mask = base64_of(png((96, 80), "black", box=(30, 20, 60, 50)))
    params = {**PARAMS, "initImage": init, "maskImage": mask, "maskedOnly": masked_only, "denoiseStrength": 0.6}
    if not masked_only:
        params |= {"width": 96, "height": 80}
    (picture,) = link.pictures("image:img2img", params=params)
    changed = (picture != pixels).any(axis=2)
    assert picture.shape == pixels.shape and not changed[:20].any() and not changed[:, 60:].any()
    assert changed[20:50, 30:60].mean() > 0.9 and changed.sum() == changed[20:50, 30:60].sum()
    assert link.left() == []


def test_how_much_of_a_picture_stays_hangs_on_the_strength(link: LinkServer):
    pixels, init = source()

    def differs(strength: float) -> float:
        params = {**PARAMS, "width": 96, "height": 80, "initImage": init, "denoiseStrength": strength}
        (picture,) = link.pictures("image:img2img", params=params)
        return float(np.abs(picture.astype(int) - pixels).mean())

    none, half, again = differs(0.0), differs(0.5), differs(0.5)
    assert none != half and half == again


def test_a_picture_is_loaded_from_the_sites_address_and_from_no_other(link: LinkServer):
    ports = urllib.parse.urlsplit(link.server.sandbox).port or 0
    with urllib.request.urlopen(f"http://127.0.0.1:{ports + 1}/api/v1/images?limit=20") as answer:
        address = next(item["url"] for item in json.loads(answer.read())["items"] if item["type"] == "image")
    params = {**PARAMS, "denoiseStrength": 0.5}
    (picture,) = link.pictures("image:img2img", params={**params, "initImage": address})
    assert picture.shape == (64, 64, 3)
    unknown = re.sub("[0-9a-f-]{36}", str(uuid.uuid4()), address)
    for other in ("https://evil.example/x.png", link.server.url + "/system_stats", unknown):
        answer = link.ask("image:img2img", params={**params, "initImage": other})
        assert answer["status"] == "error" and "initImage" in answer["error"] and other not in answer["error"], answer


def test_a_batch_begins_from_the_same_picture(link: LinkServer):
    _, init = source()
    mask = base64_of(png((96, 80), "black", box=(30, 20, 60, 50)))
    params = {**PARAMS, "initImage": init, "maskImage": mask}
    pictures = link.pictures("image:img2img", batchSize=2, params={**params, "width": 96, "height": 80})
    assert len({picture.tobytes() for picture in pictures}) == 2 and (pictures[0][:20] == pictures[1][:20]).all()


def test_a_cancel_while_core_samples_stops_it_and_nothing_else(link: LinkServer):
    answers: list[dict[str, Any]] = []
    params = {**PARAMS, "width": 256, "height": 256, "steps": 150}
    thread = threading.Thread(target=lambda: answers.append(link.ask(id="to-cancel", params=params)))
    thread.start()
    until(lambda: link.server.get("/queue")["queue_running"], "the prompt runs")
    time.sleep(1.0)
    started = time.monotonic()
    link.server.post(link.server.url + "/link_direct/cancel", {"id": "to-cancel"})
    thread.join(60)
    assert answers[0]["status"] == "canceled" and time.monotonic() - started < 30
    until(lambda: link.left() == [], "nothing is left")
    assert len(link.pictures(params=PARAMS)) == 1


def test_a_cancel_while_it_waits_leaves_the_prompt_that_runs_alone(link: LinkServer):
    slow = {"1": {"class_type": "TestSlowSync", "inputs": {"seconds": 3.0, "salt": 7}}}
    queued = link.server.post(link.server.url + "/prompt", {"prompt": slow})["prompt_id"]
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(link.ask(id="waits", params=PARAMS)))
    thread.start()
    until(lambda: link.server.get("/queue")["queue_pending"], "the prompt waits")
    link.server.post(link.server.url + "/link_direct/cancel", {"id": "waits"})
    thread.join(30)
    assert answers[0]["status"] == "canceled"
    until(lambda: queued in link.server.get("/history"), "the person's prompt ends")
    assert link.server.get("/history")[queued]["status"]["status_str"] == "success"
    link.server.post(link.server.url + "/history", {"clear": True})
    assert link.left() == []


def test_a_person_who_stops_it_at_comfyui_is_heard(link: LinkServer):
    answers: list[dict[str, Any]] = []
    params = {**PARAMS, "width": 256, "height": 256, "steps": 150}
    thread = threading.Thread(target=lambda: answers.append(link.ask(params=params)))
    thread.start()
    until(lambda: link.server.get("/queue")["queue_running"], "the prompt runs")
    time.sleep(1.0)
    link.server.post(link.server.url + "/interrupt", {})
    thread.join(60)
    assert answers[0]["error"] == "The pictures were stopped at this ComfyUI." and link.left() == []


@pytest.mark.parametrize(
    ("model", "fields", "sentence"),
    [
        ("lora", {}, "is in loras and no model"),
        ("broken", {}, "its node CheckpointLoaderSimple failed. Its console says why."),
        ("model", {"params": {**PARAMS, "sampler": "RES 2s"}}, "it has no sampler_name 'res_2s'"),
        ("model", {"params": {**PARAMS, "width": 100}}, "a multiple of 8 from 64 to 2048"),
        ("model", {"quantity": 9}, "from 1 to 8"),
    ],
)
def test_what_cannot_be_made_is_an_error_without_a_path(link: LinkServer, model: str, fields: Any, sentence: str):
    answer = link.ask(**{"model": link.hashes[model], "params": PARAMS, **fields})
    assert answer["status"] == "error" and sentence in answer["error"], answer
    assert str(folders(link.server)) not in json.dumps(answer)
    assert link.left() == []


def test_a_setting_that_says_no_holds_at_once(link: LinkServer):
    file = link.server.state / "settings.json"
    file.write_text('{"link_generate": false}', encoding="utf-8")
    try:
        assert "link_generate is off" in link.ask(params=PARAMS)["error"]
    finally:
        file.write_text('{"link_generate": true}', encoding="utf-8")


FAMILIES = {
    "sd2": "checkpoints", "sdxl": "checkpoints", "inpainting": "checkpoints", "sdxl unet": "diffusion_models",
    "sd3": "diffusion_models", "flux1": "diffusion_models", "flux fill": "diffusion_models",
    "chroma": "diffusion_models", "qwen": "diffusion_models", "zimage": "diffusion_models",
}  # fmt: skip


@pytest.mark.parametrize("edits", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
async def test_core_takes_the_graph_of_every_family(link: LinkServer, tmp_path: Path, family: str, edits: bool):
    base = folders(link.server)
    room = Room(base)
    room.index = type(room.index)(tmp_path / "hashes.sqlite3")
    for path, kind in NEEDED.items():
        room.put(path, kind)
    model = room.put(f"{FAMILIES[family]}/of {family}.safetensors", family)
    lora = room.put("loras/a lora.safetensors", "lora")
    hypernet = room.put("hypernetworks/h.pt", content=b"pickle")
    room.look()
    networks = [{"type": "lora", "hash": lora}, {"type": "hypernet", "hash": hypernet, "strength": 0.5}]
    params = {**PARAMS, "clipSkip": 2}
    if edits:
        params |= {"initImage": base64_of(png((64, 64))), "maskImage": base64_of(png((64, 64), "white"))}
    kind = "image:img2img" if edits else "image:txt2img"
    await room.ask(kind, model=model, quantity=2, batchSize=2, additionalNetworks=networks, params=params)
    job = room.jobs[-1]
    for node, content in job.sources.items():
        (base / "input" / f"{node}.png").write_bytes(content)
        job.graph[node]["inputs"]["image"] = f"{node}.png"
    queued = link.server.post(link.server.url + "/prompt", {"prompt": job.graph})
    assert queued["node_errors"] == {}
    until(lambda: queued["prompt_id"] in link.server.get("/history"), "core gives up: the files hold no weights")
    entry = link.server.get("/history")[queued["prompt_id"]]
    assert entry["status"]["status_str"] == "error" and set(entry["prompt"][4]) == set(job.outputs)
    link.server.post(link.server.url + "/history", {"clear": True})


def until(is_so: Any, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
