"""What a host is: this machine, or another."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


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
