"""Rows of `make bench` about what goes wrong: lost answers, silent connections, a site that is away, equal questions."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from civitai_bridge.app import open_fleet, open_reader, open_site
from civitai_bridge.network.client import HttpClient
from civitai_bridge.orchestration.outcome import Caller, State, Terms
from civitai_bridge.orchestration.request import GenerationRequest
from civitai_bridge.sandbox import Sandbox
from civitai_bridge.settings import Settings

Row = Callable[..., None]
HERE = Path(__file__).resolve().parent
SERVER_KEEPS = 4.0  # seconds for which the server in front keeps an idle connection
PRICE_TAKES = 60.0  # seconds


def order(seed: int) -> GenerationRequest:
    return GenerationRequest(model="128078", prompt="a lighthouse at dusk", seed=seed, width=64, height=64)


def settings_at(sandbox: Sandbox, home: Path, **more: Any) -> Settings:
    addresses = {"orchestration_url": sandbox.orchestration_url, "site_url": sandbox.site_url} | more
    return Settings(key="bench", home=home, limit_buzz_per_day=10**6, limit_buzz_per_prompt=10**6, **addresses)


async def going_wrong(row: Row, folder: Path) -> None:
    """All rows of this module."""
    async with Sandbox(pace=0.1) as sandbox:
        await _lost_answer(row, sandbox, folder / "lost")
        await _equal_questions(row, sandbox, folder / "equal")
        await _late_price(row, sandbox, folder / "late")
    await _site_away(row, folder / "away")


async def _lost_answer(row: Row, sandbox: Sandbox, home: Path) -> None:
    async with HttpClient() as network:
        network.allow_loopback(sandbox.storage_url)
        fleet = open_fleet(settings_at(sandbox, home), network)

        async def timed(seed: int) -> tuple[float, float]:
            """Seconds to the picture, and to the first word about a lost answer."""
            start, told = time.perf_counter(), []

            def show(state: State) -> None:
                if "lost" in state.text:
                    told.append(time.perf_counter() - start)

            await fleet.generate(order(seed), Terms(), Caller(progress=show))
            return time.perf_counter() - start, told[0] if told else 0.0

        await timed(1)
        undisturbed, _ = await timed(2)
        sandbox.script.fault("submit", "drop")
        dropped, told = await timed(3)
        sandbox.script.fault("submit", "lost")
        lost, _ = await timed(4)
        extra = max(dropped, lost) - undisturbed
        row("one connection lost at submit, over the undisturbed run", extra, "<= 20 s", extra <= 20,
            f"undisturbed {undisturbed:.2f} s, nothing done {dropped:.2f} s, done and lost {lost:.2f} s", "s")  # fmt: skip
        row("… the node says what is waited for after", told, "<= 1 s", 0 < told <= 1, "from the click", "s")
        await fleet.close()


async def _equal_questions(row: Row, sandbox: Sandbox, home: Path) -> None:
    async with HttpClient() as network:
        network.allow_loopback(sandbox.storage_url)
        fleet = open_fleet(settings_at(sandbox, home), network)
        before = len(sandbox.requests)
        await asyncio.gather(*(fleet.estimate(order(100 + number)) for number in range(16)))
        versions = [seen.path for seen in sandbox.requests[before:] if "/model-versions/" in seen.path]
        row(
            "look-ups of one model by 16 nodes",
            len(versions),
            "1",
            len(versions) == 1,
            ", ".join(sorted(set(versions))),
        )
        await fleet.close()


async def _late_price(row: Row, sandbox: Sandbox, home: Path) -> None:
    """HTTP/2 over TLS: the price is answered a minute late, and the server closes idle connections after seconds."""
    command = [sys.executable, str(HERE / "tls_front.py"), sandbox.orchestration_url, str(SERVER_KEEPS)]
    front = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert front.stdout
        told = json.loads(await front.stdout.readline())
        trusted = ssl.create_default_context(cadata=told["trusted"])
        async with HttpClient(tls=lambda: trusted) as network:
            network.allow_loopback(sandbox.storage_url)
            fleet = open_fleet(settings_at(sandbox, home, orchestration_url=told["url"]), network)

            async def timed(seed: int) -> float:
                start = time.perf_counter()
                await fleet.generate(order(seed), Terms())
                return time.perf_counter() - start

            await timed(200)
            undisturbed = await timed(201)
            sandbox.script.fault("price", "slow", seconds=PRICE_TAKES)
            before = len(sandbox.requests)
            late = await timed(202) - PRICE_TAKES
            posts = sum(seen.route == "submit" for seen in sandbox.requests[before:])
            row("a price that comes 60 s late, over the undisturbed run", late - undisturbed, "<= 1 s",
                late - undisturbed <= 1 and posts == 1,
                f"HTTP/2, server closes idle connections after {SERVER_KEEPS:.0f} s; {posts} POST", "s")  # fmt: skip
            await fleet.close()
    finally:
        front.terminate()
        await front.wait()


async def _site_away(row: Row, folder: Path) -> None:
    """A hundred files with hashes that nobody answers for."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "a sea\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: {}, Size: 64x64, Model hash: {:010x}, Model: m"
    settings = Settings(home=folder, site_url="http://127.0.0.1:9")
    async with HttpClient() as network:
        reader = open_reader(settings, open_site(settings, network))
        start = time.perf_counter()
        for number in range(100):
            await reader.text(text.format(number, 0xABCDEF0000 + number))
        seconds = time.perf_counter() - start
    row(
        "100 pictures read with the site unreachable",
        seconds,
        "<= 8 s",
        seconds <= 8,
        "a port where nobody listens",
        "s",
    )
