"""A room's `image:txt2img` and `image:img2img`, made on this ComfyUI by a graph of core's own nodes.

request -> sources -> files -> graph -> (ComfyUI) -> results        command.py runs through them
"""
