"""What stands between this machine and a service: proxy, name, certificate, Cloudflare, region, clock, each told apart.

    findings = await examine("https://civitai.com", Request("GET", "/api/v1/models"), network)

Asks by the same connections as everything else, so that what it sees is what the pack meets.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from ..errors import BadSetting, CivitaiError, Unreachable
from .addresses import is_public, is_stand_in
from .client import HttpClient
from .exchange import Request, Response, error_from, is_challenge
from .hosts import is_loopback
from .proxies import proxy_for, without_login

OK, WARNING, TROUBLE = "ok", "warning", "trouble"
CLOCK_SECONDS = 120.0  # by which a clock may be wrong before signed addresses and times of purchases are misread
_PATIENCE = 15.0  # seconds for looking a name up


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `state` is ok, warning or trouble; `remedy` says what a person can do."""

    topic: str
    state: str
    sentence: str
    remedy: str = ""


async def examine(
    base_url: str,
    question: Request,
    network: HttpClient,
    *,
    key: str = "",
    proxy: str = "",
    clock: Callable[[], float] = time.time,
) -> list[Finding]:
    """Look at one service from the nearest cause to the farthest; the first trouble ends it. `question` is what it is
    asked, `proxy` the setting of that name. Raises nothing."""
    host = urlsplit(base_url).hostname or base_url
    try:
        through = "" if is_loopback(base_url) else proxy_for(host, proxy)
    except BadSetting as error:
        return [Finding("proxy", TROUBLE, str(error), "Correct the address, or remove it.")]
    findings = []
    if through:
        findings.append(Finding("proxy", OK, f"{host} is reached through the proxy {without_login(through)}."))
    elif not is_loopback(base_url):
        findings.append(await _name(host))
        if findings[-1].state == TROUBLE:
            return findings
    try:
        sent = clock()
        response = await network.send_to(base_url, key or None)(question)
    except BadSetting as error:
        return [*findings, Finding("certificate", TROUBLE, str(error), "See above.")]
    except Unreachable as error:
        return [*findings, _no_answer(str(error), through)]
    except CivitaiError as error:
        return [*findings, Finding("answer", TROUBLE, str(error))]
    return [*findings, _answer(host, response, clock() - sent), *_clock(response, clock())]


async def _name(host: str) -> Finding:
    loop = asyncio.get_running_loop()
    try:
        answers = await asyncio.wait_for(loop.getaddrinfo(host, 443, type=socket.SOCK_STREAM), _PATIENCE)
    except (OSError, asyncio.TimeoutError):
        return Finding(
            "name",
            TROUBLE,
            f"The name {host} cannot be looked up.",
            "Is there a network at all? If other pages open, this network's DNS blocks the name: choose another DNS "
            "server, or set a proxy (`civitai-bridge settings proxy …`).",
        )
    addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    if any(is_public(address) for address in addresses):
        return Finding("name", OK, f"{host} has the address {', '.join(addresses[:2])}.")
    if any(is_stand_in(address) for address in addresses):
        return Finding(
            "name",
            WARNING,
            f"{host} is {addresses[0]}: a proxy in TUN mode answers for every name (fake IP).",
            "That is believed for CivitAI's own hosts. If pictures fail, let the proxy leave this program alone.",
        )
    return Finding(
        "name",
        TROUBLE,
        f"{host} is {addresses[0]}, which is inside a private network.",
        "A DNS filter or a line in the hosts file sends the name there; remove it or choose another DNS server.",
    )


def _no_answer(sentence: str, through: str) -> Finding:
    if "certificate" in sentence:
        return Finding(
            "certificate",
            TROUBLE,
            sentence,
            "Something opens encrypted connections on the way (a company's proxy, a virus scanner). Give its "
            "certificate in SSL_CERT_FILE, or have it leave this host alone.",
        )
    remedy = "Is the proxy running?" if through else "A firewall or the network refuses it; a proxy or VPN may help."
    return Finding("connection", TROUBLE, sentence, remedy)


def _answer(host: str, response: Response, seconds: float) -> Finding:
    status = response.status
    if is_challenge(response):
        return Finding(
            "Cloudflare",
            TROUBLE,
            f"Cloudflare stands before {host} and wants to see a browser.",
            "Turn off a VPN or proxy whose address is known to it, or wait some minutes.",
        )
    if status == 451:
        return Finding("region", TROUBLE, f"{host} is not available in this region.", "CivitAI decides that.")
    if status == 401:
        return Finding("key", TROUBLE, str(error_from(response)), "Make a new key at civitai.com/user/account.")
    if status == 429 or status >= 500:
        return Finding("answer", TROUBLE, str(error_from(response, service=host)), "Try again later.")
    state = OK if status < 400 else WARNING
    return Finding("answer", state, f"{host} answers in {seconds:.2f} s (HTTP {status}).")


def _clock(response: Response, now: float) -> list[Finding]:
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return []
    off = now - theirs
    if abs(off) <= CLOCK_SECONDS:
        return []
    way = "ahead" if off > 0 else "behind"
    return [
        Finding(
            "clock",
            WARNING,
            f"This machine's clock is {abs(off) / 60:.0f} minutes {way} of CivitAI's.",
            "Set it: signed addresses and the limit of a day go by it.",
        )
    ]
