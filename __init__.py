"""ComfyUI-Civitai-Bridge: the front door that ComfyUI opens. Nothing is imported before ComfyUI asks for the nodes."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Return the extension that lists this pack's nodes (called by ComfyUI >= 0.8.0 at its start)."""
    from .nodes import CivitaiBridgeExtension

    return CivitaiBridgeExtension()
