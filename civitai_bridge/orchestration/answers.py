"""What an answer of CivitAI means for a purchase: an order was accepted, a workflow went on or ended.

The money and the pictures are written into the journal here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

from ..errors import ApiError, CivitaiError, Unreachable
from . import report
from .owned import OwnedPurchase
from .purchase import ACCEPTED, CANCELED, FAILED, FINISHED, Purchase, PurchasedImage
from .twins import enter_twins, workflows_of
from .workflow import ImageBlob, Workflow, reason_in_words


async def accept(
    owned: OwnedPurchase, workflow: Workflow, *, attempt: int | None = None, doubled: bool = False
) -> None:
    """The order is there. What came of the attempt, the id and the state are written in one transaction. `doubled`:
    an earlier attempt got no clear answer, so the service may have made a second workflow of it."""
    journal, key = owned.services.journal, owned.purchase.key
    facts = {
        "state": ACCEPTED,
        "workflow_id": workflow.id,
        "error": "",
        "user_id": workflow.user_of(key),
        **_money(owned.purchase, workflow),
    }
    await owned.apply(lambda: journal.accepted(key, attempt, owner=owned.owner, **facts))
    owned.workflow = workflow
    if doubled:
        with contextlib.suppress(CivitaiError):  # only to tell of a twin; the purchase itself is safe
            await find_by_tag(owned)
    if workflow.done and not still_attaching(owned.purchase, workflow):
        await learn(owned, workflow)


async def learn(owned: OwnedPurchase, workflow: Workflow) -> None:
    """Write down how a workflow ended: its money, its pictures, its reasons. Of a workflow that goes on only its money
    is written."""
    owned.workflow = workflow
    facts = _money(owned.purchase, workflow)
    if workflow.done:
        images, twins = _images(owned, workflow), await _twins(owned, workflow)
        came = workflow.status == "succeeded" or any(image.pending or image.fetched for image in images)
        # What comes of a twin is ours too, and so is its cancel.
        going = owned.purchase.state == ACCEPTED and not came
        living = next((twin for twin in twins if going and not twin.ended_badly), None)
        if living is not None:
            await enter_twins(owned, living.id, [workflow, *(twin for twin in twins if twin is not living)])
            await accept(owned, living)
            return
        if twins:
            await enter_twins(owned, workflow.id, twins)
        ended = owned.purchase.about.get("ended", owned.services.timings.clock())
        about = {**owned.purchase.about, "status": workflow.status, "unknown_since": None, "ended": ended}
        facts["about"] = {**about, **_charged(workflow)}
        if came:
            facts["state"], facts["slots"] = FINISHED, images
        else:
            facts["state"] = CANCELED if workflow.status == "canceled" else FAILED
            facts["error"] = "; ".join(workflow.reasons)
    await owned.write(**facts)


async def learn_money(owned: OwnedPurchase, workflow: Workflow) -> None:
    """Write down what a workflow says of the money, and nothing else."""
    await owned.write(**_money(owned.purchase, workflow))


def still_attaching(purchase: Purchase, workflow: Workflow) -> bool:
    """Whether a succeeded workflow may yet get pictures that are neither there nor withheld nor explained."""
    if workflow.status != "succeeded" or workflow.reasons:
        return False
    attached = sum(1 for blob in workflow.images if blob.available or blob.blocked)
    return attached < _quantity(purchase, workflow)


# The search by tag: every order carries its key as a tag.


async def search(owned: OwnedPurchase, seconds: float | None = None) -> bool:
    """Look for the workflow by its tag for some seconds, by default for half a minute; the list lags behind a submit.
    True when it was found and taken over."""
    timings = owned.services.timings
    left = timings.look_for if seconds is None else seconds
    try:
        while left > 0:
            owned.activity = report.looking_for_order(left)
            await timings.sleep(min(timings.settle, left))
            left -= timings.settle
            if await look_by_tag(owned):
                return True
        return False
    finally:
        owned.activity = ""


async def look_by_tag(owned: OwnedPurchase) -> bool:
    """Take over the workflow that carries our key. A look that fails finds nothing: the key still keeps a second one
    away."""
    try:
        workflow = await find_by_tag(owned)
    except (Unreachable, ApiError):
        return False
    if workflow is not None:
        await accept(owned, workflow)
    return workflow is not None


async def find_by_tag(owned: OwnedPurchase) -> Workflow | None:
    """The workflow that carries our key: of several the one that is the purchase's already, else the oldest that came
    to something. The rest are twins."""
    if "twin_of" in owned.purchase.about:  # only its own id tells it from the rest
        return None
    workflows = await workflows_of(owned.services.client, owned.purchase.key)
    better = [each for each in workflows if each.id == owned.purchase.workflow_id]
    better += [each for each in workflows if not each.ended_badly]
    own = next(iter([*better, *workflows]), None)
    if own is not None and len(workflows) > 1:
        await enter_twins(owned, own.id, [workflow for workflow in workflows if workflow.id != own.id])
    return own


async def _twins(owned: OwnedPurchase, workflow: Workflow) -> list[Workflow]:
    """Other workflows of an order that ended as `workflow`, if one of its answers was lost. A look that fails finds
    none; a second one comes a minute later."""
    services, purchase = owned.services, owned.purchase
    if "twin_of" in purchase.about:
        return []
    attempts = await services.in_thread(services.journal.attempts, purchase.key)
    if not any(attempt.unclear for attempt in attempts):
        return []
    if "twin_look" not in purchase.about:
        due = services.timings.clock() + services.timings.twin_look
        await owned.write(about={**purchase.about, "twin_look": due})
    try:  # not for long: the pictures wait behind it, and a second look comes
        workflows = await asyncio.wait_for(workflows_of(services.client, purchase.key), services.timings.twin_patience)
    except (Unreachable, ApiError, asyncio.TimeoutError):
        return []
    return [twin for twin in workflows if twin.id != workflow.id]


# What a workflow says, as columns of the journal.


def _money(purchase: Purchase, workflow: Workflow) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if workflow.cost is not None and workflow.cost > purchase.price:
        facts["price"] = workflow.cost
    if workflow.transactions:
        facts |= {"debited": workflow.debited, "credited": workflow.credited, "wallets": workflow.wallets}
        if purchase.about.get("charged") != workflow.charged:  # not each time: others note something in it as well
            facts["about"] = {**purchase.about, **_charged(workflow)}
    return facts


def _charged(workflow: Workflow) -> dict[str, Any]:
    """What each wallet paid, refunds not taken off: the column `wallets` has what is left of it."""
    return {"charged": workflow.charged} if workflow.transactions else {}


def _quantity(purchase: Purchase, workflow: Workflow) -> int:
    return max(int(purchase.about.get("quantity") or 1), len(workflow.images))


def _images(owned: OwnedPurchase, workflow: Workflow) -> list[PurchasedImage]:
    """One image for each picture that was ordered, in order; what may be had is pending until it is on disk."""
    on_disk = {image.index: image for image in owned.purchase.slots if image.fetched}
    seed = owned.purchase.about.get("seed")
    blobs = {blob.index: blob for blob in workflow.images}
    # A picture may be attached a little later; what is not there after an hour will not come.
    young = owned.age() < owned.services.timings.gone_after
    images = []
    for index in range(_quantity(owned.purchase, workflow)):
        image = PurchasedImage(index, seed + index if isinstance(seed, int) else None)
        images.append(on_disk.get(index) or _image(image, blobs.get(index), workflow, young))
    return images


def _image(image: PurchasedImage, blob: ImageBlob | None, workflow: Workflow, young: bool) -> PurchasedImage:
    """What is known of one picture from its workflow."""
    if blob is None:
        why = "; ".join(workflow.reasons)
        late = not why and workflow.status == "succeeded" and young
        return replace(image, reason=why or "CivitAI sent no picture in its place", pending=late)
    image = replace(image, blob_id=blob.id)
    if blob.withheld:
        return replace(image, reason=reason_in_words(blob.blocked_reason), blocked=True)
    if workflow.status != "succeeded" and not blob.available:
        return replace(image, reason=f"the workflow {workflow.status} before it was made")
    return replace(image, pending=True, reason="" if blob.available else "CivitAI says it is not available yet")
