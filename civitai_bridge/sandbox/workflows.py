"""What the sandbox's orchestrator keeps: workflows with their blobs, and the refusals that its routes answer with."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import uuid
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from .money import Bank
from .script import Job, Script

TERMINAL = ("succeeded", "failed", "expired", "canceled")
RETENTION = 30 * 24 * 3600.0  # seconds for which blobs are kept


class Refusal(Exception):
    """An answer other than 2xx: status and JSON body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def problem(status: int, title: str, detail: str | None = None, **extra: Any) -> Refusal:
    """A refusal as problem+json."""
    return Refusal(
        status, {"type": None, "title": title, "status": status, "detail": detail, "instance": None, **extra}
    )


def invalid(errors: Mapping[str, list[str]]) -> Refusal:
    """A refusal of what the contract does not allow: sentences by path."""
    body = {
        "title": ("One or more validation errors occurred."),
        "status": 400,
        "errors": dict(errors),
        "traceId": "00-sandbox",
    }
    return Refusal(400, body)


@dataclass
class Blob:
    """A picture of a workflow; `content` None = it does not become available, `blocked` = why it is withheld; `renewed`
    is when its 30 days began, in seconds since the epoch."""

    id: str
    user: str
    content: bytes | None = None
    kind: str = "image/png"
    width: int = 0
    height: int = 0
    blocked: str = ""
    mature: bool = False
    renewed: float = field(default_factory=time.time)

    @property
    def is_expired(self) -> bool:
        """Whether its 30 days are over since it was made or asked for anew."""
        return time.time() - self.renewed > RETENTION


@dataclass
class Run:
    """One workflow, with what only the sandbox knows of it; `made` = nobody ordered it, `deleted` = by its owner."""

    user: str
    key: str
    data: dict[str, Any]
    job: Job
    paid: dict[str, int]
    born: float
    blobs: list[Blob] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    made: bool = False
    deleted: bool = False

    @property
    def id(self) -> str:
        return self.data["id"]

    @property
    def status(self) -> str:
        return self.data["status"]

    @property
    def prompt(self) -> str:
        """What it draws; the plan of random faults hangs on it."""
        return "" if self.made else str(self.data["steps"][0]["input"].get("prompt", ""))


class Orchestrator:
    """Workflows, keys and blobs of every user; `pace` scales the seconds of a job."""

    def __init__(self, script: Script, bank: Bank, *, pace: float = 1.0) -> None:
        self.script = script
        self.bank = bank
        self.pace = pace
        self.base = ""
        self.storage = ""
        self.runs: dict[str, Run] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.blobs: dict[str, Blob] = {}
        self.signed: dict[str, tuple[str, float]] = {}
        self.content: dict[str, str] = {}
        self.closed = False
        self.changed: Callable[[], None] = lambda: None  # called when money or a workflow's end has to be kept

    def run_of(self, user: str, workflow_id: str) -> Run:
        """A user's workflow. Raises Refusal (404)."""
        run = self.runs.get(workflow_id)
        if run is None or run.user != user or run.deleted:
            raise problem(404, "Not Found")
        return run

    def close(self) -> None:
        """End every job."""
        self.closed = True
        for run in self.runs.values():
            if run.task:
                run.task.cancel()


def transactions(kind: str, paid: Mapping[str, int]) -> list[dict[str, Any]]:
    """Debits or credits by wallet, as a workflow lists them."""
    return [{"type": kind, "amount": a, "id": f"tx-{secrets.token_hex(6)}", "accountType": w} for w, a in paid.items()]


def iso(when: datetime) -> str:
    """A moment as the service writes it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def moment(text: str) -> datetime:
    """A moment as a client or the service writes it, with any number of digits; UTC where it says no zone. Raises
    ValueError."""
    match = re.fullmatch(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})?", text)
    if match is None:
        raise ValueError(f"no moment: {text!r}")
    zone = match[3] if match[3] not in (None, "Z") else "+00:00"
    return datetime.fromisoformat(f"{match[1]}.{(match[2] or '0')[:6].ljust(6, '0')}{zone}")


def new_workflow(
    known_ids: Container[str],
    user: str,
    body: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    total: int,
    factors: Mapping[str, float],
) -> dict[str, Any]:
    """A workflow of an order that was accepted, in its first state. `total` is whole Buzz."""
    now = datetime.now(timezone.utc)
    stamp = now.strftime("%Y%m%d%H%M%S") + f"{now.microsecond // 1000:03}"
    while (workflow_id := f"{user}-{stamp}") in known_ids:
        stamp = str(int(stamp) + 1)
    tips = {"civitai": 0, "creators": 0}
    return {
        **dict.fromkeys(("startedAt", "completedAt", "experimental")),
        "id": workflow_id,
        "createdAt": iso(now),
        "status": "unassigned",
        "steps": [_new_step(*step) for step in zip(range(len(inputs)), body["steps"], inputs, strict=True)],
        "cost": {"base": total, "factors": dict(factors), "fixed": {}, "tips": dict(tips), "total": total},
        "metadata": dict(body.get("metadata") or {}),
        "tags": list(body.get("tags") or []),
        "arguments": {},
        "callbacks": [],
        "tips": dict(tips),
        "currencies": list(body.get("currencies") or []),
        "upgradeMode": body.get("upgradeMode") or "manual",
        "allowMatureContent": body.get("allowMatureContent"),
        "forceRefunded": False,
        "nsfwLevel": "pg",
        "externalId": f"{user}-{body['externalId']}" if body.get("externalId") else None,
    }


def _new_step(place: int, step: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    job = {
        "id": str(uuid.uuid4()),
        "status": "unassigned",
        "cost": 100,
        "queuePosition": {"support": "available", "precedingJobs": 3},
    }
    return {
        "$type": "imageGen",
        "name": step.get("name") or f"${place}",
        "priority": step.get("priority") or "normal",
        "status": "unassigned",
        "metadata": step.get("metadata") or {},
        "estimatedProgressRate": None,
        "input": data,
        "jobs": [job],
    }
