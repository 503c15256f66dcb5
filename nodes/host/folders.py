"""ComfyUI's folders and what is in them, asked each time: other packs change core's lists."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif")
_NO_MODELS = ("custom_nodes", "datasets")


def state_folder() -> Path:
    """ComfyUI's system user directory for this pack, which its web side cannot read."""
    import folder_paths

    if hasattr(folder_paths, "get_system_user_directory"):
        return Path(folder_paths.get_system_user_directory("civitai_bridge"))
    return Path(folder_paths.get_user_directory()) / "__civitai_bridge"


def model_folders() -> dict[str, list[str]]:
    """Every model folder that ComfyUI knows, `extra_model_paths` included."""
    import folder_paths

    folders = folder_paths.folder_names_and_paths.items()
    return {key: [str(path) for path in paths] for key, (paths, *_) in folders if key not in _NO_MODELS}


def models_root() -> Path:
    """ComfyUI's folder `models`."""
    import folder_paths

    return Path(folder_paths.models_dir)


def listed(folder: str) -> list[str]:
    """The file names that ComfyUI's loaders of a folder offer; `""` = of all folders."""
    import folder_paths

    if not folder:
        return [name for key in model_folders() for name in listed(key)]
    return list(folder_paths.get_filename_list(folder)) if folder in folder_paths.folder_names_and_paths else []


def output_folder() -> Path:
    """ComfyUI's folder for pictures."""
    import folder_paths

    return Path(folder_paths.get_output_directory())


def listing_of(folder: str) -> str:
    """A fingerprint of what is in a folder, for nodes whose answer hangs on it."""
    return hashlib.sha256("\n".join(listed(folder)).encode("utf-8", "surrogatepass")).hexdigest()


def input_pictures() -> list[str]:
    """The picture files of ComfyUI's input folder, by name."""
    import folder_paths

    try:
        names = sorted(os.listdir(folder_paths.get_input_directory()))
    except OSError:
        return []
    return [name for name in names if name.lower().endswith(_PICTURES)]


def input_file(name: str) -> Path:
    """Where a picture of an upload combo is; core keeps names with `[output]` and folders apart. Raises BadInput for
    what is outside ComfyUI's own folders."""
    import folder_paths

    from ...civitai_bridge.errors import BadInput

    path = Path(folder_paths.get_annotated_filepath(name)).resolve()
    roots = (folder_paths.get_input_directory, folder_paths.get_output_directory, folder_paths.get_temp_directory)
    if not any(Path(root()).resolve() in path.parents for root in roots):
        raise BadInput(f"{name!r} is not in ComfyUI's input folder.")
    return path
