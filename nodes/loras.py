"""Apply LoRAs and LoRA Stack: a list of LoRAs becomes a model that has them, or the community's LORA_STACK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from .base import Node, output, output_with_report, schema
from .host import comfyui, folders
from .host.interrupt import NodeRun
from .host.services import services
from .sockets import Loras

if TYPE_CHECKING:
    from ..civitai_bridge.catalog.loader_names import LoraFile

FOLDER = "loras"
_EMPTY = "There is no LoRA in the list."


def _missing_input(*choices: str) -> Any:
    return io.Combo.Input(
        "missing",
        options=["error", "skip", *choices],
        default="error",
        tooltip="When a LoRA's file is not here: stop, go on without it, or load it from CivitAI (a person must have "
        "allowed that: `civitai-bridge settings graph_downloads on`)."
        if choices
        else "When a LoRA's file is not here: stop, or go on without it.",
    )


class _LoraNode(Node):
    """A node whose answer hangs on which LoRA files are here."""

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        return folders.listing_of(FOLDER)

    @classmethod
    async def find(cls, loras: Any, missing: str) -> list[LoraFile]:
        """The LoRAs with their files. Raises FileMissing with all of them, unless the graph says otherwise."""
        from ..civitai_bridge.errors import FileMissing

        async def look(run: NodeRun) -> list[LoraFile]:
            return await _lora_files(run, list(loras or ()), download=missing == "download")

        files = await cls.look(look, "Looking for the LoRAs")
        lacking = [lora for lora in files if lora.lacking]
        if lacking and missing != "skip":
            sentences = " ".join(f"{lora.title}: {lora.file.sentence}" for lora in lacking)
            raise FileMissing(f"{len(lacking)} of {len(files)} LoRAs cannot be applied. {sentences}")
        return files


class CivitaiBridgeApplyLoras(_LoraNode):
    """Apply LoRAs: a model and a list of LoRAs in, the model with them out."""

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
    async def check_lazy_status(cls, loras: Any = None, missing: str = "error", **lazy: Any) -> list[str]:
        """Find the files first: an error here comes before anything large is loaded."""
        needed = [name for name, value in lazy.items() if name in ("model", "clip") and value is None]
        if needed and loras is not None:
            await cls.find(loras, missing)
        return needed

    @classmethod
    async def execute(cls, model: Any, loras: Any, clip: Any = None, missing: str = "error") -> io.NodeOutput:
        loader = comfyui.core_nodes().LoraLoader
        files = await cls.find(loras, missing)
        for lora in files:
            if lora.used:
                clip_strength = lora.clip if clip is not None else 0.0
                model, clip = loader().load_lora(model, clip, lora.file.name, lora.strength, clip_strength)
        services().note_applied(loras, [lora.file.name if lora.used else "" for lora in files])
        return output_with_report(model, clip, report=_report(files))


class CivitaiBridgeLoraStack(_LoraNode):
    """LoRA Stack: a list of LoRAs in, LORA_STACK and prompt tags out."""

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
    async def execute(cls, loras: Any, missing: str = "error") -> io.NodeOutput:
        from ..civitai_bridge.metadata.prompt import normal_name, write_tag

        files = await cls.find(loras, missing)
        stack = [(lora.file.name, lora.strength, lora.clip) for lora in files if lora.used]
        tags = [
            write_tag("lora", normal_name(file).rpartition("/")[2], strength, None if clip == strength else clip)
            for file, strength, clip in stack
        ]
        return output(stack, " ".join(tags), report=_report(files))


async def _lora_files(run: NodeRun, loras: list[Any], *, download: bool) -> list[LoraFile]:
    """Each LoRA with its file; with `download` those that are missing and have a reference are loaded first."""
    from ..civitai_bridge.catalog.loader_names import lora_files

    catalog = await services().catalog()
    files = await lora_files(catalog, loras, lambda: folders.listed(FOLDER))
    references = [lora.reference for lora in files if lora.lacking and lora.reference] if download else []
    for reference in references:
        await catalog.download(reference, from_graph=True, progress=run.show_download, cancelled=run.cancelled)
    return await lora_files(catalog, loras, lambda: folders.listed(FOLDER)) if references else files


def _report(files: list[LoraFile]) -> str:
    return "\n".join(_line(lora) for lora in files) or _EMPTY


def _line(lora: LoraFile) -> str:
    if lora.off:
        return f"{lora.title}: off (weight 0)."
    weights = f"{lora.strength:g}" if lora.clip == lora.strength else f"{lora.strength:g}, clip {lora.clip:g}"
    return f"{lora.title} at {weights}: {lora.file.sentence}"
