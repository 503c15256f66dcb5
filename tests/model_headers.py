"""Model files that are headers alone: the tensors by which each kind is known, without their bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping

UNET, READS = "input_blocks.0.0.weight", "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
SD = "model.diffusion_model."
CLIP = "text_model.encoder.layers.{}.mlp.fc1.weight"
T5 = "encoder.block.23.layer.1.DenseReluDense.wi_1.weight"


def checkpoint(reads: int, channels: int = 4) -> dict[str, tuple[int, ...]]:
    """A whole checkpoint whose attention reads texts of this width."""
    parts = {"first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3), "cond_stage_model.transformer.x": (1,)}
    return {f"{SD}{UNET}": (320, channels, 3, 3), f"{SD}{READS}": (320, reads), **parts}


TENSORS: dict[str, dict[str, tuple[int, ...]]] = {
    "sd1": checkpoint(768),
    "sd2": checkpoint(1024),
    "sdxl": checkpoint(2048),
    "inpainting": checkpoint(768, 9),
    "sdxl unet": {UNET: (320, 4, 3, 3), READS: (640, 2048)},
    "sd3": {"joint_blocks.0.context_block.attn.qkv.weight": (1, 1)},
    "flux1": {"double_blocks.0.img_attn.qkv.weight": (9216, 3072), "img_in.weight": (3072, 64)},
    "flux fill": {"double_blocks.0.img_attn.qkv.weight": (9216, 3072), "img_in.weight": (3072, 384)},
    "flux2": {
        "double_blocks.0.img_attn.qkv.weight": (9216, 3072),
        "img_in.weight": (6144, 128),
        "double_stream_modulation_img.lin.weight": (1, 1),
    },
    "chroma": {
        "double_blocks.0.img_attn.qkv.weight": (9216, 3072),
        "img_in.weight": (3072, 64),
        "distilled_guidance_layer.norms.0.scale": (1,),
    },
    "qwen": {"txt_norm.weight": (3584,)},
    "zimage": {"cap_embedder.1.weight": (3840, 2560)},
    "lumina2": {"cap_embedder.1.weight": (2304, 2304)},
    "lora": {"lora_unet_down_blocks_0.lora_down.weight": (4, 320)},
    "controlnet": {"control_model.input_blocks.0.0.weight": (320, 4, 3, 3)},
    "clip_l": {CLIP.format(0): (1, 1)},
    "clip_g": {CLIP.format(0): (1, 1), CLIP.format(22): (1, 1), CLIP.format(30): (1, 1)},
    "t5xxl": {T5: (10240, 4096)},
    "qwen25_7b": {"model.layers.0.self_attn.k_proj.bias": (512,)},
    "qwen3_4b": {
        "model.layers.0.self_attn.q_norm.weight": (1,),
        "model.layers.0.post_attention_layernorm.weight": (2560,),
    },
    "vae 4": {"decoder.conv_in.weight": (512, 4, 3, 3), "encoder.conv_in.weight": (128, 3, 3, 3)},
    "vae 16": {"decoder.conv_in.weight": (512, 16, 3, 3), "encoder.conv_in.weight": (128, 3, 3, 3)},
    "vae wan": {"decoder.middle.0.residual.0.gamma": (1,)},
}


def header_only(tensors: Mapping[str, tuple[int, ...]], salt: str = "") -> bytes:
    """A safetensors file that names its tensors and has none of their bytes; `salt` gives it another hash."""
    members = {name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for name, shape in tensors.items()}
    text = json.dumps({"__metadata__": {"salt": salt}, **members}).encode()
    return len(text).to_bytes(8, "little") + text
