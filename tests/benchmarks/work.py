"""Rows of `make bench` about an account's work: long lists that stream, and results that are put into a folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from civitai_bridge.app import open_workflows
from civitai_bridge.cli import main
from civitai_bridge.network.client import HttpClient
from civitai_bridge.network.exchange import Request, expect
from civitai_bridge.settings import Settings
from civitai_bridge.workflows.keeping import AT_ONCE, stems
from civitai_bridge.workflows.query import WorkflowFilter

ROOT = Path(__file__).resolve().parents[2]
MANY, FEW, PICTURES, SIDE = 5000, 500, 200, 1024
_PEAK = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from pathlib import Path\n"
    "from civitai_bridge.cli import main\n"
    "code = main(sys.argv[2:])\n"
    "lines = Path('/proc/self/status').read_text().splitlines()\n"
    "peak = next(line for line in lines if line.startswith('VmHWM')).split()[1]\n"
    "sys.stderr.write(f'{code} {peak}')\n"
)


def own_work(row: Callable[..., None], addresses: dict[str, str], folder: Path) -> None:
    """All rows. `addresses` are those of a sandbox in a process of its own."""
    _fill(addresses, "few", count=FEW)
    _fill(addresses, "many", count=MANY)
    _fill(addresses, "results", count=1, pictures=PICTURES, side=SIDE)
    _lists(row, addresses, folder)
    asyncio.run(_results(row, addresses, folder))


def _fill(addresses: dict[str, str], key: str, **account: Any) -> None:
    body = json.dumps({"fill": [{"key": key, **account}]}).encode()
    with urllib.request.urlopen(addresses["orchestration_url"] + "/sandbox/control", body) as answer:
        assert answer.status == 200


def _environment(addresses: dict[str, str], key: str, folder: Path) -> dict[str, str]:
    return {
        "CIVITAI_ORCHESTRATION_URL": addresses["orchestration_url"], "CIVITAI_SITE_URL": addresses["site_url"],
        "CIVITAI_API_TOKEN": key, "CIVITAI_BRIDGE_HOME": str(folder / "home"),
    }  # fmt: skip


def _lists(row: Callable[..., None], addresses: dict[str, str], folder: Path) -> None:
    os.environ.update(_environment(addresses, "many", folder))
    alone, ours = [], []
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        main(["workflows", "--take=1", "--json"])
        for _ in range(3):
            alone.append(asyncio.run(_pages_alone(addresses)))
            start = time.perf_counter()
            assert main(["workflows", "--all", "--json"]) == 0
            ours.append(time.perf_counter() - start)
    ratio = min(ours) / min(alone)
    row("5,000 workflows, --all --json / the pages alone", ratio, "<= 1.2", ratio <= 1.2,
        f"best of 3 each, in turn; pages of 100 one after the other, parsed: {min(alone):.2f} s, sandbox process")  # fmt: skip
    if sys.platform.startswith("linux"):
        few, many = (_peak(addresses, key, folder) for key in ("few", "many"))
        row(f"… peak memory, {MANY} against {FEW} of them", many - few, "<= 4 MB", many - few <= 4.0,
            f"processes of their own, {few:.0f} and {many:.0f} MB", "MB")  # fmt: skip


async def _pages_alone(addresses: dict[str, str]) -> float:
    async with HttpClient() as network:
        send = network.send_to(addresses["orchestration_url"], "many")
        start, cursor, count = time.perf_counter(), "", 0
        while True:
            query = (("take", "100"), ("hideMatureContent", "false"), *((("cursor", cursor),) if cursor else ()))
            page = expect(await send(Request("GET", "/v2/consumer/workflows", query=query)))
            count += len(page["items"])
            cursor = page["next"]
            if not cursor:
                break
        assert count == MANY
        return time.perf_counter() - start


def _peak(addresses: dict[str, str], key: str, folder: Path) -> float:
    command = [sys.executable, "-c", _PEAK, str(ROOT), "workflows", "--all", "--json"]
    environment = os.environ | _environment(addresses, key, folder)
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    code, peak = done.stderr.split()[-2:]
    assert code == "0"
    return int(peak) / 1024


async def _results(row: Callable[..., None], addresses: dict[str, str], folder: Path) -> None:
    """Both have the same number of connections to the same storage, and follow the same redirects."""
    settings = Settings(key="results", home=folder / "home").at(**addresses)
    httpx_times, ours = [], []
    async with HttpClient() as network:
        reader = open_workflows(settings, network)
        (workflow,) = [each async for page in reader.pages(WorkflowFilter(take=10)) for each in page.workflows]
        for number in range(5):
            outputs = (await reader.workflow(workflow.id)).outputs
            httpx_times.append(await _to_nowhere([output.url for output in outputs]))
            start = time.perf_counter()
            names = stems(workflow.id, outputs)
            kept = await reader.keep(list(zip(names, outputs, strict=True)), folder / f"results-{number}")
            ours.append(time.perf_counter() - start)
            assert all(file.state == "new" for file in kept) and len(kept) == PICTURES
        start = time.perf_counter()
        again = await reader.keep(list(zip(names, outputs, strict=True)), folder / "results-0")
        seconds = time.perf_counter() - start
        assert all(file.state == "there" for file in again)
    ratio = statistics.median(httpx_times) / statistics.median(ours)
    size = sum(file.size for file in kept) / 1e6
    row(f"results --download, {PICTURES} pictures / httpx to nowhere", ratio, ">= 0.8", ratio >= 0.8,
        f"files a second, {AT_ONCE} connections each, median of 5 in turn, {size:.0f} MB on loopback; httpx "
        f"{statistics.median(httpx_times):.2f} s")  # fmt: skip
    row("… once more, when they are there", seconds, "-", None, "every picture read and decoded, nothing fetched", "s")


async def _to_nowhere(urls: list[str]) -> float:
    import httpx

    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, follow_redirects=True, timeout=60.0) as client:

        async def get(url: str) -> None:
            async with client.stream("GET", url) as answer:
                assert answer.status_code == 200
                async for _ in answer.aiter_raw():
                    pass

        start = time.perf_counter()
        await asyncio.gather(*map(get, urls))
        return time.perf_counter() - start
