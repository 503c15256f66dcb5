"""One server process under fire: runs its errands against the sandbox, writes down what each gave, and kills itself
with SIGKILL at the step it was told.  worker.py CONFIG.json

Time runs forty times faster here, for pauses and clocks alike; the service's own delays are in real seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pack_root import load_pack

load_pack("pack")

from pack.civitai_bridge.app import Tuning, open_fleet  # noqa: E402
from pack.civitai_bridge.errors import CivitaiError, Interrupted  # noqa: E402
from pack.civitai_bridge.model_files.database import Database  # noqa: E402
from pack.civitai_bridge.network.client import HttpClient  # noqa: E402
from pack.civitai_bridge.network.hosts import HostMemory  # noqa: E402
from pack.civitai_bridge.orchestration.fleet import Fleet  # noqa: E402
from pack.civitai_bridge.orchestration.journal import Journal  # noqa: E402
from pack.civitai_bridge.orchestration.outcome import Caller, Terms  # noqa: E402
from pack.civitai_bridge.orchestration.request import GenerationRequest  # noqa: E402
from pack.civitai_bridge.orchestration.timings import Timings  # noqa: E402
from pack.civitai_bridge.settings import Settings  # noqa: E402

AT_ONCE = 8


class Steps:
    """Counts what the process does and ends it, without a word, at the step that was drawn."""

    def __init__(self, last: int) -> None:
        self.last, self.count = last, 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingDatabase:
    def __init__(self, database: Database, step: Steps) -> None:
        self._database, self._step = database, step
        self.mode = database.mode

    @contextmanager
    def transaction(self, *consequence: str) -> Iterator[Any]:
        self._step()
        with self._database.transaction(*consequence) as connection:
            yield connection
            self._step()  # in the middle: written, not committed
        self._step()

    def close(self) -> None:
        self._database.close()


class DyingJournal(Journal):
    def __init__(self, *arguments: Any, step: Steps, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.database: Any = DyingDatabase(self.database, step)


class DyingNetwork:
    def __init__(self, network: HttpClient, step: Steps) -> None:
        self._network, self._step = network, step

    def send_to(self, base: str, key: str | None = None) -> Any:
        send = self._network.send_to(base, key)

        async def dying(request: Any) -> Any:
            self._step()
            answer = await send(request)
            self._step()
            return answer

        return dying

    async def fetch(self, url: str, **options: Any) -> Any:
        self._step()
        fetched = await self._network.fetch(url, **options)
        self._step()
        return fetched


FASTER = 40


def clock() -> float:
    """Seconds since the epoch as this world counts them: the same for both processes, and near the real ones."""
    began = 1_795_000_000.0
    return began + (time.time() - began) * FASTER


def monotonic() -> float:
    return time.monotonic() * FASTER


async def hurry(seconds: float) -> None:
    await asyncio.sleep(seconds / FASTER)


class Worker:
    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.step = Steps(config["dies_at"])
        self.said = open(config["said"], "a", encoding="utf-8")

    def say(self, **words: Any) -> None:
        """One line that outlives a kill."""
        self.said.write(json.dumps(words) + "\n")
        self.said.flush()
        os.fsync(self.said.fileno())

    async def run(self) -> None:
        config = self.config
        async with HttpClient(hosts=HostMemory(clock=clock)) as network:
            network.allow_loopback(config["storage_url"])
            limits = {"limit_buzz_per_prompt": config["per_prompt"], "limit_buzz_per_day": config["per_day"]}
            settings = Settings(key=config["key"], home=Path(config["home"]), **limits)
            settings = settings.at(orchestration_url=config["orchestration_url"], site_url=config["site_url"])
            journal = DyingJournal(
                settings.home / "journal.sqlite3", step=self.step, clock=clock, monotonic=monotonic, heart_stops=40.0
            )
            dying: Any = DyingNetwork(network, self.step)
            timings = Timings(
                clock=clock, sleep=hurry, quiet=0.02, heartbeat=0.15, long_polls=config["long_polls"], list_patience=4.0
            )
            bridge = open_fleet(settings, dying, journal=journal, tuning=Tuning(timings))
            bridge.look_for_twins()
            room = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(self.errand(bridge, errand, room) for errand in config["errands"]))
            if config["resume"]:
                await self.resume(bridge)
            await bridge.close()

    async def errand(self, bridge: Fleet, errand: dict[str, Any], room: asyncio.Semaphore) -> None:
        wanted = GenerationRequest(
            model="128078", prompt=errand["prompt"], width=64, height=64, quantity=errand["quantity"], seed=7
        )
        async with room:
            ends = time.monotonic() + (1e9 if errand["cancel_after"] is None else errand["cancel_after"])
            terms = Terms(prompt_id=errand["prompt_id"], wait_minutes=0.005 if errand["impatient"] else 2)
            try:
                outcome = await bridge.generate(wanted, terms, Caller(cancelled=lambda: time.monotonic() > ends))
            except Interrupted as error:
                self.say(errand=errand["number"], end="stopped", text=str(error))
            except CivitaiError as error:
                self.say(errand=errand["number"], end=type(error).__name__, text=str(error))
            else:
                pictures = {p.index: p.sha256 for p in outcome.pictures}
                here = all(p.path.is_file() for p in outcome.pictures)
                self.say(
                    errand=errand["number"],
                    end="pictures",
                    pictures=pictures,
                    workflow=outcome.workflow_id,
                    here=here,
                    seeds=[p.seed for p in outcome.pictures],
                    text=outcome.report,
                )
                await bridge.collected(outcome.key)

    async def resume(self, bridge: Fleet) -> None:
        for row in await bridge.resume():
            self.say(resumed=row.key, state=row.state, text=row.error)


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    asyncio.run(Worker(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).run())
