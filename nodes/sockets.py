"""The pack's socket types, and the inputs that are alike everywhere."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io


class AnyCombo(str):
    """COMBO for the page; never unequal to a loader's own list for the server, which compares them with `!=`."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


AIR = "CIVITAI_AIR"
Air = io.Custom(AIR)
Loras = io.Custom("CIVITAI_LORAS")
Generation = io.Custom("CIVITAI_GENERATION")
AirOut = io.Custom("CIVITAI_AIR,STRING")
FileName = io.Custom(AnyCombo("COMBO"))


def reference_input(name: str, **options: Any) -> Any:
    """A text widget that also takes a wire from an AIR output."""
    optional = options.get("optional", False)
    return io.MultiType.Input(io.String.Input(name, **options), types=[Air], optional=optional)


def text_of(value: object) -> str:
    """What arrived at a reference input: a wire may bring a number or None, for core converts only plain STRINGs."""
    return str(value if value is not None else "").strip()


# For an input that few people change: newer pages fold it away. As a keyword of its own ComfyUI 0.8 would not load it.
ADVANCED = {"extra_dict": {"advanced": True}}


def choice(name: str, options: list[str], tooltip: str, **more: Any) -> Any:
    """An optional combo; its first option is the default."""
    return io.Combo.Input(name, options=options, default=options[0], optional=True, tooltip=tooltip, **more)


def whole(name: str, default: int, low: int, high: int, tooltip: str, **more: Any) -> Any:
    """An optional whole number from `low` to `high`."""
    return io.Int.Input(name, default=default, min=low, max=high, optional=True, tooltip=tooltip, **more)


def number(name: str, default: float, high: float, step: float, tooltip: str, **more: Any) -> Any:
    """An optional number from 0 to `high`."""
    return io.Float.Input(name, default=default, min=0.0, max=high, step=step, optional=True, tooltip=tooltip, **more)
