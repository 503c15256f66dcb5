"""Which files a request means, and the graph of core's nodes that comes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from picture_room import NEEDED, Room, base64_of, png

from pack.civitai_bridge.errors import BadInput, WrongFamily

PARAMS = {"prompt": "a cat", "seed": 5}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
async def test_a_whole_checkpoint_needs_nothing_beside_it(room: Room, family: str):
    sha = room.put("checkpoints/sub/model.safetensors", family)
    room.look()
    answer = await room.ask(model=sha.upper(), params={**PARAMS, "width": 64, "height": 128, "clipSkip": 2})
    kinds = [node["class_type"] for node in room.jobs[-1].graph.values()]
    assert kinds == [
        "CheckpointLoaderSimple", "CLIPSetLastLayer", "CLIPTextEncode", "CLIPTextEncode", "EmptyLatentImage",
        "KSampler", "VAEDecode", "PreviewImage",
    ]  # fmt: skip
    assert room.nodes("CheckpointLoaderSimple") == [{"ckpt_name": "sub/model.safetensors"}]
    assert room.nodes("EmptyLatentImage") == [{"width": 64, "height": 128, "batch_size": 1}]
    (sampler,) = room.nodes("KSampler")
    assert (sampler["seed"], sampler["sampler_name"], sampler["scheduler"], sampler["cfg"]) == (5, "euler", "normal", 7)
    assert room.nodes("CLIPSetLastLayer")[0]["stop_at_clip_layer"] == -2
    assert answer["params"]["sampler"] == "Euler Normal" and answer["notes"] == []


# Family -> class and inputs of the loader of its text encoders, its VAE, its latent, guidance or shift.
PARTS: dict[str, tuple[str, dict[str, str], str, str]] = {
    "flux1": (
        "DualCLIPLoader",
        {"clip_name1": "t5xxl_fp16.safetensors", "clip_name2": "clip_l.safetensors", "type": "flux"},
        "ae.safetensors", "EmptySD3LatentImage",
    ),
    "chroma": ("CLIPLoader", {"clip_name": "t5xxl_fp16.safetensors", "type": "chroma"}, "ae.safetensors", "EmptySD3LatentImage"),
    "sd3": (
        "TripleCLIPLoader",
        {"clip_name1": "clip_l.safetensors", "clip_name2": "g/clip_g.safetensors", "clip_name3": "t5xxl_fp16.safetensors"},
        "sd3_vae.safetensors", "EmptySD3LatentImage",
    ),
    "sdxl unet": (
        "DualCLIPLoader", {"clip_name1": "clip_l.safetensors", "clip_name2": "g/clip_g.safetensors", "type": "sdxl"},
        "sdxl_vae.safetensors", "EmptyLatentImage",
    ),
    "qwen": (
        "CLIPLoader", {"clip_name": "qwen_2.5_vl_7b.safetensors", "type": "qwen_image"}, "qwen_image_vae.safetensors",
        "EmptySD3LatentImage",
    ),
    "zimage": ("CLIPLoader", {"clip_name": "qwen_3_4b.safetensors", "type": "lumina2"}, "ae.safetensors", "EmptySD3LatentImage"),
}  # fmt: skip


@pytest.mark.parametrize("family", PARTS)
async def test_a_diffusion_model_gets_the_parts_that_its_family_needs(room: Room, family: str):
    for path, kind in NEEDED.items():
        room.put(path, kind)
    sha = room.put("diffusion_models/model.safetensors", family)
    room.look()
    await room.ask(model=sha, params=PARAMS)
    loader, names, vae, latent = PARTS[family]
    assert room.nodes("UNETLoader") == [{"unet_name": "model.safetensors", "weight_dtype": "default"}]
    assert room.nodes(loader) == [names] and room.nodes("VAELoader") == [{"vae_name": vae}]
    assert room.nodes(latent)[0]["width"] == 1024


async def test_flux_is_guided_by_cfg_scale_and_says_that_it_has_no_negative_prompt(room: Room):
    for path, kind in NEEDED.items():
        room.put(path, kind)
    sha = room.put("diffusion_models/model.safetensors", "flux1")
    room.look()
    answer = await room.ask(model=sha, params={**PARAMS, "cfgScale": 2.5, "negativePrompt": "bad", "clipSkip": 2})
    assert room.nodes("FluxGuidance")[0]["guidance"] == 2.5 and room.nodes("KSampler")[0]["cfg"] == 1.0
    assert not room.nodes("CLIPSetLastLayer")
    assert len(answer["notes"]) == 2 and "negative prompt" in answer["notes"][0] and "clip skip" in answer["notes"][1]


@pytest.mark.parametrize(
    ("lacking", "sentence"),
    [
        ("text_encoders/t5xxl_fp16.safetensors", "text encoder T5-XXL"),
        ("text_encoders/clip_l.safetensors", "text encoder CLIP-L"),
        ("vae/ae.safetensors", "needs a VAE .*ae, flux_vae"),
    ],
)
async def test_what_a_diffusion_model_lacks_is_named(room: Room, lacking: str, sentence: str):
    for path, kind in NEEDED.items():
        if path != lacking:
            room.put(path, kind)
    sha = room.put("diffusion_models/model.safetensors", "flux1")
    room.look()
    with pytest.raises(BadInput, match=sentence):
        await room.ask(model=sha, params=PARAMS)


async def test_a_part_is_known_by_its_content_and_one_that_cannot_be_read_by_its_name(room: Room):
    room.put("text_encoders/my encoder.safetensors", "t5xxl")
    room.put("text_encoders/clip_l.safetensors", "t5xxl")  # its name lies
    room.put("text_encoders/zz_clip.safetensors", "clip_l")
    room.put("vae/ae.safetensors", content=b"no header")
    sha = room.put("diffusion_models/model.safetensors", "flux1")
    room.look()
    await room.ask(model=sha, params=PARAMS)
    (names,) = room.nodes("DualCLIPLoader")
    assert (names["clip_name1"], names["clip_name2"]) == ("clip_l.safetensors", "zz_clip.safetensors")
    assert room.nodes("VAELoader") == [{"vae_name": "ae.safetensors"}]


async def test_networks_and_a_vae_are_found_by_any_hash_and_each_file_is_applied_once(room: Room):
    model = room.put("checkpoints/model.safetensors", "sd1")
    lora, dora = (room.put(f"loras/{name}.safetensors", "lora") for name in ("ink", "lines"))
    hypernet = room.put("hypernetworks/h.pt", content=b"pickle")
    vae = room.put("vae/other.safetensors", "vae 4")
    room.look()
    networks = [
        {"type": "lora", "hash": lora[:10], "strength": 0.7},
        {"type": "dora", "hash": dora, "strength": -0.5},
        {"type": "hypernet", "hash": hypernet.upper(), "strength": 0.3},
    ]
    prompt = "a cat, <lora:ink:0.2>, sitting"
    await room.ask(model=model, vae=vae, additionalNetworks=networks, params={"prompt": prompt})
    wanted = [("ink.safetensors", 0.7), ("lines.safetensors", -0.5)]
    assert [(lora["lora_name"], lora["strength_model"]) for lora in room.nodes("LoraLoader")] == wanted
    assert room.nodes("HypernetworkLoader")[0]["hypernetwork_name"] == "h.pt"
    assert room.nodes("VAELoader") == [{"vae_name": "other.safetensors"}]
    assert room.nodes("CLIPTextEncode")[0]["text"] == "a cat, sitting"


async def test_a_tag_is_applied_as_a1111_does_and_an_embedding_by_its_word(room: Room):
    model = room.put("checkpoints/model.safetensors", "sd1")
    room.put("loras/sub/Ink.safetensors", "lora")
    room.put("embeddings/neg/EasyNegative.pt", content=b"pickle")
    other = room.put("embeddings/v3.pt", content=b"another")
    room.look()
    networks = [{"type": "embedding", "hash": other, "name": "my word"}]
    params = {"prompt": "a cat <lora:ink:0.8:0.5>, my word", "negativePrompt": "lowres, (easynegative:1.2)"}
    answer = await room.ask(model=model, additionalNetworks=networks, params=params)
    assert answer["notes"] == ["These words of the prompts act as embeddings here: neg/EasyNegative, v3."]
    (lora,) = room.nodes("LoraLoader")
    assert (lora["lora_name"], lora["strength_model"], lora["strength_clip"]) == ("sub/Ink.safetensors", 0.5, 0.8)
    texts = [node["text"] for node in room.nodes("CLIPTextEncode")]
    assert texts == ["a cat, embedding:v3", "lowres, (embedding:neg/EasyNegative:1.2)"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"model": "LORA"}, "is in loras and no model"),
        ({"model": "HIDDEN"}, "named as model is a LoRA, which makes no picture"),
        ({"model": "00" * 32}, "No model file here has the hash 000000000000, which is named as model"),
        ({"model": "FLUX2"}, "family that cannot be told; pictures are made here with SD 1.5"),
        ({"vae": "MODEL"}, "is in checkpoints and no vae"),
        ({"vae": "WIDE"}, "does not fit a model of SD 1.5"),
        ({"additionalNetworks": [{"type": "lora", "hash": "MODEL"}]}, "is in checkpoints and no lora"),
        ({"additionalNetworks": [{"type": "lora", "hash": "WRONG", "name": "w"}]}, "named as lora w is a VAE"),
        ({"additionalNetworks": [{"type": "embedding", "hash": "WORD", "name": "w"}]}, "stands in neither prompt"),
        ({"params": {"prompt": "<lora:nobody>"}}, "names the lora nobody, which is not here"),
        ({"params": {"prompt": "<lora:ink:99>"}}, "from -10 to 10"),
        ({"params": {"prompt": "<lora:ink>" * 21}}, "name 21 networks"),
    ],
)
async def test_a_file_that_is_not_what_it_is_named_as_is_refused(room: Room, fields: dict[str, Any], sentence: str):
    hashes = {
        "MODEL": room.put("checkpoints/model.safetensors", "sd1"),
        "HIDDEN": room.put("checkpoints/hidden.safetensors", "lora"),
        "FLUX2": room.put("diffusion_models/flux2.safetensors", "flux2"),
        "LORA": room.put("loras/ink.safetensors", "lora"),
        "WRONG": room.put("loras/wrong.safetensors", "vae 4"),
        "WIDE": room.put("vae/wide.safetensors", "vae 16"),
        "WORD": room.put("embeddings/word.pt", content=b"pickle"),
    }
    room.look()
    networks = [{**each, "hash": hashes[each["hash"]]} for each in fields.get("additionalNetworks", ())]
    named = {name: hashes.get(fields[name], fields[name]) for name in ("model", "vae") if name in fields}
    asked = {"model": hashes["MODEL"], "params": PARAMS, **fields, **named, "additionalNetworks": networks}
    with pytest.raises(BadInput, match=sentence) as refused:
        await room.ask(**asked)
    assert str(room.models) not in str(refused.value) and not room.jobs


async def test_a_network_of_another_family_is_refused_or_noted_by_the_setting(room: Room):
    model, lora = room.put("checkpoints/m.safetensors", "sd1"), room.put("loras/x.safetensors", "lora")
    room.look(**{f"_{lora}": "Pony"})
    asked = {"model": model, "additionalNetworks": [{"type": "lora", "hash": lora}], "params": PARAMS}
    with pytest.raises(WrongFamily, match=r"is for Pony, the model is SD 1\.5; they do not fit"):
        await room.ask(**asked)
    room.settings = replace(room.settings, lora_family_mismatch="warn")
    answer = await room.ask(**asked)
    assert "may not show it" in answer["notes"][0]


async def test_a_checkpoint_that_is_no_safetensors_file_is_what_civitai_says_it_is(room: Room):
    known, other = (room.put(f"checkpoints/{name}.ckpt", content=name.encode()) for name in ("known", "other"))
    room.look(**{f"_{known}": "SDXL 1.0"})
    await room.ask(model=known, params=PARAMS)
    assert room.nodes("EmptyLatentImage")[0]["width"] == 1024
    answer = await room.ask(model=other, params=PARAMS)
    assert room.nodes("EmptyLatentImage")[0]["width"] == 512 and "Stable Diffusion" in answer["notes"][0]


async def test_a_model_that_was_written_since_is_not_loaded(room: Room):
    model = room.put("checkpoints/m.safetensors", "sd1")
    room.look()
    room.put("checkpoints/m.safetensors", "lora")
    with pytest.raises(BadInput, match="changed since it was hashed"):
        await room.ask(model=model, params=PARAMS)


@pytest.mark.parametrize("model", ["sd1", "inpainting"])
async def test_a_mask_goes_with_the_latent_or_with_a_model_that_takes_it(room: Room, model: str):
    sha = room.put("checkpoints/m.safetensors", model)
    room.look()
    init, mask = base64_of(png((64, 64))), base64_of(png((64, 64), "black", box=(8, 8, 32, 32)))
    params = {"prompt": "a", "initImage": init, "maskImage": mask, "denoiseStrength": 0.4}
    await room.ask("image:img2img", model=sha, quantity=2, batchSize=3, params=params)
    job = room.jobs[-1]
    assert [job.graph[node]["class_type"] for node in job.sources] == ["LoadImage", "LoadImageMask"]
    kind = "SetLatentNoiseMask" if model == "sd1" else "InpaintModelConditioning"
    assert len(room.nodes(kind)) == 1 and room.nodes("RepeatLatentBatch")[0]["amount"] == 3
    assert [(node["seed"], node["denoise"]) for node in room.nodes("KSampler")] == [(4242, 0.4), (4245, 0.4)]
    assert len(job.samplers) == len(job.outputs) == 2
