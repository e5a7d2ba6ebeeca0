"""Sends malformed datagrams at a steady rate from an address of the loopback net, in a process of its own.

    python flooder.py SOURCE PORT RATE SECONDS

Every 5 ms it sends what is due, so a machine that holds it up gets the rest in a burst, at most BURST at once. Prints
how many datagrams left, and in how many seconds.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time

BURST = 2000
STEP_SECS = 0.005
MALFORMED = [
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nCSeq: x INVITE\r\n\r\n",
    b"REGISTER sip:example.com SIP/2.0\r\nVia: nonsense\r\n\r\n",
    b"INVITE sip:bob@example.com SIP/2.0\r\n" + b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2\r\n" * 12,
    b"SIP/2.0 200 OK\r\nCSeq: 1\r\n\r\n",
    bytes(range(256)) * 2,
]


def flood(source: str, port: int, rate: float, seconds: float) -> tuple[int, float]:
    """(sent, seconds it took)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", port))
        began, sent = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            due = min(int(rate * now) - sent, BURST)
            for number in range(due):
                with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                    sock.send(MALFORMED[number % len(MALFORMED)])
            sent += due
            time.sleep(STEP_SECS)
        return sent, time.monotonic() - began


def main() -> None:
    """See above."""
    source, port, rate, seconds = sys.argv[1:]
    sent, took = flood(source, int(port), float(rate), float(seconds))
    print(sent, took)


if __name__ == "__main__":
    main()
