"""A real ComfyUI server, headless, with the pack in a folder whose name has a space and a dot, on the pack's own
sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "civitai bridge.v1"


def comfyui_python(where: Path) -> str:
    """COMFYUI_PYTHON, else the environment in ComfyUI's folder, else python3."""
    if os.environ.get("COMFYUI_PYTHON"):
        return os.environ["COMFYUI_PYTHON"]
    for name in (".venv", "venv"):
        for inside in ("bin/python", "Scripts/python.exe"):
            if (where / name / inside).is_file():
                return str(where / name / inside)
    return shutil.which("python3") or sys.executable


class Server:
    """One server and what a page would do with it."""

    def __init__(self, url: str, log: Path, control: str, state: Path) -> None:
        self.url = url
        self.log = log
        self.state = state
        self.sandbox = control
        self.addresses: dict[str, str] = {}  # of the pretend CivitAI

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if "json" in answer.headers.get("content-type", "") else content

    def post(self, url: str, data: Any) -> Any:
        request = urllib.request.Request(url, json.dumps(data).encode(), {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"HTTP {error.code}: {error.read().decode()[:2000]}") from error
        return json.loads(content) if content else None

    def control(self, **wishes: Any) -> None:
        self.post(self.sandbox + "/sandbox/control", wishes)

    def ledger(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(self.sandbox + "/sandbox/ledger") as answer:
            return json.loads(answer.read())

    def requests(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(self.sandbox + "/sandbox/requests") as answer:
            return json.loads(answer.read())

    def cancels(self, since: float) -> list[dict[str, Any]]:
        """Requests to cancel that arrived since a moment."""
        return [r for r in self.requests() if r["route"] == "cancel" and r["when"] >= since]

    async def run(self, prompt: dict[str, Any], *, cancel_after: float | None = None) -> Run:
        """Queue an API-format prompt and listen until it is over."""
        client, prompt_id = uuid.uuid4().hex, str(uuid.uuid4())
        run = Run(prompt_id)
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{self.url}/ws?clientId={client}", max_msg_size=0) as socket_:
                body = {"prompt": prompt, "client_id": client, "prompt_id": prompt_id}
                async with session.post(self.url + "/prompt", json=body) as answer:
                    run.queued = await answer.json()
                    if answer.status != 200:
                        return run
                started = time.monotonic()
                if cancel_after is not None:
                    asyncio.get_running_loop().call_later(
                        cancel_after, lambda: run.tasks.append(asyncio.ensure_future(self._interrupt(run)))
                    )
                while True:
                    message = await asyncio.wait_for(socket_.receive(), 120)
                    if message.type == aiohttp.WSMsgType.BINARY:
                        run.binary.append(message.data)
                        continue
                    event = json.loads(message.data)
                    run.events.append((time.monotonic() - started, event["type"], event.get("data") or {}))
                    data = event.get("data") or {}
                    if event["type"] == "executing" and data.get("node") is None and data.get("prompt_id") == prompt_id:
                        run.seconds, run.ended = time.monotonic() - started, time.time()
                        break
            for _ in range(40):
                async with session.get(f"{self.url}/history/{prompt_id}") as answer:
                    run.history = (await answer.json()).get(prompt_id, {})
                if run.history:
                    break
                await asyncio.sleep(0.05)
        return run

    async def _interrupt(self, run: Run) -> None:
        async with aiohttp.ClientSession() as session:
            run.clicked = time.time()
            async with session.post(self.url + "/interrupt", json={}):
                pass


class Run:
    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id
        self.queued: dict[str, Any] = {}
        self.events: list[tuple[float, str, dict[str, Any]]] = []
        self.binary: list[bytes] = []
        self.history: dict[str, Any] = {}
        self.seconds = 0.0
        self.clicked = self.ended = 0.0  # seconds since the epoch
        self.tasks: list[Any] = []

    def text(self, node: str) -> str:
        return "\n".join(self.history["outputs"][node]["text"])

    @property
    def error(self) -> str:
        return next((d.get("exception_message", "") for _, t, d in self.events if t == "execution_error"), "")

    def had(self, kind: str) -> bool:
        return any(name == kind for _, name, _ in self.events)


def start(
    tmp: Path,
    more: Path | None = None,
    before: Callable[[dict[str, str]], None] = lambda _: None,
    options: Sequence[str] = (),
    **environment: str,
) -> Iterator[Server]:
    """A server until the test is over; `more` is what the sandbox's site has besides, as sandbox_process reads it;
    `before` is called with the server's environment before it starts; `options` are more of ComfyUI's own."""
    where = Path(os.environ.get("COMFYUI_PATH", ""))
    if not (where / "main.py").is_file():
        pytest.skip("needs COMFYUI_PATH; `make test-comfyui` runs it")
    base = tmp / "base"
    for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
        (base / name).mkdir(parents=True)
    (base / "models" / "checkpoints").mkdir()
    (base / "custom_nodes" / FOLDER).symlink_to(ROOT, target_is_directory=True)
    for name in ("slow_sync", "link_direct"):  # packs of the tests
        (base / "custom_nodes" / name).mkdir()
        shutil.copy(Path(__file__).parent / f"{name}.py", base / "custom_nodes" / name / "__init__.py")
    with socket.socket() as probe, socket.socket() as other:
        probe.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sandbox = Path(__file__).parent / "sandbox_process.py"
    pretend_command = [sys.executable, str(sandbox), str(ROOT), *([str(more)] if more else [])]
    pretend = subprocess.Popen(pretend_command, stdout=subprocess.PIPE, text=True)
    assert pretend.stdout is not None
    addresses = json.loads(pretend.stdout.readline())
    log = tmp / "comfyui.log"
    env = {name: value for name, value in os.environ.items() if not name.startswith("CIVITAI_")}
    env |= {
        "CIVITAI_ORCHESTRATION_URL": addresses["orchestration_url"],
        "CIVITAI_SITE_URL": addresses["site_url"],
        "CIVITAI_LINK_URL": addresses["link_url"],
        "CIVITAI_API_TOKEN": "SECRET-KEY-OF-THE-TESTS",
        "CIVITAI_BRIDGE_HOME": str(tmp / "state"),
        **environment,
    }
    command = [comfyui_python(where), "main.py", "--cpu", "--base-directory", str(base), "--port", str(port)]
    command += ["--disable-auto-launch", "--disable-api-nodes", "--database-url", "sqlite:///:memory:", *options]
    try:
        before(env)
    except BaseException:
        pretend.kill()
        raise
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=where, env=env, stdout=out, stderr=subprocess.STDOUT)
    server = Server(f"http://127.0.0.1:{port}", log, addresses["orchestration_url"], tmp / "state")
    server.addresses = addresses
    try:
        for _ in range(240):
            if process.poll() is not None:
                break
            try:
                server.get("/system_stats")
                break
            except OSError:
                time.sleep(0.5)
        assert process.poll() is None, log.read_text()[-4000:]
        yield server
    finally:
        for each in (process, pretend):
            each.terminate()
            each.wait(20)
        pretend.stdout.close()


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from start(tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="module")
def own_comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for one file of tests alone, which changes what lies in its folders."""
    yield from start(tmp_path_factory.mktemp("comfyui"))
