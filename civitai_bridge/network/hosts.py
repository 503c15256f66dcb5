"""What is known of hosts: which are this machine, which did not answer a moment ago, which asked for a pause."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..errors import RateLimited, Unreachable

DOWN_SECONDS = 60.0  # for which a host that no connection could be made to is not asked again
STRIKES = 2  # connections refused one after another, after which a host counts as down
SHORT_PAUSE = 30.0  # seconds; a longer pause that a service asks for ends the look-up with a sentence
_MOST_REFUSALS = 50

log = logging.getLogger(__name__)


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine by its own spelling; no name is looked up.

    assert is_loopback("http://localhost:8188/x") and not is_loopback("https://civitai.com")
    """
    return is_loopback_host(urlsplit(url).hostname or "")


def is_loopback_host(name: str) -> bool:
    """Whether a name is `localhost` or an IP address of this machine: 127.0.0.0/8, ::1, also as ::ffff:127.0.0.1."""
    if name.lower() == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def next_port(url: str) -> str:
    """The origin beside a loopback one: where the sandbox's storage is."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{(parts.port or 80) + 1}"


def origin_of(url: str) -> str:
    """Scheme, host and port of an address in one spelling, for comparing.

    assert origin_of("https://HOST/x?y") == "https://host:443"
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


@dataclass(frozen=True)
class Refusal:
    """An address that was not followed: its host and why; never the whole address, which may be signed."""

    host: str
    reason: str


@dataclass
class HostMemory:
    """Who is down until when, who asked for a pause until when, which addresses were refused and why.

    Every look-up asks it before it asks a host. It never stands in the way of money: a request that belongs to an order
    asks `pause_of` alone, and waits. `clock` is seconds since the epoch. One for each process."""

    clock: Callable[[], float] = time.time
    down: dict[str, tuple[float, str]] = field(default_factory=dict)
    strikes: dict[str, int] = field(default_factory=dict)
    paused: dict[str, tuple[float, float]] = field(default_factory=dict)  # until when, and for how long at most
    refusals: deque[Refusal] = field(default_factory=lambda: deque(maxlen=_MOST_REFUSALS))

    def check(self, origin: str) -> None:
        """Raises Unreachable for an origin that was down a moment ago, RateLimited for one that asked for a pause."""
        host = urlsplit(origin).hostname or origin
        if (seconds := self.pause_of(origin)) > 0:
            raise RateLimited(
                f"{host} asked not to be asked again before {clock_time(self.clock() + seconds)}.",
                status=429,
                retry_after=seconds,
            )
        until, reason = self.down.get(origin, (0.0, ""))
        left = until - self.clock()
        if 0 < left <= DOWN_SECONDS:  # a clock that was set back must not close a host for long
            raise Unreachable(f"{reason} It is asked again in {left:.0f} s.", sent=False, again=False)

    def pause_of(self, origin: str) -> float:
        """Seconds for which an origin asked to be left alone; 0 for none."""
        until, longest = self.paused.get(origin, (0.0, 0.0))
        left = until - self.clock()
        return left if 0 < left <= longest + 1 else 0.0  # a clock that was set back must not make it longer

    def failed(self, origin: str, reason: str, *, waited: bool) -> bool:
        """No connection could be made; True when the host counts as down from now on. `waited`: it took its whole
        time; a quick refusal is down at the second one.

        Slow or wrong answers are none of this."""
        self.strikes[origin] = self.strikes.get(origin, 0) + (STRIKES if waited else 1)
        if self.strikes[origin] < STRIKES:
            return False
        self.down[origin] = (self.clock() + DOWN_SECONDS, reason)
        return True

    def answered(self, origin: str) -> None:
        """Whatever it answered, it is there."""
        self.down.pop(origin, None)
        self.strikes.pop(origin, None)

    def asked_for_pause(self, origin: str, seconds: float) -> None:
        """The service said when to come again (Retry-After)."""
        seconds = max(seconds, self.pause_of(origin))
        self.paused[origin] = self.clock() + seconds, seconds

    def refused(self, host: str, reason: str) -> None:
        """An address was not followed."""
        log.warning("An address at %s was not followed: %s", host, reason)
        self.refusals.append(Refusal(host, reason))


def clock_time(epoch: float) -> str:
    """A moment as people read it here: the time of today, else with its date."""
    moment = datetime.fromtimestamp(epoch)
    return moment.strftime("%H:%M" if moment.date() == datetime.now().date() else "%Y-%m-%d %H:%M")
