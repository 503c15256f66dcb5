"""What commands are typed into, and work that an account of the sandbox has for those that read it."""

from __future__ import annotations

import io
import math
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.drawing import draw
from pack.civitai_bridge.sandbox.made import picture_json, put_workflow
from pack.civitai_bridge.sandbox.users import user_id

PICTURE = draw("a lighthouse at dusk", 1, 64, 64, "png", None)
Shell = Callable[..., SimpleNamespace]  # arguments and maybe `stdin` -> code, out, raw, err, data


class Terminal(io.StringIO):
    """Standard input with a person before it."""

    def isatty(self) -> bool:
        return True


def put(sandbox: Sandbox, key: str, output: Any, files: dict[str, tuple[bytes, str]] | None = None, **more: Any) -> str:
    """A workflow of one step with this output; its id."""
    step = {"$type": "imageGen", "name": "gen", "status": "succeeded", "input": {"prompt": "a sea"}, "output": output}
    run = put_workflow(sandbox.orchestrator, str(user_id(key)), {"steps": [step], **more}, files)
    for blob in run.blobs:
        blob.renewed = time.time()
    return run.id


def running(sandbox: Sandbox, key: str, seconds: float) -> str:
    """A workflow that is at work, and over after so many seconds; its id. `inf` = it never ends."""
    name = put(sandbox, key, {}, status="processing", completedAt=None)
    sandbox.orchestrator.runs[name].done.clear()
    if seconds < math.inf:
        timer = threading.Timer(seconds, sandbox.orchestrator.runs[name].data.update, [{"status": "succeeded"}])
        timer.daemon = True
        timer.start()
    return name


def pictures(*names: str, **more: Any) -> tuple[dict[str, Any], dict[str, tuple[bytes, str]]]:
    files = {name: (PICTURE, "image/png") for name in names}
    return {"images": [{**picture_json(name, 64, 64), **more} for name in names]}, files
