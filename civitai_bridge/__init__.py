"""The library of ComfyUI-Civitai-Bridge: CivitAI for graphs, scripts and the shell. No ComfyUI, no torch."""
