"""Carries one row of the journal from where it stands to its end: order, wait, pictures. The second half of the story.

    planned -> POST under its key -> accepted -> long poll -> finished -> pictures on disk

A carriage owns its row (a heartbeat says so) and writes nothing once somebody else owns it. What is not clear is never
decided here: an order whose answer was lost is looked for by its tag before it is sent again, and a cancel is asked
for until the service says that the workflow is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..errors import (
    ApiError,
    BadRequest,
    BlobBlocked,
    BlobDamaged,
    BlobTrouble,
    BlobUnavailable,
    CivitaiError,
    Conflict,
    Gone,
    Interrupted,
    MoneyRefused,
    NotFound,
    RateLimited,
    ServerTrouble,
    StateTrouble,
    Unconfirmed,
    Unreachable,
    Unreadable,
)
from ..network.fetch import Fetch
from ..pictures import check, kind_of
from .client import SUBMIT_SECONDS, OrchestrationClient
from .journal import (
    ACCEPTED,
    CANCELED,
    FAILED,
    FINISHED,
    PLANNED,
    REFUSED,
    SENT,
    UNCONFIRMED,
    Attempt,
    Journal,
    Purchase,
    PurchasedImage,
)
from .results import Results
from .workflow import ImageBlob, Workflow, reason_in_words

LONG_POLL = 30  # seconds; the site holds 15, the edge cuts at about 100 (facts §2.8)
SHORT_POLL = 3.0  # least seconds between looks when the server does not hold them
BEAT = 3.0  # seconds between two heartbeats
SUBMITS = 4  # attempts of one submit in one go
SETTLE = 5.0  # seconds before the list knows of a submit (facts §2.9); two POSTs of one key must not overlap (§3.1)
LOOK_FOR = 30.0  # seconds to look for a run whose answer was lost
CANCEL_AGAIN = 3.0  # seconds between two requests to cancel, until the service says that it is over
GONE_AFTER = 3600.0  # seconds for which CivitAI must not know a workflow before it is no longer waited for
RETENTION = 30 * 24 * 3600.0  # seconds that CivitAI keeps a workflow and its pictures (facts §2.13)
LATE_LOOKS = 3  # further looks at a succeeded workflow whose pictures are not attached yet
FETCHES = 6  # pictures of one purchase fetched at once

# A refusal that proves that nothing was done (facts §3.2 step 6); any other answer leaves it open.
_CLEAR_NO = frozenset({400, 401, 402, 403, 404, 405, 413, 414, 415, 422, 451})
_GIVEN_UP = frozenset({408, 502, 504, 520, 522, 524})  # somebody on the way stopped waiting; the server may go on
_NO_ANSWER = (Unreachable, ServerTrouble, RateLimited, Unreadable, Conflict)

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ground:
    """What a carriage stands on. `urls` are signed, so they live in memory alone, for the last purchases."""

    client: OrchestrationClient
    journal: Journal
    results: Results
    fetch: Fetch
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    beat: float = BEAT
    urls: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    # Decoding pictures may fill the loop's own threads for seconds; a heartbeat must not wait for that.
    disk: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "civitai-bridge journal"))
    tasks: set[asyncio.Task[Any]] = field(default_factory=set, repr=False)

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """The journal waits for the disk; the loop does not. One thread, so that what is asked first is done first."""
        return await asyncio.get_running_loop().run_in_executor(self.disk, work, *arguments)

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something to its end although nobody waits for it."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: work.close())  # also when it was torn down before its first step

    def remember_urls(self, key: str, urls: tuple[str, ...]) -> None:
        self.urls[key] = tuple(url for url in urls if url)
        while len(self.urls) > 200:
            del self.urls[next(iter(self.urls))]

    async def cancel_there(self, workflow_id: str) -> None:
        """Ask for the end of a workflow. A 4xx says nothing (facts §3.3): what it then is, the next look tells."""
        try:
            await self.client.cancel(workflow_id)
        except (BadRequest, NotFound, Conflict, Gone):
            return


class _LostRow(Exception):
    """Somebody else owns the row now; nothing of ours is written any more."""


# Asked before an order that was never answered is sent once more; gives the row as it was admitted.
Admit = Callable[[Purchase], Awaitable[Purchase]]


class PurchaseRun:
    """Carries one row that we own to its end. `run` may send the order; `look` never does."""

    def __init__(self, ground: Ground, row: Purchase, owner: str, *, admit: Admit | None = None) -> None:
        self._ground = ground
        self._owner = owner
        self._admit = admit
        self._latest: Workflow | None = None
        self._asking = False
        self._over = False
        self.ordered = False  # whether a POST of ours was accepted
        self.task: asyncio.Task[Purchase] | None = None  # of `run`; a `look` has none
        self.row = row

    async def run(self) -> Purchase:
        """From wherever the row stands to FINISHED, FAILED or CANCELED; raises what a person must know."""
        try:
            async with self._owned():
                if self.row.state in (PLANNED, SENT, UNCONFIRMED):
                    await self._submit()
                if self.row.state == ACCEPTED:
                    await self._watch()
                if self.row.state == FINISHED:
                    await self._fetch_pictures()
                return self.row
        except _LostRow:
            # Ends this task, never a node: whoever attends looks at the row again.
            raise asyncio.CancelledError from None

    async def look(self) -> Purchase:
        """The same without ever sending an order and without waiting: what is known now, and the pictures that are
        there."""
        self._asking = True  # a look asks once, here
        try:
            async with self._owned():
                if self.row.state in (SENT, UNCONFIRMED):
                    found = await self._tagged()
                    if found is None:
                        return self.row
                    await self._accept(found)
                if self.row.state in (ACCEPTED, FAILED, CANCELED) and self.row.workflow_id:
                    latest = await self._ground.client.workflow(self.row.workflow_id)
                    if self.row.cancel_wanted and not latest.done:
                        await self._ground.cancel_there(self.row.workflow_id)
                        latest = await self._ground.client.workflow(self.row.workflow_id)
                    await self._learn(latest)
                if self.row.state == FINISHED:
                    await self._fetch_pictures()
                return self.row
        except _LostRow:
            return await self._ground.in_thread(self._ground.journal.get, self.row.key) or self.row

    def cancel_there(self) -> None:
        """Ask the service to stop, now if the id is known, else as soon as it is. Called on the loop."""
        self.row = replace(self.row, cancel_wanted=True)
        if self.row.workflow_id and self.row.state == ACCEPTED and not self._asking:
            self._asking = True
            self._ground.background(self._ask_until_it_is_over())

    @property
    def phase(self) -> str:
        """submitting, fetching, or what the service says of the workflow."""
        if self.row.state in (PLANNED, SENT, UNCONFIRMED):
            return "submitting"
        if self.row.state == FINISHED:
            return "fetching"
        return self._latest.status if self._latest else "accepted"

    @property
    def latest(self) -> Workflow | None:
        return self._latest

    # --- ownership ----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _owned(self) -> AsyncIterator[None]:
        heart = asyncio.get_running_loop().create_task(self._beat())
        try:
            yield
        finally:
            heart.cancel()
            self._over = True
            # Only handed over: a carriage that is torn down cannot wait, and neither may the loop.
            self._ground.disk.submit(self._release)

    def _release(self) -> None:
        with contextlib.suppress(StateTrouble):  # the heart has stopped by itself; the row is taken over soon
            self._ground.journal.release(self.row.key, self._owner)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._ground.beat)
            try:
                row = await self._ground.in_thread(self._ground.journal.beat, self.row.key, self._owner)
            except StateTrouble:
                continue  # the disk is full or locked; the next write of the story says so
            if row.owner != self._owner:
                if self.task is not None:
                    self.task.cancel()  # the machine slept and somebody else carries it now
                return
            if row.cancel_wanted:
                self.cancel_there()

    async def _write(self, **facts: Any) -> None:
        await self._took(lambda: self._ground.journal.record(self.row.key, owner=self._owner, **facts))

    async def _took(self, write: Callable[[], Purchase]) -> None:
        """Write, and go on with what the row is now; a cancel that came meanwhile is carried out at once."""
        row = await self._ground.in_thread(write)
        if row.owner != self._owner:
            raise _LostRow
        self.row = replace(row, cancel_wanted=row.cancel_wanted or self.row.cancel_wanted)
        if self.row.cancel_wanted:
            self.cancel_there()

    # --- the order ----------------------------------------------------------------------------------------------

    async def _submit(self) -> None:
        """Send the stored body under its key until the answer is clear, one attempt at a time (facts §3.2)."""
        ground, key = self._ground, self.row.key
        earlier = await ground.in_thread(ground.journal.attempts, key)
        if accepted := next((attempt.workflow_id for attempt in earlier if attempt.workflow_id), ""):
            await self._write(state=ACCEPTED, workflow_id=accepted)
            return
        unclear = any(attempt.unclear for attempt in earlier)
        if unclear and (await self._look_by_tag() or await self._wait_for_the_last(earlier)):
            return
        if self._admit is not None:
            await self._readmitted(self._admit, unclear)
        error: CivitaiError | None = None
        for attempt in range(1, SUBMITS + 1):
            number = await ground.in_thread(ground.journal.begin_attempt, key, self._owner)
            if number is None:
                await self._not_allowed(unclear)
                return
            self.row = replace(self.row, state=SENT)
            try:
                workflow = await ground.client.submit(self.row.body)
            except Unreachable as trouble:
                error, unclear, cut_off = trouble, unclear or trouble.sent, trouble.sent
                await self._note_attempt(number, f"{'cut off' if trouble.sent else 'not sent'}: {trouble}")
            except RateLimited as trouble:
                error, cut_off = trouble, False
                await self._note_attempt(number, f"refused: {trouble}")
            except ApiError as trouble:
                if trouble.status in _CLEAR_NO:
                    await self._note_attempt(number, f"refused: {trouble}")
                    await self._refused(trouble, unclear)
                    return
                error, unclear, cut_off = trouble, True, trouble.status in _GIVEN_UP
                await self._note_attempt(number, f"{'cut off' if cut_off else 'unclear'}: {trouble}")
            else:
                self.ordered = True
                await self._accept(workflow, number=number, doubled=unclear)
                return
            if attempt < SUBMITS:
                pause = pause_before(attempt, error)
                if cut_off and await self._search(SUBMIT_SECONDS):
                    return  # until then the first one may still be worked on, and a second beside it charged
                await ground.sleep(max(pause, SETTLE) if unclear else pause)
                if unclear and await self._look_by_tag():
                    return
        assert error is not None
        if not unclear:
            await self._write(state=REFUSED, error=str(error))
            raise error
        if not await self._search():
            await self._write(state=UNCONFIRMED, error=str(error))
            raise Unconfirmed(
                f"It is not known whether the order arrived ({error}) It is not sent under another key: queue the same "
                f"graph again, or run `civitai-bridge journal resume {key}`, and it is found or sent once.",
                key=key,
            )

    async def _note_attempt(self, number: int, outcome: str) -> None:
        await self._ground.in_thread(self._ground.journal.end_attempt, self.row.key, number, outcome[:500])

    async def _wait_for_the_last(self, earlier: list[Attempt]) -> bool:
        """An attempt that was cut off before may still be worked on, and a second POST beside it may be
        charged as well. So it gets its time; True when its run was found meanwhile."""
        cut_off = [attempt.started for attempt in earlier if attempt.cut_off]
        if not cut_off:
            return False
        # Of a clock that jumped, the longer wait is believed.
        left = SUBMIT_SECONDS - max(0.0, self._ground.clock() - max(cut_off))
        return await self._search(min(left, SUBMIT_SECONDS))

    async def _readmitted(self, admit: Admit, unclear: bool) -> None:
        """An old order is sent again: its price, the limits and what the person allows are asked anew."""
        try:
            self.row = await admit(self.row)
        except (MoneyRefused, ApiError, Interrupted) as refusal:
            if unclear:
                await self._write(state=UNCONFIRMED, error=str(refusal))
                why = str(refusal).replace("Nothing was bought.", "").replace(" before anything was bought", "")
                raise Unconfirmed(
                    f"{why.rstrip()} So it was not sent again, but an "
                    "earlier attempt of the same order may have arrived: `civitai-bridge journal resume "
                    f"{self.row.key}` looks for it.",
                    key=self.row.key,
                ) from refusal
            if isinstance(refusal, MoneyRefused):
                await self._write(state=REFUSED, error=str(refusal))
            raise

    async def _not_allowed(self, unclear: bool) -> None:
        """The row says no to a further attempt: somebody else has it, or a person cancelled."""
        row = await self._ground.in_thread(self._ground.journal.get, self.row.key)
        if row is None or row.owner != self._owner:
            raise _LostRow
        self.row = row
        if row.state == CANCELED:
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
        attempts = await self._ground.in_thread(self._ground.journal.attempts, self.row.key)
        last = max((one.started for one in attempts if one.unclear), default=0.0)
        if self._ground.clock() - last > GONE_AFTER:
            # In an hour it would have shown in the list: that attempt never arrived, so the no is the whole truth.
            await self._write(state=REFUSED, error=str(refusal))
            raise refusal
        await self._write(state=UNCONFIRMED, error=str(refusal))
        raise Unconfirmed(
            f"{refusal} An earlier attempt of the same order got no answer and was not found; "
            f"`civitai-bridge journal resume {self.row.key}` looks again. It is never paid twice.",
            key=self.row.key,
        )

    async def _search(self, seconds: float = LOOK_FOR) -> bool:
        """Look for the run by its tag, by default for half a minute; the list lags behind a submit."""
        for _ in range(math.ceil(seconds / SETTLE)):
            await self._ground.sleep(SETTLE)
            if await self._look_by_tag():
                return True
        return False

    async def _look_by_tag(self) -> bool:
        """Take over the run that carries our key. A look that fails finds nothing: the key still keeps a second one
        away."""
        try:
            found = await self._tagged()
        except (Unreachable, ApiError):
            return False
        if found is not None:
            await self._accept(found)
        return found is not None

    async def _tagged(self) -> Workflow | None:
        """The run that carries our key: of several the oldest that came to something; a note names them all."""
        found = await self._all_tagged()
        if len(found) > 1:
            await self._note_twins([w.id for w in found])
        return next((w for w in found if not w.ended_badly), found[0] if found else None)

    async def _all_tagged(self) -> list[Workflow]:
        """Every run that carries our key, oldest first. Asked without dates: the tag is unique, and our clock may be
        wrong."""
        found = [w for w in await self._ground.client.tagged(self.row.key) if w.id and w.is_of(self.row.key)]
        return sorted(found, key=lambda w: w.created_at)

    async def _twin_of(self, ended: Workflow) -> Workflow | None:
        """Another run of the same order that goes on or has succeeded, where the service made two of an order whose
        answer was lost. It is paid as well, so what comes of it is ours, and so is its cancel."""
        attempts = await self._ground.in_thread(self._ground.journal.attempts, self.row.key)
        if not any(attempt.unclear for attempt in attempts):
            return None
        try:
            others = [w for w in await self._all_tagged() if w.id != ended.id and not w.ended_badly]
        except (Unreachable, ApiError):
            return None  # the row is looked at again until its refund has been seen
        if not others:
            return None
        await self._note_twins([ended.id, *(w.id for w in others)])
        return others[0]

    async def _note_twins(self, ids: list[str]) -> None:
        note = (
            f"CivitAI made {len(ids)} workflows of this one order and may have charged each: "
            f"{', '.join(ids)}. Its support can refund the others."
        )
        notes = [n for n in self.row.about.get("notes", ()) if n != note]
        await self._write(about={**self.row.about, "notes": [*notes, note]})

    async def _accept(self, workflow: Workflow, *, number: int | None = None, doubled: bool = False) -> None:
        """The order is there. What came of the attempt, the id and the state are written in one transaction."""
        facts = {"state": ACCEPTED, "workflow_id": workflow.id, "error": "", **self._money(workflow)}
        key, owner = self.row.key, self._owner
        await self._took(lambda: self._ground.journal.accepted(key, number, owner=owner, **facts))
        self._latest = workflow
        if doubled:
            with contextlib.suppress(CivitaiError):  # only to tell of a twin; the purchase itself is safe
                await self._tagged()
        if workflow.done and not _still_attaching(workflow, self._quantity(workflow)):
            await self._learn(workflow)

    # --- the wait -----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Long-poll until the workflow is over. No error of a look ever cancels; only 401 and 403 end the wait."""
        ground, loop = self._ground, asyncio.get_running_loop()
        wait, failures, unknown, late = LONG_POLL, 0, 0, 0
        if self.row.cancel_wanted:
            self.cancel_there()
        while self.row.state == ACCEPTED:
            asked = loop.time()
            try:
                latest = await ground.client.workflow(self.row.workflow_id, wait=wait)
            except BadRequest:
                if not wait:
                    raise
                wait = 0  # an older deployment that takes no number of seconds (facts §2.8)
                continue
            except (NotFound, Gone) as error:
                unknown += 1
                if unknown < 5:
                    await ground.sleep(pause_before(unknown, error))
                elif await self._unknown_there(error):
                    unknown = 0
                else:
                    raise
                continue
            except _NO_ANSWER as error:
                failures += 1
                await ground.sleep(pause_before(failures, error))
                continue
            failures = unknown = 0
            self._latest = latest
            if self.row.about.get("unknown_since") is not None:
                await self._write(about={**self.row.about, "unknown_since": None})
            if latest.done and (late >= LATE_LOOKS or not _still_attaching(latest, self._quantity(latest))):
                await self._learn(latest)
                continue
            if latest.done:
                late += 1
                await ground.sleep(pause_before(late, None))
                continue
            held = loop.time() - asked
            if held < SHORT_POLL:
                await ground.sleep(SHORT_POLL - held)

    async def _unknown_there(self, error: ApiError) -> bool:
        """CivitAI does not know the workflow. It may be young, or a server of theirs may be behind; only one that
        stays unknown for an hour, by id and by tag, is gone for good. True when it was found by its tag."""
        now = self._ground.clock()
        since = self.row.about.get("unknown_since")
        since = since if isinstance(since, (int, float)) else now
        over = abs(now - since) > GONE_AFTER
        if over and await self._look_by_tag():
            return True
        state = {"state": FAILED} if over else {}
        await self._write(error=str(error), about={**self.row.about, "unknown_since": since}, **state)
        return False

    async def _ask_until_it_is_over(self) -> None:
        """A request to cancel may be lost like any other; the polled status says when it was heard."""
        while self.row.state == ACCEPTED and not self._over:
            with contextlib.suppress(CivitaiError):
                await self._ground.cancel_there(self.row.workflow_id)
            await self._ground.sleep(CANCEL_AGAIN)
            await asyncio.sleep(0)

    async def _learn(self, workflow: Workflow) -> None:
        """Write down how a workflow ended: its money, its slots, its reasons. A workflow that goes on changes nothing
        but money."""
        self._latest = workflow
        facts: dict[str, Any] = self._money(workflow)
        if workflow.done:
            slots = self._slots(workflow)
            facts["about"] = {**self.row.about, "status": workflow.status, "unknown_since": None}
            if workflow.status == "succeeded" or any(slot.pending or slot.here for slot in slots):
                facts["state"], facts["slots"] = FINISHED, slots
            elif (twin := await self._twin_of(workflow)) is not None:
                await self._accept(twin)
                return
            else:
                facts["state"] = CANCELED if workflow.status == "canceled" else FAILED
                facts["error"] = "; ".join(workflow.reasons)
        await self._write(**facts)

    def _quantity(self, workflow: Workflow) -> int:
        return max(int(self.row.about.get("quantity") or 1), len(workflow.images))

    def _slots(self, workflow: Workflow) -> list[PurchasedImage]:
        """One slot for each picture that was ordered, in order; what may be had is pending until it is on disk."""
        known = {slot.index: slot for slot in self.row.slots if slot.here}
        seed = self.row.about.get("seed")
        blobs = {blob.index: blob for blob in workflow.images}
        slots = []
        for index in range(self._quantity(workflow)):
            slot = PurchasedImage(index, seed + index if isinstance(seed, int) else None)
            blob = blobs.get(index)
            if index in known:
                slot = known[index]
            elif blob is None:
                why = "; ".join(workflow.reasons)
                # It may be attached a little later; what is not there after an hour will not come.
                late = not why and workflow.status == "succeeded" and self._age() < GONE_AFTER
                slot = replace(slot, reason=why or "CivitAI sent no picture in its place", pending=late)
            elif blob.blocked and not (blob.available and blob.url):
                slot = replace(slot, blob_id=blob.id, reason=reason_in_words(blob.blocked_reason), blocked=True)
            elif workflow.status != "succeeded" and not blob.available:
                slot = replace(slot, blob_id=blob.id, reason=f"the workflow {workflow.status} before it was made")
            else:
                reason = "" if blob.available else "CivitAI says it is not available yet"
                slot = replace(slot, blob_id=blob.id, pending=True, reason=reason)
            slots.append(slot)
        return slots

    def _age(self) -> float:
        return abs(self._ground.clock() - self.row.created)

    def _money(self, workflow: Workflow) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if workflow.cost is not None and workflow.cost > self.row.price:
            facts["price"] = workflow.cost
        if workflow.transactions:
            facts |= {"debited": workflow.debited, "credited": workflow.credited, "wallets": workflow.wallets}
        return facts

    # --- the pictures -------------------------------------------------------------------------------------------

    async def _fetch_pictures(self) -> None:
        """All pictures that are not on disk at once, each verified and kept before anything else happens to it."""
        ground = self._ground
        slots = [
            replace(s, sha256="", file="", pending=True) if s.here and not ground.results.has(s.file) else s
            for s in self.row.slots
        ]
        pending = [slot for slot in slots if slot.pending]
        if not pending:
            return
        if self._latest is None or not self._latest.done:
            try:
                self._latest = await ground.client.workflow(self.row.workflow_id)
            except (NotFound, Gone):
                self._latest = None  # the pictures may be there all the same, by their own ids
        blobs = {blob.index: blob for blob in self._latest.images} if self._latest else {}
        room = asyncio.Semaphore(FETCHES)
        urls: dict[int, str] = {}

        async def one(slot: PurchasedImage) -> PurchasedImage:
            blob = blobs.get(slot.index)
            if blob is None and not slot.blob_id:  # not attached when the workflow ended, and not now
                return replace(slot, pending=self._age() < GONE_AFTER)
            async with room:
                try:
                    return await self._fetch_one(slot, blob, urls)
                except (CivitaiError, asyncio.CancelledError):
                    raise
                except Exception as error:  # of one picture; it must not take the others with it
                    log.exception("Picture %d of %s could not be fetched", slot.index, self.row.key)
                    return replace(slot, reason=f"it could not be read ({type(error).__name__})")

        got = {slot.index: slot for slot in await asyncio.gather(*(one(slot) for slot in pending))}
        slots = [got.get(slot.index, slot) for slot in slots]
        if self._latest is None and self._age() > RETENTION:
            slots = [replace(s, pending=False, reason="CivitAI no longer keeps it") if s.pending else s for s in slots]
        await self._write(slots=slots)
        ground.remember_urls(self.row.key, tuple(urls.get(slot.index, "") for slot in slots if slot.here))

    async def _fetch_one(self, slot: PurchasedImage, blob: ImageBlob | None, urls: dict[int, str]) -> PurchasedImage:
        """One picture; its address is refreshed when it is refused, moved, withheld or gives damaged bytes (facts
        §4.4)."""
        ground, trouble = self._ground, "CivitAI gives no address for it"
        urls[slot.index] = blob.url if blob is not None and blob.available else ""
        if blob is not None and blob.id and not slot.blob_id:
            slot = replace(slot, blob_id=blob.id)
        for attempt in range(1, 4):
            try:
                if (attempt > 1 or not urls[slot.index]) and slot.blob_id:
                    urls[slot.index] = await ground.client.refreshed_url(slot.blob_id)
                if urls[slot.index]:
                    fetched = await ground.fetch(urls[slot.index])
                    size = await asyncio.to_thread(check, fetched.content, blob_id=slot.blob_id)
                    ending = kind_of(fetched.content) or "png"
                    keep = ground.results.keep
                    file = await asyncio.to_thread(keep, fetched.content, fetched.sha256, ending)
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
                if attempt > 1:
                    return replace(slot, reason=str(error).rstrip("."), pending=False, blocked=True)
                trouble = str(error).rstrip(".")
            except (BlobUnavailable, BlobDamaged, NotFound, Gone, *_NO_ANSWER) as error:
                trouble = str(error).rstrip(".")
            except (BlobTrouble, ApiError) as error:
                return replace(slot, reason=str(error).rstrip("."))
            if attempt < 3:
                await ground.sleep(pause_before(attempt, None))
        return replace(slot, reason=trouble)


def _still_attaching(workflow: Workflow, quantity: int) -> bool:
    """Whether a succeeded workflow may yet get pictures that are neither there nor withheld nor explained."""
    if workflow.status != "succeeded" or workflow.reasons:
        return False
    there = sum(1 for blob in workflow.images if blob.available or blob.blocked)
    return there < quantity


async def _quietly(work: Awaitable[Any]) -> None:
    """For work that nobody waits for: what fails here is in the journal and is looked at again by `resume`."""
    with contextlib.suppress(CivitaiError):
        await work


def pause_before(attempt: int, error: CivitaiError | None) -> float:
    """Seconds before the next try: 0.5, 1.5, 4.5, … at most 30, as the site does it; what the service asks for comes
    first."""
    asked = getattr(error, "retry_after", None)
    return min(30.0, float(asked) if asked else 0.5 * 3 ** min(attempt - 1, 9))
