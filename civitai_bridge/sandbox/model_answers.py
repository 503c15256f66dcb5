"""How the site's routes describe a model and its versions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from . import files, images, models
from .image_answers import address
from .models import FOREVER, File, Version, file_id, metadata, primary, shown_name, visible

_THEN = models.THEN


def _file(holder: Version, file: File, base: str, listing: Version, *, route: str) -> dict[str, Any]:
    """A file of `holder` as `listing` shows it; the two differ for a linked VAE."""
    main = holder is listing and file == primary(holder)
    kind = file.type if holder is listing else "VAE"
    stated = {"type": kind, **metadata(file, whole=True)}
    query = "" if main else "?" + urlencode(stated)
    hashes = files.hashes(file)
    body: dict[str, Any] = {
        "id": file_id(holder, file),
        "sizeKB": len(files.content(file)) / 1024,
        "name": shown_name(holder, file),
        "type": kind,
        "pickleScanResult": file.pickle_scan if file.scanned else "Pending",
        "pickleScanMessage": "No Pickle imports" if file.scanned else None,
        "virusScanResult": "Success" if file.scanned else "Pending",
        "virusScanMessage": None,
        "scannedAt": _THEN if file.scanned else None,
        "metadata": metadata(file, whole=route == "model"),
        "hashes": hashes,
        "primary": main,
        "downloadUrl": f"{base}/api/download/models/{listing.id}{query}",
    }
    if route == "model" and not main:
        del body["primary"]
    if route in ("model", "hash"):
        body["overrideName"] = file.override or None
    return body


def listed_files(version: Version, base: str, *, route: str = "id") -> list[dict[str, Any]]:
    """The files that a route names; a VAE linked from another version comes last, under that version's file id."""
    if version.mode == "Archived":
        return []
    answers = [_file(version, file, base, version, route=route) for file in version.files if file.public]
    for other in (models.VERSIONS[id] for id in version.linked):
        answers.append(_file(other, other.files[0], base, version, route=route))
    return answers


def _gate(version: Version) -> dict[str, Any] | None:
    if not version.paid:
        return None
    return {"permanent": version.paid == FOREVER, "endsAt": None if version.paid == FOREVER else version.paid}


def usable(version: Version) -> bool:
    """Whether it has a public file."""
    return primary(version) is not None


def full(version: Version, base: str, *, route: str = "id", media: str = "") -> dict[str, Any]:
    """The body of `/model-versions/:id`, and of the by-hash routes (`route="hash"`)."""
    body: dict[str, Any] = {
        "id": version.id,
        "modelId": version.model_id,
        "name": version.name,
        "nsfwLevel": version.level,
        "createdAt": version.published,
        "updatedAt": version.published,
        "status": version.status,
        "publishedAt": version.published,
        "trainedWords": list(version.words),
        "trainingStatus": None,
        "trainingDetails": None,
        "baseModel": version.base,
        "baseModelType": "Standard",
        "description": None,
        "uploadType": "Created",
        "usageControl": version.usage,
        "licensingFee": None,
        "paidAccess": _gate(version),
        "air": version.air,
        "stats": {"downloadCount": version.downloads, "thumbsUpCount": 7},
        "model": {"name": version.model, "type": version.type, "nsfw": version.level > 7, "poi": version.poi},
        "files": listed_files(version, base, route=route),
        "images": [_shown(image, media) for image in images.IMAGES.values() if _shows(image, version)] if media else [],
    }
    if version.mode:
        body["model"]["mode"] = version.mode
    if version.mode != "Archived":
        body["downloadUrl"] = f"{base}/api/download/models/{version.id}"
    return body


def _shows(image: images.Image, version: Version) -> bool:
    return image.shown and any(version_id == version.id for version_id, _ in image.resources)


def _shown(image: images.Image, media: str) -> dict[str, Any]:
    """A picture that the creator shows of a version."""
    return {
        "url": address(image, media), "nsfwLevel": image.level, "width": image.width, "height": image.height,
        "type": image.type, "minor": False, "poi": False, "meta": None, "hasMeta": False,
    }  # fmt: skip


def mini(version: Version, base: str, wanted_id: str = "") -> dict[str, Any]:
    """The body of `/model-versions/mini/:id`; `wanted_id` is a file id."""
    file = (
        next((f for f in version.files if str(file_id(version, f)) == wanted_id), None)
        if wanted_id
        else primary(version)
    )
    assert file is not None, "the route has looked"
    tail = f"?fileId={wanted_id}" if wanted_id else ""
    body = {
        "air": version.air + (f"+{wanted_id}" if wanted_id else ""),
        "versionName": version.name,
        "modelName": version.model,
        "userId": 1,
        "baseModel": version.base,
        "availability": "Private" if version.private else "EarlyAccess" if version.paid else "Public",
        "publishedAt": version.published,
        "size": len(files.content(file)) / 1024,
        "fileType": file.type,
        "fileName": file.name,
        "hashes": files.hashes(file),
        "downloadUrls": [f"{base}/api/download/models/{version.id}{tail}"],
        "format": file.format,
        "canGenerate": version.can_generate,
        "isFeatured": False,
        "requireAuth": version.needs_login,
        "checkPermission": bool(version.paid or version.private),
        "additionalResourceCharge": False,
        "minor": False,
        "sfwOnly": False,
        "fees": [],
        "payoutEnabled": True,
    }
    if body["checkPermission"]:
        body |= {"earlyAccessEndsAt": None if version.paid == FOREVER else version.paid or None, "freeTrialLimit": None}
    return body


def model(model_id: int, base: str) -> dict[str, Any] | None:
    """The body of `/models/:id`: no `modelId`, `air` or `usageControl` in its versions, nulls and empty lists left
    out."""
    versions = sorted(
        (v for v in models.VERSIONS.values() if v.model_id == model_id and visible(v)), key=lambda v: -v.id
    )
    if not versions:
        return None
    first = versions[0]
    body: dict[str, Any] = {
        "id": model_id,
        "name": first.model,
        "type": first.type,
        "nsfw": first.level > 7,
        "nsfwLevel": first.level,
        "availability": "Public",
        "minor": False,
        "poi": first.poi,
        "sfwOnly": False,
        "userId": 1,
        "allowNoCredit": True,
        "allowCommercialUse": "{Image,RentCivit}",
        "allowDerivatives": True,
        "allowDifferentLicense": True,
        "stats": {"downloadCount": first.downloads, "thumbsUpCount": 7, "thumbsDownCount": 0, "commentCount": 0},
        "creator": {"username": "sandbox", "image": None},
        "tags": ["sandbox"],
        "modelVersions": [_of_model(v, base, number) for number, v in enumerate(versions)],
    }
    if first.mode:
        body["mode"] = first.mode
    return _without_nothing(body)


def _of_model(version: Version, base: str, index: int) -> dict[str, Any]:
    return {
        "id": version.id,
        "index": index,
        "name": version.name,
        "baseModel": version.base,
        "baseModelType": "Standard",
        "status": version.status,
        "createdAt": version.published,
        "publishedAt": version.published,
        "availability": "EarlyAccess" if version.paid else "Public",
        "nsfwLevel": version.level,
        "trainedWords": list(version.words),
        "covered": version.can_generate,
        "paidAccess": _gate(version),
        "stats": {"downloadCount": version.downloads, "thumbsUpCount": 7, "thumbsDownCount": 0},
        "files": listed_files(version, base, route="model"),
        "images": [],
        "downloadUrl": f"{base}/api/download/models/{version.id}",
    }


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nothing(v) for k, v in value.items() if v is not None and v != []}
    return [_without_nothing(v) for v in value] if isinstance(value, list) else value
