"""A small fleet in memory: site, orchestrator and storage, which remembers what it was sent and what it charged."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from PIL import Image

from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.network.fetch import Fetched
from pack.civitai_bridge.orchestration import limits, purchase_table
from pack.civitai_bridge.orchestration.client import OrchestrationClient
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.outcome import Terms
from pack.civitai_bridge.orchestration.request import GenerationRequest
from pack.civitai_bridge.orchestration.timings import Timings
from pack.civitai_bridge.settings import Settings
from pack.civitai_bridge.website import SiteClient

BASE = "https://orchestration.civitai.com"
WANTED = GenerationRequest(model="128078", prompt="a lighthouse at dusk", seed=42, quantity=2)
Answer = Response | Exception | None
_user: ContextVar[int] = ContextVar("user", default=7)


def reply(status: int, data: Any = None) -> Response:
    return Response(status, {"content-type": "application/json"}, b"" if data is None else json.dumps(data).encode())


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (seed % 256, 50, 90)).save(out, "PNG")
    return out.getvalue()


class FakeService:
    """Site, orchestrator and storage in one `Send`. `before[name]` are answers that stand in for the next real ones;
    `after[name]` replace the answer when the work was done all the same (the lost answer)."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.workflows: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.users = {"k": 7}
        self.before: dict[str, list[Answer]] = {}
        self.after: dict[str, list[Answer]] = {}
        self.asked_price = 16
        self.charged = 16
        self.insufficient = False
        self.polls_until_done = 1
        self.end: dict[str, Any] = {"status": "succeeded"}
        self.image: Callable[[int], dict[str, Any]] = lambda index: {}
        self.echo: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.can_generate = True
        self.bodies: dict[str, bytes] = {}
        self.fetches: list[str] = []
        self.fetch_answers: list[Exception | bytes] = []
        self.signed_error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.on_poll: Callable[[], None] = lambda: None

    @property
    def submits(self) -> list[dict[str, Any]]:
        return [json.loads(r.content or b"") for r in self.requests if r.method == "POST" and self.name(r) == "submit"]

    def count(self, name: str) -> int:
        return sum(1 for request in self.requests if self.name(request) == name)

    @staticmethod
    def name(request: Request) -> str:
        query = dict(request.query)
        if request.path.startswith("/api/v1/"):
            return "me" if request.path.endswith("/me") else "site"
        if request.path.endswith("/refresh"):
            return "refresh"
        if "/blobs/" in request.path:
            return "blob"
        if request.method == "PUT":
            return "cancel"
        if request.method == "POST":
            return "price" if query.get("whatif") == "true" else "submit"
        return "list" if request.path.endswith("/workflows") else "poll"

    async def __call__(self, request: Request) -> Response:
        name = self.name(request)
        self.requests.append(request)
        await asyncio.sleep(0)
        if stand_in := self._next(self.before, name):
            return stand_in
        answer = await getattr(self, name)(request)
        return self._next(self.after, name) or answer

    def _next(self, queue: dict[str, list[Answer]], name: str) -> Response | None:
        answer = queue[name].pop(0) if queue.get(name) else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def of_key(self, key: str) -> Any:
        """A `Send` with a key: the service tells its user, and every workflow's. It answers every key alike."""

        async def send(request: Request) -> Response:
            _user.set(self.users.get(key, 1000 + len(key)))
            return await self(request)

        return send

    async def me(self, request: Request) -> Response:
        return reply(200, {"id": _user.get(), "username": "x"})

    async def site(self, request: Request) -> Response:
        version = int(request.path.rsplit("/", 1)[1])
        kind = "lora" if version == 200 else "checkpoint"
        return reply(
            200,
            {
                "air": f"urn:air:sdxl:{kind}:civitai:101055@{version}",
                "versionName": "v1.0",
                "modelName": "SD XL",
                "baseModel": "SDXL 1.0",
                "fileType": "Model",
                "fileName": "sd_xl.safetensors",
                "hashes": {},
                "canGenerate": self.can_generate,
            },
        )

    async def price(self, request: Request) -> Response:
        body = request.json
        step = {
            "$type": "imageGen",
            "name": "gen",
            "status": "unassigned",
            "input": self.echo(dict(body["steps"][0]["input"])),
        }
        money = {"list": [], "insufficientBuzz": self.insufficient}
        return reply(
            200,
            {
                "id": "",
                "status": "unassigned",
                "cost": {"total": self.asked_price},
                "transactions": money,
                "steps": [step],
            },
        )

    async def submit(self, request: Request) -> Response:
        body = json.loads(request.content or b"")
        key = body["externalId"]
        if key not in self.keys:
            self.keys[key] = f"7-{len(self.workflows) + 1}"
            self.workflows[self.keys[key]] = {
                "id": self.keys[key],
                "status": "scheduled",
                "createdAt": f"2026-11-21T00:00:{len(self.workflows):02}Z",
                "externalId": f"{_user.get()}-{key}",
                "tags": body["tags"],
                "cost": {"total": self.charged},
                "transactions": {"list": [{"type": "debit", "amount": self.charged, "accountType": "blue", "id": "t"}]},
                "steps": [{"$type": "imageGen", "name": "gen", "input": body["steps"][0]["input"]}],
                "polls": 0,
            }
        if self.gate:
            await self.gate.wait()
        return reply(202, self.workflows[self.keys[key]])

    async def poll(self, request: Request) -> Response:
        workflow = self.workflows.get(request.path.rsplit("/", 1)[1])
        if workflow is None:
            return reply(404, {"title": "Not Found", "status": 404})
        self.on_poll()
        await asyncio.sleep(0.02 if dict(request.query).get("wait") else 0)
        workflow["polls"] += 1
        if workflow["polls"] >= self.polls_until_done and workflow["status"] == "scheduled":
            workflow |= self.end
            step = workflow["steps"][0]
            if workflow["status"] == "succeeded":
                step["output"] = {
                    "images": [self.picture(workflow, i) for i in range(step["input"].get("quantity", 1))]
                }
        return reply(200, workflow)

    def picture(self, workflow: dict[str, Any], index: int) -> dict[str, Any]:
        name = f"{workflow['id']}-{index}.png"
        self.bodies[name] = picture(index)
        url = f"{BASE}/v2/consumer/blobs/{name}?sig=SECRETSIG"
        return {"id": name, "available": True, "url": url, "width": 64, "height": 64} | self.image(index)

    async def list(self, request: Request) -> Response:
        tags = [value for name, value in request.query if name == "tags"]
        return reply(200, {"items": [w for w in self.workflows.values() if set(tags) <= set(w["tags"])]})

    async def cancel(self, request: Request) -> Response:
        workflow = self.workflows.get(request.path.rsplit("/", 1)[1])
        if workflow is None:
            return reply(404, {"title": "Not Found", "status": 404})
        if workflow["status"] not in ("scheduled", "processing"):
            return reply(409, {"title": "Conflict", "status": 409})
        workflow["status"] = "canceled"
        workflow["transactions"]["list"].append({"type": "credit", "amount": self.charged, "accountType": "blue"})
        return reply(204)

    async def refresh(self, request: Request) -> Response:
        name = request.path.split("/")[-2]
        return reply(200, {"id": name, "available": True, "url": f"{BASE}/v2/consumer/blobs/{name}?sig=FRESH"})

    async def blob(self, request: Request) -> Response:
        """By its id, with the key: a redirect that is relative, as the live service's is."""
        name = request.path.split("/")[-1]
        if name not in self.bodies:
            return reply(404, {"title": "Not Found", "status": 404})
        return Response(301, {"location": f"/v2/consumer/blobs/content/{name}"}, b"")

    async def fetch(self, url: str, **_: Any) -> Fetched:
        self.fetches.append(url)
        if self.signed_error is not None and "sig=" in url:
            raise self.signed_error
        answer = self.fetch_answers.pop(0) if self.fetch_answers else self.bodies[url.split("/")[-1].split("?")[0]]
        if isinstance(answer, Exception):
            raise answer
        return Fetched(answer, hashlib.sha256(answer).hexdigest(), "image/png", "orchestration.civitai.com")


class Naps:
    """Sleeps that take no time and remember how long they would have been."""

    def __init__(self) -> None:
        self.total = 0.0

    async def __call__(self, seconds: float) -> None:
        self.total += seconds
        await asyncio.sleep(0)


class Shifted:
    """Seconds since the epoch as a clock tells them that somebody sets."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Servers:
    """Bridges on one state folder and one fleet, as several ComfyUI servers would be."""

    def __init__(self, fleet: FakeService, home: Path) -> None:
        self.fleet, self.home = fleet, home
        self.made: list[Fleet] = []

    def __call__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        heart_stops: float = 20.0,
        heartbeat: float | None = None,
        journal: Journal | None = None,
        sleep: Callable[[float], Any] | None = None,
        waits: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Fleet:
        chosen = Settings(**{"key": "k", "orchestration_url": BASE, "home": self.home, **settings})
        bridge = Fleet(
            chosen,
            SiteClient(self.fleet.of_key(chosen.key)),
            OrchestrationClient(self.fleet.of_key(chosen.key), self.fleet.of_key(chosen.key)),
            self.fleet.fetch,
            journal=journal or Journal(chosen.home / "journal.sqlite3", clock=clock, heart_stops=heart_stops),
            timings=Timings(
                sleep=sleep or Naps(),
                quiet=0.01,
                clock=clock,
                heartbeat=heart_stops / 7 if heartbeat is None else heartbeat,
                **(waits or {}),
            ),
        )
        self.made.append(bridge)
        return bridge

    def close(self) -> None:
        for bridge in self.made:
            bridge.journal.close()


async def buy(bridge: Fleet, wanted: GenerationRequest = WANTED, terms: Terms | None = None, **options: Any) -> Any:
    """What a face does: wait, hand the pictures over, say so."""
    outcome = await bridge.generate(wanted, terms or Terms(), **options)
    await bridge.collected(outcome.key)
    return outcome


def spent(journal: Journal, base: str, **more: Any) -> int:
    """Net Buzz of an address, as the limits count it."""
    with journal.database.transaction("") as connection:
        return limits.spent(purchase_table.spendings(connection, base), **more)


def states(bridge: Fleet) -> list[str]:
    return [row.state for row in bridge.journal.rows()]
