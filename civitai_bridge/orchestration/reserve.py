"""Which purchase serves an order: one that is there already, or a new one, written within the limits of the settings.

The orders of one prompt are written together, all of them or none, before the first of them leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ..errors import Interrupted
from ..settings import Settings
from . import users
from .accounts import Accounts
from .body import Order
from .echo import earlier_hashes
from .journal import equal_purchases, find_equal, refuse_doubtful
from .limits import Limits
from .outcome import Caller, Terms
from .owners import new_owner
from .prepare import acceptable_price
from .purchase import COLLECTED, PLANNED, PlannedPurchase, Purchase
from .reservations import Reservation
from .run import Runs
from .services import Services
from .submit import Admit
from .wait import until_stopped


async def existing(services: Services, order: Order, terms: Terms, accounts: Accounts) -> Purchase | None:
    """The user's purchase of this very request that is under way, not collected, or (if the terms take it) collected
    and still to be had. Raises AnotherAccount where an equal one is alive, nobody can tell whose it is, and the terms
    take what was bought."""
    journal, base = services.journal, accounts.service
    keys = await services.in_thread(users.accounts, journal)
    earlier = earlier_hashes(keys, base, order.body, order.request.seed)
    await services.in_thread(users.carry_over, journal, order.hash, earlier, base)
    buyer = await accounts.buyer_among(await services.in_thread(equal_purchases, journal, order.hash))
    purchase = await services.in_thread(
        lambda: find_equal(
            journal,
            order.hash,
            buyer,
            usable=lambda purchase: terms.reuse_paid and can_serve(services, purchase),
        )
    )
    if purchase is None and terms.reuse_paid:
        await services.in_thread(refuse_doubtful, journal, order.hash, buyer)
    # `Journal.reserve` decides about what has not left yet, in its transaction.
    return purchase if purchase is not None and purchase.state != PLANNED else None


def can_serve(services: Services, purchase: Purchase) -> bool:
    """Whether a purchase can answer a request again: its pictures are here or can be fetched again, or all of it was
    withheld, and buying the same again would be withheld again."""
    if purchase.state != COLLECTED:
        return True  # what may yet come of it is not given up
    images = [image for image in purchase.slots if image.fetched or image.pending]
    if not images or purchase.about.get("gone"):
        return bool(purchase.slots) and all(image.blocked for image in purchase.slots)
    age = abs(services.timings.clock() - purchase.created)
    return age < services.timings.retention or all(services.results.has(image.file) for image in images)


async def reserved(
    place: Reservation, planned: PlannedPurchase, stopped: Callable[[], bool], *, tick: float
) -> Purchase:
    """The purchase that serves an order, once its whole prompt is reserved; a person who cancels meanwhile is out of it
    before anything leaves. Raises LimitReached, Interrupted."""
    waiting = asyncio.ensure_future(place.reserve(planned))
    while not waiting.done():
        await asyncio.wait({waiting}, timeout=tick / 10)
        if stopped() and place.withdraw(planned):
            waiting.cancel()
            raise Interrupted("Cancelled before anything was bought.")
    return waiting.result()


async def reserve_together(runs: Runs, settings: Settings, planned: Sequence[PlannedPurchase]) -> Sequence[Purchase]:
    """The purchases that serve the orders of one prompt, in one transaction. New ones are owned by us from the start,
    and each is driven at once."""
    services = runs.services
    owners = {each.key: new_owner() for each in planned}
    purchases = await services.in_thread(
        lambda: services.journal.reserve(
            planned,
            limits(settings),
            usable=lambda each, purchase: each.reuse_paid and can_serve(services, purchase),
            owner=lambda each: owners[each.key],
        )
    )
    for each, purchase in zip(planned, purchases, strict=True):
        if purchase.key == each.key and purchase.state == PLANNED:  # not one that serves an equal order of the prompt
            runs.start(purchase, owners[each.key])
    return purchases


def admission(services: Services, order: Order, terms: Terms, settings: Settings, caller: Caller) -> Admit:
    """What is asked before an order that got no answer is sent again: today's price, today's limits, for this prompt,
    and only while somebody waits for it."""

    async def admit(purchase: Purchase) -> Purchase:
        timings = services.timings
        asked = acceptable_price(services.client, order, terms, settings, timings)
        price = await until_stopped(caller.stopped, asked, tick=timings.tick)
        readmit = services.journal.readmit
        return await services.in_thread(readmit, purchase.key, price, terms.prompt_id, limits(settings))

    return admit


def limits(settings: Settings) -> Limits:
    """What the settings let a prompt and a day spend, in whole Buzz."""
    return Limits(settings.limit_buzz_per_prompt, settings.limit_buzz_per_day)
