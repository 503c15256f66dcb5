"""What several stories of a purchase have in common: waiting, killing, refusals, disks that are full."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fake_service import WANTED, FakeService, reply

from pack.civitai_bridge.errors import (
    Interrupted,
    StateTrouble,
)
from pack.civitai_bridge.network.exchange import Request, Response
from pack.civitai_bridge.orchestration.fleet import Fleet
from pack.civitai_bridge.orchestration.journal import Journal
from pack.civitai_bridge.orchestration.outcome import Caller, Terms

NO = reply(403, "Insufficient Buzz")
MOST_PATIENT = 10**6


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0.01)


async def killed(bridge: Fleet, errand: asyncio.Future[Any]) -> None:
    """The process dies: nothing more is written, nobody gives anything back."""
    bridge.journal.close()
    for run in bridge.runs:
        run.task.cancel()
    errand.cancel()
    await asyncio.gather(errand, return_exceptions=True)


async def stop_after_the_order(bridge: Fleet, fleet: FakeService) -> None:
    with pytest.raises(Interrupted):
        await bridge.generate(WANTED, Terms(), Caller(cancelled=lambda: bool(fleet.workflows)))


def without_pictures(answer: Response) -> Response:
    data = json.loads(answer.content)
    for step in data["steps"]:
        step.pop("output", None)
    return reply(200, data)


class Slow(FakeService):
    """Looks whether the key is known first and inserts after its work, so two orders that overlap are both charged
    ."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.most = self.charges = 0
        self.work: asyncio.Event = asyncio.Event()

    async def submit(self, request: Request) -> Response:
        async def server() -> Response:
            self.live += 1
            self.most = max(self.most, self.live)
            known = json.loads(request.content or b"")["externalId"] in self.keys
            await self.work.wait()
            self.live -= 1
            self.charges += not known
            return await FakeService.submit(self, request)

        return await asyncio.shield(asyncio.create_task(server()))


class FullJournal(Journal):
    """A journal whose disk is full for the methods that are named in `full`."""

    full: str = ""

    def reserve(self, *arguments: Any, **options: Any) -> Any:
        return self._unless_full("reserve", super().reserve, arguments, options)

    def begin_attempt(self, *arguments: Any, **options: Any) -> Any:
        return self._unless_full("begin_attempt", super().begin_attempt, arguments, options)

    def accepted(self, *arguments: Any, **options: Any) -> Any:
        return self._unless_full("accepted", super().accepted, arguments, options)

    def record(self, *arguments: Any, **options: Any) -> Any:
        return self._unless_full("record", super().record, arguments, options)

    def _unless_full(self, name: str, write: Any, arguments: Any, options: Any) -> Any:
        if name == self.full:
            raise StateTrouble("The journal in the state folder cannot be used: the disk is full.")
        return write(*arguments, **options)
