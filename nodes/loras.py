"""Apply LoRAs and LoRA Stack: a list of LoRAs becomes a model that has them, or the community's LORA_STACK."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import host
from .sockets import Loras, node_id, output, schema

if TYPE_CHECKING:
    from ..civitai_bridge.catalog.loader_names import LoraFile

FOLDER = "loras"
_NONE = "There is no LoRA in the list."


def _missing_input(*more: str) -> Any:
    return io.Combo.Input(
        "missing",
        options=["error", "skip", *more],
        default="error",
        tooltip="When a LoRA's file is not here: stop, go on without it, or load it from CivitAI (a person must have "
        "allowed that: `civitai-bridge settings graph_downloads on`)."
        if more
        else "When a LoRA's file is not here: stop, or go on without it.",
    )


class CivitaiBridgeApplyLoras(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeApplyLoras",
            display_name="CivitAI Apply LoRAs",
            description="Applies a list of LoRAs with their weights, with ComfyUI's own code. What is missing is said "
            "before the checkpoint is loaded.",
            search_aliases=["civitai", "lora", "loader"],
            inputs=[
                io.Model.Input("model", lazy=True, tooltip="Loaded only when every LoRA was found."),
                Loras.Input("loras", tooltip="From Image Data or Read Image. Weight 0 is off."),
                io.Clip.Input("clip", optional=True, lazy=True, tooltip="Without it only the model is changed."),
                _missing_input("download"),
            ],
            outputs=[
                io.Model.Output("model", tooltip="The model with the LoRAs."),
                io.Clip.Output("clip", tooltip="The text encoder with the LoRAs; nothing where none came in."),
                io.String.Output("report", tooltip="Each LoRA, its weights, its file and how it was found."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        return host.listing_of(FOLDER)  # a file may have come or gone

    @classmethod
    async def check_lazy_status(cls, loras: Any = None, missing: str = "error", **lazy: Any) -> list[str]:
        """Find the files first: an error here comes before anything large is loaded."""
        needed = [name for name, value in lazy.items() if name in ("model", "clip") and value is None]
        if needed and loras is not None:
            await _find(cls, loras, missing)
        return needed

    @classmethod
    async def execute(cls, model: Any, loras: Any, clip: Any = None, missing: str = "error") -> io.NodeOutput:
        loader = host.core_nodes().LoraLoader
        found, lines = await _find(cls, loras, missing), []
        for one in found:
            lines.append(_line(one))
            if not one.used:
                continue
            model, clip = loader().load_lora(
                model, clip, one.file.name, one.strength, one.clip if clip is not None else 0.0
            )
        _note_applied(loras, found)
        return output(model, clip, report="\n".join(lines) or _NONE)


class CivitaiBridgeLoraStack(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeLoraStack",
            display_name="CivitAI LoRA Stack",
            description="A list of LoRAs as LORA_STACK for other packs' loaders, and as prompt tags.",
            search_aliases=["civitai", "lora", "stack", "efficiency"],
            inputs=[Loras.Input("loras", tooltip="From Image Data or Read Image."), _missing_input()],
            outputs=[
                io.Custom("LORA_STACK").Output("lora_stack", tooltip="(file, model strength, clip strength) each."),
                io.String.Output("prompt_tags", tooltip="<lora:name:weight> each, for loaders that read prompts."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        return host.listing_of(FOLDER)

    @classmethod
    async def execute(cls, loras: Any, missing: str = "error") -> io.NodeOutput:
        from ..civitai_bridge.metadata.prompt import normal_name, write_tag

        found = await _find(cls, loras, missing)
        stack = [(one.file.name, one.strength, one.clip) for one in found if one.used]
        tags = [
            write_tag("lora", normal_name(file).rpartition("/")[2], strength, None if clip == strength else clip)
            for file, strength, clip in stack
        ]
        report = host.marked("\n".join(_line(one) for one in found) or _NONE)
        return io.NodeOutput(stack, " ".join(tags), ui={"text": [report]})


_applied: dict[str, tuple[bool, ...]] = {}  # of the last lists: which LoRAs were really applied


def _note_applied(loras: Any, found: list[LoraFile]) -> None:
    _applied[_key(loras)] = tuple(one.used for one in found)
    while len(_applied) > 200:
        del _applied[next(iter(_applied))]


def applied(loras: Any) -> tuple[bool, ...] | None:
    """Which LoRAs of a list Apply LoRAs really applied in this server; None when it never saw the list."""
    return _applied.get(_key(loras))


def _key(loras: Any) -> str:
    return json.dumps(list(loras or ()), sort_keys=True, default=str)


async def _find(cls: Any, loras: Any, missing: str) -> list[LoraFile]:
    """The LoRAs with their files. Raises BadInput with all that is missing, unless the graph says otherwise."""
    from ..civitai_bridge.errors import BadInput

    async def look(ticket: host.NodeRun) -> list[LoraFile]:
        from ..civitai_bridge.catalog.loader_names import lora_files

        desk = await host.desk()
        found = await lora_files(desk, list(loras or ()), lambda: host.listed(FOLDER))
        if missing == "download":
            references = [one.reference for one in found if one.lacking and one.reference]
            for reference in references:
                await desk.download(
                    reference, from_graph=True, progress=ticket.show_download, cancelled=ticket.cancelled
                )
            if references:
                found = await lora_files(desk, list(loras or ()), lambda: host.listed(FOLDER))
        return found

    found = await host.interruptible(look, node_id(cls))
    lacking = [one for one in found if one.lacking]
    if lacking and missing != "skip":
        raise BadInput(
            f"{len(lacking)} of {len(found)} LoRAs cannot be applied. "
            + " ".join(f"{one.title}: {one.file.sentence}" for one in lacking)
        )
    return found


def _line(one: LoraFile) -> str:
    if one.off:
        return f"{one.title}: off (weight 0)."
    weights = f"{one.strength:g}" if one.clip == one.strength else f"{one.strength:g}, clip {one.clip:g}"
    return f"{one.title} at {weights}: {one.file.sentence}"
