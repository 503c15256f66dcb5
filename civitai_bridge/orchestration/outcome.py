"""What faces hand in and get back: who asks and on which terms, the price, where the story is, what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ..metadata.generation import GenerationData


@dataclass(frozen=True)
class Terms:
    """What the person who asks allows. `max_buzz` is the most that may be paid (0 = nothing, None = no limit beside the
    settings' own); `confirm` is asked with the price before buying; `asked_by` names the node or the command, for the
    ledger."""

    max_buzz: int | None = None
    reuse_paid: bool = True
    wait_minutes: float = 30
    prompt_id: str = ""
    asked_by: str = ""
    confirm: Callable[[int], Awaitable[bool]] | None = None


@dataclass(frozen=True)
class State:
    """Where the story is, for a progress bar and one line of text. `fraction` is 0 … 1, or None when nobody knows."""

    phase: str
    text: str
    fraction: float | None = None
    price: int | None = None
    workflow_id: str = ""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Caller:
    """Who waits for a story. `progress` is told where it stands; `cancelled` turns true when the person cancels (the
    service is asked to stop), `abandoned` when nobody waits any more (what is bought goes on, nothing new is
    bought)."""

    progress: Callable[[State], None] = lambda _: None
    cancelled: Callable[[], bool] = _never
    abandoned: Callable[[], bool] = _never

    def stopped(self) -> bool:
        """Whether nothing new may be bought for this caller."""
        return self.cancelled() or self.abandoned()


SILENT = Caller()  # waits to the end and is told nothing


@dataclass(frozen=True)
class BoughtPicture:
    """A picture of the batch on disk. `seed` is None for engines without one; sizes are in pixels."""

    index: int
    seed: int | None
    path: Path
    sha256: str
    width: int | None
    height: int | None
    format: str


@dataclass(frozen=True)
class Outcome:
    """What came back. `cost` is net Buzz of the purchase; `paid_now` is False when it was bought before. `notes` are
    the sentences of the report that a program should see too: another charge, a folded seed, what was left out.
    `version_name` is the model's, `""` without one."""

    key: str
    pictures: tuple[BoughtPicture, ...]
    missing: tuple[tuple[int, str], ...]
    workflow_id: str
    air: str
    cost: float
    paid_now: bool
    seed: int
    status: str
    report: str
    notes: tuple[str, ...]
    blob_urls: tuple[str, ...]
    generation: GenerationData
    sandbox: bool
    version_name: str = ""


@dataclass(frozen=True)
class Estimate:
    """The price of a request: whole Buzz, whether the wallets can pay it, and what would be sent in words. `notes` are
    the sentences of the report on what the order changes or leaves out."""

    cost: int
    affordable: bool
    air: str
    report: str
    notes: tuple[str, ...] = ()
    base_model: str = ""
    version_name: str = ""
