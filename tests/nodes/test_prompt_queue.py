"""A graph of ours on a queue like core's: what is queued, how its end is seen, and that no other prompt is touched."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin_comfy import Comfy

from pack.civitai_bridge.errors import BadInput, GenerationStopped, GenerationTrouble
from pack.civitai_bridge.link.images.graph import GraphJob

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "2": {"class_type": "KSampler", "inputs": {"latent_image": ["1", 0]}},
    "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
}
JOB = GraphJob(GRAPH, ("2",), ("3",), {"1": b"source"})


class Queue:
    """What of core's PromptQueue is called, with a hand to move prompts on."""

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self.queue: list[Any] = []
        self.currently_running: dict[int, Any] = {}
        self.history: dict[str, Any] = {}

    def put(self, item: Any) -> None:
        self.queue.append(item)

    def get_current_queue_volatile(self) -> Any:
        return list(self.currently_running.values()), list(self.queue)

    def delete_queue_item(self, is_it: Any) -> bool:
        kept = [item for item in self.queue if not is_it(item)]
        was = len(kept) < len(self.queue)
        self.queue = kept
        return was

    def delete_history_item(self, prompt: str) -> None:
        self.history.pop(prompt, None)

    def start(self) -> None:
        self.currently_running[0] = self.queue.pop(0)

    def end(self, *messages: Any, **outputs: Any) -> None:
        item = self.currently_running.pop(0)
        self.history[item[1]] = {"status": {"messages": list(messages)}, "outputs": outputs}


class Core:
    """A server with that queue, its loop in a thread of its own as ComfyUI's is."""

    def __init__(self, comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue, self.interrupts, self.temp = Queue(), 0, comfy.folder("temp")
        self.valid: Any = (True, None, ["3"], {})
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        server = sys.modules["server"].PromptServer.instance  # type: ignore[attr-defined]
        server.loop, server.number, server.prompt_queue = self.loop, 7, self.queue
        nodes: Any = sys.modules["nodes"]
        core_class = type("Core", (), {})
        extra = type("Extra", (), {"RELATIVE_PYTHON_MODULE": "comfy_extras.nodes_x"})
        nodes.NODE_CLASS_MAPPINGS = {"LoadImage": core_class, "KSampler": core_class, "PreviewImage": extra}
        nodes.interrupt_processing = self.interrupt
        self.classes = nodes.NODE_CLASS_MAPPINGS
        execution: Any = types.ModuleType("execution")
        execution.validate_prompt = self.validate
        monkeypatch.setitem(sys.modules, "execution", execution)
        registry = types.SimpleNamespace(prompt_id="", nodes={})
        monkeypatch.setattr(sys.modules["comfy_execution.progress"], "get_progress_state", lambda: registry)
        self.registry = registry
        self.run = importlib.import_module("pack.nodes.host.prompt_queue").run_graph
        self.told: list[float] = []

    async def validate(self, prompt: str, graph: Any, targets: Any) -> Any:
        return self.valid

    def interrupt(self) -> None:
        self.interrupts += 1

    def started(self) -> asyncio.Task[list[bytes]]:
        return asyncio.ensure_future(self.run(JOB, self.told.append))

    async def until(self, is_so: Any) -> None:
        while not is_so():
            await asyncio.sleep(0.01)

    def left(self) -> list[Path]:
        return [path for path in self.temp.rglob("*") if path.is_file()]


@pytest.fixture
def core(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Core]:
    made = Core(comfy, monkeypatch)
    yield made
    made.loop.call_soon_threadsafe(made.loop.stop)
    made.thread.join(5)
    made.loop.close()


async def test_a_job_is_queued_as_cores_own_page_would_and_nothing_of_it_is_left(core: Core):
    task = core.started()
    await core.until(lambda: core.queue.queue)
    number, prompt, graph, extra, outputs, sensitive = core.queue.queue[0]
    assert (number, outputs, sensitive) == (7, ["3"], {}) and prompt in extra["client_id"]
    name = graph["1"]["inputs"]["image"]
    assert name.endswith(" [temp]") and (core.temp / name.removesuffix(" [temp]")).read_bytes() == b"source"
    assert JOB.graph["1"]["inputs"]["image"] == ""
    core.queue.start()
    core.registry.prompt_id, core.registry.nodes = prompt, {"2": {"value": 1, "max": 4}}
    await core.until(lambda: core.told)
    (core.temp / "made.png").write_bytes(b"picture")
    core.queue.end(**{"3": {"images": [{"filename": "made.png", "subfolder": "", "type": "temp"}]}})
    assert await task == [b"picture"] and core.told[0] == 0.25
    assert core.left() == [] and core.queue.history == {}


@pytest.mark.parametrize("start_it", [False, True])
async def test_a_cancel_hits_its_own_prompt_alone(core: Core, start_it: bool):
    core.queue.put((0, "a person's", {}, {}, [], {}))
    task = core.started()
    await core.until(lambda: len(core.queue.queue) == 2)
    if start_it:
        core.queue.queue.reverse()
        core.queue.start()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if start_it:
        await core.until(lambda: core.interrupts)
        assert core.left()  # core may still read it
        core.queue.end(("execution_interrupted", {}))
    await core.until(lambda: not core.left())
    assert [item[1] for item in core.queue.queue] == ["a person's"]
    assert core.interrupts > 0 if start_it else core.interrupts == 0


async def test_a_prompt_that_runs_beside_a_queued_one_is_not_interrupted(core: Core):
    core.queue.put((0, "a person's", {}, {}, [], {}))
    core.queue.start()
    task = core.started()
    await core.until(lambda: core.queue.queue)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await core.until(lambda: not core.queue.queue)
    assert core.interrupts == 0 and core.queue.currently_running


FAILED = {"exception_type": "FileNotFoundError", "exception_message": "/srv/me/models/x", "node_type": "VAELoader"}


@pytest.mark.parametrize(
    ("messages", "kind", "sentence"),
    [
        ([("execution_interrupted", {})], GenerationStopped, "stopped at this ComfyUI"),
        ([("execution_error", FAILED)], GenerationTrouble, "its node VAELoader failed"),
        ([("execution_error", {"exception_type": "torch.OutOfMemoryError"})], GenerationTrouble, "ran out of memory"),
        ([], GenerationTrouble, "gave no pictures"),
    ],
)
async def test_an_end_without_pictures_is_a_sentence_without_paths(core: Core, messages: Any, kind: Any, sentence: str):
    task = core.started()
    await core.until(lambda: core.queue.queue)
    core.queue.start()
    core.queue.end(*messages)
    with pytest.raises(kind, match=sentence) as refused:
        await task
    assert "/home" not in str(refused.value) and core.left() == []


async def test_a_prompt_that_a_person_takes_out_of_the_queue_has_ended(core: Core):
    task = core.started()
    await core.until(lambda: core.queue.queue)
    core.queue.queue.clear()
    with pytest.raises(GenerationStopped, match="taken out of this ComfyUI's queue"):
        await task


async def test_a_file_outside_of_the_temp_folder_is_neither_read_nor_deleted(core: Core):
    other = core.temp.parent / "mine.png"
    other.write_bytes(b"a person's")
    task = core.started()
    await core.until(lambda: core.queue.queue)
    core.queue.start()
    images = [{"filename": "../mine.png", "subfolder": "", "type": "temp"}, {"filename": "x", "type": "output"}]
    core.queue.end(**{"3": {"images": images}})
    with pytest.raises(GenerationTrouble, match="gave no pictures"):
        await task
    assert other.is_file()


REFUSED = {
    "2": {
        "class_type": "KSampler",
        "errors": [
            {"type": "value_not_in_list", "extra_info": {"input_name": "sampler_name", "received_value": "warp"}},
            {"type": "value_bigger_than_max", "extra_info": {"input_name": "steps"}},
        ],
    }
}


@pytest.mark.parametrize(
    ("valid", "sentence"),
    [
        ((False, {"message": "no"}, [], REFUSED), "it has no sampler_name 'warp'; KSampler does not take this steps"),
        ((False, {"message": "Prompt has no outputs"}, [], {}), "Prompt has no outputs"),
        ((True, None, [], {}), "no reason is given"),
    ],
)
async def test_what_core_does_not_take_is_said_and_not_queued(core: Core, valid: Any, sentence: str):
    core.valid = valid
    with pytest.raises(BadInput, match=sentence):
        await core.started()
    assert core.queue.queue == [] and core.left() == []


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (None, "has no node KSampler"),
        ({"RELATIVE_PYTHON_MODULE": "custom_nodes.civitai bridge.v1"}, "not ComfyUI's own"),
        ({"RELATIVE_PYTHON_MODULE": "comfy_api_nodes.nodes_bfl"}, "not ComfyUI's own"),
        ({"RELATIVE_PYTHON_MODULE": "comfy_extras.x", "API_NODE": True}, "not ComfyUI's own"),
    ],
)
async def test_only_cores_own_nodes_are_ever_queued(core: Core, members: Any, sentence: str):
    if members is None:
        del core.classes["KSampler"]
    else:
        core.classes["KSampler"] = type("Other", (), members)
    with pytest.raises(BadInput, match=sentence):
        await core.started()
    assert core.queue.queue == []


async def test_without_a_server_nothing_is_queued(core: Core, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["server"].PromptServer, "instance", None)  # type: ignore[attr-defined]
    with pytest.raises(GenerationTrouble, match="without its server"):
        await core.started()


async def test_a_rooms_jobs_stand_in_comfyuis_queue_one_at_a_time(core: Core):
    queue = importlib.import_module("pack.nodes.host.prompt_queue").PictureQueue()
    made: list[int] = []

    def job(number: int) -> Any:
        async def make() -> GraphJob:
            made.append(number)
            return JOB

        return asyncio.ensure_future(queue.run(make, core.told.append))

    first, second, third = map(job, range(3))
    await core.until(lambda: core.queue.queue)
    await asyncio.sleep(0.1)
    assert len(core.queue.queue) == 1 and made == [0]
    second.cancel()
    core.queue.start()
    core.queue.end()
    with pytest.raises(GenerationTrouble):
        await first
    with pytest.raises(asyncio.CancelledError):
        await second
    await core.until(lambda: core.queue.queue)
    core.queue.start()
    core.queue.end()
    with pytest.raises(GenerationTrouble):
        await third
    assert made == [0, 2]


async def test_jobs_that_wait_are_not_made_once_the_person_says_no(core: Core):
    wanted = [True]
    queue = importlib.import_module("pack.nodes.host.prompt_queue").PictureQueue(lambda: wanted[0])

    async def make() -> GraphJob:
        return JOB

    first, second = (asyncio.ensure_future(queue.run(make, core.told.append)) for _ in range(2))
    await core.until(lambda: core.queue.queue)
    wanted[0] = False
    core.queue.start()
    core.queue.end()
    with pytest.raises(GenerationTrouble):
        await first
    with pytest.raises(BadInput, match="link_generate is off"):
        await second
    assert core.queue.queue == []
