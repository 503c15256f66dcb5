"""The pack's face in ComfyUI: one family of nodes a file, `base` their frame, `sockets` their types, `tensors` the only
one that knows torch, `host/` the doors to ComfyUI's core and to the pack. The library never imports from here."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io


class CivitaiBridgeExtension(ComfyExtension):
    """Lists the nodes and mounts the routes. Nothing here touches the network or the disk; the first node that runs
    does, or the server's start, which makes the admin token and looks after purchases that were left open."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .catalog import (
            CivitaiBridgeCatalogAdd,
            CivitaiBridgeCatalogCheck,
            CivitaiBridgeCatalogPromote,
            CivitaiBridgeDownload,
        )
        from .generate import CivitaiBridgeEstimate, CivitaiBridgeGenerate
        from .host.startup import set_up
        from .image_data import CivitaiBridgeGenerationSettings, CivitaiBridgeImageData, CivitaiBridgeReadImage
        from .loras import CivitaiBridgeApplyLoras, CivitaiBridgeLoraStack
        from .read_text import CivitaiBridgeReadText
        from .resolve import CivitaiBridgeResolve
        from .save_image import CivitaiBridgeSaveImage
        from .workflows import CivitaiBridgeWorkflowImages, CivitaiBridgeWorkflowQuery

        set_up()
        return [
            CivitaiBridgeGenerate,
            CivitaiBridgeEstimate,
            CivitaiBridgeResolve,
            CivitaiBridgeCatalogCheck,
            CivitaiBridgeCatalogAdd,
            CivitaiBridgeCatalogPromote,
            CivitaiBridgeDownload,
            CivitaiBridgeImageData,
            CivitaiBridgeReadImage,
            CivitaiBridgeReadText,
            CivitaiBridgeGenerationSettings,
            CivitaiBridgeApplyLoras,
            CivitaiBridgeLoraStack,
            CivitaiBridgeSaveImage,
            CivitaiBridgeWorkflowImages,
            CivitaiBridgeWorkflowQuery,
        ]
