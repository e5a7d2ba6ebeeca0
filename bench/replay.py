"""One worker's engine in this process, no sockets: what the recipe's call costs above the system calls.

    .venv/bin/python bench/replay.py [--calls N] [--profile]      microseconds a call, by message
    valgrind --tool=callgrind ... bench/replay.py --calls 50      instructions (repeatable)

The phones are the smallest that can be: their share is measured apart and taken off. A call is INVITE, 100, 180, 200,
ACK, BYE, 200; the script is that of tests/recipe.py, the table of transactions a dict (siphon/state/memory_store.py).
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
from collections import defaultdict
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/engine")]

from digest_kit import challenge, credentials, register  # type: ignore[import-not-found]  # noqa: E402

from siphon.engine.enums import make_members_cheap  # noqa: E402
from siphon.state.store import Send  # noqa: E402
from siphon.testing.world import World  # noqa: E402

ALICE, BOB = ("192.0.2.1", 5060), ("192.0.2.2", 5060)
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
_COPIED = re.compile(rb"^(?:Via|From|To|Call-ID|CSeq|Record-Route): .*\r\n", re.MULTILINE | re.IGNORECASE)
_ROUTES = re.compile(rb"^Record-Route: (.*)\r\n", re.MULTILINE)
ROUNDS = 5


class Silent(World):
    """What leaves is kept, for the phones to look at."""

    out: list[Send] | None = None
    """None: the agents get it."""

    def transmit(self, slot: int, send: Send, stateful: bool = True) -> None:
        if self.out is None:
            super().transmit(slot, send, stateful)
        else:
            self.out.append(send)


class Call:
    """Both phones of one call; each step's datagram is made before the clock is looked at."""

    def __init__(self, world: Silent, number: int, spent: dict[str, float]) -> None:
        self.world = world
        self.number = number
        self.spent = spent

    def put(self, name: str, data: bytes, source: tuple[str, int]) -> list[Send]:
        """What leaves when this datagram has come."""
        world = self.world
        out: list[Send] = []
        world.out = out
        took = self.world.workers[0].ingest.datagram
        began = perf_counter()
        took(data, source, 0, "", world.clock.now)
        self.spent[name] += perf_counter() - began
        world.clock.now += 0.0001
        return out

    def request(self, method: bytes, uri: bytes, cseq: int, to_tag: bytes = b"", routes: bytes = b"") -> bytes:
        """One of alice's."""
        body = SDP if method == b"INVITE" else b""
        return b"".join(
            (
                b"%b %b SIP/2.0\r\n" % (method, uri),
                b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-%d-%b\r\n" % (self.number, method),
                routes,
                b"From: alice <sip:alice@example.com>;tag=a%d\r\n" % self.number,
                b"To: bob <sip:bob@example.com>%b\r\n" % to_tag,
                b"Call-ID: %d-replay@192.0.2.1\r\n" % self.number,
                b"CSeq: %d %b\r\n" % (cseq, method),
                b"Contact: <sip:alice@192.0.2.1:5060>\r\nMax-Forwards: 70\r\n",
                b"Content-Type: application/sdp\r\n" if body else b"",
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
            )
        )

    def response(self, request: bytes, status: bytes, body: bytes = b"") -> bytes:
        """One of bob's."""
        head = request.partition(b"\r\n\r\n")[0] + b"\r\n"
        tag = b";tag=b%d" % self.number
        lines = [
            line[:-2] + tag + b"\r\n" if line[:3].lower() == b"to:" and b"tag=" not in line else line
            for line in _COPIED.findall(head)
        ]
        more = b"Contact: <sip:bob@192.0.2.2:5060>\r\nContent-Length: %d\r\n\r\n" % len(body)
        return b"SIP/2.0 %b\r\n%b%b%b" % (status, b"".join(lines), more, body)

    def run(self) -> None:
        """From INVITE to the 200 of the BYE."""
        sent = self.put("INVITE", self.request(b"INVITE", b"sip:bob@example.com", 1), ALICE)
        assert [s.to for s in sent] == [ALICE, BOB], sent
        invite = sent[1].data
        assert len(self.put("180", self.response(invite, b"180 Ringing"), BOB)) == 1
        answer = self.put("200", self.response(invite, b"200 OK", SDP), BOB)[0].data
        routes = b"".join(b"Route: %b\r\n" % value for value in reversed(_ROUTES.findall(answer)))
        tag = b";tag=b%d" % self.number
        target = b"sip:bob@192.0.2.2:5060"
        assert len(self.put("ACK", self.request(b"ACK", target, 1, tag, routes), ALICE)) == 1
        bye = self.put("BYE", self.request(b"BYE", target, 2, tag, routes), ALICE)
        assert [s.to for s in bye] == [BOB], bye
        assert len(self.put("200 of BYE", self.response(bye[0].data, b"200 OK"), BOB)) == 1


def ready_world() -> Silent:
    """One worker, bob registered."""
    world = Silent(ROOT / "tests/recipe.py", workers=1)
    phone = world.agent(*BOB)
    register(phone, credentials(challenge(phone)))
    assert phone.last.status == 200, phone.last.raw
    world.workers[0].ingest.shorten()  # as a real worker does: without comparing
    return world


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU time of the recipe's call in the engine, without system calls.")
    parser.add_argument("--calls", type=int, default=2000, help="calls a round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", action="store_true", help="print where Python spends it (cProfile)")
    asked = parser.parse_args()
    make_members_cheap()
    world = ready_world()
    gc.collect()
    gc.freeze()
    number = 0
    best: dict[str, float] | None = None
    profile = None
    if asked.profile:
        import cProfile

        profile = cProfile.Profile()
        profile.enable()
    for _ in range(asked.rounds):
        spent: dict[str, float] = defaultdict(float)
        for _ in range(asked.calls):
            number += 1
            Call(world, number, spent).run()
        world.transactions.expire(world.clock.now + 1e6, 10_000_000)
        world.workers[0].timers.clear()
        if best is None or sum(spent.values()) < sum(best.values()):
            best = spent
    if profile is not None:
        import pstats

        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(60)
    assert best is not None
    for name, seconds in best.items():
        print(f"{name:10} {seconds / asked.calls * 1e6:8.1f} us")
    print(f"{'a call':10} {sum(best.values()) / asked.calls * 1e6:8.1f} us   (best of {asked.rounds} rounds)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
