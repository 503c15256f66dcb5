"""The orchestration consumer API: one method per route, values in, values out.

What the code leans on: `externalId` makes a submit idempotent; a whatif never carries one, for it may claim the key;
`status` in the body is the authority, not the HTTP code; PUT answers 204 or 200; reads hide mature results unless told
otherwise, the list even by default. Repeats are not made here: reads are wrapped in `retrying`, a submit is repeated by
`submit` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, urljoin

from ..errors import Unreadable
from ..network.exchange import Request, Send, expect
from ..resources.json_values import mapping, objects, text
from .workflow import Workflow, workflow_from_json

SUBMIT_SECONDS = 150.0  # source pictures are fetched during the POST, about 20 s each (measured)
POLL_MARGIN = 20.0  # how much later than `wait` an answer may still come
_ROOT = "/v2/consumer/workflows"


class OrchestrationClient:
    """`send` repeats what may be repeated; `send_once` never repeats (it carries the submits); both at `base_url`."""

    def __init__(self, send: Send, send_once: Send, base_url: str = "https://orchestration.civitai.com") -> None:
        self._send = send
        self._send_once = send_once
        self._base_url = base_url

    async def price(self, body: Mapping[str, Any]) -> Workflow:
        """Ask what `body` (without `externalId`) would cost. Nothing is stored or paid.

        Repeating is harmless, but POSTs are never repeated by the network floor, so neither is this."""
        assert "externalId" not in body
        request = Request(
            "POST",
            _ROOT,
            query=(("whatif", "true"), ("hideMatureContent", "false")),
            json=dict(body),
            timeout=SUBMIT_SECONDS,
        )
        return _workflow(await self._send_once(request))

    async def submit(self, body: str, *, again: bool = False, is_wanted: Callable[[], bool] = lambda: True) -> Workflow:
        """Send a paid workflow, exactly the stored text, once. Without `wait`, whose default is 0: older deployments
        take it as a boolean and answer 400 to a number. `again` = an earlier POST of it may have arrived, so that it
        sits out a pause the service asks for, unless `is_wanted` turns false meanwhile. Raises ApiError or
        Unreachable; only `submit` repeats it."""
        request = Request(
            "POST",
            _ROOT,
            query=(("hideMatureContent", "false"),),
            content=body.encode(),
            content_type="application/json",
            timeout=SUBMIT_SECONDS,
            of_order=again,
            fresh=True,
            is_wanted=is_wanted,
        )
        workflow = _workflow(await self._send_once(request))
        if not workflow.id:
            raise Unreadable("CivitAI answered the order without an id.", status=200)
        return workflow

    async def workflow(self, workflow_id: str, *, wait: int = 0) -> Workflow:
        """The workflow as it is now, or as soon as it is done within `wait` seconds (long poll)."""
        query = (("wait", str(wait)),) if wait else ()
        request = Request(
            "GET",
            f"{_ROOT}/{quote(workflow_id, safe='')}",
            query=(*query, ("hideMatureContent", "false")),
            timeout=wait + POLL_MARGIN,
            of_order=True,
        )
        return _workflow(await self._send(request))

    async def tagged(self, tag: str) -> list[Workflow]:
        """Workflows of this tag, newest first. One page: a tag of ours names one purchase."""
        query = (("tags", tag), ("take", "20"), ("hideMatureContent", "false"))
        data = expect(
            await self._send(Request("GET", _ROOT, query=query, of_order=True)), service="CivitAI's orchestrator"
        )
        return [workflow_from_json(workflow) for workflow in objects(mapping(data).get("items"))]

    async def page(
        self, tag: str, *, since: datetime | None = None, cursor: str = "", take: int = 100
    ) -> tuple[list[Workflow], str]:
        """A page of the workflows of this tag that were made since a moment, newest first, and where the next page
        begins (`""` = there is none). Ended ones are among them, however they ended."""
        query = [("tags", tag), ("take", str(take)), ("hideMatureContent", "false")]
        if since is not None:
            query.append(("fromDate", since.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")))
        if cursor:
            query.append(("cursor", cursor))
        request = Request("GET", _ROOT, query=tuple(query), of_order=True)
        data = mapping(expect(await self._send(request), service="CivitAI's orchestrator"))
        return [workflow_from_json(workflow) for workflow in objects(data.get("items"))], text(data.get("next"))

    async def cancel(self, workflow_id: str) -> None:
        """Ask for the end of a workflow. Success is 204 or 200; a workflow that is over already is an ApiError
        400/404/409."""
        request = Request("PUT", f"{_ROOT}/{quote(workflow_id, safe='')}", json={"status": "canceled"}, of_order=True)
        expect(await self._send(request), service="CivitAI's orchestrator")

    async def refreshed_url(self, blob_id: str) -> str:
        """A fresh signed address of a blob; `""` when the service gives none."""
        request = Request("POST", f"/v2/consumer/blobs/{quote(blob_id, safe='')}/refresh", of_order=True)
        data = expect(await self._send(request), service="CivitAI's orchestrator")
        return text(mapping(data).get("url"))

    async def blob_url(self, blob_id: str) -> str:
        """Where a blob can be fetched now, asked with the key by its id; `""` when the service does not say. It answers
        with a redirect, which is not followed here: the key goes no further."""
        path = f"/v2/consumer/blobs/{quote(blob_id, safe='')}"
        response = await self._send(Request("GET", path, of_order=True))
        if 300 <= response.status < 400:
            return urljoin(self._base_url.rstrip("/") + path, response.headers.get("location", ""))
        expect(response, service="CivitAI's orchestrator")
        return ""


def _workflow(response: Any) -> Workflow:
    data = expect(response, service="CivitAI's orchestrator")
    if not isinstance(data, Mapping):
        raise Unreadable(
            "CivitAI's orchestrator answered with something that is not a workflow.", status=response.status
        )
    return workflow_from_json(data)
