"""One entry of a catalog as a value, and the entry that a version becomes (facts/catalog.md, site-api §8.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput
from ..resources.addresses import SITE, download_url
from ..resources.ecosystems import LORA_TYPES, folder_of
from ..resources.version import ModelFile, ModelVersion

MODELS, LORAS = "models.json", "loras.json"

# Folder -> the category's id and its name for people; where nothing stands here the id is the folder's own name.
_CATEGORY = {"upscale_models": "upscalers"}
_CATEGORY_NAMES = {
    "checkpoints": "Checkpoints", "loras": "LoRAs", "vae": "VAE", "embeddings": "Embeddings",
    "controlnet": "ControlNet", "upscalers": "Upscalers", "diffusion_models": "Diffusion Models",
    "text_encoders": "Text Encoders", "clip_vision": "CLIP Vision", "hypernetworks": "Hypernetworks",
    "wan_loras": "Wan LoRAs", "flux_loras": "Flux LoRAs", "sdxl_loras": "SDXL LoRAs", "sd15_loras": "SD 1.5 LoRAs",
    "other_loras": "Other LoRAs", "animatediff_models": "AnimateDiff Models",
}  # fmt: skip
# Types for which catalog.md names a place and site-api §7.2 none.
_DEST_BY_MODEL = {"AestheticGradient": "embeddings", "Poses": "controlnet"}
# Base models whose checkpoints ship as a bare diffusion model (facts/catalog.md).
_BARE = ("flux", "wan", "hunyuan video", "cogvideox", "ltx")
_LORA_CATEGORIES = (
    ("wan", "wan_loras"),
    ("flux", "flux_loras"),
    ("sdxl", "sdxl_loras"),
    ("pony", "sdxl_loras"),
    ("illustrious", "sdxl_loras"),
    ("noobai", "sdxl_loras"),
    ("sd 1.", "sd15_loras"),
)


@dataclass(frozen=True)
class Entry:
    """An entry as it stands in a file. Ids are None and texts `""` where the file has none; `hashes` are lower-case hex
    of any kind; `raw` is everything that was written, unknown keys too."""

    catalog: str
    category: str
    file: str
    dest: str
    name: str
    version_id: int | None
    model_id: int | None
    file_id: int | None
    base_model: str
    hashes: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def sha256(self) -> str:
        return next((value for value in self.hashes if len(value) == 64), "")


def entry_from_json(raw: Mapping[str, Any], catalog: str = MODELS, category: str = "") -> Entry:
    """Read what people and other tools write: ids as numbers or numeric strings, older names of keys."""
    return Entry(
        catalog=catalog,
        category=category,
        file=_text(raw.get("file")),
        dest=_text(raw.get("dest")),
        name=_text(raw.get("name")),
        version_id=whole(raw.get("civitai_version_id")),
        model_id=whole(raw.get("civitai_model_id")),
        file_id=whole(raw.get("civitai_file_id")),
        base_model=_text(raw.get("base_model")) or _text(raw.get("civitai_base_model")),
        hashes=hashes_of(raw),
        raw=raw,
    )


def hashes_of(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The hashes that an entry names, in lower case without `0x`."""
    found = []
    for key in ("hash", "sha256", "autov3"):
        value = raw.get(key)
        if value and isinstance(value, str):
            found.append(bare_hash(value))
    return tuple(found)


def bare_hash(text: str) -> str:
    """A hash as it is compared: lower case, without the `0x` that some trainers write (site-api §4)."""
    low = text.strip().lower()
    return low[2:] if low.startswith("0x") else low


def whole(value: object) -> int | None:
    """A number of CivitAI, which files written by others may hold as a string."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.strip().isdigit() and len(value) < 20:
        return int(value)
    return None


def category_name(category: str) -> str:
    """What a category is called in a file that does not have it yet."""
    return _CATEGORY_NAMES.get(category) or category.replace("_", " ").title()


def place_of(resource: ModelVersion, file: ModelFile) -> tuple[str, str]:
    """Category and dest, by the file's type first, then by the model's. Raises BadInput for what is no model file."""
    model_type = resource.model_type or resource.type
    dest = folder_of(model_type, file.type) or _DEST_BY_MODEL.get(resource.model_type, "")
    if not dest:
        raise BadInput(
            f"{resource.name} is of type {model_type or 'unknown'} with a file of type {file.type or 'unknown'}, for "
            "which ComfyUI has no model folder; it is not added."
        )
    if dest == "checkpoints" and resource.base_model.lower().startswith(_BARE):
        dest = "diffusion_models"
    return _CATEGORY.get(dest, dest), dest


def lora_category(base_model: str) -> str:
    """The category in `loras.json` (facts/catalog.md)."""
    low = base_model.strip().lower()
    return next((category for head, category in _LORA_CATEGORIES if low.startswith(head)), "other_loras")


def display_name(resource: ModelVersion, file: ModelFile) -> str:
    """`<model> <version> [<base model> <PRECISION>]`, without what is unknown or says the same twice."""
    version = resource.version_name if resource.version_name != resource.name else ""
    inside = " ".join(filter(None, (resource.base_model, file.precision.upper())))
    return " ".join(filter(None, (resource.name, version, f"[{inside}]" if inside else "")))


def new_entry(resource: ModelVersion, file: ModelFile, *, name: str, dest: str) -> dict[str, Any]:
    """The entry of a version's file; `name` is the file's name on disk. Keys as in existing files, then what later
    look-ups need."""
    hashes = {kind.upper(): value.upper() for kind, value in file.hashes.items()}
    entry: dict[str, Any] = {
        "name": display_name(resource, file),
        "file": name,
        "dest": dest,
        "source": "civitai",
        "civitai_version_id": resource.version_id,
        "civitai_model_id": resource.model_id,
        "civitai_file_id": file.id or None,
        "size_gb": round(file.size_kb / 1_000_000, 3) if file.size_kb is not None else None,
        "base_model": resource.base_model,
        "tags": [],
        "trigger_words": list(resource.trained_words),
        "downloads": resource.downloads,
        "hash": hashes.get("SHA256"),
        "autov3": hashes.get("AUTOV3"),
        "air": resource.air,
        "type": resource.model_type or resource.type,
        "usage_control": resource.usage_control,
        "nsfw_level": resource.nsfw_level,
        "download_url": download_url(SITE, resource.version_id, file.id),
    }
    return {key: value for key, value in entry.items() if value is not None}


def is_lora(resource: ModelVersion) -> bool:
    return resource.type in LORA_TYPES


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
