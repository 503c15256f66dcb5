"""CivitAI's families: base model -> ecosystem, model type -> AIR type, file and model type -> ComfyUI folder. Tables
are data.

Sources, all in github.com/civitai/civitai: `packages/civitai-shared/src/basemodel.constants.ts` for base models and
ecosystems (run, release 5.0.2257), `src/shared/utils/air.ts` for types, and the folders that its pack for ComfyUI uses.
"""

from __future__ import annotations

# AIR ecosystem -> the base models of that root family, as the site spells them (all 99 records).
_FAMILIES: dict[str, str] = {
    "ace": "ACE Audio",
    "anima": "Anima",
    "auraflow": "AuraFlow|Pony V7",
    "boogu": "Boogu",
    "chroma": "Chroma",
    "cogvideox": "CogVideoX",
    "ernie": "Ernie",
    "flux1": "Flux.1 S|Flux.1 D",
    "flux1kontext": "Flux.1 Kontext",
    "flux2": "Flux.2 D|Flux.2 Klein 9B|Flux.2 Klein 9B-base|Flux.2 Klein 4B|Flux.2 Klein 4B-base",
    "flux3video": "Flux 3 Video",
    "fluxkrea": "Flux.1 Krea",
    "grok": "Grok",
    "happyhorse": "HappyHorse",
    "hidream": "HiDream",
    "hidream-o1": "HiDream-O1",
    "hunyuan3d": "Hunyuan3D",
    "hydit1": "Hunyuan 1",
    "hyv1": "Hunyuan Video",
    "ideogram": "Ideogram 4.0",
    "imagen4": "Imagen4",
    "kling": "Kling",
    "kolors": "Kolors",
    "krea2": "Krea 2",
    "lens": "Lens",
    "ltxv": "LTXV",
    "ltxv2": "LTXV2",
    "ltxv23": "LTXV 2.3",
    "lumina": "Lumina",
    "mageflow": "MageFlow",
    "mai": "MAI",
    "minimaxh3": "MiniMax H3",
    "mochi": "Mochi",
    "nanobanana": "Nano Banana",
    "odor": "ODOR",
    "openai": "OpenAI",
    "other": "Upscaler|Other",
    "pixarta": "PixArt a",
    "pixarte": "PixArt E",
    "playgroundv2": "Playground v2",
    "polygen": "PolyGen",
    "qwen": "Qwen",
    "qwen2": "Qwen 2",
    "qwen3": "Qwen 3",
    "reve": "Reve",
    "scascade": "Stable Cascade",
    "sd1": "SD 1.4|SD 1.5|SD 1.5 LCM|SD 1.5 Hyper",
    "sd2": "SD 2.0|SD 2.0 768|SD 2.1|SD 2.1 768|SD 2.1 Unclip",
    "sd3": "SD 3|SD 3.5|SD 3.5 Large|SD 3.5 Large Turbo",
    "sd3_5m": "SD 3.5 Medium",
    "sdxl": "Illustrious|NoobAI|Pony|SDXL 0.9|SDXL 1.0|SDXL 1.0 LCM|SDXL Lightning|SDXL Hyper|SDXL Turbo",
    "sdxldistilled": "SDXL Distilled",
    "seedance": "Seedance",
    "seedream": "Seedream",
    "sora2": "Sora 2",
    "svd": "SVD|SVD XT",
    "tripo": "Tripo",
    "veo3": "Veo 3",
    "vidu": "Vidu Q1",
    "wanimage27": "Wan Image 2.7",
    "wanvideo": "Wan Video",
    "wanvideo-22-i2v-a14b": "Wan Video 2.2 I2V-A14B",
    "wanvideo-22-t2v-a14b": "Wan Video 2.2 T2V-A14B",
    "wanvideo-22-ti2v-5b": "Wan Video 2.2 TI2V-5B",
    "wanvideo-25-i2v": "Wan Video 2.5 I2V",
    "wanvideo-25-t2v": "Wan Video 2.5 T2V",
    "wanvideo14b_i2v_480p": "Wan Video 14B i2v 480p",
    "wanvideo14b_i2v_720p": "Wan Video 14B i2v 720p",
    "wanvideo14b_t2v": "Wan Video 14B t2v",
    "wanvideo1_3b_t2v": "Wan Video 1.3B t2v",
    "wanvideo27": "Wan Video 2.7",
    "zimagebase": "ZImageBase",
    "zimageturbo": "ZImageTurbo",
}

BASE_MODELS: dict[str, str] = {base: root for root, bases in _FAMILIES.items() for base in bases.split("|")}

# Other spellings that documents, packs and the orchestrator use. Never compare ecosystems letter by letter.
_ALIASES: dict[str, str] = {
    "sd15": "sd1",
    "sd-1": "sd1",
    "pony": "sdxl",
    "illustrious": "sdxl",
    "noobai": "sdxl",
    "ponyv7": "auraflow",
    "zimage": "zimageturbo",
    "flux2klein": "flux2",
    "flux2klein_9b": "flux2",
    "flux2klein_9b_base": "flux2",
    "flux2klein_4b": "flux2",
    "flux2klein_4b_base": "flux2",
    "flux2dev": "flux2",
    "hidreamo1": "hidream-o1",
    "ltx2": "ltxv2",
    "ltx23": "ltxv23",
    "ideogram4": "ideogram",
}

# Krea is a Flux.1 model under a name of its own: the site and the official pack run it as Flux.1.
_KIN: dict[str, str] = {"fluxkrea": "flux1"}

AIR_TYPES: dict[str, str] = {
    "Checkpoint": "checkpoint",
    "LORA": "lora",
    "LoCon": "lycoris",
    "DoRA": "dora",
    "TextualInversion": "embedding",
    "Hypernetwork": "hypernet",
    "VAE": "vae",
    "Controlnet": "controlnet",
    "Upscaler": "upscaler",
    "MotionModule": "motion",
    "AestheticGradient": "ag",
    "UNet": "unet",
    "TextEncoder": "text_encoders",
    "CLIPVision": "clipvision",
    "CLIP": "clip",
    "VisionLanguage": "visionlanguage",
    **dict.fromkeys(("Poses", "Wildcards", "Workflows", "ComfyWorkflows", "Detection", "LLM", "Other"), "unknown"),
}
_AIR_TYPE_BY_FILE = {"Diffusion Model": "diffusionmodel", "UNet": "unet"}

LORA_TYPES = frozenset({"lora", "lycoris", "dora"})
CHECKPOINT_TYPES = frozenset({"checkpoint", "diffusionmodel", "diffusion_model", "unet", "diffuser"})

_FOLDER_BY_FILE: dict[str, str] = {
    "Diffusion Model": "diffusion_models",
    "UNet": "diffusion_models",
    "VAE": "vae",
    "Text Encoder": "text_encoders",
    "CLIPVision": "clip_vision",
    "Vision Encoder": "clip_vision",
    "ControlNet": "controlnet",
    "Upscaler": "upscale_models",
    "Enhancement LoRA": "loras",
    "Negative": "embeddings",
    "Config": "configs",
}
_FOLDER_BY_MODEL: dict[str, str] = {
    "checkpoint": "checkpoints",
    "lora": "loras",
    "lycoris": "loras",
    "dora": "loras",
    "embedding": "embeddings",
    "vae": "vae",
    "controlnet": "controlnet",
    "upscaler": "upscale_models",
    "hypernet": "hypernetworks",
    "unet": "diffusion_models",
    "diffusionmodel": "diffusion_models",
    "diffusion_model": "diffusion_models",
    "text_encoders": "text_encoders",
    "clip": "text_encoders",
    "clipvision": "clip_vision",
    "motion": "animatediff_models",
    "visionlanguage": "text_encoders",
}


def ecosystem_of(base_model: str) -> str:
    """The AIR ecosystem of a base model; an unknown one is passed through in lower case, as the site does it.

    assert ecosystem_of("Illustrious") == "sdxl"
    """
    return BASE_MODELS.get(base_model) or "".join(base_model.lower().split())


def normal_ecosystem(ecosystem: str) -> str:
    """One spelling for an ecosystem, whoever wrote it."""
    lower = ecosystem.strip().lower()
    return _ALIASES.get(lower, lower)


def same_family(first: str, second: str) -> bool:
    """Whether a network of one ecosystem fits a model of the other.

    assert same_family("illustrious", "sdxl") and not same_family("sd1", "sdxl")
    """
    first, second = normal_ecosystem(first), normal_ecosystem(second)
    return _KIN.get(first, first) == _KIN.get(second, second)


def air_type(model_type: str, file_type: str = "") -> str:
    """The AIR type of a model whose primary file has this type; `unknown` where the site has none."""
    return _AIR_TYPE_BY_FILE.get(file_type) or AIR_TYPES.get(model_type, "unknown")


def folder_of(model_type: str, file_type: str = "Model") -> str:
    """ComfyUI's folder key, by file type first, then by model type (ModelType or AIR type); `""` where there is
    none."""
    if file_type in _FOLDER_BY_FILE:
        return _FOLDER_BY_FILE[file_type]
    if file_type not in ("", "Model", "Pruned Model"):
        return ""
    return _FOLDER_BY_MODEL.get(AIR_TYPES.get(model_type, model_type.lower()), "")
