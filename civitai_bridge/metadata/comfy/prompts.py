"""The texts of a conditioning: from a sampler's wire through whatever stands between it and its encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..quantities import guidance_scale
from .graph import Graph, Unwritten, Wire
from .inputs import numeric, part
from .nodes import Row, row
from .remarks import EMPTY_PROMPT, PARTLY_WRITTEN_PROMPT, UNWRITTEN_PROMPT, Remarks
from .samplers import role_of

_TEXTS = (
    "populated_text", "text", "prompt", "string", "value", "text_g", "text_l", "clip_l", "clip_g", "t5xxl", "llama",
    "bert", "mt5xl", "user_prompt", "prompt_g", "prompt_l", "wildcard_text", "positive_prompt",
)  # fmt: skip
_STARTS = {
    "positive": ("positive", "conditioning", "cond1", "text_embeds", "positive_conditioning", "base_positive"),
    "negative": ("negative", "text_embeds", "negative_conditioning", "base_negative"),
}
_FIELDS = {"positive": "prompt", "negative": "negative_prompt"}
# Nodes whose conditioning says nothing, whatever goes in.
_SILENT = ("ConditioningZeroOut",)


@dataclass(frozen=True)
class Texts:
    """The texts of one side of a prompt, whether they are all of it, and the inputs that name a guidance."""

    parts: tuple[str, ...]
    is_whole: bool
    guidance: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Each text once, a line for each."""
        return "\n".join(dict.fromkeys(part for part in self.parts if part.strip()))


def prompts_of(graph: Graph, key: str, remarks: Remarks) -> dict[str, Any]:
    """`prompt`, `negative_prompt` and `guidance` of a sampler."""
    fields: dict[str, Any] = {}
    guider = part(graph, key, "guider")
    inputs = graph.inputs(guider if guider is not None else key)
    for side, field in _FIELDS.items():
        start = next((inputs[name] for name in _STARTS[side] if inputs.get(name) is not None), None)
        if role_of(graph, key) == "generate":
            start = _text(inputs.get(field))
        texts = texts_of(graph, start, side)
        fields[field] = texts.text
        if not texts.is_whole:
            remarks.elsewhere[field] = None
            if texts.text:
                remarks.note(PARTLY_WRITTEN_PROMPT)
        if side == "positive" and start is not None and not texts.text:
            remarks.note(EMPTY_PROMPT if texts.is_whole else UNWRITTEN_PROMPT)
        if side == "positive" and texts.guidance:
            fields["guidance"] = numeric(texts.guidance, ("guidance",), guidance_scale, "guidance", remarks)
    return {name: value for name, value in fields.items() if value is not None}


def texts_of(graph: Graph, start: object, side: str) -> Texts:
    """The texts that reach an input, in their order. A ring is gone round once."""
    parts: list[str] = []
    is_whole = True
    guidance: Mapping[str, Any] = {}
    seen: set[str] = set()
    todo = [start]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            parts.append(value)
        elif isinstance(value, Unwritten):
            parts.append(value.text)
            is_whole = False
        elif isinstance(value, Wire) and value.node in graph.nodes and value.node not in seen:
            seen.add(value.node)
            kind, inputs = graph.kind(value.node), graph.inputs(value.node)
            if side == "positive" and "guidance" in inputs and not guidance:
                guidance = inputs
            ways = [] if kind in _SILENT else _ways(inputs, row(kind), side)
            is_whole = is_whole and ways is not None
            todo += reversed(ways or [])
    return Texts(tuple(parts), is_whole, guidance)


def _ways(inputs: Mapping[str, Any], of: Row, side: str) -> Sequence[object] | None:
    """What a node's conditioning is made of: further conditionings, or else texts; None where nothing tells."""
    if (names := of.get("texts")) is not None:
        return [_text(inputs.get(name)) for name in (names if isinstance(names, list) else names.get(side, ()))]
    own = next(
        (name for name in (side, f"{side}_prompt", f"text_{side}", f"base_{side}") if inputs.get(name) is not None), ""
    )
    if own and (
        own not in (side, f"base_{side}")
        or "ckpt_name" in inputs
        or "clip" in inputs
        or not isinstance(inputs[own], Wire)
    ):
        return [_text(inputs[own])]
    ways = [value for name, value in inputs.items() if name.startswith("cond") and isinstance(value, (Wire, Unwritten))]
    ways += [inputs[own]] if own else []
    if ways:
        return ways
    names = [name for name in _TEXTS if name in inputs]
    return [_text(inputs[name]) for name in (names[:1] if "populated_text" in names else names)] if names else None


def _text(value: object) -> object:
    """A text input; what a node makes there is not written in the graph."""
    return value if isinstance(value, (str, Unwritten)) else Unwritten() if isinstance(value, Wire) else None
