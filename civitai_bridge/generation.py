"""GenerationData: what made a picture. The one value that every reader produces and every consumer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Network:
    """A LoRA (or one of its kin) and how strongly it was applied. `air` is `""` when it is not known."""

    air: str
    weight: float = 1.0
    name: str = ""
    kind: str = "lora"
    version_id: int | None = None


@dataclass(frozen=True)
class GenerationData:
    """What was asked and what came back. None means "not said"; nothing is invented.

    `sampler` and `scheduler` are in ComfyUI's spelling where they are known; `size` is in pixels; `arrived` lists the
    indices of the batch that came, `missing` the others with a reason each; `source` says who tells it.
    """

    prompt: str = ""
    negative_prompt: str = ""
    model_air: str = ""
    model_name: str = ""
    networks: tuple[Network, ...] = ()
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
