"""Hosts as they are compared: an address in its one text form, a name in lower case without its trailing dot."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def canonical_host(host: str) -> str:
    """`host` (IPv6 with or without brackets) for comparison: IPv6 compressed and without brackets, an IPv4-mapped
    address as its IPv4 address (RFC 5118 §4.9), a name in lower case, without a trailing dot."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return host.lower().removesuffix(".")
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.scope_id:
            return host.lower()
    return str(address)


def bracketed(host: str) -> str:
    """`host` as it is written in a URI or a Via: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
