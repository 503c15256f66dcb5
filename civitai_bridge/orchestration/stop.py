"""Asking the service to stop a workflow. Only a person's cancel leads here."""

from __future__ import annotations

import asyncio
import contextlib

from ..errors import BadRequest, CivitaiError, Conflict, Gone, NotFound
from .client import OrchestrationClient
from .owned import OwnedPurchase
from .purchase import ACCEPTED


async def ask_to_stop(client: OrchestrationClient, workflow_id: str) -> None:
    """Ask once. A 4xx says nothing, for a workflow that is over answers so too: what it then is, the next look
    tells."""
    with contextlib.suppress(BadRequest, NotFound, Conflict, Gone):
        await client.cancel(workflow_id)


async def ask_until_over(owned: OwnedPurchase) -> None:
    """Ask again and again: a request to cancel may be lost like any other, and the polled status says when it was
    heard."""
    services = owned.services
    while owned.purchase.state == ACCEPTED and not owned.over:
        with contextlib.suppress(CivitaiError):
            await ask_to_stop(services.client, owned.purchase.workflow_id)
            services.watcher.hurry()
        await services.timings.sleep(services.timings.cancel_again)
        await asyncio.sleep(0)
