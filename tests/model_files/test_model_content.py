"""What a file holds, by the names and shapes of its tensors."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_headers import TENSORS, header_only

from pack.civitai_bridge.model_files.architecture import CONTROLNET, LORA, MODEL, TEXT_ENCODER, VAE, Content, content_of
from pack.civitai_bridge.model_files.safetensors import read_shapes

WHOLE = {"has_text_encoder": True, "has_vae": True}
KINDS = {
    "sd1": Content(MODEL, "sd1", **WHOLE), "sd2": Content(MODEL, "sd2", **WHOLE), "sdxl": Content(MODEL, "sdxl", **WHOLE),
    "inpainting": Content(MODEL, "sd1", **WHOLE, inpainting=True), "sdxl unet": Content(MODEL, "sdxl"),
    "sd3": Content(MODEL, "sd3"), "flux1": Content(MODEL, "flux1"), "flux fill": Content(MODEL, "flux1", inpainting=True),
    "flux2": Content(MODEL), "chroma": Content(MODEL, "chroma"), "qwen": Content(MODEL, "qwen"),
    "zimage": Content(MODEL, "zimage"), "lumina2": Content(MODEL), "lora": Content(LORA),
    "controlnet": Content(CONTROLNET), "clip_l": Content(TEXT_ENCODER, "clip_l"),
    "clip_g": Content(TEXT_ENCODER, "clip_g"), "t5xxl": Content(TEXT_ENCODER, "t5xxl"),
    "qwen25_7b": Content(TEXT_ENCODER, "qwen25_7b"), "qwen3_4b": Content(TEXT_ENCODER, "qwen3_4b"),
    "vae 4": Content(VAE, "4"), "vae 16": Content(VAE, "16"), "vae wan": Content(VAE, "wan"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_what_comfyui_takes_it_for(name: str, tmp_path: Path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(header_only(TENSORS[name]))
    assert content_of(read_shapes(path)) == KINDS[name]


def test_tensors_of_no_kind_say_nothing():
    assert content_of({}) == content_of({"a.weight": (3,), "b": ()}) == Content()


def test_a_refiner_and_a_model_of_other_channels_are_of_no_family_here():
    refiner = {**TENSORS["sdxl unet"], "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (640, 1280)}
    ip2p = {**TENSORS["sdxl unet"], "input_blocks.0.0.weight": (320, 8, 3, 3)}
    assert content_of(refiner) == content_of(ip2p) == Content(MODEL)
