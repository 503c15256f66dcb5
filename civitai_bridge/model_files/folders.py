"""ComfyUI's model folders, for who is not ComfyUI: as the server noted them, or as they lie below a models root."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..settings import Settings, note_json, read_json

NOTE = "folders.json"
# ComfyUI's own keys that hold model files (its folder_paths.py), and the older name that some of their folders have.
KEYS = (
    "checkpoints", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models", "embeddings",
    "controlnet", "gligen", "upscale_models", "hypernetworks", "photomaker", "model_patches", "audio_encoders",
    "configs",
)  # fmt: skip
_OLDER_NAMES = {"diffusion_models": "unet", "text_encoders": "clip", "controlnet": "t2i_adapter"}
_NO_MODELS = frozenset({"custom_nodes", "datasets"})

Folders = Mapping[str, Sequence[str | Path]]


def folders_below(root: Path) -> dict[str, list[Path]]:
    """The folder keys of a models root: ComfyUI's own, and every other folder that is there."""
    folders = {key: [root / key] for key in KEYS}
    for key, older_name in _OLDER_NAMES.items():
        if (root / older_name).is_dir():
            folders[key].append(root / older_name)
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        names = []
    for name in names:
        if name not in _OLDER_NAMES.values():
            folders.setdefault(name, [root / name])
    return folders


def note_folders(home: Path, folders: Folders, root: Path | str) -> None:
    """Leave word for the command line where the server's models lie (`extra_model_paths` included)."""
    model_folders = {key: [str(path) for path in paths] for key, paths in folders.items() if key not in _NO_MODELS}
    data = {"models_root": str(root), "folders": model_folders}
    note_json(home / NOTE, data)


def known_folders(settings: Settings) -> tuple[Folders, Path | None]:
    """The model folders and their root: of CIVITAI_BRIDGE_MODELS, else as the server noted them; in the sandbox a
    folder of its own; nothing where nobody said anything."""
    if settings.models_root is not None:
        return folders_below(settings.models_root), settings.models_root
    if settings.sandbox:
        return folders_below(settings.home / "models"), settings.home / "models"
    noted = read_json(settings.home / NOTE)
    folders, root = noted.get("folders"), noted.get("models_root")
    if not isinstance(folders, dict) or not isinstance(root, str):
        return {}, None
    return {str(key): list(_texts(paths)) for key, paths in folders.items()}, Path(root)


def _texts(paths: object) -> Iterable[str]:
    return (path for path in paths if isinstance(path, str)) if isinstance(paths, list) else ()
