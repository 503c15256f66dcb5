"""The sandbox's three addresses on loopback: orchestrator, site and storage, with a log of every request and a
control address."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from ..errors import BadSetting
from . import models as catalogue
from . import schema
from .money import Bank, Entry
from .orchestrator import Orchestrator, Refusal, problem
from .script import Fault, Script
from .website import Website

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ROOT = "/v2/consumer/workflows"


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


class Sandbox:
    """A pretend CivitAI: `async with Sandbox() as sandbox: …`. `port` takes N (orchestrator), N+1 (site), N+2
    (storage); N+3 is kept for the relay; 0 = free ports. `pace` scales the 2.5 seconds of a job."""

    def __init__(self, *, port: int = 0, pace: float = 1.0, script: Script | None = None) -> None:
        self.script = script or Script()
        self.bank = Bank()
        self.site = Website()
        self.requests: list[Seen] = []
        self.connections = 0
        self._port = port
        self._runners: list[web.AppRunner] = []
        self._orchestrator = Orchestrator(self.script, self.bank, pace=pace)
        self._hosts: dict[int, str] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self.orchestration_url = self.site_url = self.storage_url = ""

    @property
    def ledger(self) -> list[Entry]:
        return self.bank.ledger

    @property
    def workflows(self) -> dict[str, dict[str, Any]]:
        return {name: run.data for name, run in self._orchestrator.runs.items()}

    async def __aenter__(self) -> Sandbox:
        schema.problems("WorkflowTemplate", {})  # says at once which package is missing, if one is
        self.orchestration_url = await self._serve("orchestrator", 0, self._orchestrator_routes())
        self.site_url = await self._serve("site", 1, self.site.routes(self._answer))
        self.storage_url = await self._serve(
            "storage",
            2,
            [
                web.get("/content/{token}", self._answer("content", self._content)),
                *self.site.storage_routes(self._answer),
            ],
        )
        self.site.base, self.site.storage.base = self.site_url, self.storage_url
        self._orchestrator.base, self._orchestrator.storage = self.orchestration_url, self.storage_url
        return self

    async def __aexit__(self, *_: object) -> None:
        self._orchestrator.close()
        for task in self._late:
            task.cancel()
        for runner in self._runners:
            await runner.cleanup()

    async def _serve(self, host: str, offset: int, routes: list[web.RouteDef]) -> str:
        app = web.Application(client_max_size=96 * 1024 * 1024)
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self._port + offset if self._port else 0)
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise BadSetting(
                f"The sandbox cannot take port {self._port + offset}: {error.strerror}. Choose another with --port."
            ) from error
        self._runners.append(runner)
        port = runner.addresses[0][1]
        self._hosts[port] = host
        return f"http://127.0.0.1:{port}"

    # --- the frame around each route: log, faults, refusals ---------------------------------------------------------

    def _answer(self, route: str, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            name = "price" if route == "submit" and request.query.get("whatif") == "true" else route
            self.requests.append(
                Seen(
                    time.time(),
                    self._hosts[int(request.url.port or 0)],
                    name,
                    request.method,
                    request.path,
                    request.query_string,
                    dict(request.headers),
                    body,
                )
            )
            fault = self.script.next_fault(name, self._subject(name, request, body))
            try:
                if fault is None:
                    return await handler(request)
                return await self._faulty(request, handler, fault)
            except Refusal as refusal:
                kind = "application/json" if isinstance(refusal.body, str) else "application/problem+json"
                return web.json_response(refusal.body, status=refusal.status, content_type=kind)

        return answer

    def _subject(self, route: str, request: web.Request, body: bytes) -> str:
        """What a request is about: the prompt of its order, else its path. Random faults hang on it."""
        found = request.match_info
        run = blob = None
        match route:
            case "submit" | "price":
                return _prompt_of(body)
            case "poll" | "cancel":
                run = self._orchestrator.runs.get(found["id"])
            case "list":
                asked = set(request.query.getall("tags", []))
                run = next((run for run in self._orchestrator.runs.values() if run.key and run.key in asked), None)
            case "blob" | "refresh":
                blob = found["id"]
            case "content":
                blob = self._orchestrator.content.get(found["token"])
        if blob is not None:
            run = next((run for run in self._orchestrator.runs.values() if any(b.id == blob for b in run.blobs)), None)
        return run.prompt if run is not None else request.path

    async def _faulty(self, request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
        match fault.kind:
            case "status":
                later = {"Retry-After": fault.after} if fault.after else None
                return web.json_response(fault.body, status=fault.status, headers=later)
            case "html":
                text = "<!DOCTYPE html><html><title>502</title><h1>Bad gateway</h1></html>"
                return web.Response(status=502, text=text, content_type="text/html")
            case "limit":
                return web.Response(status=429, headers={"Retry-After": fault.after} if fault.after else {})
            case "drop":
                return _hang_up(request)
            case "hang":
                await asyncio.sleep(fault.seconds)
                return _hang_up(request)
            case "slow":
                await asyncio.sleep(fault.seconds)
                return await handler(request)
            case "lost":
                await handler(request)
                return _hang_up(request)
            case "lost500":
                await handler(request)
                return web.Response(status=500, text="", content_type="text/html")
            case "late":
                task = asyncio.ensure_future(self._later(request, handler, fault.seconds))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                return _hang_up(request)
            case "twin":
                await handler(request)
                body = json.loads(await request.read())
                self._orchestrator.order(self._user(request), body, whatif=False, twin=True)
                return _hang_up(request)
        real = await handler(request)
        content = real.body if isinstance(real, web.Response) and isinstance(real.body, bytes) else b""
        half = content[: len(content) // 2]
        if fault.kind == "cut" and half:
            cut = web.StreamResponse(status=real.status, headers={"Content-Length": str(len(content))})
            cut.content_type = real.content_type
            await cut.prepare(request)
            await cut.write(half)
            return _hang_up(request, cut)
        if fault.kind in ("cut", "short"):
            return web.Response(status=real.status, headers=_location(real), body=half, content_type=real.content_type)
        if fault.kind == "wrong":
            return web.Response(body=b"GIF89a" + content[6:], content_type="image/gif")
        raise ValueError(f"unknown fault {fault.kind!r}")

    async def _later(self, request: web.Request, handler: Handler, seconds: float) -> None:
        """The request that arrives after all; its caller is long gone."""
        await asyncio.sleep(seconds)
        with contextlib.suppress(Refusal):  # nobody is there to be refused
            await handler(request)

    def _user(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or token in ("expired", "wrong"):
            raise problem(401, "Unauthorized")
        return str(int(hashlib.sha256(token.encode()).hexdigest()[:6], 16))

    # --- orchestrator
    # --------------------------------------------------------------------------------------------------

    def _orchestrator_routes(self) -> list[web.RouteDef]:
        blobs = "/v2/consumer/blobs"
        return [
            web.post(_ROOT, self._answer("submit", self._submit)),
            web.get(_ROOT, self._answer("list", self._list)),
            web.get(_ROOT + "/{id}", self._answer("poll", self._poll)),
            web.put(_ROOT + "/{id}", self._answer("cancel", self._cancel)),
            web.get(blobs + "/content/{token}", self._answer("content", self._content)),
            web.get(blobs + "/blocked/{token}", self._answer("content", self._blocked)),
            web.post(blobs + "/{id}/refresh", self._answer("refresh", self._refresh)),
            web.get(blobs + "/{id}", self._answer("blob", self._blob)),
            web.get("/v2/resources/{air}", self._answer("resource", self._resource)),
            web.post("/sandbox/control", self._control),
            web.get("/sandbox/ledger", self._show_ledger),
            web.get("/sandbox/requests", self._show_requests),
        ]

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        user = self._user(request)
        try:
            body = json.loads(await request.read())
        except ValueError as error:
            raise problem(400, "Bad Request", "The body is no JSON.") from error
        whatif = request.query.get("whatif") == "true"
        status, workflow = self._orchestrator.order(user, body, whatif=whatif)
        return web.json_response(workflow, status=status)

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        run = self._orchestrator.run_of(self._user(request), request.match_info["id"])
        wait = request.query.get("wait", "0")
        if not wait.isdigit() or (self.script.wait_refused and wait != "0"):
            raise problem(400, "Bad Request", f"The value '{wait}' is not valid for wait.")
        if int(wait):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(run.done.wait(), min(int(wait), 100))
        hide = request.query.get("hideMatureContent") == "true"
        return web.json_response(
            self._orchestrator.view(run, hide_mature=hide),
            status=202 if not run.done.is_set() and (int(wait) or self.script.get_without_wait_202) else 200,
        )

    async def _list(self, request: web.Request) -> web.StreamResponse:
        query = {name: request.query.getall(name) for name in request.query}
        return web.json_response(self._orchestrator.listed(self._user(request), query))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        run = self._orchestrator.run_of(self._user(request), request.match_info["id"])
        try:
            body = await request.json()
            wanted = body["status"]
        except (ValueError, LookupError, TypeError) as error:
            raise problem(400, "Bad Request", "The body names no status.") from error
        if wanted == "canceled":
            if run.done.is_set() and self.script.cancel_of_ended == 204:
                return web.Response(status=204)
            self._orchestrator.cancel(run)
        if self.script.dialect == "S+":
            return web.json_response(self._orchestrator.view(run))
        return web.Response(status=204)

    async def _refresh(self, request: web.Request) -> web.StreamResponse:
        user, blob = self._user(request), self._orchestrator.blobs.get(request.match_info["id"])
        if blob is None or blob.user != user:
            raise problem(404, "Not Found")
        return web.json_response(self._orchestrator.describe(blob))

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        user = self._user(request) if "Authorization" in request.headers else None
        target = self._orchestrator.open_blob(
            request.match_info["id"], user=user, signature=request.query.get("sig", "")
        )
        if request.method == "HEAD":
            return web.Response(status=204)
        return web.Response(status=301, headers={"Location": target, "x-nsfw-level": "pg"})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:  # the log keeps it, so that a test can see the leak
            return web.Response(
                status=400, text="<Error><Code>InvalidRequest</Code></Error>", content_type="application/xml"
            )
        blob = self._orchestrator.blobs.get(self._orchestrator.content.get(request.match_info["token"], ""))
        if blob is None or blob.content is None:
            raise problem(404, "Not Found")
        return web.Response(body=blob.content, content_type=blob.kind)

    async def _blocked(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=403, text="blocked")

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        version = catalogue.by_air(request.match_info["air"])
        if version is None:
            raise problem(404, "Not Found")
        small = catalogue.mini(version, self.site_url)
        return web.json_response(
            {
                "air": version.air,
                "size": int(small["size"] * 1024),
                "hashes": small["hashes"],
                "downloadUrls": small["downloadUrls"],
                "resourceName": version.model,
                "versionName": version.name,
                "checkPermission": False,
                "canGenerate": version.can_generate,
                "fileFormat": "safeTensor",
                "hasMatureContentRestriction": False,
                "hasNSFWContentRestriction": False,
            }
        )

    # --- control
    # -------------------------------------------------------------------------------------------------------

    async def _control(self, request: web.Request) -> web.StreamResponse:
        """JSON of any of: calm true (forget the faults before), faults [{route, kind, …}], jobs [{…}], switches {…},
        site {…}, balances {wallet: Buzz}, random {seed, chance, jobs}."""
        wishes = await request.json()
        try:
            if wishes.get("calm"):
                self.script.faults.clear()
            for fault in wishes.get("faults", ()):
                self.script.fault(**fault)
            for job in wishes.get("jobs", ()):
                self.script.job(**{k: tuple(v) if isinstance(v, list) else v for k, v in job.items()})
            for name, value in wishes.get("switches", {}).items():
                self.script.switch(name, value)
            for name, value in wishes.get("site", {}).items():
                self.site.switch(name, value)
            if "random" in wishes:
                self.script.at_random(**wishes["random"])
            if "balances" in wishes:
                self.bank.opening = dict(wishes["balances"])
                self.bank.balances.clear()
        except (TypeError, ValueError, KeyError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"ok": True})

    async def _show_ledger(self, request: web.Request) -> web.StreamResponse:
        return web.json_response([asdict(entry) for entry in self.ledger])

    async def _show_requests(self, request: web.Request) -> web.StreamResponse:
        shown = [{**asdict(seen), "body": seen.body.decode("utf-8", "replace")[:100_000]} for seen in self.requests]
        return web.json_response(shown)


def _prompt_of(body: bytes) -> str:
    """The prompt of an order's first step, or nothing where the body is none."""
    try:
        return str(json.loads(body)["steps"][0]["input"]["prompt"])
    except (ValueError, LookupError, TypeError):
        return ""


def _location(response: web.StreamResponse) -> dict[str, str]:
    return {"Location": response.headers["Location"]} if "Location" in response.headers else {}


def _hang_up(request: web.Request, begun: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection without an answer, or in the middle of one."""
    if request.transport is not None:
        request.transport.abort()
    return begun or web.Response(status=500)


class Embedded:
    """A sandbox in a thread of its own, for faces that are not on its loop (nodes, the demo)."""

    def __init__(self, *, port: int = 0, pace: float = 1.0) -> None:
        self.sandbox = Sandbox(port=port, pace=pace)
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="civitai-bridge-sandbox", daemon=True)
        self._thread.start()
        self._started.result(30)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self.sandbox.__aenter__())
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        self._loop.run_forever()

    def stop(self) -> None:
        async def close() -> None:
            await self.sandbox.__aexit__()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._loop.shutdown_default_executor()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(15)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
