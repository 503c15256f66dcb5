"""One order, sent until its answer is clear: one POST at a time, always the same body under the same key.

What is not clear is never decided here. An order whose answer was lost is looked for by its tag before it is sent
again: the service keeps a second workflow of one key away only when the two POSTs do not overlap.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from ..errors import ApiError, CivitaiError, Interrupted, MoneyRefused, RateLimited, Unreachable
from ..network.hosts import SHORT_PAUSE
from . import report
from .answers import look_by_tag, search
from .owned import OwnedPurchase, RowLost
from .purchase import ACCEPTED, CANCELED, REFUSED, SENT, UNCONFIRMED, Attempt, Purchase
from .timings import pause_before
from .workflow import Workflow

# A refusal that proves that nothing was done; any other answer leaves it open.
_CLEAR_NO = frozenset({400, 401, 402, 403, 404, 405, 413, 414, 415, 422, 451})
_GIVEN_UP = frozenset({408, 502, 504, 520, 522, 524})  # somebody on the way lost the server, which may go on
_GIVEN_UP_LATE = frozenset({504, 524})  # and that after waiting for long

# Asked before an order that was never answered is sent once again; gives the row as it was admitted.
Admit = Callable[[Purchase], Awaitable[Purchase]]


@dataclass(frozen=True)
class Accepted:
    """The answer to a POST of ours: `attempt` is its number in the journal; `doubled` says that an earlier attempt got
    no clear answer, so that the service may have made a second workflow of the order."""

    workflow: Workflow
    attempt: int
    doubled: bool


async def submit(owned: OwnedPurchase, admit: Admit | None = None) -> Accepted | None:
    """Send the stored body under its key until the answer is clear. None when the workflow of an earlier POST was
    found and taken over, or the row says that nothing is to be sent. Raises what a person must know.

    `admit` belongs to an order that an earlier run left without an answer: price, limits and what the person allows
    are asked again."""
    services, key = owned.services, owned.purchase.key
    earlier = await services.in_thread(services.journal.attempts, key)
    if workflow_id := next((attempt.workflow_id for attempt in earlier if attempt.workflow_id), ""):
        await owned.write(state=ACCEPTED, workflow_id=workflow_id)
        return None
    unclear = any(attempt.unclear for attempt in earlier)
    if unclear and (await look_by_tag(owned) or await _search_for_last(owned, earlier)):
        return None
    if admit is not None:
        await _readmit(owned, admit, unclear)
        if unclear and await look_by_tag(owned):  # that may have taken long
            return None
    return await _send(owned, unclear)


async def _send(owned: OwnedPurchase, unclear: bool) -> Accepted | None:
    timings, answer = owned.services.timings, _Answer()
    for attempt in range(1, timings.submits + 1):
        answer = await _post(owned, unclear)
        if answer.workflow is not None:
            return Accepted(answer.workflow, answer.attempt, unclear)
        if answer.error is None:
            return await _not_allowed(owned, unclear)
        if answer.refused:
            return await _refused(owned, answer.error, unclear)
        unclear = unclear or answer.unclear
        if not unclear and (getattr(answer.error, "retry_after", None) or 0) > SHORT_PAUSE:
            break  # nothing has left, and nobody is to wait that long without having asked for it
        if attempt < timings.submits and await _arrived_in_pause(owned, attempt, answer, unclear):
            return None
    assert answer.error is not None
    if not unclear:
        await owned.write(state=REFUSED, error=str(answer.error))
        raise answer.error
    if not await search(owned):
        await owned.write(state=UNCONFIRMED, error=str(answer.error))
        raise report.unconfirmed(owned.purchase.key, answer.error)
    return None


@dataclass(frozen=True)
class _Answer:
    """What came of one POST. Neither workflow nor error: the row did not allow it. `refused`: a clear no; `unclear`:
    it may have been carried out; `late`: after a long wait, so that it may still be worked on for long."""

    attempt: int = 0
    workflow: Workflow | None = None
    error: CivitaiError | None = None
    refused: bool = False
    unclear: bool = False
    late: bool = False


async def _post(owned: OwnedPurchase, unclear: bool) -> _Answer:
    """One POST, noted in the journal before it leaves and after its answer."""
    services, key = owned.services, owned.purchase.key
    number = await services.in_thread(services.journal.begin_attempt, key, owned.owner)
    if number is None:
        return _Answer()
    owned.purchase = replace(owned.purchase, state=SENT)
    try:
        submit = services.client.submit
        workflow = await submit(owned.purchase.body, again=unclear, is_wanted=lambda: not owned.purchase.cancel_wanted)
        return _Answer(number, workflow=workflow)
    except Unreachable as error:
        answer = _Answer(number, error=error, unclear=error.sent, late=error.timed_out)
        outcome = "cut off" if error.sent else "not sent"
    except RateLimited as error:
        answer, outcome = _Answer(number, error=error), "refused"
    except ApiError as error:
        refused, late = error.status in _CLEAR_NO, error.status in _GIVEN_UP_LATE
        answer = _Answer(number, error=error, refused=refused, unclear=not refused, late=late)
        outcome = "refused" if refused else "cut off" if error.status in _GIVEN_UP else "unclear"
    outcome = f"{outcome} late" if answer.late else outcome
    await services.in_thread(services.journal.end_attempt, key, number, f"{outcome}: {answer.error}"[:500])
    return answer


async def _arrived_in_pause(owned: OwnedPurchase, attempt: int, answer: _Answer, unclear: bool) -> bool:
    """Wait before the next POST. True when the workflow of an earlier one was found meanwhile; the last look for it is
    right before the next POST."""
    timings = owned.services.timings
    if answer.unclear:
        return await search(owned, _patience(owned, late=answer.late))
    pause = pause_before(attempt, answer.error)
    await timings.sleep(max(pause, timings.settle) if unclear else pause)
    return unclear and await look_by_tag(owned)


async def _search_for_last(owned: OwnedPurchase, earlier: Sequence[Attempt]) -> bool:
    """The last attempt of an earlier run without a clear answer may still be worked on, and a second POST beside it
    may be charged as well. So it gets its time; True when its workflow was found meanwhile."""
    last = [attempt for attempt in earlier if attempt.unclear][-1]
    # Of one that nobody wrote an end for, it is not known when its connection was lost.
    patience = _patience(owned, late=not last.outcome or last.outcome.startswith("cut off late"))
    # Of a clock that jumped, the longer wait is believed.
    passed = max(0.0, owned.services.timings.clock() - last.started)
    return await search(owned, min(patience - passed, patience))


def _patience(owned: OwnedPurchase, *, late: bool) -> float:
    """Seconds that CivitAI gets to carry out an order whose answer was lost. It fetches source pictures that are
    addresses before it answers; those inside the body are there already."""
    timings = owned.services.timings
    seconds = timings.lost + timings.lost_picture * count_addresses(owned.purchase.body)
    return seconds + timings.lost_late if late else seconds


def count_addresses(body: str) -> int:
    """How many source pictures of an order CivitAI has to fetch: fields of its steps that are an address."""
    return sum(
        isinstance(value, str) and value.startswith(("http://", "https://"))
        for step in json.loads(body or "{}").get("steps", ())
        for name, field in step["input"].items()
        if name not in ("prompt", "negativePrompt")
        for value in (field if isinstance(field, list) else [field])
    )


async def _readmit(owned: OwnedPurchase, admit: Admit, unclear: bool) -> None:
    """An old order is sent again: its price, the limits and what the person allows are asked anew."""
    try:
        owned.purchase = await admit(owned.purchase)
    except (MoneyRefused, ApiError, Interrupted) as refusal:
        if unclear:
            await owned.write(state=UNCONFIRMED, error=str(refusal))
            raise report.not_sent_again(owned.purchase.key, refusal) from refusal
        if isinstance(refusal, MoneyRefused):
            await owned.write(state=REFUSED, error=str(refusal))
        raise


async def _not_allowed(owned: OwnedPurchase, unclear: bool) -> None:
    """The row says no to a further attempt: somebody else has it, or a person cancelled."""
    services = owned.services
    purchase = await services.in_thread(services.journal.get, owned.purchase.key)
    if purchase is None or purchase.owner != owned.owner:
        raise RowLost
    owned.purchase = purchase
    if purchase.state == CANCELED or (unclear and await search(owned)):
        return
    if unclear:
        await owned.write(state=UNCONFIRMED)
        raise report.cancelled_unconfirmed(purchase.key)
    await owned.write(state=CANCELED)


async def _refused(owned: OwnedPurchase, refusal: CivitaiError, unclear: bool) -> None:
    """A clear no. After an unclear attempt it is looked up before it is believed: that one may have arrived."""
    if unclear and await search(owned):
        return
    if unclear and not await _never_arrived(owned):
        await owned.write(state=UNCONFIRMED, error=str(refusal))
        raise report.refused_unconfirmed(owned.purchase.key, refusal)
    await owned.write(state=REFUSED, error=str(refusal))
    raise refusal


async def _never_arrived(owned: OwnedPurchase) -> bool:
    """Whether the last unclear attempt is an hour old: by now it would have shown in the list."""
    services = owned.services
    attempts = await services.in_thread(services.journal.attempts, owned.purchase.key)
    last = max((attempt.started for attempt in attempts if attempt.unclear), default=0.0)
    return services.timings.clock() - last > services.timings.gone_after
