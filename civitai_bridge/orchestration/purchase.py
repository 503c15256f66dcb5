"""A purchase as it stands: what was ordered, what it costs, what came back.

planned ──> sent ──> accepted ──> finished ──> collected
   │          │          │
   │          ├─> refused (nothing was paid)
   │          └─> unconfirmed (nobody knows; found by tag or sent again with the same key)
   └─> canceled          └─> failed, canceled
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MONTH = 30 * 24 * 3600.0  # seconds; as long as CivitAI keeps a workflow

PLANNED, SENT, ACCEPTED, FINISHED, COLLECTED = "planned", "sent", "accepted", "finished", "collected"
REFUSED, CANCELED, FAILED, UNCONFIRMED = "refused", "canceled", "failed", "unconfirmed"

UNDER_WAY = (PLANNED, SENT, UNCONFIRMED, ACCEPTED)
ALIVE = (*UNDER_WAY, FINISHED)
NEVER_SENT_AGAIN = (FINISHED, COLLECTED, REFUSED, CANCELED, FAILED)
UNSURE_OR_PAID = (PLANNED, SENT, UNCONFIRMED, ACCEPTED, FINISHED, COLLECTED, FAILED, CANCELED)


@dataclass(frozen=True)
class PurchasedImage:
    """One picture of a purchase: where it is, or why it is not there. `pending` = it may still come; `blocked` = it was
    made and is withheld. Its names are those of the journal's file."""

    index: int
    seed: int | None
    blob_id: str = ""
    sha256: str = ""
    file: str = ""
    width: int | None = None
    height: int | None = None
    reason: str = ""
    pending: bool = False
    blocked: bool = False

    @property
    def fetched(self) -> bool:
        """Whether its bytes were fetched, checked and kept."""
        return bool(self.sha256)


@dataclass(frozen=True)
class Attempt:
    """One POST of an order. `outcome` is `accepted: ID`, `refused: …`, `not sent: …`, `unclear: …` (it was answered,
    and nobody knows what was done), `cut off: …` or `""`: no answer came, so it may still be worked on."""

    number: int
    started: float
    outcome: str

    @property
    def workflow_id(self) -> str:
        """The workflow that this attempt made; `""` where it made none or nobody knows."""
        return self.outcome[len("accepted: ") :] if self.outcome.startswith("accepted: ") else ""

    @property
    def unclear(self) -> bool:
        """Whether nobody knows if it made a workflow."""
        return not self.outcome.startswith(("refused", "not sent", "accepted"))


@dataclass(frozen=True)
class Purchase:
    """One row of the journal; its names are the columns. Money is whole Buzz, times are seconds since the epoch;
    `account` is the fingerprint of the key that it was bought with, `user_id` whose it is at CivitAI (`""` = not known
    yet); `cancels` counts the wishes to cancel that stand, `cancel_wanted` says that there is one. Lists of purchases
    come without `body`."""

    key: str
    request_hash: str
    account: str
    base: str
    state: str
    body: str = field(repr=False)
    created: float
    updated: float
    prompt_id: str
    price: int
    debited: int
    credited: int
    wallets: Mapping[str, int]
    workflow_id: str
    cancel_wanted: bool
    cancels: int
    owner: str
    heartbeat: float
    about: Mapping[str, Any]
    slots: tuple[PurchasedImage, ...]
    error: str
    user_id: str

    @property
    def cost(self) -> int:
        """Net Buzz: what was taken less what came back; the price while nothing is known."""
        never_paid = self.state == REFUSED or (self.state == CANCELED and not self.workflow_id)
        return 0 if never_paid else (self.debited or self.price) - self.credited


@dataclass(frozen=True)
class Buyer:
    """Who buys where: a key's fingerprint, the service's address, the user whose key it is (`""` = nobody could tell),
    and the keys of purchases that were shown to be somebody else's.

    A purchase belongs to a user, not to a key: keys expire and are replaced."""

    account: str
    base: str
    user_id: str = ""
    strangers: frozenset[str] = frozenset()

    def owns(self, purchase: Purchase) -> bool:
        """Whether a purchase is this user's, for all that is known."""
        same_user = bool(self.user_id) and purchase.user_id == self.user_id
        return purchase.base == self.base and (purchase.account == self.account or same_user)

    def may_own(self, purchase: Purchase) -> bool:
        """Whether nobody can tell whose a purchase is: this user's by another key, or somebody else's."""
        unknown = not (self.user_id and purchase.user_id) and purchase.key not in self.strangers
        return purchase.base == self.base and not self.owns(purchase) and unknown


@dataclass(frozen=True)
class PlannedPurchase:
    """A purchase that is about to be made; `body` is the exact text to send, its `externalId` is `key`. `reuse_paid` =
    an equal purchase that was collected before may serve in its place."""

    key: str
    request_hash: str
    buyer: Buyer
    body: str = field(repr=False)
    price: int
    prompt_id: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    reuse_paid: bool = True


def new_key() -> str:
    """A key for one purchase: random, never derived from the request, inside `^[A-Za-z0-9_-]{1,128}$`."""
    return f"cb-{uuid.uuid4().hex}"


def still_open(purchase: Purchase, now: float) -> bool:
    """Whether a purchase wants another look: under way, not collected, or over (for a month at most) without the
    refund for what did not come having been seen."""
    if purchase.state in ALIVE:
        return True
    unpaid_back = max(purchase.price, purchase.debited) > purchase.credited
    over = purchase.state in (FAILED, CANCELED) and bool(purchase.workflow_id)
    over = over or (purchase.state == COLLECTED and not all(image.fetched for image in purchase.slots))
    return over and unpaid_back and abs(now - purchase.created) < MONTH


def kept_files(purchases: Iterable[Purchase]) -> dict[str, tuple[float, bool]]:
    """File name in `results/` -> (when a purchase that names it last changed, whether all of them are collected)."""
    files: dict[str, tuple[float, bool]] = {}
    for purchase in purchases:
        for image in purchase.slots:
            if image.file:
                changed, collected = files.get(image.file, (0.0, True))
                files[image.file] = (max(changed, purchase.updated), collected and purchase.state == COLLECTED)
    return files
