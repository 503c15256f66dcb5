"""Drives one purchase from where it stands to its end:  planned -> POST -> accepted -> polled -> finished -> on disk.

A run lives on the loop by itself and is shared by everybody who asks the same; only a person's cancel makes it ask
the service for an end. Whatever kills it, the journal tells the next one where to go on: with the same key, never
with a new one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Interrupted
from . import report
from .answers import accept, look_by_tag
from .collect import collect
from .outcome import Caller
from .owned import OwnedPurchase, RowLost
from .purchase import ACCEPTED, FINISHED, PLANNED, SENT, UNCONFIRMED, Purchase
from .services import Services
from .stop import ask_until_over
from .submit import Admit, submit
from .turns import Turn
from .watch import watch
from .workflow import Workflow


class PurchaseRun:
    """The running job of one purchase that we own. With `orders` False no order is ever sent: one without an answer is
    only looked for. `admit` is asked before an order leaves. `ordered` = a POST of ours was accepted."""

    def __init__(
        self, services: Services, purchase: Purchase, owner: str, admit: Admit | None = None, *, orders: bool = True
    ) -> None:
        self._owned = OwnedPurchase(services, purchase, owner, on_cancel=self._ask_to_stop, on_lost=self._give_up)
        self._admit = admit
        self._orders = orders
        self._asking = False
        self._turn: Turn | None = None
        self._awaiting: list[tuple[Caller, Admit]] = []
        self._was_awaited = False
        self.ordered = False
        self.task = asyncio.get_running_loop().create_task(self._drive(), name=f"civitai-bridge {purchase.key}")

    async def _drive(self) -> Purchase:
        """From wherever the purchase stands to FINISHED, FAILED or CANCELED (without `orders` it may stay unconfirmed);
        raises what a person must know."""
        owned = self._owned
        try:
            async with owned.held():
                with owned.services.turns.turn() as self._turn:
                    await self._go(owned, self._turn)
                if owned.purchase.state == FINISHED:
                    await collect(owned)
                return owned.purchase
        except RowLost:
            # Ends this task, never a node: whoever waits looks at the journal again.
            raise asyncio.CancelledError from None

    async def _go(self, owned: OwnedPurchase, turn: Turn) -> None:
        """To the end of the workflow. An order that may leave waits for its turn first; one whose answer was lost is
        looked for before that, for it may be paid."""
        if not self._orders and owned.purchase.state in (SENT, UNCONFIRMED):
            await look_by_tag(owned)
        elif self._orders and owned.purchase.state in (PLANNED, SENT, UNCONFIRMED):
            accepted = await submit(owned, self._called)
            if accepted is not None:
                self.ordered = True
                await accept(owned, accepted.workflow, attempt=accepted.attempt, doubled=accepted.doubled)
        if owned.purchase.state == ACCEPTED:
            turn.occupy()
            if owned.purchase.cancel_wanted:
                owned.want_cancel()
            await watch(owned)

    async def _called(self, _: Purchase) -> Purchase:
        """An order may leave when its turn has come. Where it had to wait, it leaves only for somebody who still waits
        for it, and a price that was asked long ago is asked again. Raises Interrupted, and what an admission raises."""
        assert self._turn is not None
        owned, admit, began = self._owned, self._admit, time.monotonic()
        waited = not owned.purchase.cancel_wanted and await self._turn.come()
        if owned.purchase.cancel_wanted:
            return owned.purchase  # the row allows no POST any more
        if waited and self._was_awaited:
            admissions = [admit for caller, admit in self._awaiting if not caller.stopped()]
            if not admissions:
                raise Interrupted("Nobody waited for it any more when its turn came. Nothing was bought.")
            if time.monotonic() - began > owned.services.timings.price_holds:
                admit = admit or admissions[0]
        return await admit(owned.purchase) if admit else owned.purchase

    def want_cancel(self) -> None:
        """Ask the service to stop, now if the workflow is known, else as soon as it is. Called on the loop."""
        self._owned.want_cancel()

    def _ask_to_stop(self) -> None:
        owned = self._owned
        if self._turn is not None:
            self._turn.give_up()
        if owned.purchase.workflow_id and owned.purchase.state == ACCEPTED and not self._asking:
            self._asking = True
            owned.services.background.start(ask_until_over(owned))

    def _give_up(self) -> None:
        self.task.cancel()

    @property
    def purchase(self) -> Purchase:
        return self._owned.purchase

    @property
    def workflow(self) -> Workflow | None:
        """What the service said last."""
        return self._owned.workflow

    @property
    def activity(self) -> str:
        """What is waited for, in words; `""` where the phase says it."""
        if self._turn is not None and (before := self._turn.before) is not None:
            return report.waits_for_turn(before)
        return self._owned.activity

    @property
    def held(self) -> bool:
        """Whether the order waits for its turn, and has not left."""
        return self._turn is not None and self._turn.before is not None

    @contextmanager
    def awaited(self, caller: Caller, admit: Admit) -> Iterator[None]:
        """Somebody waits for it meanwhile, by whose `admit` an order that had to wait is asked for once more."""
        entry = caller, admit
        self._awaiting.append(entry)
        self._was_awaited = True
        try:
            yield
        finally:
            self._awaiting.remove(entry)

    @property
    def phase(self) -> str:
        """submitting, fetching, or what the service says of the workflow."""
        if self.purchase.state in (PLANNED, SENT, UNCONFIRMED):
            return "submitting"
        if self.purchase.state == FINISHED:
            return "fetching"
        return self.workflow.status if self.workflow else "accepted"


class Runs:
    """The purchases that this process drives now, by their keys."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._by_key: dict[str, PurchaseRun] = {}
        self._expected: dict[str, float] = {}

    def start(self, purchase: Purchase, owner: str, admit: Admit | None = None, *, orders: bool = True) -> PurchaseRun:
        """Drive a purchase whose row `owner` has taken."""
        run = PurchaseRun(self.services, purchase, owner, admit, orders=orders)
        self._by_key[purchase.key] = run
        run.task.add_done_callback(lambda _: self.forget(run))
        return run

    def forget(self, run: PurchaseRun) -> None:
        """A run that is over."""
        if self.get(run.purchase.key) is run:
            del self._by_key[run.purchase.key]
        if run.task.done() and not run.task.cancelled():
            run.task.exception()  # it is raised to whoever waits; nobody may be there any more

    def get(self, key: str) -> PurchaseRun | None:
        return self._by_key.get(key)

    def expect(self, key: str) -> None:
        """Somebody here waits for this purchase, or has just been given it and will say so."""
        self._expected[key] = time.monotonic() + self.services.timings.hand_over

    def expect_no_more(self, key: str) -> None:
        """It was collected, or nobody waits for it any more."""
        self._expected.pop(key, None)

    def is_expected(self, key: str) -> bool:
        """Whether this process drives the purchase, or somebody here will collect it."""
        return key in self._by_key or self._expected.get(key, 0.0) > time.monotonic()

    @property
    def expects_any(self) -> bool:
        """Whether somebody here waits for a purchase, or has been given one that is yet to be collected."""
        return any(until > time.monotonic() for until in self._expected.values())

    def __iter__(self) -> Iterator[PurchaseRun]:
        return iter(list(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key)

    async def close(self) -> None:
        """Stop driving: rows keep their state and are released, so that the next process goes on."""
        tasks = [run.task for run in self]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
