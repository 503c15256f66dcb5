"""How long a purchase waits for what, and by which clock: one value, so that other times can be handed in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..errors import CivitaiError


@dataclass(frozen=True)
class Timings:
    """Every number is in seconds unless its comment says otherwise. `clock` gives seconds since the epoch."""

    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    tick: float = 0.2  # between two looks at the person's cancel
    quiet: float = 0.1  # without a newcomer, after which the orders of one prompt are reserved
    heartbeat: float = 3.0  # between two signs that the owner of a purchase lives

    questions: int = 4  # attempts to ask one price
    price_holds: float = 60.0  # for which a price counts that was asked before its order waited for its turn
    submits: int = 4  # attempts of one submit in one go
    lost: float = 15.0  # before a POST whose answer was lost is sent again; two of one key must not overlap
    lost_picture: float = 20.0  # besides, for each source picture that CivitAI fetches while it answers
    lost_late: float = 30.0  # besides, where somebody on the way stopped waiting and CivitAI may go on
    twin_look: float = 60.0  # after the end of an order whose answer was lost, until its twins are looked for again
    twin_patience: float = 5.0  # for a look for twins that pictures or a command's end wait for
    settle: float = 5.0  # between two looks by tag: the list lags behind a submit
    look_for: float = 30.0  # for which a workflow whose answer was lost is looked for

    long_poll: int = 30  # asked of the service; its own site holds 15, its edge cuts at about 100
    short_poll: float = 3.0  # least time between two looks when the service does not hold them
    long_polls: int = 50  # jobs that are watched by a long poll each; of more, one list tells
    list_every: float = 5.0  # between two looks at the list
    list_least: float = 1.0  # between two looks when jobs are ending
    list_patience: float = 10.0  # for which the list may leave a job out, or not come, before the job is asked by id
    list_believed: float = 300.0  # for which only the list tells of a job, before it is asked by id once more
    late_looks: int = 3  # further looks at a succeeded workflow whose pictures are not attached yet
    fetches: int = 6  # pictures of one purchase fetched at once

    cancel_again: float = 3.0  # between two requests to cancel, until the service says that it is over
    cancel_patience: float = 15.0  # for the end of what a person cancels
    gone_after: float = 3600.0  # for which CivitAI must not know a workflow before it is no longer waited for
    last_look: float = 24 * 3600.0  # after the end of a workflow, until a picture that cannot be had is given up
    retention: float = 30 * 24 * 3600.0  # for which CivitAI keeps a workflow and its pictures
    look_again: float = 3600.0  # between two looks of a server at what is open
    hand_over: float = 600.0  # after which pictures that were handed out and not collected count as waiting
    prune_every: float = 3600.0  # between two clean-ups of the results folder


DEFAULTS = Timings()


def pause_before(attempt: int, error: CivitaiError | None) -> float:
    """Seconds before the next try: 0.5, 1.5, 4.5, … at most 30, as CivitAI's own site does it; what the service asks
    for (`retry_after` of the error) comes first."""
    asked = getattr(error, "retry_after", None)
    return min(30.0, float(asked) if asked else 0.5 * 3 ** min(attempt - 1, 9))
