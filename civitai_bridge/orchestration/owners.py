"""Who owns a purchase, and whether that one is alive.

An owner is named `machine.process.start.random`: on the same machine the system itself says whether the process lives,
so a killed one is known at once. An owner on another machine (a state folder on a network drive), or one that lives but
stopped working, is known by its heart: it beats every 3 s, and may be followed by another when it has stopped.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from .purchase import Purchase

HEART_STOPS = 20.0  # seconds without a beat after which a row may be taken over
_SAME_START = 2.0  # seconds; where start times are told as times of day, the clock may have been corrected meanwhile


def new_owner() -> str:
    """A name for one ownership by this process."""
    pid = os.getpid()
    return f"{_machine()}.{pid}.{_start_of(pid) or 0:.2f}.{uuid.uuid4().hex}"


def has_ended(owner: str) -> bool:
    """Whether an owner's process is known to be over. False where nobody can tell: another machine, another
    container, a name that an earlier version gave."""
    machine, _, rest = owner.partition(".")
    pid, _, rest = rest.partition(".")
    start = rest.rpartition(".")[0]
    if machine != _machine() or not pid.isdigit() or not start or not float(start):  # 0 = the system did not tell it
        return False
    alive_since = _start_of(int(pid))
    return alive_since is not None and abs(alive_since - float(start)) > _SAME_START


class Hearts:
    """What this process saw of the owners' beats. `monotonic` is seconds that only pass: the clock that the beats are
    written by may jump. `has_ended` says of an owner whether its process is over."""

    def __init__(
        self, stops_after: float, monotonic: Callable[[], float], has_ended: Callable[[str], bool] = has_ended
    ) -> None:
        self._stops_after = stops_after
        self._monotonic = monotonic
        self._has_ended = has_ended
        self._seen: dict[str, tuple[tuple[str, float], float]] = {}

    def stopped(self, purchase: Purchase, now: float) -> bool:
        """Whether a purchase's owner is gone: its process has ended, or no beat came for long by the clock (`now`),
        and none while we watched."""
        if self._has_ended(purchase.owner):
            return True
        beat, passed = (purchase.owner, purchase.heartbeat), self._monotonic()
        last, since = self._seen.get(purchase.key, (None, 0.0))
        if last != beat:
            self._seen[purchase.key] = (beat, passed)
            since = passed
        return abs(now - purchase.heartbeat) >= self._stops_after and passed - since >= self._stops_after / 3


@functools.cache
def _machine() -> str:
    """Names this machine as it runs now: the same for all processes that see one another's numbers, and no others."""
    if sys.platform == "linux":
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
            parts = [platform.node(), boot, os.readlink("/proc/self/ns/pid")]
        except OSError:  # a container that hides them: nobody is then known to be on one machine with us
            parts = [uuid.uuid4().hex]
    else:
        parts = [platform.node(), hex(uuid.getnode())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _start_of(pid: int) -> float | None:
    """When a process started, in seconds; 0 where there is none of this number or only its remains, None where the
    system does not tell."""
    if sys.platform == "linux":
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return 0.0 if isinstance(error, (FileNotFoundError, ProcessLookupError)) else None
        # Behind the name, which may hold anything. In ticks since the boot, which no setting of the clock changes.
        words = status.rpartition(")")[2].split()
        return 0.0 if words[0] in ("Z", "X") else int(words[19]) / os.sysconf("SC_CLK_TCK")
    import psutil  # a slow import, and only here

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return 0.0
    except psutil.Error:
        return None
