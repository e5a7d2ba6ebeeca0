"""What a ban is about: an IPv4 address, or the /64 of an IPv6 address.

Whoever has one IPv6 address mostly has the 2**64 of its network (RFC 6177), so a ban of one of them would be worth
nothing. Behind one IPv4 address there may be many; that is what trusted networks and bans of single users are for.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def unit_of(source: str) -> str:
    """The unit of a numeric address: "192.0.2.1", "2001:db8:0:1::/64". ValueError for anything else."""
    bare = source.partition("%")[0]
    address = ipaddress.ip_address(bare)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def parse_unit(text: str) -> str:
    """As people type it: an address, or the unit itself. ValueError says what is wrong."""
    address, slash, length = text.strip().partition("/")
    try:
        unit = unit_of(address)
    except ValueError:
        raise ValueError(f"not an IP address: {text!r}") from None
    if slash and length != ("64" if ":" in unit else "32"):
        raise ValueError(f"bans are for one IPv4 address or one IPv6 /64, not {text!r}")
    return unit
