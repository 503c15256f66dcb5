"""The real Send and Fetch against servers on loopback: where the key goes, and where it never does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

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
    RateLimited,
    Unreachable,
    Unreadable,
)
from pack.civitai_bridge.network.addresses import is_public
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.network.exchange import Request, error_from
from pack.civitai_bridge.network.fetch import check_address
from pack.civitai_bridge.network.hosts import HostMemory
from pack.civitai_bridge.network.notices import listening

SECRET = "0123abcde-fghij-key"


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
            case [
                "echo",
                *_,
            ]:  # what a service repeats: as an address, as a header, as a text in the spelling asked for
                said = request.query["said"].encode().decode("unicode_escape") if "said" in request.query else ""
                headers = {"Location": f"{self.elsewhere}/bytes?token={SECRET}", "X-Said": SECRET}
                return web.Response(status=int(request.path[-3:]), headers=headers, text=said or f"no {SECRET}")
            case ["status", status]:
                return web.Response(status=int(status))
            case ["later", seconds]:
                return web.Response(status=429, headers={"Retry-After": seconds})
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


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        SECRET.upper() + "%",  # beside an escape
        "".join(f"\\u{ord(letter):04X}" for letter in SECRET),
        f"{SECRET[:9]}\\u002d{SECRET[10:]}",
        quote(SECRET, safe="").replace("-", "%2D"),
    ],
)
async def test_a_key_that_a_service_repeats_is_cut_out(spelling: str, server: Server, network: HttpClient):
    query = (("said", f'{{"error": "no {spelling}"}}'.encode("unicode_escape").decode()),)
    answer = await network.send_to(server.url, SECRET)(Request("GET", "/echo/401", query=query))
    assert str(error_from(answer)).rstrip(".%").endswith("no [key]")
    assert SECRET not in repr(answer) + answer.text


async def test_an_address_with_the_key_in_it_loses_it(server: Server, network: HttpClient):
    answer = await network.send_to(server.url, SECRET)(Request("GET", "/echo/307"))
    assert answer.headers["location"] == f"{server.elsewhere}/bytes?token=[key]" and SECRET not in repr(answer)


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


async def test_a_proxy_that_is_no_address_is_named_when_it_is_needed(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:SECRET@h:notaport")
    async with HttpClient() as network:
        assert (await network.send_to(server.url)(Request("GET", "/x"))).status == 200
        with pytest.raises(BadSetting, match="HTTPS_PROXY") as caught:
            await network.send_to("https://civitai.com")(Request("GET", "/x"))
    assert "SECRET" not in str(caught.value)


async def test_certificates_that_are_not_there_are_named_and_this_machine_needs_none(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    async with HttpClient() as network:
        assert (await network.send_to(server.url)(Request("GET", "/x"))).status == 200
        with pytest.raises(BadSetting, match="SSL_CERT_FILE"):
            await network.send_to("https://civitai.com")(Request("GET", "/x"))


async def test_the_setting_proxy_is_for_civitai_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "*")
    async with HttpClient() as network:
        network.use_proxy("http://127.0.0.1:9")
        with pytest.raises(Unreachable):
            await network.send_to("https://civitai.com")(Request("GET", "/x"))
    assert list(network.opened) == []


# --- the memory of hosts --------------------------------------------------------------------------------------------------


async def test_a_host_that_failed_is_not_asked_again_for_a_minute_but_orders_are(server: Server):
    now = [1000.0]
    gone = "http://127.0.0.1:9"
    async with HttpClient(hosts=HostMemory(clock=lambda: now[0])) as network:
        send = network.send_to(gone)
        for _ in range(2):
            with pytest.raises(Unreachable, match=r"failed\.$"):
                await send(Request("GET", "/x"))
        with pytest.raises(Unreachable, match="asked again in 60 s"):
            await send(Request("GET", "/x"))
        with pytest.raises(Unreachable, match=r"failed\.$"):  # asked, whatever the memory says
            await send(Request("GET", "/x", of_order=True))
        now[0] += 61
        with pytest.raises(Unreachable, match=r"failed\.$"):
            await send(Request("GET", "/x"))


async def test_slow_and_wrong_answers_are_not_down(server: Server, network: HttpClient):
    send = network.send_to(server.url)
    for path in ("/slow", "/drop", "/status/503"):
        with contextlib.suppress(Unreachable):
            await send(Request("GET", path, timeout=0.2))
    assert network.hosts.down == {} and (await send(Request("GET", "/x"))).status == 200


async def test_nobody_asks_inside_the_time_that_a_service_forbade(server: Server):
    now = [1000.0]
    async with HttpClient(hosts=HostMemory(clock=lambda: now[0])) as network:
        send = network.send_to(server.url)
        assert (await send(Request("GET", "/later/3600"))).status == 429
        with pytest.raises(RateLimited, match="asked not to be asked again before") as caught:
            await send(Request("GET", "/x"))
        assert caught.value.retry_after == 3600 and len(server.seen) == 1
        now[0] += 3601
        assert (await send(Request("GET", "/x"))).status == 200


def test_a_clock_that_is_set_back_makes_no_pause_longer():
    now = [100_000.0]
    hosts = HostMemory(clock=lambda: now[0])
    hosts.asked_for_pause("https://a:443", 20.0)
    hosts.asked_for_pause("https://a:443", 5.0)
    assert hosts.pause_of("https://a:443") == 20.0, "the longer one counts"
    now[0] -= 86_400
    assert hosts.pause_of("https://a:443") == 0.0


async def test_what_belongs_to_an_order_waits_and_says_so(server: Server):
    now, told = [1000.0], []
    async with HttpClient(hosts=HostMemory(clock=lambda: now[0])) as network:
        send = network.send_to(server.url)
        await send(Request("GET", "/later/3600"))
        with listening(lambda sentence: (told.append(sentence), now.__setitem__(0, 5000.0))):
            assert (await send(Request("GET", "/x", of_order=True))).status == 200
    assert "asked for a pause" in told[0] and len(server.seen) == 2


async def test_what_nobody_wants_any_more_does_not_leave_after_a_pause(server: Server):
    wanted = [True]
    async with HttpClient(hosts=HostMemory()) as network:
        send = network.send_to(server.url)
        await send(Request("GET", "/later/3600"))
        with listening(lambda _: wanted.__setitem__(0, False)), pytest.raises(Unreachable) as caught:
            await send(Request("POST", "/x", of_order=True, is_wanted=lambda: wanted[0]))
    assert not caught.value.sent and len(server.seen) == 1


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


@pytest.mark.parametrize(
    "url",
    [
        "http://civitai.com/x", "https://127.0.0.1/x", "https://localhost/x", "https://a.localhost/x", "https://10.1.2.3/x", "https://[::1]/x",
        "https://169.254.169.254/latest", "https://[::ffff:127.0.0.1]/x", "https://100.64.0.1/x", "https://user:pw@civitai.com/x", "https://", "data:,x",
        "https://127.1/x", "https://0x7f.1/x", "https://2130706433/", "https://0300.0250.0.1/", "https://10.1/", "https://127.0.0.1./x", "https://localhost./",
        "https://a.localhost./", "https://１２７.0.0.1/", "https://127。0。0。1/", "https://[64:ff9b:1::7f00:1]/", "https://[::ffff:0:7f00:1]/", "https://[fec0::1]/",
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
    assert is_public("64:ff9b::808:808"), "NAT64 is judged by the IPv4 address inside"
    for disguised in ("2002:7f00:1::", "::127.0.0.1", "64:ff9b::7f00:1", "fec0::1", "198.18.0.7", "fc00::7"):
        assert not is_public(disguised), disguised
