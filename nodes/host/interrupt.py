"""A node's run: its story is on the background loop, the node waits for it in the prompt's loop, and ComfyUI's button
reaches the story whatever the prompt's loop does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ...civitai_bridge.errors import CivitaiError, Interrupted
from ...civitai_bridge.network.background import background_loop, until_cancelled, wait_for
from ...civitai_bridge.network.notices import listening
from ...civitai_bridge.wording import at_a_graph
from . import comfyui
from .services import services

if TYPE_CHECKING:
    from ...civitai_bridge.model_files.progress import DownloadProgress
    from ...civitai_bridge.orchestration.outcome import State

T = TypeVar("T")
Story = Callable[["NodeRun"], Coroutine[Any, Any, T]]
JOB_EVENT = "civitai_bridge.job"
log = logging.getLogger(__name__)


class NodeRun:
    """What one running node shares with its story: who it is, whether its person cancelled, whether it still waits.

    Made in the prompt's thread while the node starts; read by the story on the background loop."""

    def __init__(self, node_id: str | None) -> None:
        self.node_id = node_id
        self.prompt_id = comfyui.prompt_id()
        self.client_id = getattr(comfyui.server(), "client_id", None)
        self.decided = False  # after a teardown: whether it is known who wanted it
        self._server = comfyui.server()
        self._left = False
        self._cancelled = False
        self._last_text = ""
        self._progress = comfyui.progress_bar(node_id)

    def cancelled(self) -> bool:
        """Whether the person pressed ComfyUI's button. A node that has left the prompt does not look any more: the
        button may be a later prompt's."""
        if not self._left and not self._cancelled:
            self._cancelled = comfyui.is_interrupted()
        return self._cancelled

    def left(self) -> bool:
        """Whether the prompt is over without us: nobody waits, so nothing more is to be bought."""
        return self._left

    def leave(self) -> None:
        """The prompt is being torn down. Whether a person did it, its history tells."""
        self._left = True

    def person_stopped(self) -> None:
        """It was a person who ended the prompt."""
        self._cancelled = True

    def show(self, state: State) -> None:
        """Where a purchase is, on the node, and as an event for our page; for the client alone that queued it."""
        if not self._left and self.node_id and self.client_id:
            comfyui.send(JOB_EVENT, self._job(state), self.client_id)
        self.tell(state.text, state.fraction)

    def _job(self, state: State) -> dict[str, Any]:
        return {
            "node": self.node_id, "prompt_id": self.prompt_id, "phase": state.phase, "text": state.text,
            "progress": state.fraction, "price": state.price, "workflow_id": state.workflow_id,
        }  # fmt: skip

    def show_download(self, progress: DownloadProgress) -> None:
        """How far a file is, on the node."""
        fraction = progress.bytes / progress.of_bytes if progress.of_bytes else None
        self.tell(progress.text or f"Loading {progress.name}", fraction)

    def tell(self, text: str, fraction: float | None = None) -> None:
        """One line of text and the progress bar (0 to 1), for the client alone that queued the prompt."""
        if self._left:
            return
        if fraction is not None:
            self._progress(fraction)
        if text != self._last_text and self._server is not None and self.client_id is not None and self.node_id:
            self._last_text = text
            self._server.send_progress_text(text, self.node_id, self.client_id)


async def run_story(story: Story[T], node_id: str | None) -> T:
    """Run a story on the background loop and wait for it in the prompt's loop.

    ComfyUI's button raises core's own exception; a teardown leaves the story alone and lets the prompt's history
    decide."""
    run, leaving = NodeRun(node_id), services().leaving
    with listening(run.tell):  # what a look-up waits for is shown on the node
        work = background_loop().start(story(run))
    work.add_done_callback(lambda _: leaving.pop(run, None))
    try:
        return await wait_for(work)
    except asyncio.CancelledError:
        # A sibling failed, or core itself saw the button between two of our looks. No waiting here: it would hold up
        # the next prompt. What the person did is read on the background loop.
        if run.cancelled():
            run.person_stopped()
        run.leave()
        leaving[run] = work
        background_loop().start(_decide(run))
        raise
    except Interrupted as error:
        if not run.cancelled():
            raise _for_the_node(error) from None  # core's exception would cancel the siblings' jobs as well
        log.info("%s", error)
        raise comfyui.interrupted() from error
    except CivitaiError as error:
        raise _for_the_node(error) from None


def _for_the_node(error: CivitaiError) -> CivitaiError:
    """The error with commands as they work here. Core publishes the traceback; a fresh, short one holds no inputs."""
    error.args = (at_a_graph(str(error)), *error.args[1:])
    return error.with_traceback(None)


def stoppable(story: Story[T], doing: str) -> Story[T]:
    """A story that costs nothing and may end anywhere: it shows what it does, and ComfyUI's button ends it within a
    fraction of a second, whatever it waits for."""

    async def until_stopped(run: NodeRun) -> T:
        run.tell(doing)
        return await until_cancelled(story(run), run.cancelled, lambda: Interrupted("Cancelled."))

    return until_stopped


async def settled(seconds: float = 1.5) -> None:
    """Wait until the cancels of the prompt before are written down. Otherwise the same graph, queued again at once,
    would join what is about to be cancelled."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(not run.decided or run.cancelled() for run in list(services().leaving)):
        await asyncio.sleep(0.02)


async def ask_before_running(story: Coroutine[Any, Any, T]) -> T | None:
    """Run a short story on the background loop before any node runs; None where it fails, for then a node will say
    why."""
    try:
        return await wait_for(background_loop().start(story))
    except (CivitaiError, OSError):
        return None


async def _decide(run: NodeRun) -> None:
    try:
        await _ask_history(run)
    finally:
        run.decided = True


async def _ask_history(run: NodeRun) -> None:
    """After a teardown: `execution_interrupted` in the prompt's history means a person's cancel, anything else keeps
    the job. The entry comes at once, unless another node's own clean-up holds the prompt's end up."""
    for look in range(700):
        if not run.prompt_id or run.cancelled():
            return
        try:
            entry = comfyui.history_of(run.prompt_id)
        except LookupError:
            return
        if entry:
            messages = (entry.get("status") or {}).get("messages") or ()
            if any(message[0] == "execution_interrupted" for message in messages):
                run.person_stopped()
            return
        await asyncio.sleep(0.05 if look < 100 else 1.0)
