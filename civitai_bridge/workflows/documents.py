"""Workflows, steps, jobs and outputs as JSON for programs: names in snake_case, nothing of the service's lost.

Known members stand under their own names, `null` where the service says nothing. What nobody knows stands, untouched,
below `more`. Maps with free names (`metadata`, `arguments`, `input`, `output`, `factors`, `fixed`, `fees`) are kept as
they are. What is read out of them stands beside: `prompt`, `outputs`, `price`, `wallets`, `refunded`, `reasons`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..resources.json_values import items
from .details import StepDetails, WorkflowDetails
from .job_details import JobDetails
from .outputs import Output

# By the contract of June and August 2026 and the description that people know from elsewhere (callbackUrl, …).
WORKFLOW = (
    *("id", "status", "createdAt", "startedAt", "completedAt", "deletedAt", "tags", "externalId", "metadata"),
    *("arguments", "cost", "transactions", "tips", "currencies", "upgradeMode", "nsfwLevel", "allowMatureContent"),
    *("experimental", "ephemeral", "forceRefunded", "lostBlobsRefund", "downloadPriority", "callbacks", "callbackUrl"),
    "callbackEvents",
)
STEP = (
    *("$type", "name", "status", "priority", "timeout", "retries", "startedAt", "completedAt", "metadata"),
    *("estimatedProgressRate", "queuePosition", "preparation", "warnings", "input", "output"),
)
JOB = (
    *("id", "status", "startedAt", "completedAt", "cost", "estimatedProgressRate", "queuePosition", "reason"),
    *("blockedReason", "result"),
)
V1_JOB = ("jobId", "cost", "scheduled", "job", "result", "lastEvent", "serviceProviders")
_FREE = frozenset({"metadata", "arguments", "input", "output", "factors", "fixed", "fees", "job", "context"})
DEEPEST = 40  # levels whose names are changed


def workflow_document(workflow: WorkflowDetails) -> dict[str, Any]:
    """Everything that is known of a workflow."""
    summary = workflow.summary
    return {
        **_members(workflow.raw, WORKFLOW, ("steps",)),
        "status": workflow.status,
        "is_over": workflow.is_over,
        "prompt": workflow.prompt,
        "price": summary.cost,
        "wallets": summary.wallets,
        "refunded": summary.credited,
        "reasons": list(summary.reasons),
        "steps": [step_document(step) for step in workflow.steps],
        "more": {**_more(workflow.raw, WORKFLOW, "steps"), **_other(workflow.raw, "status", workflow.status)},
    }


def step_document(step: StepDetails) -> dict[str, Any]:
    """Everything that is known of a step."""
    return {
        "index": step.index,
        **_members(step.raw, STEP, ("jobs",)),
        "name": step.name,
        "prompt": step.prompt,
        "reasons": list(step.summary.reasons),
        "progress": step.summary.progress,
        "preceding_jobs": step.summary.preceding_jobs,
        "jobs": [{**_members(job, JOB), "more": _more(job, JOB)} for job in step.jobs],
        "outputs": [output_document(output) for output in step.outputs],
        "more": {**_more(step.raw, STEP, "jobs"), **_other(step.raw, "name", step.name)},
    }


def output_document(output: Output) -> dict[str, Any]:
    """One output; `url` is signed and lives for a while."""
    return {
        "step": output.step,
        "index": output.index,
        "kind": output.kind,
        "id": output.id,
        "place": output.place,
        "available": output.available,
        "url": output.url,
        "missing": output.absence,
        "width": output.width,
        "height": output.height,
        "seconds": output.seconds,
        "mime": output.mime,
        "nsfw_level": output.nsfw_level,
        "text": output.text,
    }


def job_document(job: JobDetails) -> dict[str, Any]:
    """Everything that the old route says of a job."""
    return {
        "id": job.id,
        "type": job.type,
        "workflow_id": job.workflow_id,
        "prompt_classification": list(job.classification),
        "results": [dict(result) for result in job.results],
        "last_event": snaked(job.last_event),
        "context": dict(job.context),
        "cost": job.raw.get("cost"),
        "scheduled": job.raw.get("scheduled"),
        "job": job.raw.get("job"),
        "service_providers": job.raw.get("serviceProviders"),
        "more": {
            **_more(job.raw, V1_JOB),
            **_odd(job.raw, "result", (Mapping, list)),
            **_odd_job(job),
            **_other(job.raw, "jobId", job.id),
        },
    }


def _odd_job(job: JobDetails) -> dict[str, Any]:
    """Parts of a job that have another form than is read above."""
    odd = {**_odd(job.raw, "lastEvent", (Mapping,)), **_odd(job.last_event, "context", (Mapping,))}
    listed = items(job.raw.get("result"))
    return {**odd, **({"result": listed} if any(not isinstance(entry, Mapping) for entry in listed) else {})}


def _other(raw: Mapping[str, Any], name: str, shown: str) -> dict[str, Any]:
    """A member in whose place another word stands (a deleted workflow's status, a name that is no text)."""
    value = raw.get(name)
    return {} if value in (None, "", shown) else {name: value}


def _odd(raw: Mapping[str, Any], name: str, kinds: tuple[type, ...]) -> dict[str, Any]:
    value = raw.get(name)
    return {} if value is None or isinstance(value, kinds) else {name: value}


def snaked(value: Any, depth: int = 0) -> Any:
    """JSON whose names are in snake_case, but for those of free maps.

    assert snaked({"createdAt": 1, "metadata": {"myName": 2}}) == {"created_at": 1, "metadata": {"myName": 2}}
    """
    if depth > DEEPEST:
        return value
    if isinstance(value, Mapping):
        changed: dict[str, Any] = {}
        for name, inner in value.items():
            short = snake(name)
            short = name if short in changed or short in value else short  # two names that would become one
            changed[short] = inner if name in _FREE else snaked(inner, depth + 1)
        return changed
    return [snaked(inner, depth + 1) for inner in value] if isinstance(value, list) else value


@lru_cache(4096)
def snake(name: str) -> str:
    """assert snake("createdAt") == "created_at" and snake("$type") == "type" """
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.removeprefix("$")).lower()


def _members(raw: Mapping[str, Any], names: Sequence[str], skip: Sequence[str] = ()) -> dict[str, Any]:
    return {
        snake(name): raw.get(name) if name in _FREE else snaked(raw.get(name)) for name in names if name not in skip
    }


def _more(raw: Mapping[str, Any], names: Sequence[str], listed: str | None = None) -> dict[str, Any]:
    """Members that are not known, and one that should be a list of objects and holds something else."""
    more = {name: value for name, value in raw.items() if name not in names and name != listed}
    value = raw.get(listed) if listed is not None else None
    if listed is None or value is None:
        return more
    if not isinstance(value, list) or any(not isinstance(each, Mapping) for each in value):
        more[listed] = value
    return more
