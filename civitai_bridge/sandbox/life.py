"""How a workflow of the sandbox lives: queue, load, work, end; its pictures are drawn meanwhile."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .drawing import draw
from .workflows import TERMINAL, Blob, Orchestrator, Run, iso, problem, transactions

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ENDINGS = {"png": "png", "jpeg": "jpeg", "webP": "webp"}


async def live(orchestrator: Orchestrator, run: Run, data: Mapping[str, Any], source: bytes | None) -> None:
    """Queue, load, work, end. The pictures are drawn meanwhile, so that "done" means done."""
    seconds = run.job.seconds if run.job.seconds is not None else 2.5
    seconds *= orchestrator.pace
    drawing = asyncio.ensure_future(asyncio.to_thread(_draw, run, data, source))
    try:
        phases = [("scheduled", 0.15), ("preparing", 0.1), ("scheduled", 0.05), ("processing", 0.7)]
        if run.job.odd_status:
            phases.insert(1, (run.job.odd_status, 0.1))
        started = asyncio.get_running_loop().time()
        gone = 0.0
        for status, share in phases if run.job.bounce or run.job.odd_status else [phases[0], phases[3]]:
            _status(run, status)
            gone += share
            await asyncio.sleep(max(0.0, started + seconds * min(1.0, gone) - asyncio.get_running_loop().time()))
        await asyncio.sleep(max(0.0, started + seconds - asyncio.get_running_loop().time()))
        await drawing
        _end(orchestrator, run, run.job.end)
    finally:
        drawing.cancel()


def blob_id(ending: str) -> str:
    """The id of a new blob, as the service makes them."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(26)) + "." + ending


def rating(blob: Blob) -> str:
    """What a blob is rated: `x` for a mature one, else `pg`."""
    return "x" if blob.mature else "pg"


def _draw(run: Run, data: Mapping[str, Any], source: bytes | None) -> None:
    width, height = _size(data)
    count = int(data.get("quantity") or data.get("numImages") or 1)
    format_ = str(data.get("outputFormat") or "jpeg")
    seed = int(data.get("seed") or 0)
    for index in range(count):
        name = blob_id(_ENDINGS[format_])
        content = draw(str(data.get("prompt", "")), seed + index, width, height, format_, source)
        blob = Blob(name, run.user, content, f"image/{_ENDINGS[format_]}", width, height)
        if index in run.job.blocked:
            blob.blocked = run.job.reason or "NsfwLevel"
        blob.mature = index in run.job.mature
        if index in run.job.unavailable:
            blob.content = None
        run.blobs.append(blob)


def _status(run: Run, status: str) -> None:
    if run.status in TERMINAL:
        return
    run.data["status"] = status
    step = run.data["steps"][0]
    step["status"] = status
    for job in step["jobs"]:
        job["status"] = status
        job["queuePosition"] = {"support": "available", "precedingJobs": 2 if status == "scheduled" else 0}
    if status == "processing":
        run.data["startedAt"] = run.data["startedAt"] or iso(datetime.now(timezone.utc))
        step["estimatedProgressRate"] = 0.3


def _end(orchestrator: Orchestrator, run: Run, status: str) -> None:
    if run.status in TERMINAL:
        return
    _status(run, status)
    step = run.data["steps"][0]
    step["estimatedProgressRate"] = None
    step["completedAt"] = run.data["completedAt"] = iso(datetime.now(timezone.utc))
    if status == "succeeded":
        for blob in run.blobs:
            orchestrator.blobs[blob.id] = blob
        step["output"] = {"images": [], "errors": list(run.job.errors) or None}
        if back := _part(run.paid, run.job.refund_blocked):
            orchestrator.bank.refund(run.user, back, run.id, run.key)
            run.data["transactions"]["list"] += transactions("credit", back)
    else:
        for job in step["jobs"] if run.job.reason_at == "job" else ():
            job["reason"] = run.job.reason
            job["blockedReason"] = "NsfwLevel" if run.job.reason == "blocked" else None
        if run.job.reason and run.job.reason_at == "output":
            step["output"] = {"images": [], "errors": [run.job.reason]}
        if run.job.refund:
            orchestrator.bank.refund(run.user, run.paid, run.id, run.key)
            run.data["transactions"]["list"] += transactions("credit", run.paid)
            run.data["cost"]["total"] = 0
    run.done.set()
    orchestrator.changed()


def cancel(orchestrator: Orchestrator, run: Run) -> None:
    """End a workflow because a person says so. Raises Refusal (409) for one that is over."""
    if run.status in TERMINAL:
        raise problem(409, "Conflict", "The workflow is over already.")
    if run.task:
        run.task.cancel()
    _end(orchestrator, run, "canceled")


def _part(paid: Mapping[str, int], amount: int) -> dict[str, int]:
    """`amount` Buzz of what was paid, from the first wallets on."""
    part: dict[str, int] = {}
    for wallet, held in paid.items():
        if share := min(held, amount - sum(part.values())):
            part[wallet] = share
    return part


def _size(data: Mapping[str, Any]) -> tuple[int, int]:
    """Pixels of a resolved input, also where the variant speaks of shapes."""
    if data.get("width") and data.get("height"):
        return int(data["width"]), int(data["height"])
    if match := re.fullmatch(r"(\d+)x(\d+)", str(data.get("size", ""))):
        return int(match[1]), int(match[2])
    if match := re.fullmatch(r"([\d.]+):([\d.]+)", str(data.get("aspectRatio", ""))):
        ratio = float(match[1]) / float(match[2])
        return round(1024 * ratio**0.5 / 8) * 8, round(1024 / ratio**0.5 / 8) * 8
    sizes = {"square": (512, 512), "portrait_4_3": (768, 1024), "portrait_16_9": (576, 1024)}
    sizes |= {"landscape_4_3": (1024, 768), "landscape_16_9": (1024, 576)}
    return sizes.get(str(data.get("imageSize", "")), (1024, 1024))
