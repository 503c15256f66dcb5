"""Whose program is at the other end of a connection on this machine; and whether this machine is a container.

A reverse proxy that runs here makes every visitor of it look like a browser on this machine. It runs under an account
of its own as a rule, and a browser under that of the person who started the server.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

_SECONDS = 0.05  # of work of its thread for a look-up; nobody found by then = nobody
_ESTABLISHED, _LISTENING = "01", "0A"  # as /proc/net/tcp writes it; the rows of closed connections name no account
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_MARKS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")
_VARIABLES = ("container", "KUBERNETES_SERVICE_HOST")
_GROUPS = ("docker", "kubepods", "containerd", "libpod", "/lxc/")
Address = tuple[Any, ...]  # host, port, and what IPv6 adds
End = tuple[str, int]


def is_own_account(peer: Address, own: Address) -> bool:
    """Whether the program that connected from `peer` to our `own` address runs under this process's account, and is no
    server itself: a proxy listens, a browser does not. Takes up to 50 ms, for a thread. False where nobody is found."""
    try:
        ends = _end(peer), _end(own)
    except ValueError:
        return False
    deadline = time.thread_time() + _SECONDS
    if sys.platform == "linux":
        return _is_own_on_linux(ends, deadline)
    return _is_own_elsewhere(ends, deadline)


def _end(address: Address) -> End:
    """An address in one spelling: an IPv4 address in IPv6's clothes is an IPv4 address."""
    return _plain(ip_address(str(address[0]))), int(address[1])


def _plain(address: IPv4Address | IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_own_on_linux(ends: tuple[End, End], deadline: float) -> bool:
    """By the account of the socket at the peer's end (local there is our peer, remote is us), which the kernel shows
    to everybody; then by what else its process has open."""
    listening: set[str] = set()
    inode = ""
    for state, local, remote, uid, number in _sockets(deadline):
        if state == _LISTENING:
            listening.add(number)
        elif state == _ESTABLISHED and uid == os.geteuid() and (_linux_end(local), _linux_end(remote)) == ends:
            inode = number
    return bool(inode) and not _holds_one_of(listening, inode, deadline)


def _sockets(deadline: float) -> Iterator[tuple[str, str, str, int, str]]:
    """State, local and remote end, account and inode of every TCP socket."""
    for table in _TABLES:
        with contextlib.suppress(OSError, ValueError, IndexError):  # no IPv6 here
            with open(table, encoding="ascii") as rows:
                next(rows, None)
                for row in rows:
                    columns = row.split()
                    yield columns[3], columns[1], columns[2], int(columns[7]), columns[9]
                    if time.thread_time() > deadline:
                        return


def _holds_one_of(listening: set[str], inode: str, deadline: float) -> bool:
    """Whether the process with the socket `inode` listens too, or the one that it is a fork of (`socat` makes one for
    each connection); False where it is not found, as that of another namespace may not be."""
    sockets = {f"socket:[{number}]" for number in listening}
    for process in os.listdir("/proc"):
        if process.isdigit() and int(process) != os.getpid():
            with contextlib.suppress(OSError):  # another account's, or just ended
                opened = _opened(process)
                if f"socket:[{inode}]" in opened:
                    return not sockets.isdisjoint(opened) or not sockets.isdisjoint(_opened_by_origin(process))
        if time.thread_time() > deadline:
            return False
    return False


def _opened(process: str) -> set[str]:
    """What a process has open, as the kernel names it. Raises OSError."""
    folder = f"/proc/{process}/fd"
    return {os.readlink(f"{folder}/{number}") for number in os.listdir(folder)}


def _opened_by_origin(process: str) -> set[str]:
    """What the parent of a process has open, where both run the same program; our own process is nobody's origin."""
    with contextlib.suppress(OSError, IndexError):
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as source:
            parent = source.read().rpartition(")")[2].split()[1]
        if int(parent) != os.getpid() and os.path.samefile(f"/proc/{process}/exe", f"/proc/{parent}/exe"):
            return _opened(parent)
    return set()


def _linux_end(text: str) -> End:
    """`0100007F:1F90` -> ("127.0.0.1", 8080): words of four bytes, each in this machine's order."""
    address, _, port = text.partition(":")
    content = bytes.fromhex(address)
    if sys.byteorder == "little":
        content = b"".join(content[start : start + 4][::-1] for start in range(0, len(content), 4))
    return _plain(ip_address(content)), int(port, 16)


def _is_own_elsewhere(ends: tuple[End, End], deadline: float) -> bool:
    """By the connections of this account's own programs, which a system shows without more rights."""
    try:
        import psutil
    except ImportError:
        return False
    account = psutil.Process().username()
    for process in psutil.process_iter():
        if time.thread_time() > deadline:
            return False
        try:
            if process.pid == os.getpid() or process.username() != account:
                continue
            list_connections = getattr(process, "net_connections", None) or process.connections
            connections = list_connections(kind="tcp")
        except (psutil.Error, OSError):
            continue
        if any(each.raddr and (_end(each.laddr), _end(each.raddr)) == ends for each in connections):
            return not any(each.status == psutil.CONN_LISTEN for each in connections)
    return False


def in_container(environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> bool:
    """Whether this process runs in a container, whose loopback leads to whoever published its port."""
    environ = os.environ if environ is None else environ
    if any(environ.get(name) for name in _VARIABLES) or any((root / mark[1:]).exists() for mark in _MARKS):
        return True
    try:
        groups = (root / "proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(word in groups for word in _GROUPS)
