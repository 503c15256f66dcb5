"""workflow, step, job: one piece of work, read whole."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, Interrupted, StillRunning, Unreadable
from .console import ProgressBar
from .context import Context, runs, write_bytes_out

if TYPE_CHECKING:
    from ..workflows.client import Answer
    from ..workflows.details import WorkflowDetails

_LONGEST_WAIT = 7 * 24 * 3600.0  # seconds


def add_to(commands: Any) -> None:
    """The commands `workflow`, `step` and `job`."""
    workflow = commands.add_parser("workflow", help="show a workflow: steps, jobs, price, reasons")
    workflow.add_argument("workflow", help="a workflow's id")
    workflow.add_argument("--wait", action="store_true", help="wait for its end")
    workflow.add_argument(
        "--timeout", type=float, default=1800.0, metavar="S", help="seconds that --wait waits at most"
    )
    workflow.set_defaults(run=_workflow)
    step = commands.add_parser("step", help="show one step of a workflow: input, output, jobs, reasons")
    step.add_argument("workflow", help="a workflow's id")
    step.add_argument("step", metavar="NAME", help="the step's name, or its place: $0, $1, … (in quotes)")
    step.set_defaults(run=runs(_step))
    job = commands.add_parser("job", help="show a job with the scans of its pictures, where CivitAI still does")
    job.add_argument("job", help="a job's id")
    job.set_defaults(run=runs(_job))
    for parser in (workflow, step, job):
        add_raw(parser)


def add_raw(parser: argparse.ArgumentParser) -> None:
    """The option `--raw`."""
    parser.add_argument("--raw", action="store_true", help="print the service's own JSON, untouched")


def print_raw(answer: Answer) -> None:
    """The service's bytes as they came, and the end of the line. Raises Unreadable where there are none, and
    OutputTrouble."""
    if not answer.content:
        raise Unreadable("CivitAI has no JSON of its own for this; leave --raw out.", status=200)
    if not hasattr(sys.stdout, "buffer"):  # a stand-in for a terminal
        print(answer.content.decode("utf-8", "replace"))
        return
    write_bytes_out(answer.content + b"\n")


def _workflow(context: Context, arguments: argparse.Namespace) -> int:
    if not 0 < arguments.timeout <= _LONGEST_WAIT:
        raise BadInput(f"--timeout is {arguments.timeout:g}, but it must be more than 0 and at most a week of seconds.")
    try:
        return context.run(_show_workflow(context, arguments))
    except KeyboardInterrupt:
        name = arguments.workflow.strip()
        raise Interrupted(
            f"Stopped waiting; the job goes on. `civitai-bridge workflow {name} --wait` waits again, `civitai-bridge "
            f"cancel {name}` stops it.",
            workflow_id=name,
        ) from None


async def _show_workflow(context: Context, arguments: argparse.Namespace) -> int:
    from ..workflows.documents import workflow_document
    from ..workflows.texts import workflow_text

    async with context.marked_app() as app:
        reader = await app.workflows()
        if arguments.wait:
            with ProgressBar(context, lines=True) as bar:
                workflow, answer = await reader.wait(
                    arguments.workflow, arguments.timeout, lambda seen: bar.show(*_progress(seen))
                )
        else:
            workflow, answer = await reader.answer(arguments.workflow)
    if arguments.raw:
        print_raw(answer)
    else:
        context.data(workflow_document(workflow), "" if context.json else workflow_text(workflow))
    if not arguments.wait:
        return 0
    if not workflow.is_over:
        context.say(
            f"It is not over after {arguments.timeout:g} s; the job goes on. `civitai-bridge workflow "
            f"{arguments.workflow.strip()} --wait` waits again."
        )
        return StillRunning.exit_code
    return 0 if workflow.status == "succeeded" else 1


def _progress(workflow: WorkflowDetails) -> tuple[str, float, float | None]:
    """What is known of the work that goes on: text, done, of how much."""
    rate = next((step.summary.progress for step in workflow.steps if step.summary.progress is not None), None)
    ahead = next((step.summary.preceding_jobs for step in workflow.steps if step.summary.preceding_jobs), None)
    parts = [workflow.status, f"{rate:.0%}" if rate is not None else "", f"{ahead} jobs ahead" if ahead else ""]
    return " · ".join(part for part in parts if part), rate or 0.0, None if rate is None else 1.0


async def _step(context: Context, arguments: argparse.Namespace) -> int:
    from ..workflows.documents import step_document
    from ..workflows.texts import step_text

    async with context.marked_app() as app:
        step, answer = await (await app.workflows()).step(arguments.workflow, arguments.step)
    if arguments.raw:
        print_raw(answer)
    else:
        context.data(step_document(step), "" if context.json else step_text(step))
    return 0


async def _job(context: Context, arguments: argparse.Namespace) -> int:
    from ..workflows.documents import job_document
    from ..workflows.texts import job_text

    async with context.marked_app() as app:
        job, answer = await (await app.workflows()).job(arguments.job)
    if arguments.raw:
        print_raw(answer)
    else:
        context.data(job_document(job), "" if context.json else job_text(job))
    return 0
