"""The sandbox's control address: faults, jobs and balances from outside, its ledger and its log."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from aiohttp import web

from .faults import RequestLog
from .made import fill
from .money import Bank
from .script import Script
from .users import user_id
from .website import Website
from .workflows import Orchestrator


def control_routes(script: Script, site: Website, orchestrator: Orchestrator, log: RequestLog) -> list[web.RouteDef]:
    """What tests and the fire plan ask; none of it is logged or goes wrong."""
    return [
        web.post("/sandbox/control", partial(_control, script, site, orchestrator)),
        web.get("/sandbox/ledger", partial(_show_ledger, orchestrator.bank)),
        web.get("/sandbox/requests", partial(_show_requests, log)),
    ]


async def _control(
    script: Script, site: Website, orchestrator: Orchestrator, request: web.Request
) -> web.StreamResponse:
    """JSON of any of: calm true (forget the faults before), faults [{route, kind, …}], jobs [{…}], switches {…},
    site {…}, balances {wallet: Buzz}, random {seed, chance, jobs}, fill [{key, count, pictures, side}] (finished
    workflows of an account, which nobody ordered)."""
    wishes = await request.json()
    try:
        if wishes.get("calm"):
            script.faults.clear()
        for fault in wishes.get("faults", ()):
            script.fault(**fault)
        for job in wishes.get("jobs", ()):
            script.job(**{k: tuple(v) if isinstance(v, list) else v for k, v in job.items()})
        for name, value in wishes.get("switches", {}).items():
            script.switch(name, value)
        for name, value in wishes.get("site", {}).items():
            site.switch(name, value)
        if "random" in wishes:
            script.at_random(**wishes["random"])
        if "balances" in wishes:
            orchestrator.bank.opening = dict(wishes["balances"])
            orchestrator.bank.balances.clear()
        for account in wishes.get("fill", ()):
            fill(orchestrator, str(user_id(account.pop("key"))), **account)
    except (TypeError, ValueError, KeyError) as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response({"ok": True})


async def _show_ledger(bank: Bank, request: web.Request) -> web.StreamResponse:
    return web.json_response([asdict(entry) for entry in bank.ledger])


async def _show_requests(log: RequestLog, request: web.Request) -> web.StreamResponse:
    shown = [{**asdict(seen), "body": seen.body.decode("utf-8", "replace")[:100_000]} for seen in log.requests]
    return web.json_response(shown)
