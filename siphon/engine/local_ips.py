"""Which address of ours a datagram leaves from, for listeners on a wildcard address (NAT-06): the kernel's answer.

Routes come and go, with interfaces and leases of addresses. So an answer is kept for KEEP_SECS, which is enough to ask
once for many datagrams, and that there is no route is not kept at all.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from siphon.sip.identity import Listener

KEEP_SECS = 1.0
MOST = 10_000


def route_source(ip: str) -> str:
    """The local address from which the kernel would send to `ip`; '' when there is no route."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ip, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


class LocalIps:
    """The answers of one process."""

    def __init__(self, clock: Callable[[], float], ask: Callable[[str], str] = route_source) -> None:
        self._clock = clock
        self._ask = ask
        self._known: dict[str, str] = {}
        self._since = 0.0

    def find(self, listener: Listener, ip: str) -> str:
        """The address that the route to `ip` uses, for a wildcard listener; '' for others, and without a route."""
        if not listener.wildcard:
            return ""
        now = self._clock()
        if now - self._since >= KEEP_SECS or len(self._known) >= MOST:
            self._known.clear()
            self._since = now
        known = self._known.get(ip) or self._ask(ip)
        if known:
            self._known[ip] = known
        return known
