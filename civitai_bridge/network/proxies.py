"""Which proxy a host is reached through: the setting `proxy`, else the environment's (HTTPS_PROXY, ALL_PROXY)."""

from __future__ import annotations

import urllib.request
from urllib.parse import urlsplit

from ..errors import BadSetting
from .hosts import is_loopback_host

_KINDS = ("http", "https", "socks5", "socks5h")


def proxy_for(host: str, setting: str = "") -> str:
    """The proxy's address for an https host, `""` for none. This machine is always reached directly; NO_PROXY is
    obeyed for the environment's proxy, while the setting is for every other host.

    Raises BadSetting without the address, which may hold a password."""
    if is_loopback_host(host):
        return ""
    if setting:
        return _checked(setting, "The setting `proxy`")
    found = urllib.request.getproxies()
    address = found.get("https") or found.get("all") or ""
    if not address or urllib.request.proxy_bypass(host):
        return ""
    return _checked(address, "The proxy of the environment (HTTPS_PROXY or ALL_PROXY)")


def without_login(address: str) -> str:
    """A proxy's address as it may be shown.

    assert without_login("http://me:password@proxy:3128") == "http://proxy:3128"
    """
    head, mark, tail = address.partition("://")
    return f"{head}{mark}{tail.rpartition('@')[2]}" if mark else address.rpartition("@")[2]


def _checked(address: str, origin: str) -> str:
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
        usable = parts.scheme in _KINDS and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise BadSetting(f"{origin} is no address that can be used: http://, https:// or socks5:// and a host.")
    # httpcore looks names up at the proxy for both spellings.
    return address.replace("socks5h://", "socks5://", 1)
