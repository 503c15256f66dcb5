"""The sandbox's orders: a price or a purchase, by CivitAI's published contract."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from .life import live
from .money import ORDER, fees_of, price
from .orders import checked, first_picture
from .script import Job
from .views import view
from .workflows import Orchestrator, Refusal, Run, new_workflow, problem, transactions


def order(
    orchestrator: Orchestrator, user: str, body: Any, *, whatif: bool, twin: bool = False
) -> tuple[int, dict[str, Any]]:
    """A submit or a whatif. Returns status and workflow; raises Refusal."""
    steps = checked(body, strict=orchestrator.script.strict)
    key = body.get("externalId")
    if key and not twin and (user, key) in orchestrator.keys:
        run = orchestrator.runs[orchestrator.keys[(user, key)]]
        if whatif or time.time() - run.born >= orchestrator.script.key_lag:
            return 200, view(orchestrator, run)
    source = first_picture(steps[0])
    cost, factors = price(steps[0])
    wallets = ["yellow"] if body.get("allowMatureContent") else list(body.get("currencies") or ORDER)
    job = orchestrator.script.next_job(str(steps[0].get("prompt", ""))) if not whatif else Job()
    total = cost + (job.extra if not whatif else 0)
    fees = fees_of(steps[0], orchestrator.script.fees)
    charged = total + math.ceil(sum(fees.values()))
    paid = orchestrator.bank.split(user, charged, wallets)
    data = new_workflow(orchestrator.runs, user, body, steps, total, factors)
    if fees:
        data["cost"]["fees"] = fees
    if whatif:
        planned = paid or {wallets[0]: charged}
        data["transactions"] = {"list": transactions("debit", planned), "insufficientBuzz": paid is None}
        if key and orchestrator.script.whatif_claims_key:
            _enter(orchestrator, Run(user, key, data, job, {}, time.time()))
        return 200, data
    if paid is None:
        raise _too_poor(orchestrator.script.insufficient_status)
    orchestrator.bank.charge(user, paid, data["id"], key or "")
    data["transactions"] = {"list": transactions("debit", paid)}
    run = Run(user, key or "", data, job, paid, time.time())
    _enter(orchestrator, run, twin=twin)
    run.task = asyncio.get_running_loop().create_task(live(orchestrator, run, steps[0], source))
    orchestrator.changed()
    return 202, view(orchestrator, run)


def _enter(orchestrator: Orchestrator, run: Run, *, twin: bool = False) -> None:
    """Keep a workflow, and its key where it is not the second one of it."""
    orchestrator.runs[run.id] = run
    if run.key and not twin:
        orchestrator.keys[run.user, run.key] = run.id


def _too_poor(status: int) -> Refusal:
    return Refusal(403, "Insufficient buzz") if status == 403 else problem(status, "Bad Request", "Not enough Buzz.")
