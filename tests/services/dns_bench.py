"""A resolver over a DNS server on loopback, with a clock of its own."""

import asyncio
import time
from random import Random

from siphon.config.later import Dns
from siphon.forwarding.next_hop import Hop
from siphon.services.dns import Answers, Resolver
from siphon.services.dns.order import Address
from siphon.testing.nameserver import Nameserver

PATIENCE_SECS = 20.0
"""What a look-up may take: more than an answer does on a machine that stands still for a while."""
LIMIT_SECS = 2.0
"""Where an answer does not come. Who asks twice that long, one after the other, is told from who asks once."""


class Bench:
    """A resolver, its server and a clock. `answers` are what its workers share, None for a worker alone."""

    def __init__(self, answers: Answers | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = Nameserver()
        self.loop.run_until_complete(self.server.start())
        self.now = 1000.0
        self.answers = answers
        self.resolver = self.new_resolver()

    def new_resolver(self, **settings: object) -> Resolver:
        values = {"servers": [f"127.0.0.1:{self.server.port}"], "timeout_ms": int(1000 * PATIENCE_SECS), **settings}
        model = Dns.model_validate(values)
        return Resolver(self.loop, lambda: self.now, model, [4], Random(1).random, self.answers)

    def ask(self, *hops: Hop, resolver: Resolver | None = None) -> list[list[Address]]:
        """What a look-up finds; it must leave an answer."""
        finished = self.loop.create_future()
        resolver = resolver or self.resolver
        resolver.look_up(set(hops), lambda: finished.set_result(None))
        self.loop.run_until_complete(asyncio.wait_for(finished, 180))
        found = [resolver.cached(hop) for hop in hops]
        assert None not in found
        return [addresses or [] for addresses in found]

    def ask_within_limit(self, *hops: Hop, limits: float = 2, **settings: object) -> list[list[Address]]:
        """`ask` of a resolver whose look-ups have LIMIT_SECS, and that takes less than so many of them: once of a few
        times, for the machine may stand still."""
        for _ in range(4):
            self.resolver.close()
            self.resolver = self.new_resolver(timeout_ms=int(1000 * LIMIT_SECS), **settings)
            self.server.asked.clear()
            self.server.streams = 0
            began = time.monotonic()
            found = self.ask(*hops)
            if time.monotonic() - began < limits * LIMIT_SECS:
                return found
        raise AssertionError(f"it takes {limits} times its limit, or longer")

    def close(self) -> None:
        self.resolver.close()
        self.server.close()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()


def bare(host: str) -> Hop:
    """A name alone."""
    return Hop(host, 0, "udp", False, None)


def named(host: str) -> Hop:
    """A name and a transport."""
    return Hop(host, 0, "udp", True, None)


def with_port(host: str, port: int = 5060) -> Hop:
    """A name and a port."""
    return Hop(host, port, "udp", False, None)
