"""The library of ComfyUI-Civitai-Bridge: CivitAI for graphs, scripts and the shell. No ComfyUI, no torch."""

VERSION = "0.1.0"  # as in pyproject.toml
