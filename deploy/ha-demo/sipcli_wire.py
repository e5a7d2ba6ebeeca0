"""One UDP socket of a phone, and who sees what passes: `--trace` prints it, a program reads the lines.

A line of the trace is `SECONDS ARROW ADDRESS FIRST LINE`; seconds are those of the wall clock, so that the traces of
several phones can be put in order.
"""

from __future__ import annotations

import socket
import sys
import time

from sipcli_message import Message, shown

Address = tuple[str, int]


class Wire:
    """`bind` is where it receives ("" and 0: whatever the system takes), `server` the only peer, if there is one."""

    def __init__(self, server: Address | None, bind: Address = ("", 0), trace: bool = False) -> None:
        self.trace = trace
        self.server = server
        self.connected = server is not None
        host, port = server or bind
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, kind, protocol)
        if bind != ("", 0):
            self.socket.bind(bind)
        if server is not None:
            self.socket.connect(place)
            self.server = self.socket.getpeername()[:2]
        self.ip, self.port = self.socket.getsockname()[:2]
        self.address = shown(self.ip, self.port)

    def send(self, datagram: bytes, to: Address | None = None) -> None:
        self._note("->", to or self.server, datagram)
        try:
            if self.connected:
                self.socket.send(datagram)
            elif to is not None:
                self.socket.sendto(datagram, to)
        except OSError:  # ICMP told that nobody listens (yet), or the network is away: the next repeat tries again
            return

    def receive(self, seconds: float) -> tuple[Message, Address] | None:
        """What comes within that time; None for silence and for what is no SIP message."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            datagram, source = self.socket.recvfrom(65535)
        except TimeoutError:
            return None
        except OSError:
            time.sleep(0.02)
            return None
        self._note("<-", source[:2], datagram)
        message = Message.parse(datagram)
        return (message, source[:2]) if message is not None else None

    def _note(self, arrow: str, peer: Address | None, datagram: bytes) -> None:
        if self.trace and peer is not None:
            line = datagram.partition(b"\r\n")[0].decode("utf-8", "replace")
            print(f"{time.time():.3f} {arrow} {shown(*peer)} {line}", file=sys.stderr, flush=True)
