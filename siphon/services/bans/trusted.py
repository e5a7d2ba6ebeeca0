"""`security.trusted_cidrs`: networks whose members are never limited, screened or banned."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

KNOWN = 4096


class Trusted:
    """Remembers what it has said about the last KNOWN addresses."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in networks]
        self._known: dict[str, bool] = {}

    def has(self, source: str) -> bool:
        """Whether a numeric address is in one of them."""
        if not self._networks:
            return False
        found = self._known.get(source)
        if found is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            found = self._known[source] = self._look(source)
        return found

    def _look(self, source: str) -> bool:
        address = ipaddress.ip_address(source.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks if network.version == address.version)
