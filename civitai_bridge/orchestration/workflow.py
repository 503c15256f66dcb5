"""What the orchestrator says about a workflow, read defensively into frozen values.

Shapes: the OpenAPI contract (`Workflow`, `WorkflowStep`, `ImageBlob`), both dialects (with and without `jobs`), and
what was measured beside it (facts/orchestration-api.md §2.6, §2.14, §3.7, §4.2). Unknown words are kept; missing
parts have a default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..network.exchange import clean

TERMINAL = frozenset({"succeeded", "failed", "expired", "canceled", "deleted"})

_MOST = 1e15  # beyond any price or size; SQLite's whole numbers end at 9.2e18

# What the reasons mean, in words (facts §3.7, §4.2). Anything else is shown as it came.
_REASONS = {
    "no_provider_available": "no worker on the fleet can run this right now",
    "blocked": "it was blocked by moderation",
    "timeout": "it ran out of time",
    "expired": "it waited too long in the queue",
    "canceled": "it was canceled",
    "ChildReference": "moderation saw a reference to a child",
    "MatureContent": "it is mature, and the Buzz that paid for it is for safe content only",
    "NsfwLevel": "it is rated above what was allowed",
    "NSFWLevel": "it is rated above what was allowed",
    "NSFWLevelSourceImageRestricted": "the source picture is rated above what was allowed",
    "canUpgrade": "it is mature and withheld; releasing it is charged in yellow Buzz",
}


@dataclass(frozen=True)
class Transaction:
    """One movement of Buzz. `amount` is never negative; `kind` is `debit` or `credit`; `account` is the wallet's
    colour."""

    kind: str
    amount: int
    account: str
    id: str = ""


@dataclass(frozen=True)
class ImageBlob:
    """One slot of a finished batch: `index` is its place in the batch, whether or not it can be fetched.

    `url` is signed and is kept out of `repr`, reports and logs.
    """

    index: int
    id: str
    available: bool
    url: str
    width: int | None
    height: int | None
    nsfw_level: str
    blocked_reason: str

    def __repr__(self) -> str:
        return f"ImageBlob(index={self.index}, id={self.id!r}, available={self.available})"

    @property
    def blocked(self) -> bool:
        return bool(self.blocked_reason)


@dataclass(frozen=True)
class Workflow:
    """
    workflow = workflow_from_json({"id": "1-2", "status": "scheduled", "steps": []})
    assert not workflow.done and workflow.cost is None
    """

    id: str
    status: str
    created_at: str
    tags: tuple[str, ...]
    external_id: str
    cost: int | None
    transactions: tuple[Transaction, ...]
    insufficient_buzz: bool
    images: tuple[ImageBlob, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    input: Mapping[str, Any]
    progress: float | None
    preceding_jobs: int | None

    @property
    def done(self) -> bool:
        """Whether nothing will change any more. Unknown words are not terminal (facts §2.7)."""
        return self.status in TERMINAL

    @property
    def ended_badly(self) -> bool:
        """Whether it is over and no picture will come of it, but what it has made already."""
        return self.done and self.status != "succeeded"

    @property
    def debited(self) -> int:
        """Buzz taken so far, refunds not counted."""
        return sum(t.amount for t in self.transactions if t.kind == "debit")

    @property
    def credited(self) -> int:
        """Buzz given back."""
        return sum(t.amount for t in self.transactions if t.kind == "credit")

    @property
    def wallets(self) -> dict[str, int]:
        """Net Buzz by wallet, wallets that paid nothing left out."""
        paid: dict[str, int] = {}
        for t in self.transactions:
            paid[t.account] = paid.get(t.account, 0) + (t.amount if t.kind == "debit" else -t.amount)
        return {account: amount for account, amount in paid.items() if amount}

    def is_of(self, key: str) -> bool:
        """Whether this is the workflow of our purchase `key`: by tag, or by the echo `{userId}-{key}` (facts §3.1)."""
        return key in self.tags or self.external_id == key or self.external_id.endswith("-" + key)


def workflow_from_json(data: Any) -> Workflow:
    """Read a workflow; anything that is not there is empty. Never raises for odd content, only for a non-object."""
    if not isinstance(data, Mapping):
        raise ValueError("a workflow is a JSON object")
    steps = [step for step in _list(data.get("steps")) if isinstance(step, Mapping)]
    step = next((s for s in steps if s.get("$type") == "imageGen"), steps[0] if steps else {})
    cost = data.get("cost")
    money = data.get("transactions")
    money = money if isinstance(money, Mapping) else {}
    return Workflow(
        id=_text(data.get("id")),
        status=_text(data.get("status")) or "unassigned",
        created_at=_text(data.get("createdAt")),
        tags=tuple(t for t in _list(data.get("tags")) if isinstance(t, str)),
        external_id=_text(data.get("externalId")),
        cost=_whole(cost.get("total")) if isinstance(cost, Mapping) else None,
        transactions=tuple(
            Transaction(
                _text(t.get("type")), _whole(t.get("amount")) or 0, _text(t.get("accountType")), _text(t.get("id"))
            )
            for t in _list(money.get("list"))
            if isinstance(t, Mapping)
        ),
        insufficient_buzz=money.get("insufficientBuzz") is True,
        images=tuple(_images(step.get("output"))),
        reasons=tuple(dict.fromkeys(r for s in steps for r in _reasons(s))),
        warnings=tuple(
            _text(w.get("message"))
            for s in steps
            for w in _list(s.get("warnings"))
            if isinstance(w, Mapping) and w.get("message")
        ),
        input=step["input"] if isinstance(step.get("input"), Mapping) else {},
        progress=_progress(step),
        preceding_jobs=_preceding(step),
    )


def reason_in_words(reason: str) -> str:
    """The service's word for why, as part of a sentence; unknown words as they came, without control
    characters and signed queries."""
    if reason in _REASONS:
        return _REASONS[reason]
    return clean(reason)


def _images(output: Any) -> Iterator[ImageBlob]:
    """Every object with `id` and `available` below `images`, else anywhere in the output, in order (facts §2.14)."""
    if not isinstance(output, Mapping):
        return
    found = output.get("images")
    blobs = [b for b in _list(found)] if found is not None else list(_walk(output))
    for index, blob in enumerate(blobs):
        if not isinstance(blob, Mapping):
            continue
        reason = _text(blob.get("blockedReason"))
        yield ImageBlob(
            index=index,
            id=_text(blob.get("id") or blob.get("blobId")),
            available=blob.get("available") is True,
            url=_text(blob.get("url")),
            width=_whole(blob.get("width")),
            height=_whole(blob.get("height")),
            nsfw_level=_text(blob.get("nsfwLevel")),
            blocked_reason="" if reason.lower() == "none" else reason,
        )


def _walk(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if "available" in value and ("id" in value or "blobId" in value):
            yield value
            return
        for inner in value.values():
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _reasons(step: Mapping[str, Any]) -> Iterator[str]:
    """Why a step failed, in the reading order of facts §3.7; `none` is no reason."""
    output = step.get("output")
    output = output if isinstance(output, Mapping) else {}
    jobs = [j for j in _list(step.get("jobs")) if isinstance(j, Mapping)]
    metadata = step.get("metadata")
    candidates: list[Any] = [j.get("reason") for j in jobs] + [j.get("blockedReason") for j in jobs]
    candidates += _list(output.get("errors"))
    candidates += [i.get("blockedReason") for i in _list(output.get("images")) if isinstance(i, Mapping)]
    if output.get("externalTOSViolation"):
        candidates.append(output.get("message") or "it broke the rules of the engine's maker")
    if isinstance(metadata, Mapping):
        candidates.append(metadata.get("error"))
    for reason in candidates:
        if isinstance(reason, str) and reason.strip() and reason.lower() != "none":
            yield reason_in_words(reason)


def _progress(step: Mapping[str, Any]) -> float | None:
    rates = [step.get("estimatedProgressRate")]
    if rates[0] is None:
        rates = [j.get("estimatedProgressRate") for j in _list(step.get("jobs")) if isinstance(j, Mapping)]
    known = [float(r) for r in rates if isinstance(r, (int, float)) and not isinstance(r, bool)]
    return min(1.0, max(0.0, sum(known) / len(known))) if known else None


def _preceding(step: Mapping[str, Any]) -> int | None:
    """Jobs before ours: of the step where the newer contract says it, else the least of its jobs (facts §2.6)."""
    places = [step.get("queuePosition")] + [
        j.get("queuePosition") for j in _list(step.get("jobs")) if isinstance(j, Mapping)
    ]
    known = [_whole(p.get("precedingJobs")) for p in places if isinstance(p, Mapping)]
    numbers = [n for n in known if n is not None]
    return min(numbers) if numbers else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    """A number of Buzz, pixels or jobs; parts of a Buzz are rounded up, so that no price is ever shown too low."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _MOST:
        return None
    return int(value) if value == int(value) else int(value) + (1 if value > 0 else 0)
