"""The story of one purchase, from a request to pictures on disk. Read it top to bottom.

    resolve what is named -> build the body -> is there a purchase of this request already? -> price -> reserve and
    write the row
    -> submit with its key -> wait -> fetch and keep the pictures -> hand them over

Two lives are kept apart. An *errand* is what a face asked for: it may be cancelled, torn down or tired of waiting. A
*carriage* carries one row of the journal from where it stands to its end; it lives on the loop by itself, is shared
by all errands of the same request, and only a person's cancel makes it ask the service for an end. Whatever kills it,
the row tells the next one where to go on: with the same key, never with a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..errors import (
    AnotherAccount,
    ApiError,
    BadInput,
    BadRequest,
    BlobBlocked,
    BlobDamaged,
    BlobTrouble,
    BlobUnavailable,
    CivitaiError,
    Conflict,
    EchoLost,
    Gone,
    Interrupted,
    NoKey,
    NotFound,
    OutOfBuzz,
    RateLimited,
    ServerTrouble,
    StateTrouble,
    StillRunning,
    TooExpensive,
    Unconfirmed,
    Unreachable,
    Unreadable,
    WorkflowCanceled,
    WorkflowEnded,
    WorkflowExpired,
    WorkflowFailed,
)
from ..fetch import Fetch
from ..generation import GenerationData, Network
from ..pictures import kind_of, measure
from ..prompt import network_tags
from ..reference import HOSTS
from ..resources import Resource
from ..results import Results
from ..retries import retrying
from ..settings import Settings
from ..website import SiteClient, resolve
from .budget import Gatherings, Place
from .client import OrchestrationClient
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
    Row,
    Slot,
    new_key,
)
from .request import Built, GenerationRequest, LoraUse, build, lost_in_echo, request_hash, template
from .workflow import Workflow, reason_in_words

TAG = "civitai-bridge"
LONG_POLL = 30  # seconds; the site holds 15, the edge cuts at about 100 (facts §2.8)
SHORT_POLL = 3.0  # least seconds between looks when the server does not hold them
BEAT = 3.0  # seconds between two heartbeats of a carriage
TICK = 0.2  # seconds between two looks at the person's cancel
SUBMITS = 4  # attempts of one submit in one go
LOOK_FOR = 30.0  # seconds to look for a run whose answer was lost; the list lags by some seconds (facts §2.9)
LOOK_EVERY = 5.0
GONE_AFTER = 600.0  # seconds after which a workflow that CivitAI does not know is no longer waited for
FETCHES = 6  # pictures of one purchase fetched at once

T = TypeVar("T")


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


@dataclass(frozen=True)
class _Prepared:
    """A request with everything looked up: the body without its key, and what the report says about it."""

    wanted: GenerationRequest
    built: Built
    model: Resource | None
    loras: tuple[LoraUse, ...]
    hash: str
    notes: tuple[str, ...]

    @property
    def air(self) -> str:
        return self.model.air if self.model else ""


class Bridge:
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
        self.fetch = fetch
        self.journal = journal or Journal(settings.home / "journal.sqlite3", clock=clock)
        self.results = Results(settings.home / "results")
        self.clock = clock
        self.sleep = sleep
        self.beat = beat
        self.carriages: dict[str, _Carriage] = {}
        self._gatherings = Gatherings(self._reserve) if quiet is None else Gatherings(self._reserve, quiet=quiet)
        self._reusable: dict[str, bool] = {}
        self._urls: dict[str, tuple[str, ...]] = {}  # signed, so they live in memory alone, for the last purchases
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pruned = 0.0
        # Addresses of the configured site are references too; it is the person's choice, no graph's.
        self._hosts = HOSTS | {(urlsplit(settings.site_url).hostname or "").lower()}

    # --- what faces ask for -------------------------------------------------------------------------------------

    async def resolve(self, text: str) -> Resource:
        """The model version that a person's text names, with everything CivitAI tells about it."""
        return await resolve(self.site, text, hosts=self._hosts)

    async def estimate(self, wanted: GenerationRequest, terms: Terms | None = None) -> Estimate:
        """What the request would cost now. Nothing is stored or bought."""
        self._need_key()
        prepared = await self._prepare(wanted)
        priced = await self._ask_price(prepared)
        price = priced.cost
        if price is None:
            raise Unreadable("CivitAI did not say what this would cost.", status=200)
        lines = [
            self._badge(),
            f"{price} Buzz for {_pictures(prepared.built.quantity)} with {prepared.built.variant.path}.",
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
            leaving = row.cancel_wanted
            row = await self._attend(row, terms, started, on_progress, cancelled)
            if not (leaving and row.state == CANCELED):
                break
            # We came while an earlier run of this request was being cancelled. It is over now and cost nothing.
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
    ) -> tuple[_Prepared, Row, bool]:
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
            if row is not None and row.state == FINISHED and not any(slot.pending for slot in row.slots):
                self.journal.record(key, state=COLLECTED)

        await self._in_thread(note)

    async def cancel(self, name: str) -> str:
        """Cancel by workflow id or by the journal's key, because a person says so. Returns a sentence."""
        row = await self._in_thread(self.journal.get, name) or await self._in_thread(self.journal.by_workflow, name)
        if row is None:
            self._need_key()
            await self._cancel_there(name)
            return f"CivitAI was asked to cancel workflow {name}. It is not in this journal."
        self._mine(row)
        row = await self._in_thread(self.journal.want_cancel, row.key)
        if row.state == CANCELED and not row.workflow_id:
            return f"{row.key} was never sent; it is cancelled and cost nothing."
        self._need_key()
        if not row.workflow_id:
            row = await self._look_at(row)
        elif row.state in (ACCEPTED, SENT, UNCONFIRMED):
            await self._cancel_there(row.workflow_id)
            row = await self._look_at(row)
        if row.state in (FINISHED, COLLECTED):
            return (
                f"{row.workflow_id} had finished before; its pictures are kept (`civitai-bridge journal "
                f"resume {row.key}`)."
            )
        if row.state == CANCELED:
            return f"{row.workflow_id or row.key} is cancelled. {_refund_sentence(row)}"
        if not row.workflow_id:
            return (
                f"It is not known yet whether {row.key} arrived. It is cancelled as soon as it is found; "
                "`civitai-bridge journal resume` looks."
            )
        return f"CivitAI was asked to cancel {row.workflow_id}; it says {row.about.get('status', row.state)}."

    async def resume(self, key: str = "", *, on_row: Callable[[Row], None] = lambda _: None) -> list[Row]:
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
            on_row(row)
            seen.append(row)
        return seen

    def waiting(self) -> list[Row]:
        """Purchases whose pictures nobody has been given yet, oldest first (reads the journal; not for the event
        loop)."""
        return [row for row in self.journal.rows((FINISHED, ACCEPTED, SENT, UNCONFIRMED)) if self._is_mine(row)]

    async def close(self) -> None:
        """Stop carrying: rows keep their state and are released, so that the next process goes on."""
        tasks = [c.task for c in self.carriages.values() if c.task] + list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.journal.close()

    # --- before money ------------------------------------------------------------------------------------------

    async def _prepare(self, wanted: GenerationRequest) -> _Prepared:
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
            loras.append(LoraUse(resource, lora.strength))
        built = build(wanted, model, tuple(loras), vae, family_mismatch=self.settings.lora_family_mismatch)
        notes = [*built.notes]
        for part in ("prompt", "negative_prompt"):
            if tags := network_tags(getattr(wanted, part)):
                notes.append(
                    f"The {part.replace('_', ' ')} holds {', '.join(tags)} as plain text: the fleet does not "
                    "read tags; connect LoRAs to `loras`."
                )
        body = self._template(built, wanted)
        hashed = request_hash(self.settings.account, self.settings.base, body, wanted.seed)
        return _Prepared(wanted, built, model, tuple(loras), hashed, tuple(notes))

    async def _look_up(self, reference: str) -> Resource | None:
        if not reference.strip():
            return None
        return await resolve(self.site, reference, for_generation=True, hosts=self._hosts)

    def _template(self, built: Built, wanted: GenerationRequest, key: str | None = None) -> dict[str, Any]:
        if wanted.mature_content == "allowed" and self.settings.mature_content != "allowed":
            raise BadInput(
                "mature_content is 'allowed', but the setting of that name does not permit it. A person can "
                "change that: "
                "`civitai-bridge settings mature_content allowed` (it is paid with bought Buzz only)."
            )
        mature = "blocked" if self.settings.mature_content == "blocked" else wanted.mature_content
        tags = [TAG] if key is None else [TAG, key]
        return template(
            built,
            currencies=list(self.settings.currencies),
            mature_content=mature,
            tags=tags,
            metadata={},
            external_id=key,
        )

    async def _known(self, prepared: _Prepared, terms: Terms) -> Row | None:
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

    def _on_disk(self, row: Row) -> bool:
        return all(self.results.has(slot.file) for slot in row.slots if slot.here)

    async def _acceptable_price(self, prepared: _Prepared, terms: Terms) -> int:
        priced = await self._ask_price(prepared)
        price = priced.cost
        if price is None:
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

    async def _ask_price(self, prepared: _Prepared) -> Workflow:
        """The whatif: the same body without a key. It is a question, so it may be asked again."""
        body = self._template(prepared.built, prepared.wanted)
        attempt = 1
        while True:
            try:
                priced = await self.client.price(body)
                break
            except (Unreachable, ServerTrouble, RateLimited, Unreadable) as error:
                if attempt == SUBMITS:
                    raise
                await self.sleep(_pause(attempt, error))
                attempt += 1
        if lost := lost_in_echo(prepared.built.input, dict(priced.input)):
            raise EchoLost(f"CivitAI understood less than was meant, so nothing was bought: {' '.join(lost)}")
        return priced

    def _plan(self, prepared: _Prepared, price: int, terms: Terms) -> Plan:
        key = new_key()
        body = json.dumps(
            self._template(prepared.built, prepared.wanted, key), ensure_ascii=False, separators=(",", ":")
        )
        about = {
            "air": prepared.air,
            "model": _name(prepared.model),
            "variant": prepared.built.variant.path,
            "prompt": prepared.wanted.prompt[:200],
            "quantity": prepared.built.quantity,
            "seed": prepared.built.seed if "seed" in prepared.built.input else None,
            "quoted": price,
        }
        return Plan(key, prepared.hash, self.settings.account, self.settings.base, body, price, terms.prompt_id, about)

    async def _reserved(self, place: Place, plan: Plan, stop: Callable[[], bool]) -> Row:
        """Wait for the round of this prompt; a person who cancels meanwhile is out of it before anything leaves."""
        waiting = asyncio.ensure_future(place.reserve(plan))
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=TICK / 10)
            if stop() and place.withdraw(plan):
                waiting.cancel()
                raise Interrupted("Cancelled before anything was bought.")
        return waiting.result()

    async def _reserve(self, plans: Sequence[Plan]) -> Sequence[Row]:
        """All rows of a round in one transaction; new ones start out owned by the carriage that will carry them."""
        limits = Limits(self.settings.limit_buzz_per_prompt, self.settings.limit_buzz_per_day)
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

    # --- after money: an errand waits ----------------------------------------------------------------------------

    async def _attend(
        self,
        row: Row,
        terms: Terms,
        started: float,
        on_progress: Callable[[State], None],
        cancelled: Callable[[], bool],
    ) -> Row:
        """Wait for a row until its pictures are here, whoever carries it: we, an equal node, or another server."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + terms.wait_minutes * 60
        first = loop.time()
        while True:
            if row.state in (COLLECTED, FAILED, CANCELED, REFUSED):
                return row
            carriage = self.carriages.get(row.key)
            if carriage is None and not cancelled():
                owner = _owner()
                taken = await self._in_thread(self.journal.take_again, row.key, owner)
                if taken is None:
                    row = await self._reread(row)
                else:
                    carriage = self._carry(taken, owner)
            if cancelled():
                await self._person_cancels(row)
                raise Interrupted(
                    f"Cancelled. CivitAI is asked to stop {row.workflow_id or row.key}; what had finished by "
                    "then is kept "
                    "(`civitai-bridge journal list`).",
                    key=row.key,
                    workflow_id=row.workflow_id,
                )
            if carriage is None:
                on_progress(
                    State(
                        "sharing",
                        f"An equal request is under way elsewhere · {loop.time() - first:.0f} s",
                        price=row.price,
                    )
                )
                await self.sleep(TICK)
            else:
                task = carriage.task
                assert task is not None
                on_progress(carriage.state(loop.time() - first))
                await asyncio.wait({task}, timeout=TICK)
                row = carriage.row
                if task.done():
                    if not task.cancelled():
                        return task.result()
                    row = await self._reread(row)  # somebody else carries it now; look again
                    self._carried(row.key, carriage, task)
            if loop.time() > deadline:
                raise StillRunning(
                    f"Waited {terms.wait_minutes:g} minutes. The job {row.workflow_id or row.key} goes on and "
                    "is paid once; queue the "
                    f"same graph again, or run `civitai-bridge journal resume {row.key}`, to collect it.",
                    key=row.key,
                    workflow_id=row.workflow_id,
                )

    async def _person_cancels(self, row: Row) -> None:
        """Write the wish down, then tell the carriage, which asks the service at once or as soon as the id is known."""
        carriage = self.carriages.get(row.key)
        if carriage is not None:
            carriage.cancel_there()
        row = await self._in_thread(self.journal.want_cancel, row.key)
        if carriage is None and row.workflow_id:
            self.background(self._cancel_there(row.workflow_id))

    def _carry(self, row: Row, owner: str) -> _Carriage:
        carriage = _Carriage(self, row, owner)
        self.carriages[row.key] = carriage
        carriage.task = asyncio.get_running_loop().create_task(carriage.run(), name=f"civitai-bridge {row.key}")
        carriage.task.add_done_callback(lambda task: self._carried(row.key, carriage, task))
        return carriage

    def _carried(self, key: str, carriage: _Carriage, task: asyncio.Task[Row]) -> None:
        if self.carriages.get(key) is carriage:
            del self.carriages[key]
        if not task.cancelled():
            task.exception()  # it is raised to whoever attends; nobody may be there any more

    def remember_urls(self, key: str, urls: Sequence[str]) -> None:
        """Keep the signed addresses of a purchase for the node's `blob_urls`; never on disk."""
        self._urls[key] = tuple(url for url in urls if url)
        while len(self._urls) > 200:
            del self._urls[next(iter(self._urls))]

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something to its end although nobody waits for it."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_at(self, row: Row) -> Row:
        """One look after a row, without ever sending an order: find it by tag or id, and fetch what is there."""
        if row.state == PLANNED:
            return row
        owner = _owner()
        taken = await self._in_thread(self.journal.take, row.key, owner)
        if taken is None:
            return row  # somebody alive is carrying it
        return await _Carriage(self, taken, owner).look()

    async def _cancel_there(self, workflow_id: str) -> None:
        try:
            await self.client.cancel(workflow_id)
        except (BadRequest, NotFound, Conflict):
            return  # it is over already, one way or the other

    # --- the end ------------------------------------------------------------------------------------------------

    async def _hand_over(self, row: Row, prepared: _Prepared, bought_before: bool) -> Outcome:
        """What the face gets; raises why when there is nothing. The face says `collected` when a person has it."""
        here = [slot for slot in row.slots if slot.here]
        pending = [slot for slot in row.slots if slot.pending]
        if not here:
            if not pending:
                await self.collected(row.key)  # nothing more will come of it, and the error says why
            raise self._why_nothing(row, pending)
        self._prune_sometimes()
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
            seed=prepared.wanted.seed,
            status=str(row.about.get("status", "succeeded")),
            report=report,
            blob_urls=self._urls.get(row.key, ()),
            generation=_generation(
                row, prepared, pictures, missing, "sandbox" if self.settings.sandbox else "CivitAI orchestration"
            ),
            sandbox=self.settings.sandbox,
        )

    def _why_nothing(self, row: Row, pending: list[Slot]) -> CivitaiError:
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
            return Interrupted("It was cancelled before it left and cost nothing.", key=row.key)
        if row.state == REFUSED:
            return BadRequest(
                f"CivitAI refused the order and charged nothing: {row.error}", status=400, detail=row.error
            )
        kind = kinds.get(status, WorkflowFailed)
        text = {
            WorkflowCanceled: f"Workflow {row.workflow_id} was cancelled.",
            WorkflowExpired: f"Workflow {row.workflow_id} expired before a worker took it.",
        }.get(kind, f"Workflow {row.workflow_id} ended without pictures: {why.rstrip('.')}.")
        return kind(f"{text} {_refund_sentence(row)}", workflow_id=row.workflow_id)

    def _report(
        self,
        row: Row,
        prepared: _Prepared,
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
        model = _name(prepared.model) or prepared.built.variant.path
        lines.append(
            f"{_pictures(len(pictures))} with {model} on {prepared.built.variant.path}, workflow {row.workflow_id}."
        )
        wallets = ", ".join(f"{amount} {account}" for account, amount in row.wallets.items() if amount > 0)
        paid = f"{row.cost} Buzz" + (f" ({wallets})" if wallets else "")
        if bought_before:
            when = datetime.fromtimestamp(row.created).strftime("%Y-%m-%d %H:%M")
            lines.append(f"Answered from what was bought on {when} for {paid}; nothing was paid now.")
        else:
            lines.append(f"Paid {paid}.")
        if "seed" in prepared.built.input:
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
        return "SANDBOX: nothing of this is real, no Buzz was spent." if self.settings.sandbox else ""

    def _prune_sometimes(self) -> None:
        now = self.clock()
        if abs(now - self._pruned) > 3600:
            self._pruned = now
            self.background(self._in_thread(lambda: self.results.prune(self.journal.kept_files(), now=now)))

    # --- small things -------------------------------------------------------------------------------------------

    async def _reread(self, row: Row) -> Row:
        return await self._in_thread(self.journal.get, row.key) or row

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """The journal waits for the disk; the loop does not."""
        return await asyncio.to_thread(work, *arguments)

    def _need_key(self) -> None:
        if not self.settings.key:
            raise NoKey

    def _is_mine(self, row: Row) -> bool:
        return row.account == self.settings.account and row.base == self.settings.base

    def _mine(self, row: Row) -> None:
        if not self._is_mine(row):
            what = "at another address" if row.base != self.settings.base else "with another key"
            raise AnotherAccount(
                f"{row.key} was bought {what}, so it is left alone. Set the key and address it was bought with "
                "to reach it."
            )


class _Carriage:
    """Carries one row that we own to its end. `run` may send the order; `look` never does."""

    def __init__(self, bridge: Bridge, row: Row, owner: str) -> None:
        self._bridge = bridge
        self._owner = owner
        self._latest: Workflow | None = None
        self._cancel_sent = False
        self.task: asyncio.Task[Row] | None = None  # of `run`; a `look` has none
        self.row = row

    async def run(self) -> Row:
        """From wherever the row stands to FINISHED, FAILED or CANCELED; raises what a person must know."""
        async with self._owned():
            if self.row.state in (PLANNED, SENT, UNCONFIRMED):
                await self._submit()
            if self.row.state == ACCEPTED:
                await self._watch()
            if self.row.state == FINISHED:
                await self._fetch_pictures()
            return self.row

    async def look(self) -> Row:
        """The same without ever sending an order and without waiting: what is known now, and the pictures that are
        there."""
        async with self._owned():
            if self.row.state in (SENT, UNCONFIRMED):
                found = await self._tagged()
                if found is None:
                    return self.row
                await self._accept(found)
            if self.row.state in (ACCEPTED, FAILED, CANCELED) and self.row.workflow_id:
                latest = await self._bridge.client.workflow(self.row.workflow_id)
                if self.row.cancel_wanted and not latest.done:
                    await self._bridge._cancel_there(self.row.workflow_id)
                    latest = await self._bridge.client.workflow(self.row.workflow_id)
                await self._learn(latest)
            if self.row.state == FINISHED:
                await self._fetch_pictures()
            return self.row

    def cancel_there(self) -> None:
        """Ask the service to stop, now if the id is known, else as soon as it is. Called on the loop."""
        self.row = replace(self.row, cancel_wanted=True)
        if self.row.workflow_id and not self._cancel_sent and self.row.state == ACCEPTED:
            self._cancel_sent = True
            self._bridge.background(self._bridge._cancel_there(self.row.workflow_id))

    def state(self, seconds: float) -> State:
        """One line for the node: phase, queue position, price, seconds."""
        row, latest = self.row, self._latest
        parts, fraction = [], None
        if row.state in (PLANNED, SENT, UNCONFIRMED):
            phase = "submitting"
            parts.append("Sending the order")
        elif row.state == FINISHED:
            phase, fraction = "fetching", 0.95
            parts.append("Fetching the pictures")
        else:
            phase = latest.status if latest else "accepted"
            parts.append(
                {
                    "unassigned": "In the queue",
                    "scheduled": "In the queue",
                    "preparing": "A worker loads the model",
                }.get(phase, phase.capitalize())
            )
            if latest and latest.preceding_jobs and phase in ("unassigned", "scheduled"):
                parts.append(f"{latest.preceding_jobs} before")
            fraction = latest.progress if latest and phase == "processing" else None
        parts += [f"{row.price} Buzz", f"{seconds:.0f} s"]
        return State(phase, " · ".join(parts), fraction, row.price, row.workflow_id)

    # --- ownership ----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _owned(self) -> AsyncIterator[None]:
        heart = asyncio.get_running_loop().create_task(self._beat())
        try:
            yield
        finally:
            heart.cancel()
            # Synchronous on purpose: a carriage that is torn down cannot await, and a released row can be taken at
            # once.
            with contextlib.suppress(StateTrouble):  # the heart stops by itself; the row is taken over 20 s later
                self._bridge.journal.release(self.row.key, self._owner)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._bridge.beat)
            try:
                row = await self._bridge._in_thread(self._bridge.journal.beat, self.row.key, self._owner)
            except StateTrouble:
                continue  # the disk is full or locked; the next write of the story says so
            if row.owner != self._owner:
                if self.task is not None:
                    self.task.cancel()  # the machine slept and somebody else carries it now
                return
            if row.cancel_wanted:
                self.cancel_there()

    # --- the order ----------------------------------------------------------------------------------------------

    async def _submit(self) -> None:
        """Send the stored body under its key until the answer is clear, one attempt at a time (facts §3.2)."""
        bridge, key = self._bridge, self.row.key
        earlier = await bridge._in_thread(bridge.journal.attempts, key)
        unclear = any(_is_unclear(outcome) for outcome in earlier)
        if unclear and await self._look_by_tag():
            return
        error: CivitaiError | None = None
        for attempt in range(1, SUBMITS + 1):
            number = await bridge._in_thread(bridge.journal.begin_attempt, key, self._owner)
            if number is None:
                await self._not_allowed(unclear)
                return
            self.row = replace(self.row, state=SENT)
            try:
                accepted = await bridge.client.submit(self.row.body)
            except (Unreachable, ServerTrouble, Unreadable, Conflict) as trouble:
                error, unclear = trouble, True
                await self._note_attempt(number, f"unclear: {trouble}")
            except RateLimited as trouble:
                error = trouble
                await self._note_attempt(number, f"refused: {trouble}")
            except ApiError as refusal:
                await self._note_attempt(number, f"refused: {refusal}")
                await self._refused(refusal, unclear)
                return
            else:
                await self._note_attempt(number, f"accepted: {accepted.id}")
                await self._accept(accepted, doubled=unclear)
                return
            if attempt < SUBMITS:
                await bridge.sleep(_pause(attempt, error))
                if unclear and await self._look_by_tag():
                    return
        if not unclear:
            assert error is not None
            await self._write(state=REFUSED, error=str(error))
            raise error
        if not await self._search():
            await self._write(state=UNCONFIRMED, error=str(error))
            raise Unconfirmed(
                f"It is not known whether the order arrived ({error}) It is not sent under another key: queue "
                "the same graph again, or "
                f"run `civitai-bridge journal resume {key}`, and it is found or sent once.",
                key=key,
            )

    async def _note_attempt(self, number: int, outcome: str) -> None:
        await self._bridge._in_thread(self._bridge.journal.end_attempt, self.row.key, number, outcome[:500])

    async def _not_allowed(self, unclear: bool) -> None:
        """The row says no to a further attempt: somebody else has it, or a person cancelled."""
        self.row = await self._bridge._reread(self.row)
        if self.row.owner != self._owner:
            raise asyncio.CancelledError  # ends this task, not a node: whoever attends looks at the row again
        if self.row.state == CANCELED:
            return
        if unclear and await self._search():
            return
        if unclear:
            await self._write(state=UNCONFIRMED)
            raise Unconfirmed(
                f"Cancelled, but it is not known whether the order arrived. It is cancelled as soon as it is found: "
                f"`civitai-bridge journal resume {self.row.key}`.",
                key=self.row.key,
            )
        await self._write(state=CANCELED)

    async def _refused(self, refusal: ApiError, unclear: bool) -> None:
        """A clear no. After an unclear attempt it is looked up before it is believed: that one may have arrived
        (facts §3.2)."""
        if not unclear:
            await self._write(state=REFUSED, error=str(refusal))
            raise refusal
        if await self._search():
            return
        await self._write(state=UNCONFIRMED, error=str(refusal))
        raise Unconfirmed(
            f"{refusal} An earlier attempt of the same order got no answer and was not found; `civitai-bridge "
            "journal resume "
            f"{self.row.key}` looks again. It is never paid twice.",
            key=self.row.key,
        )

    async def _search(self) -> bool:
        """Look for the run by its tag for half a minute; the list lags behind a submit."""
        bridge = self._bridge
        for _ in range(int(LOOK_FOR / LOOK_EVERY)):
            await bridge.sleep(LOOK_EVERY)
            if await self._look_by_tag():
                return True
        return False

    async def _look_by_tag(self) -> bool:
        """Take over the run that carries our key. A look that fails finds nothing: the key still keeps a second one
        away."""
        try:
            found = await self._tagged()
        except (Unreachable, ServerTrouble, RateLimited, Unreadable):
            return False
        if found is not None:
            await self._accept(found)
        return found is not None

    async def _tagged(self) -> Workflow | None:
        """The oldest run that carries our key, and a note when the service made more than one of it."""
        since = datetime.fromtimestamp(max(0.0, self.row.created - 300), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = [
            w for w in await self._bridge.client.tagged(self.row.key, since=since) if w.id and w.is_of(self.row.key)
        ]
        if not found:
            return None
        found.sort(key=lambda w: w.created_at)
        if len(found) > 1:
            await self._note_twins([w.id for w in found])
        return found[0]

    async def _note_twins(self, ids: list[str]) -> None:
        note = (
            f"CivitAI made {len(ids)} workflows of this one order and may have charged each: "
            f"{', '.join(ids)}. Its support can refund the others."
        )
        notes = [n for n in self.row.about.get("notes", ()) if n != note]
        await self._write(about={**self.row.about, "notes": [*notes, note]})

    async def _accept(self, workflow: Workflow, *, doubled: bool = False) -> None:
        await self._write(state=ACCEPTED, workflow_id=workflow.id, error="", **self._money(workflow))
        self._latest = workflow
        if self.row.cancel_wanted:
            self.cancel_there()
        if doubled:
            with contextlib.suppress(CivitaiError):  # only to tell of a twin; the purchase itself is safe
                await self._tagged()
        if workflow.done:
            await self._learn(workflow)

    # --- the wait -----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Long-poll until the workflow is over. No error of a look ever cancels; only 401 and 403 end the wait."""
        bridge, loop = self._bridge, asyncio.get_running_loop()
        wait, failures, unknown = LONG_POLL, 0, 0
        while self.row.state == ACCEPTED:
            asked = loop.time()
            try:
                latest = await bridge.client.workflow(self.row.workflow_id, wait=wait)
            except BadRequest:
                if not wait:
                    raise
                wait = 0  # an older deployment that takes no number of seconds (facts §2.8)
                continue
            except (NotFound, Gone) as error:
                unknown += 1
                if unknown >= 5:
                    # A young one may not have reached every server of theirs; one that stays unknown is gone for good.
                    gone = abs(bridge.clock() - self.row.created) > GONE_AFTER
                    await self._write(error=str(error), **({"state": FAILED} if gone else {}))
                    raise
                await bridge.sleep(_pause(unknown, error))
                continue
            except (Unreachable, ServerTrouble, RateLimited, Unreadable, Conflict) as error:
                failures += 1
                await bridge.sleep(_pause(failures, error))
                continue
            failures = unknown = 0
            self._latest = latest
            if latest.done:
                await self._learn(latest)
            else:
                if self.row.cancel_wanted:
                    self.cancel_there()
                held = loop.time() - asked
                if held < SHORT_POLL:
                    await bridge.sleep(SHORT_POLL - held)

    async def _learn(self, workflow: Workflow) -> None:
        """Write down how a workflow ended: its money, its slots, its reasons. A workflow that goes on changes nothing
        but money."""
        self._latest = workflow
        facts: dict[str, Any] = self._money(workflow)
        if workflow.done:
            slots = self._slots(workflow)
            facts["about"] = {**self.row.about, "status": workflow.status}
            if workflow.status == "succeeded" or any(slot.pending for slot in slots):
                facts["state"], facts["slots"] = FINISHED, slots
            else:
                facts["state"] = CANCELED if workflow.status == "canceled" else FAILED
                facts["error"] = "; ".join(workflow.reasons)
        await self._write(**facts)

    def _slots(self, workflow: Workflow) -> list[Slot]:
        """One slot for each picture that was ordered, in order; what is available is pending until it is on disk."""
        known = {slot.index: slot for slot in self.row.slots if slot.here}
        seed = self.row.about.get("seed")
        quantity = max(int(self.row.about.get("quantity") or 1), len(workflow.images))
        blobs = {blob.index: blob for blob in workflow.images}
        slots = []
        for index in range(quantity):
            slot = Slot(index, seed + index if isinstance(seed, int) else None)
            blob = blobs.get(index)
            if index in known:
                slot = known[index]
            elif blob is None:
                why = "; ".join(workflow.reasons) or "CivitAI sent no picture in its place"
                slot = replace(slot, reason=why)
            elif blob.blocked:
                slot = replace(slot, blob_id=blob.id, reason=reason_in_words(blob.blocked_reason))
            elif workflow.status != "succeeded" and not blob.available:
                slot = replace(slot, blob_id=blob.id, reason=f"the workflow {workflow.status} before it was made")
            else:
                slot = replace(
                    slot,
                    blob_id=blob.id,
                    pending=True,
                    reason="" if blob.available else "CivitAI says it is not available yet",
                )
            slots.append(slot)
        return slots

    def _money(self, workflow: Workflow) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if workflow.cost is not None and workflow.cost > self.row.price:
            facts["price"] = workflow.cost
        if workflow.transactions:
            facts |= {"debited": workflow.debited, "credited": workflow.credited, "wallets": workflow.wallets}
        return facts

    # --- the pictures -------------------------------------------------------------------------------------------

    async def _fetch_pictures(self) -> None:
        """All pending pictures at once, each verified and kept on disk before anything else happens to it."""
        pending = [slot for slot in self.row.slots if slot.pending]
        if not pending:
            return
        if self._latest is None or not self._latest.done:
            try:
                self._latest = await self._bridge.client.workflow(self.row.workflow_id)
            except (NotFound, Gone):
                lost = [
                    replace(s, pending=False, reason="CivitAI no longer keeps it") if s.pending else s
                    for s in self.row.slots
                ]
                await self._write(slots=lost)
                return
        urls = {blob.id: blob.url for blob in self._latest.images if blob.available and blob.url}
        room = asyncio.Semaphore(FETCHES)
        got: dict[int, Slot] = {}

        async def one(slot: Slot) -> None:
            async with room:
                got[slot.index] = await self._fetch_one(slot, urls)

        await asyncio.gather(*(one(slot) for slot in pending))
        slots = [got.get(slot.index, slot) for slot in self.row.slots]
        await self._write(slots=slots)
        self._bridge.remember_urls(self.row.key, [urls.get(slot.blob_id, "") for slot in slots if slot.here])

    async def _fetch_one(self, slot: Slot, urls: dict[str, str]) -> Slot:
        """One picture; its address is refreshed when it is refused, moved or gives damaged bytes (facts §4.4)."""
        bridge, trouble = self._bridge, "CivitAI gives no address for it"
        for attempt in range(1, 4):
            try:
                if attempt > 1 or not urls.get(slot.blob_id):
                    urls[slot.blob_id] = await bridge.client.refreshed_url(slot.blob_id)
                if urls[slot.blob_id]:
                    fetched = await bridge.fetch(urls[slot.blob_id])
                    size = measure(fetched.content, blob_id=slot.blob_id)
                    ending = kind_of(fetched.content) or "png"
                    file = await bridge._in_thread(bridge.results.keep, fetched.content, fetched.sha256, ending)
                    return replace(
                        slot,
                        sha256=fetched.sha256,
                        file=file,
                        width=size.width,
                        height=size.height,
                        reason="",
                        pending=False,
                    )
            except BlobBlocked as error:
                return replace(slot, reason=str(error).rstrip("."), pending=False)
            except (
                BlobUnavailable,
                BlobDamaged,
                Unreachable,
                NotFound,
                Gone,
                RateLimited,
                ServerTrouble,
                Unreadable,
            ) as error:
                trouble = str(error).rstrip(".")
            except (BlobTrouble, ApiError) as error:
                return replace(slot, reason=str(error).rstrip("."))
            if attempt < 3:
                await bridge.sleep(_pause(attempt, None))
        return replace(slot, reason=trouble)

    async def _write(self, **facts: Any) -> None:
        wanted = self.row.cancel_wanted
        row = await self._bridge._in_thread(lambda: self._bridge.journal.record(self.row.key, **facts))
        self.row = replace(row, cancel_wanted=row.cancel_wanted or wanted)


def connect(settings: Settings, network: Any, **options: Any) -> Bridge:
    """A Bridge on a `Network` of this loop: reads are repeated, submits are not, pictures are fetched without a
    credential."""
    site = SiteClient(retrying(network.send_to(settings.site_url, settings.key or None)))
    send = network.send_to(settings.orchestration_url, settings.key or None)
    return Bridge(settings, site, OrchestrationClient(retrying(send), send), network.fetch, **options)


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


async def _quietly(work: Awaitable[Any]) -> None:
    """For work that nobody waits for: what fails here is in the journal and is looked at again by `resume`."""
    with contextlib.suppress(CivitaiError):
        await work


def _either(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() or other()


def _is_unclear(outcome: str) -> bool:
    return not outcome or outcome.startswith("unclear")


def _pause(attempt: int, error: CivitaiError | None) -> float:
    """Seconds before the next try: 0.5, 1.5, 4.5, … at most 30, as the site does it; what the service asks for comes
    first."""
    asked = getattr(error, "retry_after", None)
    return min(30.0, float(asked) if asked else 0.5 * 3 ** (attempt - 1))


def _owner() -> str:
    return uuid.uuid4().hex


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(line for line in lines if line)


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _name(model: Resource | None) -> str:
    return " ".join(part for part in (model.name, model.version_name) if part) if model else ""


def _refund_sentence(row: Row) -> str:
    if not row.debited and not row.price:
        return "It cost nothing."
    if row.credited and row.credited >= row.debited:
        return f"The {row.credited} Buzz came back."
    if row.credited:
        return f"{row.credited} of {row.debited} Buzz came back."
    return "No refund seen yet; `civitai-bridge journal resume` looks again."


def _generation(
    row: Row, prepared: _Prepared, pictures: Sequence[BoughtPicture], missing: Sequence[tuple[int, str]], source: str
) -> GenerationData:
    """What was really asked and came back, from the body that was sent."""
    sent, wanted = prepared.built.input, prepared.wanted
    first = next((p for p in pictures), None)

    def of(*names: str) -> Any:
        return next((sent[name] for name in names if sent.get(name) is not None), None)

    return GenerationData(
        prompt=wanted.prompt,
        negative_prompt=str(of("negativePrompt") or ""),
        model_air=prepared.air,
        model_name=_name(prepared.model),
        networks=tuple(
            Network(u.resource.air, u.strength, _name(u.resource), version_id=u.resource.version_id)
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
        engine=prepared.built.variant.path,
        workflow_id=row.workflow_id,
        cost=float(row.cost),
        arrived=tuple(p.index for p in pictures),
        missing=dict(missing),
        source=source,
    )
