"""Workflows, steps, jobs and outputs for people: every known member that says something on a line of its own.

Long values are cut, and the line says how much is left out; addresses are shown without their signed part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..resources.json_values import mapping, text
from ..resources.moments import moment_of
from ..resources.plain_text import one_line, printable
from .details import StepDetails, WorkflowDetails
from .documents import JOB, STEP, V1_JOB, WORKFLOW, snake
from .job_details import JobDetails
from .outputs import TEXT, Output, is_blob

LONGEST, LONGEST_UNKNOWN = 2000, 200  # characters of a value
LONGEST_TEXT = 200_000  # characters of a whole; a terminal is no place for more
_SIGNED = re.compile(r"(https?://[^\s\"'<>?#]+)\?[^\s\"'<>]*")
_SCANS = ("hive_", "scan", "_score")
_PROMPT = 60  # characters of a prompt in a list
# What the line of an output says of its blob; an address without its signed part is of no use.
_OF_A_LINE = ("id", "blobId", "type", "url", "width", "height", "nsfwLevel", "mimeType", "available", "blockedReason")
_SPECIAL = frozenset({"input", "output"})


def workflow_text(workflow: WorkflowDetails) -> str:
    """A workflow with its steps."""
    summary = workflow.summary
    lines = [f"Workflow {shown(workflow.id or '(without an id)')}: {shown(workflow.status)}"]
    lines += [f"  Price: {_price(workflow)}"] if summary.cost is not None or summary.transactions else []
    lines += [f"  Reason: {shown(reason)}" for reason in summary.reasons]
    lines += _members(workflow.raw, WORKFLOW, "  ", {"id": workflow.id, "status": workflow.status})
    lines += _unknown(workflow.raw, (*WORKFLOW, "steps"), "  ")
    for step in workflow.steps:
        lines += ["", *_step_lines(step)]
    if workflow.raw.get("steps") not in (None, []) and not workflow.steps:
        lines.append(f"  Steps: {shown(workflow.raw['steps'], LONGEST_UNKNOWN)}")
    return _whole(lines)


def step_text(step: StepDetails) -> str:
    """One step: input, output, jobs, reasons."""
    return _whole(list(_step_lines(step)))


def _step_lines(step: StepDetails) -> Iterator[str]:
    place = "" if step.name == f"${step.index}" else f" (${step.index})"
    yield f"Step {shown(step.name)}{place}: {shown(step.type or 'of no type')}, {shown(step.status or 'no status')}"
    yield from (f"  Reason: {shown(reason)}" for reason in step.summary.reasons)
    yield from _members(step.raw, STEP, "  ", {"$type": step.type, "name": step.name, "status": step.status})
    for name in ("input", "output"):
        value = step.raw.get(name)
        if isinstance(value, Mapping) and value:
            said = {key: inner for key, inner in value.items() if inner is not None and not _is_of_blobs(inner)}
            yield from [f"  {name.capitalize()}:", *_unknown(said, (), "    ", LONGEST)] if said else []
        elif value not in (None, {}):
            yield f"  {name.capitalize()}: {shown(value)}"
    yield from _unknown(step.raw, (*STEP, "jobs"), "  ")
    for job in step.jobs:
        yield f"  Job {shown(job.get('id'))}: {shown(job.get('status'))}"
        yield from _members(job, JOB[2:], "    ")
        yield from _unknown(job, JOB, "    ")
    if step.raw.get("jobs") not in (None, []) and not step.jobs:
        yield f"  Jobs: {shown(step.raw['jobs'], LONGEST_UNKNOWN)}"
    for output in step.outputs:
        yield f"  Result {output.index}: {output_line(output)}"
        yield from _unknown(_beside_its_line(output), (), "    ")


def _beside_its_line(output: Output) -> dict[str, Any]:
    """Members of a blob that its line does not tell: unknown ones, and known ones of a form that the line leaves out (a
    width alone, a rating without a word, a reason of a picture that can be had)."""
    untold = set[str]()
    if not (output.width and output.height):
        untold |= {"width", "height"}
    untold |= set() if output.nsfw_level else {"nsfwLevel"}
    untold |= set() if output.mime else {"mimeType"}
    untold |= {"blockedReason"} if output.blocked_reason and not output.is_withheld else set()
    return {
        name: value
        for name, value in output.raw.items()
        if value not in (None, "") and (name not in _OF_A_LINE or name in untold)
    }


def _is_of_blobs(value: Any) -> bool:
    """Whether a member of an output is a blob, or a list of blobs alone: each is a line of its own."""
    return is_blob(value) or (isinstance(value, list) and bool(value) and all(map(is_blob, value)))


def output_line(output: Output) -> str:
    """What an output is and whether it can be had, on one line.

    assert output_line(Output("gen", 0, 0, "image", "output.images[0]", id="A.png", available=True)) == "image A.png"
    """
    size = f"{output.width} x {output.height}" if output.width and output.height else ""
    duration = f"{output.seconds:g} s" if output.seconds is not None else ""
    words = shown(one_line(output.text), 300) if output.kind == TEXT else ""
    parts = [output.kind, shown(output.id), size, duration, output.mime, output.nsfw_level, words]
    missing = f" - missing: {output.absence}" if output.absence else ""
    return one_line(" ".join(part for part in parts if part)) + missing


def job_text(job: JobDetails) -> str:
    """The summary of a job that people know, and below it whatever else the service says."""
    lines = ["Job Summary:", f"  ID: {shown(job.id)}", f"  Type: {shown(job.type)}"]
    lines += [f"  Workflow ID: {shown(job.workflow_id)}"]
    if job.classification:
        lines += ["", f"Prompt Classification: {shown(list(job.classification))}"]
    results = job.results
    lines += ["", f"Results ({len(results)} blob(s)):"]
    for blob in results:
        name = text(blob.get("blobKey")) or text(blob.get("id")) or "(without an id)"
        lines.append(f"  - {shown(name)} (available: {str(blob.get('available') is True).lower()})")
        lines += _unknown(blob, ("blobKey", "id", "available", "blobUrl", "blobUrlExpirationDate"), "      ")
    if event := job.last_event:
        lines += [
            "",
            "Last Event:",
            f"  Type: {shown(event.get('type'))}",
            f"  Provider: {shown(event.get('provider'))}",
        ]
        lines += _unknown(event, ("type", "provider", "context"), "  ")
    if job.context:
        lines += ["", "Event Context (scan results, metrics):"]
        lines += [f"  {_star(name)} {shown(name)}: {shown(value)}" for name, value in job.context.items()]
    headed = {"jobId": job.id, "id": job.id, "type": job.type, "Type": job.type, "$type": job.type}
    said = ("job", "result", "lastEvent", "promptClassificationResult", "properties")
    rest, asked = (
        {name: value for name, value in raw.items() if name not in said and headed.get(name) != value}
        for raw in (job.raw, job.job)
    )
    lines += ["", "Job:", *_unknown(asked, (), "  ", LONGEST)] if asked else []
    lines += ["", "More:", *_unknown(rest, (), "  ")] if rest else []
    lines += [f"  {name}: {shown(value, LONGEST_UNKNOWN)}" for name, value in _odd_parts(job)]
    return _whole(lines)


def _odd_parts(job: JobDetails) -> list[tuple[str, Any]]:
    """Parts of another form than a job has."""
    parts = [(name, job.raw.get(name)) for name in V1_JOB if name in ("job", "lastEvent", "result")]
    parts = [(name, value) for name, value in parts if value is not None and not isinstance(value, (Mapping, list))]
    context = job.last_event.get("context")
    return parts + ([("context", context)] if context is not None and not isinstance(context, Mapping) else [])


def _star(name: str) -> str:
    return "**" if any(part in name.lower() for part in _SCANS) else " -"


def list_line(workflow: WorkflowDetails) -> str:
    """A workflow in a list: id, status, when, how long, steps, pictures, price, prompt."""
    begin, end = moment_of(workflow.created_at), moment_of(text(workflow.raw.get("completedAt")))
    when = begin.strftime("%Y-%m-%d %H:%M") if begin else shown(workflow.created_at, 20)
    took = f"{(end - begin).total_seconds():.0f} s" if begin and end else "-"
    pictures, price = len(workflow.pictures), workflow.summary.cost
    count = f"{pictures:>3} {'picture ' if pictures == 1 else 'pictures'}"
    prompt = one_line(shown(workflow.prompt, 10 * _PROMPT))
    cells = (
        f"{shown(workflow.id, 60):36}", f"{shown(workflow.status, 20):10}", f"{when:16}", f"{took:>6}",
        f"{shown(', '.join(workflow.types) or '-', 60):12}", count,
        f"{'-' if price is None else price:>5} Buzz", prompt if len(prompt) <= _PROMPT else f"{prompt[:_PROMPT]}…",
    )  # fmt: skip
    return "  ".join(cells).rstrip()


def shown(value: Any, longest: int = LONGEST) -> str:
    """A value for a person: words as they are, lists of words joined, everything else as JSON; without control
    characters and signed queries, and no longer than `longest` characters.

    assert shown(["a", 1, True, None]) == "a, 1, yes, -" and shown({"a": "b"}) == '{"a": "b"}'
    """
    words = _words(value)
    words = _SIGNED.sub(r"\1?…", printable(words))
    if len(words) <= longest:
        return words
    return f"{words[:longest]}… ({len(words) - longest:,} characters more; --json has them)"


def _words(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case list() if all(not isinstance(inner, (list, dict)) for inner in value):
            return ", ".join(map(_words, value))
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "(nested too deep to be shown)"


def _members(
    raw: Mapping[str, Any], names: Sequence[str], indent: str, headed: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A line for each known member that says something, and does not stand in the heading as it is."""
    for name in names:
        value = raw.get(name)
        if name in _SPECIAL or value is None or value in ("", [], {}) or (headed or {}).get(name) == value:
            continue
        label = snake(name).replace("_", " ").capitalize()
        yield f"{indent}{label}: {_indented(shown(value), indent)}"


def _unknown(
    raw: Mapping[str, Any], names: Sequence[str], indent: str, longest: int = LONGEST_UNKNOWN
) -> Iterator[str]:
    """A line for each member that is not in `names`, under the service's own name."""
    for name, value in raw.items():
        if name not in names:
            yield f"{indent}{shown(name, 80)}: {_indented(shown(value, longest), indent)}"


def _indented(words: str, indent: str) -> str:
    return words.replace("\n", f"\n{indent}  ")


def _price(workflow: WorkflowDetails) -> str:
    summary = workflow.summary
    wallets = ", ".join(f"{shown(account, 40)} {amount}" for account, amount in summary.wallets.items())
    refund = f"; {summary.credited} refunded" if summary.credited else ""
    price = "not told" if summary.cost is None else f"{summary.cost} Buzz"
    fees = mapping(mapping(workflow.raw.get("cost")).get("fees"))
    return f"{price}{f' ({wallets})' if wallets else ''}{', creators fees included' if fees else ''}{refund}"


def _whole(lines: Sequence[str]) -> str:
    whole = "\n".join(lines)
    if len(whole) <= LONGEST_TEXT:
        return whole
    return f"{whole[:LONGEST_TEXT]}\n… ({len(whole) - LONGEST_TEXT:,} characters more; --json has them)"
