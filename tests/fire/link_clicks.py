"""The browser's side of the plan: lanes of clicks while everything goes wrong, and their last click in the calm."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from fire.link_plan import Lane

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.link import Browser

RELOADS = 3.0  # seconds without the agent after which the page is loaded anew
PATIENCE = 1.5  # seconds that a person looks at a row before they click elsewhere; the row may end later


class Clicks:
    """What the lanes do on one browser."""

    def __init__(self, sandbox: Sandbox, browser: Browser) -> None:
        self.sandbox, self.browser = sandbox, browser
        self.clicked = 0
        self._reloaded = 0.0

    async def lane(self, lane: Lane) -> None:
        """Click until it is cancelled."""
        rng = random.Random(lane.seed)
        while True:
            await asyncio.sleep(rng.uniform(0.0, lane.pause))
            await getattr(self, f"_{lane.habit}")(lane, rng)

    async def until_quiet(self, seconds: float) -> None:
        """Wait until nothing that was asked for earlier is at work: an add that ends late is no fault of a removal."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            name = await self._send("activities:list")
            await self._ended(name, 5)
            rows = (self.browser.page.final(name) or {}).get("activities")
            if rows is not None and not any(row["status"] in ("pending", "processing") for row in rows):
                return
            await asyncio.sleep(0.5)

    async def settle(self, lane: Lane) -> dict[int, bool]:
        """The last click of a lane, when nothing goes wrong any more: for each version whether it shall be here."""
        here = lane.habit != "churn"
        for version in lane.versions:
            click = self._add if here else self._remove
            for _ in range(30):  # a page that clicked very often is asked to come back later
                name = await click(version)
                end = await self._ended(name, 30)
                if end == "success" or "No model file" in str((self.browser.page.final(name) or {}).get("error")):
                    break
                await asyncio.sleep(1.0)
        return dict.fromkeys(lane.versions, here)

    async def _keep(self, lane: Lane, rng: random.Random) -> None:
        name = await self._add(lane.versions[0])
        if rng.random() < 0.2:  # a click that the page sent twice
            await self.browser.send_raw(self.browser.sent[name][0])
        await self._ended(name)

    async def _churn(self, lane: Lane, rng: random.Random) -> None:
        if await self._ended(await self._add(lane.versions[0])) == "success":
            await self._ended(await self._remove(lane.versions[0]))

    async def _cancel(self, lane: Lane, rng: random.Random) -> None:
        name = await self._add(lane.versions[0])
        await asyncio.sleep(rng.uniform(0.0, 0.4))
        cancel = await self._send("activities:cancel", activityId=name)
        await self._ended(cancel)
        if await self._ended(name) == "success":
            await self._ended(await self._remove(lane.versions[0]))

    async def _array(self, lane: Lane, rng: random.Random) -> None:
        resources = [self.sandbox.link.resource(version) for version in lane.versions]
        name = await self._send("resources:add", resources=resources)
        if rng.random() < 0.5:
            await asyncio.sleep(rng.uniform(0.0, 0.4))
            cancelled = [{"type": each["type"], "hash": each["hash"]} for each in resources[:1]]
            await self._send("resources:add:cancel", id=name, resources=cancelled)
        await self._ended(name)

    async def _odd(self, lane: Lane, rng: random.Random) -> None:
        kind, fields = rng.choice((
            ("resources:list", {}), ("resources:list", {"types": ["lora"]}), ("activities:list", {"quantity": 5}),
            ("activities:clear", {}), ("image:txt2img", {"quantity": 1, "params": {}}), ("vault:sync", {}),
            ("resources:add", {}), ("resources:remove", {"resource": {"hash": "../../etc"}}),
            ("activities:cancel", {"activityId": "nobody's"}),
        ))  # fmt: skip
        await self._ended(await self._send(kind, **fields))

    async def _add(self, version: int) -> str:
        return await self._send("resources:add", resource=self.sandbox.link.resource(version))

    async def _remove(self, version: int) -> str:
        """The page's own entry with the model's name, or what it would have been."""
        resource = self.sandbox.link.resource(version)
        entry = self._shown(version) or {key: resource[key] for key in ("type", "hash", "name")}
        return await self._send("resources:remove", resource={**entry, "modelName": resource["modelName"]})

    def _shown(self, version: int) -> dict[str, Any] | None:
        """The page's entry for a version."""
        sha256 = self.sandbox.link.resource(version)["hash"].lower()
        entries = [each for each in self.browser.page.resources if isinstance(each, dict)]
        return next((each for each in entries if each.get("hash") == sha256), None)

    async def _send(self, kind: str, **fields: Any) -> str:
        await self.until_linked(600)  # the site sends nothing before
        self.clicked += 1
        return await self.browser.send(kind, **fields)

    async def until_linked(self, seconds: float) -> None:
        """Wait for the agent; where the relay's word of it was lost, the person loads the page anew."""
        ends = time.monotonic() + seconds
        while not self.browser.linked and time.monotonic() < ends:
            try:
                await self.browser.until_linked(RELOADS)
            except TimeoutError:
                if time.monotonic() > self._reloaded + RELOADS:
                    self._reloaded = time.monotonic()
                    await self.browser.reload()

    async def _ended(self, name: str, seconds: float = PATIENCE) -> str:
        with contextlib.suppress(TimeoutError):
            return (await self.browser.finish(name, seconds))["status"]
        return ""
