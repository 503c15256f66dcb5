"""The models that the sandbox's site knows: one of each kind that a client must tell apart (site-api §9.4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

_AIR_TYPES = {
    "Checkpoint": "checkpoint",
    "LORA": "lora",
    "LoCon": "lycoris",
    "VAE": "vae",
    "TextualInversion": "embedding",
}


@dataclass(frozen=True)
class Version:
    """One model version. `status` other than Published is a 404; `can_generate` is what the fleet says."""

    id: int
    model_id: int
    model: str
    name: str
    base: str
    ecosystem: str
    type: str = "Checkpoint"
    words: tuple[str, ...] = ()
    can_generate: bool = True
    status: str = "Published"
    usage: str = "Download"
    mode: str = ""
    files: tuple[tuple[str, str], ...] = ()
    rated: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def air(self) -> str:
        kind = _AIR_TYPES.get(self.type, "unknown")
        if self.files and self.files[0][1] == "Diffusion Model":
            kind = "diffusionmodel"
        return f"urn:air:{self.ecosystem}:{kind}:civitai:{self.model_id}@{self.id}"


def digests(name: str) -> dict[str, str]:
    """Hashes of a file that exists only by name: made from it, so that they never change."""
    sha = hashlib.sha256(name.encode()).hexdigest().upper()
    other = hashlib.sha256(b"payload " + name.encode()).hexdigest().upper()
    return {
        "SHA256": sha,
        "AutoV2": sha[:10],
        "AutoV1": other[:8],
        "AutoV3": other[8:20],
        "BLAKE3": hashlib.sha256(b"blake " + name.encode()).hexdigest().upper(),
        "CRC32": other[-8:],
    }


VERSIONS: dict[int, Version] = {
    v.id: v
    for v in (
        Version(128078, 101055, "SD XL", "v1.0 VAE fix", "SDXL 1.0", "sdxl"),
        Version(126601, 101055, "SD XL", "v1.0", "SDXL 1.0", "sdxl"),
        Version(128713, 4384, "DreamShaper", "8", "SD 1.5", "sd1"),
        Version(691639, 618692, "FLUX", "Dev", "Flux.1 D", "flux1"),
        Version(889818, 795765, "Illustrious-XL", "v0.1", "Illustrious", "sdxl"),
        Version(290640, 257749, "Pony Diffusion V6 XL", "V6 (start with this one)", "Pony", "sdxl", words=("score_9",)),
        Version(
            2442439, 2168935, "Z Image Turbo", "Turbo", "ZImageTurbo", "zimageturbo",
            files=(("z_image_turbo_bf16.safetensors", "Diffusion Model"),),
        ),
        Version(2612554, 2322332, "FLUX.2 klein", "9B", "Flux.2 Klein 9B", "flux2"),
        Version(2110043, 1864281, "Qwen-Image", "2512", "Qwen", "qwen"),
        Version(300001, 300000, "Storybook Light", "v2", "SDXL 1.0", "sdxl", "LORA", ("storybook light", "soft glow")),
        Version(300003, 300002, "Harbour Ink", "v1", "SD 1.5", "sd1", "LORA", ("harbour ink",)),
        Version(300005, 300004, "Clear Sky VAE", "v1", "SDXL 1.0", "sdxl", "VAE"),
        Version(300007, 300006, "Only To Look At", "v1", "SDXL 1.0", "sdxl", can_generate=False),
        Version(300009, 300008, "Still A Draft", "v0", "SDXL 1.0", "sdxl", status="Draft"),
        Version(300011, 300010, "Old Friend", "v1", "SDXL 1.0", "sdxl", mode="Archived"),
        Version(300013, 300012, "For The Fleet Alone", "v1", "SDXL 1.0", "sdxl", usage="InternalGeneration"),
        Version(300015, 300014, "Second Diffusion", "2.1", "SD 2.1", "sd2"),
        Version(300017, 300016, "Not Rated Yet", "v1", "SDXL 1.0", "sdxl", rated=False),
        Version(300019, 300018, "Wide Angle", "v1", "Flux.1 D", "flux1", "LORA", ("wide angle",)),
    )
}  # fmt: skip


def file_name(version: Version) -> str:
    if version.files:
        return version.files[0][0]
    plain = "".join(c for c in f"{version.model} {version.name}".title() if c.isalnum())
    return f"{plain[:1].lower()}{plain[1:]}.safetensors"


def visible(version: Version | None) -> bool:
    return version is not None and version.status == "Published" and version.rated


def full(version: Version, base: str) -> dict[str, Any]:
    """The body of `/model-versions/:id`."""
    name, archived = file_name(version), version.mode == "Archived"
    address = f"{base}/api/download/models/{version.id}"
    file = {
        "id": version.id * 10,
        "sizeKB": 6775430.35,
        "name": name,
        "type": version.files[0][1] if version.files else "Model",
        "pickleScanResult": "Success",
        "virusScanResult": "Success",
        "scannedAt": "2026-01-02T03:04:05.678Z",
        "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"},
        "hashes": digests(name),
        "primary": True,
        "downloadUrl": address,
    }
    body: dict[str, Any] = {
        "id": version.id,
        "modelId": version.model_id,
        "name": version.name,
        "nsfwLevel": 1,
        "createdAt": "2026-01-02T03:04:05.678Z",
        "updatedAt": "2026-01-02T03:04:05.678Z",
        "status": version.status,
        "publishedAt": "2026-01-02T03:04:05.678Z",
        "trainedWords": list(version.words),
        "trainingStatus": None,
        "trainingDetails": None,
        "baseModel": version.base,
        "baseModelType": "Standard",
        "description": None,
        "uploadType": "Created",
        "usageControl": version.usage,
        "licensingFee": None,
        "paidAccess": None,
        "air": version.air,
        "stats": {"downloadCount": None, "thumbsUpCount": 7},
        "model": {"name": version.model, "type": version.type, "nsfw": False, "poi": False},
        "files": [] if archived else [file],
        "images": [],
    }
    if archived:
        body["model"]["mode"] = "Archived"
    else:
        body["downloadUrl"] = address
    return body


def mini(version: Version, base: str, file_id: str = "") -> dict[str, Any]:
    """The body of `/model-versions/mini/:id`."""
    name = file_name(version)
    tail = f"?fileId={file_id}" if file_id else ""
    return {
        "air": version.air + (f"+{file_id}" if file_id else ""),
        "versionName": version.name,
        "modelName": version.model,
        "userId": 1,
        "baseModel": version.base,
        "availability": "Public",
        "publishedAt": "2026-01-02T03:04:05.678Z",
        "size": 6775430.35,
        "fileType": version.files[0][1] if version.files else "Model",
        "fileName": name,
        "hashes": digests(name),
        "downloadUrls": [f"{base}/api/download/models/{version.id}{tail}"],
        "format": "SafeTensor",
        "canGenerate": version.can_generate,
        "isFeatured": False,
        "requireAuth": False,
        "checkPermission": False,
        "additionalResourceCharge": False,
        "minor": False,
        "sfwOnly": False,
        "fees": [],
        "payoutEnabled": True,
    }


def by_hash(text: str) -> Version | None:
    wanted = text.upper()
    for version in VERSIONS.values():
        if visible(version) and wanted in digests(file_name(version)).values():
            return version
    return None


def by_air(air: str) -> Version | None:
    tail = air.rsplit("@", 1)[-1].split("+")[0]
    return VERSIONS.get(int(tail)) if tail.isdigit() else None
