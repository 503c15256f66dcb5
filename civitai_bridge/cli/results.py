"""results and blob: what came of a workflow, seen or put into a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, Interrupted
from ..network.notices import listening
from .console import ProgressBar
from .context import Command, Context, Story
from .workflow import add_raw, print_raw

if TYPE_CHECKING:
    from ..workflows.details import WorkflowDetails
    from ..workflows.keeping import KeptOutput
    from ..workflows.outputs import Output
    from ..workflows.reader import WorkflowReader

_FOLDER = "./civitai-downloads"
_WHOLE = "whole"
_NSFW = (
    "--nsfw changes nothing: blobs of your own are asked for without a ceiling, rated or not, and what CivitAI's "
    "moderation withholds stays withheld."
)


def add_to(commands: Any) -> None:
    """The commands `results` and `blob`."""
    results = commands.add_parser("results", help="what a workflow made: seen, or put into a folder")
    results.add_argument("workflow", help="a workflow's id")
    results.set_defaults(run=_stoppable(_results))
    blob = commands.add_parser("blob", help="one blob: that it is there and its rating, or its file")
    blob.add_argument("blob", help="a blob's id")
    blob.add_argument(
        "--nsfw",
        action="store_true",
        help="taken and without effect: your own are never hidden; withheld stays withheld",
    )
    add_raw(blob)
    blob.set_defaults(run=_stoppable(_blob))
    for parser in (results, blob):
        parser.add_argument("--download", action="store_true", help="put the files into the folder")
        parser.add_argument(
            "--dir", type=Path, default=Path(_FOLDER), metavar="DIR", help=f"the folder; default {_FOLDER}"
        )


def _stoppable(story: Story) -> Command:
    """A story as a command that Ctrl-C ends in good order."""

    def run(context: Context, arguments: argparse.Namespace) -> int:
        try:
            return context.run(story(context, arguments))
        except KeyboardInterrupt:
            raise Interrupted(
                "Stopped. What has arrived is kept; run the same command again to go on from there."
            ) from None

    return run


async def _results(context: Context, arguments: argparse.Namespace) -> int:
    from ..workflows.keeping import stems

    async with context.marked_app() as app:
        reader = await app.workflows()
        workflow = await reader.workflow(arguments.workflow)
        outputs = workflow.outputs
        kept = None
        if arguments.download:
            kept = await _keep(context, reader, stems(workflow.id, outputs), outputs, arguments.dir)
    document = {
        "workflow_id": workflow.id,
        "status": workflow.status,
        "is_over": workflow.is_over,
        "reasons": list(workflow.summary.reasons),
        "folder": str(arguments.dir) if arguments.download else None,
        **_document(outputs, kept),
    }
    words = _last_words(workflow, arguments.workflow.strip(), kept)
    context.data(document, "\n".join([*_lines(outputs, kept), *words]))
    return _exit_code(kept) if kept is not None else 0


async def _keep(
    context: Context, reader: WorkflowReader, names: list[str], outputs: tuple[Output, ...], folder: Path
) -> list[KeptOutput]:
    done = 0
    with ProgressBar(context, with_json=True) as bar:

        def show(file: KeptOutput) -> None:
            nonlocal done
            done += 1
            bar.show(f"{done} of {len(outputs)} files", done, len(outputs))

        def wait() -> None:
            context.say(f"Another command is at work in {folder}; waiting for it.")

        with listening(bar.show):
            return await reader.keep(list(zip(names, outputs, strict=True)), folder, show, wait)


def _document(outputs: tuple[Output, ...], kept: list[KeptOutput] | None) -> dict[str, Any]:
    from ..workflows.documents import output_document

    if kept is None:
        return {"outputs": [output_document(output) for output in outputs]}
    entries = [
        {
            **output_document(file.output),
            "file": str(file.path) if file.path else None,
            "state": file.state,
            "bytes": file.size,
            "sha256": file.sha256 or None,
            "missing": "" if file.path else file.reason,
        }
        for file in kept
    ]
    return {"outputs": entries, "files": [str(file.path) for file in kept if file.path]}


def _lines(outputs: tuple[Output, ...], kept: list[KeptOutput] | None) -> list[str]:
    from ..workflows.texts import output_line, shown

    if kept is None:
        return [f"{shown(output.step)} {output.index}: {output_line(output)}" for output in outputs]
    return [
        f"{file.path}{'' if file.state == 'new' else f' (was there, {file.reason or _WHOLE})'}"
        if file.path
        else f"{shown(file.output.step)} {file.output.index} {file.output.kind} is missing: {shown(file.reason)}"
        for file in kept
    ]


def _last_words(workflow: WorkflowDetails, name: str, kept: list[KeptOutput] | None) -> list[str]:
    """Reasons, and what to do next; `name` is the workflow's id as it was typed, for commands to be copied."""
    from ..workflows.texts import shown

    lines = [f"Reason: {shown(reason)}" for reason in workflow.summary.reasons]
    if not workflow.is_over:
        lines.append(f"It is {shown(workflow.status)}; `civitai-bridge workflow {name} --wait` waits for its end.")
    elif not workflow.outputs:
        lines.append(f"The workflow ({shown(workflow.status)}) has no results.")
    elif kept is None:
        lines.append(f"`civitai-bridge results {name} --download` puts them into {_FOLDER}.")
    elif any(file.again for file in kept):
        lines.append("Some may be had later: run the same command again; what is there is kept.")
    return lines


def _exit_code(kept: list[KeptOutput]) -> int:
    """0 where everything is there that CivitAI gives; 1 where something it has did not come, or nothing is there."""
    return 0 if any(file.path for file in kept) and not any(file.again for file in kept) else 1


async def _blob(context: Context, arguments: argparse.Namespace) -> int:
    from ..workflows.keeping import safe_part
    from ..workflows.works import blob_outputs

    if arguments.raw and arguments.download:
        raise BadInput("--raw prints what the service says of a blob, --download fetches it; choose one.")
    if arguments.nsfw:
        context.say(_NSFW)
    async with context.marked_app() as app:
        reader = await app.workflows()
        if arguments.raw:
            _, answer = await reader.blob(arguments.blob)
            print_raw(answer)
            return 0
        head = await reader.blob_head(arguments.blob)
        if not arguments.download:
            headers = {name: value for name, value in head.headers.items() if name in _TELLING}
            rating = f", rated {head.nsfw_level}" if head.nsfw_level else ""
            document = {"id": head.id, "available": True, "nsfw_level": head.nsfw_level, "headers": headers}
            lines = [f"Blob {head.id} is there{rating}.", *(f"  {name}: {value}" for name, value in headers.items())]
            context.data(document, "\n".join(lines))
            return 0
        outputs = await blob_outputs(reader, head.id)
        name = safe_part(head.id.rpartition(".")[0] or head.id) or "blob"
        kept = await _keep(context, reader, [name], outputs, arguments.dir)
    context.data({"id": head.id, **_document(outputs, kept)}, "\n".join(_lines(outputs, kept)))
    return _exit_code(kept)


_TELLING = frozenset({"content-type", "content-length", "last-modified", "etag", "expires", "x-nsfw-level"})
