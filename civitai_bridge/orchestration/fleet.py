"""The story of one purchase, from a request to pictures on disk. Read it top to bottom.

    resolve what is named -> build the body -> is there a purchase of this request already? -> price -> reserve and
    write the row
    -> submit with its key -> wait -> fetch and keep the pictures -> hand them over

Two lives are kept apart. An *errand* (here) is what a face asked for: it may be cancelled, torn down or tired of
waiting. A *carriage* (carriage.py) carries one row of the journal from where it stands to its end; it lives on the
loop by itself, is shared by all errands of the same request, and only a person's cancel makes it ask the service for
an end. Whatever kills it, the row tells the next one where to go on: with the same key, never with a new one.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import (
    AnotherAccount,
    BadInput,
    BadRequest,
    BlobUnavailable,
    CivitaiError,
    EchoLost,
    Interrupted,
    NoKey,
    OutOfBuzz,
    RateLimited,
    ServerTrouble,
    StateTrouble,
    StillRunning,
    TooExpensive,
    Unreachable,
    Unreadable,
    WorkflowCanceled,
    WorkflowEnded,
    WorkflowExpired,
    WorkflowFailed,
)
from ..metadata.generation import GenerationData, UsedResource
from ..network.fetch import Fetch
from ..resources.addresses import hosts_with
from ..resources.version import ModelVersion
from ..settings import BADGE, Settings
from ..website import SiteClient, resolve
from .body import Order, OrderRules, build
from .client import OrchestrationClient
from .echo import lost_in_echo
from .journal import (
    ACCEPTED,
    CANCELED,
    COLLECTED,
    FAILED,
    FINISHED,
    PLANNED,
    REFUSED,
    SENT,
    UNCONFIRMED,
    Journal,
    Limits,
    Plan,
    Purchase,
    PurchasedImage,
    new_key,
)
from .request import GenerationRequest, ResolvedLora
from .reservations import Reservation, Reservations
from .results import Results
from .run import BEAT, GONE_AFTER, Admit, Ground, PurchaseRun, pause_before
from .workflow import Workflow

TICK = 0.2  # seconds between two looks at the person's cancel
CANCEL_PATIENCE = 15.0  # seconds to wait for the end of what a person cancels
QUESTIONS = 4  # attempts to ask the price

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """What the person who asks allows. `max_buzz` 0 = the settings' limits; `confirm` is asked with the price before
    buying."""

    max_buzz: int = 0
    reuse_paid: bool = True
    wait_minutes: float = 30
    prompt_id: str = ""
    confirm: Callable[[int], Awaitable[bool]] | None = None


@dataclass(frozen=True)
class State:
    """Where the story is, for a progress bar and one line of text. `fraction` is 0 … 1, or None when nobody knows."""

    phase: str
    text: str
    fraction: float | None = None
    price: int | None = None
    workflow_id: str = ""


@dataclass(frozen=True)
class BoughtPicture:
    """A picture of the batch on disk. `seed` is None for engines without one."""

    index: int
    seed: int | None
    path: Path
    sha256: str
    width: int | None
    height: int | None
    format: str


@dataclass(frozen=True)
class Outcome:
    """What came back. `cost` is net Buzz of the purchase; `paid_now` is False when it was bought before."""

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
    blob_urls: tuple[str, ...]
    generation: GenerationData
    sandbox: bool


@dataclass(frozen=True)
class Estimate:
    """The price of a request: whole Buzz, whether the wallets can pay it, and what would be sent in words."""

    cost: int
    affordable: bool
    air: str
    report: str


class Fleet:
    """Everything a story needs, made once on the loop where the stories run: clients, journal, results, settings.

    `fetch` gets pictures without any credential; `clock` is seconds since the epoch; `sleep` is handed in by tests."""

    def __init__(
        self,
        settings: Settings,
        site: SiteClient,
        client: OrchestrationClient,
        fetch: Fetch,
        *,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        quiet: float | None = None,
        beat: float = BEAT,
    ) -> None:
        self.settings = settings
        self.site = site
        self.client = client
        self.journal = journal or Journal(settings.home / "journal.sqlite3", clock=clock)
        self._own_journal = journal is None
        self.results = Results(settings.home / "results")
        self.clock = clock
        self.sleep = sleep
        self.carriages: dict[str, PurchaseRun] = {}
        self._ground = Ground(client, self.journal, self.results, fetch, clock, sleep, beat)
        self._gatherings = Reservations(self._reserve) if quiet is None else Reservations(self._reserve, quiet=quiet)
        self._reusable: dict[str, bool] = {}
        self._pruned = 0.0
        self._hosts = hosts_with(settings.site_url)

    # --- what faces ask for -------------------------------------------------------------------------------------

    async def resolve(self, text: str) -> ModelVersion:
        """The model version that a person's text names, with everything CivitAI tells about it."""
        return await resolve(self.site, text, hosts=self._hosts)

    async def estimate(
        self, wanted: GenerationRequest, terms: Terms | None = None, *, cancelled: Callable[[], bool] = lambda: False
    ) -> Estimate:
        """What the request would cost now. Nothing is stored or bought."""
        self._need_key()
        prepared = await _unless(cancelled, self._prepare(wanted))
        priced = await _unless(cancelled, self._ask_price(prepared))
        price = priced.cost
        if price is None or price < 0:
            raise Unreadable("CivitAI did not say what this would cost.", status=200)
        lines = [
            self._badge(),
            f"{price} Buzz for {_pictures(prepared.quantity)} with {prepared.variant.path}.",
        ]
        if priced.insufficient_buzz:
            lines.append("The wallets that may pay do not hold that much.")
        if terms and terms.max_buzz and price > terms.max_buzz:
            lines.append(f"That is above this node's max_buzz of {terms.max_buzz}.")
        lines += prepared.notes
        return Estimate(price, not priced.insufficient_buzz, prepared.air, _lines(lines))

    async def generate(
        self,
        wanted: GenerationRequest,
        terms: Terms,
        *,
        on_progress: Callable[[State], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
        abandoned: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Pictures for a request, bought once. Raises a CivitaiError whose sentence says what to do; Interrupted when
        `cancelled()` turns true (the service is asked to stop at once); StillRunning after `wait_minutes`. When
        `abandoned()` is true nobody waits any more: what is bought goes on, nothing new is bought."""
        self._need_key()
        started = self.clock()
        stop = _either(cancelled, abandoned)
        while True:
            prepared, row, bought_before = await self._ordered(wanted, terms, on_progress, stop)
            leaving = row.cancels
            row, ordered = await self._attend(row, prepared, terms, started, on_progress, cancelled, abandoned)
            if not (leaving and row.state == CANCELED):
                break
            # We came while an earlier run of this request was being cancelled. It is over now and cost nothing.
        bought_before = bought_before and not ordered
        outcome = await self._hand_over(row, prepared, bought_before)
        # Older pages keep the last line on the node, so it is one worth keeping.
        paid = "nothing paid now" if bought_before else f"{outcome.cost:g} Buzz"
        on_progress(State("done", f"{_pictures(len(outcome.pictures))} · {paid}", 1.0, row.price, row.workflow_id))
        return outcome

    async def _ordered(
        self,
        wanted: GenerationRequest,
        terms: Terms,
        on_progress: Callable[[State], None],
        stop: Callable[[], bool],
    ) -> tuple[Order, Purchase, bool]:
        """The row that serves a request: one that is there already, or a new one, priced and reserved. The last of the
        three says whether it was bought before."""
        with self._gatherings.enter(terms.prompt_id) as place:
            on_progress(State("resolving", "Looking up the model on CivitAI"))
            prepared = await _unless(stop, self._prepare(wanted))
            row = await self._known(prepared, terms)
            if row is not None:
                return prepared, row, True
            on_progress(State("pricing", "Asking the price"))
            price = await _unless(stop, self._acceptable_price(prepared, terms))
            plan = self._plan(prepared, price, terms)
            self._reusable[plan.key] = terms.reuse_paid
            on_progress(State("reserving", f"Reserving {price} Buzz", price=price))
            row = await self._reserved(place, plan, stop)
            return prepared, row, row.key != plan.key

    async def collected(self, key: str) -> None:
        """The pictures of a purchase have reached a person: the node returned them, the files are written. Until then
        they wait in the journal, whoever stopped waiting for them."""

        def note() -> None:
            row = self.journal.get(key)
            if row is None or row.state != FINISHED:
                return
            if any(slot.pending for slot in row.slots):
                self.journal.record(key, about={**row.about, "handed_over": True})
            else:
                self.journal.record(key, state=COLLECTED)

        await self._in_thread(note)
        self._prune_sometimes()

    async def cancel(self, name: str) -> str:
        """Cancel by workflow id or by the journal's key, because a person says so. Returns a sentence."""
        row = await self._in_thread(self.journal.get, name) or await self._in_thread(self.journal.by_workflow, name)
        if row is None:
            self._need_key()
            await self._ground.cancel_there(name)
            return f"CivitAI was asked to cancel workflow {name}. It is not in this journal."
        self._mine(row)
        if row.state not in (REFUSED, FAILED, CANCELED, FINISHED, COLLECTED):
            row = await self._in_thread(self.journal.want_cancel, row.key)
            if row.state != CANCELED:
                self._need_key()
                if row.workflow_id:
                    await self._ground.cancel_there(row.workflow_id)  # at once; who carries it sees the wish later
                row = await self._until_cancelled(row.key, CANCEL_PATIENCE)
        if row.state == REFUSED:
            return f"{row.key} was refused by CivitAI before; it cost nothing."
        if row.state == CANCELED and not row.workflow_id:
            return f"{row.key} was never sent; it is cancelled and cost nothing."
        if row.state == CANCELED:
            return f"{row.workflow_id} is cancelled. {_refund_sentence(row)}"
        if row.state == FAILED:
            return f"{row.workflow_id or row.key} had failed before. {_refund_sentence(row)}"
        if row.state in (FINISHED, COLLECTED):
            return (
                f"{row.workflow_id} had finished before; its pictures are kept (`civitai-bridge journal "
                f"resume {row.key}`)."
            )
        if not row.workflow_id and await self._never_arrived(row):
            return f"{row.key} was not found at CivitAI after an hour. It is closed and no longer counts."
        if not row.workflow_id:
            return (
                f"It is not known yet whether {row.key} arrived. It is cancelled as soon as it is found; "
                "`civitai-bridge journal resume` looks."
            )
        return f"CivitAI was asked to cancel {row.workflow_id}; it says {row.about.get('status', row.state)}."

    async def _until_cancelled(self, key: str, seconds: float) -> Purchase:
        """Have a wish to cancel carried out, by whoever owns the row or by us, and wait a while for its end."""
        loop, carried = asyncio.get_running_loop(), False
        until = loop.time() + seconds
        while True:
            carriage, row = self.carriages.get(key), await self._in_thread(self.journal.get, key)
            assert row is not None
            over = row.state not in (PLANNED, SENT, UNCONFIRMED, ACCEPTED)
            if over or loop.time() > until or (carried and carriage is None):
                return row
            if carriage is not None:
                carried = True
                carriage.cancel_there()
                assert carriage.task is not None
                await asyncio.wait({carriage.task}, timeout=TICK)
                continue
            owner = _owner()
            taken = await self._in_thread(self.journal.take, key, owner)
            if taken is not None:
                self._carry(
                    taken, owner
                )  # it sees the wish, sends nothing, and asks until CivitAI says that it is over
            else:
                await asyncio.sleep(TICK)

    async def _never_arrived(self, row: Purchase) -> bool:
        """Close an order that a person cancelled and that the list does not show an hour after its last attempt."""
        attempts = await self._in_thread(self.journal.attempts, row.key)
        last = max((attempt.started for attempt in attempts), default=row.created)
        row = await self._reread(row)
        if abs(self.clock() - last) < GONE_AFTER or row.owner or row.workflow_id:
            return False
        await self._in_thread(lambda: self.journal.record(row.key, state=CANCELED, error="never arrived"))
        return True

    async def resume(self, key: str = "", *, on_row: Callable[[Purchase], None] = lambda _: None) -> list[Purchase]:
        """Look after what is open in the journal: by id, by tag, and fetch what is there. Never sends an order, never
        buys.

        Rows of another account or address are left alone (with `key`, AnotherAccount is raised)."""
        if key:
            row = await self._in_thread(self.journal.get, key) or await self._in_thread(self.journal.by_workflow, key)
            if row is None:
                raise BadInput(f"The journal has no purchase {key!r}. `civitai-bridge journal list` shows what it has.")
            self._mine(row)
            rows = [row]
        else:
            rows = [row for row in await self._in_thread(self.journal.open_rows) if self._is_mine(row)]
        if rows:
            self._need_key()
        seen = []
        for row in rows:
            try:
                row = await self._look_at(row)
            except StateTrouble:
                raise
            except CivitaiError as error:
                row = replace(row, error=str(error))
            except Exception as error:  # one row that cannot be read must not keep the others from being found
                log.exception("The purchase %s could not be looked at", row.key)
                row = replace(row, error=f"It could not be looked at ({type(error).__name__}); see the log.")
            if row.cancel_wanted and row.state == ACCEPTED and not row.error:
                row = await self._until_cancelled(row.key, CANCEL_PATIENCE)
            on_row(row)
            seen.append(row)
        return seen

    def waiting(self) -> list[Purchase]:
        """Purchases whose pictures nobody has been given yet, oldest first (reads the journal; not for the event
        loop)."""
        return [row for row in self.journal.rows((FINISHED, ACCEPTED, SENT, UNCONFIRMED)) if self._is_mine(row)]

    @property
    def idle(self) -> bool:
        """Whether nothing of ours is under way."""
        return not self.carriages and not self._ground.tasks

    async def close(self) -> None:
        """Stop carrying: rows keep their state and are released, so that the next process goes on."""
        tasks = [c.task for c in self.carriages.values() if c.task] + list(self._ground.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._ground.disk.shutdown)
        if self._own_journal:
            self.journal.close()

    # --- before money ------------------------------------------------------------------------------------------

    async def _prepare(self, wanted: GenerationRequest) -> Order:
        """Look up the model, the LoRAs and the VAE (at once), then build and check the body. Nothing is sent to the
        fleet."""
        names = [wanted.model, *(lora.reference for lora in wanted.loras), wanted.vae]
        found = await asyncio.gather(*(self._look_up(name) for name in names))
        model, vae = found[0], found[-1]
        loras = []
        for lora, resource in zip(wanted.loras, found[1:-1], strict=True):
            if resource is None:
                raise BadInput(
                    f"A LoRA{f' ({lora.name})' if lora.name else ''} has no reference, so it cannot be sent to CivitAI."
                )
            loras.append(ResolvedLora(resource, lora.strength))
        return build(wanted, model, tuple(loras), vae, rules=self._rules())

    async def _look_up(self, reference: str) -> ModelVersion | None:
        if not reference.strip():
            return None
        return await resolve(self.site, reference, for_generation=True, hosts=self._hosts)

    def _rules(self) -> OrderRules:
        """What the settings say about every order."""
        settings = self.settings
        return OrderRules(
            account=settings.account,
            base=settings.base,
            currencies=settings.currencies,
            mature_content=settings.mature_content,
            family_mismatch=settings.lora_family_mismatch,
        )

    async def _known(self, prepared: Order, terms: Terms) -> Purchase | None:
        """A purchase of this very request that is under way, not collected, or (if wanted) collected and still on
        disk."""
        row = await self._in_thread(
            lambda: self.journal.find(
                prepared.hash,
                self.settings.account,
                self.settings.base,
                usable=lambda row: terms.reuse_paid and self._on_disk(row),
            )
        )
        # `reserve` decides about what has not left yet, in its transaction.
        return row if row is not None and row.state != PLANNED else None

    def _on_disk(self, row: Purchase) -> bool:
        """Whether a purchase can answer a request again: its pictures are here, or all of it was withheld, and buying
        the same once more would be withheld once more."""
        here = [slot for slot in row.slots if slot.here]
        if not here:
            return bool(row.slots) and all(slot.blocked for slot in row.slots)
        return all(self.results.has(slot.file) for slot in here)

    async def _acceptable_price(self, prepared: Order, terms: Terms) -> int:
        priced = await self._ask_price(prepared)
        price = priced.cost
        if price is None or price < 0:
            raise Unreadable("CivitAI did not say what this would cost, so nothing was bought.", status=200)
        if terms.max_buzz and price > terms.max_buzz:
            raise TooExpensive(
                f"This would cost {price} Buzz, more than the max_buzz of {terms.max_buzz}. Nothing was bought."
            )
        if priced.insufficient_buzz:
            wallets = (
                f"the wallets {', '.join(self.settings.currencies)}" if self.settings.currencies else "your wallets"
            )
            raise OutOfBuzz(f"This costs {price} Buzz, more than {wallets} hold. Nothing was bought.", status=402)
        if terms.confirm is not None and not await terms.confirm(price):
            raise TooExpensive(f"The price of {price} Buzz was not confirmed. Nothing was bought.")
        return price

    async def _ask_price(self, prepared: Order) -> Workflow:
        """The whatif: the same body without a key. It is a question, so it may be asked again."""
        attempt = 1
        while True:
            try:
                priced = await self.client.price(prepared.body)
                break
            except (Unreachable, ServerTrouble, RateLimited, Unreadable) as error:
                if attempt == QUESTIONS:
                    raise
                await self.sleep(pause_before(attempt, error))
                attempt += 1
        if lost := lost_in_echo(prepared.input, dict(priced.input)):
            raise EchoLost(f"CivitAI understood less than was meant, so nothing was bought: {' '.join(lost)}")
        return priced

    def _plan(self, prepared: Order, price: int, terms: Terms) -> Plan:
        key = new_key()
        about = {
            "air": prepared.air,
            "model": _name(prepared.model),
            "variant": prepared.variant.path,
            "prompt": prepared.request.prompt[:200],
            "quantity": prepared.quantity,
            "seed": prepared.seed if "seed" in prepared.input else None,
            "quoted": price,
        }
        return Plan(
            key,
            prepared.hash,
            self.settings.account,
            self.settings.base,
            prepared.submission(key),
            price,
            terms.prompt_id,
            about,
        )

    async def _reserved(self, place: Reservation, plan: Plan, stop: Callable[[], bool]) -> Purchase:
        """Wait for the round of this prompt; a person who cancels meanwhile is out of it before anything leaves."""
        waiting = asyncio.ensure_future(place.reserve(plan))
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=TICK / 10)
            if stop() and place.withdraw(plan):
                waiting.cancel()
                raise Interrupted("Cancelled before anything was bought.")
        return waiting.result()

    async def _reserve(self, plans: Sequence[Plan]) -> Sequence[Purchase]:
        """All rows of a round in one transaction; new ones start out owned by the carriage that will carry them."""
        limits = self._limits()
        reuse = {plan.key: self._reusable.pop(plan.key, True) for plan in plans}
        owners = {plan.key: _owner() for plan in plans}
        rows = await self._in_thread(
            lambda: self.journal.reserve(
                plans,
                limits,
                usable=lambda plan, row: reuse[plan.key] and self._on_disk(row),
                owner=lambda plan: owners[plan.key],
            )
        )
        for plan, row in zip(plans, rows, strict=True):
            if row.key == plan.key and row.state == PLANNED:
                self._carry(row, owners[plan.key])
        return rows

    def _limits(self) -> Limits:
        return Limits(self.settings.limit_buzz_per_prompt, self.settings.limit_buzz_per_day)

    # --- after money: an errand waits ----------------------------------------------------------------------------

    async def _attend(
        self,
        row: Purchase,
        prepared: Order,
        terms: Terms,
        started: float,
        on_progress: Callable[[State], None],
        cancelled: Callable[[], bool],
        abandoned: Callable[[], bool],
    ) -> tuple[Purchase, bool]:
        """Wait for a row until its pictures are here, whoever carries it: we, an equal node, or another server. The
        second value says whether an order that nobody had answered was sent anew for us."""
        loop = asyncio.get_running_loop()
        first = loop.time()
        deadline = first + terms.wait_minutes * 60
        leaving, ordered, mine = row.cancels, False, None

        async def admit(again: Purchase) -> Purchase:
            """An order that got no answer is sent again: at today's price, within today's limits, for this prompt, and
            only while somebody waits for it."""
            price = await _unless(_either(cancelled, abandoned), self._acceptable_price(prepared, terms))
            return await self._in_thread(self.journal.readmit, again.key, price, terms.prompt_id, self._limits())

        while True:
            if row.state in (COLLECTED, FAILED, CANCELED, REFUSED):
                return row, ordered
            carriage = self.carriages.get(row.key)
            if carriage is None and not cancelled():
                owner, forget = _owner(), 0 if abandoned() else leaving
                taken = await self._in_thread(partial(self.journal.take, row.key, owner, forget_cancels=forget))
                if taken is None:
                    row = await self._reread(row)
                else:
                    carriage = mine = self._carry(taken, owner, None if taken.workflow_id else admit)
            if cancelled():
                await self._person_cancels(row)
                raise Interrupted(
                    f"Cancelled. CivitAI is asked to stop {row.workflow_id or row.key}; what had finished by then is "
                    "kept (`civitai-bridge journal list`).",
                    key=row.key,
                    workflow_id=row.workflow_id,
                )
            if carriage is None:
                text = f"An equal request is under way elsewhere · {loop.time() - first:.0f} s"
                on_progress(State("sharing", text, price=row.price))
                await self.sleep(TICK)
            else:
                task = carriage.task
                assert task is not None
                on_progress(_state(carriage, loop.time() - first))
                await asyncio.wait({task}, timeout=TICK)
                row, ordered = carriage.row, ordered or (carriage is mine and carriage.ordered)
                if task.done():
                    if not task.cancelled():
                        return task.result(), ordered
                    row = await self._reread(row)  # somebody else carries it now; look again
                    self._carried(row.key, carriage, task)
            if loop.time() > deadline:
                raise StillRunning(
                    f"Waited {terms.wait_minutes:g} minutes. The job {row.workflow_id or row.key} goes on and is paid "
                    f"once; to collect it, queue the graph again or run `civitai-bridge journal resume {row.key}`.",
                    key=row.key,
                    workflow_id=row.workflow_id,
                )

    async def _person_cancels(self, row: Purchase) -> None:
        """Write the wish down, then tell the carriage, which asks the service at once or as soon as the id is known.
        Without one, somebody else carries the row and sees the wish, or is gone and we carry it to its end."""
        carriage = self.carriages.get(row.key)
        if carriage is not None:
            carriage.cancel_there()
        row = await self._in_thread(self.journal.want_cancel, row.key)
        if carriage is None:
            if row.workflow_id:
                self._ground.background(self._ground.cancel_there(row.workflow_id))
            self._ground.background(self._until_cancelled(row.key, 10 * CANCEL_PATIENCE))

    def _carry(self, row: Purchase, owner: str, admit: Admit | None = None) -> PurchaseRun:
        carriage = PurchaseRun(self._ground, row, owner, admit=admit)
        self.carriages[row.key] = carriage
        carriage.task = asyncio.get_running_loop().create_task(carriage.run(), name=f"civitai-bridge {row.key}")
        carriage.task.add_done_callback(lambda task: self._carried(row.key, carriage, task))
        return carriage

    def _carried(self, key: str, carriage: PurchaseRun, task: asyncio.Task[Purchase]) -> None:
        if self.carriages.get(key) is carriage:
            del self.carriages[key]
        if not task.cancelled():
            task.exception()  # it is raised to whoever attends; nobody may be there any more

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something to its end although nobody waits for it."""
        self._ground.background(work)

    async def _look_at(self, row: Purchase) -> Purchase:
        """One look after a row, without ever sending an order: find it by tag or id, and fetch what is there."""
        if row.state == PLANNED:
            return row
        owner = _owner()
        for _ in range(20):  # whether the owner of a killed process is gone shows after some seconds
            taken = await self._in_thread(self.journal.take, row.key, owner)
            if taken is not None:
                await PurchaseRun(self._ground, taken, owner).look()
                break
            if abs(self.clock() - row.heartbeat) < self.journal.heart_stops:
                break
            await asyncio.sleep(self.journal.heart_stops / 20)  # real seconds, as the heart's are
        return await self._reread(row)

    # --- the end ------------------------------------------------------------------------------------------------

    async def _hand_over(self, row: Purchase, prepared: Order, bought_before: bool) -> Outcome:
        """What the face gets; raises why when there is nothing. The face says `collected` when a person has it."""
        here = [slot for slot in row.slots if slot.here and self.results.has(slot.file)]
        pending = [slot for slot in row.slots if slot.pending]
        if not here:
            if not pending:
                await self.collected(row.key)  # nothing more will come of it, and the error says why
            raise self._why_nothing(row, pending, bought_before)
        if row.state == COLLECTED:
            await self._in_thread(self.journal.record, row.key)  # young again, so that its files are not removed
        pictures = tuple(
            BoughtPicture(
                s.index, s.seed, self.results.path(s.file), s.sha256, s.width, s.height, Path(s.file).suffix.lstrip(".")
            )
            for s in here
        )
        missing = tuple((s.index, s.reason) for s in row.slots if not s.here)
        waiting = await self._in_thread(self.waiting)
        others = sum(
            1
            for other in waiting
            if other.state == FINISHED and other.key != row.key and other.key not in self.carriages
        )
        report = self._report(row, prepared, pictures, missing, bought_before, others)
        return Outcome(
            key=row.key,
            pictures=pictures,
            missing=missing,
            workflow_id=row.workflow_id,
            air=prepared.air,
            cost=float(row.cost),
            paid_now=not bought_before,
            seed=prepared.request.seed,
            status=str(row.about.get("status", "succeeded")),
            report=report,
            blob_urls=self._ground.urls.get(row.key, ()),
            generation=_generation(
                row, prepared, pictures, missing, "sandbox" if self.settings.sandbox else "CivitAI orchestration"
            ),
            sandbox=self.settings.sandbox,
        )

    def _why_nothing(self, row: Purchase, pending: list[PurchasedImage], bought_before: bool) -> CivitaiError:
        if pending:
            reasons = "; ".join(dict.fromkeys(slot.reason for slot in pending if slot.reason)) or "they did not arrive"
            return BlobUnavailable(
                f"Workflow {row.workflow_id} is done and paid, but its pictures could not be fetched yet: {reasons}. "
                f"Queue the same graph again or run `civitai-bridge journal resume {row.key}`; it is not paid again."
            )
        why = (
            "; ".join(dict.fromkeys(slot.reason for slot in row.slots if slot.reason))
            or row.error
            or "CivitAI gave no reason"
        )
        kinds: dict[str, type[WorkflowEnded]] = {"canceled": WorkflowCanceled, "expired": WorkflowExpired}
        status = str(row.about.get("status", row.state))
        if row.state == CANCELED and not row.workflow_id:
            # Somebody else's cancel (another server, the shell), or a row whose process died: our prompt goes on.
            return WorkflowCanceled(
                f"The order {row.key} was cancelled before it left and cost nothing. Queue the graph again to buy it.",
                workflow_id="",
            )
        if row.state == REFUSED:
            return BadRequest(
                f"CivitAI refused the order and charged nothing: {row.error}", status=400, detail=row.error
            )
        kind = kinds.get(status, WorkflowFailed)
        text = {
            WorkflowCanceled: f"Workflow {row.workflow_id} was cancelled.",
            WorkflowExpired: f"Workflow {row.workflow_id} expired before a worker took it.",
        }.get(kind, f"Workflow {row.workflow_id} ended without pictures: {why.rstrip('.')}.")
        withheld = row.slots and all(slot.blocked for slot in row.slots)
        again = (
            " Nothing was paid now, for the same request would be withheld again: change the prompt or the seed, or "
            "turn `reuse_paid` off."
        )
        refund = _refund_sentence(row) + (again if withheld and bought_before else "")
        return kind(f"{text} {refund}", workflow_id=row.workflow_id)

    def _report(
        self,
        row: Purchase,
        prepared: Order,
        pictures: Sequence[BoughtPicture],
        missing: Sequence[tuple[int, str]],
        bought_before: bool,
        others: int,
    ) -> str:
        quoted = row.about.get("quoted")
        lines = []
        if isinstance(quoted, int) and max(row.price, row.debited) > quoted:
            lines.append(
                f"CivitAI charged {max(row.price, row.debited)} Buzz, more than the {quoted} it had named. The "
                "higher figure counts."
            )
        lines.append(self._badge())
        model = _name(prepared.model) or prepared.variant.path
        lines.append(f"{_pictures(len(pictures))} with {model} on {prepared.variant.path}, workflow {row.workflow_id}.")
        wallets = ", ".join(f"{amount} {account}" for account, amount in row.wallets.items() if amount > 0)
        paid = f"{row.cost} Buzz" + (f" ({wallets})" if wallets else "")
        if bought_before:
            when = datetime.fromtimestamp(row.created).strftime("%Y-%m-%d %H:%M")
            lines.append(f"Answered from what was bought on {when} for {paid}; nothing was paid now.")
        else:
            lines.append(f"Paid {paid}.")
        if "seed" in prepared.input:
            seeds = ", ".join(str(p.seed) for p in pictures)
            lines.append(f"Seed{'s' if len(pictures) > 1 else ''} {seeds}.")
        lines += [f"Picture {index} is missing: {reason}." for index, reason in missing]
        if missing and row.credited:
            lines.append(f"{row.credited} Buzz came back.")
        lines += [str(note) for note in row.about.get("notes", ())]
        lines += prepared.notes
        if others:
            lines.append(
                f"{others} earlier purchase{'s wait' if others > 1 else ' waits'} to be collected: "
                "`civitai-bridge journal list`."
            )
        if self.journal.note:
            lines.append(self.journal.note)
        return _lines(lines)

    def _badge(self) -> str:
        return BADGE if self.settings.sandbox else ""

    def _prune_sometimes(self) -> None:
        now = self.clock()
        if abs(now - self._pruned) > 3600:
            self._pruned = now
            self.background(self._in_thread(self._prune, now))

    def _prune(self, now: float) -> None:
        self.results.prune(self.journal.kept_files(), now=now)

    # --- small things -------------------------------------------------------------------------------------------

    async def _reread(self, row: Purchase) -> Purchase:
        return await self._in_thread(self.journal.get, row.key) or row

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._ground.in_thread(work, *arguments)

    def _need_key(self) -> None:
        if not self.settings.key:
            raise NoKey

    def _is_mine(self, row: Purchase) -> bool:
        return row.account == self.settings.account and row.base == self.settings.base

    def _mine(self, row: Purchase) -> None:
        if not self._is_mine(row):
            what = "at another address" if row.base != self.settings.base else "with another key"
            raise AnotherAccount(
                f"{row.key} was bought {what}, so it is left alone. Set the key and address it was bought with "
                "to reach it."
            )


async def _unless(cancelled: Callable[[], bool], work: Coroutine[Any, Any, T]) -> T:
    """Do something that has cost nothing yet; drop it as soon as the person cancels."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        while not cancelled():
            if task.done():
                return task.result()
            await asyncio.wait({task}, timeout=TICK)
        raise Interrupted("Cancelled before anything was bought.")
    finally:
        if not task.cancel() and not task.cancelled():
            task.exception()  # looked at, so that nobody is told of what does not matter any more


def _either(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() or other()


def _state(carriage: PurchaseRun, seconds: float) -> State:
    """One line for the node: phase, queue position, price, seconds."""
    row, latest, phase = carriage.row, carriage.latest, carriage.phase
    text, fraction = _PHASES.get(phase, phase.capitalize()), None
    if latest and latest.preceding_jobs and phase in ("unassigned", "scheduled"):
        text = f"{text} · {latest.preceding_jobs} before"
    if phase == "fetching":
        fraction = 0.95
    elif latest and phase == "processing":
        fraction = latest.progress
    return State(phase, f"{text} · {row.price} Buzz · {seconds:.0f} s", fraction, row.price, row.workflow_id)


_PHASES = {
    "submitting": "Sending the order",
    "fetching": "Fetching the pictures",
    "unassigned": "In the queue",
    "scheduled": "In the queue",
    "preparing": "A worker loads the model",
}


def _owner() -> str:
    return uuid.uuid4().hex


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(line for line in lines if line)


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _name(model: ModelVersion | None) -> str:
    return model.title if model else ""


def _refund_sentence(row: Purchase) -> str:
    if not row.debited and not row.price:
        return "It cost nothing."
    if row.credited and row.credited >= row.debited:
        return f"The {row.credited} Buzz came back."
    if row.credited:
        return f"{row.credited} of {row.debited} Buzz came back."
    return "No refund seen yet; `civitai-bridge journal resume` looks again."


def _generation(
    row: Purchase,
    prepared: Order,
    pictures: Sequence[BoughtPicture],
    missing: Sequence[tuple[int, str]],
    source: str,
) -> GenerationData:
    """What was really asked and came back, from the body that was sent."""
    sent, wanted = prepared.input, prepared.request
    first = next((p for p in pictures), None)

    def of(*names: str) -> Any:
        return next((sent[name] for name in names if sent.get(name) is not None), None)

    return GenerationData(
        prompt=wanted.prompt,
        negative_prompt=str(of("negativePrompt") or ""),
        model_air=prepared.air,
        model_name=_name(prepared.model),
        model_version_id=prepared.model.version_id if prepared.model else None,
        base_model=prepared.model.base_model if prepared.model else "",
        networks=tuple(
            UsedResource(u.resource.air, u.strength, _name(u.resource), version_id=u.resource.version_id)
            for u in prepared.loras
        ),
        seed=of("seed"),
        steps=of("steps", "numInferenceSteps"),
        cfg=of("cfgScale", "guidanceScale"),
        sampler=str(of("sampler", "sampleMethod") or ""),
        scheduler=str(of("scheduler", "schedule") or ""),
        width=first.width if first else of("width"),
        height=first.height if first else of("height"),
        clip_skip=of("clipSkip"),
        denoise=of("denoiseStrength", "strength"),
        engine=prepared.variant.path,
        workflow_id=row.workflow_id,
        cost=float(row.cost),
        arrived=tuple(p.index for p in pictures),
        missing=dict(missing),
        source=source,
    )
