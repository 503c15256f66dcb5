"""Rows of `make bench` about many jobs at once: 200 of a minute each, and 50 whose process is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Row = Callable[..., None]
HERE = Path(__file__).resolve().parent
PACE = 0.4  # of the sandbox's process: a second of its jobs takes that long
JOB = 60.0  # seconds, as this machine's clock has them
MANY, RESTARTED = 200, 50
SHORT = 12.0  # seconds of the jobs whose process is killed
PICTURES = ("blob", "content", "refresh")


def many_jobs(row: Row, addresses: Mapping[str, str], folder: Path) -> None:
    """All rows of this module, against a sandbox in a process of its own."""
    _two_hundred(row, addresses, folder / "many")
    _restart(row, addresses, folder / "restart")


def _two_hundred(row: Row, addresses: Mapping[str, str], folder: Path) -> None:
    _wish(addresses, jobs=[{"seconds": JOB / PACE}] * (1 + MANY))
    seen = len(_asked(addresses, "requests"))
    parts = [{"name": "one", "count": 1}, {"name": "many", "count": MANY}]
    with _process(addresses, folder, parts) as process:
        lines = _lines(process)
    one, many = (line for line in lines if "part" in line)
    assert sum("collected" in line for line in lines) == 1 + MANY
    ratio = many["seconds"] / one["seconds"]
    row(f"{MANY} jobs at once / one, job {JOB:.0f} s", ratio, "<= 1.1", ratio <= 1.1,
        f"a process of its own, sandbox in another; one took {one['seconds']:.1f} s, all {many['seconds']:.1f} s")  # fmt: skip
    log = [asked for asked in _asked(addresses, "requests")[seen:] if asked["when"] > one["at"]]
    submits = [asked["when"] for asked in log if asked["route"] == "submit"]
    last, end = max(submits), many["at"]
    routes = Counter(asked["route"] for asked in log if asked["when"] > last)
    counted = sum(count for route, count in routes.items() if route not in PICTURES)
    rate = counted / (end - last)
    row("… requests a second", rate, "<= 2", rate <= 2 and len(submits) == MANY,
        f"in the sandbox's log, the {end - last:.0f} s from the last of {len(submits)} submits to the last picture, "
        f"the pictures' own apart: {dict(routes)}", "/s")  # fmt: skip
    if many["megabytes"]:
        row("… peak memory above the idle process", many["megabytes"], "<= 150 MB", many["megabytes"] <= 150,
            "the kernel's peak less what it held after the one job; pictures of 64 x 64", "MB")  # fmt: skip


def _restart(row: Row, addresses: Mapping[str, str], folder: Path) -> None:
    _wish(addresses, jobs=[{"seconds": SHORT / PACE}] * RESTARTED)
    charged = _charges(addresses)
    seen = len(_asked(addresses, "requests"))
    parts = [{"name": "restarted", "count": RESTARTED}]
    with _process(addresses, folder, parts) as process:
        until = time.monotonic() + 60
        while sum(asked["route"] == "submit" for asked in _asked(addresses, "requests")[seen:]) < RESTARTED:
            assert time.monotonic() < until, "the orders did not leave"
            time.sleep(0.2)
        time.sleep(SHORT / 3)
        os.kill(process.pid, signal.SIGKILL)
        early = _lines(process)
    assert not early, "killed too late: the jobs were over"
    with _process(addresses, folder, parts) as process:
        lines = _lines(process)
    collected = sum("collected" in line for line in lines)
    again = _charges(addresses) - charged - RESTARTED + sum(bool(line.get("paid_now")) for line in lines)
    row(f"SIGKILL amid {RESTARTED} jobs, queued again: collected", collected, f"{RESTARTED}", collected == RESTARTED,
        f"jobs of {SHORT:.0f} s, killed {SHORT / 3:.0f} s after the last order")  # fmt: skip
    row("… charged again", again, "0", again == 0, "in the sandbox's ledger, and by what the second process says")


class _process:
    """A `jobs_process.py` until it has ended; one that is left behind is ended."""

    def __init__(self, addresses: Mapping[str, str], folder: Path, parts: list[dict[str, Any]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        config.write_text(json.dumps({"addresses": dict(addresses), "home": str(folder / "state"), "parts": parts}))
        self._command = [sys.executable, str(HERE / "jobs_process.py"), str(config)]

    def __enter__(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)


def _lines(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    assert process.stdout
    return [json.loads(line) for line in process.stdout]


def _charges(addresses: Mapping[str, str]) -> int:
    """How many workflows the sandbox has charged."""
    return len({entry["workflow"] for entry in _asked(addresses, "ledger") if entry["kind"] == "debit"})


def _asked(addresses: Mapping[str, str], name: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{addresses['orchestration_url']}/sandbox/{name}") as answer:
        return json.load(answer)


def _wish(addresses: Mapping[str, str], **wishes: Any) -> None:
    body = json.dumps(wishes).encode()
    address = f"{addresses['orchestration_url']}/sandbox/control"
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    urllib.request.urlopen(request).close()
