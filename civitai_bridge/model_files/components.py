"""What a model file holds by the names of its tensors: a diffusion model alone, or all that makes a picture.

ComfyUI reads a whole checkpoint from `checkpoints` and a bare diffusion model from `diffusion_models`; the prefixes are
those of its comfy/model_detection.py, comfy/supported_models.py and of the models' own code."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileTrouble
from .safetensors import read_tensor_names

CHECKPOINTS, DIFFUSION_MODELS = "checkpoints", "diffusion_models"
_TEXT_ENCODERS = ("cond_stage_model.", "conditioner.", "text_encoders.", "text_encoder.", "text_model.", "te.")
_VAES = ("first_stage_model.", "vae.")
_DIFFUSION_MODELS = (
    "model.diffusion_model.", "diffusion_model.", "input_blocks.", "down_blocks.", "double_blocks.", "single_blocks.",
    "transformer_blocks.", "single_transformer_blocks.", "joint_blocks.", "blocks.", "layers.", "noise_refiner.",
    "img_in.", "txt_in.", "x_embedder.", "patch_embedding.", "net.",
)  # fmt: skip


def folder_by_content(path: Path) -> str:
    """ComfyUI's folder key for a checkpoint's file: with text encoder and VAE in it `checkpoints`, with neither
    `diffusion_models`, `""` where the file does not say (it is no safetensors file, or one with a part of them)."""
    has_text_encoder = has_vae = has_model = False
    try:
        for name in read_tensor_names(path):
            has_text_encoder = has_text_encoder or name.startswith(_TEXT_ENCODERS)
            has_vae = has_vae or name.startswith(_VAES)
            has_model = has_model or name.startswith(_DIFFUSION_MODELS)
    except FileTrouble:
        return ""
    if has_text_encoder and has_vae:
        return CHECKPOINTS
    return DIFFUSION_MODELS if has_model and not (has_text_encoder or has_vae) else ""
