"""GenerationData: what made a picture. The one value that every reader produces and every consumer takes.

Numbers are finite and in range or absent: `whole` and `number` are the doors through which a stranger's values come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

_LARGEST = 2**64
_LONGEST_NUMBER = 64
# More than any tool takes (ComfyUI's KSampler: 10,000 steps, CFG 100) and than any picture is wide (JPEG: 65,535).
MOST_STEPS, MOST_CFG, MOST_PIXELS, MOST_CLIP_SKIP = 10_000, 1_000.0, 65_535, 100


def whole(value: object) -> int | None:
    """A whole number as JSON, a text or a graph says it; None for anything else, `nan` and `inf` included.

    assert whole("20") == whole(20.0) == 20 and whole("20.5") is None and whole(True) is None"""
    if isinstance(value, str):
        if len(value) < 20 and value.isdigit() and value.isascii():  # nearly all of them
            return int(value)
        value = value.strip()
        if len(value) <= 20 and value.isascii() and value.isdigit():
            found = int(value)
            return found if found < _LARGEST else None
        if value[:1] == "-" and value[1:].isascii() and value[1:].isdigit() and len(value) <= 20:
            return int(value)
        value = number(value)
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_LARGEST < value < _LARGEST else None


def pixels(value: object) -> int | None:
    """A width or height: a whole number from 1 to what a picture can have."""
    found = whole(value)
    return found if found is not None and 0 < found <= MOST_PIXELS else None


def step_count(value: object) -> int | None:
    """A number of steps that some sampler takes."""
    found = whole(value)
    return found if found is not None and 0 <= found <= MOST_STEPS else None


def layers(value: object) -> int | None:
    """A clip skip: layers of a text encoder, from 0."""
    found = whole(value)
    return found if found is not None and 0 <= found <= MOST_CLIP_SKIP else None


def guidance_scale(value: object) -> float | None:
    """A CFG or guidance that leaves something of the picture."""
    found = number(value)
    return found if found is not None and -MOST_CFG <= found <= MOST_CFG else None


def number(value: object) -> float | None:
    """A finite number as JSON, a text or a graph says it; None for anything else, `nan` and `inf` included."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, str) and (len(value) > _LONGEST_NUMBER or "_" in value):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


Value = TypeVar("Value")


def _filled_at_once(of: type[Value]) -> type[Value]:
    """A frozen dataclass whose values are made in one step. Dataclasses call once for each field of a frozen one, and
    readers make values by the hundred thousand: it was a quarter of their time."""
    known: dict[str, Any] = {"_set": object.__setattr__}
    parameters, items = [], []
    for one in fields(of):  # type: ignore[arg-type]
        made = one.default_factory is not MISSING
        if not made and one.default is MISSING:
            parameters.append(one.name)
        else:
            known[f"_{one.name}"] = one.default_factory if made else one.default
            parameters.append(f"{one.name}=" + ("_set" if made else f"_{one.name}"))
        items.append(f"{one.name!r}: " + (f"_{one.name}() if {one.name} is _set else " if made else "") + one.name)
    source = f"def __init__(self, {', '.join(parameters)}):\n    _set(self, '__dict__', {{{', '.join(items)}}})"
    exec(source, known)
    known["__init__"].__qualname__ = f"{of.__qualname__}.__init__"
    of.__init__ = known["__init__"]
    return of


@_filled_at_once
@dataclass(frozen=True)
class UsedResource:
    """A resource that takes part in a picture (a LoRA or one of its kin, an embedding, a VAE …) and how strongly.

    `air` is `""` when it is not known. `kind` is one of `lora`, `lyco`, `hypernet`, `embedding`, `checkpoint`,
    `refiner`, `vae`, `upscaler`, `controlnet`, `other`. `weight` is the model's (UNet's), `clip_weight` the text
    encoder's, None = the same; weight 0 means off. `again` holds the further (weight, clip weight) pairs of a network
    that is named more than once. `hash` is lower-case hex without `0x`. `source` says where it was found: `prompt`,
    `negative_prompt`, `hashes`, `comfy`, `civitai_resources`, `meta_resources`, `resources`, `file`.
    """

    air: str
    weight: float = 1.0
    name: str = ""
    kind: str = "lora"
    version_id: int | None = None
    clip_weight: float | None = None
    hash: str = ""
    source: str = ""
    model_id: int | None = None
    version_name: str = ""
    base_model: str = ""
    again: tuple[tuple[float, float | None], ...] = ()
    words: tuple[str, ...] = ()
    file: str = ""

    @property
    def strength_clip(self) -> float:
        """The text encoder's weight, said or not."""
        return self.weight if self.clip_weight is None else self.clip_weight

    @property
    def total(self) -> tuple[float, float]:
        """Model's and text encoder's weight of all its mentions together: each is applied, and they add up."""
        pairs = ((self.weight, self.clip_weight), *self.again)
        return sum(w for w, _ in pairs), sum(w if clip is None else clip for w, clip in pairs)

    def to_json(self) -> dict[str, Any]:
        """What is said, names in snake_case; `air`, `weight`, `name` and `kind` always."""
        always = ("air", "weight", "name", "kind")
        return {
            f.name: _plain(v) for f in fields(self) if (v := getattr(self, f.name)) != f.default or f.name in always
        }


@_filled_at_once
@dataclass(frozen=True)
class Upscale:
    """The second pass of a picture ("Hires fix", a second sampler): None and `""` mean "not said"."""

    upscaler: str = ""
    scale: float | None = None
    steps: int | None = None
    denoise: float | None = None
    width: int | None = None
    height: int | None = None
    prompt: str = ""
    negative_prompt: str = ""

    def to_json(self) -> dict[str, Any]:
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}


@_filled_at_once
@dataclass(frozen=True)
class GenerationData:
    """What was asked and what came back. None means "not said"; nothing is invented.

    `sampler` and `scheduler` are in ComfyUI's spelling where they are known, else as the text spells them; width and
    height are in pixels; `arrived` lists the indices of the batch that came, `missing` the others with a reason each;
    `source` says who tells it. `denoise` is that of the first pass, `upscale` tells of the second. `others` are the
    resources that are neither model, network nor embedding. `texts` are the original texts by name, `extra` what was
    said and has no field here, `notes` what could not be understood or has to be known.
    """

    prompt: str = ""
    negative_prompt: str = ""
    model_air: str = ""
    model_name: str = ""
    networks: tuple[UsedResource, ...] = ()
    seed: int | None = None
    steps: int | None = None
    cfg: float | None = None
    sampler: str = ""
    scheduler: str = ""
    width: int | None = None
    height: int | None = None
    clip_skip: int | None = None
    denoise: float | None = None
    engine: str = ""
    workflow_id: str = ""
    cost: float | None = None
    arrived: tuple[int, ...] = ()
    missing: Mapping[int, str] = field(default_factory=dict)
    source: str = ""
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    model_hash: str = ""
    model_version_id: int | None = None
    model_id: int | None = None
    base_model: str = ""
    vae: str = ""
    vae_hash: str = ""
    embeddings: tuple[UsedResource, ...] = ()
    others: tuple[UsedResource, ...] = ()
    guidance: float | None = None
    upscale: Upscale | None = None
    software: str = ""
    image_id: int | None = None
    media_type: str = ""
    process: str = ""
    techniques: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    detected_type: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """One JSON object with every field, names in snake_case."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


LORAS = ("lora", "lyco")  # the kinds that ComfyUI's LoRA loaders read


def loras_of(data: GenerationData) -> list[dict[str, Any]]:
    """The LoRAs and LyCORIS of a picture as CIVITAI_LORAS: the dicts that CivitAI's own pack reads (`air`, `strength`,
    `triggerWord`), with what is known besides. One without an AIR has `""` there; weight 0 stays, it means off."""
    found = []
    for one in data.networks:
        if one.kind in LORAS:
            strength, clip = one.total
            found.append(
                {
                    "air": one.air,
                    "strength": strength,
                    "triggerWord": "",
                    "strength_clip": clip,
                    "name": one.name,
                    "hash": one.hash,
                    "version_id": one.version_id,
                    "file": one.file,
                    "source": one.source,
                }
            )
    return found


def _plain(value: Any) -> Any:
    """A value as JSON takes it: tuples become lists, keys texts, and what JSON cannot say (`nan`) becomes null."""
    if isinstance(value, (UsedResource, Upscale)):
        return value.to_json()
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def generation_from_json(value: Mapping[str, Any]) -> GenerationData:
    """The reverse of `to_json`. A value of the wrong kind is left out and named in the notes; the rest stays."""
    notes: list[str] = []
    read = from_json_fields(value, notes)
    read["notes"] = (*read.get("notes", ()), *notes)
    return GenerationData(**read)


def from_json_fields(value: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The fields of a `GenerationData` that a JSON object holds, each checked on its own."""
    return _checked(GenerationData, value, notes)


def _checked(of: type, value: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for one in fields(of):
        said = value.get(one.name)
        if said is None:
            continue
        door = _DOORS.get(one.name)
        found = _READ[str(one.type)](said, notes) if door is None else door(said)
        if found is None:
            notes.append(f"{one.name} is left out: {shown(said)} is not a value for it.")
        else:
            read[one.name] = found
    return read


def shown(value: object, longest: int = 60) -> str:
    """A stranger's value in one short line, for a note."""
    text = repr(value[:longest] if isinstance(value, (str, list, tuple)) else value)
    return text if len(text) <= longest else text[:longest] + "…"


def _text(value: object, _: list[str]) -> str | None:
    return value if isinstance(value, str) else None


def _list_of(read: Callable[[Any, list[str]], Any]) -> Callable[[Any, list[str]], Any]:
    def of(value: object, notes: list[str]) -> tuple[Any, ...] | None:
        if not isinstance(value, (list, tuple)):
            return None
        found = [read(one, notes) for one in value]
        if None in found:
            notes.append(f"{found.count(None)} of {len(found)} entries of a list could not be read.")
        return tuple(one for one in found if one is not None)

    return of


def _network(value: object, notes: list[str]) -> UsedResource | None:
    if not isinstance(value, Mapping):
        return None
    return UsedResource(**{"air": "", **_checked(UsedResource, value, notes)})


def _upscale(value: object, notes: list[str]) -> Upscale | None:
    return Upscale(**_checked(Upscale, value, notes)) if isinstance(value, Mapping) else None


def _pair(value: object, _: list[str]) -> tuple[float, float | None] | None:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or (first := number(value[0])) is None:
        return None
    return first, number(value[1])


def _mapping(key: Callable[[Any], Any], wanted: type) -> Callable[[Any, list[str]], Any]:
    def of(value: object, _: list[str]) -> dict[Any, Any] | None:
        if not isinstance(value, Mapping):
            return None
        return {k: one for name, one in value.items() if (k := key(name)) is not None and isinstance(one, wanted)}

    return of


_READ: Mapping[str, Callable[[Any, list[str]], Any]] = {
    "str": _text,
    "int | None": lambda value, _: whole(value),
    "float": lambda value, _: number(value),
    "float | None": lambda value, _: number(value),
    "tuple[UsedResource, ...]": _list_of(_network),
    "tuple[str, ...]": _list_of(_text),
    "tuple[int, ...]": _list_of(lambda value, _: whole(value)),
    "tuple[tuple[float, float | None], ...]": _list_of(_pair),
    "Upscale | None": _upscale,
    "Mapping[int, str]": _mapping(whole, str),
    "Mapping[str, str]": _mapping(str, str),
    "Mapping[str, Any]": _mapping(str, object),
}


# The fields whose values have bounds, whoever says them.
_DOORS: Mapping[str, Callable[[object], Any]] = {
    "steps": step_count, "cfg": guidance_scale, "guidance": guidance_scale, "width": pixels, "height": pixels,
    "clip_skip": layers,
}  # fmt: skip


def merged_weights(first: UsedResource, more: Iterable[UsedResource]) -> tuple[tuple[float, float | None], ...]:
    """The further weights of a network that is named again: each is applied (facts/site-api.md §8.3)."""
    return (*first.again, *(pair for one in more for pair in ((one.weight, one.clip_weight), *one.again)))
