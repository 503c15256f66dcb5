"""Workflows that nobody ordered: as somebody else's program, or an older time, may have left them in the account.

Tests and benchmarks put them in; they cost nothing, are over, and may have any step, any status, any field.
"""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from .drawing import draw
from .life import blob_id
from .script import Job
from .workflows import Blob, Orchestrator, Run, iso, moment, new_workflow


def put_workflow(
    orchestrator: Orchestrator, user: str, data: Mapping[str, Any], files: Mapping[str, tuple[bytes, str]] | None = None
) -> Run:
    """Keep a workflow as it stands in `data` (what is missing is filled in) for a user; `files` are the bytes and the
    media type of blobs that it names by their ids. Its blobs are signed anew whenever it is read."""
    now = datetime.now(timezone.utc)
    whole = {**new_workflow(orchestrator.runs, user, {"steps": []}, [], 0, {}), "status": "succeeded"}
    whole |= {"startedAt": iso(now), "completedAt": iso(now), **copy.deepcopy(dict(data))}
    born = moment(whole["createdAt"]).timestamp()
    run = Run(user, "", whole, Job(), {}, born, made=True)
    for name, (content, kind) in (files or {}).items():
        run.blobs.append(Blob(name, user, content, kind, renewed=born))
        orchestrator.blobs[name] = run.blobs[-1]
    orchestrator.runs[run.id] = run
    run.done.set()
    return run


def fill(orchestrator: Orchestrator, user: str, *, count: int, pictures: int = 1, side: int = 64) -> None:
    """Put `count` finished workflows of `pictures` pictures each (square, `side` pixels) into an account, a minute
    apart, the last one now."""
    content = draw("a lighthouse at dusk", 1, side, side, "png", None)
    for number in range(count):
        names = [blob_id("png") for _ in range(pictures)]
        created = iso(datetime.now(timezone.utc) - timedelta(minutes=count - 1 - number))
        step = _step([picture_json(name, side, side) for name in names], f"a lighthouse at dusk, number {number}", side)
        paid = {"type": "debit", "amount": 8, "id": f"tx-{number}", "accountType": "yellow"}
        data = {
            "id": f"{user}-made-{number:06}-{secrets.token_hex(3)}", "createdAt": created, "startedAt": created,
            "completedAt": created, "steps": [step], "tags": ["made", f"made:{number % 10}"],
            "metadata": {"number": number}, "transactions": {"list": [paid]},
            "cost": {"base": 8, "factors": {"base": 8.0}, "fixed": {}, "total": 8},
        }  # fmt: skip
        run = put_workflow(orchestrator, user, data, {name: (content, "image/png") for name in names})
        run.born = time.time()


def _step(images: list[dict[str, Any]], prompt: str, side: int) -> dict[str, Any]:
    given = {"engine": "sdcpp", "ecosystem": "sdxl", "operation": "createImage", "prompt": prompt, "steps": 20}
    return {
        "$type": "imageGen", "name": "$0", "status": "succeeded", "metadata": {}, "estimatedProgressRate": None,
        "input": {**given, "width": side, "height": side, "seed": 42, "quantity": len(images)},
        "jobs": [{"id": secrets.token_hex(16), "status": "succeeded", "cost": 100}],
        "output": {"images": images, "errors": None},
    }  # fmt: skip


def picture_json(name: str, width: int, height: int) -> dict[str, Any]:
    """A picture's blob as a workflow writes it; address and availability are filled in when it is read."""
    return {"type": "image", "id": name, "available": True, "url": None, "width": width, "height": height,
            "nsfwLevel": "pg", "blockedReason": None, "previewUrl": None, "previewUrlExpiresAt": None}  # fmt: skip
