"""Civitai Link under fire:  python3 tools/dev.py fire-link   (or make fire-link)

Draws a plan from a seed: a browser clicks on many rows at once, the relay loses, doubles, delays and swaps messages,
breaks connections, refuses joins and falls silent; it is restarted, and the agent's process is killed, again and
again. Then everything is calm, each row is clicked a last time, and the end is judged by the relay's log and the disk.
FIRE_SEED, FIRE_FAULTS, FIRE_KILLS and FIRE_RESTARTS choose the plan."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    from pack_root import load_pack

    load_pack("pack")

from fire.link_clicks import Clicks  # noqa: E402
from fire.link_judge import LinkVerdict, judge  # noqa: E402
from fire.link_plan import KEY, LinkPlan, draw  # noqa: E402

from pack.civitai_bridge.sandbox import Sandbox  # noqa: E402
from pack.civitai_bridge.sandbox.link import Browser  # noqa: E402

LONGEST = 900.0  # seconds for the part with faults
AT_HOME = 8.0  # seconds that a life may take to come into its room before it is killed anyway


async def run(plan: LinkPlan, home: Path, *, talk: Any = lambda _: None) -> LinkVerdict:
    """Play a plan to its end and judge it. `home` is an empty folder."""
    async with Sandbox() as sandbox:
        relay = sandbox.link.relay
        relay.connections.ping_interval, relay.connections.ping_timeout = 1, 1.0
        await relay.restart()
        browser = await sandbox.link.browse()
        game = _Game(plan, home, sandbox, browser)
        await game.begin()
        sandbox.link.script.at_random(plan.seed, plan.chance, spared=("upgradeKey",))
        clicks = Clicks(sandbox, browser)
        weather = asyncio.ensure_future(game.weather())
        busy = [asyncio.ensure_future(clicks.lane(lane)) for lane in plan.lanes]
        try:
            work = asyncio.gather(game.lives(), game.restarts(), game.enough_faults())
            await asyncio.wait_for(work, LONGEST)
        finally:
            await _stop([weather, *busy])
        broken = [repr(task.exception()) for task in busy if not task.cancelled() and task.exception()]
        talk(f"{game.kills} kills, {game.away} restarts, {game.faults} faults; now without")
        try:
            wishes = await _calm(plan, sandbox, browser, clicks)
            is_linked = browser.linked and not browser.kicked
        finally:
            await game.end()
        verdict = judge(sandbox, browser, wishes, home, game.consoles())
        if not is_linked:
            verdict.wrong.append("the agent is not in its room any more, and only a person could bring it back")
        verdict.wrong += [f"a lane broke: {each}" for each in broken] + game.crashes
        verdict.counts |= {
            "clicks": clicks.clicked, "faults": game.faults, "kills": game.kills, "restarts of the relay": game.away,
            "messages in the relay's log": len(relay.log),
        }  # fmt: skip
        verdict.faults = dict(sandbox.link.script.drawn)
        if verdict.wrong:
            (home / "relay.json").write_text(json.dumps([asdict(line) for line in relay.log], default=str))
        return verdict


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    """End tasks; one whose cancel meets an answer that comes at the same moment is cancelled again."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.5)


async def _calm(plan: LinkPlan, sandbox: Sandbox, browser: Browser, clicks: Clicks) -> dict[int, bool]:
    """Without faults the agent comes back by itself, ends what it had begun, and each row is clicked a last time."""
    sandbox.link.script.calm()
    sandbox.site.delay = 0.0
    sandbox.site.storage.troubles.clear()
    await sandbox.link.relay.restart()  # connections that had fallen silent are none any more
    with contextlib.suppress(TimeoutError):
        await browser.until(lambda: not browser.linked, 5)
    await clicks.until_linked(60)
    await clicks.until_quiet(60)
    settled = await asyncio.gather(*(clicks.settle(lane) for lane in plan.lanes if lane.versions))
    await asyncio.sleep(1.5)  # whatever was still at work ends
    return {version: here for each in settled for version, here in each.items()}


class _Game:
    """The agent's processes, their deaths, and the relay's absences."""

    def __init__(self, plan: LinkPlan, home: Path, sandbox: Sandbox, browser: Browser) -> None:
        self.plan, self.home, self.sandbox, self.browser = plan, home, sandbox, browser
        self.kills = self.away = self.started = 0
        self.crashes: list[str] = []
        self.process: asyncio.subprocess.Process | None = None
        self.work = home / "fire"

    @property
    def faults(self) -> int:
        return sum(self.sandbox.link.script.drawn.values())

    async def begin(self) -> None:
        """The first life, paired by the code while nothing goes wrong."""
        for folder in ("fire", "models/loras"):
            (self.home / folder).mkdir(parents=True)
        await self._start(code=self.browser.code)
        await self.browser.until_linked(30)

    async def lives(self) -> None:
        """Every life but the last one ends by SIGKILL, some seconds after it came into its room."""
        for seconds in self.plan.lives:
            await self._until_at_home()
            await asyncio.sleep(seconds)
            await self._kill()
            self.kills += 1
            await self._start()

    async def restarts(self) -> None:
        """The relay goes away and comes back."""
        for calm, away in zip(self.plan.calms, self.plan.away, strict=True):
            await asyncio.sleep(calm)
            await self.sandbox.link.relay.restart(away)
            self.away += 1

    async def weather(self) -> None:
        """The site answers late for a while, and its storage sends some files slowly, so that there is time to be
        killed while one is loaded."""
        rng = random.Random(f"weather {self.plan.seed}")
        site = self.sandbox.site
        while True:
            site.delay = rng.choice((0.0, 0.0, 0.05, 0.3))
            site.storage.slowness = rng.uniform(0.2, 1.0)
            if len(site.storage.troubles) < 2:
                site.storage.troubles.append(rng.choice(("slow", "slow", "cut", "expired")))
            await asyncio.sleep(rng.uniform(0.2, 1.0))

    async def enough_faults(self) -> None:
        while self.faults < self.plan.faults:
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        """The last life ends as a person ends it."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.process.wait(), 10)
            if self.process.returncode is None:
                self.crashes.append("the last process did not end when it was asked to")
                await self._kill()

    def consoles(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.work.glob("*.console")))

    async def _until_at_home(self) -> None:
        ends = time.monotonic() + AT_HOME
        while time.monotonic() < ends:
            members = self.sandbox.link.relay.delivery.members.values()
            if any(member.role == "sd" and member.key for member in members):
                return
            await asyncio.sleep(0.02)

    async def _kill(self) -> None:
        assert self.process is not None
        if self.process.returncode is not None:
            self.crashes.append(f"life {self.started} ended by itself with {self.process.returncode}")
            return
        self.process.kill()
        await self.process.wait()

    async def _start(self, code: str = "") -> None:
        self.started += 1
        config = {
            "key": KEY, "code": code, "home": str(self.home / "state"), "models": str(self.home / "models"),
            "orchestration_url": self.sandbox.orchestration_url, "site_url": self.sandbox.site_url,
            "link_url": self.sandbox.link_url, "storage_url": self.sandbox.storage_url,
        }  # fmt: skip
        path = self.work / f"{self.started:03}.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        with path.with_suffix(".console").open("wb") as console:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, str(HERE / "link_worker.py"), str(path), stdout=console, stderr=console
            )


def main() -> int:
    seed = int(os.environ.get("FIRE_SEED") or random.randrange(10**9))
    faults, kills, restarts = (
        int(os.environ.get(f"FIRE_{name}") or usual)
        for name, usual in (("FAULTS", 500), ("KILLS", 50), ("RESTARTS", 20))
    )
    print(f"Link plan: seed {seed}, {faults} faults, {kills} kills, {restarts} restarts of the relay", flush=True)
    started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="fire-link-"))
    plan = draw(seed, faults, kills, restarts)
    verdict = asyncio.run(run(plan, folder, talk=lambda text: print(text, flush=True)))
    print(f"\nBy the relay's log and the disk, after {time.monotonic() - started:.0f} s:")
    for title, table in (
        ("", verdict.counts),
        ("Ends:", verdict.ends),
        ("Errors:", verdict.errors),
        ("Faults:", verdict.faults),
    ):
        print(title, *(f"  {name:92} {count}" for name, count in sorted(table.items())), sep="\n")
    if verdict.wrong:
        print(f"\nWRONG ({len(verdict.wrong)}):", *verdict.wrong[:40], sep="\n  ")
        print(f"\nState, consoles and models are kept in {folder}.")
        print(
            f"Run it again: FIRE_SEED={seed} FIRE_FAULTS={faults} FIRE_KILLS={kills} FIRE_RESTARTS={restarts} make fire-link"
        )
    else:
        shutil.rmtree(folder)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
