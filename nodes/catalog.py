"""Catalog Check, Add, Promote and Download: what is here, what is missing, and having it here."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import host
from .sockets import Air, FileName, Fresh, Generation, Loras, node_id, output, reference_input, schema, text_of

if TYPE_CHECKING:
    from ..civitai_bridge.catalog.answers import Downloaded

_REFERENCE = "A version id, a CivitAI address, an AIR, a hash, or a wire from Resolve."


class CivitaiBridgeCatalogCheck(Fresh):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeCatalogCheck",
            display_name="CivitAI Catalog Check",
            description="Says of models and LoRAs whether they are catalogued and on disk. Loads nothing.",
            search_aliases=["civitai", "missing models", "catalog", "status"],
            inputs=[
                io.MultiType.Input(
                    io.String.Input(
                        "resources",
                        multiline=True,
                        default="",
                        tooltip="One reference a line (version id, address, AIR, hash, file name), or a wire: a "
                        "generation, LoRAs or an AIR.",
                    ),
                    types=[Generation, Loras, Air],
                ),
            ],
            outputs=[
                io.Boolean.Output("all_present", tooltip="Whether everything is catalogued and on disk."),
                io.String.Output("missing", tooltip="What is not, one reference a line; Download takes one of them."),
                io.String.Output("report", tooltip="Each with its status, in sentences."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def execute(cls, resources: object = "") -> io.NodeOutput:
        asked = text_of(resources) if resources is None or isinstance(resources, (str, int, float)) else resources

        async def check(ticket: host.NodeRun) -> Any:
            return await (await host.desk()).check(asked)

        found = await host.interruptible(check, node_id(cls))
        return output(found.all_present, found.missing, report=found.report)


class CivitaiBridgeCatalogAdd(Fresh):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeCatalogAdd",
            display_name="CivitAI Catalog Add",
            description="Writes a model version into models.json without loading its file.",
            search_aliases=["civitai", "catalog", "models.json"],
            inputs=[reference_input("reference", default="", tooltip=_REFERENCE)],
            outputs=[
                io.String.Output("status", tooltip="added, already_exists or restricted."),
                io.String.Output("file", tooltip="The file's name in the catalog; it need not be here."),
                io.String.Output("category", tooltip="Where it stands in the catalog."),
                io.String.Output("report", tooltip="What became of it, in a sentence."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def execute(cls, reference: object = "") -> io.NodeOutput:
        text = text_of(reference)

        async def add(ticket: host.NodeRun) -> Any:
            desk = await host.desk()
            added = await desk.add(text)
            return added, added.category or await _category(desk, added.file and text)

        added, category = await host.interruptible(add, node_id(cls))
        return output(added.status, added.file, category, report=added.report)


class CivitaiBridgeCatalogPromote(Fresh):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeCatalogPromote",
            display_name="CivitAI Catalog Promote",
            description="Moves a LoRA's entry from models.json to loras.json, into the category of its family.",
            search_aliases=["civitai", "catalog", "loras.json", "lora"],
            inputs=[reference_input("reference", default="", tooltip=_REFERENCE)],
            outputs=[
                io.String.Output("status", tooltip="promoted or already_exists."),
                io.String.Output("category", tooltip="Where it stands in loras.json."),
                io.String.Output("report", tooltip="What became of it, in a sentence."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def execute(cls, reference: object = "") -> io.NodeOutput:
        text = text_of(reference)

        async def promote(ticket: host.NodeRun) -> Any:
            desk = await host.desk()
            promoted = await desk.promote(text)
            return promoted, promoted.category or await _category(desk, text)

        promoted, category = await host.interruptible(promote, node_id(cls))
        return output(promoted.status, category, report=promoted.report)


async def _category(desk: Any, reference: str) -> str:
    """Where the catalogs have it; nobody is asked."""
    if not reference:
        return ""
    (answer, *_) = (await desk.check(reference, ask=False)).answers
    return answer.located.entry.category if answer.located.entry else ""


class CivitaiBridgeDownload(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeDownload",
            display_name="CivitAI Download",
            description=(
                "Has a model file on disk, verified by its SHA256, in the folder of its type. What is here already "
                "is not loaded again. It loads only where the setting graph_downloads and its own switch are on."
            ),
            search_aliases=["civitai", "download", "model", "lora", "checkpoint"],
            inputs=[
                reference_input("reference", default="", tooltip=_REFERENCE),
                io.Boolean.Input(
                    "allow_download",
                    default=False,
                    optional=True,
                    tooltip="Whether this node may load the file. The server's setting graph_downloads must be on too.",
                ),
            ],
            outputs=[
                FileName.Output("file", tooltip="For any loader's combo. Without a file, whoever needs it is told."),
                io.String.Output("status", tooltip="present, downloaded or missing."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def fingerprint_inputs(cls, reference: object = None, **inputs: Any) -> str | float:
        """The file as it lies there, so that the loaders and samplers behind it stay in ComfyUI's cache; without one
        it is asked each time. A wire has no value yet."""
        text = text_of(reference)
        found = await host.at_rest(_here(text)) if text else None
        return found or float("nan")

    @classmethod
    async def execute(cls, reference: object = "", allow_download: bool = False) -> io.NodeOutput:
        async def load(ticket: host.NodeRun) -> Downloaded | str:
            return await _load(ticket, text_of(reference), bool(allow_download))

        found = await host.interruptible(load, node_id(cls))
        if isinstance(found, str):
            return io.NodeOutput(host.blocker(found), "missing", ui={"text": [host.marked(found)]})
        nowhere = f"{found.path} lies in no folder that a loader of ComfyUI looks into."
        file = found.file or host.blocker(nowhere)
        report = found.report if found.file else f"{found.report}\n{nowhere}"
        return io.NodeOutput(file, found.status, ui={"text": [host.marked(report)]})


async def _here(reference: str) -> str:
    found = await (await host.desk()).here(reference)
    if found is None:
        return ""
    seen = os.stat(found.path)
    state = f"{found.path} {seen.st_mtime_ns} {seen.st_size}"
    # Core writes it into saved graphs, where no path of this machine belongs.
    return hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:16]


async def _load(ticket: host.NodeRun, reference: str, allowed: bool) -> Downloaded | str:
    """The file, or the reason why this one may not be had; what merely went wrong is an error of the node."""
    from ..civitai_bridge.errors import DownloadForbidden, DownloadRefused, DownloadStopped, Interrupted

    desk = await host.desk()
    try:
        return await desk.download(
            reference,
            from_graph=True,
            allow_download=allowed,
            progress=ticket.show_download,
            cancelled=ticket.cancelled,
        )
    except (DownloadForbidden, DownloadRefused) as error:
        return str(error)
    except DownloadStopped as error:
        raise Interrupted(str(error)) from error
