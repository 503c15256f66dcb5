"""The sandbox's routes by which work is read beside its workflow: steps, jobs of the old `v1` API, the staff's list."""

from __future__ import annotations

from typing import Any

from .life import rating
from .views import describe, view
from .workflows import Orchestrator, Run, problem

_EVENTS = {"succeeded": "Succeeded", "failed": "Failed", "expired": "Expired", "canceled": "Canceled"}


def step_of(orchestrator: Orchestrator, run: Run, name: str) -> dict[str, Any]:
    """A step of a workflow by its name. Raises Refusal (404)."""
    for step in view(orchestrator, run)["steps"]:
        if step.get("name") == name:
            return step
    raise problem(404, "Not Found")


def job_of(orchestrator: Orchestrator, user: str, job_id: str, *, is_staff: bool, detailed: bool) -> dict[str, Any]:
    """A job as `v1` shows it. The script's `jobs_route` is `open`, `staff` or `gone`. Raises Refusal."""
    route = orchestrator.script.jobs_route
    if route == "gone":
        raise problem(404, "Not Found")
    if route == "staff" and not is_staff:
        raise problem(403, "Forbidden", "This endpoint needs a manager token.")
    for run in orchestrator.runs.values():
        if run.user != user and not is_staff:
            continue
        for step in run.data.get("steps") or ():
            if any(job.get("id") == job_id for job in step.get("jobs") or ()):
                return _job(orchestrator, run, step, job_id, detailed)
    raise problem(404, "Not Found")


def _job(orchestrator: Orchestrator, run: Run, step: dict[str, Any], job_id: str, detailed: bool) -> dict[str, Any]:
    data, done = step["input"], run.status == "succeeded"
    blobs = run.blobs if done else []
    scans = {
        "hive_csam_score": ", ".join("0.00 %" for _ in blobs),
        "hive_vlm_summary": ", ".join(f"{rating(blob).upper()}, No_Child" for blob in blobs[:1]),
        "worker_duration_ms": 12374,
    }
    body: dict[str, Any] = {
        "jobId": job_id,
        "cost": 0.96,
        "scheduled": not done,
        "result": [_result(orchestrator, blob) for blob in blobs],
        "lastEvent": {
            "type": _EVENTS.get(run.status, "Claimed"),
            "dateTime": run.data.get("completedAt") or run.data.get("startedAt") or run.data["createdAt"],
            "provider": "ValdiAI",
            "workerId": "ValdiAI-1077695",
            "jobId": job_id,
            "jobDuration": "00:00:14.5",
            "retryAttempt": 0,
            "jobHasCompleted": done,
            "context": scans if done else {"ActualStartDateOffsetMS": 12},
        },
        "serviceProviders": {"ValdiAI": {"support": "Available"}},
    }
    if detailed:
        body["job"] = {
            "Type": "TextToImageV2",
            "type": "TextToImageV2",
            "id": job_id,
            "params": {name: data[name] for name in ("prompt", "steps", "width", "height", "seed") if name in data},
            "promptClassificationResult": {"scan": True, "sexual": False, "cr": False, "young": False},
            "claimDuration": "00:00:58.8",
            "createdAt": run.data["createdAt"],
            "properties": {"workflowId": run.id},
            "issuedBy": f"civitai-{run.user}",
        }
    return body


def _result(orchestrator: Orchestrator, blob: Any) -> dict[str, Any]:
    seen = describe(orchestrator, blob)
    there = {"blobUrl": seen["url"], "blobUrlExpirationDate": seen["urlExpiresAt"]} if seen["available"] else {}
    return {"blobKey": blob.id, "available": seen["available"], **there}
