"""The routes by which workflows are read: values in, the service's own answers out, one method per route.

Changes (cancel) and addresses of blobs are `orchestration.client`'s. `send` repeats what may be repeated, and is the
only thing here that knows the key. Every error is a sentence with the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ..errors import ApiError, BadRequest, Forbidden, Gone, NotFound, RateLimited, Unauthorized, Unreadable
from ..network.exchange import Request, Response, Send, expect
from ..resources.json_values import integer, items, mapping, text
from .details import WorkflowDetails, details_from_json
from .query import Page, WorkflowFilter

POLL_MARGIN = 20.0  # seconds by which an answer may come later than its `wait`
_PAGE_SECONDS = 60.0
_ROOT = "/v2/consumer/workflows"
_BLOBS = "/v2/consumer/blobs"
_SERVICE = "CivitAI's orchestrator"


@dataclass(frozen=True)
class Answer:
    """The service's JSON as it was read (`data`) and as it came (`content`)."""

    data: Any
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class BlobHead:
    """What HEAD tells of a blob: that it is there, its rating (`""` = not told), and every header of the answer."""

    id: str
    nsfw_level: str
    headers: Mapping[str, str]


class WorkflowClient:
    """Reads alone; `send` goes to the configured orchestrator."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def page(self, query: WorkflowFilter) -> Page:
        """One page of the account's workflows. Raises BadRequest (a cursor of another query), ApiError, Unreachable."""
        request = Request("GET", _ROOT, query=query.parameters(), timeout=_PAGE_SECONDS)
        try:
            answer = await self._ask(request, "")
        except BadRequest as error:
            if not query.cursor:
                raise
            raise BadRequest(
                "CivitAI did not accept the cursor: it belongs to another query, or is no longer valid. Use a cursor "
                f"with the options it came with, or begin again without one.{_detail(error)}",
                status=error.status,
                detail=error.detail,
            ) from error
        came = [details_from_json(each) for each in items(mapping(answer.data).get("items")) if isinstance(each, dict)]
        next_ = mapping(answer.data).get("next") or mapping(answer.data).get("nextCursor")
        next_ = str(next_) if integer(next_) else text(next_)
        kept, ignored = query.sift(came)
        if _is_in_wrong_order(came, query):
            ignored |= {"ascending"}
        return Page(kept, next_, len(came), ignored)

    async def staff_page(self, user_id: str, query: WorkflowFilter) -> Page:
        """Workflows of any user, a bare array of at most ten: a route for CivitAI's staff. Raises ApiError."""
        pairs = [("UserId", user_id), ("Take", str(query.take)), ("Query", query.text), ("Cursor", query.cursor)]
        pairs += [("Tags", tag) for tag in query.tags]
        pairs += [("ExcludeFailed", "true")] if query.exclude_failed else []
        pairs += [("Inverse", "true")] if query.oldest_first else []
        request = Request("GET", "/v1/manager/workflows", query=tuple((name, value) for name, value in pairs if value))
        answer = await self._ask(request, "")
        listed = answer.data if isinstance(answer.data, list) else items(mapping(answer.data).get("items"))
        kept, ignored = query.sift(details_from_json(each) for each in listed if isinstance(each, dict))
        return Page(kept, "", len(listed), ignored)

    async def workflow(
        self, workflow_id: str, *, wait: int = 0, is_wanted: Callable[[], bool] = lambda: True
    ) -> tuple[WorkflowDetails, Answer]:
        """A workflow as it is now, or as soon as it is over within `wait` seconds (long poll), which sits out a pause
        that the service asks for while `is_wanted`. Raises NotFound: another account's, deleted, no longer kept;
        BadRequest from an older deployment that takes no number of seconds."""
        query = (("wait", str(wait)),) if wait else ()
        request = Request(
            "GET",
            f"{_ROOT}/{quote(workflow_id, safe='')}",
            query=(*query, ("hideMatureContent", "false")),
            timeout=wait + POLL_MARGIN,
            of_order=bool(wait),
            is_wanted=is_wanted,
        )
        answer = await self._ask(request, f"workflow {workflow_id}")
        return details_from_json(_object(answer, "a workflow")), answer

    async def step(self, workflow_id: str, name: str) -> tuple[Mapping[str, Any], Answer]:
        """A step by its own name. Raises NotFound."""
        path = f"{_ROOT}/{quote(workflow_id, safe='')}/steps/{quote(name, safe='')}"
        answer = await self._ask(Request("GET", path), f"step {name} of workflow {workflow_id}")
        return _object(answer, "a step"), answer

    async def job(self, job_id: str) -> tuple[Mapping[str, Any], Answer]:
        """A job by the old route, with its scans. Raises NotFound, Gone or Forbidden where that is for staff alone, or
        is no longer there."""
        path = f"/v1/consumer/jobs/{quote(job_id, safe='')}"
        answer = await self._ask(Request("GET", path, query=(("detailed", "true"),)), f"job {job_id}")
        return _object(answer, "a job"), answer

    async def blob_head(self, blob_id: str) -> BlobHead:
        """Whether a blob is there, asked by HEAD with the key. Raises NotFound: not made, withheld, no longer kept."""
        response = await self._send(Request("HEAD", f"{_BLOBS}/{quote(blob_id, safe='')}"))
        if not 200 <= response.status < 400:  # a redirect means that it is there as well
            _expect(response, f"blob {blob_id}")
        return BlobHead(blob_id, response.headers.get("x-nsfw-level", ""), response.headers)

    async def blob(self, blob_id: str) -> tuple[Mapping[str, Any], Answer]:
        """What the service says of a blob, with a fresh signed address; asking renews its 30 days. Raises NotFound."""
        path = f"{_BLOBS}/{quote(blob_id, safe='')}/refresh"
        answer = await self._ask(Request("POST", path, timeout=_PAGE_SECONDS), f"blob {blob_id}")
        return _object(answer, "a blob"), answer

    async def _ask(self, request: Request, subject: str) -> Answer:
        response = await self._send(request)
        return Answer(_expect(response, subject), response.content)


def _expect(response: Response, subject: str) -> Any:
    try:
        return expect(response, service=_SERVICE)
    except ApiError as error:
        raise _in_words(error, subject) from error


def _in_words(error: ApiError, subject: str) -> ApiError:
    """The same error with what to do next."""
    kind, after = type(error), error.retry_after
    if isinstance(error, Unauthorized):
        sentence = "Invalid or expired token: CivitAI does not accept the API key. Run `civitai-bridge login`."
    elif isinstance(error, (NotFound, Gone)):
        what = (subject or "it").split(" ")[0].capitalize()
        sentence = (
            f"{what} not found: CivitAI shows no {subject or 'such list'} to this key. It is another account's, was "
            "deleted, or is older than the 30 days for which CivitAI keeps it; `civitai-bridge workflows` lists yours."
        )
    elif isinstance(error, RateLimited):
        wait = f"wait {after:.0f} s before retrying" if after else "wait before retrying"
        sentence = f"Rate limited: CivitAI asks for fewer requests; {wait}."
    elif isinstance(error, BadRequest):
        sentence = f"Invalid parameters: CivitAI did not accept the request.{_detail(error)}"
    elif isinstance(error, Forbidden):
        sentence = f"CivitAI does not show {subject or 'this'} to this key.{_detail(error)}"
    else:
        return error
    return kind(sentence, status=error.status, detail=error.detail, retry_after=after)


def _detail(error: ApiError) -> str:
    return f" It says: {error.detail.rstrip('.')}." if error.detail else ""


def _object(answer: Answer, what: str) -> Mapping[str, Any]:
    if not isinstance(answer.data, Mapping):
        raise Unreadable(f"CivitAI's orchestrator answered with something that is not {what}.", status=200)
    return answer.data


def _is_in_wrong_order(workflows: list[WorkflowDetails], query: WorkflowFilter) -> bool:
    """Whether a page begins at the other end of time than was asked."""
    moments = [text(each.raw.get("createdAt")) for each in workflows]
    if len(moments) < 2 or not all(moments):
        return False
    return query.oldest_first and moments[0] > moments[-1]
