"""Whose key it is, what was spent and what is left, what waits to be collected, what stands in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..errors import BadSetting, CivitaiError
from ..network.diagnosis import TROUBLE, Finding
from ..network.doctor import local_findings, service_findings
from ..orchestration import accounts
from ..orchestration.reserve import limits
from ..orchestration.spendings import spendings_of, spent_until
from ..resources.plain_text import printable
from ..website import SiteClient
from ..website.wallets import wallets_or_reason
from ..wording import at_a_graph
from .context import Asked, Context
from .key import key_state

if TYPE_CHECKING:
    from ..app import App
    from ..orchestration.purchase import Purchase
    from ..settings import Settings

_PATIENCE = 8.0  # seconds for what only CivitAI tells; the rest is answered without it
_MOST_WAITING = 200
_LONGEST_PROMPT = 200


async def account_answer(context: Context, _: Asked) -> Mapping[str, Any]:
    """`GET /civitai_bridge/account`. What CivitAI does not tell in a few seconds is null with a sentence beside it.
    Raises BadSetting, StateTrouble."""
    settings = await asyncio.to_thread(context.gate.settings)
    app = context.opened()
    key, (user, user_note), (wallet, wallet_note), money, findings = await asyncio.gather(
        asyncio.to_thread(key_state, context.gate.settings),
        _user(app),
        _wallet(app),
        _money(app, settings),
        asyncio.to_thread(local_findings, settings, names_folder=False),
    )
    key["damage"] = settings.key_damage or None
    return {
        "key": key,
        "user": user,
        "user_note": user_note,
        "wallet": wallet,
        "wallet_note": wallet_note,
        **money,
        "doctor": _as_json(findings),
        "sandbox": settings.sandbox,
    }


async def doctor_answer(context: Context, _: Asked) -> Mapping[str, Any]:
    """`GET /civitai_bridge/doctor`: everything that stands in the way, the services asked; takes as long as they do."""
    settings = await asyncio.to_thread(context.gate.settings)
    findings = await asyncio.to_thread(local_findings, settings, names_folder=False)
    try:
        settings, network = await context.opened().connected()
        findings += await service_findings(settings, network)
    except BadSetting as error:
        findings.append(Finding("settings", TROUBLE, str(error)))
    return {"ok": all(finding.state != TROUBLE for finding in findings), "findings": _as_json(findings)}


def _as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    return [{**asdict(finding), "remedy": at_a_graph(finding.remedy)} for finding in findings]


async def _user(app: App) -> tuple[dict[str, str] | None, str]:
    """The key's user, or why that is not known."""
    try:
        settings, network = await app.connected()
        if not settings.key:
            return None, ""
        site = SiteClient(network.send_to(settings.site_url, settings.key))
        user = await asyncio.wait_for(site.user(), _PATIENCE)
    except asyncio.TimeoutError:
        return None, "CivitAI takes too long to say whose the key is."
    except CivitaiError as error:
        return None, at_a_graph(str(error))
    return {"id": user.id, "name": user.name}, ""


async def _wallet(app: App) -> tuple[dict[str, int] | None, str]:
    """Buzz by wallet, or why that is not known."""
    try:
        settings, network = await app.connected()
        if not settings.key:
            return None, ""
        send = network.send_to(settings.site_url, settings.key)  # not what was remembered: a purchase changes it
        return await asyncio.wait_for(wallets_or_reason(send), _PATIENCE)
    except asyncio.TimeoutError:
        return None, "CivitAI takes too long to say what the wallets hold."
    except CivitaiError as error:
        return None, at_a_graph(str(error))


async def _money(app: App, settings: Settings) -> dict[str, Any]:
    """What was spent, the limits, and what waits; from the journal, with nobody asked."""
    journal = await app.journal()
    most = limits(settings)

    def read() -> dict[str, Any]:
        spent = spent_until(spendings_of(journal, settings.service), most, journal.clock())
        waiting = accounts.waiting(journal, settings)
        return {
            "spent_today": spent.today,
            "spent_month": spent.month,
            "spent_24_hours": spent.last_24_hours,
            "left": spent.left,
            "limits": asdict(most),
            "waiting": [_waiting(purchase) for purchase in waiting[-_MOST_WAITING:]],
            "waiting_count": len(waiting),
        }

    return await asyncio.to_thread(read)


def _waiting(purchase: Purchase) -> dict[str, Any]:
    about = purchase.about
    return {
        "key": purchase.key,
        "workflow_id": purchase.workflow_id,
        "state": purchase.state,
        "created": purchase.created,
        "cost": purchase.cost,
        "model": printable(str(about.get("model") or about.get("air") or "")),
        "engine": printable(str(about.get("variant") or "")),
        "prompt": printable(str(about.get("prompt") or ""))[:_LONGEST_PROMPT],
        "pictures": len(purchase.slots) or about.get("quantity") or 1,
        "arrived": sum(1 for slot in purchase.slots if slot.fetched),
        "error": purchase.error,
    }
