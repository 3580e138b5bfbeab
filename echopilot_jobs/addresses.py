"""Addresses that only this machine or its network can reach (S20)."""

from __future__ import annotations

import ipaddress

# The one range of IPv6 that is given out to the public (IANA). All else is not, whatever Python's own table knows of it:
# the old site-local and IPv4-carrying forms, NAT64, discard-only and segment routing.
_PUBLIC6 = ipaddress.ip_network("2000::/3")
# Inside the public ranges, and yet a tunnel into somebody's IPv4, an example or a relay that is no more. Teredo is in
# Python's table.
_EXCEPT = (
    ipaddress.ip_network("2002::/16"),
    ipaddress.ip_network("3fff::/20"),
    ipaddress.ip_network("192.88.99.0/24"),
)

# Ports from 1024 up that the fetch standard has browsers block, because other protocols could be tricked through them.
REFUSED_BY_BROWSERS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080}
)


def is_private(text: str) -> bool:
    """Whether *text* is an address that is not of the public internet, in any form a resolver takes, or names this machine.

    An IPv6 address that carries an IPv4 one (mapped, NAT64, 6to4, Teredo) is not of it either, whichever it carries, and
    neither is one that is bound to an interface (`%eth0`). A host name that has to be looked up first is not an address.
    """
    host = text.strip().strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    host, scope, _ = host.partition("%")
    address = _address(host)
    return address is not None and (bool(scope) or not _is_public(address))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        if not host[:1].isdigit():
            return None
    import socket

    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # '127.1', '0x7f000001' and '2130706433' are addresses too
    except (OSError, ValueError):
        return None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.version == 6 and address not in _PUBLIC6:
        return False
    # A multicast group may be global, and is nobody one could ask all the same.
    return address.is_global and not address.is_multicast and not any(address in each for each in _EXCEPT)


def unopenable(port: int) -> str | None:
    """That browsers open no link to *port*, and what to do; None for a port they open."""
    if port not in REFUSED_BY_BROWSERS:
        return None
    return f"browsers refuse to open port {port}; choose another one with PORT, for example 5000"
