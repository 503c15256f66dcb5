"""What the sandbox shall do wrong, and how its jobs go: queues that tests and the control address fill.

    sandbox.script.fault("submit", "lost")                    the next submit is carried out, and its answer is lost
    sandbox.script.job(seconds=0.1, blocked=(0,))             the next job withholds its first picture

Fault kinds (routes: submit, price, poll, list, cancel, refresh, blob, content, site):
    status (status, body)   answers at once, nothing is done            html           502 with a page
    drop                    closes the connection, nothing is done      hang (seconds) waits, then closes
    lost                    does it, then closes the connection         lost500        does it, then answers 500
    late (seconds)          closes the connection and does it later     cut            sends half of the body
    wrong                   sends bytes of another kind                 limit (after)  429, with Retry-After if given
    twin                    (submit) both of two simultaneous submits of one key pass: a second workflow is made and
    charged
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

RANDOM_KINDS = ("drop", "lost", "lost500", "late", "html", "limit", "cut")


@dataclass(frozen=True)
class Fault:
    kind: str
    status: int = 500
    body: Any = None
    seconds: float = 1.0
    after: str = ""


@dataclass(frozen=True)
class Job:
    """How one workflow goes. Indices name pictures; `refund` is whether a failure is credited; `extra` is charged
    above the price that was named; `seconds` None = the sandbox's own pace."""

    seconds: float | None = None
    end: str = "succeeded"
    reason: str = ""
    blocked: tuple[int, ...] = ()
    unavailable: tuple[int, ...] = ()
    mature: tuple[int, ...] = ()
    errors: tuple[str, ...] = ()
    refund: bool = True
    extra: int = 0
    bounce: bool = False
    odd_status: str = ""


@dataclass
class Script:
    """Switches stand for how a deployment is; queues for what happens next."""

    dialect: str = "S"
    strict: bool = False
    whatif_claims_key: bool = False
    insufficient_status: int = 403
    list_lag: float = 0.0
    omit_next: bool = False
    none_reason: bool = False
    omit_type: bool = False
    blob_seconds: float = 3600.0
    on_storage: bool = False
    wait_refused: bool = False
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    jobs: deque[Job] = field(default_factory=deque)
    chance: float = 0.0
    rng: random.Random = field(default_factory=random.Random)

    def fault(self, route: str, kind: str, *, times: int = 1, **options: Any) -> None:
        self.faults.setdefault(route, deque()).extend([Fault(kind, **options)] * times)

    def job(self, **options: Any) -> None:
        self.jobs.append(Job(**options))

    def at_random(self, seed: int, chance: float) -> None:
        """Every request has this chance of a fault, drawn from a seed so that a plan can be run again."""
        self.rng, self.chance = random.Random(seed), chance

    def next_fault(self, route: str) -> Fault | None:
        if self.faults.get(route):
            return self.faults[route].popleft()
        if self.chance and route != "site" and self.rng.random() < self.chance:
            return Fault(self.rng.choice(RANDOM_KINDS), seconds=self.rng.uniform(0.05, 1.0))
        return None

    def next_job(self) -> Job:
        return self.jobs.popleft() if self.jobs else Job()

    def switch(self, name: str, value: Any) -> None:
        if name not in self.__dataclass_fields__ or name in ("faults", "jobs", "rng"):
            raise ValueError(f"no such switch: {name}")
        setattr(self, name, value)
