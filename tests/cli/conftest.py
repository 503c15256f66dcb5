"""A sandbox as a person's own CivitAI, with an account for each test, and shells to type commands into: `shell` is at
home in that sandbox, `bare_shell` knows no CivitAI and no key."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pack.civitai_bridge.app import Tuning
from pack.civitai_bridge.cli import main
from pack.civitai_bridge.errors import BadSetting
from pack.civitai_bridge.orchestration.timings import Timings

if TYPE_CHECKING:
    from work_room import Shell

    from pack.civitai_bridge.sandbox import Embedded, Sandbox


async def _shortly(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.01))


QUICK = Tuning(timings=Timings(sleep=_shortly, long_poll=1, short_poll=0.01), sandbox_pace=0.02)


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    """Its ports stand in a row, as the shell expects: the storage is beside the site."""
    from pack.civitai_bridge.sandbox import Embedded

    for _ in range(20):
        with contextlib.suppress(BadSetting):
            embedded = Embedded(port=random.randrange(20_000, 32_000), pace=0.02)
            break
    else:
        raise AssertionError("no free ports in a row")
    yield embedded
    embedded.stop()


@pytest.fixture
def key(tmp_path: Path) -> str:
    """An account for each test."""
    return f"key-of-{tmp_path.name}"


@pytest.fixture
def sandbox(embedded: Embedded, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = embedded.sandbox
    for earlier in (sandbox.script.jobs, sandbox.bank.ledger, sandbox.requests):
        earlier.clear()
    monkeypatch.setenv("CIVITAI_ORCHESTRATION_URL", sandbox.orchestration_url)
    monkeypatch.setenv("CIVITAI_SITE_URL", sandbox.site_url)
    monkeypatch.setenv("CIVITAI_API_TOKEN", key)
    monkeypatch.chdir(tmp_path)
    yield sandbox
    sandbox.script.faults.clear()
    for name, value in (("dialect", "S"), ("jobs_route", "open"), ("extra_bytes", 0), ("ignored_filters", ())):
        sandbox.script.switch(name, value)


@pytest.fixture
def bare_shell(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run a command, without pauses between tries; `stdin` is a pipe with this text, or a terminal."""

    def run(*arguments: str, stdin: str | io.StringIO = "") -> SimpleNamespace:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin) if isinstance(stdin, str) else stdin)
        try:
            code = main(list(arguments), tuning=QUICK)
        except SystemExit as end:  # argparse ends the process by itself
            code = end.code
        out, err = capsysbinary.readouterr()
        data = json.loads(out) if out.strip() and "--json" in arguments else None
        return SimpleNamespace(code=code, out=out.decode(), raw=out, err=" ".join(err.decode().split()), data=data)

    return run


@pytest.fixture
def shell(sandbox: Sandbox, bare_shell: Shell) -> Shell:
    return bare_shell
