"""A graph of our own on ComfyUI's queue: validated as core does it, followed to its end, its pictures taken. Nothing is
left behind, neither files nor an entry in the history."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...civitai_bridge.errors import BadInput, GenerationStopped, GenerationTrouble
from . import comfyui

if TYPE_CHECKING:
    from ...civitai_bridge.link.images.graph import GraphJob, MakeJob

_FOLDER = "civitai_bridge_link"  # in ComfyUI's temp folder, which core empties at its start and end
_LOOK_EVERY = 0.25  # seconds
_OF_CORE = "comfy_extras."
# Inputs that name a file below a model folder: core spells them with the system's own separator.
_FILES = frozenset({
    "ckpt_name", "unet_name", "vae_name", "lora_name", "hypernetwork_name", "clip_name", "clip_name1", "clip_name2",
    "clip_name3",
})  # fmt: skip


class PictureQueue:
    """A room's jobs one after the other: only one of them stands in ComfyUI's own queue, so that a person at it never
    waits for more than that. `is_allowed` says, when a job's turn comes, whether the person still wants any. Used on
    one loop."""

    def __init__(self, is_allowed: Callable[[], bool] = lambda: True) -> None:
        self._turn = asyncio.Lock()
        self._is_allowed = is_allowed

    async def run(self, make_job: MakeJob, tell: Callable[[float], None]) -> list[bytes]:
        """As `run_graph`, when the jobs before it have ended; this one is made then."""
        async with self._turn:
            if not await asyncio.to_thread(self._is_allowed):
                raise BadInput(
                    "This ComfyUI makes no more pictures for Civitai Link: its setting link_generate is off."
                )
            return await run_graph(await make_job(), tell)


async def run_graph(job: GraphJob, tell: Callable[[float], None]) -> list[bytes]:
    """Run a graph on ComfyUI's queue and give the pictures of its outputs as PNG; `tell` hears how much of the sampling
    is done (0 to 1), several times a second. To be awaited on the background loop.

    Raises BadInput where core does not take the graph, GenerationTrouble where it fails, GenerationStopped where a
    person stops it. Cancelled, it ends at once; its prompt is taken out of the queue, or interrupted as soon as core
    looks, and no other is."""
    server = comfyui.server()
    if server is None:
        raise GenerationTrouble("ComfyUI runs without its server here, so that nothing can be queued.")
    _check_nodes(job.graph)
    run = _Run(server, job, tell)
    life = asyncio.ensure_future(run.whole())
    try:
        return await asyncio.shield(life)
    except asyncio.CancelledError:
        run.stopping = True
        life.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody waits for it any more
        raise


class _Run:
    """One prompt from its submission until nothing of it is left."""

    def __init__(self, server: Any, job: GraphJob, tell: Callable[[float], None]) -> None:
        self.stopping = False
        self._server = server
        self._queue = server.prompt_queue
        self._job = job
        self._tell = tell
        self._id = str(uuid.uuid4())
        self._files: list[Path] = []

    async def whole(self) -> list[bytes]:
        try:
            graph = await asyncio.to_thread(self._with_sources)
            # Validation calls the nodes, and the number of the queue is the server's: both belong to its own loop.
            submitting = asyncio.run_coroutine_threadsafe(self._submit(graph), self._server.loop)
            await asyncio.wrap_future(submitting)
            return await asyncio.to_thread(self._pictures, await self._followed())
        finally:
            await asyncio.to_thread(self._clean)

    def _with_sources(self) -> dict[str, Any]:
        """The graph with its pictures in the temp folder, and files spelled as core lists them."""
        graph = copy.deepcopy(self._job.graph)
        folder = _temp_folder() / _FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for node, content in self._job.sources.items():
            path = folder / f"{self._id}_{node}.png"
            self._files.append(path)
            with open(path, "xb") as out:
                out.write(content)
            graph[node]["inputs"]["image"] = f"{_FOLDER}/{path.name} [temp]"
        for node in graph.values():
            for name in _FILES & node["inputs"].keys():
                node["inputs"][name] = node["inputs"][name].replace("/", os.sep)
        return graph

    async def _submit(self, graph: dict[str, Any]) -> None:
        import execution

        is_valid, error, outputs, node_errors = await execution.validate_prompt(self._id, graph, None)
        if not is_valid or set(outputs) != set(self._job.outputs):
            raise BadInput(_refusal(error, node_errors))
        if self.stopping:
            raise GenerationStopped("The pictures were cancelled before they were queued.")
        server = self._server
        number = server.number
        server.number += 1
        # With a client that no page has, core tells no page of it: without one it would tell all of them.
        extra = {"client_id": f"{_FOLDER}_{self._id}", "create_time": int(time.time() * 1000)}
        self._queue.put((number, self._id, graph, extra, outputs, {}))

    async def _followed(self) -> Mapping[str, Any]:
        """The history entry of the prompt once it has ended."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            is_open, entry = self._look()
            if entry is not None:
                return entry
            if not is_open:
                raise GenerationStopped("The pictures were taken out of this ComfyUI's queue.")
            if self.stopping:
                self._stop()
            elif (fraction := _sampled(self._id, self._job.samplers)) is not None:
                self._tell(fraction)

    def _look(self) -> tuple[bool, Mapping[str, Any] | None]:
        """Whether the prompt waits or runs, and its entry in the history: at one moment, for core moves it between
        them."""
        with self._queue.mutex:
            running, waiting = self._queue.get_current_queue_volatile()
            is_open = any(item[1] == self._id for item in (*running, *waiting))
            return is_open, self._queue.history.get(self._id)

    def _stop(self) -> None:
        """Take our prompt out of the queue, or interrupt it where it runs: under the queue's lock, so that it is ours
        that is hit. Core forgets an interrupt when it begins a prompt, so it is said until the prompt is over."""
        with self._queue.mutex:
            if self._queue.delete_queue_item(lambda item: item[1] == self._id):
                return
            if any(item[1] == self._id for item in self._queue.currently_running.values()):
                comfyui.core_nodes().interrupt_processing()

    def _pictures(self, entry: Mapping[str, Any]) -> list[bytes]:
        files = {node: _saved(entry, node) for node in self._job.outputs}
        self._files += [path for paths in files.values() for path in paths]
        if trouble := _trouble(entry):
            raise trouble
        if not all(files.values()):
            raise GenerationTrouble("This ComfyUI ran the prompt, but gave no pictures.")
        try:
            return [path.read_bytes() for node in self._job.outputs for path in files[node]]
        except OSError as error:
            raise GenerationTrouble("The pictures are no longer in this ComfyUI's temp folder.") from error

    def _clean(self) -> None:
        self._queue.delete_history_item(self._id)
        for path in self._files:
            with contextlib.suppress(OSError):  # core empties the folder too
                path.unlink()


def _check_nodes(graph: Mapping[str, Any]) -> None:
    """Nothing but core's own nodes is ever queued here: none of another pack, none of ours, none that costs."""
    classes = comfyui.core_nodes().NODE_CLASS_MAPPINGS
    for node in graph.values():
        name = node["class_type"]
        class_ = classes.get(name)
        if class_ is None:
            raise BadInput(f"This ComfyUI has no node {name}; a newer one has.")
        module = getattr(class_, "RELATIVE_PYTHON_MODULE", "nodes")
        if not (module == "nodes" or module.startswith(_OF_CORE)) or getattr(class_, "API_NODE", False):
            raise BadInput(f"The node {name} is not ComfyUI's own here; it is not used.")


def _temp_folder() -> Path:
    import folder_paths

    return Path(folder_paths.get_temp_directory())


def _saved(entry: Mapping[str, Any], node: str) -> list[Path]:
    """The files that a node put into the temp folder."""
    root = _temp_folder().resolve()
    paths = []
    for image in (entry.get("outputs") or {}).get(node, {}).get("images") or ():
        path = (root / (image.get("subfolder") or "") / image["filename"]).resolve()
        if image.get("type") == "temp" and root in path.parents:
            paths.append(path)
    return paths


def _sampled(prompt: str, samplers: Sequence[str]) -> float | None:
    """How much of the sampling is done, 0 to 1; None while the prompt waits."""
    from comfy_execution.progress import get_progress_state

    registry = get_progress_state()
    if registry.prompt_id != prompt:
        return None
    states = [registry.nodes.get(node) for node in samplers]
    return sum(state["value"] / state["max"] for state in states if state and state["max"]) / len(samplers)


def _trouble(entry: Mapping[str, Any]) -> GenerationTrouble | None:
    """Why a prompt has no pictures, in a sentence for a stranger: core's own words hold paths."""
    messages = dict((entry.get("status") or {}).get("messages") or ())
    if "execution_interrupted" in messages:
        return GenerationStopped("The pictures were stopped at this ComfyUI.")
    if (failed := messages.get("execution_error")) is None:
        return None
    if "OutOfMemory" in str(failed.get("exception_type")):
        return GenerationTrouble("This ComfyUI ran out of memory; ask for fewer or smaller pictures.")
    return GenerationTrouble(
        f"This ComfyUI could not make the pictures: its node {failed.get('node_type')} failed. Its console says why."
    )


def _refusal(error: Any, node_errors: Any) -> str:
    """Why core does not take a graph, in a sentence."""
    reasons = []
    for node in (node_errors or {}).values():
        for reason in node.get("errors") or ():
            info = reason.get("extra_info") or {}
            name, value = info.get("input_name"), info.get("received_value")
            if reason.get("type") == "value_not_in_list":
                reasons.append(f"it has no {name} {value!r}")
            else:
                reasons.append(f"{node.get('class_type')} does not take this {name or 'input'}")
    why = "; ".join(dict.fromkeys(reasons)) or (error or {}).get("message") or "no reason is given"
    return f"This ComfyUI does not take the graph: {why}."
