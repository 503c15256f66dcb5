"""The pack's face in ComfyUI: the list of nodes, and what is set up once when the server starts."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import host


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
        from .image_data import CivitaiBridgeGenerationSettings, CivitaiBridgeImageData, CivitaiBridgeReadImage
        from .loras import CivitaiBridgeApplyLoras, CivitaiBridgeLoraStack
        from .resolve import CivitaiBridgeResolve
        from .save_image import CivitaiBridgeSaveImage

        host.serve_odd_folder_names()
        host.wake_for_what_is_open()
        host.serve_routes()
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
            CivitaiBridgeGenerationSettings,
            CivitaiBridgeApplyLoras,
            CivitaiBridgeLoraStack,
            CivitaiBridgeSaveImage,
        ]
