"""Somebody who is no part of any call: overhears messages and sends twisted copies of them, garbage and forgeries.

Each shot is one that the proxy must refuse or ignore, however near it is to a message of a live call: a response with
another salt, Call-ID, tag, method or sent-by, a cut or damaged message, a CANCEL from the wrong address, a BYE with a
forged Route. So all that must hold for the calls of the run must hold beside it, and the stranger's own judgement is
just what comes back to it: at most a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from siphon.sip.message import parse
from siphon.testing.invariants import Violation
from siphon.testing.peer import PROXY, STRANGER, Peer, request_text
from siphon.testing.wire import Place, Wire

REFUSALS = (100, 400, 403, 404, 481, 482, 483, 503, 505, 513)
OVERHEARD = 40
"""Messages that it remembers."""


class Stranger(Peer):
    """Shoots at the times given."""

    def __init__(self, wire: Wire, shots: list[float], random: Random) -> None:
        super().__init__(wire, *STRANGER)
        self.random = random
        self.heard: list[bytes] = []
        self.shots = 0
        wire.taps.append(self.overhear)
        for at in shots:
            wire.schedule.at(at, self.shoot)

    def overhear(self, source: Place, to: Place, data: bytes) -> None:
        """Something passes on the wire, to the proxy."""
        if to == PROXY and source != STRANGER:
            self.heard = [*self.heard[1 - OVERHEARD :], data]

    def shoot(self) -> None:
        """Send one of the kinds."""
        if not self.heard:
            return
        data = self.random.choice(self.heard)
        kinds = REQUESTS if parse(data).is_request else RESPONSES
        twisted = self.random.choice(kinds)(data, self.random)
        self.shots += 1
        self.wire.inject(STRANGER, twisted)

    def receive(self, data: bytes) -> None:
        """What the proxy says to it: a refusal, which may lack what the request lacked."""
        status = data[8:11]
        if not data.startswith(b"SIP/2.0 ") or int(status) not in REFUSALS:
            raise Violation(f"a stranger gets {data[:60]!r}")


def _header(data: bytes, name: str, value: str) -> bytes:
    """The message with another value in the first line of that name."""
    head, _, rest = data.partition(f"\r\n{name}:".encode())
    return head + f"\r\n{name}: {value}".encode() + rest[rest.index(b"\r\n") :]


def _other_salt(data: bytes, random: Random) -> bytes:
    """Of the branch: z9hG4bK, 32 digits of the key, 8 of the salt, the index."""
    at = data.index(b"branch=z9hG4bK") + len(b"branch=z9hG4bK") + 32
    salt = b"%08x" % (int(data[at : at + 8], 16) ^ (1 << random.randrange(32)))
    return data[:at] + salt + data[at + 8 :]


def _other_call(data: bytes, random: Random) -> bytes:
    return _header(data, "Call-ID", f"forged-{random.randrange(100)}")


def _other_from_tag(data: bytes, random: Random) -> bytes:
    return data.replace(b";tag=from-", b";tag=forged-", 1)


def _other_method(data: bytes, random: Random) -> bytes:
    return _header(data, "CSeq", f"{parse(data).cseq} FORGED")


def _other_sent_by(data: bytes, random: Random) -> bytes:
    return data.replace(b"SIP/2.0/UDP 127.0.0.1:5060", b"SIP/2.0/UDP 127.0.0.9:5060", 1)


def _no_such_status(data: bytes, random: Random) -> bytes:
    return b"SIP/2.0 " + random.choice((b"099", b"700", b"2xx", b"20")) + data[11:]


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(1, max(2, data.index(b"\r\n\r\n")))]


def _two_of(data: bytes, random: Random) -> bytes:
    return data.replace(b"\r\nCall-ID:", b"\r\nCall-ID: second\r\nCall-ID:", 1)


def _garbage(data: bytes, random: Random) -> bytes:
    return random.choice((b"", b"\r\n\r\n", b"\0" * 4, random.randbytes(200), b"GET / HTTP/1.1\r\n\r\n"))


def _cancel(data: bytes, random: Random) -> bytes:
    """The right branch, the wrong address: 481 and no effect (SEC-14)."""
    head, _, rest = data.partition(b" ")
    return _header(b"CANCEL " + rest, "CSeq", f"{parse(data).cseq} CANCEL") if head == b"INVITE" else _cut(data, random)


def _ack(data: bytes, random: Random) -> bytes:
    return request_text(
        STRANGER, "ACK", "sip:bob@example.com", f"z9hG4bK-f{random.randrange(9)}", "f", 1, "<sip:b@c>;tag=x"
    )


def _bye(data: bytes, random: Random) -> bytes:
    """With our address as Route, unsigned: opens nothing."""
    extra = "Route: <sip:127.0.0.1:5060;lr;rrs=0123456789abcdef>\nX-Plan: forged=1\n"
    branch = f"z9hG4bK-forged-{random.randrange(1 << 30)}"
    uri = "sip:203.0.113.99:5060"
    return request_text(STRANGER, "BYE", uri, branch, f"forged-{branch}", 1, "<sip:b@c>;tag=x", extra)


Twist = Callable[[bytes, Random], bytes]
RESPONSES: tuple[Twist, ...] = (
    *(_other_salt, _other_call, _other_from_tag, _other_method, _other_sent_by, _no_such_status, _cut, _two_of),
    _garbage,
)
REQUESTS: tuple[Twist, ...] = (_cut, _two_of, _garbage, _cancel, _ack, _bye)
