"""CivitAI Link inside the server: nothing before there is a pairing, then until the server ends."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import types
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("socketio")
pytest.importorskip("jsonschema")

from pack.civitai_bridge.link.pairing import PairingFile, is_held
from pack.civitai_bridge.sandbox import Embedded


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    made = Embedded(pace=0.1)
    for name in ("orchestration", "site", "link"):
        monkeypatch.setenv(f"CIVITAI_{name.upper()}_URL", getattr(made.sandbox, f"{name}_url"))
    yield made
    made.stop()


def do(embedded: Embedded, **wish: Any) -> Any:
    address = f"{embedded.sandbox.orchestration_url}/sandbox/link"
    request = urllib.request.Request(address, json.dumps(wish).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def wait_for(true: Any) -> None:
    for _ in range(400):
        if true():
            return
        time.sleep(0.025)
    raise AssertionError("it did not come to that")


def test_a_pairing_made_beside_a_running_server_is_taken_over_told_and_ends_with_it(
    nodes: Any, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
):
    started, stopped, heard = [], [], []
    server = sys.modules["server"].PromptServer.instance
    app = types.SimpleNamespace(on_startup=started, on_shutdown=stopped)
    monkeypatch.setattr(server, "app", app, raising=False)
    monkeypatch.setattr(server, "send_sync", lambda *event: heard.append(event), raising=False)
    nodes.startup.run_link(every=0.05)
    asyncio.run(started[0](app))
    services = nodes.services.services()
    time.sleep(0.3)
    assert not services.is_linked
    home = Path(os.environ["CIVITAI_BRIDGE_HOME"])
    assert not (home / "link.sqlite3").exists() and heard == []
    PairingFile(home).enter(do(embedded, do="pair")["code"])
    wait_for(lambda: PairingFile(home).load().key and do(embedded, do="state")["linked"])
    assert is_held(home)
    wait_for(lambda: ("civitai_bridge.link", {"about": "state", "state": "joined"}) in heard)
    assert PairingFile(home).load().key not in str(heard)
    asyncio.run(stopped[0](app))
    assert not is_held(home) and PairingFile(home).load().key
