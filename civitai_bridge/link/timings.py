"""How long the agent waits for what, in seconds: one value, so that tests hand in another."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone


@dataclass(frozen=True)
class LinkTimings:
    """clock          seconds since the epoch
    sleep          how a pause is made
    jitter         a number of [0, 1) by which pauses differ, so that not every agent comes back at once
    connect        for a connection to be made
    join           for the answer to a join
    first_pause    before the first try after a connection was lost; doubles with each that fails
    longest_pause  between two tries
    refused_pause  after the relay said no to the key, which is kept
    steady         for which a connection must hold until the pauses begin at the first again
    look           between two looks whether another process changed the pairing, answered a question or ended
    progress       between two progress messages of one command
    resend         for which a status that was sent is sent again after a rejoin: it may have been lost
    settle         before a changed list is sent, so that changes at one moment make one list
    patience       for which a person is waited for
    """

    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    connect: float = 20.0
    join: float = 10.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    refused_pause: float = 60.0
    steady: float = 30.0
    look: float = 2.0
    progress: float = 1.0
    resend: float = 120.0
    settle: float = 0.3
    patience: float = 24 * 3600.0


USUAL = LinkTimings()


def iso_time(timings: LinkTimings) -> str:
    """Now, as the wire writes dates.

    assert iso_time(LinkTimings(clock=lambda: 0.0)) == "1970-01-01T00:00:00.000Z"
    """
    moment = datetime.fromtimestamp(timings.clock(), timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
