"""A real nginx before the routes, and programs of this and of another account: who gets a session.

python3 tools/dev.py test-proxy        (Debian: apt-get install nginx-light)
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from aiohttp.test_utils import TestServer
from routes_room import ADMIN, JSON, Room, serving

from pack.civitai_bridge.routes import peers
from pack.civitai_bridge.routes.access import SESSION, TOKEN_COMMAND, TOKEN_NEEDED

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed here")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table of sockets")

_CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream comfyui {{ server 127.0.0.1:{port}; keepalive 4; }}
  server {{ listen 127.0.0.1:{public}; location / {{ proxy_pass http://{upstream}; {lines} }} }}
}}
"""
_HTTP_1_1 = 'proxy_http_version 1.1; proxy_set_header Connection "";'
# How people set it up, and how somebody may who wants in: lines of the location, and the account of the workers.
SETUPS: dict[str, tuple[str, str]] = {
    "as it comes": ("", ""),
    "HTTP/1.1": (_HTTP_1_1, ""),
    "HTTP/1.1, Host passed on": (f"{_HTTP_1_1} proxy_set_header Host $http_host;", ""),
    "HTTP/1.1, Host and Origin forged": (
        f"{_HTTP_1_1} proxy_set_header Host 127.0.0.1:{{port}}; proxy_set_header Origin http://127.0.0.1:{{port}};", "",
    ),
    "websockets": ('proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";', ""),
    "forwarded headers": (f"{_HTTP_1_1} proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Host 127.0.0.1:{{port}};", ""),
    "under the server's own account": (
        f"{_HTTP_1_1} proxy_set_header Host 127.0.0.1:{{port}}; proxy_set_header Origin http://127.0.0.1:{{port}};",
        "user root;" if IS_ROOT else "",
    ),
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def proxied(room: Room, tmp_path: Path) -> AsyncIterator[Callable[[str, str], str]]:
    """Starts an nginx before the room's server; its address."""
    running: list[subprocess.Popen[bytes]] = []

    def start(setup: str, upstream: str) -> str:
        lines, user = SETUPS[setup]
        public, folder = free_port(), tmp_path / "nginx"
        folder.mkdir()
        folder.chmod(0o777)
        text = _CONFIG.format(
            folder=folder, user=user, port=room.port, public=public, lines=lines.format(port=room.port),
            upstream="comfyui" if upstream == "kept alive" else f"127.0.0.1:{room.port}",
        )  # fmt: skip
        (folder / "nginx.conf").write_text(text)
        assert NGINX is not None
        running.append(subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)]))
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", public)) == 0:
                    return f"http://127.0.0.1:{public}"
            time.sleep(0.05)
        raise AssertionError((folder / "error.log").read_text())

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@needs_nginx
@pytest.mark.parametrize("upstream", ["each anew", "kept alive"])
@pytest.mark.parametrize("setup", SETUPS)
async def test_nobody_gets_a_session_through_nginx(setup: str, upstream: str, room: Room, proxied: Callable[..., str]):
    session = await session_of(room)
    own, room.url = f"127.0.0.1:{room.port}", proxied(setup, upstream)
    public = room.url.removeprefix("http://")
    for host, origin in ((public, f"http://{public}"), (own, f"http://{own}"), ("pod.example.com", f"http://{own}")):
        headers = {"Host": host, "Origin": origin, **JSON}
        answer = await room.ask("POST", "/civitai_bridge/session", headers)
        assert answer.status == 401 and answer.data["error"] == TOKEN_NEEDED
        stolen = await room.ask("POST", "/admin/civitai/add/300001", headers | {SESSION: session})
        assert stolen.status == 401
    assert (await room.ask("GET", "/admin/civitai/catalog", ADMIN)).status == 200, "the admin comes from anywhere"
    assert not (room.home / "models.json").exists()


async def session_of(room: Room) -> str:
    here = f"127.0.0.1:{room.port}"
    answer = await room.ask("POST", "/civitai_bridge/session", {"Host": here, "Origin": f"http://{here}", **JSON})
    assert answer.status == 200
    return answer.data["session"]


_PROGRAM = """
import encodings.idna, os, socket, sys
if {listens}:
    also = socket.create_server(("127.0.0.1", 0))
if {uid}:
    os.setgroups([]); os.setgid({uid}); os.setuid({uid})
here = "127.0.0.1:{port}"
text = "POST /civitai_bridge/session HTTP/1.1\\r\\nHost: " + here + "\\r\\nOrigin: http://" + here
text += "\\r\\nContent-Type: application/json\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"
with socket.create_connection(("{address}", {port})) as end:
    end.sendall(text.encode())
    print(end.recv(9000).split()[1].decode())
"""


async def asked_by_a_program(port: int, *, uid: int = 0, listens: bool = False, address: str = "127.0.0.1") -> str:
    script = _PROGRAM.format(port=port, uid=uid, listens=listens, address=address)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode().strip()


@on_linux
async def test_a_program_of_this_account_gets_a_session_and_a_server_does_not(room: Room):
    assert await asked_by_a_program(room.port) == "200"
    assert await asked_by_a_program(room.port, listens=True) == "401"


@on_linux
async def test_a_proxy_that_forks_for_each_visitor_gets_none(room: Room):
    """As `socat TCP-LISTEN:80,fork TCP:localhost:8188` does it: the child does not listen, its parent does."""
    child = _PROGRAM.format(port=room.port, uid=0, listens=False, address="127.0.0.1")
    script = f"""
import os, socket
listener = socket.create_server(("127.0.0.1", 0))
if os.fork():
    os.wait()
else:
    listener.close()
    exec({child!r})
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0].strip() == b"401"


@on_linux
@pytest.mark.skipif(not IS_ROOT, reason="needs root to be somebody else")
async def test_a_program_of_another_account_gets_none(room: Room):
    assert await asked_by_a_program(room.port, uid=65534) == "401"


@on_linux
async def test_a_client_of_ipv4_at_a_server_of_both_is_found(room: Room):
    async with TestServer(serving(room.context), host="::") as server:
        assert server.port is not None
        assert await asked_by_a_program(server.port) == "200"


@on_linux
async def test_the_look_up_is_quick(room: Room):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        begun = time.thread_time()
        assert peers.is_own_account(client.getsockname(), server.getsockname())
        assert time.thread_time() - begun <= 0.05


def test_nobody_found_is_nobody():
    assert not peers.is_own_account(("127.0.0.1", 1), ("127.0.0.1", 2))
    assert not peers.is_own_account(("nonsense", 1), ("127.0.0.1", 2))


async def test_where_the_setting_or_a_container_says_no_the_token_is_needed(room: Room):
    session = await session_of(room)
    here = {"Host": f"127.0.0.1:{room.port}", "Origin": f"http://127.0.0.1:{room.port}", **JSON}
    gates = {
        "setting": replace(room.context.gate, settings=lambda: replace(room.settings, page_session="off")),
        "damage": replace(
            room.context.gate, settings=lambda: replace(room.settings, damage="settings.json is damaged.")
        ),
        "container": replace(room.context.gate, in_container=lambda: True),
        "another account": replace(room.context.gate, is_own_account=lambda peer, own: False),
    }
    for why, gate in gates.items():
        async with TestServer(serving(replace(room.context, gate=gate))) as server:
            room.url, here["Host"] = f"http://127.0.0.1:{server.port}", f"127.0.0.1:{server.port}"
            here["Origin"] = room.url
            answer = await room.ask("POST", "/civitai_bridge/session", here)
            assert answer.status == 401 and answer.data["command"] == TOKEN_COMMAND in answer.data["error"], why
            assert (await room.ask("GET", "/admin/civitai/catalog", here | {SESSION: session})).status == 401, why
            assert (await room.ask("GET", "/admin/civitai/catalog", ADMIN)).status == 200, why


def test_a_container_is_known_by_its_marks(tmp_path: Path):
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/cgroup").write_text("0::/init.scope\n")
    assert not peers.in_container({}, tmp_path)
    assert peers.in_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
    (tmp_path / "proc/1/cgroup").write_text("12:pids:/docker/0123\n")
    assert peers.in_container({}, tmp_path)
    (tmp_path / "proc/1/cgroup").unlink()
    (tmp_path / ".dockerenv").touch()
    assert peers.in_container({}, tmp_path)
