"""GenerationData: what made a picture. The one value that every reader produces and every consumer takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

LORA_KINDS = ("lora", "lyco")  # the kinds that ComfyUI's LoRA loaders read
NETWORK_KINDS = ("lora", "lyco", "hypernet")


@dataclass(frozen=True, init=False)
class UsedResource:
    """A resource that takes part in a picture (a LoRA or one of its kin, an embedding, a VAE …) and how strongly.

    `air` is `""` when it is not known. `kind` is one of `lora`, `lyco`, `hypernet`, `embedding`, `checkpoint`,
    `refiner`, `vae`, `upscaler`, `controlnet`, `other`. `weight` is the model's (UNet's), `clip_weight` the text
    encoder's, None = the same; weight 0 means off. `again` holds the further (weight, clip weight) pairs of a network
    that is named more than once. `hash` is lower-case hex without `0x`. `source` says where it was found: `prompt`,
    `negative_prompt`, `hashes`, `comfy`, `civitai_resources`, `meta_resources`, `resources`, `file`. `words` are those
    by which a prompt calls an embedding, `trained_words` those that its creator trained it with; `file` is the name of
    its file on CivitAI.
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
    trained_words: tuple[str, ...] = ()

    # Written out, for readers make these by the hundred thousand: a frozen dataclass makes a call for every field.
    def __init__(
        self,
        air: str,
        weight: float = 1.0,
        name: str = "",
        kind: str = "lora",
        version_id: int | None = None,
        clip_weight: float | None = None,
        hash: str = "",
        source: str = "",
        model_id: int | None = None,
        version_name: str = "",
        base_model: str = "",
        again: tuple[tuple[float, float | None], ...] = (),
        words: tuple[str, ...] = (),
        file: str = "",
        trained_words: tuple[str, ...] = (),
    ) -> None:
        members = vars(self)
        members["air"] = air
        members["weight"] = weight
        members["name"] = name
        members["kind"] = kind
        members["version_id"] = version_id
        members["clip_weight"] = clip_weight
        members["hash"] = hash
        members["source"] = source
        members["model_id"] = model_id
        members["version_name"] = version_name
        members["base_model"] = base_model
        members["again"] = again
        members["words"] = words
        members["file"] = file
        members["trained_words"] = trained_words

    @property
    def strength_clip(self) -> float:
        """The text encoder's weight, said or not."""
        return self.weight if self.clip_weight is None else self.clip_weight

    @property
    def total(self) -> tuple[float, float]:
        """Model's and text encoder's weight of all its mentions together: each is applied, and they add up."""
        pairs = ((self.weight, self.clip_weight), *self.again)
        return sum(weight for weight, _ in pairs), sum(weight if clip is None else clip for weight, clip in pairs)

    def to_json(self) -> dict[str, Any]:
        """What is said, names in snake_case; `air`, `weight`, `name` and `kind` always."""
        return _stated(self, always=("air", "weight", "name", "kind"))


@dataclass(frozen=True, init=False)
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

    # Written out as that of `UsedResource` is.
    def __init__(
        self,
        upscaler: str = "",
        scale: float | None = None,
        steps: int | None = None,
        denoise: float | None = None,
        width: int | None = None,
        height: int | None = None,
        prompt: str = "",
        negative_prompt: str = "",
    ) -> None:
        members = vars(self)
        members["upscaler"] = upscaler
        members["scale"] = scale
        members["steps"] = steps
        members["denoise"] = denoise
        members["width"] = width
        members["height"] = height
        members["prompt"] = prompt
        members["negative_prompt"] = negative_prompt

    def to_json(self) -> dict[str, Any]:
        """What is said, names in snake_case."""
        return _stated(self)


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

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> GenerationData:
        """The value of the fields that a reader found, the others unsaid: made in one step, where a frozen dataclass
        makes a call for every field. Raises TypeError for what is no field."""
        if not _MEMBERS.issuperset(members):
            raise TypeError(f"GenerationData has no {', '.join(members.keys() - _MEMBERS)}")
        data = cls.__new__(cls)
        vars(data).update(members)
        for name in _MAPPINGS:
            if name not in members:
                vars(data)[name] = {}
        return data

    @property
    def resources(self) -> tuple[UsedResource, ...]:
        """Networks, embeddings and others in one row; not the model, and not a VAE that is only named."""
        return (*self.networks, *self.embeddings, *self.others)

    @property
    def model(self) -> UsedResource | None:
        """The model as a resource; None where nothing names it. Its source is the best that names it."""
        if not (self.model_version_id or self.model_hash or self.model_name or self.model_air):
            return None
        return UsedResource(
            self.model_air,
            name=self.model_name,
            kind="checkpoint",
            version_id=self.model_version_id,
            hash=self.model_hash,
            source="hashes" if self.model_hash else "civitai_resources" if self.model_air else "meta_resources",
            model_id=self.model_id,
            base_model=self.base_model,
        )

    @property
    def vae_file(self) -> UsedResource | None:
        """The VAE that the settings name, as a resource; None where they name none."""
        if not (self.vae or self.vae_hash):
            return None
        return UsedResource("", name=self.vae, kind="vae", hash=self.vae_hash, source="hashes")

    def to_json(self) -> dict[str, Any]:
        """One JSON object with every field, names in snake_case."""
        return {member.name: _plain(getattr(self, member.name)) for member in fields(self)}


_MEMBERS = frozenset(member.name for member in fields(GenerationData))
_MAPPINGS = ("missing", "extra", "texts")


def by_list(resources: Iterable[UsedResource]) -> dict[str, tuple[UsedResource, ...]]:
    """The fields of a `GenerationData` that hold resources: `networks`, `embeddings` and `others`, each in order."""
    networks: list[UsedResource] = []
    embeddings: list[UsedResource] = []
    others: list[UsedResource] = []
    for used in resources:
        members = networks if used.kind in NETWORK_KINDS else embeddings if used.kind == "embedding" else others
        members.append(used)
    return {"networks": tuple(networks), "embeddings": tuple(embeddings), "others": tuple(others)}


def loras_of(data: GenerationData) -> list[dict[str, Any]]:
    """The LoRAs and LyCORIS of a picture as CIVITAI_LORAS: the dicts that CivitAI's own pack reads (`air`, `strength`,
    `triggerWord`), with what is known besides. One without an AIR has `""` there; weight 0 stays, it means off."""
    return [_lora_entry(lora) for lora in data.networks if lora.kind in LORA_KINDS]


def _lora_entry(lora: UsedResource) -> dict[str, Any]:
    strength, clip = lora.total
    return {
        "air": lora.air,
        "strength": strength,
        "triggerWord": ", ".join(lora.trained_words),
        "strength_clip": clip,
        "name": lora.name,
        "hash": lora.hash,
        "version_id": lora.version_id,
        "file": lora.file,
        "source": lora.source,
    }


def merged_weights(first: UsedResource, again: Iterable[UsedResource]) -> tuple[tuple[float, float | None], ...]:
    """The further weights of a network that is named again: A1111 and ComfyUI apply each of them."""
    return (*first.again, *(pair for used in again for pair in ((used.weight, used.clip_weight), *used.again)))


def _stated(value: UsedResource | Upscale, always: tuple[str, ...] = ()) -> dict[str, Any]:
    members = {member.name: (getattr(value, member.name), member.default) for member in fields(value)}
    return {name: _plain(stated) for name, (stated, default) in members.items() if stated != default or name in always}


def _plain(value: Any) -> Any:
    """A value as JSON takes it: tuples become lists, keys texts, and what JSON cannot say (`nan`) becomes null."""
    if isinstance(value, (UsedResource, Upscale)):
        return value.to_json()
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
