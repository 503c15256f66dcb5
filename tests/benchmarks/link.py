"""Rows of `make bench` about Civitai Link: the list, what it costs to be paired, answers beside downloads, a large add.

The relay, the site and the browser are in this process, the agent in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from civitai_bridge.model_files.file_rows import keep_places, keep_rows
from civitai_bridge.model_files.index import HashIndex
from civitai_bridge.model_files.listing import Place
from civitai_bridge.sandbox import Sandbox
from civitai_bridge.sandbox.files import File
from civitai_bridge.sandbox.link import Browser
from civitai_bridge.sandbox.models import VERSIONS, Version

Row = Callable[..., None]
HERE = Path(__file__).resolve().parent
LISTED = 20_000
IDLE = 60.0  # seconds
GB = 10**9


def linking(row: Row) -> None:
    """All rows of this module."""
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as name:
        asyncio.run(_listing(row, Path(name) / "list"))
        if sys.platform.startswith("linux"):
            asyncio.run(_idling(row, Path(name) / "idle"))
        asyncio.run(_answering(row, Path(name) / "busy"))
        asyncio.run(_adding(row, Path(name)))


def _config(sandbox: Sandbox, folder: Path, **more: str) -> str:
    (folder / "models" / "loras").mkdir(parents=True, exist_ok=True)
    addresses = {name: getattr(sandbox, name) for name in ("orchestration_url", "site_url", "link_url", "storage_url")}
    return json.dumps({"home": str(folder / "home"), "models": str(folder / "models"), **addresses, **more})


@contextlib.asynccontextmanager
async def _linked(sandbox: Sandbox, folder: Path) -> AsyncIterator[tuple[Browser, int, float]]:
    """A browser, the paired agent's process id, and the memory (MB) that it had before."""
    browser = await sandbox.link.browse(asks=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "link_process.py"),
        _config(sandbox, folder, code=browser.code),
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    try:
        before = float(await process.stdout.readline())
        await browser.until_linked(60)
        yield browser, process.pid, before
    finally:
        process.terminate()
        await process.wait()


async def _timed(browser: Browser, kind: str, **fields: Any) -> tuple[float, dict[str, Any]]:
    start = time.perf_counter()
    end = await browser.finish(await browser.send(kind, **fields), 600)
    return time.perf_counter() - start, end


def _sha(number: int) -> str:
    return f"{number:08X}" * 8


async def _listing(row: Row, folder: Path) -> None:
    """20,000 files that an index knows, in the room of a real connection."""
    models, home = folder / "models" / "loras", folder / "home"
    models.mkdir(parents=True)
    home.mkdir()
    index = HashIndex(home / "hashes.sqlite3")
    rows, places = [], []
    for number in range(1, LISTED + 1):
        path = models / f"{number % 100:02}" / f"some model of somebody_{number:06}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        stat = path.stat()
        hashes = ("", _sha(number), "", "", "", "", f"out_{number}", "{}", "")
        rows.append(
            (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, str(stat.st_dev), str(stat.st_ino), *hashes)
        )
        places.append(Place("loras", str(path.relative_to(models)), str(path), stat.st_mtime_ns))
    with index.database.transaction() as connection:
        keep_rows(connection, rows)
        keep_places(connection, places)
    index.close()
    async with Sandbox() as sandbox, _linked(sandbox, folder) as (browser, _, _):
        times, ends = [], []
        for _ in range(8):
            seconds, end = await _timed(browser, "resources:list")
            times.append(seconds)
            ends.append(end)
    size, count = len(json.dumps(ends[-1])), len(ends[-1]["resources"])
    row(f"list of {LISTED:,} files, from the click to the page", min(times[1:]) * 1000, "<= 200 ms", min(times[1:]) <= 0.2,
        f"best of {len(times) - 1}; the first, which reads the index, {times[0]:.2f} s; {count} of them fit", "ms")  # fmt: skip
    row(
        "… its message",
        size / 1000,
        "<= 900 kB",
        size <= 900_000 and count > 1000,
        "the newest and most used first",
        "kB",
    )


async def _idling(row: Row, folder: Path) -> None:
    """Paired, a page open, nothing asked."""

    def spent(pid: int) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(pid: int) -> float:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    async with Sandbox() as sandbox, _linked(sandbox, folder) as (_, pid, before):
        await asyncio.sleep(5)
        start = spent(pid)
        await asyncio.sleep(IDLE)
        share, grown = (spent(pid) - start) / IDLE * 100, resident(pid) - before
    row(
        "paired and idle: of one core",
        share,
        "<= 0.1 %",
        share <= 0.1,
        f"CPU seconds of {IDLE:.0f} s, a page in the room",
        "%",
    )
    row("… memory beside what the pack has without it", grown, "<= 15 MB", grown <= 15,
        f"resident, {before:.0f} MB before the agent was opened", "MB")  # fmt: skip


def _version(number: int, size: int) -> int:
    """A checkpoint of the sandbox's site whose file has so many bytes."""
    file = File(f"bench{number}.gguf", format="GGUF", length=size, lacks=("BLAKE3",))
    VERSIONS[910_000 + number] = Version(
        910_000 + number, 920_000 + number, f"Bench {number}", "v1", "Flux.1 D", "flux1", uploaded=(file,)
    )
    return 910_000 + number


async def _answering(row: Row, folder: Path) -> None:
    """Every other command while 20 files are asked for and as many of them as may be are loaded."""
    async with Sandbox() as sandbox, _linked(sandbox, folder) as (browser, _, _):
        sandbox.site.storage.slowness = 12.0
        sandbox.site.storage.troubles.extend(["slow"] * 20)
        resources = [sandbox.link.resource(_version(number, 20_000_000)) for number in range(20)]
        first = await browser.send("resources:add", resource=resources[0])
        await browser.until(
            lambda: any(each["status"] == "processing" for each in browser.page.statuses.get(first, ())), 60
        )
        names = [await browser.send("resources:add", resource=resource) for resource in resources[1:]]
        in_the_burst, _ = await _timed(browser, "activities:list")
        await browser.until(lambda: all(browser.page.statuses.get(name) for name in names), 60)
        times = []
        for number in range(60):
            kind = ("activities:list", "resources:list", "activities:cancel")[number % 3]
            times.append((await _timed(browser, kind, activityId="nobody's"))[0])
            await asyncio.sleep(0.1)
        ended = sum(browser.page.final(name) is not None for name in names)
    worst = max(times) * 1000
    row("a command during 20 downloads, answered after", worst, "<= 100 ms", worst <= 100 and ended < 19,
        f"the worst of {len(times)}, median {sorted(times)[len(times) // 2] * 1000:.0f} ms; 3 files are loaded at a time, "
        f"{ended} of 20 had ended", "ms")  # fmt: skip
    row(
        "… sent right behind 19 adds",
        in_the_burst * 1000,
        "-",
        None,
        "site, relay and browser are one process here",
        "ms",
    )


async def _adding(row: Row, folder: Path) -> None:
    """1 GB, from the click to `success`, against our own download of it, in turn; to a RAM disk where there is one."""
    ours, links = [], []
    async with Sandbox() as sandbox:
        resource = sandbox.link.resource(_version(99, GB))
        for number in range(3):
            own = folder / f"own{number}"
            config = _config(sandbox, own, download=resource["hash"])
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(HERE / "link_process.py"), config, stdout=subprocess.PIPE
            )
            out, _ = await process.communicate()
            ours.append(float(out))
            _delete(own)
            linked = folder / f"linked{number}"
            async with _linked(sandbox, linked) as (browser, _, _):
                seconds, end = await _timed(browser, "resources:add", resource=resource)
                assert end["status"] == "success", end
                links.append(seconds)
            _delete(linked)
    ratio = min(links) / min(ours)
    row("add of 1 GB from the click to success / our own download", ratio, "<= 1.05", ratio <= 1.05,
        f"best of 3 each, in turn: {_list(links)} against {_list(ours)} s")  # fmt: skip


def _delete(folder: Path) -> None:
    for path in (folder / "models").rglob("*.gguf"):
        path.unlink()


def _list(times: list[float]) -> str:
    return " ".join(f"{seconds:.2f}" for seconds in times)
