"""Civitai Link in a real ComfyUI: paired once, then driven from the pretend site as a person's browser would."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Server, comfyui_python, start
from PIL import Image

pytestmark = pytest.mark.timeout(600)
LORA, CHECKPOINT_LORA, WRONG = 300001, 300003, 300077
CHECKPOINT_FILE, LORA_FILE = "randomWeights.safetensors", "bentLines.safetensors"
PICTURE = {"prompt": "a harbour at dawn", "negativePrompt": "blurry", "sampler": "DPM++ 2M Karras", "seed": 7, "steps": 2,
           "width": 64, "height": 64, "cfgScale": 4.5}  # fmt: skip


class Room:
    """A browser of the pretend site on this server, through the sandbox's control address."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.models = server.log.parent / "base" / "models"

    def do(self, what: str, **wish: Any) -> dict[str, Any]:
        """One act of the control address."""
        return self.server.post(self.server.sandbox + "/sandbox/link", {"do": what, **wish})

    def finish(self, kind: str, seconds: float = 60, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its end."""
        name = self.do("send", command={"type": kind, **fields})["id"]
        return self.wait(name, seconds)

    def wait(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The end of a command, however long a connection may be waited for."""
        request = urllib.request.Request(
            self.server.sandbox + "/sandbox/link",
            json.dumps({"do": "wait", "id": name, "seconds": seconds}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=seconds + 10) as answer:
            return json.loads(answer.read())

    def state(self) -> dict[str, Any]:
        """What the browser shows."""
        return self.do("state")

    def until(self, true: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """Wait until the browser shows something."""
        ends = time.monotonic() + seconds
        while not true(state := self.state()):
            assert time.monotonic() < ends, {**state, "statuses": "…"}
            time.sleep(0.2)
        return state

    def hash_of(self, file: Path) -> str:
        """SHA-256 of a file."""
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def log(self) -> list[dict[str, Any]]:
        """What passed through the relay."""
        with urllib.request.urlopen(self.server.sandbox + "/sandbox/link/log") as answer:
            return json.loads(answer.read())


def environment(server: Server, home: Path) -> dict[str, str]:
    """What a process of its own needs to speak to the pretend CivitAI."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CIVITAI_")}
    addresses = {f"CIVITAI_{name.removesuffix('_url').upper()}_URL": value for name, value in server.addresses.items()}
    return {**kept, **addresses, "CIVITAI_API_TOKEN": "SECRET-KEY-OF-THE-TESTS", "CIVITAI_BRIDGE_HOME": str(home)}


def bridge(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, on the server's state folder, as a person types it in another window."""
    command = [sys.executable, "-m", "civitai_bridge", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(server, server.state), capture_output=True, text=True, timeout=90
    )


def page(server: Server, path: str, body: dict[str, Any] | None = None) -> Any:
    """What the page asks, with the admin token."""
    token = json.loads((server.state / "credentials.json").read_text())["admin_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/civitai_bridge/{path}", data, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A server with a checkpoint and a LoRA of random weights, paired with the pretend site by code."""
    for server in start(tmp_path_factory.mktemp("link")):
        room = Room(server)
        (room.models / "loras").mkdir(exist_ok=True)
        where = Path(os.environ["COMFYUI_PATH"])
        maker = Path(__file__).parent / "random_weights.py"
        made = [str(room.models / "checkpoints" / CHECKPOINT_FILE), str(room.models / "loras" / LORA_FILE)]
        python = comfyui_python(where)
        subprocess.run([python, str(maker), str(where), *made], cwd=where, check=True, capture_output=True, timeout=300)
        yield room


def test_a_code_pairs_this_comfyui_once(room: Room):
    code = room.do("pair")["code"]
    assert page(room.server, "link")["paired"] is False
    page(room.server, "link/pair", {"code": code})
    room.until(lambda state: state["linked"])
    kept = room.server.state / "link.json"
    assert len(json.loads(kept.read_text())["key"]) == 128
    assert os.name == "nt" or kept.stat().st_mode & 0o777 == 0o600
    said = room.server.log.read_text() + json.dumps(page(room.server, "link"))
    assert code not in said and json.loads(kept.read_text())["key"] not in said
    assert "Linked" in bridge(room.server, "link", "status").stdout or page(room.server, "link")["paired"]


def test_the_list_names_what_lies_in_the_folders(room: Room):
    hashes = {
        room.hash_of(path)
        for path in (room.models / "checkpoints" / CHECKPOINT_FILE, room.models / "loras" / LORA_FILE)
    }
    state = room.until(lambda state: hashes <= {each["hash"] for each in state["resources"]}, 200)
    assert {each["type"] for each in state["resources"]} == {"Checkpoint", "LORA"}
    assert room.finish("resources:list", types=["lora"])["resources"][0]["type"] == "LORA"


def test_a_model_is_added_shown_and_removed_to_the_trash(room: Room):
    (name,) = room.do("add", versions=[LORA])["ids"]
    assert room.wait(name)["status"] == "success"
    file = room.models / "loras" / "storybookLight_v2.safetensors"
    sha256 = room.hash_of(file)
    room.until(lambda state: sha256 in {each["hash"] for each in state["resources"] if not each.get("downloading")})
    assert file.name in room.server.get("/models/loras")
    entry = next(each for each in room.state()["resources"] if each["hash"] == sha256)
    assert room.finish("resources:remove", resource={**entry, "modelName": "Storybook Light"})["status"] == "success"
    room.until(lambda state: sha256 not in {each["hash"] for each in state["resources"]})
    assert not file.exists() and file.name not in room.server.get("/models/loras")
    assert "storybookLight_v2" in bridge(room.server, "link", "trash", "list").stdout


def test_the_documents_form_adds_several_and_cancels_some(room: Room):
    room.server.control(site={"storage_troubles": ["hang", "hang"]})
    (name,) = room.do("add", versions=[LORA, CHECKPOINT_LORA], array=True)["ids"]
    room.until(lambda state: any(each.get("status") == "processing" for each in state["statuses"].get(name, ())))
    listed = room.finish("activities:list", quantity=1)
    assert [each["id"] for each in listed["activities"]] == [name]
    cancelled = room.do("send", command={
        "type": "resources:add:cancel", "id": name,
        "resources": [{"type": "lora", "hash": each["hash"]} for each in room.state()["statuses"][name][0]["resources"]],
    })  # fmt: skip
    assert cancelled["id"] == name
    assert room.wait(name)["status"] in ("canceled", "success")
    assert room.finish("activities:clear")["activities"] == []


def test_what_cannot_be_had_ends_in_a_sentence(room: Room):
    (wrong,) = room.do("add", versions=[WRONG])["ids"]
    end = room.wait(wrong)
    assert end["status"] == "error" and str(room.models) not in end["error"]
    assert room.finish("vault:sync")["status"] == "error"
    assert room.finish("activities:cancel", activityId="nobody's")["status"] == "error"


def test_pictures_are_made_only_where_a_person_allows_it(room: Room):
    model = room.hash_of(room.models / "checkpoints" / CHECKPOINT_FILE)
    end = room.finish("image:txt2img", quantity=1, batchSize=1, model=model, params=PICTURE)
    assert end["status"] == "error" and "link_generate" in end["error"]


def pictures(end: dict[str, Any]) -> list[Image.Image]:
    assert end["status"] == "success", end
    return [Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2] or text))) for text in end["images"]]


def test_text_becomes_pictures_on_this_comfyui(room: Room):
    assert bridge(room.server, "settings", "link_generate", "true").returncode == 0
    model = room.hash_of(room.models / "checkpoints" / CHECKPOINT_FILE)
    networks = [{"type": "lora", "hash": room.hash_of(room.models / "loras" / LORA_FILE), "name": "x", "strength": 0.5}]
    asked = {"quantity": 2, "batchSize": 1, "model": model, "additionalNetworks": networks, "params": PICTURE}
    first, second = pictures(room.finish("image:txt2img", 200, **asked))
    assert first.size == second.size == (64, 64) and first.tobytes() != second.tobytes()
    again = pictures(room.finish("image:txt2img", 200, **asked))
    assert [each.tobytes() for each in again] == [first.tobytes(), second.tobytes()]


def test_a_picture_becomes_another_one_under_a_mask(room: Room):
    def encoded(image: Image.Image) -> str:
        out = io.BytesIO()
        image.save(out, "PNG")
        return base64.b64encode(out.getvalue()).decode()

    start_picture = encoded(Image.new("RGB", (64, 64), (200, 40, 40)))
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    model = room.hash_of(room.models / "checkpoints" / CHECKPOINT_FILE)
    params = {
        **PICTURE,
        "initImage": start_picture,
        "maskImage": encoded(mask),
        "denoiseStrength": 0.8,
        "maskedOnly": False,
    }
    (changed,) = pictures(room.finish("image:img2img", 200, quantity=1, batchSize=1, model=model, params=params))
    assert changed.size == (64, 64) and len(changed.convert("RGB").getcolors(4096) or ()) > 10
    params["maskedOnly"] = True
    (part,) = pictures(room.finish("image:img2img", 200, quantity=1, batchSize=1, model=model, params=params))
    assert part.convert("RGB").getpixel((2, 32)) == (200, 40, 40) != part.convert("RGB").getpixel((60, 32))


def test_the_person_can_read_what_the_room_asked_for(room: Room):
    text = bridge(room.server, "link", "log").stdout
    assert "resources:add" in text and "image:txt2img" in text
    assert room.state()["complaints"] == []


def test_the_agent_comes_back_when_the_relay_does(room: Room):
    room.do("restart", away=2)
    room.until(lambda state: state["linked"], 60)
    room.do("sever", drop=True)
    time.sleep(0.5)
    room.until(lambda state: state["linked"], 60)
    assert room.finish("activities:list")["status"] == "success"


def test_unpairing_leaves_the_room_and_stops_the_agent(room: Room):
    assert bridge(room.server, "link", "unpair").returncode == 0
    room.until(lambda state: state["presence"]["sd"] == 0)
    assert "key" not in json.loads((room.server.state / "link.json").read_text() or "{}")


def test_a_process_of_its_own_obeys_every_command_without_comfyui(room: Room, tmp_path: Path):
    home, models = tmp_path / "home", tmp_path / "models"
    (models / "loras").mkdir(parents=True)
    paired = room.do("pair")
    own = environment(room.server, home) | {"CIVITAI_BRIDGE_MODELS": str(models)}
    base = [sys.executable, "-m", "civitai_bridge", "link"]
    entered = subprocess.run(
        [*base, "pair", paired["code"]], cwd=ROOT, env=own, capture_output=True, text=True, timeout=90
    )
    assert entered.returncode == 0 and "Paired" in entered.stdout, entered.stdout + entered.stderr
    with subprocess.Popen(
        [*base, "run"], cwd=ROOT, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            room.until(lambda state: state["linked"])
            (name,) = room.do("add", versions=[LORA])["ids"]
            assert room.wait(name)["status"] == "success"
            file = models / "loras" / "storybookLight_v2.safetensors"
            sha256 = room.hash_of(file)
            assert sha256 in {each["hash"] for each in room.finish("resources:list")["resources"]}
            assert [each["id"] for each in room.finish("activities:list")["activities"]] == [name]
            removed = room.finish("resources:remove", resources=[{"type": "lora", "hash": sha256}])
            assert removed["status"] == "success" and not file.exists()
            assert (
                room.finish("resources:add:cancel", resources=[{"type": "lora", "hash": sha256}])["status"] == "error"
            )
            assert room.finish("activities:cancel", activityId=name)["status"] == "error"
            assert room.finish("activities:clear")["activities"] == []
            for kind in ("image:txt2img", "image:img2img"):
                end = room.finish(kind, quantity=1, batchSize=1, model=sha256, params=PICTURE)
                assert end["status"] == "error" and len(end["error"]) > 20
            assert room.state()["complaints"] == []
        finally:
            process.terminate()
            process.wait(20)
