"""A drawn node's widget values by name: as the page wrote them, or from its list by the names of the node's row.

A list that is longer or shorter than the names, or whose values are not of the kinds that the names want, is never
taken by its order alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ...resources.json_values import number, whole
from .drawn import Drawn
from .graph import Unwritten
from .nodes import Row, row
from .remarks import Remarks

_CONTROLS = ("fixed", "randomize", "increment", "decrement", "increment-wrap")
# Types of outputs that may carry what a picture was made with.
_SHOWS = {"MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "STRING", "INT", "FLOAT", "SAMPLER", "SIGMAS", "GUIDER"}
_SEEDS = ("seed", "noise_seed")
_WHOLE = {"seed", "noise_seed", "steps", "width", "height", "start_at_step", "end_at_step", "batch_size", "clip_skip",
          "stop_at_clip_layer", "empty_latent_width", "empty_latent_height", "lora_count", "num_loras"}  # fmt: skip
_NUMBERS = {"cfg", "denoise", "guidance", "strength_model", "strength_clip", "lora_model_strength", "scale_by",
            "lora_clip_strength", "upscale_by", "denoise_strength"}  # fmt: skip
_WORDS = {"sampler_name", "scheduler", "ckpt_name", "unet_name", "vae_name", "lora_name", "control_net_name", "text",
          "positive", "negative", "prompt", "model_name", "text_g", "text_l", "clip_l", "t5xxl"}  # fmt: skip
_TYPED = _WHOLE | _NUMBERS | _WORDS
_MORE_NUMBERS = re.compile(r"(^|_)(strength|weight|scale|factor|percent|threshold|denoise|cfg|amount)(_\d+)?$")
_MORE_WORDS = re.compile(r"_name(_\d+)?$")
# Texts of which the page chooses one of {several|words} when it queues them, and in which it leaves out comments.
_DYNAMIC = {"text", "prompt", "positive", "negative", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "wildcard_text",
            "positive_prompt", "negative_prompt", "llama", "user_prompt"}  # fmt: skip
_COMMENTS = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.S)
_CHOICE = re.compile(r"(?<!\\)\{[^{}]*\|[^{}]*\}")
_BRACES = re.compile(r"(?<!\\)\{([^{}|]*)\}")


def widget_values(node: Drawn, remarks: Remarks) -> dict[str, Any]:
    """The values of a node's widgets by name, with those that an instance sets for it; what is drawn by chance when
    the page is queued is not written."""
    values = _by_name(node, remarks)
    if node.set_values:
        values |= node.set_values
    if not _DYNAMIC.isdisjoint(values) and "ildcard" not in node.kind and "Primitive" not in node.kind:
        return {name: _queued(value, remarks) if name in _DYNAMIC else value for name, value in values.items()}
    return values


def _by_name(node: Drawn, remarks: Remarks) -> dict[str, Any]:
    values = node.values
    if isinstance(values, dict):
        return dict(values)
    if not values or not isinstance(values, list):
        return {}
    table = _names(row(node.kind), len(values))
    named, left = (_aligned(table, values, exact=False) if table else None) or (None, 0)
    if named is None:
        own = [slot.widget for slot in node.slots if slot.widget]
        named = _own_names(node, own, remarks) if own or table else {}
    elif left and not _TYPED.isdisjoint(table):
        extent = "more" if left > 0 else "fewer"
        remarks.note(f"{node.kind[:60]} has {extent} values than widgets that are known here.")
    return named | _unnamed_loras(values)


def _own_names(node: Drawn, own: list[str], remarks: Remarks) -> dict[str, Any]:
    """The values by the names in the node's own inputs, which must name all of them; a note where they do not."""
    named = _aligned(own, node.values, exact=True) if isinstance(node.values, list) else None
    table = _names(row(node.kind), 0)
    if named is None and not (_TYPED.isdisjoint((*table, *own)) and _SHOWS.isdisjoint(node.outputs)):
        remarks.note(f"The values of {node.kind[:60]} do not fit its widgets; they are not read.")
    return named[0] if named is not None else {}


def _names(of: Row, count: int) -> Sequence[str]:
    """The names that a row gives widgets, with those that come again and again as far as there are values."""
    names, each = of.get("widgets", ()), of.get("each")
    if not each:
        return names
    again = range(1, 1 + max(count - len(names), 0) // len(each))
    return (*names, *(name.format(i) for i in again for name in each))


def _aligned(names: Sequence[str], values: Sequence[Any], *, exact: bool) -> tuple[dict[str, Any], int] | None:
    """(values by name, how many values are left over or, negative, missing) where each value is of the kind that its
    name wants; behind a seed may stand what the page does with it after a run. None where they do not fit."""
    named: dict[str, Any] = {}
    at = 0
    for i, name in enumerate(names):
        if at >= len(values):
            return None if exact else (named, i - len(names))
        if not _fits(name, values[at]):
            return None
        named[name] = values[at]
        at += 1
        are_more = len(values) - at > len(names) - i - 1
        if name.endswith(_SEEDS) and at < len(values) and _is_control(values[at], names[i + 1 : i + 2], are_more):
            at += 1
    left = len(values) - at
    if left and _is_control(values[at], (), False):
        left -= 1
    return None if exact and left else (named, 0 if _is_harmless(values[len(values) - left :]) else left)


def _is_harmless(values: Sequence[Any]) -> bool:
    """Whether values beyond the known widgets are those of buttons and previews."""
    return all(value in (None, "", "image", {}) or isinstance(value, (list, Mapping)) for value in values)


def _is_control(value: object, following: Sequence[str], are_more: bool) -> bool:
    """Whether a value says what becomes of a seed after a run: a word, `true` and `false` on pages of 2023, null where
    a pack draws its own (and there are more values than names)."""
    if value is None:
        return are_more
    if isinstance(value, bool):
        return not following or following[0] in _TYPED
    return isinstance(value, str) and value in _CONTROLS


def _fits(name: str, value: object) -> bool:
    """Whether a value is of the kind that a widget of this name holds; a widget that became an input may hold null."""
    if value is None:
        return True
    kind = _kind_of(name)
    if kind == "whole":
        return not isinstance(value, str) and whole(value) is not None
    if kind == "number":
        return not isinstance(value, str) and number(value) is not None
    if kind == "amount":
        return not isinstance(value, (str, list, dict))
    return not kind or (isinstance(value, (str, dict)) and value not in _CONTROLS)


@lru_cache(4096)
def _kind_of(name: str) -> str:
    """What a widget of this name holds: `whole`, `number`, `amount` (a number or a switch), `word`; `""` unknown."""
    if name in _WHOLE:
        return "whole"
    if name in _NUMBERS:
        return "number"
    if _MORE_NUMBERS.search(name):
        return "amount"
    return "word" if name in _WORDS or _MORE_WORDS.search(name) else ""


def _unnamed_loras(values: Sequence[Any]) -> dict[str, Any]:
    """The LoRAs that stand in a list as objects, with no names of their own."""
    loras: dict[str, Any] = {}
    if not any(isinstance(value, (dict, list)) for value in values):
        return loras
    for i, value in enumerate(values):
        if isinstance(value, Mapping) and isinstance(value.get("lora"), str):
            loras[f"lora_{i}"] = value
        elif (
            isinstance(value, list) and value and all(isinstance(entry, Mapping) and "name" in entry for entry in value)
        ):
            loras["loras"] = value
    return loras


def _queued(value: object, remarks: Remarks) -> object:
    """A text as the page queues it: without comments, with its choices made, which nobody knows any more."""
    if not isinstance(value, str):
        return value
    if _CHOICE.search(value):
        remarks.note("A text holds {several|words} of which one was drawn when it ran; which one is not written.")
        return Unwritten()
    if "//" in value or "/*" in value:
        value = _COMMENTS.sub("", value)
    return _BRACES.sub(r"\1", value).replace("\\{", "{").replace("\\}", "}") if "{" in value else value
