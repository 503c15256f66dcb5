"""Image Data, Read Image, Generation Settings, Apply LoRAs, LoRA Stack and Save Image on the stand-in and the sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pack.civitai_bridge.app import Tuning
from pack.civitai_bridge.errors import BadInput, FileMissing, NotFound, UnknownReference
from pack.civitai_bridge.metadata.generation import GenerationData, UsedResource, loras_of
from pack.civitai_bridge.metadata.read import read_file
from pack.civitai_bridge.network.background import background_loop
from pack.civitai_bridge.orchestration.timings import Timings
from pack.civitai_bridge.sandbox import Embedded


@pytest.fixture
def sandbox(embedded: Embedded, monkeypatch: pytest.MonkeyPatch, comfy: Any) -> Any:
    monkeypatch.setenv("CIVITAI_ORCHESTRATION_URL", embedded.sandbox.orchestration_url)
    monkeypatch.setenv("CIVITAI_SITE_URL", embedded.sandbox.site_url)
    monkeypatch.setenv("CIVITAI_API_TOKEN", "a-key")
    return embedded.sandbox


def run(node: Any, **inputs: Any) -> Any:
    """One node in a prompt loop of its own, as core runs it."""
    result = node.execute(**inputs)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result


def hidden(node: Any, **values: Any) -> Any:
    return type("Clone", (node,), {"hidden": type("Hidden", (), {"unique_id": "9", **values})})


def lora(name: str = "", **more: Any) -> dict[str, Any]:
    return {"air": "", "strength": 0.8, "triggerWord": "", "name": name, **more}


def put(comfy: Any, folder: str, name: str, content: bytes = b"x") -> Path:
    path = comfy.home / "models" / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- from CivitAI and from files


def test_an_image_becomes_sockets(nodes: Any, sandbox: Any):
    out = run(nodes.image_data.CivitaiBridgeImageData, reference="900001")
    generation, prompt, negative, model, loras, report = out.args
    assert generation.seed == 11 and model.startswith("urn:air:") and prompt and isinstance(negative, str)
    assert [(one["version_id"], one["strength"]) for one in loras] == [(300001, 0.7)]
    assert "tRPC" in report or "CivitAI" in report
    assert out.ui == {"text": [report]}


def test_network_tags_do_not_stay_in_the_prompt(nodes: Any, sandbox: Any):
    out = run(nodes.image_data.CivitaiBridgeImageData, reference="900002")
    assert "<lora:" in out.args[0].prompt and "<lora:" not in out.args[1]
    assert len({(one["name"], one["version_id"]) for one in out.args[4]}) == len(out.args[4]) == 3


@pytest.mark.parametrize(
    ("reference", "error"), [("https://example.com/images/1", UnknownReference), ("899999", NotFound), ("", BadInput)]
)
def test_what_is_no_image_of_civitai_is_a_sentence(nodes: Any, sandbox: Any, reference: str, error: type):
    with pytest.raises((error, BadInput)):
        run(nodes.image_data.CivitaiBridgeImageData, reference=reference)


def test_a_file_becomes_the_same_sockets_and_its_picture(nodes: Any, sandbox: Any, comfy: Any):
    np = pytest.importorskip("numpy")
    pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    from pack.civitai_bridge.pictures import encode

    text = "a lighthouse <lora:harbour ink:0.5>\nNegative prompt: fog\nSteps: 30, Sampler: DPM++ 2M Karras, CFG scale: 6, Seed: 7"
    content = encode(np.zeros((64, 96, 3), np.float32), "png", texts={"parameters": text})
    (comfy.folder("input") / "a picture.png").write_bytes(content)
    node = nodes.image_data.CivitaiBridgeReadImage
    assert node.define_schema().inputs[0].options["options"] == ["a picture.png"]
    out = run(node, image="a picture.png")
    generation, prompt, negative, _, loras, report, picture = out.args
    assert (prompt, negative, generation.steps) == ("a lighthouse", "fog", 30)
    assert [(one["name"], one["strength"]) for one in loras] == [("harbour ink", 0.5)]
    assert tuple(picture.shape) == (1, 64, 96, 3) and "itself says" in report
    assert node.validate_inputs("gone.png") != True  # noqa: E712 - a sentence is true as well
    with pytest.raises(BadInput):
        run(node, image="../../etc/passwd")


def test_a_pasted_text_gives_what_a_picture_with_it_gives(nodes: Any, sandbox: Any):
    text = "a lighthouse <lora:harbour ink:0.5>\nNegative prompt: fog\nSteps: 30, Sampler: Euler a, Seed: 7"
    out = run(nodes.read_text.CivitaiBridgeReadText, text=text)
    generation, prompt, negative, _, loras, report = out.args
    assert (prompt, negative, generation.steps, generation.seed) == ("a lighthouse", "fog", 30, 7)
    assert [(one["name"], one["strength"]) for one in loras] == [
        ("harbour ink", 0.5)
    ] and "The text itself says" in report
    assert run(nodes.read_text.CivitaiBridgeReadText, text="").args[5].endswith("The text is empty.")


# --- settings


def test_settings_are_kseamplers_own_and_stand_ins_are_named(nodes: Any, sandbox: Any):
    data = GenerationData(
        seed=5,
        steps=30,
        cfg=6.5,
        sampler="dpmpp_2m",
        scheduler="karras",
        width=640,
        height=832,
        clip_skip=2,
        denoise=1.0,
    )
    *values, report, guidance = run(nodes.image_data.CivitaiBridgeGenerationSettings, generation=data).args
    assert (
        guidance == 3.5
        and values == [5, 30, 6.5, "dpmpp_2m", "karras", 640, 832, 1.0, 2]
        and report == "Everything was said."
    )
    *values, report, guidance = run(
        nodes.image_data.CivitaiBridgeGenerationSettings, generation=GenerationData(sampler="Foo++", guidance=2.5)
    ).args
    assert guidance == 2.5
    assert values == [0, 20, 7.0, "euler", "normal", 1024, 1024, 1.0, 1]
    assert "'Foo++' is not known to this ComfyUI; euler stands in" in report and "Seed is not said" in report


# --- LoRAs


def test_loras_are_found_by_exact_name_and_applied_with_both_weights(nodes: Any, sandbox: Any, comfy: Any):
    put(comfy, "loras", "inks/Harbour Ink.safetensors")
    put(comfy, "loras", "harbour ink 2.safetensors")
    wire = [lora("harbour ink", strength=0.8, strength_clip=0.5), lora("nobody", strength=0.0)]
    out = run(nodes.loras.CivitaiBridgeApplyLoras, model="m", clip="c", loras=wire)
    assert comfy.applied == [("inks/Harbour Ink.safetensors", 0.8, 0.5)]
    assert out.args[:2] == ("m+inks/Harbour Ink.safetensors", "c+inks/Harbour Ink.safetensors")
    assert "Harbour Ink.safetensors, by " in out.args[2] and "nobody: off (weight 0)" in out.args[2]


def test_a_part_of_a_name_never_counts(nodes: Any, sandbox: Any, comfy: Any):
    put(comfy, "loras", "my ink v2.safetensors")
    with pytest.raises(FileMissing, match="1 of 1 LoRAs cannot be applied"):
        run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=[lora("ink")])


def test_two_files_of_one_name_are_not_guessed(nodes: Any, sandbox: Any, comfy: Any):
    put(comfy, "loras", "a/ink.safetensors", b"one")
    put(comfy, "loras", "b/ink.safetensors", b"other")
    with pytest.raises(BadInput, match="2 files called ink"):
        run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=[lora("ink")])


def test_what_is_missing_is_said_before_the_checkpoint_is_asked_for(nodes: Any, sandbox: Any, comfy: Any):
    node = nodes.loras.CivitaiBridgeApplyLoras
    with pytest.raises(BadInput, match="cannot be applied"):
        asyncio.run(node.check_lazy_status(loras=[lora("nowhere")], missing="error", model=None, clip=None))
    put(comfy, "loras", "here.safetensors")
    asked = node.check_lazy_status(loras=[lora("here")], missing="error", model=None, clip=None)
    assert asyncio.run(asked) == ["model", "clip"]
    asked = node.check_lazy_status(loras=[lora("here")], missing="error", model="m")
    assert asyncio.run(asked) == []


def test_missing_ones_are_left_out_only_when_the_graph_says_so(nodes: Any, sandbox: Any, comfy: Any):
    put(comfy, "loras", "here.safetensors")
    out = run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=[lora("nowhere"), lora("here")], missing="skip")
    assert [name for name, *_ in comfy.applied] == ["here.safetensors"] and "nowhere at 0.8: not here" in out.args[2]


def test_a_graph_downloads_only_when_a_person_allowed_it(nodes: Any, sandbox: Any, comfy: Any):
    with pytest.raises(Exception, match="graph_downloads"):
        run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=[lora("x", version_id=300001)], missing="download")


def test_a_stack_for_others(nodes: Any, sandbox: Any, comfy: Any):
    put(comfy, "loras", "sub/here.safetensors")
    out = run(nodes.loras.CivitaiBridgeLoraStack, loras=[lora("here", strength=-0.5, strength_clip=0.25)])
    assert out.args[0] == [("sub/here.safetensors", -0.5, 0.25)] and out.args[1].startswith("<lora:here:")
    with pytest.raises(BadInput):
        run(nodes.loras.CivitaiBridgeLoraStack, loras=[lora("nowhere")])
    out = run(nodes.loras.CivitaiBridgeLoraStack, loras=[lora("nowhere"), lora("here")], missing="skip")
    assert len(out.args[0]) == 1 and "nowhere at 0.8: not here" in out.ui["text"][0]


# --- saving

GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl/base.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red boat", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "fog", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "5": {
        "class_type": "KSampler",
        "inputs": {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0], "seed": 99,
                   "steps": 12, "cfg": 5.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0},
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 99}},
    "9": {"class_type": "CivitaiBridgeSaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
}  # fmt: skip


@pytest.fixture
def images() -> Any:
    torch = pytest.importorskip("torch", reason="make test installs a CPU build where there is one")
    return torch.rand((2, 64, 64, 3))


def saved(comfy: Any, out: Any) -> list[Path]:
    return [comfy.folder("output") / one["subfolder"] / one["filename"] for one in out.ui["images"]]


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_a_local_picture_tells_what_its_graph_did(nodes: Any, sandbox: Any, comfy: Any, images: Any, kind: str):
    node = hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=GRAPH, extra_pnginfo={"workflow": {"nodes": []}})
    out = run(node, images=images, filename_prefix="boats/red", format=kind)
    first, second = saved(comfy, out)
    assert first.name.startswith("red_00001_") and second.name.startswith("red_00002_")
    data = read_file(first)
    assert (data.prompt, data.negative_prompt, data.seed, data.steps, data.sampler) == (
        "a red boat",
        "fog",
        99,
        12,
        "euler",
    )
    assert json.loads(data.texts["prompt"] if kind == "png" else data.texts["Model"].partition(":")[2]) == GRAPH
    assert not list(first.parent.glob(".*"))


def test_nothing_is_overwritten(nodes: Any, sandbox: Any, comfy: Any, images: Any):
    node = hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=GRAPH)
    (comfy.folder("output") / "x_00001_.png").write_bytes(b"somebody's")
    (comfy.folder("output") / "x_00002_.png").write_bytes(b"somebody's")
    out = run(node, images=images, filename_prefix="x")
    assert [path.name for path in saved(comfy, out)] == ["x_00003_.png", "x_00004_.png"]
    assert (comfy.folder("output") / "x_00001_.png").read_bytes() == b"somebody's"


def test_disable_metadata_is_obeyed(nodes: Any, sandbox: Any, comfy: Any, images: Any):
    comfy.no_metadata = True
    node = hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=GRAPH, extra_pnginfo={"workflow": {"nodes": []}})
    for kind in ("png", "jpeg"):
        (path, _) = saved(comfy, run(node, images=images, filename_prefix="x", format=kind))
        assert read_file(path).texts == {}


def test_a_fleet_picture_tells_what_the_fleet_did(nodes: Any, sandbox: Any, comfy: Any, images: Any):
    wired = GenerationData(
        prompt="a red boat", seed=7, steps=20, sampler="euler", model_air="urn:air:sdxl:checkpoint:civitai:101055@128078",
        model_version_id=128078, model_name="SD XL", workflow_id="7-1", cost=16.0, arrived=(0, 2), source="sandbox",
        networks=(UsedResource("urn:air:sdxl:lora:civitai:1@300001", 0.5, "Harbour Ink", version_id=300001),),
    )  # fmt: skip
    graph = {
        "1": {"class_type": "CivitaiBridgeGenerate", "inputs": {"prompt": "x"}},
        "9": {"class_type": "CivitaiBridgeSaveImage", "inputs": {"images": ["1", 0], "generation": ["1", 2]}},
    }
    node = hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=graph)
    out = run(node, images=images, filename_prefix="x", generation=wired)
    first, second = (read_file(path) for path in saved(comfy, out))
    assert (first.seed, second.seed) == (7, 9), "picture i was made with seed + i"
    assert (first.workflow_id, first.cost) == ("7-1", 16.0) and "a red boat" in first.prompt
    assert "CivitAI will recognise every resource (2)" in out.ui["text"][0] and "SANDBOX" in out.ui["text"][0]


def test_a_lora_that_only_a_name_tells_is_written_with_the_hash_of_the_file_that_was_applied(
    nodes: Any, sandbox: Any, comfy: Any, images: Any
):
    content = put(comfy, "loras", "inks/bent lines.safetensors", b"bytes of its own").read_bytes()
    put(comfy, "loras", "other.safetensors", b"other bytes")
    catalog = background_loop().start(nodes.services.services().catalog()).result(20)
    background_loop().start(catalog.scan(identified=False)).result(20)
    unapplied = UsedResource("", 0.0, "other", file="other.safetensors")
    wired = GenerationData(prompt="a red boat", seed=1, networks=(UsedResource("", 0.5, "bent lines"), unapplied))
    apply = run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=loras_of(wired), missing="skip")
    graph = {
        "2": {"class_type": "CivitaiBridgeReadText", "inputs": {}},
        "3": {"class_type": "CivitaiBridgeApplyLoras", "inputs": {"loras": ["2", 4], "model": ["1", 0]}},
        "4": {"class_type": "KSampler", "inputs": {"model": ["3", 0], "seed": 1, "steps": 2}},
        "9": {"class_type": "CivitaiBridgeSaveImage", "inputs": {"images": ["4", 0], "generation": ["2", 0]}},
    }
    node = hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=graph)
    out = run(node, images=images, filename_prefix="x", generation=wired)
    assert "bent lines at 0.5" in apply.args[2] and "By hash, if CivitAI knows it: bent lines" in out.ui["text"][0]
    (network,) = read_file(saved(comfy, out)[0]).networks
    assert (network.name, network.hash) == ("bent lines", hashlib.sha256(content).hexdigest()[:10])
    assert "inks" not in read_file(saved(comfy, out)[0]).texts["parameters"]


def test_where_graph_and_wire_disagree_is_said(nodes: Any, sandbox: Any, comfy: Any, images: Any):
    node = hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=GRAPH)
    out = run(
        node, images=images, filename_prefix="x", generation=GenerationData(prompt="a red boat", seed=1, steps=12)
    )
    assert "the seed 1, the graph used 99" in out.ui["text"][0]
    assert read_file(saved(comfy, out)[0]).seed == 99


def test_a_full_disk_leaves_no_half_picture(
    nodes: Any, sandbox: Any, comfy: Any, images: Any, monkeypatch: pytest.MonkeyPatch
):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    node = hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=GRAPH)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Exception, match="No space left on device"):
            run(node, images=images, filename_prefix="x")
    assert list(comfy.folder("output").iterdir()) == []


# --- the findings of a review


def test_a_file_of_the_right_name_with_other_bytes_is_never_applied(nodes: Any, sandbox: Any, comfy: Any):
    put(comfy, "loras", "ink.safetensors", b"other bytes")
    desk = background_loop().start(nodes.services.services().catalog()).result(20)
    background_loop().start(desk.scan(identified=False)).result(20)
    for hash_ in ("0123456789", "0123456789ab", "0" * 64):
        with pytest.raises(BadInput, match="cannot be applied"):
            run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=[lora("ink", hash=hash_)])
    assert comfy.applied == []


def test_a_title_on_civitai_is_no_file_name(nodes: Any, sandbox: Any, comfy: Any):
    put(comfy, "loras", "Slow Pan.safetensors")
    with pytest.raises(BadInput, match="cannot be applied"):
        run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=[lora("Slow Pan", version_id=399999)])


def test_one_file_that_is_named_twice_is_applied_once_with_the_weight_that_was_written(
    nodes: Any, sandbox: Any, comfy: Any
):
    put(comfy, "loras", "deep/storybook.safetensors")
    wire = [
        lora("deep/storybook", strength=1.0, source="resources"),
        lora("storybook", strength=0.8, source="prompt"),
    ]
    out = run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=wire)
    assert comfy.applied == [("deep/storybook.safetensors", 0.8, 0.0)]
    assert "the same file as storybook" in out.args[2]


def test_another_pictures_workflow_is_not_written(nodes: Any, sandbox: Any, comfy: Any, images: Any):
    wired = GenerationData(prompt="a fleet", seed=7, steps=20, workflow_id="7-1", cost=16.0, arrived=(0,))
    node = hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=GRAPH)
    out = run(node, images=images, filename_prefix="x", generation=wired)
    data = read_file(saved(comfy, out)[0])
    assert (data.prompt, data.seed, data.workflow_id, data.cost) == ("a red boat", 99, "", None)
    assert "do not come from the wired generation's workflow" in out.ui["text"][0]


def test_a_picture_that_was_chosen_from_a_batch_has_no_seed(nodes: Any, sandbox: Any, comfy: Any, images: Any):
    graph = {
        "1": {"class_type": "CivitaiBridgeGenerate", "inputs": {"prompt": "x"}},
        "2": {"class_type": "ImageFromBatch", "inputs": {"image": ["1", 0], "batch_index": 2}},
        "9": {"class_type": "CivitaiBridgeSaveImage", "inputs": {"images": ["2", 0], "generation": ["1", 2]}},
    }
    wired = GenerationData(prompt="a fleet", seed=7, steps=20, workflow_id="7-1", cost=16.0, arrived=(0, 1, 2))
    out = run(hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=graph), images=images[:1], generation=wired)
    data = read_file(saved(comfy, out)[0])
    assert (data.seed, data.workflow_id) == (None, "7-1") and "the seed is left out" in out.ui["text"][0]


def test_only_loras_that_were_applied_are_written(nodes: Any, sandbox: Any, comfy: Any, images: Any):
    from pack.civitai_bridge.metadata.generation import loras_of

    put(comfy, "loras", "here.safetensors")
    wired = GenerationData(
        prompt="a red boat",
        networks=(UsedResource("", 0.5, "here"), UsedResource("", 0.7, "gone"), UsedResource("", 0.0, "off")),
    )
    run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=loras_of(wired), missing="skip")
    graph = json.loads(json.dumps(GRAPH))
    graph["10"] = {"class_type": "CivitaiBridgeReadImage", "inputs": {}}
    graph["11"] = {"class_type": "CivitaiBridgeApplyLoras", "inputs": {"model": ["1", 0], "loras": ["10", 4]}}
    graph["5"]["inputs"]["model"] = ["11", 0]
    graph["9"]["inputs"]["generation"] = ["10", 0]
    out = run(hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=graph), images=images, generation=wired)
    data = read_file(saved(comfy, out)[0])
    assert [(one.name, one.weight) for one in data.networks] == [("here", 0.5)], out.ui["text"]
    graph["9"]["inputs"]["generation"] = ["12", 0]
    out = run(hidden(nodes.save_image.CivitaiBridgeSaveImage, prompt=graph), images=images, generation=wired)
    assert read_file(saved(comfy, out)[0]).networks == () and "another node" in out.ui["text"][0]


def test_what_could_not_be_looked_up_is_asked_again_with_the_next_queue(
    nodes: Any, sandbox: Any, comfy: Any, monkeypatch: pytest.MonkeyPatch
):
    node = nodes.image_data.CivitaiBridgeImageData
    before = node.fingerprint_inputs(reference="900002")
    run(node, reference="900002")
    assert node.fingerprint_inputs(reference="900002") == before
    background_loop().start(nodes.app.close()).result(10)
    nodes.app.tuning = Tuning(Timings(sleep=_at_once))
    sandbox.script.fault("site", "status", times=30, status=503)
    sandbox.script.fault("resource", "status", times=30, status=503)
    try:
        run(node, reference="900002")
    except Exception:
        pass  # the image itself may be refused; then nothing is remembered anyway
    else:
        assert node.fingerprint_inputs(reference="900002") != before
    sandbox.script.faults.clear()


async def _at_once(_: float) -> None:
    return None


def test_a_lora_that_only_the_catalog_knows_is_missed_by_its_files_name(nodes: Any, sandbox: Any, comfy: Any):
    desk = background_loop().start(nodes.services.services().catalog()).result(20)
    background_loop().start(desk.add("300001")).result(20)
    with pytest.raises(BadInput, match=r"no storybookLight_v2\.safetensors in loras"):
        run(nodes.loras.CivitaiBridgeApplyLoras, model="m", loras=[lora("Storybook Light", version_id=300001)])
