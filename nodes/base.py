"""The frame of every node: its schema, the story that it runs, the text that it shows."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from comfy_api.latest import io

from ..civitai_bridge.settings import BADGE, is_sandbox
from ..civitai_bridge.wording import at_a_graph
from .host.interrupt import Story, run_story, stoppable

T = TypeVar("T")


class Node(io.ComfyNode):
    """A node of the pack: `define_schema` says what it is, `execute` runs its story and hands on what came of it."""

    @classmethod
    def node_id(cls) -> str | None:
        """The running node's id in its graph."""
        return getattr(getattr(cls, "hidden", None), "unique_id", None)

    @classmethod
    async def run(cls, story: Story[T]) -> T:
        """Run a story that may buy on the background loop; what to do about ComfyUI's button is the story's affair."""
        return await run_story(story, cls.node_id())

    @classmethod
    async def look(cls, story: Story[T], doing: str = "Asking CivitAI") -> T:
        """Run a story that costs nothing: `doing` is shown meanwhile, and ComfyUI's button ends it at once."""
        return await run_story(stoppable(story, doing), cls.node_id())


class FreshNode(Node):
    """A node that is asked each time: files, catalogs and prices change without ComfyUI."""

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> float:
        return float("nan")


def schema(**fields: Any) -> io.Schema:
    """A Schema in our category, with the node's id at hand, without the fields that an older ComfyUI does not know."""
    fields = {"category": "Civitai", "hidden": [io.Hidden.unique_id], **fields}
    parameters = inspect.signature(io.Schema).parameters
    return io.Schema(**{name: value for name, value in fields.items() if name in parameters})


def output(*values: Any, report: str, **ui: Any) -> io.NodeOutput:
    """A node's values, and its report as text on the node; on the sandbox it says so."""
    return io.NodeOutput(*values, ui={**ui, "text": [report_text(report)]})


def output_with_report(*values: Any, report: str) -> io.NodeOutput:
    """A node's values with its report as the last of them and as text on the node."""
    return output(*values, report_text(report), report=report)


def report_text(report: str) -> str:
    """A report as the node shows it: commands as they work here; on the sandbox its first line says so."""
    report = at_a_graph(report)
    return f"{BADGE}\n{report}" if is_sandbox() and BADGE not in report.splitlines() else report
