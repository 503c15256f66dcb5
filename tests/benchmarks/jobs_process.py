"""One process that buys jobs against a sandbox, for the rows of `watching.py`:  jobs_process.py CONFIG.json

It says one line of JSON for each thing that happens; its peak of memory is the kernel's own figure.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from civitai_bridge.app import open_fleet
from civitai_bridge.network.client import HttpClient
from civitai_bridge.orchestration.fleet import Fleet
from civitai_bridge.orchestration.outcome import Terms
from civitai_bridge.orchestration.request import GenerationRequest
from civitai_bridge.settings import Settings


def say(**words: Any) -> None:
    print(json.dumps({**words, "at": time.time()}), flush=True)


def memory(name: str) -> float:
    """MB of this process: `VmRSS` now, `VmHWM` at most since `forget_peak`."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


async def buy(fleet: Fleet, name: str, prompt_id: str) -> None:
    request = GenerationRequest(model="128078", prompt=name, width=64, height=64)
    outcome = await fleet.generate(request, Terms(prompt_id=prompt_id))
    assert len(outcome.pictures) == 1
    await fleet.collected(outcome.key)
    say(collected=name, paid_now=outcome.paid_now)


async def main(config: dict[str, Any]) -> None:
    addresses = config["addresses"]
    settings = Settings(
        key="bench", home=Path(config["home"]), limit_buzz_per_day=10**6, limit_buzz_per_prompt=10**6, **addresses
    )
    async with HttpClient() as network:
        fleet = open_fleet(settings, network)
        for part in config["parts"]:
            names = [f"{part['name']} {number}" for number in range(part["count"])]
            idle = memory("VmRSS")
            forget_peak()
            began = time.perf_counter()
            await asyncio.gather(*(buy(fleet, name, part["name"]) for name in names))
            say(part=part["name"], seconds=time.perf_counter() - began, megabytes=memory("VmHWM") - idle)
        await fleet.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
