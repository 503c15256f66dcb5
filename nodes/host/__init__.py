"""What the nodes stand on: `comfyui` is the door to ComfyUI's core, `services` the door to the pack, `interrupt` the
waiting in between, `watch` and `startup` what goes on without a node. The library never imports from here; torch is
known to `nodes/tensors.py` alone."""
