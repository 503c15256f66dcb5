"""How the sandbox's deployment writes its workflows and blobs: fresh signed addresses, one of two dialects."""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from .life import rating
from .workflows import Blob, Orchestrator, Run, iso, problem

_TYPES = {"image": "image", "video": "video", "audio": "audio", "model": "model3d"}  # by the media type's first half
_LEVELS = ("pg", "pg13", "r", "x", "xxx")


def view(orchestrator: Orchestrator, run: Run, *, hide_mature: bool = False) -> dict[str, Any]:
    """The workflow as this deployment writes it: fresh signed addresses, one of two dialects."""
    data = copy.deepcopy(run.data)
    if orchestrator.script.extra_bytes:
        data["unknownField"] = {"text": "x" * orchestrator.script.extra_bytes}
    if run.made:
        return _made_view(orchestrator, data, hide_mature)
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


def _made_view(orchestrator: Orchestrator, data: dict[str, Any], hide_mature: bool) -> dict[str, Any]:
    """A workflow that nobody ordered: as it stands, its blobs signed."""
    steps = [step for step in data.get("steps") or () if isinstance(step, dict)]
    for blob in blobs_in([step.get("output") for step in steps]):
        if kept := orchestrator.blobs.get(blob["id"]):
            seen = describe(orchestrator, kept, hide_mature)
            blob |= {name: seen[name] for name in ("available", "url", "urlExpiresAt")}
    if orchestrator.script.dialect == "S+":
        for step in steps:
            step.pop("jobs", None)
        data.setdefault("deletedAt", None)
    return data


def blobs_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object below a value that names a blob and says whether it is there."""
    if isinstance(value, dict):
        if isinstance(value.get("id"), str) and "available" in value:
            yield value
        for inner in value.values():
            yield from blobs_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from blobs_in(inner)


def describe(orchestrator: Orchestrator, blob: Blob, hide_mature: bool = False) -> dict[str, Any]:
    """A blob, with a fresh signed address where it may be had."""
    there = blob.content is not None and not (blob.blocked or blob.is_expired or (blob.mature and hide_mature))
    kind = _TYPES.get(blob.kind.partition("/")[0])
    data: dict[str, Any] = {
        **({"type": kind} if kind else {}),
        "id": blob.id,
        "available": there,
        "url": None,
        "urlExpiresAt": None,
        **({"width": blob.width, "height": blob.height} if kind in ("image", "video") else {}),
        "nsfwLevel": rating(blob),
        "blockedReason": blob.blocked or ("none" if orchestrator.script.none_reason else None),
        **({"previewUrl": None, "previewUrlExpiresAt": None} if kind == "image" else {}),
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


def open_blob(orchestrator: Orchestrator, blob_id: str, *, user: str | None, signature: str, ceiling: str = "") -> str:
    """Where the redirect of a blob leads. Raises Refusal: no right to it, expired, not there, rated above `ceiling`."""
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
    if blob is None or blob.content is None or blob.is_expired:
        raise problem(404, "Not Found")
    if ceiling and (ceiling not in _LEVELS or _LEVELS.index(rating(blob)) > _LEVELS.index(ceiling)):
        raise problem(403, "Forbidden", "The blob is rated above the level that was asked for.")
    token = secrets.token_urlsafe(24)
    orchestrator.content[token] = blob_id
    if blob.blocked or (user is None and orchestrator.script.signed == "blocked"):
        return f"/v2/consumer/blobs/blocked/{token}"
    return (
        f"{orchestrator.storage}/content/{token}"
        if orchestrator.script.on_storage
        else f"/v2/consumer/blobs/content/{token}"
    )
