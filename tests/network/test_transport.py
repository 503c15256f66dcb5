"""Where a connection goes, and which connection an order may leave on."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpcore
import pytest

from pack.civitai_bridge.network.addresses import is_stand_in, may_stand_in
from pack.civitai_bridge.network.transport import FRESH_SECONDS, CheckedBackend, _proxy, _retire_silent

ORIGIN = httpcore.URL("https://orchestration.civitai.com/v2")


@pytest.fixture
async def port() -> Any:
    """A server on this machine, which a stranger's name must never lead to."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name resolves to these addresses."""

    async def resolve(_host: Any, port: int, **_: Any) -> Any:
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)


def backend(*, trusted: bool = False) -> CheckedBackend:
    return CheckedBackend(lambda host, port: trusted, Counter())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("cdn.example", "127.0.0.1"),
        ("cdn.example", "10.1.2.3"),
        ("cdn.example", "169.254.169.254"),
        ("cdn.example", "64:ff9b::7f00:1"),
        ("cdn.example", "198.18.0.7"),  # a proxy's stand-in is believed for known hosts alone
        ("image.civitai.com.evil.example", "198.18.0.7"),
        ("evilcivitai.com", "198.18.0.7"),
        ("image.civitai.com", "10.1.2.3"),
    ],
)
async def test_a_name_that_leads_inside_is_not_connected_to(
    host: str, address: str, port: int, monkeypatch: pytest.MonkeyPatch
):
    names(monkeypatch, address)
    with pytest.raises(httpcore.ConnectError, match="private network"):
        await backend().connect_tcp(host, port, timeout=1)


async def test_the_connection_goes_to_an_address_that_was_checked(port: int, monkeypatch: pytest.MonkeyPatch):
    """Of several addresses only the public ones are tried, by number: no second look-up can change them."""
    asked: list[str] = []

    class Inner:
        async def connect_tcp(self, address: str, *_: Any, **__: Any) -> Any:
            asked.append(address)
            raise httpcore.ConnectError("nobody there")

    names(monkeypatch, "127.0.0.1", "8.8.8.8", "192.168.0.9", "1.1.1.1")
    tried = backend()
    tried._inner = Inner()
    with pytest.raises(httpcore.ConnectError):
        await tried.connect_tcp("cdn.example", port, timeout=1)
    assert asked == ["8.8.8.8", "1.1.1.1"]


@pytest.mark.parametrize(
    ("address", "login"),
    [
        ("http://me:p%40ss%3Aw%C3%B6rd@proxy:3128", (b"me", "p@ss:wörd".encode())),
        ("socks5://me:wörd@proxy:1080", (b"me", "wörd".encode())),
        ("http://proxy:3128", None),
    ],
)
def test_a_proxy_is_told_user_and_password_as_they_are(address: str, login: tuple[bytes, bytes] | None):
    proxy = _proxy(address, None)
    assert proxy.auth == login and proxy.url.host == b"proxy"


@pytest.mark.parametrize("host", ["civitai.com", "image.civitai.com", "orchestration-new.civitai.com", "b2.civitai.com",
                                  "bucket.account.r2.cloudflarestorage.com", "CIVITAI.RED."])  # fmt: skip
def test_stand_ins_are_believed_for_civitai_and_its_storage(host: str):
    assert may_stand_in(host) and is_stand_in("198.19.255.1") and is_stand_in("fc00::1") and not is_stand_in("fd00::1")


class Connection:
    """One of a pool's connections, as httpcore shows them."""

    def __init__(self, *, idle: bool) -> None:
        self.idle = idle
        self.closed = False

    def can_handle_request(self, origin: Any) -> bool:
        return bool(origin == ORIGIN.origin)

    def is_available(self) -> bool:
        return True

    def is_idle(self) -> bool:
        return self.idle

    async def aclose(self) -> None:
        self.closed = True


class Pool:
    """A pool with one connection that answers, or does not."""

    def __init__(self, *, idle: bool, lives: bool = True) -> None:
        self.connections = [Connection(idle=idle)]
        self.lives = lives
        self.asked: list[bytes] = []

    async def handle_async_request(self, request: Any) -> Any:
        self.asked.append(request.method)
        if not self.lives:
            raise httpcore.ReadTimeout("silence")
        return httpcore.Response(200)


@pytest.mark.parametrize(
    ("silence", "idle", "lives", "asked", "closed"),
    [
        (FRESH_SECONDS - 1, True, True, 0, False),
        (FRESH_SECONDS + 1, True, True, 0, True),
        (FRESH_SECONDS + 1, False, True, 1, False),
        (FRESH_SECONDS + 1, False, False, 1, True),
    ],
)
async def test_an_order_never_leaves_on_a_connection_that_may_be_dead(
    silence: float, idle: bool, lives: bool, asked: int, closed: bool
):
    pool = Pool(idle=idle, lives=lives)
    await _retire_silent(pool, ORIGIN, silence)  # type: ignore[arg-type]
    assert len(pool.asked) == asked and pool.connections[0].closed is closed


async def test_what_one_server_says_is_no_sign_of_life_of_another(port: int):
    connected = backend(trusted=True)
    stream = await connected.connect_tcp("127.0.0.1", port, timeout=1)
    assert connected.silence_of(f"127.0.0.1:{port}") < FRESH_SECONDS < connected.silence_of("127.0.0.1:9")
    await stream.aclose()
