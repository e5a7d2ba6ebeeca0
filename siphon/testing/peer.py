"""What the user agents of the simulator have in common: an address, the wire, and requests as text.

They follow RFC 3261 as a careful phone does, know nothing of the proxy's inside, and keep what they saw: the invariants
(siphon/testing/invariants.py) are judged by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siphon.sip.message import SipMessage, parse

if TYPE_CHECKING:
    from siphon.testing.wire import Wire

T1, T2 = 0.5, 4.0
LONG = 64 * T1
TIMER_E = (0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
"""When what is repeated from T1 doubling to T2 leaves, until 64*T1."""
PROXY = ("127.0.0.1", 5060)
STRANGER = ("203.0.113.66", 5060)
"""Whose messages belong to no call (siphon/testing/stranger.py)."""


class Peer:
    """A user agent at ip:port. `wire` carries what it sends and calls `receive`."""

    def __init__(self, wire: Wire, ip: str, port: int) -> None:
        self.wire = wire
        self.place = (ip, port)
        wire.peers[self.place] = self

    @property
    def now(self) -> float:
        """The time."""
        return self.wire.clock()

    def later(self, delay: float, call: object, *args: object) -> None:
        """Call after a delay."""
        self.wire.schedule.at(self.now + delay, call, *args)  # type: ignore[arg-type]

    def send(self, data: bytes, to: tuple[str, int] = PROXY) -> None:
        """Put a datagram on the wire."""
        self.wire.send(self.place, to, data)

    def receive(self, data: bytes) -> None:
        """A datagram has arrived."""
        message = parse(data)
        if message.is_request:
            self.request(message)
        else:
            self.response(message)

    def request(self, message: SipMessage) -> None:
        """A request has arrived."""

    def response(self, message: SipMessage) -> None:
        """A response has arrived."""


def sent_by(data: bytes) -> tuple[str, int]:
    """Where a response to this request, or this response, goes: the address in its Via on top."""
    via = parse(data).via
    return via.host.decode(), via.port


def request_text(
    place: tuple[str, int],
    method: str,
    uri: str,
    branch: str,
    call_id: str,
    cseq: int,
    to: str,
    extra: str = "",
    body: str = "",
) -> bytes:
    """A request; `to` is the whole To value, `extra` further header lines, each ended by LF."""
    text = (
        f"{method} {uri} SIP/2.0\n"
        f"Via: SIP/2.0/UDP {place[0]}:{place[1]};rport;branch={branch}\n"
        "Max-Forwards: 70\n"
        f"From: <sip:caller@example.net>;tag=from-{call_id}\n"
        f"To: {to}\n"
        f"Call-ID: {call_id}\n"
        f"CSeq: {cseq} {method}\n"
        f"Contact: <sip:{place[0]}:{place[1]}>\n"
        f"{extra}"
        f"Content-Length: {len(body)}\n"
        f"\n{body}"
    )
    return text.replace("\n", "\r\n").encode()


class Exchange:
    """A non-INVITE client transaction of a user agent: repeated by Timer E until a final comes or Timer F ends it."""

    def __init__(self, peer: Peer, data: bytes, to: tuple[str, int] = PROXY) -> None:
        self.peer = peer
        self.data = data
        self.to = to
        self.began = peer.now
        self.provisional = False
        self.finals: list[bytes] = []
        self._send(T1)

    def _send(self, interval: float) -> None:
        if self.finals or self.peer.now >= self.began + LONG:
            return
        self.peer.send(self.data, self.to)
        self.peer.later(T2 if self.provisional else interval, self._send, min(2 * interval, T2))

    def response(self, message: SipMessage) -> None:
        """A response to it."""
        if message.status < 200:
            self.provisional = True
        else:
            self.finals.append(message.raw)
