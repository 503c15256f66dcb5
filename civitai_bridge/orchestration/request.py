"""What a person asked for, before anything is looked up: the inputs of the generate node as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..metadata.samplers import AUTO
from ..resources.version import ModelVersion

DEFAULT_DENOISE = 0.7
UNKNOWN_SEED = -1  # as A1111 and others write it


@dataclass(frozen=True)
class LoraInput:
    """A LoRA as a face names it: any reference (`""` = it has none), and how strongly. What else is known of it finds
    a reference: its name, its hash, its file's name; `source` says where it was mentioned."""

    reference: str
    strength: float = 1.0
    name: str = ""
    hash: str = ""
    file: str = ""
    source: str = ""


@dataclass(frozen=True)
class ResolvedLora:
    """A LoRA after it was looked up: the version that goes into the body, and how strongly."""

    resource: ModelVersion
    strength: float


@dataclass(frozen=True)
class GenerationRequest:
    """What a person asked: the generate node's inputs. 0, "" and "auto" mean "what the variant itself would take"; the
    seed -1 that it is not known. `cfg` is classifier-free guidance, `guidance` what guidance-distilled models take.

    `image` and `mask` are PNG bytes; `extra` are a variant's own fields, by the contract's names; `tags` go onto the
    workflow and are no part of what is asked."""

    model: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    quantity: int = 1
    width: int = 0
    height: int = 0
    steps: int = 0
    cfg: float = 0.0
    sampler_name: str = AUTO
    scheduler: str = AUTO
    engine: str = AUTO
    operation: str = AUTO
    denoise: float = DEFAULT_DENOISE
    clip_skip: int = 0
    vae: str = ""
    output_format: str = "png"
    mature_content: str = AUTO
    loras: tuple[LoraInput, ...] = ()
    image: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict)
    guidance: float = 0.0
    tags: tuple[str, ...] = ()
