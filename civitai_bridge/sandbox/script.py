"""What the sandbox shall do wrong, and how its jobs go: queues that tests and the control address fill.

    sandbox.script.fault("submit", "lost")                    the next submit is carried out, and its answer is lost
    sandbox.script.job(seconds=0.1, blocked=(0,))             the next job withholds its first picture
    sandbox.script.at_random(seed=7, chance=0.1)              each request has this chance of a fault, drawn by seed

Fault kinds (routes: submit, price, poll, list, cancel, delete, step, job, staff, refresh, blob, content, resource, and
of the site: site, trpc, download, storage, media):
    status (status, body)   answers at once, nothing is done            html           502 with a page
    drop                    closes the connection, nothing is done      hang (seconds) waits, then closes
    lost                    does it, then closes the connection         lost500        does it, then answers 500
    late (seconds)          closes the connection and does it later     cut            says all, sends half
    wrong                   sends bytes of another kind                 short          names and sends half
    limit (after)           429, with Retry-After if given              slow (seconds) waits, then does it
    challenge (status)      Cloudflare's page instead                   tells          400 with the caller's key in it
    twin                    (submit) both of two simultaneous submits of one key pass: a second workflow is made and
                            charged
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

_OF_THE_SITE = ("site", "trpc", "download", "storage", "media")
_OF_WORK = ("submit", "price", "poll", "list", "cancel", "delete", "step", "job", "staff")
ROUTES = (*_OF_WORK, "refresh", "blob", "content", "resource", *_OF_THE_SITE)
_ANYWHERE = (
    *("status", "html", "drop", "hang", "slow", "lost", "lost500", "late", "cut", "short", "wrong", "limit"),
    *("challenge", "tells"),
)
KINDS = (*_ANYWHERE, "twin")
# What chance may draw. A 401 or 404 of a look is as possible as a 5xx; a twin can only be made by a submit.
_STATUSES = (400, 401, 403, 404, 408, 409, 410, 500, 502, 503, 504)
_RANDOM = {route: _ANYWHERE for route in ROUTES} | {"submit": KINDS}
_ENDS = ("failed", "expired", "canceled")


@dataclass(frozen=True)
class Fault:
    """What one request meets; the kinds are explained above."""

    kind: str
    status: int = 500
    body: Any = None
    seconds: float = 1.0
    after: str = ""


@dataclass(frozen=True)
class Job:
    """How one workflow goes. Indices name pictures; `refund` is whether a failure is credited, `refund_blocked` how
    many Buzz come back for pictures withheld from a succeeded one; `extra` is charged above the price that was named;
    `reason_at` is where a failure says why; `seconds` None = the sandbox's own pace."""

    seconds: float | None = None
    end: str = "succeeded"
    reason: str = ""
    reason_at: str = "output"
    blocked: tuple[int, ...] = ()
    unavailable: tuple[int, ...] = ()
    mature: tuple[int, ...] = ()
    errors: tuple[str, ...] = ()
    refund: bool = True
    refund_blocked: int = 0
    extra: int = 0
    bounce: bool = False
    odd_status: str = ""


@dataclass
class Script:
    """Switches stand for how a deployment is; queues for what happens next. `list_lag` and `key_lag` are the seconds
    after which a workflow is in the list, and after which a second POST of its key finds it (before, a twin is made).
    `signed`: signed addresses of pictures lead to moderation's placeholder (`blocked`) or are refused (`refused`),
    though the pictures can be had by their ids. `refused_keys` are no longer taken. `fees` are what creators take, AIR
    to Buzz a picture; they are charged beside the `total` that is named. `ignored_filters` are parameters of the list
    that the deployment takes and does not keep; `jobs_route` is `open`, `staff` (for the staff's keys, which begin with
    `staff`) or `gone`; `extra_bytes` is how much of a field that no client knows is in every workflow."""

    dialect: str = "S"
    strict: bool = False
    whatif_claims_key: bool = False
    insufficient_status: int = 403
    list_lag: float = 0.0
    key_lag: float = 0.0
    signed: str = ""
    refused_keys: tuple[str, ...] = ()
    submit_wait_refused: bool = False
    omit_next: bool = False
    none_reason: bool = False
    omit_type: bool = False
    blob_seconds: float = 3600.0
    on_storage: bool = False
    wait_refused: bool = False
    get_without_wait_202: bool = False
    cancel_of_ended: int = 409
    ignored_filters: tuple[str, ...] = ()
    jobs_route: str = "open"
    extra_bytes: int = 0
    fees: dict[str, float] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    jobs: deque[Job] = field(default_factory=deque)
    chance: float = 0.0
    job_chance: float = 0.0
    seed: int = 0
    drawn: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fault(self, route: str, kind: str, *, times: int = 1, **options: Any) -> None:
        if route not in ROUTES or kind not in _RANDOM[route]:
            raise ValueError(f"no such fault: {kind!r} on {route!r}")
        self.faults.setdefault(route, deque()).extend([Fault(kind, **options)] * times)

    def job(self, **options: Any) -> None:
        self.jobs.append(Job(**options))

    def at_random(self, seed: int, chance: float, jobs: float = 0.0) -> None:
        """Every request has this chance of a fault and every job the chance `jobs` of an odd end. What is drawn hangs
        on the seed, on what the request is about and on how often that was asked, not on who came first, so that a
        plan can be run again."""
        self.seed, self.chance, self.job_chance = seed, chance, jobs
        self.drawn.clear()

    def next_fault(self, route: str, subject: str = "") -> Fault | None:
        if self.faults.get(route):
            return self.faults[route].popleft()
        rng = self._rng(route, subject) if self.chance else None
        if rng is None or rng.random() >= self.chance:
            return None
        kind, seconds = rng.choice(_RANDOM[route]), rng.uniform(0.05, 1.0)
        status, after = rng.choice(_STATUSES), rng.choice(("", "0", "1"))
        body = {"title": "Scripted", "status": status, "detail": "The sandbox was told to answer this."}
        return Fault(kind, status=status, body=body, seconds=seconds, after=after)

    def next_job(self, subject: str = "") -> Job:
        if self.jobs:
            return self.jobs.popleft()
        rng = self._rng("job", subject) if self.job_chance else None
        if rng is None or rng.random() >= self.job_chance:
            return Job()
        odd = (
            Job(end=rng.choice(_ENDS), reason="CUDA out of memory", refund=rng.random() < 0.8),
            Job(end="failed", reason="blocked", reason_at="job"),
            Job(blocked=(0,), reason="ChildReference"),
            Job(unavailable=(0,)),
            Job(errors=("One picture was left out.",), bounce=True),
            Job(odd_status="pondering"),
            Job(extra=1),
        )
        return rng.choice(odd)

    def _rng(self, what: str, subject: str) -> random.Random:
        self.drawn[what, subject] += 1
        return random.Random(f"{self.seed}/{what}/{subject}/{self.drawn[what, subject]}")

    def switch(self, name: str, value: Any) -> None:
        if name not in self.__dataclass_fields__ or name in ("faults", "jobs", "drawn"):
            raise ValueError(f"no such switch: {name}")
        setattr(self, name, value)
