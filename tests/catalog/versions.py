"""Versions as CivitAI answers them, and what stands in a catalog."""

from __future__ import annotations

from typing import Any

from pack.civitai_bridge.catalog.entries import MODELS
from pack.civitai_bridge.catalog.store import CatalogStore
from pack.civitai_bridge.resources.version import ModelVersion, version_from_json


def version(**more: Any) -> ModelVersion:
    """The body of `/model-versions/:id` as CivitAI answers it."""
    model = {"name": "Juggernaut XL", "type": "Checkpoint", "nsfw": False, **more.pop("model", {})}
    file = {
        "id": 99, "sizeKB": 6775430.35, "name": "juggernautXL_v9.safetensors", "type": "Model",
        "pickleScanResult": "Success", "virusScanResult": "Success",
        "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"},
        "hashes": {"AutoV2": "D" * 10, "AutoV3": "E" * 12, "SHA256": "AB" * 32}, "primary": True,
        **more.pop("file", {}),
    }  # fmt: skip
    data = {
        "id": 123456, "modelId": 1234, "name": "v9", "baseModel": "SDXL 1.0", "trainedWords": ["jug"], "nsfwLevel": 3,
        "air": "urn:air:sdxl:checkpoint:civitai:1234@123456", "usageControl": "Download", "paidAccess": None,
        "stats": {"downloadCount": 1000}, "model": model, "files": [file], **more,
    }  # fmt: skip
    return version_from_json(data)


def lora(version_id: int = 7, **more: Any) -> ModelVersion:
    file = {"name": f"ink{version_id}.safetensors", "hashes": {"SHA256": f"{version_id:064X}"}, **more.pop("file", {})}
    return version(id=version_id, model={"name": "Ink", "type": "LORA"}, file=file, **more)


def entries(store: CatalogStore, name: str = MODELS) -> list[dict[str, Any]]:
    return [dict(entry.raw) for entry in CatalogStore(store.folder).load(name).entries()]
