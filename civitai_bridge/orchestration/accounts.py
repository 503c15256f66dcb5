"""Whose key it is, and whose the purchases are. What is another user's is left alone, whatever is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from ..errors import CivitaiError, Forbidden, Gone, NoKey, NotFound
from ..settings import Settings
from ..website import SiteClient
from . import report, users
from .journal import Journal
from .purchase import ACCEPTED, ALIVE, FINISHED, SENT, UNCONFIRMED, Buyer, Purchase
from .services import Services
from .timings import pause_before
from .workflow import Workflow

PATIENCE = 6.0  # seconds for the answer whose a key is; without it the order goes on, if nothing speaks against it
AGAIN = 60.0  # seconds after which a site that did not say it is asked again


def need_key(settings: Settings) -> None:
    """Raises NoKey where the settings have none."""
    if not settings.key:
        raise NoKey


def buyer_in(journal: Journal, settings: Settings) -> Buyer:
    """Who buys with these settings, as far as the journal knows (reads it; not for the event loop)."""
    return Buyer(settings.account, settings.service, users.user_of(journal, settings.account))


def waiting(journal: Journal, settings: Settings) -> list[Purchase]:
    """Purchases whose pictures nobody has been given yet, oldest first (reads the journal; not for the event loop)."""
    buyer = buyer_in(journal, settings)
    return [purchase for purchase in journal.rows((FINISHED, ACCEPTED, SENT, UNCONFIRMED)) if buyer.owns(purchase)]


async def _shown(services: Services, purchase: Purchase) -> list[Workflow]:
    """What CivitAI shows this key of a purchase. Raises what the look raises."""
    if purchase.workflow_id:
        return [await services.client.workflow(purchase.workflow_id)]
    return await services.client.tagged(purchase.key)


class Accounts:
    """Asks whose a key is, once for each key, and whose the purchases of other keys are, once for each purchase."""

    def __init__(self, settings: Settings, site: SiteClient, services: Services) -> None:
        self._settings = settings
        self._site = site
        self._services = services
        self._strangers: frozenset[str] = frozenset()
        self._asked = -AGAIN
        self._asking = asyncio.Lock()

    @property
    def service(self) -> str:
        """The service's address, in one spelling."""
        return self._settings.service

    async def buyer(self) -> Buyer:
        """Who buys: the journal's knowledge, else the site's answer."""
        services = self._services
        async with self._asking:
            buyer = await services.in_thread(buyer_in, services.journal, self._settings)
            if not buyer.user_id and self._settings.key and not self._settings.sandbox:
                buyer = replace(buyer, user_id=await self._ask_site())
        return replace(buyer, strangers=self._strangers)

    async def _ask_site(self) -> str:
        now = asyncio.get_running_loop().time()
        if now - self._asked < AGAIN:
            return ""
        self._asked = now
        try:
            user_id = await asyncio.wait_for(self._site.user_id(), PATIENCE)
        except (CivitaiError, asyncio.TimeoutError):
            return ""
        self._asked = -AGAIN
        services = self._services
        await services.in_thread(users.learn_user, services.journal, self._settings.account, user_id)
        return user_id

    async def buyer_among(self, purchases: Iterable[Purchase]) -> Buyer:
        """Who buys, after it was asked whose those of the purchases are that another key bought: a workflow's
        `externalId` names its user. What this key is not shown is somebody else's."""
        buyer = await self.buyer()
        if buyer.user_id:
            await asyncio.gather(*(self._ask_whose(purchase) for purchase in purchases if buyer.may_own(purchase)))
        return replace(buyer, strangers=self._strangers)

    async def _ask_whose(self, purchase: Purchase) -> None:
        services = self._services
        try:
            try:
                workflows = await _shown(services, purchase)
            except Forbidden as error:  # a firewall on the way may say no once
                await services.timings.sleep(pause_before(1, error))
                workflows = await _shown(services, purchase)
        except (NotFound, Forbidden, Gone):
            self._strangers |= {purchase.key}
            return
        except CivitaiError:
            return
        for user_id in filter(None, (workflow.user_of(purchase.key) for workflow in workflows)):
            await services.in_thread(users.learn_user, services.journal, purchase.account, user_id)

    async def named(self, name: str) -> Purchase | None:
        """The purchase of this key or workflow id. Raises AnotherAccount where it is not this user's."""
        services = self._services
        purchase = await services.in_thread(services.journal.get, name)
        if purchase is None:
            return None
        buyer = await self.buyer_among([purchase])
        purchase = await services.in_thread(services.journal.get, purchase.key) or purchase
        if not buyer.owns(purchase):
            raise report.another_account(purchase, buyer)
        return purchase

    async def surely_owned(self) -> list[Purchase]:
        """All purchases of this user, oldest first, as far as the journal knows; nobody is asked."""
        services = self._services
        buyer = await services.in_thread(buyer_in, services.journal, self._settings)
        return [purchase for purchase in await services.in_thread(services.journal.rows) if buyer.owns(purchase)]

    async def owned(self) -> list[Purchase]:
        """All purchases of this user, oldest first; whose the living ones of other keys are is asked before."""
        services = self._services
        rows = await services.in_thread(services.journal.rows)
        buyer = await self.buyer_among(purchase for purchase in rows if purchase.state in ALIVE)
        return [purchase for purchase in await services.in_thread(services.journal.rows) if buyer.owns(purchase)]
