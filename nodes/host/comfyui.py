"""The door to ComfyUI's core: its server, its progress bar, its interrupt button, its nodes. Nothing is remembered
here; everything is asked when it is needed."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

# Not resolved: the folder may be a link, and its own name is what ComfyUI and the page know.
PACK = Path(os.path.abspath(__file__)).parent.parent.parent


def server() -> Any:
    """ComfyUI's server; None where core runs without one."""
    from server import PromptServer

    return getattr(PromptServer, "instance", None)


def when_started(story: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run a story on the background loop once the server has started; never where it does not."""
    from ...civitai_bridge.network.background import background_loop

    async def started(_: Any) -> None:
        background_loop().start(story())

    if (app := getattr(server(), "app", None)) is not None:
        app.on_startup.append(started)


def when_stopped(story: Callable[[], Coroutine[Any, Any, Any] | None]) -> None:
    """Run a story on the background loop before the server ends, where there is one then, and wait for it a little;
    where the process is killed it does not run."""
    from ...civitai_bridge.network.background import background_loop, wait_for

    async def stopped(_: Any) -> None:
        if (work := story()) is not None:
            await asyncio.wait({asyncio.ensure_future(wait_for(background_loop().start(work)))}, timeout=5)

    if (app := getattr(server(), "app", None)) is not None:
        app.on_shutdown.append(stopped)


def prompt_id() -> str:
    """The prompt that runs in this context; `""` outside of one."""
    try:
        from comfy_execution.utils import get_executing_context
    except ImportError:
        return ""
    context = get_executing_context()
    return context.prompt_id if context else ""


def history_of(prompt: str) -> dict[str, Any] | None:
    """The entry of a prompt in the history, None until it has ended. Raises LookupError without a server."""
    queue = getattr(server(), "prompt_queue", None)
    if queue is None:
        raise LookupError("There is no queue.")
    return queue.get_history(prompt_id=prompt).get(prompt)


def is_generating() -> bool:
    """Whether a prompt runs now."""
    queue = getattr(server(), "prompt_queue", None)
    return bool(getattr(queue, "currently_running", None))


def is_interrupted() -> bool:
    """Whether the button was pressed. The flag is only read: cleared, the other nodes would not see it."""
    from comfy.model_management import processing_interrupted

    return bool(processing_interrupted())


def interrupted() -> BaseException:
    """Core's own exception for a prompt that a person stopped; every other one is an error on the node."""
    from comfy.model_management import InterruptProcessingException

    return InterruptProcessingException()


def progress_bar(node_id: str | None) -> Callable[[float], None]:
    """Sets a node's progress bar, 0 to 1, from any thread. The registry is used because core's hook may clear the
    interrupt flag."""
    try:
        from comfy_execution.progress import get_progress_state
    except ImportError:
        return lambda _: None
    if node_id is None:
        return lambda _: None
    registry = get_progress_state()
    return lambda fraction: registry.update_progress(node_id, fraction * 100, 100, None)


def send(event: str, data: Mapping[str, Any], client: str) -> None:
    """Give an event to one page by its client id, from any thread; to nobody where the id is `""`: core would take None
    for everybody."""
    if client and (instance := server()) is not None:
        instance.send_sync(event, dict(data), client)


def broadcast(event: str, data: Mapping[str, Any]) -> None:
    """Give an event to every page, from any thread."""
    if (instance := server()) is not None:
        instance.send_sync(event, dict(data))


def makes_lists(kind: str) -> bool | None:
    """Whether what comes out of a node class is a list that is taken one by one, so that nodes behind it run several
    times; None for a class that is not here."""
    mappings = getattr(core_nodes(), "NODE_CLASS_MAPPINGS", {})
    if kind not in mappings:
        return None
    try:
        return any(getattr(mappings[kind], "OUTPUT_IS_LIST", ()) or ())
    except Exception:  # another pack's class property may do anything; then nobody knows
        return None


def metadata_is_off() -> bool:
    """Whether ComfyUI was started with --disable-metadata."""
    from comfy.cli_args import args

    return bool(getattr(args, "disable_metadata", False))


def core_nodes() -> Any:
    """ComfyUI's own module `nodes`, which has our folder's name."""
    return importlib.import_module("nodes")


def blocker(reason: str) -> Any:
    """An output that stops whoever needs it, with the reason; commands in it as they work here."""
    from comfy_execution.graph import ExecutionBlocker

    from ...civitai_bridge.wording import at_a_graph

    return ExecutionBlocker(at_a_graph(reason))
