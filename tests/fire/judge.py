"""Judges a plan by the sandbox's own ledger, workflows and request log, and by what is on disk; never by our journal.

The three searches for secrets: the request logs of all hosts; the consoles of all processes; every file and text that
was left behind (journal, results with their PNG text, what nodes would show).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pack.civitai_bridge.sandbox import Sandbox

from .plan import KEY, Plan

SIGNED = (b"sig=", b"/content/")


@dataclass
class Verdict:
    """What came of a plan; `wrong` is empty when every promise held."""

    counts: dict[str, int] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def judge(plan: Plan, sandbox: Sandbox, home: Path, said: Sequence[Mapping[str, Any]], consoles: bytes) -> Verdict:
    verdict = Verdict()
    runs = list(sandbox.orchestrator.runs.values())
    ordered = [run for run in runs if run.paid]
    _money(plan, sandbox, ordered, home, verdict)
    _pictures(plan, ordered, home, said, verdict)
    _words(said, verdict)
    leaks = {
        "request logs": _leaks_in_requests(sandbox, plan),
        "consoles": _leaks_in(consoles, "console"),
        "files and texts": _leaks_on_disk(home, said),
    }
    for where, found in leaks.items():
        verdict.counts[f"secrets in {where}"] = len(found)
        verdict.wrong += found
    return verdict


def _money(plan: Plan, sandbox: Sandbox, ordered: Sequence[Any], home: Path, verdict: Verdict) -> None:
    debits = [e for e in sandbox.ledger if e.kind == "debit"]
    credits_ = [e for e in sandbox.ledger if e.kind == "credit"]
    # A twin is the service's own doing: the same key, accepted twice. It is counted apart and must have been told.
    by_key: dict[str, list[Any]] = defaultdict(list)
    for run in sorted(ordered, key=lambda run: run.born):
        by_key[run.key].append(run)
    twins = {run.id for same in by_key.values() for run in same[1:]}
    bought = [run for run in ordered if run.id not in twins]
    by_prompt: dict[str, list[Any]] = defaultdict(list)
    for run in bought:
        by_prompt[run.prompt].append(run)
    doubles = [
        f"bought twice: {prompt!r} as {[run.id for run in same]}"
        for prompt, same in by_prompt.items()
        if sum(run.status not in ("failed", "expired", "canceled") for run in same) > 1
    ]
    wallets = len({(e.workflow, e.wallet) for e in debits})
    if wallets != len(debits):
        doubles.append(f"{len(debits) - wallets} workflows were charged twice")
    verdict.wrong += doubles
    untold = twins - _told_of(home)
    verdict.wrong += [f"workflow {name} was made twice by the service, and nobody is told" for name in sorted(untold)]
    asked = {errand.prompt: errand for errand in plan.errands}
    spent: Counter[str] = Counter()
    day = most = 0
    for entry in sandbox.ledger:
        if entry.workflow in twins:
            continue
        run = next(run for run in bought if run.id == entry.workflow)
        # What the service takes above the price it had named, no client can keep back.
        amount = (entry.amount - run.job.extra) * (1 if entry.kind == "debit" else -1)
        day += amount
        most = max(most, day)
        if entry.kind == "debit" and entry.wallet == "blue":
            spent[asked[run.prompt].prompt_id] += 1
    if most > plan.per_day:
        verdict.wrong.append(f"the limit of a day was passed: {most} of {plan.per_day}")
    verdict.counts |= {
        "errands": len(plan.errands),
        "purchases": len(bought),
        "charges": len({e.workflow for e in debits} - twins),
        "refunds": len({e.workflow for e in credits_}),
        "double charges": len(doubles),
        "made twice by the service itself": len(twins),
        "of these told to nobody": len(untold),
        "most Buzz out at once": most,
        "of the day's limit": plan.per_day,
    }


def _told_of(home: Path) -> set[str]:
    """The workflows that `journal list` shows as purchases of their own: the one thing of ours that is asked here."""
    with contextlib.closing(sqlite3.connect(home / "journal.sqlite3")) as journal:
        return {name for (name,) in journal.execute("SELECT workflow_id FROM purchases")}


def _pictures(
    plan: Plan, ordered: Sequence[Any], home: Path, said: Sequence[Mapping[str, Any]], verdict: Verdict
) -> None:
    kept = {
        hashlib.sha256(path.read_bytes()).hexdigest(): path for path in (home / "results").rglob("*") if path.is_file()
    }
    first: dict[str, Any] = {}
    for run in sorted(ordered, key=lambda run: run.born):
        first.setdefault(run.key, run)
    lost = []
    for run in first.values():
        if run.status not in ("succeeded", "failed", "expired", "canceled"):
            lost.append(f"workflow {run.id} is still {run.status} at the end")
        if run.status == "succeeded":
            for place, blob in enumerate(run.blobs):
                content = blob.content if not blob.blocked else None
                if content is not None and hashlib.sha256(content).hexdigest() not in kept:
                    lost.append(f"picture {place} of {run.id} ({run.prompt!r}) was paid and is not on disk")
    verdict.wrong += lost
    verdict.counts["lost results"] = len(lost)
    drawn = {run.id: run for run in ordered}
    handed = 0
    for words in said:
        if words.get("end") != "pictures":
            continue
        handed += 1
        errand, run = plan.errands[words["errand"]], drawn.get(words["workflow"])
        if run is None or run.prompt != errand.prompt:
            verdict.wrong.append(f"errand {errand.number} was handed pictures of another request")
            continue
        for index, sha in words["pictures"].items():
            if hashlib.sha256(run.blobs[int(index)].content or b"").hexdigest() != sha or not words["here"]:
                verdict.wrong.append(f"picture {index} of errand {errand.number} is not the one that was made")
    last = {words["errand"]: words["end"] for words in said if "errand" in words}
    # Asked again with a key that is not taken any more, after it had its pictures.
    served = {words["errand"] for words in said if words.get("end") == "pictures"}
    last |= {errand: "pictures" for errand in served if last[errand] == "Unauthorized"}
    verdict.counts["pictures handed over"] = handed
    for errand in plan.errands:
        if errand.number not in last:
            verdict.wrong.append(f"errand {errand.number} never ended")
        elif errand.cancel_after is None and last[errand.number] not in _FAIR_ENDS:
            verdict.wrong.append(f"errand {errand.number} ended as {last[errand.number]} when all faults were over")


# Ends that are no fault of the road: limits, jobs that the service ended or whose pictures it keeps back.
_FAIR_ENDS = ("pictures", "LimitReached", "WorkflowFailed", "WorkflowExpired", "WorkflowCanceled", "BlobUnavailable")


def _words(said: Sequence[Mapping[str, Any]], verdict: Verdict) -> None:
    for words in said:
        end = words.get("end", "")
        if end in ("", "pictures"):
            continue
        verdict.errors[end] += 1
        if len(words["text"]) < 25 or not words["text"].rstrip().endswith((".", ")", "`")):
            verdict.wrong.append(f"an error that names no cause: {end}: {words['text']!r}")


def _leaks_in_requests(sandbox: Sandbox, plan: Plan) -> list[str]:
    found = []
    for seen in sandbox.requests:
        headers = {name.lower(): value for name, value in seen.headers.items()}
        # A blob is asked with the key by its id alone, never by a signed address.
        allowed = seen.host in ("orchestrator", "site") and seen.route != "content" and "sig=" not in seen.query
        if "authorization" in headers and not allowed:
            found.append(f"the key went to {seen.host}'s {seen.route}")
        headers.pop("authorization", None)
        rest = json.dumps([seen.path, seen.query, headers]).encode() + seen.body
        if KEY.encode() in rest or (b"sig=" in rest and seen.route != "blob"):
            found.append(f"a secret stood in a request to {seen.host}'s {seen.route}")
    return found


def _leaks_in(content: bytes, where: str) -> list[str]:
    return [f"{secret.decode()} stands in the {where}" for secret in (KEY.encode(), *SIGNED) if secret in content]


def _leaks_on_disk(home: Path, said: Sequence[Mapping[str, Any]]) -> list[str]:
    found = _leaks_in(json.dumps(list(said)).encode(), "texts")
    for path in home.rglob("*"):
        if path.is_file():
            found += _leaks_in(path.read_bytes(), f"file {path.name}")
    return found
