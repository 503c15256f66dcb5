"""Which IP addresses a connection may go to: public ones, and what stands in for them behind a proxy.

Proxies in TUN mode answer every name with an address of 198.18.0.0/15 or fc00::/18 ("fake IP") and lead it to where the
name belongs. NAT64 hides an IPv4 address in 64:ff9b::/96. Everything else that is not public stays closed to addresses
that the service or a page named.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from typing import TypeAlias

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_STAND_INS = (ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("fc00::/18"))
_IPV6_INTERNET = ipaddress.ip_network("2000::/3")  # the rest holds IPv4 addresses, old private ranges, or nothing
_TEREDO = ipaddress.ip_network("2001::/32")  # holds an IPv4 address, and the standard library calls it global
# CivitAI's own hosts and the storage that its downloads and pictures are known to lead to.
_KNOWN = ("civitai.com", "civitai.red", "civitai.green", "r2.cloudflarestorage.com", "backblazeb2.com")


def is_public(address: str) -> bool:
    """Whether an IP address is one that a stranger's URL may lead to. Raises ValueError for what is no address."""
    ip = _plain(address)
    is_internet = ip.version == 4 or (ip in _IPV6_INTERNET and ip not in _TEREDO)
    return ip.is_global and not ip.is_multicast and is_internet


def may_be_public(host: str) -> bool:
    """Whether the host of a stranger's URL is a name or a public IP address, in whatever spelling a resolver takes for
    one: behind a proxy no name is looked up here.

    assert may_be_public("8.8.8.8") and not may_be_public("127.1") and not may_be_public("0x7f000001.")
    """
    name = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower().rstrip(".")
    try:
        return is_public(name)
    except ValueError:
        pass  # no address in its usual spelling
    try:
        return is_public(socket.inet_ntoa(socket.inet_aton(name)))  # 10.1, 0x7f000001, 2130706433
    except (OSError, ValueError):
        return name != "localhost" and not name.endswith(".localhost")


def is_stand_in(address: str) -> bool:
    """Whether an IP address is what a proxy in TUN mode gives in place of the real one."""
    ip = _plain(address)
    return any(ip in network for network in _STAND_INS if network.version == ip.version)


def may_stand_in(host: str) -> bool:
    """Whether a name belongs to CivitAI or its known storage, so that a proxy's stand-in is believed for it: the
    certificate must then be valid for that name."""
    host = host.lower().rstrip(".")
    return any(host == known or host.endswith(f".{known}") for known in _KNOWN)


def _plain(address: str) -> Address:
    """The address itself, or the IPv4 address that an IPv6 one carries (mapped, 6to4, NAT64)."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip
