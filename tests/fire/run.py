"""The main job under fire:  python3 tools/dev.py fire   (or make fire)

Draws a plan from a seed, runs it in two server processes on one state folder against a sandbox that does everything
wrong, kills them again and again, and judges the end by the sandbox's ledger. FIRE_SEED, FIRE_SUBMITS and FIRE_KILLS
choose the plan; a plan that failed is run again with the same three.
"""

from __future__ import annotations

import asyncio
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

from fire.judge import Verdict, judge  # noqa: E402
from fire.plan import KEY, Plan, draw  # noqa: E402

from pack.civitai_bridge.sandbox import Sandbox  # noqa: E402


async def run(plan: Plan, home: Path, *, talk: Any = lambda _: None) -> Verdict:
    """Play a plan to its end and judge it. `home` is an empty folder."""
    work = home / "fire"
    work.mkdir(parents=True)
    async with Sandbox(pace=0.08) as sandbox:
        sandbox.bank.opening = {"blue": 10 * len(plan.errands), "green": 0, "yellow": 0}
        sandbox.script.at_random(plan.seed, plan.chance, plan.jobs)
        game = _Game(plan, home, work, sandbox)
        weather = asyncio.ensure_future(game.weather())
        await asyncio.gather(*(game.lives(place) for place in range(plan.processes)))
        weather.cancel()
        talk(f"{game.kills} kills done, {len(game.ended())} of {len(plan.errands)} errands ended; now without faults")
        sandbox.script.at_random(0, 0.0)
        sandbox.script.key_lag, sandbox.script.list_lag, sandbox.script.signed = 0.0, 0.0, ""
        await asyncio.sleep(3)  # what was late arrives; hearts count as stopped; twins are due
        for again in range(3):
            await game.live(0, 0, [errand for errand in game.open()], resume=True, name=f"calm-{again}")
        verdict = judge(plan, sandbox, home / "state", game.said(), game.consoles())
        verdict.counts["kills"] = game.kills
        verdict.counts["requests"] = len(sandbox.requests)
        if game.crashes:
            verdict.wrong += [f"a process ended by itself: {crash}" for crash in game.crashes]
        return verdict


class _Game:
    def __init__(self, plan: Plan, home: Path, work: Path, sandbox: Sandbox) -> None:
        self.plan, self.home, self.work, self.sandbox = plan, home, work, sandbox
        self.kills, self.crashes = 0, []
        self.started, self.key = 0, KEY

    def said(self) -> list[dict[str, Any]]:
        lines = []
        for path in sorted(self.work.glob("*.said")):
            for line in path.read_text(encoding="utf-8").splitlines():
                lines.append(json.loads(line))
        return lines

    def consoles(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.work.glob("*.console")))

    def ended(self) -> set[int]:
        return {words["errand"] for words in self.said() if "errand" in words}

    def open(self) -> list[dict[str, Any]]:
        """Errands whose person would ask again: no pictures yet, and not cancelled by them."""
        done = {words["errand"] for words in self.said() if words.get("end") in ("pictures", "stopped")}
        calm = {"cancel_after": None, "impatient": False}
        return [{**asdict(errand), **calm} for errand in self.plan.errands if errand.number not in done]

    async def weather(self) -> None:
        """How the deployment is for a while: how long it hides a new workflow, where signed addresses lead."""
        rng = random.Random(f"weather {self.plan.seed}")
        script = self.sandbox.script
        while True:
            script.list_lag = rng.choice((0.0, 0.0, 0.15, 0.5))  # a second here is forty there
            script.key_lag = rng.choice((0.0, script.list_lag))
            script.signed = rng.choice(("", "", "", "blocked", "refused"))
            await asyncio.sleep(rng.uniform(0.3, 1.5))

    def key_of_life(self) -> str:
        """The key that a process starts with. At one moment the person replaces it, and the old one is not taken any
        more."""
        self.started += 1
        if self.started == self.plan.key_changes_at:
            self.key, self.sandbox.script.refused_keys = f"{KEY}~2", (KEY,)
        return self.key

    async def lives(self, place: int) -> None:
        """A process and, each time it was killed, the next one that takes up what is left."""
        mine = [errand for errand in self.plan.errands if errand.process == place]
        for life, dies_at in enumerate((*self.plan.kills[place], 0)):
            ended = self.ended()
            left = [asdict(errand) for errand in mine if errand.number not in ended]
            if dies_at and len(left) < 3:  # something to be killed at: ask again what has ended
                left = [asdict(errand) for errand in mine[-12:]]
            await self.live(place, dies_at, left, name=f"{place}-{life:03}")

    async def live(
        self, place: int, dies_at: int, errands: list[dict[str, Any]], *, name: str, resume: bool = False
    ) -> None:
        config = {
            "key": self.key_of_life(), "home": str(self.home / "state"), "said": str(self.work / f"{name}.said"), "dies_at": dies_at,
            "orchestration_url": self.sandbox.orchestration_url, "site_url": self.sandbox.site_url,
            "storage_url": self.sandbox.storage_url, "per_prompt": self.plan.per_prompt, "per_day": self.plan.per_day,
            "errands": errands, "resume": resume,
            "long_polls": 2 if place else 50,  # the second server hears of its jobs by the list
        }  # fmt: skip
        path = self.work / f"{name}.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        with (self.work / f"{name}.console").open("wb") as console:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(HERE / "worker.py"), str(path), stdout=console, stderr=console
            )
            code = await process.wait()
        if code == -9:
            self.kills += 1
        elif code:
            self.crashes.append(f"{name} with {code}: " + (self.work / f"{name}.console").read_text()[-600:])


def main() -> int:
    seed = int(os.environ.get("FIRE_SEED") or random.randrange(10**9))
    submits, kills = int(os.environ.get("FIRE_SUBMITS") or 1000), int(os.environ.get("FIRE_KILLS") or 100)
    plan = draw(seed, submits, kills)
    print(f"Fault plan: seed {seed}, {submits} errands, {kills} kills, two processes on one state folder", flush=True)
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fire-"))
    verdict = asyncio.run(run(plan, folder, talk=lambda text: print(text, flush=True)))
    print(f"\nBy the sandbox's own ledger and logs, after {time.monotonic() - started:.0f} s:")
    for name, count in verdict.counts.items():
        print(f"  {name:36} {count}")
    print("Errors that nodes showed on the way, each with its cause:")
    for name, count in verdict.errors.most_common():
        print(f"  {name:36} {count}")
    if verdict.wrong:
        print(f"\nWRONG ({len(verdict.wrong)}):", *verdict.wrong[:40], sep="\n  ")
        print(f"\nJournal, consoles and pictures are kept in {folder}.")
        print(f"Run it again: FIRE_SEED={seed} FIRE_SUBMITS={submits} FIRE_KILLS={kills} make fire")
    else:
        shutil.rmtree(folder)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
