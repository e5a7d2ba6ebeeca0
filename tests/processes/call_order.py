"""The order of messages through several workers: many calls whose messages come back to back.

    .venv/bin/python tests/processes/call_order.py [--calls 10000] [--workers 4] [--steering flow|spread] ...

In each call the callee sends 180, 183 and 200 in three consecutive sends, and the caller ACK and BYE in two. Counted
is what came in another order: a 1xx after the 2xx at the caller, a BYE before its ACK at the callee. Both ends have
several sockets, so that with "flow" too all workers have a share. The callee is a process of its own; it and the
caller are single-threaded loops that know no retransmission but the caller's, once a second, of what got no answer.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from proxy_process import Siphond
from udp_agent import Address

SCRIPT = Path(__file__).with_name("wire_script.py")
SOCKETS = 32
"""Of each end. That one of four workers has none of both is a matter of one run in twenty millions."""
AT_ONCE = 32
"""Calls that run at the same time."""
REPEAT_SECS = 1.0
COPIED = re.compile(rb"^(?:Via|From|Call-ID|CSeq|Record-Route):.*\r\n", re.MULTILINE | re.IGNORECASE)
TO = re.compile(rb"^To:[^\r\n]*", re.MULTILINE)
CALL = re.compile(rb"^Call-ID: c(\d+)\r\n", re.MULTILINE)
ROUTE = re.compile(rb"^Record-Route: ([^\r\n]+)\r\n", re.MULTILINE)
BRANCH = re.compile(rb"branch=(z9hG4bK[0-9a-f]{32,})")


@dataclass
class Counts:
    """What was seen; the callee's and the caller's together."""

    calls: int = 0
    late_provisionals: int = 0
    """1xx that came after the 2xx of their call."""
    more_than_one_200: int = 0
    byes_before_their_ack: int = 0
    acks: int = 0
    branches: int = 0
    equal_branches: int = 0
    repeats: int = 0
    """Requests that the caller sent again or the callee got again."""
    seconds: float = 0.0

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items())


def bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


class Loop:
    """Datagrams of several sockets, socket by socket in their order."""

    def __init__(self) -> None:
        self.sockets = [bound() for _ in range(SOCKETS)]
        self.selector = selectors.DefaultSelector()
        self.told = False
        """Standard input, where it was registered, has ended."""
        for one in self.sockets:
            self.selector.register(one, selectors.EVENT_READ)

    def ready(self, seconds: float) -> Iterator[tuple[socket.socket, bytes, Address]]:
        for key, _ in self.selector.select(seconds):
            sock = key.fileobj
            if not isinstance(sock, socket.socket):
                self.told = True
                continue
            while True:
                try:
                    data, source = sock.recvfrom(65535)
                except BlockingIOError:
                    break
                yield sock, data, source

    def close(self) -> None:
        self.selector.close()
        for one in self.sockets:
            one.close()


# --- the callee, a process: its ports go out first, its counts when standard input ends


@dataclass
class Callee:
    """Answers every call; BYE too."""

    counts: Counts = field(default_factory=Counts)
    branches: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    """What each branch was for: call and method."""
    acked: set[bytes] = field(default_factory=set)

    def take(self, sock: socket.socket, data: bytes, source: Address) -> None:
        call, branch, to = CALL.search(data), BRANCH.search(data), TO.search(data)
        assert call is not None and branch is not None and to is not None, data
        method, purpose = data[:3], (call[1], data[:3])
        new = branch[1] not in self.branches
        self.counts.repeats += not new
        self.counts.equal_branches += self.branches.setdefault(branch[1], purpose) != purpose
        copied = b"".join(COPIED.findall(data)) + to[0]
        if method == b"ACK":
            self.counts.acks += 1
            self.acked.add(call[1])
        elif method == b"BYE":
            self.counts.byes_before_their_ack += new and call[1] not in self.acked
            sock.sendto(b"SIP/2.0 200 OK\r\n" + copied + b"\r\nContent-Length: 0\r\n\r\n", source)
        elif new:
            contact = b";tag=b\r\nContact: <sip:bob@127.0.0.1:%d>\r\n" % sock.getsockname()[1]
            rest = copied + contact + b"Content-Length: 0\r\n\r\n"
            for line in (b"SIP/2.0 180 Ringing\r\n", b"SIP/2.0 183 Progress\r\n", b"SIP/2.0 200 OK\r\n"):
                sock.sendto(line + rest, source)


def serve() -> None:
    loop, callee = Loop(), Callee()
    print(json.dumps([one.getsockname()[1] for one in loop.sockets]), flush=True)
    loop.selector.register(sys.stdin, selectors.EVENT_READ)
    while not loop.told:
        for sock, data, source in loop.ready(10):
            callee.take(sock, data, source)
    callee.counts.branches = len(callee.branches)
    print(json.dumps(asdict(callee.counts)), flush=True)


# --- the caller


@dataclass(slots=True)
class Call:
    socket: socket.socket
    waits_for: bytes
    """The request that has no final yet."""
    since: float


class Caller:
    def __init__(self, proxy: Address, ports: list[int], calls: int) -> None:
        self.loop = Loop()
        self.proxy = proxy
        self.ports = ports
        self.wanted = calls
        self.begun = 0
        self.running: dict[int, Call] = {}
        self.answered: set[int] = set()
        self.counts = Counts()

    def run(self, limit: float, enough: float) -> Counts:
        """Makes all calls, or those that it has begun after `enough` seconds; AssertionError when they are not done
        within `limit` seconds."""
        began = swept = time.monotonic()
        while self.counts.calls < self.wanted:
            while self.begun < self.wanted and len(self.running) < AT_ONCE:
                self.begin()
            for sock, data, _ in self.loop.ready(0.1):
                self.take(sock, data)
            now = time.monotonic()
            if now - began > enough:
                self.wanted = self.begun
            assert now - began < limit, f"{self.counts.calls} calls within {limit} s; {len(self.running)} hang"
            if now - swept > REPEAT_SECS / 4:
                swept = now
                self.repeat(now)
        for _ in range(10):  # what is late may still come
            for sock, data, _ in self.loop.ready(0.02):
                self.take(sock, data)
        self.counts.seconds = round(time.monotonic() - began, 1)
        return self.counts

    def begin(self) -> None:
        number, self.begun = self.begun, self.begun + 1
        sock = self.loop.sockets[number % SOCKETS]
        target = self.ports[number // SOCKETS % SOCKETS]
        extra = b"Contact: <sip:alice@127.0.0.1:%d>\r\nX-Targets: sip:bob@127.0.0.1:%d\r\n"
        lines = extra % (sock.getsockname()[1], target)
        invite = self.request(b"INVITE", b"sip:bob@example.com", sock, number, b"i", b"1", b"", lines)
        self.running[number] = Call(sock, invite, time.monotonic())
        sock.sendto(invite, self.proxy)

    @staticmethod
    def request(
        method: bytes,
        uri: bytes,
        sock: socket.socket,
        number: int,
        branch: bytes,
        cseq: bytes,
        tag: bytes,
        lines: bytes,
    ) -> bytes:
        return (
            b"%b %b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bK%b%d\r\nMax-Forwards: 70\r\n"
            b"From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>%b\r\nCall-ID: c%d\r\n"
            b"CSeq: %b %b\r\n%bContent-Length: 0\r\n\r\n"
        ) % (method, uri, sock.getsockname()[1], branch, number, tag, number, cseq, method, lines)

    def take(self, sock: socket.socket, data: bytes) -> None:
        found = CALL.search(data)
        assert found is not None and data.startswith(b"SIP/2.0 "), data
        number, status = int(found[1]), int(data[8:11])
        if b"\r\nCSeq: 2 BYE\r\n" in data:
            assert status == 200 or status == 100, data
            if status == 200 and self.running.pop(number, None) is not None:
                self.counts.calls += 1
        elif status < 200:
            self.counts.late_provisionals += number in self.answered
        elif number in self.answered:
            self.counts.more_than_one_200 += 1
        else:
            assert status == 200, data
            self.answered.add(number)
            self.end(sock, number, data)

    def end(self, sock: socket.socket, number: int, answer: bytes) -> None:
        """ACK and BYE, back to back."""
        contact = answer.partition(b"Contact: <")[2].partition(b">")[0]
        routes = b"".join(b"Route: %b\r\n" % value for value in reversed(ROUTE.findall(answer)))
        ack = self.request(b"ACK", contact, sock, number, b"a", b"1", b";tag=b", routes)
        bye = self.request(b"BYE", contact, sock, number, b"b", b"2", b";tag=b", routes)
        sock.sendto(ack, self.proxy)
        sock.sendto(bye, self.proxy)
        call = self.running[number]
        call.waits_for, call.since = bye, time.monotonic()

    def repeat(self, now: float) -> None:
        for call in self.running.values():
            if now - call.since > REPEAT_SECS:
                call.since = now
                self.counts.repeats += 1
                call.socket.sendto(call.waits_for, self.proxy)


def measure(proxy: Siphond, calls: int, *, enough: float = 3600, limit: float = 3600) -> Counts:
    """Makes `calls` calls through a siphond that runs wire_script.py; see Caller.run."""
    line = [sys.executable, __file__, "--callee"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as callee:
        assert callee.stdin is not None and callee.stdout is not None
        caller = Caller(proxy.address, json.loads(callee.stdout.readline()), calls)
        try:
            counts = caller.run(limit, enough)
        finally:
            caller.loop.close()
            callee.stdin.close()
        theirs = Counts(**json.loads(callee.stdout.readline()))
    for name in ("byes_before_their_ack", "acks", "branches", "equal_branches"):
        setattr(counts, name, getattr(theirs, name))
    counts.repeats += theirs.repeats
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="Counts messages that overtake each other in the proxy.")
    parser.add_argument("--callee", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--calls", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--steering", choices=["flow", "spread"], action="append", help="both if absent")
    asked = parser.parse_args()
    if asked.callee:
        serve()
        return 0
    for steering in asked.steering or ["flow", "spread"]:
        with tempfile.TemporaryDirectory() as place:
            records = 2 * asked.calls + 10000
            proxy = Siphond(
                Path(place), workers=asked.workers, steering=steering, script=SCRIPT, transactions=records
            ).start()
            try:
                print(f"{steering}, {asked.workers} workers: {measure(proxy, asked.calls)}", flush=True)
            finally:
                proxy.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
