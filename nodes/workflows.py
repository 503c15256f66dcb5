"""Workflow Query and Workflow Images: what was ordered on CivitAI from anywhere, found again and brought into a
graph."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..civitai_bridge.network.background import background_loop
from .base import FreshNode, Node, output, output_with_report, report_text, schema
from .host import comfyui
from .host.interrupt import NodeRun, ask_before_running
from .host.services import services
from .sockets import Generation, text_of, whole

if TYPE_CHECKING:
    from pathlib import Path

    from ..civitai_bridge.metadata.generation import GenerationData
    from ..civitai_bridge.orchestration.fleet import Fleet
    from ..civitai_bridge.orchestration.purchase import Purchase
    from ..civitai_bridge.workflows.details import WorkflowDetails
    from ..civitai_bridge.workflows.picture_batch import OnDisk, PictureBatch
    from ..civitai_bridge.workflows.query import Page
    from ..civitai_bridge.workflows.reader import WorkflowReader
    from ..civitai_bridge.workflows.works import Work

MOST_LISTED = 200  # workflows that one question to CivitAI may ask for
_ASKED_BEFORE = 10.0  # seconds that a question before the run may take; a queued graph waits for it


class CivitaiBridgeWorkflowImages(Node):
    """Workflow Images: a workflow, job or blob of the account in, its pictures out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeWorkflowImages",
            display_name="CivitAI Workflow Images",
            description="Brings the pictures of a workflow into the graph, whoever ordered it: this pack, the site, a "
            "script. Buys nothing.",
            search_aliases=["civitai", "workflow", "job", "blob", "history", "results"],
            inputs=[
                io.String.Input(
                    "workflow_id",
                    default="",
                    tooltip="A workflow id of your account, a job id or a blob id; or a wire from Workflow Query.",
                ),
                io.Boolean.Input(
                    "wait",
                    default=True,
                    optional=True,
                    tooltip="Wait until it is over. Off: take what is there now.",
                ),
                whole("wait_minutes", 30, 1, 1440, "How long to wait; the job goes on whatever this node does."),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The pictures that can be had, as one batch."),
                io.Mask.Output("mask", tooltip="1 - alpha; zeros where the pictures have none."),
                Generation.Output("generation", tooltip="What made them, from the workflow's own input."),
                io.String.Output("status", tooltip="succeeded, failed, processing, … as CivitAI has it."),
                io.Float.Output("cost", tooltip="Buzz, refunds taken off."),
                io.String.Output("report", tooltip="What came and what did not, in sentences."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def fingerprint_inputs(cls, workflow_id: object = "", **inputs: Any) -> str | float:
        """Stable once nothing can change any more; until then ComfyUI keeps nothing of it."""
        name = text_of(workflow_id)
        is_final = services().is_final(name) if name else False
        if is_final is None:
            is_final = await ask_before_running(_is_over(name))
        # A NaN of its own each time: core takes one and the same object for equal.
        return f"{services().account()} over" if is_final else float("nan")

    @classmethod
    async def execute(cls, workflow_id: object = "", wait: bool = True, wait_minutes: int | None = 30) -> io.NodeOutput:
        from ..civitai_bridge.pictures import batch as decoded
        from ..civitai_bridge.workflows.picture_batch import report_lines, why_empty
        from .tensors import to_tensor

        name, seconds = text_of(workflow_id), 60.0 * (wait_minutes or 30) if wait is not False else 0.0
        collect = partial(_collect, name=name, seconds=seconds)
        batch, generation, purchase = await cls.look(collect, f"Asking CivitAI about {name}")
        services().note_work(name, batch.is_final)
        lines, images, mask = report_lines(batch, name), None, None
        if batch.pictures:
            arrays, alpha, notes = await asyncio.to_thread(decoded, batch.contents)
            images, mask, lines = to_tensor(arrays), to_tensor(alpha), [*lines, *notes]
            if generation.arrived:  # straight from the step that made them
                generation = replace(generation, width=arrays.shape[2], height=arrays.shape[1])
            _note_collected(batch, purchase)
        else:
            lines.append(why_empty(batch, name, bool(seconds)))
            images = mask = comfyui.blocker(lines[-1])
        report = report_text("\n".join([*lines, *generation.notes]))
        return output(images, mask, generation, batch.status, batch.cost, report, report=report)


class CivitaiBridgeWorkflowQuery(FreshNode):
    """Workflow Query: what to look for in, the ids of the account's workflows out, one by one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeWorkflowQuery",
            display_name="CivitAI Workflow Query",
            description="Lists workflows of your account on CivitAI by tags, text and dates. Buys nothing. Nodes "
            "behind `workflow_ids` run once for each of them.",
            search_aliases=["civitai", "workflow", "search", "history", "list"],
            inputs=[
                _words("tags", "Tags that a workflow must all have, commas between; empty = any."),
                _words("query", "Text that its metadata must hold."),
                whole("take", 20, 1, MOST_LISTED, "How many at most."),
                _words("cursor", "Where to go on: `next_cursor` of the same query."),
                _words("from_date", "From this day on (2026-11-28), or this moment (2026-11-28T06:00:00Z); UTC."),
                _words("to_date", "Up to the end of this day, or this moment; UTC."),
                _switch("exclude_failed", "Leave out what failed, expired or was canceled."),
                _switch("oldest_first", "Begin with the oldest instead of the newest."),
            ],
            outputs=[
                io.String.Output("workflow_ids", is_output_list=True, tooltip="A list: what follows runs for each id."),
                io.String.Output("next_cursor", tooltip="For the next page of the same query; empty after the last."),
                io.String.Output("report", tooltip="The workflows with status, time, price and prompt."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def execute(
        cls,
        tags: object = "",
        query: object = "",
        take: int | None = 20,
        cursor: object = "",
        from_date: object = "",
        to_date: object = "",
        exclude_failed: bool = False,
        oldest_first: bool = False,
    ) -> io.NodeOutput:
        from ..civitai_bridge.orchestration.tags import split_tags
        from ..civitai_bridge.workflows.moments import window
        from ..civitai_bridge.workflows.query import WorkflowFilter

        asked = WorkflowFilter(
            tags=split_tags(text_of(tags)),
            text=text_of(query),
            exclude_failed=bool(exclude_failed),
            oldest_first=bool(oldest_first),
            take=20 if take is None else int(take),
            cursor=text_of(cursor),
            window=window(text_of(from_date), text_of(to_date), ("from_date", "to_date")),
        ).checked(MOST_LISTED, "take")

        async def ask(run: NodeRun) -> Page:
            return await (await services().app.workflows()).page(asked)

        page = await cls.look(ask, "Asking CivitAI for workflows")
        ids = [workflow.id for workflow in page.workflows if workflow.id]
        report = "\n".join(_listing(page))
        # An empty list would make core run what follows with no input at all.
        return output_with_report(ids or [comfyui.blocker(_NONE)], page.next, report=report)


_NONE = "No workflow of your account fits the query, so nothing follows."
_IGNORED = {
    "tags": "tags",
    "dates": "dates",
    "excludeFailed": "exclude_failed",
}


def _words(name: str, tooltip: str) -> Any:
    return io.String.Input(name, default="", optional=True, tooltip=tooltip)


def _switch(name: str, tooltip: str) -> Any:
    return io.Boolean.Input(name, default=False, optional=True, tooltip=tooltip)


def _listing(page: Page) -> list[str]:
    """The page for a person: a line for each workflow, then what to know of the whole."""
    lines = [_line(workflow) for workflow in page.workflows] or [_NONE]
    if ignored := [name for word, name in _IGNORED.items() if word in page.ignored]:
        lines.append(
            f"CivitAI ignored {', '.join(ignored)}; {page.came} came and {len(page.workflows)} of them fit, as was "
            "looked at here."
        )
    if "ascending" in page.ignored:
        lines.append("CivitAI ignored oldest_first: they are in its own order.")
    return [*lines, f"More: cursor {page.next}"] if page.next else lines


def _line(workflow: WorkflowDetails) -> str:
    from ..civitai_bridge.resources.plain_text import one_line
    from ..civitai_bridge.workflows.generation import paid

    when, count = workflow.created_at[:16].replace("T", " "), len(workflow.pictures)
    pictures = f"{count} picture{'' if count == 1 else 's'}"
    parts = [workflow.id, workflow.status, when, ", ".join(workflow.types), pictures, f"{paid(workflow):g} Buzz"]
    return one_line(" · ".join([*(part for part in parts if part), workflow.prompt[:60]]))


async def _is_over(name: str) -> bool:
    """Whether a work is over, asked before its node runs."""
    from ..civitai_bridge.workflows.works import work_of

    try:
        work = await asyncio.wait_for(work_of(await services().app.workflows(), name), _ASKED_BEFORE)
    except asyncio.TimeoutError:
        return False
    return work.workflow is None or work.workflow.is_over


async def _collect(run: NodeRun, *, name: str, seconds: float) -> tuple[PictureBatch, GenerationData, Purchase | None]:
    """The pictures of a work, after its end was waited for, what made them, and our own purchase of it."""
    from ..civitai_bridge.workflows.picture_batch import pictures_of, with_names
    from ..civitai_bridge.workflows.works import work_of

    reader, fleet = await services().app.workflows(), await services().fleet()
    work = await work_of(reader, name)
    if work.workflow is not None and not work.workflow.is_over and seconds:
        work = await _at_its_end(run, reader, work, name, seconds)
    workflow_id = work.workflow.id if work.workflow is not None else ""
    purchase = await asyncio.to_thread(fleet.journal.get, workflow_id) if workflow_id else None
    async with services().fetching:
        batch = await pictures_of(reader, work, _files_of(fleet, purchase))
    generation = batch.generation("sandbox" if reader.settings.sandbox else "CivitAI orchestration")
    run.tell(f"{len(batch.pictures)} of {len(batch.pictures) + len(batch.missing)} pictures · {batch.status}", 1.0)
    return batch, await with_names(generation, fleet.resolve), purchase


async def _at_its_end(run: NodeRun, reader: WorkflowReader, work: Work, name: str, seconds: float) -> Work:
    from ..civitai_bridge.workflows.works import Work, work_of

    def show(workflow: WorkflowDetails) -> None:
        before = workflow.summary.preceding_jobs
        queue = f" · {before} before it" if before else ""
        run.tell(f"{name}: {workflow.status}{queue}", workflow.summary.progress)

    assert work.workflow is not None
    workflow, _ = await reader.wait(work.workflow.id, seconds, show)
    return Work(workflow.outputs, workflow) if workflow.id == name else await work_of(reader, name)


def _files_of(fleet: Fleet, purchase: Purchase | None) -> OnDisk:
    """Where pictures lie that this machine has bought and checked; CivitAI is not asked for them again."""
    slots = {slot.blob_id: slot for slot in purchase.slots if slot.fetched} if purchase is not None else {}

    def file_of(blob_id: str) -> Path | None:
        slot = slots.get(blob_id)
        is_here = slot is not None and fleet.results.intact(slot.file, slot.sha256)
        return fleet.results.path(slot.file) if slot is not None and is_here else None

    return file_of


def _note_collected(batch: PictureBatch, purchase: Purchase | None) -> None:
    """Where all pictures of a purchase of ours are in this batch, a person has them: it waits no longer."""
    fetched = {slot.blob_id for slot in purchase.slots if slot.fetched} if purchase is not None else set()
    if purchase is None or not fetched or not fetched <= {picture.id for picture in batch.pictures}:
        return

    async def note() -> None:
        await (await services().fleet()).collected(purchase.key)

    background_loop().start(note())
