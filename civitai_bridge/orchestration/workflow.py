"""What the orchestrator says about a workflow, read defensively into frozen values.

Shapes: the OpenAPI contract (`Workflow`, `WorkflowStep`, `ImageBlob`), both dialects (with and without `jobs`), and
what was seen in real answers beside it. Unknown words are kept; missing parts have a default.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..network.exchange import clean
from ..resources.json_values import decimal, items, mapping, objects, text

TERMINAL = frozenset({"succeeded", "failed", "expired", "canceled", "deleted"})

_MOST = 1e15  # beyond any price or size; SQLite's whole numbers end at 9.2e18

# What the reasons mean, in words. Anything else is shown as it came.
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
    def withheld(self) -> bool:
        """Whether moderation keeps it back, by the workflow's own word."""
        return self.blocked and not (self.available and self.url)

    @property
    def blocked(self) -> bool:
        """Whether the service gives a reason for withholding it."""
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
        """Whether nothing will change any more. Unknown words are not terminal."""
        return self.status in TERMINAL

    @property
    def ended_badly(self) -> bool:
        """Whether it is over and no picture will come of it, but what it has made already."""
        return self.done and self.status != "succeeded"

    @property
    def debited(self) -> int:
        """Buzz taken so far, refunds not counted."""
        return sum(entry.amount for entry in self.transactions if entry.kind == "debit")

    @property
    def credited(self) -> int:
        """Buzz given back."""
        return sum(entry.amount for entry in self.transactions if entry.kind == "credit")

    @property
    def charged(self) -> dict[str, int]:
        """Buzz by wallet that was taken, refunds not counted."""
        paid: dict[str, int] = {}
        for entry in self.transactions:
            if entry.kind == "debit":
                paid[entry.account] = paid.get(entry.account, 0) + entry.amount
        return paid

    @property
    def wallets(self) -> dict[str, int]:
        """Net Buzz by wallet, wallets that paid nothing left out."""
        paid: dict[str, int] = {}
        for entry in self.transactions:
            amount = entry.amount if entry.kind == "debit" else -entry.amount
            paid[entry.account] = paid.get(entry.account, 0) + amount
        return {account: amount for account, amount in paid.items() if amount}

    def user_of(self, key: str) -> str:
        """The id of the user whose workflow of our purchase `key` this is, from the echo `{userId}-{key}`; `""` where
        it says none."""
        user_id, dash, _ = self.external_id.rpartition(f"-{key}")
        return user_id if dash and self.external_id.endswith(f"-{key}") else ""

    def is_of(self, key: str) -> bool:
        """Whether this is the workflow of our purchase `key`: by tag, or by the echo `{userId}-{key}`."""
        return key in self.tags or self.external_id == key or self.external_id.endswith("-" + key)


def workflow_from_json(data: Any) -> Workflow:
    """Read a workflow; anything that is not there is empty. Never raises for odd content, only for a non-object."""
    if not isinstance(data, Mapping):
        raise ValueError("a workflow is a JSON object")
    steps = objects(data.get("steps"))
    step = next((step for step in steps if step.get("$type") == "imageGen"), steps[0] if steps else {})
    money = mapping(data.get("transactions"))
    warnings = [text(warning.get("message")) for step in steps for warning in objects(step.get("warnings"))]
    return Workflow(
        id=text(data.get("id")),
        status=text(data.get("status")) or "unassigned",
        created_at=text(data.get("createdAt")),
        tags=tuple(tag for tag in items(data.get("tags")) if isinstance(tag, str)),
        external_id=text(data.get("externalId")),
        cost=_cost(mapping(data.get("cost"))),
        transactions=tuple(_transaction(entry) for entry in objects(money.get("list"))),
        insufficient_buzz=money.get("insufficientBuzz") is True,
        images=tuple(_images(step.get("output"))),
        reasons=tuple(dict.fromkeys(reason for step in steps for reason in _reasons(step))),
        warnings=tuple(warning for warning in warnings if warning),
        input=mapping(step.get("input")),
        progress=_progress(step),
        preceding_jobs=_preceding(step),
    )


def reason_in_words(reason: str) -> str:
    """The service's word for why, as part of a sentence; unknown words as they came, without control
    characters and signed queries."""
    if reason in _REASONS:
        return _REASONS[reason]
    return clean(reason)


def _cost(cost: Mapping[str, Any]) -> int | None:
    """The most that the answer can mean, in whole Buzz: `total`, or the sum of its parts where that is more. Whether
    `total` holds the creators' `fees` (AIR -> Buzz) the contract does not say; that it holds the tips it does."""
    total = decimal(cost.get("total"))
    if total is None:
        return None
    parts = [cost.get("base")]
    for name in ("fixed", "fees", "tips"):
        parts += mapping(cost.get(name)).values()
    return _whole(max(total, sum(amount for amount in map(decimal, parts) if amount is not None)))


def _transaction(entry: Mapping[str, Any]) -> Transaction:
    amount = _whole(entry.get("amount")) or 0
    return Transaction(text(entry.get("type")), amount, text(entry.get("accountType")), text(entry.get("id")))


def _images(output: Any) -> Iterator[ImageBlob]:
    """Every object with `id` and `available` below `images`, else anywhere in the output, in order."""
    if not isinstance(output, Mapping):
        return
    images = output.get("images")
    for index, blob in enumerate(items(images) if images is not None else _blobs(output)):
        if not isinstance(blob, Mapping):
            continue
        reason = text(blob.get("blockedReason"))
        yield ImageBlob(
            index=index,
            id=text(blob.get("id") or blob.get("blobId")),
            available=blob.get("available") is True,
            url=text(blob.get("url")),
            width=_whole(blob.get("width")),
            height=_whole(blob.get("height")),
            nsfw_level=text(blob.get("nsfwLevel")),
            blocked_reason="" if reason.lower() == "none" else reason,
        )


def _blobs(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if "available" in value and ("id" in value or "blobId" in value):
            yield value
            return
        for inner in value.values():
            yield from _blobs(inner)
    for inner in items(value):
        yield from _blobs(inner)


def _reasons(step: Mapping[str, Any]) -> Iterator[str]:
    """Why a step failed: its jobs first, then its output, then its metadata; `none` is no reason."""
    output = mapping(step.get("output"))
    jobs = objects(step.get("jobs"))
    candidates = [job.get("reason") for job in jobs] + [job.get("blockedReason") for job in jobs]
    candidates += items(output.get("errors"))
    candidates += [image.get("blockedReason") for image in objects(output.get("images"))]
    if output.get("externalTOSViolation"):
        candidates.append(output.get("message") or "it broke the rules of the engine's maker")
    candidates.append(mapping(step.get("metadata")).get("error"))
    for reason in map(text, candidates):
        if reason.strip() and reason.lower() != "none":
            yield reason_in_words(reason)


def _progress(step: Mapping[str, Any]) -> float | None:
    """0 … 1: of the step, else the mean of its jobs."""
    rates = [step.get("estimatedProgressRate")]
    if rates[0] is None:
        rates = [job.get("estimatedProgressRate") for job in objects(step.get("jobs"))]
    numbers = [rate for rate in map(decimal, rates) if rate is not None]
    return min(1.0, max(0.0, sum(numbers) / len(numbers))) if numbers else None


def _preceding(step: Mapping[str, Any]) -> int | None:
    """Jobs before ours: of the step where the newer contract says it, else the least of its jobs."""
    places = [step.get("queuePosition"), *(job.get("queuePosition") for job in objects(step.get("jobs")))]
    numbers = [_whole(mapping(place).get("precedingJobs")) for place in places]
    return min((number for number in numbers if number is not None), default=None)


def _whole(value: Any) -> int | None:
    """A number of Buzz, pixels or jobs; parts of a Buzz are rounded up, so that no price is ever shown too low."""
    amount = decimal(value)
    return None if amount is None or abs(amount) >= _MOST else math.ceil(amount) if amount > 0 else math.trunc(amount)
