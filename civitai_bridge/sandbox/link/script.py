"""What the relay shall do wrong: habits of a deployment, and faults of single messages that tests and the control
address queue, or that are drawn by chance.

    relay.script.fault("command", "twice")                    the next command is delivered twice
    relay.script.fault("join", "late", seconds=3)             the next join is acknowledged after three seconds
    relay.script.at_random(seed=7, chance=0.1)                each moment has this chance of a fault, drawn by seed

Moments and the kinds of fault that each knows:
    connect   refuse (Socket.IO says no)    status (HTTP 503)
    join      late (seconds)  silent (no answer at all)  refused (a negative one)  drop  cut
    ping      slow (seconds)  silent (the connection stays open and nothing travels any more)
    command, commandStatus, roomPresence, upgradeKey (on their way from the relay to a member)
              lost            nothing arrives
              twice           it arrives two times
              late (seconds)  it arrives after others that were sent later
              swap            it arrives behind the next one
              cut             the connection breaks instead         cut after    it arrives, then the connection breaks
              drop            the relay disconnects the member instead
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

_DELIVERY = ("lost", "twice", "late", "swap", "cut", "cut after", "drop")
MOMENTS: dict[str, tuple[str, ...]] = {
    "connect": ("refuse", "status"),
    "join": ("late", "silent", "refused", "drop", "cut"),
    "ping": ("slow", "silent"),
    **dict.fromkeys(("command", "commandStatus", "roomPresence", "upgradeKey"), _DELIVERY),
}
UNKNOWN_KEY = ("second", "refuse", "kick", "disconnect")


@dataclass(frozen=True)
class RelayFault:
    """What one moment meets."""

    kind: str
    seconds: float = 0.3


@dataclass
class RelayScript:
    """`unknown_key` is what a join with a key that nobody has meets: `second` is let in and the room is kicked when a
    second party comes, `refuse` is answered with no, `kick` is let in and kicked at once, `disconnect` loses the
    connection. `echo`: the sender gets its own messages back. `roles`: only browsers may send commands, only agents
    statuses. `self_answer` is the status of POST /api/link/self. `spared` moments meet no drawn faults."""

    unknown_key: str = "second"
    echo: bool = False
    roles: bool = False
    self_answer: int = 200
    faults: dict[str, deque[RelayFault]] = field(default_factory=dict)
    seed: int = 0
    chance: float = 0.0
    spared: tuple[str, ...] = ()
    asked: Counter[str] = field(default_factory=Counter)
    drawn: Counter[str] = field(default_factory=Counter)

    def fault(self, moment: str, kind: str, *, times: int = 1, **options: Any) -> None:
        """Queue a fault for the next `times` such moments. Raises ValueError for one that is not known."""
        if kind not in MOMENTS.get(moment, ()):
            raise ValueError(f"no such fault: {kind!r} on {moment!r}")
        self.faults.setdefault(moment, deque()).extend([RelayFault(kind, **options)] * times)

    def at_random(self, seed: int, chance: float, spared: tuple[str, ...] = ()) -> None:
        """Draw faults by chance; what is drawn hangs on the seed and on how often such a moment came, so that a plan
        can be run again."""
        self.seed, self.chance, self.spared = seed, chance, tuple(spared)
        self.asked.clear()

    def calm(self) -> None:
        """No more faults, queued or drawn."""
        self.faults.clear()
        self.chance = 0.0

    def next_fault(self, moment: str) -> RelayFault | None:
        """What this moment meets; None = nothing goes wrong."""
        if self.faults.get(moment):
            return self._counted(moment, self.faults[moment].popleft())
        if not self.chance or moment in self.spared:
            return None
        self.asked[moment] += 1
        rng = random.Random(f"{self.seed}/{moment}/{self.asked[moment]}")
        if rng.random() >= self.chance:
            return None
        return self._counted(moment, RelayFault(rng.choice(MOMENTS[moment]), rng.uniform(0.02, 0.6)))

    def _counted(self, moment: str, fault: RelayFault) -> RelayFault:
        self.drawn[f"{moment} {fault.kind}"] += 1
        return fault

    def switch(self, name: str, value: Any) -> None:
        """Set one of the habits above. Raises ValueError for one that is not known."""
        if name not in ("unknown_key", "echo", "roles", "self_answer"):
            raise ValueError(f"no such habit of the relay: {name}")
        if name == "unknown_key" and value not in UNKNOWN_KEY:
            raise ValueError(f"unknown_key is one of {', '.join(UNKNOWN_KEY)}")
        setattr(self, name, value)
