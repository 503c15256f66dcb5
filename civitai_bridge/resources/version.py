"""One model version as CivitAI knows it, from any of its routes, as a frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InvalidAir, Unreadable
from .air import Air
from .ecosystems import CHECKPOINT_TYPES, LORA_TYPES, air_type, ecosystem_of
from .hashes import bare_hash, names_file
from .json_values import decimal, integer, items, mapping, objects, text
from .plain_text import one_line, without_html

_DANGERS = {"virusScanResult": "a virus", "pickleScanResult": "code that runs when it is opened"}
_MODE_NOTES = {
    "Archived": "The model is archived; its files cannot be downloaded.",
    "TakenDown": "The model was taken down.",
}


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
class VersionImage:
    """A picture that the creator shows of a version. `type` is `image`, `video` or `audio`; `nsfw_level` is the site's
    bit: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX, 0 where it is not rated."""

    url: str
    type: str
    nsfw_level: int
    width: int
    height: int


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model. `air` is as the API gave it; `can_generate` is None where no route has said it.

    `type` is the AIR type (`checkpoint`, `lora`, …); `model_type` is the site's own word, `""` where the route has
    none. `paid` = early or paid access is on, until `paid_until` (ISO, `""` = for good); `mode` is `Archived`,
    `TakenDown` or `""`. `description` is the creator's text without its HTML, `published` an ISO date, `is_mature` what
    the model's creator said."""

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
    description: str = ""
    published: str = ""
    is_mature: bool = False
    images: tuple[VersionImage, ...] = ()

    @property
    def title(self) -> str:
        """The name for people: the model's and the version's, as far as they are known."""
        return " ".join(part for part in (self.name, self.version_name) if part)

    @property
    def ecosystem(self) -> str:
        """The AIR ecosystem (root family), in lower case."""
        air = _read_air(self.air)
        return (air.ecosystem if air else "") or ecosystem_of(self.base_model)

    @property
    def family(self) -> str:
        """The family for people: the base model, else the ecosystem."""
        return self.base_model or self.ecosystem

    @property
    def is_lora(self) -> bool:
        """Whether ComfyUI's LoRA loaders read it: LoRA, LyCORIS and DoRA."""
        return self.type in LORA_TYPES

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is a model that makes pictures, with or without text encoder and VAE in its file."""
        return self.type in CHECKPOINT_TYPES

    @property
    def primary(self) -> ModelFile | None:
        """The file that a download without a file's id gives."""
        return _primary(self.files)

    def file_of_id(self, file_id: int | None) -> ModelFile | None:
        """The file with this id."""
        return next((file for file in self.files if file_id and file.id == file_id), None)

    def file_of_hash(self, value: str) -> ModelFile | None:
        """The file of which CivitAI states this hash."""
        return next((file for file in self.files if file.has_hash(value)), None)


def version_from_json(data: Any) -> ModelVersion:
    """The body of `GET /api/v1/model-versions/{id}` and `/by-hash/{hash}`. Raises Unreadable."""
    if not isinstance(data, Mapping) or integer(data.get("id")) is None:
        raise Unreadable("CivitAI answered with something that is not a model version.", status=200)
    model, paid = mapping(data.get("model")), data.get("paidAccess")
    files = tuple(_file(entry) for entry in objects(data.get("files")))
    primary = _primary(files)
    model_type, base_model = _text(model, "type"), _text(data, "baseModel")
    type_ = air_type(model_type, primary.type if primary else "")
    version_id, model_id = data["id"], integer(data.get("modelId")) or 0
    air = _text(data, "air")
    if not air and not model_id:
        raise Unreadable("CivitAI gave neither an AIR nor a model id for this version.", status=200)
    composed = Air(ecosystem_of(base_model), type_, "civitai", str(model_id), str(version_id))
    mode = _text(model, "mode")
    return ModelVersion(
        air=air or str(composed),
        version_id=version_id,
        model_id=model_id,
        name=_text(model, "name"),
        version_name=_text(data, "name"),
        base_model=base_model,
        type=_type_of(air) or type_,
        model_type=model_type,
        trained_words=tuple(str(word) for word in items(data.get("trainedWords")) if word),
        files=files,
        usage_control=_text(data, "usageControl") or "Download",
        status=_text(data, "status"),
        air_composed=not air,
        notes=(_MODE_NOTES[mode],) if mode in _MODE_NOTES else (),
        mode=mode,
        paid=isinstance(paid, Mapping),
        paid_until=_text(mapping(paid), "endsAt"),
        downloads=integer(mapping(data.get("stats")).get("downloadCount")),
        nsfw_level=integer(data.get("nsfwLevel")),
        description=without_html(text(data.get("description"))),
        published=_text(data, "publishedAt"),
        is_mature=model.get("nsfw") is True,
        images=tuple(_image(entry) for entry in objects(data.get("images"))),
    )


def version_from_mini(data: Any, version_id: int) -> ModelVersion:
    """The body of `GET /api/v1/model-versions/mini/{id}`: AIR, names, one file, whether the fleet has it. Raises
    Unreadable."""
    if not isinstance(data, Mapping) or not isinstance(data.get("air"), str):
        raise Unreadable("CivitAI answered with something that is not a model version.", status=200)
    # An unknown base model keeps its spaces in the AIR, which is none then; it is passed on as it is.
    air = _read_air(data["air"])
    file = ModelFile(
        id=0,
        name=_text(data, "fileName"),
        type=_text(data, "fileType"),
        size_kb=decimal(data.get("size")),
        hashes=_hashes(data),
        primary=True,
        format=_text(data, "format"),
    )
    can_generate = data.get("canGenerate")
    return ModelVersion(
        air=data["air"],
        version_id=version_id,
        model_id=(air.model_id if air else None) or 0,
        name=_text(data, "modelName"),
        version_name=_text(data, "versionName"),
        base_model=_text(data, "baseModel"),
        type=air.type if air else "",
        files=(file,) if file.name else (),
        can_generate=can_generate if isinstance(can_generate, bool) else None,
        paid=data.get("checkPermission") is True and bool(data.get("earlyAccessEndsAt")),
        paid_until=_text(data, "earlyAccessEndsAt"),
    )


def _file(data: Mapping[str, Any]) -> ModelFile:
    metadata = mapping(data.get("metadata"))
    quantized = _text(metadata, "quantType") if metadata.get("format") == "GGUF" else ""
    return ModelFile(
        id=integer(data.get("id")) or 0,
        name=_text(data, "overrideName") or _text(data, "name"),
        type=_text(data, "type"),
        size_kb=decimal(data.get("sizeKB")),
        hashes=_hashes(data),
        primary=data.get("primary") is True,
        format=_text(metadata, "format"),
        precision=quantized or _text(metadata, "fp"),
        danger=next((danger for scan, danger in _DANGERS.items() if data.get(scan) == "Danger"), ""),
    )


def _image(data: Mapping[str, Any]) -> VersionImage:
    return VersionImage(
        url=_text(data, "url"),
        type=_text(data, "type"),
        nsfw_level=integer(data.get("nsfwLevel")) or 0,
        width=integer(data.get("width")) or 0,
        height=integer(data.get("height")) or 0,
    )


def _primary(files: tuple[ModelFile, ...]) -> ModelFile | None:
    return next((file for file in files if file.primary), files[0] if files else None)


def _hashes(data: Mapping[str, Any]) -> dict[str, str]:
    return {kind: str(value) for kind, value in mapping(data.get("hashes")).items() if value}


def _text(data: Mapping[str, Any], name: str) -> str:
    """A member as text of one line, also where a number stands in its place."""
    return one_line(str(data.get(name) or ""))


def _type_of(air: str) -> str:
    parsed = _read_air(air)
    return parsed.type if parsed else ""


def _read_air(text: str) -> Air | None:
    try:
        return Air.parse(text)
    except InvalidAir:
        return None
