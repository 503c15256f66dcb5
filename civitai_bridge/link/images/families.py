"""The families of models that a room may have pictures made with: what each needs beside the model, and the values that
stand in where the room says none. As ComfyUI's own templates set them (github.com/Comfy-Org/workflow_templates)."""

from __future__ import annotations

from dataclasses import dataclass

from ...resources.ecosystems import ecosystem_of, normal_ecosystem


@dataclass(frozen=True)
class Family:
    """`name` is for people, `ecosystem` CivitAI's. `encoders` are the text encoders in the order in which `loader`
    takes them, `encoder_type` what that calls the family. `vae` is a VAE's family as `model_files.architecture` names
    it, `vae_names` the names without ending under which the family's own VAE is known: others of the same shape are
    of another family, and nothing in them says so. `side` in pixels stands in for width and height. `guidance`: the
    room's `cfgScale` is what the model was distilled with, and the negative prompt changes nothing. `shift` is that of
    ModelSamplingAuraFlow, 0 for none. `clip_skip`: its text encoder can stop at an earlier layer."""

    name: str
    ecosystem: str
    encoders: tuple[str, ...]
    loader: str
    encoder_type: str
    vae: str
    vae_names: tuple[str, ...]
    latent: str = "EmptySD3LatentImage"
    side: int = 1024
    sampler: str = "euler"
    scheduler: str = "simple"
    steps: int = 20
    cfg: float = 7.0
    guidance: bool = False
    shift: float = 0.0
    clip_skip: bool = False


_FLUX_VAE = ("ae", "flux_vae", "flux-vae", "flux_ae", "flux1_ae", "flux.1_ae", "ae_flux")
_SD = {"latent": "EmptyLatentImage", "scheduler": "normal", "clip_skip": True}

FAMILIES: dict[str, Family] = {
    "sd1": Family(
        "SD 1.5", "sd1", ("clip_l",), "CLIPLoader", "stable_diffusion", "4",
        ("vae-ft-mse-840000-ema-pruned", "vae-ft-ema-560000-ema-pruned", "sd-vae-ft-mse"), side=512, **_SD,
    ),
    "sd2": Family(
        "SD 2", "sd2", ("clip_h",), "CLIPLoader", "stable_diffusion", "4", ("vae-ft-mse-840000-ema-pruned",),
        side=768, **_SD,
    ),
    "sdxl": Family(
        "SDXL", "sdxl", ("clip_l", "clip_g"), "DualCLIPLoader", "sdxl", "4",
        ("sdxl_vae", "sdxl.vae", "sdxl_vae_fp16_fix", "sdxl-vae-fp16-fix", "sdxl.vae.fp16"), **_SD,
    ),
    "sd3": Family(
        "SD 3", "sd3", ("clip_l", "clip_g", "t5xxl"), "TripleCLIPLoader", "", "16", ("sd3_vae", "sd3.5_vae"),
        scheduler="sgm_uniform", cfg=4.5,
    ),
    "flux1": Family(
        "Flux.1", "flux1", ("t5xxl", "clip_l"), "DualCLIPLoader", "flux", "16", _FLUX_VAE, cfg=3.5, guidance=True,
    ),
    "chroma": Family(
        "Chroma", "chroma", ("t5xxl",), "CLIPLoader", "chroma", "16", _FLUX_VAE, scheduler="beta", steps=26, cfg=3.5,
        shift=1.0,
    ),
    "qwen": Family(
        "Qwen-Image", "qwen", ("qwen25_7b",), "CLIPLoader", "qwen_image", "wan", ("qwen_image_vae",), cfg=2.5,
        shift=3.1,
    ),
    "zimage": Family(
        "Z-Image", "zimageturbo", ("qwen3_4b",), "CLIPLoader", "lumina2", "16", _FLUX_VAE, sampler="res_multistep",
        steps=8, cfg=1.0, shift=3.0,
    ),
}  # fmt: skip

# What a text encoder is called by those who look for one, and the names under which it is known.
ENCODERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "clip_l": ("CLIP-L", ("clip_l",)),
    "clip_g": ("CLIP-G", ("clip_g",)),
    "clip_h": ("OpenCLIP ViT-H", ("clip_h", "open_clip_vit_h")),
    "t5xxl": ("T5-XXL", ("t5xxl_fp16", "t5xxl_fp8_e4m3fn_scaled", "t5xxl_fp8_e4m3fn")),
    "qwen25_7b": ("Qwen 2.5 VL 7B", ("qwen_2.5_vl_7b", "qwen_2.5_vl_7b_fp8_scaled")),
    "qwen3_4b": ("Qwen 3 4B", ("qwen_3_4b", "qwen_3_4b_fp8_scaled")),
}
_BY_ECOSYSTEM = {family.ecosystem: key for key, family in FAMILIES.items()}
_KIN = {"fluxkrea": "flux1", "flux1kontext": "flux1", "sd3_5m": "sd3", "zimagebase": "zimage", "sdxldistilled": "sdxl"}


def family_of_base_model(base_model: str) -> str:
    """The key in FAMILIES of a base model as CivitAI writes it; `""` for another one.

    assert family_of_base_model("Illustrious") == "sdxl" and family_of_base_model("Veo 3") == ""
    """
    ecosystem = normal_ecosystem(ecosystem_of(base_model))
    return _BY_ECOSYSTEM.get(ecosystem) or _KIN.get(ecosystem, "")
