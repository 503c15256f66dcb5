"""How the sandbox's deployment writes its workflows and blobs: fresh signed addresses, one of two dialects."""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from .workflows import TERMINAL, Blob, Orchestrator, Run, invalid, iso, problem

_PAGES = (("take", "100"), ("cursor", "0"))


def view(orchestrator: Orchestrator, run: Run, *, hide_mature: bool = False) -> dict[str, Any]:
    """The workflow as this deployment writes it: fresh signed addresses, one of two dialects."""
    data = copy.deepcopy(run.data)
    step = data["steps"][0]
    if run.status == "processing":
        slots = int(step["input"].get("quantity") or 1)
        step["output"] = {
            "images": [{"type": "image", "id": f"pending-{i}", "available": False, "url": None} for i in range(slots)]
        }
    elif run.status == "succeeded":
        step["output"]["images"] = [describe(orchestrator, blob, hide_mature) for blob in run.blobs]
    if orchestrator.script.omit_type:
        for image in (step.get("output") or {}).get("images", ()):
            image.pop("type", None)
    if orchestrator.script.dialect == "S+":
        job = step.pop("jobs")[0]
        queue = job.get("queuePosition") or {}
        step["queuePosition"] = {"support": "available", "precedingJobs": queue.get("precedingJobs")}
        step["preparation"], step["warnings"] = [], []
        data["deletedAt"] = None
    return data


def describe(orchestrator: Orchestrator, blob: Blob, hide_mature: bool = False) -> dict[str, Any]:
    """A blob, with a fresh signed address where it may be had."""
    there = blob.content is not None and not blob.blocked and not (blob.mature and hide_mature)
    data: dict[str, Any] = {
        "type": "image",
        "id": blob.id,
        "available": there,
        "url": None,
        "urlExpiresAt": None,
        "width": blob.width,
        "height": blob.height,
        "nsfwLevel": "pg",
        "blockedReason": blob.blocked or ("none" if orchestrator.script.none_reason else None),
        "previewUrl": None,
        "previewUrlExpiresAt": None,
    }
    if there:
        expires = datetime.now(timezone.utc) + timedelta(seconds=orchestrator.script.blob_seconds)
        signature = secrets.token_urlsafe(18)
        orchestrator.signed[signature] = (blob.id, expires.timestamp())
        data["url"] = (
            f"{orchestrator.base}/v2/consumer/blobs/{blob.id}?sig={signature}&exp={iso(expires).replace(':', '%3A')}"
        )
        data["urlExpiresAt"] = iso(expires)
    return data


def listed(orchestrator: Orchestrator, user: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
    """A page of a user's workflows."""
    tags, text = set(query.get("tags", [])), "".join(query.get("query", []))
    since, until = query.get("fromDate", [""])[0], query.get("toDate", [""])[0]
    hide = query.get("hideMatureContent", ["true"])[0] != "false"
    take, cursor = (_number(name, query.get(name, [other])[0] or other) for name, other in _PAGES)
    failed = query.get("excludeFailed", ["false"])[0] == "true"
    now = time.time()
    runs = [
        run
        for run in orchestrator.runs.values()
        if run.user == user
        and now - run.born >= orchestrator.script.list_lag
        and tags <= set(run.data["tags"])
        and (not text or text in str(run.data["metadata"]))
        and (not since or run.data["createdAt"] >= since)
        and (not until or run.data["createdAt"] <= until)
        and not (failed and run.status in TERMINAL[1:])
    ]
    runs.sort(key=lambda run: run.born, reverse=query.get("ascending", ["false"])[0] != "true")
    page = [view(orchestrator, run, hide_mature=hide) for run in runs[cursor : cursor + take]]
    body: dict[str, Any] = {"items": page, "next": str(cursor + take) if cursor + take < len(runs) else None}
    if orchestrator.script.omit_next and body["next"] is None:
        del body["next"]
    return body


def open_blob(orchestrator: Orchestrator, blob_id: str, *, user: str | None, signature: str) -> str:
    """Where the redirect of a blob leads. Raises Refusal: no right to it, expired, not there."""
    blob = orchestrator.blobs.get(blob_id)
    if user is None:
        signed_id, expires = orchestrator.signed.get(signature, ("", 0.0))
        if signed_id != blob_id:
            raise problem(401, "Unauthorized")
        if expires < time.time():
            raise problem(403, "Forbidden", "The signature has expired.")
        if orchestrator.script.signed == "refused":
            raise problem(403, "Forbidden")
    elif blob is not None and blob.user != user:
        raise problem(404, "Not Found")
    if blob is None or blob.content is None:
        raise problem(404, "Not Found")
    token = secrets.token_urlsafe(24)
    orchestrator.content[token] = blob_id
    if blob.blocked or (user is None and orchestrator.script.signed == "blocked"):
        return f"/v2/consumer/blobs/blocked/{token}"
    return (
        f"{orchestrator.storage}/content/{token}"
        if orchestrator.script.on_storage
        else f"/v2/consumer/blobs/content/{token}"
    )


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise invalid({name: [f"The value '{text}' is not valid for {name}."]})
    return int(text)
