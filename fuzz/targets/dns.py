"""What name servers answer: any records, any order, any nonsense in their fields (RFC 3263 §4)."""

from __future__ import annotations

import asyncio
from random import Random

from fuzz.target import Check, Target, holds
from siphon.forwarding.next_hop import Hop
from siphon.services.dns.ares import Addresses, DnsFault
from siphon.services.dns.lookup import ADDRESSES, REPLACEMENTS, SERVERS, LookUp
from siphon.services.dns.order import Naptr, Srv

NAMES = ("a.example", "_sip._udp.a.example", "b.example", "", ".", "a" * 300, "\udcff.example", "_sip._udp.b.example")
SERVICES = ("SIP+D2U", "sip+d2u", "SIP+D2T", "", "E2U+sip")
IPS = ("192.0.2.1", "2001:db8::1", "127.0.0.1", "192.0.2.2")
QUESTIONS = 2 + (REPLACEMENTS + 1) * (1 + 2 * SERVERS) + 2
"""NAPTR and SRV; the SRV of each replacement and of the name itself with the addresses of their servers; the host's."""


class Asker:
    """Answers every question out of the input, byte by byte; when that has come to an end there is nothing."""

    def __init__(self, data: bytes) -> None:
        self.left = iter(data)
        self.asked = 0

    def number(self, below: int) -> int:
        return next(self.left, 0) % below

    def word(self) -> int:
        return self.number(256) << 8 | self.number(256)

    def begin(self) -> int:
        """How many records; DnsFault for no answer."""
        self.asked += 1
        count = self.number(16)
        if count == 15:
            raise DnsFault
        return count

    async def naptr(self, name: str) -> tuple[list[Naptr], float]:
        """See ares.Ares."""
        flags = ("s", "a", "S", "u", "")
        return [
            Naptr(
                self.word(),
                self.word(),
                flags[self.number(5)],
                SERVICES[self.number(5)],
                "!x!y!" if self.number(9) == 1 else "",
                NAMES[self.number(8)],
            )
            for _ in range(self.begin())
        ], float(self.word())

    async def srv(self, name: str) -> tuple[list[Srv], float]:
        """See ares.Ares."""
        count = self.begin() * (20 if self.number(30) == 1 else 1)
        return [Srv(self.number(3), self.word(), self.word(), NAMES[self.number(8)]) for _ in range(count)], float(
            self.word()
        )

    async def addresses(self, name: str, family: int) -> Addresses:
        """See ares.Ares."""
        count = self.begin() * (10 if self.number(30) == 1 else 1)
        return Addresses(tuple(IPS[self.number(4)] for _ in range(count)), float(self.word()))


class NoFiles:
    """An empty hosts file."""

    def addresses(self, name: str, family: int) -> list[str]:
        """See HostsFile."""
        return []


class DnsCheck:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def close(self) -> None:
        """No more look-ups."""
        self.loop.close()

    def __call__(self, data: bytes) -> None:
        """The first byte says what of the hop is named, the rest is what the servers answer."""
        head = data[0] if data else 0
        asker = Asker(data[1:])
        hop = Hop(NAMES[head & 7], 5070 if head & 8 else 0, "udp", bool(head & 16), None)
        look_up = LookUp(asker, NoFiles(), (4, 6), Random(head).random, lambda: 0.0, 5.0)
        answer = self.loop.run_until_complete(look_up.run(hop))
        holds(asker.asked <= QUESTIONS, "the questions are bounded")
        holds(len(answer.servers) <= SERVERS and answer.ttl >= 0, "the servers are bounded")
        for server in answer.servers:
            holds(0 < len(server.addresses) <= ADDRESSES, "the addresses are bounded")
            holds(all(0 < port <= 65535 for _, port in server.addresses), "a port is one")


def seeds() -> list[bytes]:
    random = Random(4)
    return [bytes([head]) + random.randbytes(size) for head in (0, 8, 16, 2) for size in (0, 3, 40, 200)]


def make() -> Check:
    return DnsCheck()


TARGET = Target(
    "dns",
    "Whatever name servers say, a look-up ends with a bounded number of servers, addresses and questions.",
    make,
    seeds,
    600,
    python=True,
)
