"""A checkpoint and a LoRA of random weights that ComfyUI really loads and samples with: SD 1.5's kinds of layers, but
only as many as its loader needs, so that two steps at 64 × 64 take seconds on a processor.

    PYTHON_OF_COMFYUI random_weights.py COMFYUI_FOLDER CHECKPOINT LORA
"""

import sys

folder, checkpoint_file, lora_file = sys.argv[1:4]
sys.path.insert(0, folder)
sys.argv = [sys.argv[0], "--cpu"]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.ops  # noqa: E402
import torch  # noqa: E402
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402
from comfy.sd1_clip import SD1ClipModel  # noqa: E402
from comfy.taesd.taesd import TAESD  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

_WIDTH, _RANK = 320, 4  # channels by which the loader tells the family, and the LoRA's rank
_UNET_LAYER = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q"
_TEXT_LAYER = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


def noise(*shape: int, scale: float = 0.05) -> torch.Tensor:
    """Half-precision numbers around 0."""
    return (torch.randn(shape) * scale).half()


def weights_of(model: torch.nn.Module, prefix: str, only: str = "") -> dict[str, torch.Tensor]:
    """Random numbers for each weight of a model, 1 where a layer scales (its weight is one row), 0 for what it adds."""
    weights = {}
    for name, weight in model.state_dict().items():
        if name.startswith(only):
            is_row = weight.dim() == 1 and name.endswith("weight")
            numbers = torch.ones(weight.shape).half() if is_row else noise(*weight.shape)
            weights[prefix + name[len(only) :]] = torch.zeros(weight.shape).half() if "bias" in name else numbers
    return weights


torch.manual_seed(0)
with torch.device("meta"):
    unet = UNetModel(
        image_size=32, in_channels=4, out_channels=4, model_channels=_WIDTH, num_res_blocks=[1, 1],
        channel_mult=[1, 1], transformer_depth=[1, 0], transformer_depth_output=[1, 1, 0, 0],
        transformer_depth_middle=0, num_heads=8, num_head_channels=-1, use_spatial_transformer=True, context_dim=768,
        legacy=False, dtype=torch.float16, device="meta", operations=comfy.ops.disable_weight_init,
    )  # fmt: skip
    text_encoder = SD1ClipModel(device="meta", dtype=torch.float16)
    pixels = TAESD()

checkpoint = weights_of(unet, "model.diffusion_model.")
checkpoint |= weights_of(text_encoder, "cond_stage_model.transformer.", "clip_l.transformer.")
checkpoint |= weights_of(pixels, "first_stage_model.")
save_file(checkpoint, checkpoint_file)
lora = {
    f"{_UNET_LAYER}.lora_A.weight": noise(_RANK, _WIDTH, scale=1.0),
    f"{_UNET_LAYER}.lora_B.weight": noise(_WIDTH, _RANK, scale=1.0),
    f"{_TEXT_LAYER}.lora_down.weight": noise(_RANK, 768, scale=1.0),
    f"{_TEXT_LAYER}.lora_up.weight": noise(768, _RANK, scale=1.0),
}
save_file(lora, lora_file)
