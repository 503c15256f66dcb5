"""The doctor's eye: each cause is told apart, and each has a remedy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.network.diagnosis import Finding, examine
from pack.civitai_bridge.network.exchange import Request

QUESTION = Request("GET", "/api/v1/models", timeout=2)
CHALLENGE = "<html><title>Just a moment...</title>Cloudflare</html>"


@pytest.fixture
async def network() -> AsyncIterator[HttpClient]:
    async with HttpClient() as network:
        yield network


async def seen_at(network: HttpClient, response: web.Response) -> list[Finding]:
    """What the doctor finds at a server that always answers so."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return response

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        return await examine(f"http://127.0.0.1:{runner.addresses[0][1]}", QUESTION, network)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("response", "topic", "state"),
    [
        (lambda: web.json_response({}), "answer", "ok"),
        (lambda: web.Response(status=403, text=CHALLENGE, content_type="text/html"), "Cloudflare", "trouble"),
        (lambda: web.Response(status=451), "region", "trouble"),
        (lambda: web.Response(status=401), "key", "trouble"),
        (lambda: web.Response(status=503, text="down"), "answer", "trouble"),
        (lambda: web.Response(status=429, headers={"Retry-After": "9"}), "answer", "trouble"),
        (lambda: web.json_response({}, headers={"Date": formatdate(time.time() - 7200, usegmt=True)}), "clock", "warning"),
    ],
)  # fmt: skip
async def test_what_a_service_answers_is_told_apart(network: HttpClient, response: Any, topic: str, state: str):
    finding = (await seen_at(network, response()))[-1]
    assert (finding.topic, finding.state) == (topic, state) and finding.sentence.endswith((".", ")."))
    assert finding.state == "ok" or finding.remedy


async def test_nobody_answers(network: HttpClient):
    (finding,) = await examine("http://127.0.0.1:9", QUESTION, network)
    assert (finding.topic, finding.state) == ("connection", "trouble")


@pytest.mark.parametrize(
    ("address", "state", "words"),
    [
        ("198.18.0.7", "warning", "TUN mode"),
        ("127.0.0.1", "trouble", "private network"),
        (None, "trouble", "cannot be looked up"),
    ],
)
async def test_names_that_lead_elsewhere(
    network: HttpClient, monkeypatch: pytest.MonkeyPatch, address: str | None, state: str, words: str
):
    async def resolve(_host: Any, port: int, **_: Any) -> Any:
        if address is None:
            raise OSError("Name or service not known")
        return [(2, 1, 6, "", (address, 9))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    finding = (await examine("https://civitai.com", Request("GET", "/x", timeout=0.2), network))[0]
    assert (finding.topic, finding.state) == ("name", state) and words in finding.sentence and finding.remedy


async def test_a_proxy_is_named_without_its_password(network: HttpClient):
    network.use_proxy("http://me:SECRET@127.0.0.1:9")
    findings = await examine("https://civitai.com", QUESTION, network, proxy="http://me:SECRET@127.0.0.1:9")
    assert [finding.topic for finding in findings] == ["proxy", "connection"]
    assert "127.0.0.1:9" in findings[0].sentence and "SECRET" not in str(findings)
    (finding,) = await examine("https://civitai.com", QUESTION, network, proxy="nonsense://x")
    assert (finding.topic, finding.state) == ("proxy", "trouble")
