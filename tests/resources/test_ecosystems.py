"""The tables of families, types and folders."""

from __future__ import annotations

import pytest

from pack.civitai_bridge.resources.ecosystems import BASE_MODELS, air_type, ecosystem_of, folder_of, same_family


def test_all_records_are_there():
    assert len(BASE_MODELS) == 99


@pytest.mark.parametrize(
    ("base", "ecosystem"),
    [
        ("SDXL 1.0", "sdxl"), ("Pony", "sdxl"), ("Illustrious", "sdxl"), ("NoobAI", "sdxl"), ("Pony V7", "auraflow"),
        ("SD 1.5", "sd1"), ("Flux.1 D", "flux1"), ("Flux.1 Krea", "fluxkrea"), ("Flux.2 Klein 4B-base", "flux2"),
        ("SD 3.5 Medium", "sd3_5m"), ("ZImageTurbo", "zimageturbo"), ("Upscaler", "other"), ("Wan Video 14B t2v", "wanvideo14b_t2v"),
        ("Some New Thing", "somenewthing"),
    ],
)  # fmt: skip
def test_base_models(base: str, ecosystem: str):
    assert ecosystem_of(base) == ecosystem


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ("sdxl", "illustrious", True), ("SDXL", "pony", True), ("sd15", "sd1", True), ("zimage", "zimageturbo", True),
        ("fluxkrea", "flux1", True), ("hidreamo1", "hidream-o1", True), ("flux2klein", "flux2", True),
        ("sd1", "sdxl", False), ("flux1", "flux2", False), ("auraflow", "sdxl", False), ("qwen", "qwen2", False),
    ],
)  # fmt: skip
def test_families(one: str, other: str, fits: bool):
    assert same_family(one, other) is same_family(other, one) is fits


@pytest.mark.parametrize(
    ("model", "file", "air", "folder"),
    [
        ("Checkpoint", "Model", "checkpoint", "checkpoints"),
        ("Checkpoint", "Pruned Model", "checkpoint", "checkpoints"),
        ("Checkpoint", "Diffusion Model", "diffusionmodel", "diffusion_models"),
        ("Checkpoint", "UNet", "unet", "diffusion_models"),
        ("Checkpoint", "VAE", "checkpoint", "vae"),
        ("LORA", "Model", "lora", "loras"),
        ("LoCon", "Model", "lycoris", "loras"),
        ("DoRA", "Model", "dora", "loras"),
        ("TextualInversion", "Negative", "embedding", "embeddings"),
        ("Upscaler", "Model", "upscaler", "upscale_models"),
        ("CLIP", "Text Encoder", "clip", "text_encoders"),
        ("Workflows", "Archive", "unknown", ""),
        ("Poses", "Model", "unknown", ""),
        ("Checkpoint", "Training Data", "checkpoint", ""),
    ],
)
def test_types_and_folders(model: str, file: str, air: str, folder: str):
    assert air_type(model, file) == air
    assert folder_of(model, file) == folder
    if air != "unknown" and file == "Model":
        assert folder_of(air, file) == folder
