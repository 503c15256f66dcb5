"""A small hand-written ComfyUI: the parts of `comfy_api`, `comfy`, `folder_paths` and `server` that our nodes call."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any


class Comfy:
    """What a test can set and see."""

    IS_STANDIN = True

    def __init__(self, home: Path) -> None:
        self.home = home
        self.interrupted = False
        self.files: dict[str, list[str]] = {"checkpoints": [], "loras": [], "diffusion_models": []}
        self.texts: list[tuple[str, str, str]] = []
        self.events: list[tuple[str, dict[str, Any], str]] = []
        self.progress: list[tuple[str, float]] = []
        self.history: dict[str, Any] = {}
        self.routes: list[str] = []
        self.prompt_id = "prompt-1"
        self.applied: list[tuple[Any, ...]] = []
        self.no_metadata = False

    def folder(self, name: str) -> Path:
        made = self.home / name
        made.mkdir(exist_ok=True)
        return made

    def folders(self) -> dict[str, tuple[list[str], set[str]]]:
        return {name: ([str(self.home / "models" / name)], {".safetensors"}) for name in self.files}

    def listed(self, name: str) -> list[str]:
        root = self.home / "models" / name
        there = (str(one.relative_to(root)) for one in root.rglob("*.safetensors"))
        return sorted({*self.files.get(name, ()), *there})

    def save_path(self, prefix: str, output: str, width: int, height: int) -> tuple[str, str, int, str, str]:
        subfolder, _, name = prefix.rpartition("/")
        folder = Path(output) / subfolder
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder), name, 1, subfolder, prefix


class InterruptProcessingException(BaseException):
    pass


class ExecutionBlocker:
    def __init__(self, message: str) -> None:
        self.message = message


class Input:
    def __init__(self, id: Any, *rest: Any, optional: bool = False, **options: Any) -> None:
        self.inner = id if isinstance(id, Input) else None
        self.id = id.id if isinstance(id, Input) else id
        self.optional = optional or bool(self.inner and self.inner.optional)
        self.options = options


class Output:
    def __init__(self, id: str, **options: Any) -> None:
        self.id = id
        self.options = options


def kind(name: Any) -> type:
    return type(
        f"Type_{name}", (), {"io_type": name, "Input": Input, "Output": type("Out", (Output,), {"io_type": name})}
    )


class Schema:
    def __init__(
        self,
        node_id: str,
        display_name: str = "",
        category: str = "",
        inputs: Any = (),
        outputs: Any = (),
        hidden: Any = (),
        description: str = "",
        is_output_node: bool = False,
    ) -> None:
        self.node_id, self.display_name, self.category, self.description = node_id, display_name, category, description
        self.inputs, self.outputs, self.hidden, self.is_output_node = (
            list(inputs),
            list(outputs),
            hidden,
            is_output_node,
        )


class NodeOutput:
    def __init__(self, *args: Any, ui: Any = None) -> None:
        self.args, self.ui = args, ui


class ComfyNode:
    hidden: Any = None


class ComfyExtension:
    pass


def modules(comfy: Comfy) -> dict[str, types.ModuleType]:
    """The modules, by the names under which ComfyUI has them."""
    io = types.SimpleNamespace(
        Schema=Schema,
        NodeOutput=NodeOutput,
        ComfyNode=ComfyNode,
        Custom=kind,
        Hidden=types.SimpleNamespace(unique_id="UNIQUE_ID", prompt="PROMPT", extra_pnginfo="EXTRA_PNGINFO"),
        UploadType=types.SimpleNamespace(image="image_upload"),
        MultiType=types.SimpleNamespace(Input=Input),
        **{
            name: kind(name.upper())
            for name in ("String", "Int", "Float", "Boolean", "Combo", "Image", "Mask", "Model", "Clip")
        },
    )

    def send_text(text: str, node_id: str, sid: str | None = None) -> None:
        comfy.texts.append((text, node_id, str(sid)))

    def get(pattern: str) -> Any:
        comfy.routes.append(pattern)
        return lambda handler: handler

    queue = types.SimpleNamespace(get_history=lambda prompt_id=None: comfy.history)
    instance = types.SimpleNamespace(
        client_id="client-1",
        send_progress_text=send_text,
        send_sync=lambda event, data, client: comfy.events.append((event, data, client)),
        prompt_queue=queue,
        routes=types.SimpleNamespace(get=get, post=get, route=lambda _, pattern: get(pattern)),
    )
    registry = types.SimpleNamespace(
        update_progress=lambda node, value, top, image: comfy.progress.append((node, value))
    )
    context = types.SimpleNamespace(prompt_id=comfy.prompt_id, node_id="7")
    return {
        "comfy_api": _module("comfy_api"),
        "comfy_api.latest": _module("comfy_api.latest", io=io, ComfyExtension=ComfyExtension),
        "comfy": _module("comfy"),
        "comfy.model_management": _module(
            "comfy.model_management",
            processing_interrupted=lambda: comfy.interrupted,
            InterruptProcessingException=InterruptProcessingException,
        ),
        "comfy_execution": _module("comfy_execution"),
        "comfy_execution.graph": _module("comfy_execution.graph", ExecutionBlocker=ExecutionBlocker),
        "comfy_execution.utils": _module("comfy_execution.utils", get_executing_context=lambda: context),
        "comfy_execution.progress": _module("comfy_execution.progress", get_progress_state=lambda: registry),
        "folder_paths": _module(
            "folder_paths",
            folder_names_and_paths=comfy.folders(),
            models_dir=str(comfy.home / "models"),
            get_filename_list=comfy.listed,
            get_input_directory=lambda: str(comfy.folder("input")),
            get_output_directory=lambda: str(comfy.folder("output")),
            get_temp_directory=lambda: str(comfy.folder("temp")),
            get_annotated_filepath=lambda name: str(comfy.folder("input") / name),
            get_save_image_path=comfy.save_path,
            get_system_user_directory=lambda name: str(comfy.home / f"__{name}"),
        ),
        "comfy.samplers": _module(
            "comfy.samplers",
            KSampler=types.SimpleNamespace(
                SAMPLERS=["euler", "euler_ancestral", "dpmpp_2m"], SCHEDULERS=["simple", "normal", "karras"]
            ),
        ),
        "comfy.cli_args": _module("comfy.cli_args", args=Arguments(comfy)),
        "nodes": _module("nodes", LoraLoader=lora_loader(comfy)),
        "server": _module("server", PromptServer=types.SimpleNamespace(instance=instance)),
    }


class Arguments:
    def __init__(self, comfy: Comfy) -> None:
        self._comfy = comfy

    @property
    def disable_metadata(self) -> bool:
        return self._comfy.no_metadata


def lora_loader(comfy: Comfy) -> type:
    class LoraLoader:
        def load_lora(self, model: Any, clip: Any, lora_name: str, strength_model: float, strength_clip: float) -> Any:
            comfy.applied.append((lora_name, strength_model, strength_clip))
            return f"{model}+{lora_name}", None if clip is None else f"{clip}+{lora_name}"

    return LoraLoader


def _module(name: str, **members: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(members)
    return module
