"""Catalog Check, Add, Promote and Download: what is here, what is missing, and having it here."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from .base import FreshNode, Node, output, output_with_report, schema
from .host import comfyui
from .host.interrupt import NodeRun, ask_before_running
from .host.services import services
from .sockets import Air, FileName, Generation, Loras, reference_input, text_of

if TYPE_CHECKING:
    from ..civitai_bridge.catalog.answers import Added, Checked, DownloadedFiles, Promoted
    from ..civitai_bridge.catalog.service import CatalogService

_REFERENCE = "A version id, a CivitAI address, an AIR, a hash, or a wire from Resolve."


class CivitaiBridgeCatalogCheck(FreshNode):
    """Catalog Check: references or a wire in, the status of each out."""

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
        is_text = resources is None or isinstance(resources, (str, int, float))

        async def check(run: NodeRun) -> Checked:
            return await (await services().catalog()).check(text_of(resources) if is_text else resources)

        checked = await cls.look(check, "Looking into the catalogs")
        return output_with_report(checked.all_present, checked.missing, report=checked.report)


class CivitaiBridgeCatalogAdd(FreshNode):
    """Catalog Add: a version's entry in models.json."""

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

        async def add(run: NodeRun) -> tuple[Added, str]:
            catalog = await services().catalog()
            added = await catalog.add(text)
            return added, added.category or await _category(catalog, added.file and text)

        added, category = await cls.look(add, f"Looking up {text} on CivitAI")
        return output_with_report(added.status, added.file, category, report=added.report)


class CivitaiBridgeCatalogPromote(FreshNode):
    """Catalog Promote: a LoRA's entry from models.json to loras.json."""

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

        async def promote(run: NodeRun) -> tuple[Promoted, str]:
            catalog = await services().catalog()
            promoted = await catalog.promote(text)
            return promoted, promoted.category or await _category(catalog, text)

        promoted, category = await cls.look(promote, f"Looking up {text} on CivitAI")
        return output_with_report(promoted.status, category, report=promoted.report)


async def _category(catalog: CatalogService, reference: str) -> str:
    """Where the catalogs have it; nobody is asked."""
    if not reference:
        return ""
    (answer, *_) = (await catalog.check(reference, ask=False)).answers
    return answer.located.entry.category if answer.located.entry else ""


class CivitaiBridgeDownload(Node):
    """Download: a reference in, a verified file on disk and its loader's name out."""

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
                io.Combo.Input(
                    "files",
                    options=["primary", "all"],
                    default="primary",
                    optional=True,
                    tooltip="The version's main file, or every file of it that ComfyUI has a folder for: the text "
                    "encoder and VAE beside a model, both halves of a pair. The output is the first of them.",
                ),
            ],
            outputs=[
                FileName.Output("file", tooltip="For any loader's combo. Without a file, whoever needs it is told."),
                io.String.Output("status", tooltip="present, downloaded or missing."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def fingerprint_inputs(cls, reference: object = None, files: str = "primary", **inputs: Any) -> str | float:
        """The file as it is now, so that the loaders and samplers behind it stay in ComfyUI's cache; without one it is
        asked each time. A wire has no value yet."""
        text = text_of(reference)
        fingerprint = await ask_before_running(_fingerprint(text)) if text and files == "primary" else None
        return fingerprint or float("nan")

    @classmethod
    async def execute(
        cls, reference: object = "", allow_download: bool = False, files: str = "primary"
    ) -> io.NodeOutput:
        async def download(run: NodeRun) -> DownloadedFiles | str:
            return await _download(run, text_of(reference), bool(allow_download), every=files == "all")

        downloaded = await cls.look(download, f"Looking up {text_of(reference)} on CivitAI")
        if isinstance(downloaded, str):
            return output(comfyui.blocker(downloaded), "missing", report=downloaded)
        first, status = downloaded.files[0], downloaded.as_json()["status"]
        if first.file:
            return output(first.file, status, report=downloaded.report)
        nowhere = f"{first.path} lies in no folder that a loader of ComfyUI looks into."
        return output(comfyui.blocker(nowhere), status, report=f"{downloaded.report}\n{nowhere}")


async def _fingerprint(reference: str) -> str:
    """The path, time and size of the file as 16 hex digits, `""` without a file. Core writes fingerprints into saved
    graphs, where no path of this machine belongs."""
    local = await (await services().catalog()).on_disk(reference)
    if local is None:
        return ""
    status = os.stat(local.path)
    state = f"{local.path} {status.st_mtime_ns} {status.st_size}"
    return hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:16]


async def _download(run: NodeRun, reference: str, allowed: bool, *, every: bool) -> DownloadedFiles | str:
    """The file, or `every` one of the version, or the reason why it may not be had; what merely went wrong is an
    error of the node."""
    from ..civitai_bridge.catalog.answers import DownloadedFiles
    from ..civitai_bridge.errors import DownloadForbidden, DownloadRefused, DownloadStopped, Interrupted

    catalog = await services().catalog()
    choices: dict[str, Any] = {
        "from_graph": True, "allow_download": allowed, "progress": run.show_download, "cancelled": run.cancelled,
    }  # fmt: skip
    try:
        if every:
            return await catalog.download_all(reference, **choices)
        return DownloadedFiles((await catalog.download(reference, **choices),))
    except (DownloadForbidden, DownloadRefused) as error:
        return str(error)
    except DownloadStopped as error:
        raise Interrupted(str(error)) from error
