"""A V1 pack with a node that blocks the prompt's loop, as a sampler does, and one that fails after a while."""

import time


class SlowSync:
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "tests"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        needed = {"seconds": ("FLOAT", {"default": 1.0}), "salt": ("INT", {"default": 0})}
        return {"required": needed, "optional": {"after": ("STRING", {"forceInput": True})}}

    def run(self, seconds, salt, after=""):
        from comfy.utils import ProgressBar

        bar = ProgressBar(100)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.02)
            bar.update(1)  # its hook sees ComfyUI's button and raises, which clears the flag
        return ("done",)


class Delay:
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seconds": ("FLOAT", {"default": 1.0}), "salt": ("INT", {"default": 0})}}

    async def run(self, seconds, salt):
        import asyncio

        await asyncio.sleep(seconds)
        return ("now",)


class FailsLater:
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "tests"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seconds": ("FLOAT", {"default": 1.0}), "salt": ("INT", {"default": 0})}}

    async def run(self, seconds, salt):
        import asyncio

        await asyncio.sleep(seconds)
        raise RuntimeError("a sibling failed")


class NoModel:
    """Stands for a checkpoint: a LoRA loader reads its file and patches nothing."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self):
        return (None,)


class Sink:
    RETURN_TYPES = ()
    FUNCTION = "run"
    CATEGORY = "tests"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def run(self, model):
        return {"ui": {"text": ["reached"]}}


NODE_CLASS_MAPPINGS = {
    "TestDelay": Delay,
    "TestSlowSync": SlowSync,
    "TestFailsLater": FailsLater,
    "TestModel": NoModel,
    "TestSink": Sink,
}
