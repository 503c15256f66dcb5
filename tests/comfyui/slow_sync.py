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


class TinyModel:
    """A model of one layer of zeros, as core's LoRA code takes it."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "run"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self):
        from types import SimpleNamespace

        import torch
        from comfy.model_patcher import ModelPatcher

        class Inner(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(2, 2, bias=False)
                torch.nn.init.zeros_(self.layer.weight)

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.diffusion_model = Inner()
                self.model_config = SimpleNamespace(unet_config={})

        cpu = torch.device("cpu")
        return (ModelPatcher(Model(), load_device=cpu, offload_device=cpu),)


class Patches:
    """What a model's weights become with all that is patched into it."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    CATEGORY = "tests"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def run(self, model):
        import json

        model.patch_model(device_to=None)
        state = model.model.state_dict()
        said = {key: [[round(v, 4) for v in row] for row in state[key].tolist()] for key in model.patches}
        model.unpatch_model()
        return {"ui": {"text": [json.dumps(said)]}}


class Settings:
    RETURN_TYPES = ()
    FUNCTION = "run"
    CATEGORY = "tests"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        from comfy.samplers import KSampler

        return {
            "required": {
                "sampler_name": (KSampler.SAMPLERS,),
                "scheduler": (KSampler.SCHEDULERS,),
                "seed": ("INT", {"default": 0}),
            }
        }

    def run(self, sampler_name, scheduler, seed):
        import json

        return {"ui": {"text": [json.dumps([sampler_name, scheduler, seed])]}}


NODE_CLASS_MAPPINGS = {
    "TestTinyModel": TinyModel,
    "TestPatches": Patches,
    "TestSettings": Settings,
    "TestDelay": Delay,
    "TestSlowSync": SlowSync,
    "TestFailsLater": FailsLater,
    "TestModel": NoModel,
    "TestSink": Sink,
}
