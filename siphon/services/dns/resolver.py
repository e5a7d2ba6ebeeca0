"""The cache of one worker: hops to addresses. Decisions read it, the worker's asyncio loop fills it.

A decision that finds a hop missing says so and is made again after look_up(). Answers live as long as DNS says, within
dns.ttl_min and dns.ttl_max, also those without addresses; that nobody answered is remembered for a moment. Who asks for
what is being looked up waits for the same look-up. NAMES bounds the cache, LOOK_UPS what is asked at the same time; the
others wait, within their time limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from siphon.config.later import Dns
from siphon.forwarding.next_hop import Hop
from siphon.services.dns.ares import Ares
from siphon.services.dns.files import HostsFile
from siphon.services.dns.lookup import FAULT_SECS, Answer, LookUp
from siphon.services.dns.order import Address, Draw, Server, addresses

NAMES = 10_000
LOOK_UPS = 256
LEAST_SECS = 0.5
"""Who asked must find the answer."""
TRIED = 8
"""Addresses of one hop that are tried."""


class Resolver:
    """Addresses of hops. `families` are 4 and 6 in the order wanted, `draw` gives floats in [0, 1)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        settings: Dns,
        families: Sequence[int],
        draw: Draw,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._draw = draw
        self._known: dict[Hop, tuple[float, tuple[Server, ...]]] = {}
        self._asked: dict[Hop, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(LOOK_UPS)
        self._files = HostsFile()
        self._ares: Ares | None = None
        self.configure(settings, families)

    def configure(self, settings: Dns, families: Sequence[int]) -> None:
        """Ask by these settings from now on; what is cached stays."""
        self.close()
        self._settings = settings
        self._families = tuple(families)
        self._seconds = settings.timeout_ms / 1000
        self._ares = Ares(self._loop, settings.servers, self._seconds / 4)

    @property
    def asker(self) -> Ares:
        """Who is asked by the settings of this moment."""
        assert self._ares is not None
        return self._ares

    def close(self) -> None:
        """Ask nothing any more."""
        if self._ares is not None:
            self._ares.close()

    def cached(self, hop: Hop) -> list[Address] | None:
        """Where to try, in order, by the weights of this moment; [] when there is nothing, None when it has to be
        looked up."""
        found = self._known.get(_key(hop))
        if found is None or found[0] < self._clock():
            return None
        return addresses(found[1], self._draw, TRIED)

    def look_up(self, hops: Iterable[Hop], done: Callable[[], None]) -> None:
        """Look the hops up; `done` is called once, later, when all have an answer or their time is over."""
        waiting = [self._asking(_key(hop)) for hop in hops]
        self._loop.create_task(_all(waiting)).add_done_callback(lambda _task: done())

    def _asking(self, hop: Hop) -> asyncio.Task[None]:
        task = self._asked.get(hop)
        if task is None:
            task = self._asked[hop] = self._loop.create_task(self._one(hop))
            task.add_done_callback(lambda _task: self._asked.pop(hop, None))
        return task

    async def _one(self, hop: Hop) -> None:
        until = self._clock() + self._seconds
        try:
            await asyncio.wait_for(self._places.acquire(), self._seconds)
        except TimeoutError:
            self._keep(hop, Answer((), FAULT_SECS, faulty=True))
            return
        answer = Answer((), FAULT_SECS, faulty=True)
        try:
            assert self._ares is not None
            look_up = LookUp(self._ares, self._files, self._families, self._draw, self._clock, until)
            answer = await look_up.run(hop)
        finally:
            self._keep(hop, answer)
            self._places.release()

    def _keep(self, hop: Hop, answer: Answer) -> None:
        self._known.pop(hop, None)
        if len(self._known) >= NAMES:
            del self._known[next(iter(self._known))]
        ttl = min(self._settings.ttl_max, answer.ttl)
        if not answer.faulty:
            ttl = max(self._settings.ttl_min, ttl, LEAST_SECS)
        self._known[hop] = (self._clock() + ttl, answer.servers)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)


def _key(hop: Hop) -> Hop:
    return hop._replace(host=hop.host.lower())
