"""Every imageGen variant as data, and which of them a base model runs on.

`variants.json` is made from the OpenAPI contract by `tools/make_variants.py`; `engines.json` is ours. A variant's
path is its discriminators joined by `/`, without the operation: `comfy/sdxl`, `sdcpp/zImage/turbo`, `google/imagen4`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UnknownVariant
from ..resources.ecosystems import same_family

CREATE, VARIANT, EDIT = "create", "variant", "edit"
_KINDS = {
    "createImage": CREATE,
    "text-to-image": CREATE,
    "proCreateImage": CREATE,
    "createVariant": VARIANT,
    "editImage": EDIT,
    "image-to-image": EDIT,
    "proEditImage": EDIT,
}
# The order in which a model's AIR is looked for among a variant's fields.
MODEL_FIELDS = ("model", "diffuserModel", "diffusionModel", "checkpointModel")


@dataclass(frozen=True)
class Field:
    """One input of a variant: its type and what the contract allows. None = the contract sets no bound."""

    type: str
    required: bool = False
    nullable: bool = False
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    choices: tuple[Any, ...] = ()
    format: str = ""


@dataclass(frozen=True)
class Variant:
    """One leaf of the contract's tree. `selectors` are its discriminators in the order they must be written."""

    path: str
    operation: str
    selectors: Mapping[str, str]
    fields: Mapping[str, Field]
    retired: bool = False
    family: str = ""
    cfg_is_guidance: bool = False

    @property
    def model_field(self) -> str | None:
        """The field that carries the checkpoint's AIR; None where a selector alone chooses the model."""
        return next((name for name in MODEL_FIELDS if name in self.fields and self.fields[name].type == "air"), None)

    @property
    def guidance_field(self) -> str | None:
        """The field of guidance-distilled models: `guidanceScale`, or `cfgScale` where that is what it means."""
        return "guidanceScale" if "guidanceScale" in self.fields else "cfgScale" if self.cfg_is_guidance else None

    @property
    def lora_shape(self) -> str | None:
        """`lora-map`, `lora-list` or None."""
        return self.fields["loras"].type if "loras" in self.fields else None

    @property
    def kind(self) -> str:
        """create, variant or edit; `""` where one input serves for all."""
        return _KINDS.get(self.operation, "")


@functools.cache
def variants() -> Mapping[str, Mapping[str, Variant]]:
    """path -> operation -> Variant, in the contract's order. Read once, on first use."""
    ours = _table("engines.json")
    table: dict[str, dict[str, Variant]] = {}
    for data in _table("variants.json")["variants"]:
        fields = {
            name: Field(**{**own, "choices": tuple(own.get("choices", ()))}) for name, own in data["fields"].items()
        }
        path, operation = data["path"], data["operation"]
        family, guided = ours["families"].get(path, ""), path in ours["cfg_is_guidance"]
        variant = Variant(path, operation, data["selectors"], fields, data["retired"], family, guided)
        table.setdefault(path, {})[operation] = variant
    return table


def paths() -> list[str]:
    """All variant paths; retired ones stay, so that saved graphs keep their choice."""
    return list(variants())


def find(path: str, kind: str) -> Variant:
    """The variant of a path for create, variant or edit. Raises UnknownVariant with what there is."""
    if path not in variants():
        close = [offered for offered in paths() if path.lower() in offered.lower()]
        hint = f"Did you mean {', '.join(close[:4])}?" if path and close else f"There are: {', '.join(paths())}."
        raise UnknownVariant(f"There is no engine {path!r}. {hint}")
    operations = variants()[path]
    for variant in operations.values():
        if variant.kind == kind or variant.kind == "":
            return variant
    offered = ", ".join(variant.kind for variant in operations.values())
    raise UnknownVariant(f"{path} has no operation {kind!r}; it has: {offered}.")


def engine_for(base_model: str) -> tuple[str, Mapping[str, Any]]:
    """The engine of a base model and the fields that this base model sets. Raises UnknownVariant where there is
    none."""
    entry = _table("engines.json")["base_models"].get(base_model)
    if entry is None:
        raise UnknownVariant(
            f"CivitAI's fleet has no image engine for {base_model or 'a model without a base model'}. "
            "Choose another model, or name an engine yourself."
        )
    if "choose" in entry:
        raise UnknownVariant(
            f"{base_model} runs on several engines; set `engine` to one of: {', '.join(entry['choose'])}."
        )
    return entry["engine"], entry.get("fields", {})


def engines_of(base_model: str) -> tuple[str, ...]:
    """Every engine that a base model is known to run on, the one that is taken unasked first; none where there is
    none."""
    entry = _table("engines.json")["base_models"].get(base_model, {})
    return tuple(entry.get("choose") or ([entry["engine"]] if entry else []))


@functools.cache
def _table(name: str) -> Mapping[str, Any]:
    return json.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))


def fits(variant: Variant, ecosystem: str, base_model: str, chosen: str = "") -> bool:
    """Whether a model, LoRA or VAE of this family runs on a variant, beside the base model `chosen` for it if one is.

    True where the variant's family is not known. Flux.2 Dev and the two sizes of Klein share an AIR ecosystem but no
    networks, so their base models tell them apart."""
    if not variant.family:
        return True
    if not same_family(variant.family, ecosystem):
        return False
    if variant.family == "flux2" and base_model:
        if ("klein" in variant.path.lower()) != ("klein" in base_model.lower()):
            return False
        return _klein_size(base_model) in (_klein_size(chosen), "") or not _klein_size(chosen)
    return True


def _klein_size(base_model: str) -> str:
    return next((size for size in ("4B", "9B") if size in base_model), "")
