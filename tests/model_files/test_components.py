"""What a model file holds, by the names of its tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pack.civitai_bridge.model_files.components import folder_by_content


def tensors(*names: str) -> bytes:
    text = json.dumps({name: {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]} for name in names}).encode()
    return len(text).to_bytes(8, "little") + text + b"\0\0"


UNET, VAE = "model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.bias"


@pytest.mark.parametrize(
    ("content", "folder"),
    [
        (tensors(UNET, VAE, "cond_stage_model.transformer.w"), "checkpoints"),
        (tensors(UNET, VAE, "conditioner.embedders.0.w"), "checkpoints"),
        (tensors(UNET, "vae.decoder.w", "text_encoders.t5xxl.w"), "checkpoints"),
        (tensors(UNET), "diffusion_models"),
        (tensors("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"), "diffusion_models"),
        (tensors("layers.0.attention.qkv.weight", "noise_refiner.0.w"), "diffusion_models"),
        (tensors(UNET, VAE), ""),
        (tensors(UNET, "text_encoders.clip_l.w"), ""),
        (tensors("something"), ""),
        (tensors(), ""),
        (b"no safetensors file", ""),
        ((2**63).to_bytes(8, "little") + b"{}", ""),
    ],
    ids=range(12),
)
def test_a_file_says_by_its_tensors_which_loader_reads_it(tmp_path: Path, content: bytes, folder: str):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert folder_by_content(path) == folder


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path):
    assert folder_by_content(tmp_path / "none") == ""
