"""The real Send and Fetch against servers on loopback: where the key goes, and where it never does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from pack.civitai_bridge.errors import (
    BadInput,
    BadSetting,
    BlobBlocked,
    BlobDamaged,
    BlobUnavailable,
    CivitaiError,
    Unreachable,
    Unreadable,
)
from pack.civitai_bridge.network import fetch as fetch_module
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.network.exchange import Request
from pack.civitai_bridge.network.fetch import check_address, is_public


class Server:
    """A loopback server that remembers requests and does what its paths say."""

    def __init__(self) -> None:
        self.seen: list[web.BaseRequest] = []
        self.url = ""
        self.elsewhere = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        match request.path.strip("/").split("/"):
            case ["redirect", "elsewhere"]:
                return web.Response(status=307, headers={"Location": self.elsewhere + "/bytes"})
            case ["redirect", "relative"]:
                return web.Response(status=301, headers={"Location": "/bytes"})
            case ["redirect", "loop"]:
                return web.Response(status=302, headers={"Location": "/redirect/loop"})
            case ["redirect", "blocked"]:
                return web.Response(status=301, headers={"Location": "/v2/consumer/blobs/blocked/x"})
            case ["redirect", "private"]:
                return web.Response(status=302, headers={"Location": "http://10.0.0.1/x"})
            case ["redirect", "file"]:
                return web.Response(status=302, headers={"Location": "file:///etc/passwd"})
            case ["status", status]:
                return web.Response(status=int(status))
            case ["packed"]:
                return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip, gzip"})
            case ["large"]:
                return web.Response(body=b"x" * 5000)
            case ["cookie"]:
                return web.Response(body=b"x", headers={"Set-Cookie": "a=b; Path=/"})
            case ["short"]:
                response = web.StreamResponse(headers={"Content-Length": "100"})
                await response.prepare(request)
                await response.write(b"x" * 10)
                assert request.transport
                request.transport.abort()
                return response
            case ["slow"]:
                await asyncio.sleep(5)
            case ["drop"]:
                assert request.transport
                request.transport.abort()
        return web.Response(body=b"bytes", content_type="image/png")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    runners = []
    for _ in range(2):
        runner = web.ServerRunner(web.Server(made.answer, access_log=None), shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        runners.append(runner)
    made.url, made.elsewhere = (f"http://127.0.0.1:{runner.addresses[0][1]}" for runner in runners)
    yield made
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def network() -> AsyncIterator[HttpClient]:
    async with HttpClient() as made:
        yield made


async def test_the_key_goes_to_its_base_alone(server: Server, network: HttpClient):
    await network.send_to(server.url, "KEY")(Request("GET", "/x", query=(("a", "b c"),)))
    await network.send_to(server.elsewhere)(Request("POST", "/y", json={"a": 1}))
    first, second = server.seen
    assert first.headers["Authorization"] == "Bearer KEY" and first.query == {"a": "b c"}
    assert "Authorization" not in second.headers and second.headers["Content-Type"] == "application/json"
    assert "mozilla" not in first.headers["User-Agent"].lower() and first.headers["User-Agent"].startswith(
        "civitai-bridge/"
    )


async def test_a_redirect_is_never_followed_with_the_key(server: Server, network: HttpClient):
    response = await network.send_to(server.url, "KEY")(Request("GET", "/redirect/elsewhere"))
    assert response.status == 307 and len(server.seen) == 1


@pytest.mark.parametrize(
    "base", ["http://orchestration.civitai.com", "http://127.0.0.1.evil.example", "ftp://x", "nonsense"]
)
async def test_a_base_that_would_show_the_key_is_refused(network: HttpClient, base: str):
    with pytest.raises(BadSetting):
        network.send_to(base, "KEY")


@pytest.mark.parametrize("path", ["/drop", "/slow"])
async def test_no_answer_is_a_sentence_without_the_key(server: Server, network: HttpClient, path: str):
    with pytest.raises(Unreachable, match="could not be reached") as caught:
        await network.send_to(server.url, "KEY")(Request("GET", path, query=(("sig", "SECRET"),), timeout=0.3))
    assert "KEY" not in str(caught.value) and "SECRET" not in str(caught.value)


async def test_a_port_where_nobody_listens(network: HttpClient):
    with pytest.raises(Unreachable, match="refused"):
        await network.send_to("http://127.0.0.1:9", "KEY")(Request("GET", "/x"))


async def test_loopback_never_goes_through_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with HttpClient() as network:
        assert (await network.send_to(server.url)(Request("GET", "/x"))).status == 200
        with pytest.raises(Unreachable):
            await network.send_to("https://orchestration.civitai.com", "KEY")(Request("GET", "/x", timeout=2))


async def test_foreign_errors_are_all_translated(network: HttpClient, monkeypatch: pytest.MonkeyPatch):
    kinds = [
        kind
        for kind in vars(httpx).values()
        if isinstance(kind, type) and issubclass(kind, (httpx.HTTPError, httpx.InvalidURL))
    ]
    assert len(kinds) > 15
    for kind in kinds:
        error = (
            kind("boom https://x/?sig=SECRET")
            if kind is not httpx.HTTPStatusError
            else kind("x", request=None, response=None)
        )  # type: ignore[arg-type]

        def fail(*_: Any, error: Exception = error, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(network._http, "stream", fail)
        with pytest.raises(CivitaiError) as caught:
            await network.send_to("http://127.0.0.1:1")(Request("GET", "/x"))
        assert "SECRET" not in str(caught.value)


async def test_a_cancelled_wait_stays_a_cancellation(server: Server, network: HttpClient):
    task = asyncio.ensure_future(network.send_to(server.url)(Request("GET", "/slow")))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_httpx_does_not_write_addresses_into_the_log(
    server: Server, network: HttpClient, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        await network.send_to(server.url)(Request("GET", "/x", query=(("sig", "SECRET"),)))
    assert "SECRET" not in caplog.text


async def test_one_connection_serves_one_after_another(server: Server, network: HttpClient):
    send = network.send_to(server.url)
    for _ in range(5):
        await send(Request("GET", "/x"))
    assert network.opened.total() == 1


async def test_pictures_share_the_connection_and_a_redirect_does_not_lose_it(server: Server, network: HttpClient):
    await network.send_to(server.url, "KEY")(Request("GET", "/x"))
    for _ in range(3):
        await network.fetch(server.url + "/redirect/relative")
        with pytest.raises(BlobUnavailable):
            await network.fetch(server.url + "/status/404")
    assert network.opened.total() == 1
    assert [("authorization" in request.headers) for request in server.seen] == [True, *[False] * 9]


async def test_a_packed_answer_is_not_unpacked(server: Server, network: HttpClient):
    with pytest.raises(Unreadable, match="packed"):
        await network.send_to(server.url)(Request("GET", "/packed"))
    assert server.seen[0].headers["Accept-Encoding"] == "identity"


async def test_no_cookie_is_kept(server: Server, network: HttpClient):
    network.send_to(server.url)
    for _ in range(2):
        await network.send_to(server.url, "KEY")(Request("GET", "/cookie"))
        await network.fetch(server.url + "/cookie")
    assert all("Cookie" not in seen.headers for seen in server.seen) and len(server.seen) == 4


@pytest.mark.parametrize("path", ["@evil.example/x", ".evil.example/x", ":99/x", ""])
async def test_a_path_can_never_name_another_host(server: Server, network: HttpClient, path: str):
    with pytest.raises(ValueError, match="begins with /"):
        await network.send_to(server.url, "KEY")(Request("GET", path))


async def test_half_a_character_is_a_sentence(server: Server, network: HttpClient):
    with pytest.raises(BadInput, match="characters"):
        await network.send_to(server.url)(Request("POST", "/x", json={"a": "\ud800"}))


@pytest.mark.parametrize(
    ("name", "value", "good"), [("HTTPS_PROXY", "http://h:notaport", False), ("NO_PROXY", "host:8080,[::1]", True)]
)
async def test_proxy_settings_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, good: bool
):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    if good:
        async with HttpClient():
            return
    with pytest.raises(BadSetting, match="proxy"):
        await HttpClient().__aenter__()


# --- fetch ----------------------------------------------------------------------------------------------------------------


async def test_bytes_come_hashed_and_without_a_credential(server: Server, network: HttpClient):
    network.send_to(server.url, "KEY")
    fetched = await network.fetch(server.url + "/redirect/relative?sig=S")
    assert fetched.content == b"bytes" and fetched.sha256.startswith(
        "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"
    )
    assert all("Authorization" not in seen.headers for seen in server.seen)
    assert "S" not in repr(fetched).replace("SHA", "")


async def test_another_loopback_origin_must_be_allowed(server: Server, network: HttpClient):
    network.send_to(server.url)
    with pytest.raises(BlobUnavailable, match="not https"):
        await network.fetch(server.url + "/redirect/elsewhere")
    network.allow_loopback(server.elsewhere)
    assert (await network.fetch(server.url + "/redirect/elsewhere")).content == b"bytes"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/status/401", BlobUnavailable), ("/status/403", BlobUnavailable), ("/status/404", BlobUnavailable), ("/status/410", BlobUnavailable),
        ("/status/500", Unreachable), ("/status/429", Unreachable), ("/redirect/blocked", BlobBlocked), ("/redirect/private", BlobUnavailable),
        ("/redirect/file", BlobUnavailable), ("/redirect/loop", BlobUnavailable), ("/short", Unreachable), ("/drop", Unreachable),
    ],
)  # fmt: skip
async def test_what_cannot_be_had_is_named(server: Server, network: HttpClient, path: str, kind: type[Exception]):
    network.send_to(server.url)
    with pytest.raises(kind) as caught:
        await network.fetch(server.url + path + "?sig=SECRET")
    assert "SECRET" not in str(caught.value)


async def test_there_is_a_cap(server: Server, network: HttpClient):
    network.send_to(server.url)
    with pytest.raises(BlobDamaged, match="more than 4000"):
        await network.fetch(server.url + "/large", cap=4000)


async def test_a_name_that_leads_inside_is_not_followed(
    server: Server, network: HttpClient, monkeypatch: pytest.MonkeyPatch
):
    """A name that resolves to loopback: checked on the connection itself, so that it cannot change its mind."""
    port = server.url.rsplit(":", 1)[1]
    real = asyncio.get_running_loop().getaddrinfo

    async def lie(host: Any, *rest: Any, **more: Any) -> Any:
        return await real("127.0.0.1" if host in ("cdn.example", b"cdn.example") else host, *rest, **more)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lie)
    monkeypatch.setattr(fetch_module, "check_address", lambda url, loopback: None)
    with pytest.raises(Unreachable, match="private network"):
        await network.fetch(f"http://cdn.example:{port}/bytes")
    assert server.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://civitai.com/x", "https://127.0.0.1/x", "https://localhost/x", "https://a.localhost/x", "https://10.1.2.3/x", "https://[::1]/x",
        "https://169.254.169.254/latest", "https://[::ffff:127.0.0.1]/x", "https://100.64.0.1/x", "https://user:pw@civitai.com/x", "https://", "data:,x",
        "https://0.0.0.0/", "https://192.168.1.1/", "https://[fe80::1]/", "https://x:99999/",
    ],
)  # fmt: skip
def test_addresses_that_are_not_followed(url: str):
    with pytest.raises(BlobUnavailable):
        check_address(url, frozenset())


def test_addresses_that_are():
    check_address("https://orchestration-new.civitai.com/v2/consumer/blobs/x?sig=1", frozenset())
    check_address("http://127.0.0.1:8000/x", frozenset({"http://127.0.0.1:8000"}))
    assert is_public("8.8.8.8") and is_public("2606:4700::1111")
    for disguised in ("2002:7f00:1::", "::127.0.0.1", "64:ff9b::7f00:1", "fec0::1"):
        assert not is_public(disguised), disguised
