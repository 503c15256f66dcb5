"""Around each route of the sandbox: the log of what arrived, the fault that the script wants, refusals as answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from .orchestrator import order
from .script import Fault, Script
from .users import user_of
from .workflows import Orchestrator, Refusal, Run

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; `when` is seconds since the epoch."""

    when: float
    host: str
    route: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class RequestLog:
    """Every request to the sandbox, and what the script does to it. `hosts` names the service behind each port."""

    def __init__(self, script: Script, orchestrator: Orchestrator) -> None:
        self.requests: list[Seen] = []
        self.hosts: dict[int, str] = {}
        self._script = script
        self._orchestrator = orchestrator
        self._late: set[asyncio.Task[None]] = set()

    def around(self, route: str, handler: Handler) -> Handler:
        """A handler whose requests are logged and may go wrong."""

        async def answer(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            name = "price" if route == "submit" and request.query.get("whatif") == "true" else route
            self.requests.append(
                Seen(
                    time.time(), self.hosts[int(request.url.port or 0)], name, request.method, request.path,
                    request.query_string, dict(request.headers), body,
                )
            )  # fmt: skip
            if _token(request) in self._script.refused_keys:
                return web.json_response({"title": "Unauthorized", "status": 401}, status=401)
            fault = self._script.next_fault(name, _subject(self._orchestrator, name, request, body))
            try:
                return await (handler(request) if fault is None else self._faulty(request, handler, fault))
            except Refusal as refusal:
                kind = "application/json" if isinstance(refusal.body, str) else "application/problem+json"
                return web.json_response(refusal.body, status=refusal.status, content_type=kind)

        return answer

    async def _faulty(self, request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
        if fault.kind == "late":
            task = asyncio.ensure_future(_later(request, handler, fault.seconds))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return _hang_up(request)
        if fault.kind == "twin":
            await handler(request)
            order(self._orchestrator, user_of(request), json.loads(await request.read()), whatif=False, twin=True)
            return _hang_up(request)
        return await _ACTS[fault.kind](request, handler, fault)

    def close(self) -> None:
        """Forget requests that were to arrive later."""
        for task in self._late:
            task.cancel()


def _subject(orchestrator: Orchestrator, route: str, request: web.Request, body: bytes) -> str:
    """What a request is about: the prompt of its order, else its path. Random faults hang on it."""
    match_info = request.match_info
    run: Run | None = None
    blob = None
    match route:
        case "submit" | "price":
            return _prompt_of(body)
        case "poll" | "cancel" | "delete" | "step":
            run = orchestrator.runs.get(match_info["id"])
        case "list":
            asked = set(request.query.getall("tags", []))
            run = next((run for run in orchestrator.runs.values() if run.key and run.key in asked), None)
        case "blob" | "refresh":
            blob = match_info["id"]
        case "content":
            blob = orchestrator.content.get(match_info["token"])
    if blob is not None:
        run = next((run for run in orchestrator.runs.values() if any(each.id == blob for each in run.blobs)), None)
    return run.prompt if run is not None else request.path


def _prompt_of(body: bytes) -> str:
    """The prompt of an order's first step, or nothing where the body is none."""
    try:
        return str(json.loads(body)["steps"][0]["input"]["prompt"])
    except (ValueError, LookupError, TypeError):
        return ""


# What each kind of fault does with a request; the kinds are explained in script.py.


async def _status(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    return web.json_response(fault.body, status=fault.status, headers=_retry_after(fault))


async def _page(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    text = "<!DOCTYPE html><html><title>502</title><h1>Bad gateway</h1></html>"
    return web.Response(status=502, text=text, content_type="text/html")


async def _challenge(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    status = fault.status if fault.status in (403, 429, 503) else 403
    text = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>/cdn-cgi/challenge-platform/</body>"
    headers = {"cf-mitigated": "challenge", "server": "cloudflare"}
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


async def _tells(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    body = {"title": "Bad Request", "status": 400, "detail": f"The token {_token(request)} is not allowed to do this."}
    return web.json_response(body, status=400)


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").partition(" ")[2]


async def _limit(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    return web.Response(status=429, headers=_retry_after(fault))


async def _drop(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    return _hang_up(request)


async def _hang(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.seconds)
    return _hang_up(request)


async def _slow(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.seconds)
    return await handler(request)


async def _lost(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    await handler(request)
    return _hang_up(request)


async def _lost_with_500(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    await handler(request)
    return web.Response(status=500, text="", content_type="text/html")


async def _cut(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    real, content = await _carried_out(request, handler)
    half = content[: len(content) // 2]
    if not half:
        return await _short(request, handler, fault)
    answer = web.StreamResponse(status=real.status, headers={"Content-Length": str(len(content))})
    answer.content_type = real.content_type
    await answer.prepare(request)
    await answer.write(half)
    return _hang_up(request, answer)


async def _short(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    real, content = await _carried_out(request, handler)
    location = {"Location": real.headers["Location"]} if "Location" in real.headers else {}
    half = content[: len(content) // 2]
    return web.Response(status=real.status, headers=location, body=half, content_type=real.content_type)


async def _wrong(request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
    _, content = await _carried_out(request, handler)
    return web.Response(body=b"GIF89a" + content[6:], content_type="image/gif")


_ACTS: dict[str, Callable[[web.Request, Handler, Fault], Awaitable[web.StreamResponse]]] = {
    "status": _status, "html": _page, "limit": _limit, "drop": _drop, "hang": _hang, "slow": _slow, "lost": _lost,
    "challenge": _challenge, "tells": _tells, "lost500": _lost_with_500, "cut": _cut, "short": _short, "wrong": _wrong,
}  # fmt: skip


async def _carried_out(request: web.Request, handler: Handler) -> tuple[web.StreamResponse, bytes]:
    real = await handler(request)
    return real, real.body if isinstance(real, web.Response) and isinstance(real.body, bytes) else b""


async def _later(request: web.Request, handler: Handler, seconds: float) -> None:
    """The request that arrives after all; its caller is long gone."""
    await asyncio.sleep(seconds)
    with contextlib.suppress(Refusal):  # nobody is there to be refused
        await handler(request)


def _retry_after(fault: Fault) -> dict[str, str]:
    return {"Retry-After": fault.after} if fault.after else {}


def _hang_up(request: web.Request, begun: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection without an answer, or in the middle of one."""
    if request.transport is not None:
        request.transport.abort()
    return begun or web.Response(status=500)
