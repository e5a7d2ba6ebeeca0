"""Which of our listeners' addresses this machine has at the moment.

Two nodes that stand in for each other listen on the same addresses; each is on one machine at a time (VRRP and its like
move it), while the sockets of the other stay bound (net.ipv4.ip_nonlocal_bind). What such a socket sends is refused by
the kernel, which says nothing about the peer: the datagram is lost, as on the wire, and is repeated from where the
address is. New branches leave from a listener whose address is here.

Where there is one listener nobody asks. An answer is kept for KEEP_SECS, since asking takes three system calls.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from siphon.sip.identity import Listener

KEEP_SECS = 0.1


def is_here(ip: str) -> bool:
    """Whether the kernel would send from this address."""
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
            probe.connect((ip, 9))  # with ip_nonlocal_bind the bind says nothing
        except OSError:
            return False
        return True


class OwnAddresses:
    """The answers of one process, by index of the listener."""

    def __init__(
        self, listeners: Sequence[Listener], clock: Callable[[], float], ask: Callable[[str], bool] = is_here
    ) -> None:
        self._listeners = listeners
        self._clock = clock
        self._ask = ask
        self._known: dict[int, bool] = {}
        self._since = 0.0

    def has(self, index: int) -> bool:
        """True for a wildcard listener, which sends from whatever is here, and for one that is configured no more, for
        which another sends."""
        if index >= len(self._listeners) or self._listeners[index].wildcard:
            return True
        now = self._clock()
        if now - self._since >= KEEP_SECS:
            self._known.clear()
            self._since = now
        found = self._known.get(index)
        if found is None:
            found = self._known[index] = self._ask(self._listeners[index].ip)
        return found
