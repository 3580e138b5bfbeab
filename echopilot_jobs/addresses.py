"""Addresses that only this machine or its network can reach (S20)."""

from __future__ import annotations

import ipaddress
import socket

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215: a network's own translation
_COMPATIBLE = ipaddress.ip_network("::/96")  # RFC 4291: the deprecated form; '::' and '::1' fall to 0.0.0.0 and 0.0.0.1


def is_private(text: str) -> bool:
    """Whether *text* is an address that is not of the public internet, in any form a resolver takes, or names this machine.

    A host name that has to be looked up first is not.
    """
    host = text.strip().strip("[]").partition("%")[0].rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and not _is_public(_inner(address))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # '127.1', '0x7f000001' and '2130706433' are addresses too
    except (OSError, ValueError):
        return None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    # A multicast group may be global, and is nobody one could ask all the same.
    return address.is_global and not address.is_multicast and address not in _LOCAL_NAT64


def _inner(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one carries, where it carries one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
