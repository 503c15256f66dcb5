"""What a model file holds, by the names and shapes of its tensors: which kind of model, and of which family.

The names are those that ComfyUI itself goes by (comfy/model_detection.py and `detect_te_model` of comfy/sd.py in
github.com/comfyanonymous/ComfyUI), so that a file is here what its loaders take it for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]

MODEL, LORA, CONTROLNET, TEXT_ENCODER, VAE = "model", "LoRA", "ControlNet", "text encoder", "VAE"


@dataclass(frozen=True)
class Content:
    """What is in a file. `kind` is `""` where its tensors do not say. `family` of a diffusion model is `sd1`, `sd2`,
    `sdxl`, `sd3`, `flux1`, `chroma`, `qwen` or `zimage`, of a text encoder `clip_l`, `clip_g`, `t5xxl`, `qwen25_7b` or
    `qwen3_4b`, of a VAE `4` or `16` (its channels) or `wan`; `""` for every other one. A diffusion model may have a
    text encoder and a VAE with it; `inpainting`: it takes the mask as channels of its own."""

    kind: str = ""
    family: str = ""
    has_text_encoder: bool = False
    has_vae: bool = False
    inpainting: bool = False


_LORA_STARTS = ("lora_unet_", "lora_te", "lora_transformer_", "lycoris_")
_LORA_PARTS = (
    ".lora_up.", ".lora_down.", ".lora_A.", ".lora_B.", ".lora.up.", ".lora.down.", ".hada_w1", ".lokr_w1",
    ".dora_scale", ".oft_blocks", ".oft_diag",
)  # fmt: skip
_CONTROL = ("control_model.", "controlnet_blocks.", "controlnet_cond_embedding.", "input_hint_block.")
_PREFIXES = ("model.diffusion_model.", "diffusion_model.")
_TEXT_ENCODERS = ("cond_stage_model.", "conditioner.", "text_encoders.")
_VAES = ("first_stage_model.", "vae.")
_FIRST_LAYER, _PICTURE_IN = "input_blocks.0.0.weight", "img_in.weight"

# By the width of what its attention reads of the text. The refiner of SDXL has 1280, and is none of these.
_UNETS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
_WITH_MASK = 9  # channels of an inpainting UNet: latent, masked latent, mask
_FLUX, _FLUX_FILL = 64, 384  # the same of Flux, four pixels of the latent at a time
_ZIMAGE_WIDTH = 3840  # Lumina 2 has layers of the same names, and 2304
_QWEN_TEXT = 3584  # Mage-Flow has 2560


def content_of(shapes: Shapes) -> Content:
    """What a file with these tensors holds."""
    if any(name.startswith(_LORA_STARTS) or any(part in name for part in _LORA_PARTS) for name in shapes):
        return Content(LORA)
    if any(name.startswith(_CONTROL) for name in shapes):
        return Content(CONTROLNET)
    prefix = next((each for each in _PREFIXES if any(name.startswith(each) for name in shapes)), "")
    inner = {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
    if (family := _diffusion_model(inner)) is not None:
        return Content(
            MODEL,
            family,
            any(name.startswith(_TEXT_ENCODERS) for name in shapes),
            any(name.startswith(_VAES) for name in shapes),
            _size(inner, _FIRST_LAYER, 1) == _WITH_MASK or _size(inner, _PICTURE_IN, 1) == _FLUX_FILL,
        )
    if encoder := next((name for name, is_it in _ENCODERS if is_it(shapes)), ""):
        return Content(TEXT_ENCODER, encoder)
    if "decoder.middle.0.residual.0.gamma" in shapes:
        return Content(VAE, "wan")
    if channels := _size(shapes, "decoder.conv_in.weight", 1):
        return Content(VAE, str(channels))
    return Content(MODEL) if prefix else Content()


def _diffusion_model(inner: Shapes) -> str | None:
    """The family of a diffusion model whose prefix is taken off, `""` for one that is none of ours; None where the
    tensors are no diffusion model's."""
    return next((family_of(inner) for layer, family_of in _DIFFUSION_MODELS if layer in inner), None)


def _unet(inner: Shapes) -> str:
    read = next((shape for name, shape in inner.items() if name.endswith(".attn2.to_k.weight")), ())
    is_ours = _size(inner, _FIRST_LAYER, 1) in (4, _WITH_MASK)
    return _UNETS.get(read[1], "") if len(read) == 2 and is_ours else ""


def _double_blocks(inner: Shapes) -> str:
    if any(name.startswith("distilled_guidance_layer.") for name in inner):
        return "chroma" if _PICTURE_IN in inner else ""
    others = ("double_stream_modulation_img.lin.weight", "txt_in.individual_token_refiner.blocks.0.norm1.weight")
    is_flux = _size(inner, _PICTURE_IN, 1) in (_FLUX, _FLUX_FILL) and not any(name in inner for name in others)
    return "flux1" if is_flux else ""


def _size(shapes: Shapes, name: str, axis: int) -> int:
    """One side of a tensor; 0 where it has none."""
    shape = shapes.get(name, ())
    return shape[axis] if len(shape) > axis else 0


# A layer that every model of a kind has, and what then tells its family.
_DIFFUSION_MODELS: tuple[tuple[str, Callable[[Shapes], str]], ...] = (
    (_FIRST_LAYER, _unet),
    ("joint_blocks.0.context_block.attn.qkv.weight", lambda _: "sd3"),
    ("double_blocks.0.img_attn.qkv.weight", _double_blocks),
    ("cap_embedder.1.weight", lambda inner: "zimage" * (_size(inner, "cap_embedder.1.weight", 0) == _ZIMAGE_WIDTH)),
    ("txt_norm.weight", lambda inner: "qwen" * (_size(inner, "txt_norm.weight", 0) == _QWEN_TEXT)),
)  # fmt: skip
_CLIP = "text_model.encoder.layers.{}.mlp.fc1.weight"
_ENCODERS: tuple[tuple[str, Callable[[Shapes], bool]], ...] = (
    ("clip_g", lambda shapes: _CLIP.format(30) in shapes),
    ("clip_h", lambda shapes: _CLIP.format(22) in shapes),
    ("clip_l", lambda shapes: _CLIP.format(0) in shapes),
    ("t5xxl", lambda shapes: _size(shapes, "encoder.block.23.layer.1.DenseReluDense.wi_1.weight", 0) == 10240),
    ("qwen25_7b", lambda shapes: _size(shapes, "model.layers.0.self_attn.k_proj.bias", 0) == 512),
    (
        "qwen3_4b",
        lambda shapes: (
            "model.layers.0.self_attn.q_norm.weight" in shapes
            and _size(shapes, "model.layers.0.post_attention_layernorm.weight", 0) == 2560
        ),
    ),
)
