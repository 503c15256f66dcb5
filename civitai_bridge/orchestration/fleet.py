"""The fleet, for those who ask: estimate, generate, resume, cancel, collected. Read it top to bottom.

    prepare -> price -> reserve -> submit -> run -> collect -> hand over

Two lives are kept apart. The caller's wait (wait.py) may be cancelled, torn down or tired of waiting. The run of a
purchase (run.py) goes on by itself, is shared by everybody who asks the same, and only a person's cancel makes it ask
the service for an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from ..errors import BadInput
from ..network.fetch import Fetch
from ..resources.addresses import hosts_with
from ..resources.version import ModelVersion
from ..settings import BADGE, Settings
from ..website import SiteClient, resolve
from . import accounts, report
from .accounts import Accounts, need_key
from .body import Order
from .cancel import cancel_purchase, cancel_unknown
from .care import open_purchases, second_look_after, second_look_later, second_looks, send_cancels, take_care
from .client import OrchestrationClient
from .hand_over import hand_over, note_collected
from .journal import Journal
from .outcome import SILENT, Caller, Estimate, Outcome, State, Terms
from .prepare import acceptable_price, ask_price, planned, prepare, price_of
from .purchase import CANCELED, UNDER_WAY, Purchase
from .request import GenerationRequest
from .reservations import Reservations
from .reserve import admission, existing, reserve_together, reserved
from .results import Results
from .resume import look_after_all, restore
from .run import Runs
from .services import Services
from .timings import DEFAULTS, Timings
from .turns import Turns
from .wait import until_stopped, wait_for_purchase
from .watcher import Watcher


class Fleet:
    """What faces ask for. Made once on the loop where the stories run; `fetch` gets pictures without any credential."""

    def __init__(
        self,
        settings: Settings,
        site: SiteClient,
        client: OrchestrationClient,
        fetch: Fetch,
        *,
        journal: Journal | None = None,
        timings: Timings = DEFAULTS,
    ) -> None:
        self.settings = settings
        self.client = client
        self.journal = journal or Journal(settings.home / "journal.sqlite3", clock=timings.clock)
        self.results = Results(settings.home / "results")
        watcher, turns = Watcher(client, timings), Turns(settings.parallel_jobs)
        self.runs = Runs(Services(client, self.journal, self.results, fetch, timings, watcher, turns))
        self._services = self.runs.services
        self._accounts = Accounts(settings, site, self._services)
        self._timings = timings
        self._own_journal = journal is None
        self._pruned = 0.0
        self._callers = 0
        self._care: asyncio.Task[None] | None = None
        self._looks: asyncio.Task[None] | None = None
        self._reservations = Reservations(partial(reserve_together, self.runs, settings), quiet=timings.quiet)
        self._resolve = partial(resolve, site, hosts=hosts_with(settings.site_url))
        self._look_up = partial(self._resolve, for_generation=True)

    async def resolve(self, text: str) -> ModelVersion:
        """The model version that a person's text names, with everything CivitAI tells about it."""
        return await self._resolve(text)

    async def estimate(
        self,
        request: GenerationRequest,
        terms: Terms | None = None,
        caller: Caller = SILENT,
    ) -> Estimate:
        """What the request would cost now. Nothing is stored or bought."""
        need_key(self.settings)
        stoppable = partial(until_stopped, caller.cancelled, tick=self._timings.tick)
        order = await stoppable(prepare(request, self.settings, self._look_up))
        priced = await stoppable(ask_price(self.client, order, self._timings))
        price, affordable = price_of(priced), not priced.insufficient_buzz
        lines = [
            BADGE if self.settings.sandbox else "",
            *report.estimate(price, affordable, terms.max_buzz if terms else None, order),
        ]
        named = (order.model.base_model, order.model.version_name) if order.model else ()
        return Estimate(price, affordable, order.air, report.joined(lines), order.notes, *named)

    async def generate(self, request: GenerationRequest, terms: Terms, caller: Caller = SILENT) -> Outcome:
        """Pictures for a request, bought once. Raises a CivitaiError whose sentence says what to do; Interrupted when
        the person cancels (the service is asked to stop at once); StillRunning after `terms.wait_minutes`."""
        need_key(self.settings)
        self._callers += 1
        try:
            while True:
                order, purchase, bought_before = await self._ordered(request, terms, caller)
                self.runs.expect(purchase.key)
                try:
                    outcome = await self._served(order, purchase, bought_before, terms, caller)
                    if outcome is not None:
                        if caller.abandoned():  # nobody takes the pictures: they wait to be collected
                            self.runs.expect_no_more(purchase.key)
                        return outcome
                except BaseException:
                    self.runs.expect_no_more(purchase.key)
                    self._services.background.start(second_look_after(self.runs, purchase.key))
                    raise
        finally:
            self._callers -= 1

    async def _served(
        self, order: Order, purchase: Purchase, bought_before: bool, terms: Terms, caller: Caller
    ) -> Outcome | None:
        """What a purchase comes to for its caller; None where it serves nobody any more, so that the request is to be
        ordered again."""
        leaving, joined = purchase.cancels, bought_before and purchase.state in UNDER_WAY
        admit = admission(self._services, order, terms, self.settings, caller)
        purchase, ordered = await wait_for_purchase(self.runs, purchase, caller, terms.wait_minutes, admit)
        self.runs.expect(purchase.key)
        never_sent = not (purchase.cancels or purchase.workflow_id)  # its process ended before the order left
        if purchase.state == CANCELED and (leaving or never_sent):
            return None  # or it was being cancelled when we came; it is over now and cost nothing
        purchase = await until_stopped(caller.cancelled, restore(self._services, purchase), tick=self._timings.tick)
        if purchase.about.get("gone"):
            return None
        if purchase.about.get("twin_look"):
            self._services.background.start(second_look_later(self.runs, purchase))
        outcome = await hand_over(self.runs, purchase, order, bought_before and not ordered, joined, self.settings)
        # Older pages keep the last line on the node, so it is one worth keeping.
        text = report.last_line(outcome)
        caller.progress(State("done", text, 1.0, purchase.price, purchase.workflow_id))
        return outcome

    async def _ordered(self, request: GenerationRequest, terms: Terms, caller: Caller) -> tuple[Order, Purchase, bool]:
        """The purchase that serves a request: one that is there already, or a new one, priced and reserved. The last
        value says whether it was bought before."""
        stoppable = partial(until_stopped, caller.stopped, tick=self._timings.tick)
        with self._reservations.enter(terms.prompt_id) as place:
            caller.progress(State("resolving", "Looking up the model on CivitAI"))
            order = await stoppable(self._prepared(request))
            purchase = await stoppable(existing(self._services, order, terms, self._accounts))
            if purchase is not None:
                return order, purchase, True
            caller.progress(State("pricing", "Asking the price"))
            price = await stoppable(acceptable_price(self.client, order, terms, self.settings, self._timings))
            caller.progress(State("reserving", f"Reserving {price} Buzz", price=price))
            new = planned(order, price, terms, await self._accounts.buyer())
            purchase = await reserved(place, new, caller.stopped, tick=self._timings.tick)
            return order, purchase, purchase.key != new.key

    async def _prepared(self, request: GenerationRequest) -> Order:
        """The order; whose the key is, which a new key makes us ask, is asked meanwhile, and no longer than it."""
        buyer = asyncio.ensure_future(self._accounts.buyer())
        try:
            order = await prepare(request, self.settings, self._look_up)
        except BaseException:
            buyer.cancel()
            await asyncio.gather(buyer, return_exceptions=True)
            raise
        await buyer
        return order

    async def collected(self, key: str) -> None:
        """The pictures of a purchase have reached a person: the node returned them, the files are written. Until then
        they wait in the journal, whoever stopped waiting for them."""
        await self._services.in_thread(note_collected, self.journal, key)
        self.runs.expect_no_more(key)
        now = self._timings.clock()
        if abs(now - self._pruned) > self._timings.prune_every:
            self._pruned = now
            self._services.background.start(self._services.prune(now))

    async def cancel(self, name: str) -> str:
        """Cancel by workflow id or by the journal's key, because a person says so. Returns a sentence."""
        purchase = await self._accounts.named(name)
        if purchase is None:
            need_key(self.settings)
            return await cancel_unknown(self.client, name)
        return await cancel_purchase(self.runs, purchase, self.settings)

    async def resume(self, key: str = "", *, on_row: Callable[[Purchase], None] = lambda _: None) -> list[Purchase]:
        """Look after what is open in the journal: by id, by tag, and fetch what is there. Never sends an order, never
        buys. Purchases of another user or service are left alone (with `key`, AnotherAccount is raised)."""
        if key:
            purchase = await self._accounts.named(key)
            if purchase is None:
                raise BadInput(f"The journal has no purchase {key!r}. `civitai-bridge journal list` shows what it has.")
            purchases = [purchase]
        else:
            purchases = await open_purchases(self._services, self._accounts)
        if purchases:
            need_key(self.settings)
        await send_cancels(self._services, purchases)
        purchases = await look_after_all(self.runs, purchases, on_row)
        if key:  # a person wants these pictures, also such as were collected once and are gone from this disk
            purchases = [each if each.error else await restore(self._services, each) for each in purchases]
        return purchases

    def take_care(self) -> None:
        """From now on look after what is open in the journal, without anybody who waits: for a server. Never sends an
        order."""
        if self._care is None and self.settings.key:
            self._care = asyncio.get_running_loop().create_task(take_care(self.runs, self._accounts))

    def look_for_twins(self) -> None:
        """Look again for twins of orders whose answer was lost, where it is due: when a face opens the fleet. `close`
        waits a while for it, so that the commands of the shell get it done."""
        if self.settings.key:
            self._looks = asyncio.get_running_loop().create_task(second_looks(self.runs, self._accounts))

    def waiting(self) -> list[Purchase]:
        """Purchases whose pictures nobody has been given yet, oldest first (reads the journal; not for the event
        loop)."""
        return accounts.waiting(self.journal, self.settings)

    @property
    def idle(self) -> bool:
        """Whether nothing of ours is under way, nobody waits, and nobody has pictures that are yet to be collected."""
        return not (self._callers or self.runs or self.runs.expects_any) and self._services.background.idle

    async def close(self) -> None:
        """Stop driving purchases: rows keep their state and are released, so that the next process goes on."""
        if self._looks is not None:
            await asyncio.wait({self._looks}, timeout=self._timings.twin_patience)
        own = [task for task in (self._care, self._looks) if task is not None]
        for task in own:
            task.cancel()
        await asyncio.gather(self.runs.close(), self._services.background.close(), *own, return_exceptions=True)
        await asyncio.to_thread(self._services.journal_thread.shutdown)
        if self._own_journal:
            self.journal.close()
