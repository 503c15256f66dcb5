"""Whether a file may be loaded here by our own rules, before anything is asked for."""

from __future__ import annotations

from ..errors import DownloadForbidden, FileRefused
from ..resources.version import ModelFile
from ..settings import Settings
from .verify import checkable

GB = 10**9
_SAFE = (".safetensors", ".sft", ".gguf", ".onnx", ".yaml", ".yml", ".json")  # the rest may run code when opened


def check_allowed(
    settings: Settings, file: ModelFile, *, from_graph: bool = False, allow_download: bool = True
) -> None:
    """Raises DownloadForbidden where a file may not be loaded, FileRefused where the file itself is why.

    A graph needs the setting and its own switch, and a size that is known: it may be a stranger's."""
    reason = forbidden(settings, file, from_graph=from_graph, allow_download=allow_download)
    if reason:
        raise FileRefused(reason) if reason == dangerous(settings, file) else DownloadForbidden(reason)


def dangerous(settings: Settings, file: ModelFile) -> str:
    """Why a file could harm this machine, `""` where it could not."""
    if file.danger:
        return f"CivitAI's scan found {file.danger} in {file.name}; it is not loaded."
    can_run_code = file.format == "PickleTensor" or not file.name.lower().endswith(_SAFE)
    if not can_run_code or settings.allow_pickle:
        return ""
    return (
        f"{file.name} is of a format that can run code when it is opened. Allow such files with "
        "`civitai-bridge settings allow_pickle true`, or choose a safetensors file."
    )


def forbidden(settings: Settings, file: ModelFile, *, from_graph: bool = False, allow_download: bool = True) -> str:
    """Why a file may not be loaded, `""` where it may."""
    if from_graph and (reason := forbidden_to_graphs(settings, file.name, allow_download)):
        return reason
    if reason := dangerous(settings, file):
        return reason
    if file.size_kb is None:
        return f"CivitAI does not say how large {file.name} is; a graph does not load it." if from_graph else ""
    if from_graph and not checkable(file):
        return f"CivitAI states no hash of {file.name} yet, so its bytes cannot be checked; a graph does not load it."
    return too_large(settings, file, int(file.size_kb * 1024))


def forbidden_to_graphs(settings: Settings, name: str, allow_download: bool) -> str:
    """Why no graph may load anything here, `""` where one may; known before anything is looked up."""
    if settings.graph_downloads != "on":
        return (
            f"{name} is not loaded: graphs may not download here. Whoever runs this server can allow it with "
            "`civitai-bridge settings graph_downloads on`."
        )
    return "" if allow_download else f"{name} is not loaded: switch `allow_download` on at this node."


def too_large(settings: Settings, file: ModelFile, size: int) -> str:
    """Why a file of `size` bytes is not loaded, `""` where the setting allows it."""
    if size <= settings.max_download_gb * GB:
        return ""
    return (
        f"{file.name} has {size / GB:.2f} GB, more than the setting max_download_gb ({settings.max_download_gb}) "
        f"allows. Raise it with `civitai-bridge settings max_download_gb {size // GB + 1}`."
    )
