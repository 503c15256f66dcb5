"""The models that the sandbox's site knows: one of each kind that a client must tell apart (site-api §9.4–6), and how
its routes describe them (§3.2–§3.6)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from . import files as _files
from .files import File

_AIR_TYPES = {
    "Checkpoint": "checkpoint", "LORA": "lora", "LoCon": "lycoris", "DoRA": "dora", "TextualInversion": "embedding",
    "Hypernetwork": "hypernet", "VAE": "vae", "Controlnet": "controlnet", "Upscaler": "upscaler",
    "MotionModule": "motion", "UNet": "unet", "TextEncoder": "text_encoders", "CLIPVision": "clipvision",
}  # fmt: skip
_AIR_TYPE_BY_FILE = {"Diffusion Model": "diffusionmodel", "UNet": "unet"}
_WEIGHTS = (("format", 100.0), ("size", 10.0), ("fp", 1.0), ("quantType", 0.5))
PREFERENCES = {"format": "SafeTensor", "size": "pruned", "fp": "fp16", "quantType": "Q4_K_M"}
_LARGE = 1_150_000  # beyond the block that AutoV1 is taken from
_THEN = "2026-01-02T03:04:05.678Z"
FOREVER = "forever"


@dataclass(frozen=True)
class Version:
    """One model version. `status` other than Published is a 404; `can_generate` is what the fleet says; `paid` is the
    end of an early access, or FOREVER; `linked` are versions whose first file is listed with this one's."""

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
    uploaded: tuple[File, ...] = ()
    rated: bool = True
    level: int = 1
    paid: str = ""
    private: bool = False
    needs_login: bool = False
    poi: bool = False
    deleted: bool = False
    published: str = _THEN
    linked: tuple[int, ...] = ()
    downloads: int | None = 1000

    @property
    def air(self) -> str:
        main = primary(self)
        kind = _AIR_TYPE_BY_FILE.get(main.type if main else "") or _AIR_TYPES.get(self.type, "unknown")
        return f"urn:air:{self.ecosystem}:{kind}:civitai:{self.model_id}@{self.id}"

    @property
    def files(self) -> tuple[File, ...]:
        """What was uploaded; a version that names nothing has one file of its type's usual size."""
        if self.uploaded:
            return self.uploaded
        length = _LARGE if self.type == "Checkpoint" else 24_000
        return (File(f"{_short(self.model)}_{_short(self.name)}.safetensors", length=length),)


def _one(name: str, **more: Any) -> tuple[File, ...]:
    return (File(name, **more),)


def _network(id: int, name: str, **more: Any) -> Version:
    return Version(
        id, id - 1, name, more.pop("version", "v1"), more.pop("base", "SDXL 1.0"), more.pop("ecosystem", "sdxl"),
        more.pop("type", "LORA"), **more,
    )  # fmt: skip


_FLUX_UNET = "Diffusion Model"
_ALL = (
    Version(128078, 101055, "SD XL", "v1.0 VAE fix", "SDXL 1.0", "sdxl"),
    Version(126601, 101055, "SD XL", "v1.0", "SDXL 1.0", "sdxl"),
    Version(128713, 4384, "DreamShaper", "8", "SD 1.5", "sd1"),
    Version(691639, 618692, "FLUX", "Dev", "Flux.1 D", "flux1"),
    Version(889818, 795765, "Illustrious-XL", "v0.1", "Illustrious", "sdxl"),
    Version(290640, 257749, "Pony Diffusion V6 XL", "V6 (start with this one)", "Pony", "sdxl", words=("score_9",)),
    Version(
        2442439, 2168935, "Z Image Turbo", "Turbo", "ZImageTurbo", "zimageturbo",
        uploaded=_one("z_image_turbo_bf16.safetensors", type=_FLUX_UNET, fp="bf16"),
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
    # files: precisions, quantisations, parts
    Version(
        300021, 300020, "Two Precisions", "v1", "Flux.1 D", "flux1",
        uploaded=(
            File("twoPrecisions_fp16.safetensors", type="UNet"),
            File("twoPrecisions_fp8.safetensors", type="UNet", fp="fp8"),
        ),
    ),
    Version(
        300023, 300022, "Many Sizes", "v1", "Flux.1 D", "flux1",
        uploaded=(
            File("manySizes_Q8_0.gguf", format="GGUF", fp="", quant="Q8_0"),
            File("manySizes_Q4_K_M.gguf", format="GGUF", fp="", quant="Q4_K_M"),
            File("manySizes_fp16.safetensors"),
        ),
    ),
    Version(300025, 300024, "With A Linked VAE", "v1", "SDXL 1.0", "sdxl", linked=(300005,)),
    Version(
        300027, 300026, "In Parts", "v1", "Qwen", "qwen",
        uploaded=(
            File("inParts_bf16.safetensors", type=_FLUX_UNET, fp="bf16"),
            File("inParts_encoder.safetensors", type="Text Encoder", fp="fp8_scaled"),
            File("inParts_vae.safetensors", type="VAE", fp="bf16"),
            File("inParts_config.yaml", type="Config", format="Other", size="", fp=""),
        ),
    ),
    Version(
        300029, 300028, "Old Format", "v1", "SD 1.5", "sd1",
        uploaded=_one("oldFormat.ckpt", format="PickleTensor", size="full", fp="fp32"),
    ),
    _network(
        300031, "Bad Hands Away", base="SD 1.5", ecosystem="sd1", type="TextualInversion", words=("badhandsaway",),
        uploaded=_one("bad_hands_away.pt", format="PickleTensor", length=4000),
    ),
    _network(
        300033, "Quiet Colours", type="TextualInversion", words=("quietcolours",),
        uploaded=(File("quiet.safetensors"), File("quiet_neg.safetensors", type="Negative")),
    ),
    _network(300035, "Just Uploaded", uploaded=_one("justUploaded.safetensors", scanned=False)),
    _network(300037, "Without AutoV3", uploaded=_one("withoutAutoV3.safetensors", lacks=("AutoV3", "BLAKE3"))),
    Version(
        300039, 300038, "Twin Precisions", "v1", "SDXL 1.0", "sdxl",
        uploaded=(
            File("twins_fp32.safetensors", size="full", fp="fp32"),
            File("twins_fp16.safetensors", size="pruned", fp="fp16"),
            File("twins_fp32_pruned.safetensors", size="pruned", fp="fp32"),
            File("twins_fp16_again.safetensors", size="pruned", fp="fp16"),
        ),
    ),
    # what the creator or the site does not allow
    _network(300041, "For Generation Only", usage="Generation"),
    _network(300043, "For Others' Fleets", usage="ExternalGeneration"),
    _network(300045, "Early Bird", paid="2099-01-01T00:00:00.000Z"),
    _network(300047, "Paid For Good", paid=FOREVER),
    _network(300049, "Private Work", private=True),
    _network(300051, "After Login", needs_login=True),
    Version(300053, 300052, "Taken Down", "v1", "SDXL 1.0", "sdxl", mode="TakenDown"),
    _network(300055, "Deleted", status="Deleted", deleted=True),
    _network(300057, "No Longer Published", status="Unpublished"),
    _network(300059, "Of A Real Person", poi=True),
    Version(
        300061, 300060, "Dangerous", "v1", "SD 1.5", "sd1",
        uploaded=_one("dangerous.ckpt", format="PickleTensor", pickle_scan="Danger"),
    ),
    _network(300063, "No Public File", uploaded=_one("noPublicFile.safetensors", public=False)),
    # names
    _network(300065, "水彩スタイル", words=("suisai",), uploaded=_one("suisai style v1.safetensors")),
    _network(
        300067, "Other Name", type="DoRA",
        uploaded=_one("uploaded.safetensors", override="Chosen Name.safetensors"),
    ),
    _network(300069, "../Up And Away", uploaded=_one("../../evil.safetensors")),
    _network(300071, "Reserved", uploaded=_one("CON.safetensors")),
    # the same bytes twice: the earlier published one wins, and it is not the one with the lower id
    _network(
        300073, "Copied Brush", published="2026-03-01T00:00:00.000Z",
        uploaded=_one("copied.safetensors", bytes_of="brush"),
    ),
    _network(
        300075, "Original Brush", published="2025-03-01T00:00:00.000Z",
        uploaded=_one("original.safetensors", bytes_of="brush"),
    ),
    # a storage that does not keep its word
    _network(300077, "Other Bytes", uploaded=_one("otherBytes.safetensors", sends="wrong")),
    _network(300079, "Cut Off", uploaded=_one("cutOff.safetensors", sends="cut")),
    _network(300081, "Shorter Than Said", uploaded=_one("shorter.safetensors", sends="short")),
    _network(300083, "Nowhere In Storage", uploaded=_one("nowhere.safetensors", sends="gone")),
    _network(300085, "Expired At Once", uploaded=_one("expired.safetensors", sends="expired")),
    # types
    _network(300087, "Fine Lines", type="LoCon"),
    _network(
        300089, "Old Net", base="SD 1.5", ecosystem="sd1", type="Hypernetwork",
        uploaded=_one("oldNet.pt", format="PickleTensor", length=4000),
    ),
    _network(300091, "Edges", type="Controlnet"),
    _network(
        300093, "Four Times", base="Upscaler", ecosystem="other", type="Upscaler",
        uploaded=_one("4xFour.pth", format="PickleTensor", length=4000),
    ),
    _network(
        300095, "A Way To Work", base="Other", ecosystem="other", type="Workflows",
        uploaded=_one("way.zip", type="Archive", format="Other", size="", fp=""),
    ),
    _network(300097, "Moving On", base="SD 1.5", ecosystem="sd1", type="MotionModule"),
    _network(300099, "Slow Pan", base="Wan Video 2.2 I2V-A14B", ecosystem="wanvideo-22-i2v-a14b", words=("slow pan",)),
    Version(
        300101, 300100, "Wan Moves", "high", "Wan Video 2.2 T2V-A14B", "wanvideo-22-t2v-a14b",
        uploaded=_one("wanMoves_high_fp8.safetensors", type=_FLUX_UNET, fp="fp8_scaled"),
    ),
    _network(300103, "Dream Eyes", version="Pony", base="Pony", level=28, downloads=None),
    _network(300105, "Trainer's Own Hash", uploaded=_one("trainers.safetensors", trainer_hash="0x95d20eda2f")),
    # one of two files of a model in two families
    Version(300107, 300106, "Two Families", "SD 1.5", "SD 1.5", "sd1", "LORA"),
    Version(300109, 300106, "Two Families", "SDXL", "SDXL 1.0", "sdxl", "LORA"),
    *(_network(300201 + 2 * n, f"Palette {n + 1:02}") for n in range(20)),
)  # fmt: skip
VERSIONS: dict[int, Version] = {v.id: v for v in _ALL}


# --- names and choices -----------------------------------------------------------------------------------------------


def _short(text: str) -> str:
    """Camel case of Latin letters and digits, at most 20 characters, cut between words (site-api §3.2)."""
    found = ""
    for number, word in enumerate(re.findall(r"[A-Za-z0-9]+", text)):
        part = (
            word[:1].upper() + word[1:] if number else (word.lower() if word.isupper() else word[:1].lower() + word[1:])
        )
        if found and len(found) + len(part) > 20:
            break
        found += part
    return found[:20] or "model"


def shown_name(version: Version, file: File) -> str:
    """The name that by-id states and, without an override, a download carries (site-api §3.2)."""
    if version.type in ("LORA", "LoCon", "VAE") or not re.search(r"[A-Za-z]", version.model) or not version.uploaded:
        return file.name
    if version.type == "TextualInversion" and version.words:
        return f"{version.words[0]}{'-neg' if file.type == 'Negative' else ''}.{file.ending}"
    return f"{_short(version.model)}_{_short(version.name)}.{file.ending}"


def download_name(version: Version, file: File) -> str:
    return file.override or shown_name(version, file)


def score(file: File, wanted: dict[str, str]) -> float:
    """How the site ranks files: for each key that a file states, its weight up or down (site-api §3.2)."""
    stated = metadata(file, whole=True)
    points = 1000.0
    for key, weight in _WEIGHTS:
        if stated.get(key):
            points += weight if stated[key] == wanted.get(key) else -weight
    return points + (1000 if file.type in ("Model", "Pruned Model", "Diffusion Model", "UNet") else 0)


def primary(version: Version) -> File | None:
    public = [file for file in version.files if file.public]
    return max(public, key=lambda file: score(file, PREFERENCES)) if public else None


def file_id(version: Version, file: File) -> int:
    return version.id * 10 + version.files.index(file)


def file_of(id: int) -> tuple[Version, File] | None:
    version = VERSIONS.get(id // 10)
    if version is None or id % 10 >= len(version.files):
        return None
    return version, version.files[id % 10]


def metadata(file: File, *, whole: bool = False) -> dict[str, str]:
    stated = {"format": file.format, "size": file.size, "fp": file.fp}
    if whole:
        stated["quantType"] = file.quant
    return {key: value for key, value in stated.items() if value}


def visible(version: Version | None) -> bool:
    return version is not None and version.status == "Published" and version.rated and not version.deleted


# --- descriptions ----------------------------------------------------------------------------------------------------


def _file(holder: Version, file: File, base: str, listing: Version, *, route: str) -> dict[str, Any]:
    """A file of `holder` as `listing` shows it; the two differ for a linked VAE."""
    main = holder is listing and file == primary(holder)
    kind = file.type if holder is listing else "VAE"
    stated = {"type": kind, **metadata(file, whole=True)}
    query = "" if main else "?" + urlencode(stated)
    hashes = _files.hashes(file)
    body: dict[str, Any] = {
        "id": file_id(holder, file),
        "sizeKB": len(_files.content(file)) / 1024,
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
    found = [_file(version, file, base, version, route=route) for file in version.files if file.public]
    for other in (VERSIONS[id] for id in version.linked):
        found.append(_file(other, other.files[0], base, version, route=route))
    return found


def _gate(version: Version) -> dict[str, Any] | None:
    if not version.paid:
        return None
    return {"permanent": version.paid == FOREVER, "endsAt": None if version.paid == FOREVER else version.paid}


def usable(version: Version) -> bool:
    return primary(version) is not None


def full(version: Version, base: str, *, route: str = "id") -> dict[str, Any]:
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
        "images": [],
    }
    if version.mode:
        body["model"]["mode"] = version.mode
    if version.mode != "Archived":
        body["downloadUrl"] = f"{base}/api/download/models/{version.id}"
    return body


def mini(version: Version, base: str, wanted: str = "") -> dict[str, Any]:
    """The body of `/model-versions/mini/:id`; `wanted` is a file id."""
    file = next((f for f in version.files if str(file_id(version, f)) == wanted), None) if wanted else primary(version)
    assert file is not None, "the route has looked"
    tail = f"?fileId={wanted}" if wanted else ""
    body = {
        "air": version.air + (f"+{wanted}" if wanted else ""),
        "versionName": version.name,
        "modelName": version.model,
        "userId": 1,
        "baseModel": version.base,
        "availability": "Private" if version.private else "EarlyAccess" if version.paid else "Public",
        "publishedAt": version.published,
        "size": len(_files.content(file)) / 1024,
        "fileType": file.type,
        "fileName": file.name,
        "hashes": _files.hashes(file),
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
    out (site-api §3.6)."""
    mine = sorted((v for v in VERSIONS.values() if v.model_id == model_id and visible(v)), key=lambda v: -v.id)
    if not mine:
        return None
    first = mine[0]
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
        "modelVersions": [_of_model(v, base, number) for number, v in enumerate(mine)],
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


# --- by hash ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _index() -> dict[str, list[tuple[Version, File]]]:
    """Every stored hash but BLAKE3 -> the files that have it, in the order of their ids."""
    found: dict[str, list[tuple[Version, File]]] = {}
    for version in sorted(VERSIONS.values(), key=lambda v: v.id):
        for file in version.files if visible(version) else ():
            if file.scanned:
                for kind, value in _files.fast_hashes(file).items():
                    if kind not in file.lacks:
                        found.setdefault(value, []).append((version, file))
    return found


@lru_cache(maxsize=1)
def _slow_index() -> dict[str, list[tuple[Version, File]]]:
    found: dict[str, list[tuple[Version, File]]] = {}
    for version, file in dict.fromkeys(pair for pairs in _index().values() for pair in pairs):
        if "BLAKE3" not in file.lacks:
            found.setdefault(_files.blake3_of(file), []).append((version, file))
    return found


def by_hash(text: str) -> Version | None:
    """The earliest published version with a file of this hash, of any kind, whole and in any case (site-api §3.3)."""
    wanted = text.upper()
    pairs = _index().get(wanted) or (_slow_index().get(wanted) if len(wanted) == 64 else None) or []
    return min((version for version, _ in pairs), key=lambda v: v.published, default=None)


def by_sha256(wanted: set[str]) -> list[tuple[Version, File]]:
    """Every file with one of these (upper-case) SHA-256, in the database's order; a version may come twice."""
    pairs = [pair for sha in wanted for pair in _index().get(sha, ()) if len(sha) == 64]
    return sorted(pairs, key=lambda pair: file_id(*pair))


def by_air(air: str) -> Version | None:
    tail = air.rsplit("@", 1)[-1].split("+")[0]
    return VERSIONS.get(int(tail)) if tail.isdigit() else None


def sha256(file: File) -> str:
    return _files.fast_hashes(file)["SHA256"]
