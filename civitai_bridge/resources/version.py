"""One model version as CivitAI knows it, from any of its routes, as a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidAir, Unreadable
from .air import Air
from .ecosystems import CHECKPOINT_TYPES, LORA_TYPES, air_type, ecosystem_of
from .hashes import bare_hash, names_file

_SCANS = {"virusScanResult": "a virus", "pickleScanResult": "code that runs when it is opened"}


@dataclass(frozen=True)
class ModelFile:
    """A file of a version; `hashes` are upper-case hex by kind, any of them may be missing; `size_kb` = bytes /
    1024.

    `precision` is the site's `fp`, for GGUF its `quantType`; `danger` says what a scan found."""

    id: int
    name: str
    type: str
    size_kb: float | None
    hashes: Mapping[str, str]
    primary: bool = False
    format: str = ""
    precision: str = ""
    danger: str = ""

    @property
    def sha256(self) -> str:
        """The SHA256 that CivitAI states, in lower case; `""` before it has scanned the file."""
        return next((value.lower() for kind, value in self.hashes.items() if kind.upper() == "SHA256"), "")

    def has_hash(self, value: str) -> bool:
        """Whether a hash is one of those that CivitAI states, of any kind."""
        return names_file(bare_hash(value), {stated.lower() for stated in self.hashes.values()})


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model. `air` is as the API gave it; `can_generate` is None where no route has said it.

    `type` is the AIR type (`checkpoint`, `lora`, …); `model_type` is the site's own word, `""` where the route has
    none. `paid` = early or paid access is on, until `paid_until` (ISO, `""` = for good); `mode` is `Archived`,
    `TakenDown` or `""`."""

    air: str
    version_id: int
    model_id: int
    name: str
    version_name: str
    base_model: str
    type: str
    model_type: str = ""
    trained_words: tuple[str, ...] = ()
    files: tuple[ModelFile, ...] = ()
    can_generate: bool | None = None
    usage_control: str = "Download"
    status: str = ""
    air_composed: bool = False
    notes: tuple[str, ...] = field(default=())
    mode: str = ""
    paid: bool = False
    paid_until: str = ""
    downloads: int | None = None
    nsfw_level: int | None = None

    @property
    def full_name(self) -> str:
        """The model's name and the version's, as far as they are known."""
        return " ".join(filter(None, (self.name, self.version_name)))

    @property
    def ecosystem(self) -> str:
        """The AIR ecosystem (root family), in lower case."""
        try:
            return Air.parse(self.air).ecosystem or ecosystem_of(self.base_model)
        except InvalidAir:
            return ecosystem_of(self.base_model)

    @property
    def family(self) -> str:
        """The family for people: the base model, else the ecosystem."""
        return self.base_model or self.ecosystem

    @property
    def is_lora(self) -> bool:
        return self.type in LORA_TYPES

    @property
    def is_checkpoint(self) -> bool:
        return self.type in CHECKPOINT_TYPES

    @property
    def primary(self) -> ModelFile | None:
        return next((f for f in self.files if f.primary), self.files[0] if self.files else None)

    def file_of_id(self, file_id: int | None) -> ModelFile | None:
        """The file with this id."""
        return next((file for file in self.files if file_id and file.id == file_id), None)

    def file_of_hash(self, value: str) -> ModelFile | None:
        """The file of which CivitAI states this hash."""
        return next((file for file in self.files if file.has_hash(value)), None)


def resource_from_version(data: Any) -> ModelVersion:
    """The body of `/model-versions/:id` and `/by-hash/:hash` (facts/site-api.md §3.2)."""
    if not isinstance(data, Mapping) or not isinstance(data.get("id"), int):
        raise Unreadable("CivitAI answered with something that is not a model version.", status=200)
    model = data.get("model")
    model = model if isinstance(model, Mapping) else {}
    files = tuple(_file(f) for f in _list(data.get("files")) if isinstance(f, Mapping))
    model_type = str(model.get("type") or "")
    primary = next((f for f in files if f.primary), files[0] if files else None)
    kind = air_type(model_type, primary.type if primary else "")
    base, version_id, model_id = str(data.get("baseModel") or ""), data["id"], _whole(data.get("modelId"))
    air, composed = str(data.get("air") or ""), False
    if not air and not model_id:
        raise Unreadable("CivitAI gave neither an AIR nor a model id for this version.", status=200)
    if not air:
        air, composed = str(Air(ecosystem_of(base), kind, "civitai", str(model_id), str(version_id))), True
    paid, stats = data.get("paidAccess"), data.get("stats")
    notes = []
    if model.get("mode") == "Archived":
        notes.append("The model is archived; its files cannot be downloaded.")
    if model.get("mode") == "TakenDown":
        notes.append("The model was taken down.")
    return ModelVersion(
        air=air,
        version_id=version_id,
        model_id=model_id,
        name=str(model.get("name") or ""),
        version_name=str(data.get("name") or ""),
        base_model=base,
        type=_type_of(air) or kind,
        model_type=model_type,
        trained_words=tuple(str(word) for word in _list(data.get("trainedWords")) if word),
        files=files,
        usage_control=str(data.get("usageControl") or "Download"),
        status=str(data.get("status") or ""),
        air_composed=composed,
        notes=tuple(notes),
        mode=str(model.get("mode") or ""),
        paid=isinstance(paid, Mapping),
        paid_until=str(paid.get("endsAt") or "") if isinstance(paid, Mapping) else "",
        downloads=_count(stats.get("downloadCount")) if isinstance(stats, Mapping) else None,
        nsfw_level=_count(data.get("nsfwLevel")),
    )


def resource_from_mini(data: Any, version_id: int) -> ModelVersion:
    """The body of `/model-versions/mini/:id` (facts/site-api.md §3.4): AIR, names, one file, whether the fleet has
    it."""
    if not isinstance(data, Mapping) or not isinstance(data.get("air"), str):
        raise Unreadable("CivitAI answered with something that is not a model version.", status=200)
    air = data["air"]
    try:
        model_id = Air.parse(air).model_id or 0
    except InvalidAir:
        model_id = 0  # an unknown base model keeps its spaces in the AIR (site-api §5.2); it is passed on as it is
    hashes = data.get("hashes")
    one = ModelFile(
        id=0,
        name=str(data.get("fileName") or ""),
        type=str(data.get("fileType") or ""),
        size_kb=_number(data.get("size")),
        hashes={k: str(v) for k, v in hashes.items() if v} if isinstance(hashes, Mapping) else {},
        primary=True,
        format=str(data.get("format") or ""),
    )
    can = data.get("canGenerate")
    return ModelVersion(
        air=air,
        version_id=version_id,
        model_id=model_id,
        name=str(data.get("modelName") or ""),
        version_name=str(data.get("versionName") or ""),
        base_model=str(data.get("baseModel") or ""),
        type=_type_of(air),
        files=(one,) if one.name else (),
        can_generate=can if isinstance(can, bool) else None,
        paid=data.get("checkPermission") is True and bool(data.get("earlyAccessEndsAt")),
        paid_until=str(data.get("earlyAccessEndsAt") or ""),
    )


def _file(data: Mapping[str, Any]) -> ModelFile:
    hashes = data.get("hashes")
    metadata = data.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    is_gguf = metadata.get("format") == "GGUF"
    return ModelFile(
        id=_whole(data.get("id")),
        name=str(data.get("overrideName") or data.get("name") or ""),
        type=str(data.get("type") or ""),
        size_kb=_number(data.get("sizeKB")),
        hashes={k: str(v) for k, v in hashes.items() if v} if isinstance(hashes, Mapping) else {},
        primary=data.get("primary") is True,
        format=str(metadata.get("format") or ""),
        precision=str((metadata.get("quantType") if is_gguf else metadata.get("fp")) or metadata.get("fp") or ""),
        danger=next((found for scan, found in _SCANS.items() if data.get(scan) == "Danger"), ""),
    )


def _type_of(air: str) -> str:
    try:
        return Air.parse(air).type
    except InvalidAir:
        return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
