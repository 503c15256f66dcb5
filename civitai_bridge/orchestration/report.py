"""Every sentence of a purchase: the report of what came, why nothing came, what a cancel did, what is not known.

No sentence calls an order unpaid that may have arrived, and none calls money returned that was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from ..errors import (
    AnotherAccount,
    ApiError,
    BadRequest,
    BlobUnavailable,
    CivitaiError,
    Interrupted,
    OutOfBuzz,
    StillRunning,
    TooExpensive,
    Unconfirmed,
    Unreachable,
    WorkflowCanceled,
    WorkflowEnded,
    WorkflowExpired,
    WorkflowFailed,
)
from ..resources.version import ModelVersion
from .body import Order
from .outcome import BoughtPicture, Outcome
from .purchase import CANCELED, COLLECTED, FAILED, FINISHED, REFUSED, Buyer, Purchase, PurchasedImage
from .workflow import TERMINAL

AnyError = TypeVar("AnyError", bound=CivitaiError)

_NOTHING = "Nothing was bought."


def joined(lines: Iterable[str]) -> str:
    """The lines that say something, one below the other."""
    return "\n".join(line for line in lines if line)


def count_pictures(count: int) -> str:
    """A number of pictures in words."""
    return "1 picture" if count == 1 else f"{count} pictures"


def model_name(version: ModelVersion | None) -> str:
    """Name and version name, as CivitAI's pages show them; empty without a model."""
    return version.title if version else ""


# Before anything is bought.


def above_max_buzz(price: int, max_buzz: int) -> TooExpensive:
    """The price is above max_buzz."""
    return TooExpensive(f"This would cost {price} Buzz, more than the max_buzz of {max_buzz}. {_NOTHING}")


def wallet_too_small(price: int, currencies: Sequence[str]) -> OutOfBuzz:
    """The wallets do not hold the price."""
    wallets = f"the wallets {', '.join(currencies)}" if currencies else "your wallets"
    return OutOfBuzz(f"This costs {price} Buzz, more than {wallets} hold. {_NOTHING}", status=402)


def not_confirmed(price: int) -> TooExpensive:
    """A person did not agree to the price."""
    return TooExpensive(f"The price of {price} Buzz was not confirmed. {_NOTHING}")


def another_account(purchase: Purchase, buyer: Buyer) -> AnotherAccount:
    """Somebody else's purchase, or one of which nobody can tell whose it is."""
    if purchase.base != buyer.base:
        whose = "at another address"
    elif buyer.may_own(purchase):
        whose = "with another key, and CivitAI does not say now whether that is yours"
    else:
        whose = "by another user"
    return AnotherAccount(
        f"{purchase.key} was bought {whose}, so it is left alone. Set the key and address it was bought with to reach "
        "it."
    )


def estimate(price: int, affordable: bool, max_buzz: int | None, order: Order) -> list[str]:
    """The lines of a price."""
    lines = [f"{price} Buzz for {count_pictures(order.quantity)} with {order.variant.path}."]
    if not affordable:
        lines.append("The wallets that may pay do not hold that much.")
    if max_buzz is not None and price > max_buzz:
        lines.append(f"That is above the max_buzz of {max_buzz}.")
    return [*lines, *order.notes]


# While nobody knows, and while it goes on.


def looking_for_order(seconds: float) -> str:
    """What is waited for after a lost answer."""
    return f"The answer was lost; looking for the order, so that it is not paid twice (up to {seconds:.0f} s)"


def waits_for_turn(before: int) -> str:
    """What is waited for before an order leaves, where only so many jobs may run at once."""
    return f"Waits for its turn, {before} before it" if before else "Waits for its turn, the next one"


def unconfirmed(key: str, error: CivitaiError) -> Unconfirmed:
    """Nobody knows whether an order arrived."""
    return Unconfirmed(
        f"It is not known whether the order arrived ({error}) It is not sent under another key: queue the same "
        f"graph again, or run `civitai-bridge journal resume {key}`, and it is found or sent once.",
        key=key,
    )


def not_sent_again(key: str, refusal: CivitaiError) -> Unconfirmed:
    """An old order that today's price, limits or person refuse."""
    why = str(refusal).replace(_NOTHING, "").replace(" before anything was bought", "")
    return Unconfirmed(
        f"{why.rstrip()} So it was not sent again, but an earlier attempt of the same order may have arrived: "
        f"`civitai-bridge journal resume {key}` looks for it.",
        key=key,
    )


def cancelled_unconfirmed(key: str) -> Unconfirmed:
    """A cancelled order that may have arrived."""
    return Unconfirmed(
        "Cancelled, but it is not known whether the order arrived. It is cancelled as soon as it is found: "
        f"`civitai-bridge journal resume {key}`.",
        key=key,
    )


def refused_unconfirmed(key: str, refusal: CivitaiError) -> Unconfirmed:
    """A refused order of which an earlier attempt may have arrived."""
    return Unconfirmed(
        f"{refusal} An earlier attempt of the same order got no answer and was not found; "
        f"`civitai-bridge journal resume {key}` looks again. It is never paid twice.",
        key=key,
    )


def interrupted(purchase: Purchase) -> Interrupted:
    """A person cancelled."""
    if purchase.state == CANCELED and not purchase.workflow_id:
        return about(Interrupted("Cancelled before it was sent. Nothing was bought."), purchase)
    error = Interrupted(
        f"Cancelled. CivitAI is asked to stop {purchase.workflow_id or purchase.key}; what had finished by then is "
        "kept (`civitai-bridge journal list`)."
    )
    return about(error, purchase)


def still_running(purchase: Purchase, minutes: float) -> StillRunning:
    """The node has waited as long as it was to."""
    error = StillRunning(
        f"Waited {minutes:g} minutes. The job {purchase.workflow_id or purchase.key} goes on and is paid once; to "
        f"collect it, queue the graph again or run `civitai-bridge journal resume {purchase.key}`."
    )
    return about(error, purchase)


TWINS = "CivitAI made more than one workflow of this order"


def about(error: AnyError, purchase: Purchase) -> AnyError:
    """The error with the names and the cost of the purchase it is about, for programs."""
    error.key, error.workflow_id, error.cost = purchase.key, purchase.workflow_id, purchase.cost
    return error


def already_paid(error: ApiError | Unreachable, purchase: Purchase) -> CivitaiError:
    """What stopped the wait for a job that is paid, with how to come by it."""
    text = (
        f"{error} The order is paid ({purchase.cost} Buzz) and is not paid again: workflow {purchase.workflow_id}, key "
        f"{purchase.key}. To collect it later, queue the graph again or run `civitai-bridge journal resume "
        f"{purchase.key}`."
    )
    if isinstance(error, Unreachable):
        return about(Unreachable(text, sent=error.sent), purchase)
    kind = type(error)
    return about(kind(text, status=error.status, detail=error.detail, retry_after=error.retry_after), purchase)


def twins(workflow_id: str, rows: Sequence[Purchase]) -> str:
    """What is said of an order that the service made several workflows of: which, at what price, and what to do."""
    each = "; ".join(
        f"{row.workflow_id} ({row.cost} Buzz; its pictures: `civitai-bridge journal resume {row.key}`, "
        f"to stop it: `civitai-bridge cancel {row.workflow_id}`)"
        for row in rows
    )
    return f"{TWINS} ({workflow_id}) and may have charged each: {each}. Its support can refund what you do not want."


def twin_of(purchase: Purchase) -> str:
    """A second workflow of one order."""
    return f"CivitAI made this one besides, when the answer to the order {purchase.key} was lost."


def cancelled_unknown(workflow_id: str, status: str) -> str:
    """A cancel of what CivitAI does not know."""
    asked = f"CivitAI was asked to cancel workflow {workflow_id}; it says {status}."
    if status in TERMINAL and status != "canceled":
        asked = f"Workflow {workflow_id} was over before: {status}."
    return f"{asked} It is not in this journal."


def cancel_answer(purchase: Purchase, *, never_arrived: bool) -> str:
    """What a person's cancel came to. `never_arrived`: an hour has shown that the order never reached CivitAI."""
    key, workflow_id = purchase.key, purchase.workflow_id
    if purchase.state == REFUSED:
        return f"{key} was refused by CivitAI before; it cost nothing."
    if purchase.state == CANCELED and not workflow_id:
        return f"{key} was never sent; it is cancelled and cost nothing."
    if purchase.state == CANCELED:
        return f"{workflow_id} is cancelled. {refund(purchase)}"
    if purchase.state == FAILED:
        return f"{workflow_id or key} had failed before. {refund(purchase)}"
    if purchase.state in (FINISHED, COLLECTED):
        return f"{workflow_id} had finished before; its pictures are kept (`civitai-bridge journal resume {key}`)."
    if never_arrived:
        return f"{key} was not found at CivitAI after an hour. It is closed and no longer counts."
    if not workflow_id:
        return (
            f"It is not known yet whether {key} arrived. It is cancelled as soon as it is found; "
            "`civitai-bridge journal resume` looks."
        )
    return f"CivitAI was asked to cancel {workflow_id}; it says {purchase.about.get('status', purchase.state)}."


# At the end.


def refund(purchase: Purchase) -> str:
    """What came back."""
    if not purchase.debited and not purchase.price:
        return "It cost nothing."
    if purchase.credited and purchase.credited >= purchase.debited:
        return f"The {purchase.credited} Buzz came back."
    if purchase.credited:
        return f"{purchase.credited} of {purchase.debited} Buzz came back."
    return "No refund seen yet; `civitai-bridge journal resume` looks again."


def why_nothing(purchase: Purchase, bought_before: bool) -> CivitaiError:
    """The error for a purchase that has no picture to hand over."""
    pending = [image for image in purchase.slots if image.pending]
    if pending:
        reasons = "; ".join(dict.fromkeys(image.reason for image in pending if image.reason))
        return BlobUnavailable(
            f"Workflow {purchase.workflow_id} is done and paid, but its pictures could not be fetched yet: "
            f"{reasons or 'they did not arrive'}. Queue the same graph again or run `civitai-bridge journal resume "
            f"{purchase.key}`; it is not paid again. To buy it once more all the same, turn `reuse_paid` off."
        )
    if purchase.state == CANCELED and not purchase.workflow_id:
        # Somebody else's cancel (another server, the shell), or a row whose process died: our prompt goes on.
        return WorkflowCanceled(
            f"The order {purchase.key} was cancelled before it left and cost nothing. Queue the graph again to buy it.",
            workflow_id="",
        )
    if purchase.state == REFUSED:
        text = f"CivitAI refused the order and charged nothing: {purchase.error}"
        return BadRequest(text, status=400, detail=purchase.error)
    return _ended(purchase, bought_before)


def not_restored(purchase: Purchase, error: CivitaiError) -> BlobUnavailable:
    """A picture that is not here and cannot be had again."""
    return BlobUnavailable(
        f"The pictures of workflow {purchase.workflow_id} are gone from this disk and could not be fetched again: "
        f"{str(error).rstrip('.')}. They are paid: queue the same graph again later. To buy them once more, turn "
        "`reuse_paid` off."
    )


def _ended(purchase: Purchase, bought_before: bool) -> WorkflowEnded:
    """The workflow is over, and nothing more will come of it."""
    workflow = f"Workflow {purchase.workflow_id}"
    reasons = "; ".join(dict.fromkeys(image.reason for image in purchase.slots if image.reason))
    why = reasons or purchase.error or "CivitAI gave no reason"
    kind, text = {
        "canceled": (WorkflowCanceled, f"{workflow} was cancelled."),
        "expired": (WorkflowExpired, f"{workflow} expired before a worker took it."),
    }.get(
        str(purchase.about.get("status", purchase.state)),
        (WorkflowFailed, f"{workflow} ended without pictures: {why.rstrip('.')}."),
    )
    again = ""
    if bought_before and purchase.slots and all(image.blocked for image in purchase.slots):
        again = (
            " Nothing was paid now, for the same request would be withheld again: change the prompt or the seed, or "
            "turn `reuse_paid` off."
        )
    return kind(f"{text} {refund(purchase)}{again}{ask_for_refund(purchase)}", workflow_id=purchase.workflow_id)


def ask_for_refund(purchase: Purchase) -> str:
    """What to do about pictures that were made and paid, and cannot be had; nothing where there is none."""
    lost = [image for image in purchase.slots if not (image.fetched or image.pending or image.blocked)]
    if purchase.about.get("status") != "succeeded" or not lost or purchase.credited:
        return ""
    return (
        f" {count_pictures(len(lost)).capitalize()} of workflow {purchase.workflow_id} cannot be had: ask CivitAI's "
        "support for the refund."
    )


def charged_more(purchase: Purchase) -> str:
    """The first line of a report whose price grew after it was named; else nothing."""
    quoted, charged = purchase.about.get("quoted"), max(purchase.price, purchase.debited)
    if not isinstance(quoted, int) or charged <= quoted:
        return ""
    return f"CivitAI charged {charged} Buzz, more than the {quoted} it had named. The higher figure counts."


def paid(purchase: Purchase, bought_before: bool, joined: bool = False) -> str:
    """What it cost, from which wallets, and when it was bought where that is not now. `joined` = it was under way when
    an equal order came."""
    wallets = ", ".join(f"{amount} {account}" for account, amount in purchase.wallets.items() if amount > 0)
    cost = f"{purchase.cost} Buzz" + (f" ({wallets})" if wallets else "")
    if bought_before:
        when = datetime.fromtimestamp(purchase.created).strftime("%Y-%m-%d %H:%M")
        if joined:
            return f"Joined an equal order that was under way, bought on {when} for {cost}; nothing more was paid now."
        return f"Answered from what was bought on {when} for {cost}; nothing was paid now."
    return f"Paid {cost}."


def place_of(image: PurchasedImage, count: int) -> str:
    """Which picture of the batch, as people count, and its seed: `picture 2 of 4 (seed 8)`."""
    seed = "" if image.seed is None else f" (seed {image.seed})"
    return f"picture {image.index + 1} of {count}{seed}"


def what_came(purchase: Purchase, pictures: Sequence[BoughtPicture], *, seeds: bool) -> list[str]:
    """Seeds, pictures that are missing with their reasons, and what came back for them."""
    lines = []
    if seeds:
        numbers = ", ".join(str(picture.seed) for picture in pictures)
        lines.append(f"Seed{'s' if len(pictures) > 1 else ''} {numbers}.")
    missing = [image for image in purchase.slots if not image.fetched]
    for image in missing:
        place = place_of(image, len(purchase.slots))
        lines.append(f"{place[0].upper()}{place[1:]} is missing: {image.reason}.")
    if missing and purchase.credited:
        lines.append(f"{purchase.credited} Buzz came back.")
    return [*lines, ask_for_refund(purchase).strip()]


def not_tagged(purchase: Purchase, order: Order) -> str:
    """Which tags of an order its workflow does not have: it was bought before, and tags make no other request of it."""
    on_it = purchase.about.get("tags") or ()
    absent = [tag for tag in order.request.tags if tag not in on_it]
    if not absent:
        return ""
    names = ", ".join(absent)
    many = len(absent) > 1
    return f"The tag{'s' if many else ''} {names} {'are' if many else 'is'} not on it: it was ordered before, without."


def last_line(outcome: Outcome) -> str:
    """What stays on the node."""
    paid_now = f"{outcome.cost:g} Buzz" if outcome.paid_now else "nothing paid now"
    return f"{count_pictures(len(outcome.pictures))} · {paid_now}"


def waiting(count: int) -> str:
    """How many earlier purchases nobody has been given yet."""
    if not count:
        return ""
    return (
        f"{count} earlier purchase{'s wait' if count > 1 else ' waits'} to be collected: `civitai-bridge journal list`."
    )
