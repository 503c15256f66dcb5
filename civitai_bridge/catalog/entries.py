"""One entry of a catalog as a value, and the entry that a version becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import FileRefused
from ..resources.addresses import SITE, download_url
from ..resources.ecosystems import folder_of
from ..resources.hashes import SHA256, bare_hash
from ..resources.json_values import identifier, text
from ..resources.version import ModelFile, ModelVersion

MODELS, LORAS = "models.json", "loras.json"
FILES = "civitai_files"  # the member of an entry that lists the files of its version, where there are several

# Folder -> the category's id and its name for people; where nothing stands here the id is the folder's own name.
_CATEGORY = {"upscale_models": "upscalers"}
_CATEGORY_NAMES = {
    "checkpoints": "Checkpoints", "loras": "LoRAs", "vae": "VAE", "embeddings": "Embeddings",
    "controlnet": "ControlNet", "upscalers": "Upscalers", "diffusion_models": "Diffusion Models",
    "text_encoders": "Text Encoders", "clip_vision": "CLIP Vision", "hypernetworks": "Hypernetworks",
    "wan_loras": "Wan LoRAs", "flux_loras": "Flux LoRAs", "sdxl_loras": "SDXL LoRAs", "sd15_loras": "SD 1.5 LoRAs",
    "other_loras": "Other LoRAs", "animatediff_models": "AnimateDiff Models",
}  # fmt: skip
# Types for which CivitAI's own table of folders has none.
_DEST_BY_MODEL = {"AestheticGradient": "embeddings", "Poses": "controlnet"}
# Base models whose checkpoints are uploaded as a bare diffusion model: the ones of the first programs that wrote these
# files, and those for which ComfyUI's own templates load text encoder and VAE from files of their own. A downloaded
# file says it itself.
_BARE = (
    "flux", "wan", "hunyuan video", "cogvideox", "ltx",
    "anima", "chroma", "ernie", "hidream", "krea", "mochi", "qwen", "zimage", "z-image",
)  # fmt: skip
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
        """The SHA256 of the whole file, `""` where the entry does not name it."""
        return next((value for value in self.hashes if len(value) == SHA256), "")


def entry_from_json(raw: Mapping[str, Any], catalog: str = MODELS, category: str = "") -> Entry:
    """Read what people and other tools write: ids as numbers or numeric strings, older names of keys."""
    return Entry(
        catalog=catalog,
        category=category,
        file=text(raw.get("file")),
        dest=text(raw.get("dest")),
        name=text(raw.get("name")),
        version_id=identifier(raw.get("civitai_version_id")),
        model_id=identifier(raw.get("civitai_model_id")),
        file_id=identifier(raw.get("civitai_file_id")),
        base_model=text(raw.get("base_model")) or text(raw.get("civitai_base_model")),
        hashes=hashes_of(raw),
        raw=raw,
    )


def hashes_of(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The hashes that an entry names, in lower case without `0x`."""
    values = (raw.get(key) for key in ("hash", "sha256", "autov3"))
    return tuple(bare_hash(value) for value in values if value and isinstance(value, str))


def category_name(category: str) -> str:
    """What a category is called in a file that does not have it yet."""
    return _CATEGORY_NAMES.get(category) or category.replace("_", " ").title()


def folder_of_file(version: ModelVersion, file: ModelFile) -> str:
    """ComfyUI's folder key for a file, by its type first, then by the model's; `""` for what is no model file."""
    model_type = version.model_type or version.type
    return folder_of(model_type, file.type) or _DEST_BY_MODEL.get(version.model_type, "")


def place_of(version: ModelVersion, file: ModelFile) -> tuple[str, str]:
    """Category and dest of a file. Raises FileRefused for what is no model file."""
    dest = folder_of_file(version, file)
    if not dest:
        model_type, file_type = version.model_type or version.type or "unknown", file.type or "unknown"
        raise FileRefused(
            f"{version.name} is of type {model_type} with a file of type {file_type}, for which ComfyUI has no model "
            "folder; it is not added."
        )
    is_bare = version.base_model.lower().startswith(_BARE) or file.name.lower().endswith(".gguf")
    if dest == "checkpoints" and is_bare:
        dest = "diffusion_models"
    return category_of(dest), dest


def category_of(dest: str) -> str:
    """The category of an entry in `models.json` whose file is in this folder."""
    return _CATEGORY.get(dest, dest)


def lora_category(base_model: str) -> str:
    """The category in `loras.json` of a LoRA for this base model."""
    low = base_model.strip().lower()
    return next((category for head, category in _LORA_CATEGORIES if low.startswith(head)), "other_loras")


def display_name(version: ModelVersion, file: ModelFile) -> str:
    """`<model> <version> [<base model> <PRECISION>]`, without what is unknown or says the same twice."""
    version_name = version.version_name if version.version_name != version.name else ""
    inside = " ".join(filter(None, (version.base_model, file.precision.upper())))
    return " ".join(filter(None, (version.name, version_name, f"[{inside}]" if inside else "")))


def file_facts(version: ModelVersion, file: ModelFile) -> dict[str, Any]:
    """What a person chooses a file of a version by; `size_kb` = bytes / 1024, `folder` is ComfyUI's key, `""` for what
    no loader reads."""
    try:
        folder = place_of(version, file)[1]
    except FileRefused:
        folder = ""
    return {
        "id": file.id,
        "name": file.name,
        "type": file.type,
        "format": file.format,
        "precision": file.precision,
        "size_kb": file.size_kb,
        "hashes": dict(file.hashes),
        "primary": file == version.primary,
        "folder": folder,
    }


def file_line(version: ModelVersion, file: ModelFile) -> str:
    """One file of a version for a person: id, name, size, format, what it is, and where it belongs."""
    facts = file_facts(version, file)
    megabytes = file.size_kb / 1024 if file.size_kb is not None else None
    size = (
        "size unknown"
        if megabytes is None
        else f"{megabytes / 1024:.2f} GB"
        if megabytes >= 1000
        else f"{megabytes:.1f} MB"
    )
    kind = " ".join(filter(None, (file.format, file.precision)))
    details = ", ".join(filter(None, (size, kind, file.type)))
    return f"File {file.id}: {file.name} ({details}) -> {facts['folder'] or 'no model folder'}"


def listed_files(files: Sequence[ModelFile]) -> list[dict[str, Any]]:
    """What an entry says of the files of its version, so that a check needs nobody; empty for a single file."""
    if len(files) < 2:
        return []
    return [{"id": file.id, "name": file.name, "type": file.type, "sha256": file.sha256} for file in files]


def new_entry(version: ModelVersion, file: ModelFile, *, name: str, dest: str) -> dict[str, Any]:
    """The entry of a version's file; `name` is the file's name on disk. Keys as in existing files, then what later
    look-ups need."""
    hashes = {kind.upper(): value.upper() for kind, value in file.hashes.items()}
    entry: dict[str, Any] = {
        "name": display_name(version, file),
        "file": name,
        "dest": dest,
        "source": "civitai",
        "civitai_version_id": version.version_id,
        "civitai_model_id": version.model_id,
        "civitai_file_id": file.id or None,
        "size_gb": round(file.size_kb / 1_000_000, 3) if file.size_kb is not None else None,
        "base_model": version.base_model,
        "tags": [],
        "trigger_words": list(version.trained_words),
        "downloads": version.downloads,
        "hash": hashes.get("SHA256"),
        "autov3": hashes.get("AUTOV3"),
        "air": version.air,
        "type": version.model_type or version.type,
        "usage_control": version.usage_control,
        "nsfw_level": version.nsfw_level,
        FILES: listed_files(version.files) or None,
        "download_url": download_url(SITE, version.version_id, file.id),
    }
    return {key: value for key, value in entry.items() if value is not None}
