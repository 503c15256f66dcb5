"""What the site's two routes make of a stored image: tRPC's generation data and an entry of the REST list."""

from __future__ import annotations

import json
from typing import Any

from . import models
from .images import Image
from .wire import UNDEFINED

LEVELS = {1: "None", 2: "Soft", 4: "Mature", 8: "X", 16: "X", 32: "Blocked"}
_ENDINGS = {"image": "jpeg", "video": "mp4", "audio": "mp3"}
_STRENGTH_TYPES = ("TextualInversion", "LORA", "DoRA", "LoCon")
_LEFT_OUT = ("external", "Clip skip")
_COUNTS = ("cryCount", "laughCount", "likeCount", "dislikeCount", "heartCount", "commentCount")
_THEN = "2026-02-03T04:05:06.789Z"


def generation_data(image: Image) -> dict[str, Any]:
    """The payload of `image.getGenerationData`; `UNDEFINED` where the site sets nothing."""
    stored = image.open_meta
    meta = _shown_meta(stored) if stored is not None else None
    external = (image.meta or {}).get("external", UNDEFINED)
    remix = stored.get("extra", {}).get("remixOfId") if stored else None
    on_site = _on_site(meta)
    return {
        "type": image.type,
        "onSite": on_site,
        "process": UNDEFINED if meta is None else _process(image, meta),
        "meta": meta,
        "displayKeys": list(image.display_keys) if on_site else UNDEFINED,
        "resources": [_resource(image, *pair) for pair in image.resources],
        "tools": [
            {"id": n + 1, "name": name, "icon": None, "domain": None, "priority": n + 1, "notes": None}
            for n, name in enumerate(image.tools)
        ],
        "techniques": [{"id": n + 1, "name": name, "notes": None} for n, name in enumerate(image.techniques)],
        "external": external,
        "canRemix": bool(meta and meta.get("prompt")),
        "remixOfId": UNDEFINED if remix is None else remix,
    }


def _shown_meta(stored: dict[str, Any]) -> dict[str, Any]:
    """Nulls and empty lists go, `Clip skip` becomes clipSkip, `external` is lifted out, Comfy text becomes objects."""
    meta = {k: v for k, v in stored.items() if k not in _LEFT_OUT and v is not None and v != [] and v != ""}
    if "Clip skip" in stored:
        meta.setdefault("clipSkip", float(stored["Clip skip"]))
    if isinstance(meta.get("comfy"), str):
        try:
            meta["comfy"] = json.loads(meta["comfy"])
        except ValueError:
            meta["comfy"] = {}
    return meta


def _on_site(meta: dict[str, Any] | None) -> bool:
    if not meta or not meta.get("civitaiResources") or "Version" in meta:
        return False
    return str(meta.get("Model", "urn:air:")).startswith("urn:air:")


def _process(image: Image, meta: dict[str, Any]) -> Any:
    """How the site names the way a picture was made."""
    process = (meta.get("process") or meta.get("type")) if "engine" in meta else ""
    if process:
        return process
    if "comfy" in meta:
        return "comfy" + (" + ControlNet" if meta.get("controlNets") else "")
    process = "txt2img + Hi-Res" if image.process == "txt2imgHiRes" else image.process
    if process and any(key.lower().startswith("controlnet") for key in meta):
        process += " + ControlNet"
    return process or UNDEFINED


def _resource(image: Image, version_id: int, weight: float | None) -> dict[str, Any]:
    version = models.VERSIONS[version_id]
    return {
        "imageId": image.id,
        "modelVersionId": version_id,
        "strength": weight if weight and version.type in _STRENGTH_TYPES else UNDEFINED,
        "modelId": version.model_id,
        "modelName": version.model,
        "modelType": version.type,
        "versionId": version_id,
        "versionName": version.name,
        "baseModel": version.base,
    }


def listed(image: Image, media: str, *, with_meta: bool, wrapped: bool, with_tags: bool) -> dict[str, Any]:
    """An entry of `/images`: the raw stored meta, wrapped once more for some queries."""
    meta: Any = image.open_meta if with_meta else None
    entry = {
        "id": image.id,
        "url": address(image, media),
        "hash": "U5F5vH00~q00~q00M{00" if image.type != "audio" else None,
        "width": image.width,
        "height": image.height,
        "nsfwLevel": LEVELS[image.level],
        "type": image.type,
        "nsfw": image.level > 3,
        "browsingLevel": image.level,
        "createdAt": _THEN,
        "postId": image.post_id,
        "stats": {**dict.fromkeys(_COUNTS, 0), "likeCount": image.likes},
        "meta": {"id": image.id, "meta": meta} if wrapped and with_meta else meta,
        "username": "sandbox",
        "baseModel": image.base,
        "modelVersionIds": [version_id for version_id, _ in image.resources],
    }  # fmt: skip
    return entry | ({"tags": [{"id": 1, "name": "sea"}]} if with_tags else {})


def address(image: Image, media: str) -> str:
    """The address of an image's file on the media host."""
    return f"{media}/sandbox/{image.uuid}/original=true/{image.uuid}.{_ENDINGS[image.type]}"
