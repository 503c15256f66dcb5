"""The sandbox's orchestrator: workflows on a clock, money, blobs. Facts: orchestration-api.md §2-§4, §9."""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import math
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from PIL import Image

from . import models as catalogue
from . import schema
from .drawing import draw
from .money import ORDER, Bank, fees_of, price
from .script import Job, Script

TERMINAL = ("succeeded", "failed", "expired", "canceled")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAGES = (("take", "100"), ("cursor", "0"))
_ENDINGS = {"png": "png", "jpeg": "jpeg", "webP": "webp"}


class Refusal(Exception):
    """An answer other than 2xx: status and JSON body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def problem(status: int, title: str, detail: str | None = None, **more: Any) -> Refusal:
    return Refusal(status, {"type": None, "title": title, "status": status, "detail": detail, "instance": None, **more})


def invalid(errors: Mapping[str, list[str]]) -> Refusal:
    body = {
        "title": ("One or more validation errors occurred."),
        "status": 400,
        "errors": dict(errors),
        "traceId": "00-sandbox",
    }
    return Refusal(400, body)


@dataclass
class Blob:
    id: str
    user: str
    content: bytes | None = None
    kind: str = "image/png"
    width: int = 0
    height: int = 0
    blocked: str = ""
    mature: bool = False


@dataclass
class Run:
    """One workflow, with what only the sandbox knows of it."""

    user: str
    key: str
    data: dict[str, Any]
    job: Job
    paid: dict[str, int]
    born: float
    blobs: list[Blob] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.data["id"]

    @property
    def status(self) -> str:
        return self.data["status"]

    @property
    def prompt(self) -> str:
        """What it draws; the plan of random faults hangs on it."""
        return str(self.data["steps"][0]["input"].get("prompt", ""))


class Orchestrator:
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

    # --- submit ---------------------------------------------------------------------------------------------------

    def order(self, user: str, body: Any, *, whatif: bool, twin: bool = False) -> tuple[int, dict[str, Any]]:
        """A submit or a whatif. Returns status and workflow; raises Refusal."""
        steps = self._checked(body)
        key = body.get("externalId")
        if key and not twin and (user, key) in self.keys:
            return 200, self.view(self.runs[self.keys[(user, key)]])
        source = self._first_picture(steps[0])
        cost, factors = price(steps[0])
        wallets = ["yellow"] if body.get("allowMatureContent") else list(body.get("currencies") or ORDER)
        job = self.script.next_job(str(steps[0].get("prompt", ""))) if not whatif else Job()
        total = cost + (job.extra if not whatif else 0)
        fees = fees_of(steps[0], self.script.fees)
        charged = total + math.ceil(sum(fees.values()))
        paid = self.bank.split(user, charged, wallets)
        data = self._workflow(user, body, steps, total, factors)
        if fees:
            data["cost"]["fees"] = fees
        if whatif:
            planned = paid or {wallets[0]: charged}
            data["transactions"] = {"list": _transactions("debit", planned), "insufficientBuzz": paid is None}
            if key and self.script.whatif_claims_key:
                run = Run(user, key, data, job, {}, time.time())
                self.runs[data["id"]] = run
                self.keys[(user, key)] = data["id"]
            return 200, data
        if paid is None:
            status = self.script.insufficient_status
            raise (
                Refusal(403, "Insufficient buzz")
                if status == 403
                else problem(status, "Bad Request", "Not enough Buzz.")
            )
        self.bank.charge(user, paid, data["id"], key or "")
        data["transactions"] = {"list": _transactions("debit", paid)}
        run = Run(user, key or "", data, job, paid, time.time())
        self.runs[data["id"]] = run
        if key and not twin:
            self.keys[(user, key)] = data["id"]
        run.task = asyncio.get_running_loop().create_task(self._live(run, steps[0], source))
        return 202, self.view(run)

    def _checked(self, body: Any) -> list[dict[str, Any]]:
        """The resolved inputs of a body, or the Refusal that the contract asks for."""
        if not isinstance(body, dict):
            raise invalid({"$": ["The JSON value could not be converted to WorkflowTemplate."]})
        whole = {"currencies": [], **body}
        found = schema.problems("WorkflowTemplate", whole)
        steps = whole.get("steps")
        for place, step in enumerate(steps if isinstance(steps, list) else []):
            where = f"steps[{place}]"
            kind = step.get("$type") if isinstance(step, dict) else None
            if kind != "imageGen":
                raise invalid({f"$.{where}": [f"The step type {kind!r} is unknown to this sandbox; it runs imageGen."]})
        if found:
            raise invalid(found)
        if any(len(tag) > 200 for tag in body.get("tags") or ()):
            raise invalid({"tags": ["A tag can be at most 200 characters long."]})
        if body.get("ephemeral") and not body.get("callbacks"):
            raise invalid({"ephemeral": ["Ephemeral workflows need a callback or a wait."]})
        inputs = []
        for place, step in enumerate(whole["steps"]):
            where, data = f"steps[{place}].input", step["input"]
            leaf = schema.variant_schema(data)
            if leaf is not None and not self.script.strict:
                data = schema.without_unknown(data, leaf)
            data = {name: value for name, value in data.items() if value is not None}
            errors, leaf = schema.input_problems(data, where)
            # The live server takes sdcpp/flux1 without the three other components (orchestration-api §5.5).
            if data.get("engine") == "sdcpp" and data.get("ecosystem") == "flux1":
                errors = {p: [s for s in said if "missing required" not in s] for p, said in errors.items()}
            if errors := {path: said for path, said in errors.items() if said}:
                raise invalid(errors)
            assert leaf is not None
            self._may_generate(data)
            inputs.append(schema.with_defaults(data, leaf))
        return inputs

    def _may_generate(self, data: Mapping[str, Any]) -> None:
        airs = [str(v) for v in data.values() if isinstance(v, str) and v.lower().startswith("urn:air:")]
        loras = data.get("loras") or {}
        airs += list(loras) if isinstance(loras, dict) else [str(lora.get("air")) for lora in loras]
        for air in airs:
            version = catalogue.by_air(air)
            if version is not None and not version.can_generate:
                text = f"{version.model} is not enabled for generation. Please contact the creator."
                raise Refusal(400, {"title": "Bad Request", "status": 400, "errors": {"messages": [text]}})

    @staticmethod
    def _first_picture(data: Mapping[str, Any]) -> bytes | None:
        given = data.get("image") or next(iter(data.get("images") or ()), None)
        if not isinstance(given, str):
            return None
        try:
            content = base64.b64decode(given.split(",", 1)[1] if given.startswith("data:") else given, validate=True)
            with Image.open(io.BytesIO(content)) as image:
                image.load()
            return content
        except (ValueError, IndexError, OSError, SyntaxError) as error:
            raise problem(400, "Bad Request", "Input image failed to download from URL.") from error

    def _workflow(
        self, user: str, body: Mapping[str, Any], inputs: list[dict[str, Any]], total: int, factors: Mapping[str, float]
    ) -> dict[str, Any]:
        now = datetime.now(timezone.utc)
        stamp = now.strftime("%Y%m%d%H%M%S") + f"{now.microsecond // 1000:03}"
        while (name := f"{user}-{stamp}") in self.runs:
            stamp = str(int(stamp) + 1)
        steps = []
        for place, (step, data) in enumerate(zip(body["steps"], inputs, strict=True)):
            steps.append(
                {
                    "$type": "imageGen",
                    "name": step.get("name") or f"${place}",
                    "priority": step.get("priority") or "normal",
                    "status": "unassigned",
                    "metadata": step.get("metadata") or {},
                    "estimatedProgressRate": None,
                    "input": data,
                    "jobs": [
                        {
                            "id": secrets.token_hex(16),
                            "status": "unassigned",
                            "cost": 100,
                            "queuePosition": {"support": "available", "precedingJobs": 3},
                        }
                    ],
                }
            )
        return {
            "id": name,
            "createdAt": _iso(now),
            "startedAt": None,
            "completedAt": None,
            "status": "unassigned",
            "steps": steps,
            "cost": {
                "base": total,
                "factors": dict(factors),
                "fixed": {},
                "tips": {"civitai": 0, "creators": 0},
                "total": total,
            },
            "metadata": dict(body.get("metadata") or {}),
            "tags": list(body.get("tags") or []),
            "arguments": {},
            "callbacks": [],
            "tips": {"civitai": 0, "creators": 0},
            "currencies": list(body.get("currencies") or []),
            "upgradeMode": body.get("upgradeMode") or "manual",
            "allowMatureContent": body.get("allowMatureContent"),
            "experimental": None,
            "forceRefunded": False,
            "nsfwLevel": "pg",
            "externalId": f"{user}-{body['externalId']}" if body.get("externalId") else None,
        }

    # --- the life of a run ------------------------------------------------------------------------------------------

    async def _live(self, run: Run, data: Mapping[str, Any], source: bytes | None) -> None:
        """Queue, load, work, end. The pictures are drawn meanwhile, so that "done" means done."""
        seconds = run.job.seconds if run.job.seconds is not None else 2.5
        seconds *= self.pace
        drawing = asyncio.ensure_future(asyncio.to_thread(self._draw, run, data, source))
        try:
            phases = [("scheduled", 0.15), ("preparing", 0.1), ("scheduled", 0.05), ("processing", 0.7)]
            if run.job.odd_status:
                phases.insert(1, (run.job.odd_status, 0.1))
            started = asyncio.get_running_loop().time()
            gone = 0.0
            for status, share in phases if run.job.bounce or run.job.odd_status else [phases[0], phases[3]]:
                self._status(run, status)
                gone += share
                await asyncio.sleep(max(0.0, started + seconds * min(1.0, gone) - asyncio.get_running_loop().time()))
            await asyncio.sleep(max(0.0, started + seconds - asyncio.get_running_loop().time()))
            await drawing
            self._end(run, run.job.end)
        finally:
            drawing.cancel()

    def _draw(self, run: Run, data: Mapping[str, Any], source: bytes | None) -> None:
        width, height = _size(data)
        count = int(data.get("quantity") or data.get("numImages") or 1)
        format_ = str(data.get("outputFormat") or "jpeg")
        seed = int(data.get("seed") or 0)
        for index in range(count):
            name = "".join(secrets.choice(_ALPHABET) for _ in range(26)) + "." + _ENDINGS[format_]
            content = draw(str(data.get("prompt", "")), seed + index, width, height, format_, source)
            blob = Blob(name, run.user, content, f"image/{_ENDINGS[format_]}", width, height)
            if index in run.job.blocked:
                blob.blocked = run.job.reason or "NsfwLevel"
            blob.mature = index in run.job.mature
            if index in run.job.unavailable:
                blob.content = None
            run.blobs.append(blob)

    def _status(self, run: Run, status: str) -> None:
        if run.status in TERMINAL:
            return
        run.data["status"] = status
        step = run.data["steps"][0]
        step["status"] = status
        for job in step["jobs"]:
            job["status"] = status
            job["queuePosition"] = {"support": "available", "precedingJobs": 2 if status == "scheduled" else 0}
        if status == "processing":
            run.data["startedAt"] = run.data["startedAt"] or _iso(datetime.now(timezone.utc))
            step["estimatedProgressRate"] = 0.3

    def _end(self, run: Run, status: str) -> None:
        if run.status in TERMINAL:
            return
        self._status(run, status)
        step = run.data["steps"][0]
        step["estimatedProgressRate"] = None
        step["completedAt"] = run.data["completedAt"] = _iso(datetime.now(timezone.utc))
        if status == "succeeded":
            for blob in run.blobs:
                self.blobs[blob.id] = blob
            step["output"] = {"images": [], "errors": list(run.job.errors) or None}
            if back := _part(run.paid, run.job.refund_blocked):
                self.bank.refund(run.user, back, run.id, run.key)
                run.data["transactions"]["list"] += _transactions("credit", back)
        else:
            for job in step["jobs"] if run.job.reason_at == "job" else ():
                job["reason"] = run.job.reason
                job["blockedReason"] = "NsfwLevel" if run.job.reason == "blocked" else None
            if run.job.reason and run.job.reason_at == "output":
                step["output"] = {"images": [], "errors": [run.job.reason]}
            if run.job.refund:
                self.bank.refund(run.user, run.paid, run.id, run.key)
                run.data["transactions"]["list"] += _transactions("credit", run.paid)
                run.data["cost"]["total"] = 0
        run.done.set()

    def cancel(self, run: Run) -> None:
        if run.status in TERMINAL:
            raise problem(409, "Conflict", "The workflow is over already.")
        if run.task:
            run.task.cancel()
        self._end(run, "canceled")

    # --- views ------------------------------------------------------------------------------------------------------

    def view(self, run: Run, *, hide_mature: bool = False) -> dict[str, Any]:
        """The workflow as this deployment writes it: fresh signed addresses, one of two dialects."""
        data = copy.deepcopy(run.data)
        step = data["steps"][0]
        if run.status == "processing":
            slots = int(step["input"].get("quantity") or 1)
            step["output"] = {
                "images": [
                    {"type": "image", "id": f"pending-{i}", "available": False, "url": None} for i in range(slots)
                ]
            }
        elif run.status == "succeeded":
            step["output"]["images"] = [self.describe(blob, hide_mature) for blob in run.blobs]
        if self.script.omit_type:
            for image in (step.get("output") or {}).get("images", ()):
                image.pop("type", None)
        if self.script.dialect == "S+":
            job = step.pop("jobs")[0]
            queue = job.get("queuePosition") or {}
            step["queuePosition"] = {"support": "available", "precedingJobs": queue.get("precedingJobs")}
            step["preparation"], step["warnings"] = [], []
            data["deletedAt"] = None
        return data

    def describe(self, blob: Blob, hide_mature: bool = False) -> dict[str, Any]:
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
            "blockedReason": blob.blocked or ("none" if self.script.none_reason else None),
            "previewUrl": None,
            "previewUrlExpiresAt": None,
        }
        if there:
            expires = datetime.now(timezone.utc) + timedelta(seconds=self.script.blob_seconds)
            signature = secrets.token_urlsafe(18)
            self.signed[signature] = (blob.id, expires.timestamp())
            data["url"] = (
                f"{self.base}/v2/consumer/blobs/{blob.id}?sig={signature}&exp={_iso(expires).replace(':', '%3A')}"
            )
            data["urlExpiresAt"] = _iso(expires)
        return data

    def listed(self, user: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        tags, text = set(query.get("tags", [])), "".join(query.get("query", []))
        since, until = query.get("fromDate", [""])[0], query.get("toDate", [""])[0]
        hide = query.get("hideMatureContent", ["true"])[0] != "false"
        take, cursor = (_number(name, query.get(name, [other])[0] or other) for name, other in _PAGES)
        failed = query.get("excludeFailed", ["false"])[0] == "true"
        now = time.time()
        runs = [
            run
            for run in self.runs.values()
            if run.user == user
            and now - run.born >= self.script.list_lag
            and tags <= set(run.data["tags"])
            and (not text or text in str(run.data["metadata"]))
            and (not since or run.data["createdAt"] >= since)
            and (not until or run.data["createdAt"] <= until)
            and not (failed and run.status in TERMINAL[1:])
        ]
        runs.sort(key=lambda run: run.born, reverse=query.get("ascending", ["false"])[0] != "true")
        page = [self.view(run, hide_mature=hide) for run in runs[cursor : cursor + take]]
        body: dict[str, Any] = {"items": page, "next": str(cursor + take) if cursor + take < len(runs) else None}
        if self.script.omit_next and body["next"] is None:
            del body["next"]
        return body

    def run_of(self, user: str, workflow_id: str) -> Run:
        run = self.runs.get(workflow_id)
        if run is None or run.user != user:
            raise problem(404, "Not Found")
        return run

    def open_blob(self, blob_id: str, *, user: str | None, signature: str) -> str:
        """Where the redirect of a blob leads. Raises Refusal: no right to it, expired, not there."""
        blob = self.blobs.get(blob_id)
        if user is None:
            signed_id, expires = self.signed.get(signature, ("", 0.0))
            if signed_id != blob_id:
                raise problem(401, "Unauthorized")
            if expires < time.time():
                raise problem(403, "Forbidden", "The signature has expired.")
        elif blob is not None and blob.user != user:
            raise problem(404, "Not Found")
        if blob is None or blob.content is None:
            raise problem(404, "Not Found")
        token = secrets.token_urlsafe(24)
        self.content[token] = blob_id
        if blob.blocked:
            return f"/v2/consumer/blobs/blocked/{token}"
        return f"{self.storage}/content/{token}" if self.script.on_storage else f"/v2/consumer/blobs/content/{token}"

    def close(self) -> None:
        self.closed = True
        for run in self.runs.values():
            if run.task:
                run.task.cancel()


def _part(paid: Mapping[str, int], amount: int) -> dict[str, int]:
    """`amount` Buzz of what was paid, from the first wallets on."""
    part: dict[str, int] = {}
    for wallet, held in paid.items():
        if taken := min(held, amount - sum(part.values())):
            part[wallet] = taken
    return part


def _transactions(kind: str, paid: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"type": kind, "amount": a, "id": f"tx-{secrets.token_hex(6)}", "accountType": w} for w, a in paid.items()]


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise invalid({name: [f"The value '{text}' is not valid for {name}."]})
    return int(text)


def _size(data: Mapping[str, Any]) -> tuple[int, int]:
    """Pixels of a resolved input, also where the variant speaks of shapes."""
    if data.get("width") and data.get("height"):
        return int(data["width"]), int(data["height"])
    if found := re.fullmatch(r"(\d+)x(\d+)", str(data.get("size", ""))):
        return int(found[1]), int(found[2])
    if found := re.fullmatch(r"([\d.]+):([\d.]+)", str(data.get("aspectRatio", ""))):
        ratio = float(found[1]) / float(found[2])
        return round(1024 * ratio**0.5 / 8) * 8, round(1024 / ratio**0.5 / 8) * 8
    sizes = {"square": (512, 512), "portrait_4_3": (768, 1024), "portrait_16_9": (576, 1024)}
    sizes |= {"landscape_4_3": (1024, 768), "landscape_16_9": (1024, 576)}
    return sizes.get(str(data.get("imageSize", "")), (1024, 1024))


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
