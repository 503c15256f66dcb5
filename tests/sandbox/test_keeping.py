"""A sandbox of a state folder goes on with what an earlier one was ordered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pack.civitai_bridge.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
INPUT = {"engine": "comfy", "ecosystem": "sdxl", "operation": "createImage", "prompt": "x", "width": 64, "height": 64,
         "model": "urn:air:sdxl:checkpoint:civitai:101055@128078"}  # fmt: skip
BODY = {"steps": [{"$type": "imageGen", "input": INPUT}], "externalId": "a-key"}
HEADERS = {"Authorization": "Bearer me"}


async def ask(sandbox: Sandbox, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session:
        address = sandbox.orchestration_url + path
        async with session.request(method, address, headers=HEADERS, **options) as answer:
            return answer.status, await answer.json()


async def test_ledger_workflows_and_pictures_outlive_a_sandbox(tmp_path: Path):
    async with Sandbox(pace=0.02, folder=tmp_path / "service") as first:
        _, workflow = await ask(first, "POST", "/v2/consumer/workflows", json=BODY)
        path = f"/v2/consumer/workflows/{workflow['id']}"
        await ask(first, "GET", f"{path}?wait=20")
        ledger, balances = list(first.ledger), dict(first.bank.balances)
    async with Sandbox(pace=0.02, folder=tmp_path / "service") as second:
        assert second.ledger == ledger and second.bank.balances == balances
        status, again = await ask(second, "POST", "/v2/consumer/workflows", json=BODY)
        assert (status, again["id"]) == (200, workflow["id"]) and second.ledger == ledger, "one key, one charge"
        url = again["steps"][0]["output"]["images"][0]["url"]
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200 and (await answer.read())[:2] == b"\xff\xd8"


async def test_a_job_that_was_under_way_begins_again(tmp_path: Path):
    async with Sandbox(pace=1.0, folder=tmp_path / "service") as first:
        _, workflow = await ask(first, "POST", "/v2/consumer/workflows", json=BODY)
    async with Sandbox(pace=0.02, folder=tmp_path / "service") as second:
        path = f"/v2/consumer/workflows/{workflow['id']}"
        _, ended = await ask(second, "GET", f"{path}?wait=20")
        assert ended["status"] == "succeeded" and len(second.ledger) == 1


async def test_what_cannot_be_read_stops_no_sandbox(tmp_path: Path):
    (tmp_path / "sandbox.json").write_text('{"workflows": [1], ')
    async with Sandbox(folder=tmp_path) as sandbox:
        assert sandbox.ledger == []


@pytest.mark.parametrize("wait", ["30", "0.001"])
def test_the_same_order_from_the_shell_is_paid_once(tmp_path: Path, wait: str):
    environ = {**os.environ, "CIVITAI_BRIDGE_SANDBOX": "1", "CIVITAI_BRIDGE_HOME": str(tmp_path / "state")}
    order = ["generate", "--model", "128078", "--prompt", "x", "--width", "64", "--height", "64", "--yes", "--json"]

    def shell(*words: str) -> tuple[int, Any]:
        command = [sys.executable, str(ROOT / "civitai_bridge"), *words]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout)

    code, first = shell(*order, "--wait", wait)
    assert code == (0 if wait == "30" else 130), first
    time.sleep(0.1)
    code, second = shell(*order)
    assert code == 0 and second["paid_now"] is False and (tmp_path / second["files"][0]).is_file()
    ledger = json.loads((tmp_path / "state" / "sandbox" / "service" / "sandbox.json").read_text())["ledger"]
    assert len(ledger) == 1, "one charge"
