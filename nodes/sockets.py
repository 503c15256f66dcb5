"""The pack's socket types and the helpers that make inputs alike everywhere."""

from __future__ import annotations

import inspect
from typing import Any

from comfy_api.latest import io

from . import host


class AnyCombo(str):
    """COMBO for the page; never unequal to a loader's own list for the server (facts/comfyui-probes.md §2)."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


AIR = "CIVITAI_AIR"
Air = io.Custom(AIR)
Loras = io.Custom("CIVITAI_LORAS")
Generation = io.Custom("CIVITAI_GENERATION")
AirOut = io.Custom("CIVITAI_AIR,STRING")
FileName = io.Custom(AnyCombo("COMBO"))


def reference_input(id: str, **options: Any) -> Any:
    """A text widget that also takes a wire from an AIR output."""
    optional = options.get("optional", False)
    return io.MultiType.Input(io.String.Input(id, **options), types=[Air], optional=optional)


def text_of(value: object) -> str:
    """What arrived at a reference input; core does not convert it (facts/comfyui-probes.md §1)."""
    return str(value if value is not None else "").strip()


def schema(**fields: Any) -> io.Schema:
    """A Schema in our category, with the node's id at hand, without the fields that an older ComfyUI does not know."""
    fields = {"category": "Civitai", "hidden": [io.Hidden.unique_id], **fields}
    known = inspect.signature(io.Schema).parameters
    return io.Schema(**{name: value for name, value in fields.items() if name in known})


def node_id(cls: Any) -> str | None:
    """The running node's id in its graph."""
    return getattr(getattr(cls, "hidden", None), "unique_id", None)


class Fresh(io.ComfyNode):
    """A node that is asked each time: files, catalogs and prices change without ComfyUI."""

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> float:
        return float("nan")


def output(*values: Any, report: str) -> io.NodeOutput:
    """A node's values with its report as the last of them and as text on the node; on the sandbox it says so."""
    report = host.marked(report)
    return io.NodeOutput(*values, report, ui={"text": [report]})
