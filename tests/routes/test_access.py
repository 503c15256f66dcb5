"""Who is let in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request
from routes_room import ADMIN, EVERY, IMAGE, JSON, Room, serving

from pack.civitai_bridge.errors import BadSetting
from pack.civitai_bridge.routes.access import SESSION, Gate, is_own_page
from pack.civitai_bridge.settings import Settings


def browser(room: Room, **more: str) -> dict[str, str]:
    """What a browser sends with a POST from our own page."""
    here = f"127.0.0.1:{room.port}"
    return {"Host": here, "Origin": f"http://{here}", "Sec-Fetch-Site": "same-origin", **JSON, **more}


async def session_of(room: Room) -> str:
    answer = await room.ask("POST", "/civitai_bridge/session", browser(room))
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    return answer.data["session"]


@pytest.mark.parametrize(("method", "path"), EVERY)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic the-admin-token"},
        {"Authorization": "the-admin-token"},
        {"Authorization": "Bearer thé-admin-tokén"},
        {SESSION: "wrong"},
        {SESSION: ""},
        {SESSION: "the-admin-token"},
        {"Cookie": "session=the-admin-token"},
    ],
)
async def test_nobody_else_gets_anything(room: Room, method: str, path: str, headers: dict[str, str]):
    answer = await room.ask(method, path, {**headers, "Content-Type": "text/plain"})
    assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.data["error"] and "the-admin-token" not in answer.text
    assert room.sandbox.requests == [] and not room.home.exists(), "nothing is read or fetched"


async def test_the_token_in_the_address_does_not_count(room: Room):
    assert (await room.ask("GET", "/admin/civitai/catalog?token=the-admin-token")).status == 401


async def test_a_token_that_cannot_be_read_lets_nobody_in(room: Room):
    def broken() -> str:
        raise BadSetting("The admin token cannot be kept in /a/secret/place.")

    for token in (broken, lambda: ""):
        async with TestServer(
            serving(replace(room.context, gate=replace(room.context.gate, admin_token=token)))
        ) as server:
            room.url = f"http://127.0.0.1:{server.port}"
            answer = await room.ask("GET", "/admin/civitai/catalog", {"Authorization": "Bearer x"})
            assert answer.status == 401 and "/a/secret/place" not in answer.text


async def test_the_admin_comes_from_anywhere(room: Room):
    """A script on another machine, a proxy, a page elsewhere: whoever knows the token."""
    strange = {"Host": "pod.example.com", "Origin": "https://pod.example.com", "X-Forwarded-For": "9.9.9.9"}
    assert (await room.ask("GET", "/admin/civitai/catalog", {**ADMIN, **strange})).status == 200
    lower = {"authorization": "bearer  the-admin-token "}
    assert (await room.ask("GET", "/admin/civitai/catalog", lower)).status == 200


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_a_change_is_json_or_nothing(room: Room, kind: str | None):
    """A form of a foreign page can be posted without asking; JSON cannot."""
    headers = {**ADMIN, "Content-Type": kind or ""}
    for method, path in EVERY[2:]:
        assert (await room.ask(method, path, headers, data=b"{}")).status == 415
    assert room.sandbox.requests == []
    answer = await room.ask("POST", "/civitai_bridge/session", browser(room) | {"Content-Type": kind or ""})
    assert answer.status == 415


async def test_a_change_needs_a_post(room: Room):
    for _, path in EVERY[2:]:
        assert (await room.admin("GET", path)).status == 405
    assert (await room.ask("GET", "/civitai_bridge/session", browser(room))).status == 405


async def test_our_own_page_gets_a_session_and_works_with_it(room: Room):
    session = await session_of(room)
    for method, path in EVERY[1:]:
        headers = browser(room) | {SESSION: session}
        if method == "GET":
            del headers["Origin"]
        assert (await room.ask(method, path, headers)).status == 200
    assert session == await session_of(room) != "the-admin-token", "one for the process"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LocalHost"])
async def test_every_loopback_name_is_ours(room: Room, name: str):
    here = f"{name}:{room.port}"
    headers = browser(room) | {"Host": here, "Origin": f"http://{here.lower()}"}
    assert (await room.ask("POST", "/civitai_bridge/session", headers)).status == 200


REFUSED = {
    "a foreign page": {"Origin": "https://evil.example"},
    "a foreign page on this machine, another port": {"Origin": "http://127.0.0.1:1"},
    "another name of this machine": {"Origin": "http://localhost:{port}"},
    "https against http": {"Origin": "https://127.0.0.1:{port}"},
    "a rebound name": {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    "a rebound name that looks local": {"Host": "localhost.evil.example:{port}", "Origin": "http://localhost.evil.example:{port}"},
    "a sandboxed frame or a file": {"Origin": "null"},
    "an empty Origin": {"Origin": ""},
    "an Origin without its port": {"Origin": "http://127.0.0.1"},
    "an Origin with a path": {"Origin": "http://127.0.0.1:{port}/x"},
    "an Origin with a user": {"Origin": "http://a@127.0.0.1:{port}"},
    "an Origin that is no address": {"Origin": "http://[::1:{port}"},
    "an Origin with an odd port": {"Origin": "http://127.0.0.1:{port}x"},
    "a tunnel or container with another port": {"Host": "127.0.0.1:9000", "Origin": "http://127.0.0.1:9000"},
    "a Host without a port": {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"},
    "a name in the network": {"Host": "studio.local:{port}", "Origin": "http://studio.local:{port}"},
    "an address in the network": {"Host": "192.168.1.7:{port}", "Origin": "http://192.168.1.7:{port}"},
    "every address": {"Host": "0.0.0.0:{port}", "Origin": "http://0.0.0.0:{port}"},
    "a proxy that says whom it serves": {"X-Forwarded-For": "203.0.113.9"},
    "a proxy that says its name": {"X-Forwarded-Host": "pod.example.com"},
    "a proxy that says its scheme": {"x-forwarded-proto": "https"},
    "a proxy by the standard": {"Forwarded": "for=203.0.113.9"},
    "a proxy with Via": {"Via": "1.1 caddy"},
    "nginx's own": {"X-Real-IP": "203.0.113.9"},
    "a proxy behind another": {"X-Original-Forwarded-For": "203.0.113.9"},
    "a proxy of a cluster": {"X-Cluster-Client-IP": "203.0.113.9"},
    "a proxy with underscores": {"X_Forwarded_For": "203.0.113.9"},
    "a CDN": {"True-Client-IP": "203.0.113.9"},
    "a tunnel of a CDN": {"CF-Connecting-IP": "203.0.113.9"},
    "a CDN with its trace alone": {"CF-Ray": "8f0c-FRA"},
    "a proxy that misspells it": {"X-Forward-For": "203.0.113.9"},
    "a proxy of Azure": {"X-Azure-ClientIP": "203.0.113.9"},
    "a proxy of IIS": {"X-ARR-LOG-ID": "1"},
    "a proxy of a mesh": {"X-Envoy-External-Address": "203.0.113.9"},
    "a proxy of a private network": {"Tailscale-User-Login": "neighbour@example.com"},
    "a proxy that rewrites addresses": {"X-Original-URL": "/civitai_bridge/session"},
    "a proxy of an old kind": {"X-ProxyUser-Ip": "203.0.113.9"},
    "an appliance": {"X-Remote-Addr": "203.0.113.9"},
}  # fmt: skip


@pytest.mark.parametrize("who", REFUSED)
async def test_no_session_for(room: Room, who: str):
    session = await session_of(room)
    odd = {name: value.format(port=room.port) for name, value in REFUSED[who].items()}
    answer = await room.ask("POST", "/civitai_bridge/session", browser(room) | odd)
    assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer" and session not in answer.text
    used = await room.ask("GET", "/admin/civitai/catalog", browser(room) | odd | {SESSION: session})
    assert used.status == 401, "nor does one that was carried away serve there"


async def test_no_session_for_http_1_0(room: Room):
    """nginx asks so by itself, with a Host of its own making and no word of whom it serves."""
    text = f"POST /civitai_bridge/session HTTP/1.0\r\nHost: 127.0.0.1:{room.port}\r\n"
    text += f"Origin: http://127.0.0.1:{room.port}\r\nContent-Type: application/json\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
    writer.write(text.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b" 401 " in answer.splitlines()[0]


async def test_no_session_without_an_origin(room: Room):
    """curl, a form of an old browser, a GET turned POST: nothing proves that our page asks."""
    headers = browser(room)
    del headers["Origin"]
    assert (await room.ask("POST", "/civitai_bridge/session", headers)).status == 401
    assert (await room.ask("GET", "/admin/civitai/catalog", headers)).status == 401


async def test_a_get_without_an_origin_needs_the_session(room: Room):
    """A link, an image or a script of a foreign page is a GET without Origin; it cannot add a header."""
    assert (await room.ask("GET", f"/admin/civitai/image/{IMAGE}", {"Sec-Fetch-Site": "cross-site"})).status == 401
    session = await session_of(room)
    assert (await room.ask("GET", "/admin/civitai/catalog", {SESSION: session})).status == 200


async def test_a_session_of_another_process_is_nothing_here(room: Room):
    other = Gate(lambda: "", Settings)
    assert (await room.ask("GET", "/admin/civitai/catalog", browser(room) | {SESSION: other.session})).status == 401


def proxy(to: str, change: Callable[[web.Request, dict[str, str]], None]) -> web.Application:
    """A reverse proxy on this machine."""

    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        change(request, headers)
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, to + request.path_qs, headers=headers, data=await request.read()) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", forward)
    return app


@pytest.mark.parametrize("said", [True, False], ids=["with forwarded headers", "without any"])
@pytest.mark.parametrize("rewrites", [True, False], ids=["rewrites Host", "keeps Host"])
async def test_a_proxy_on_this_machine_gets_no_session(room: Room, said: bool, rewrites: bool):
    def change(request: web.Request, headers: dict[str, str]) -> None:
        if said:
            headers["X-Forwarded-For"] = "203.0.113.9"
        if rewrites:  # as nginx does by itself
            headers["Host"] = f"127.0.0.1:{room.port}"

    session = await session_of(room)
    async with TestServer(proxy(room.url, change)) as server:
        room.url = f"http://127.0.0.1:{server.port}"
        outside = {"Host": "pod.example.com", "Origin": "https://pod.example.com", **JSON}
        near = {"Host": f"127.0.0.1:{server.port}", "Origin": f"http://127.0.0.1:{server.port}", **JSON}
        for headers in (outside, near):
            assert (await room.ask("POST", "/civitai_bridge/session", headers)).status == 401
            stolen = await room.ask("GET", "/admin/civitai/catalog", headers | {SESSION: session})
            assert stolen.status == 401
        assert (await room.ask("GET", "/admin/civitai/catalog", outside | ADMIN)).status == 200


async def test_a_neighbour_in_the_network_gets_no_session(room: Room):
    """A real connection to an address of this machine that is not loopback; the names are forged."""
    address = lan_address()
    if not address:
        pytest.skip("this machine has no address in a network")
    session = await session_of(room)
    async with TestServer(serving(room.context), host="0.0.0.0") as server:
        room.url, room.port = f"http://{address}:{server.port}", server.port
        forged = browser(room)
        honest = browser(room, Host=f"{address}:{server.port}", Origin=f"http://{address}:{server.port}")
        for headers in (forged, honest):
            assert (await room.ask("POST", "/civitai_bridge/session", headers)).status == 401
            assert (await room.ask("GET", "/admin/civitai/catalog", headers | {SESSION: session})).status == 401
        assert (await room.ask("GET", "/admin/civitai/catalog", ADMIN)).status == 200


def lan_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        found = probe.getsockname()[0]
    return "" if found.startswith(("127.", "0.")) else found


@pytest.mark.parametrize(
    ("peer", "own", "host", "mine"),
    [
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "127.0.0.1:8188", True),
        (("127.0.0.5", 50000), ("127.0.0.1", 8188), "localhost:8188", True),
        (("::1", 50000, 0, 0), ("::1", 8188, 0, 0), "[::1]:8188", True),
        (("::ffff:127.0.0.1", 50000, 0, 0), ("::ffff:127.0.0.1", 8188, 0, 0), "127.0.0.1:8188", True),
        (("127.0.0.1", 50000), ("127.0.0.1", 80), "localhost", True),
        (("127.0.0.1", 50000), ("127.0.0.1", 443), "localhost", False),
        (("192.168.1.20", 50000), ("192.168.1.7", 8188), "127.0.0.1:8188", False),
        (("::ffff:192.168.1.20", 50000, 0, 0), ("::1", 8188, 0, 0), "127.0.0.1:8188", False),
        (("fe80::1%eth0", 50000, 0, 2), ("::1", 8188, 0, 0), "127.0.0.1:8188", False),
        (("", 0), ("127.0.0.1", 8188), "127.0.0.1:8188", False),
        ("/run/comfy.sock", "/run/comfy.sock", "127.0.0.1:8188", False),
        (None, None, "127.0.0.1:8188", False),
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "user@127.0.0.1:8188", False),
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "127.0.0.1:8188/x", False),
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "127.0.0.1:99999", False),
        (("127.0.0.1", 50000), ("127.0.0.1", 8188), "", False),
    ],
)
def test_what_is_this_machine(peer: Any, own: Any, host: str, mine: bool):
    known = {"peername": peer, "sockname": own}
    transport = SimpleNamespace(get_extra_info=lambda name, default=None: known.get(name, default))
    request = make_mocked_request("GET", "/", headers={"Host": host}, transport=transport)
    assert is_own_page(request) is mine
