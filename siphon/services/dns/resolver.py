"""The cache of one worker: hops to addresses. Decisions read it, the worker's asyncio loop fills it.

A decision that finds a hop missing says so and is made again after look_up(). Answers live as long as DNS says, within
dns.ttl_min and dns.ttl_max, also those without addresses; that nobody answered is remembered for a moment. Who asks for
what is being looked up waits for the same look-up. NAMES bounds the cache, LOOK_UPS what is asked at the same time; the
others wait, within their time limit.

What is not known here may be known to another worker (answers.py): reading that costs two microseconds, a dict entry a
tenth of one, so what was read there is kept here for as long as it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from siphon.config.later import Dns
from siphon.forwarding.next_hop import Hop
from siphon.services.dns.answers import Answers
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
    """Addresses of hops. `families` are 4 and 6 in the order wanted, `draw` gives floats in [0, 1), `answers` are
    those of all workers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        settings: Dns,
        families: Sequence[int],
        draw: Draw,
        answers: Answers | None = None,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._answers = answers
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
        hop = _key(hop)
        found = self._known.get(hop)
        if found is not None and found[0] >= self._clock():
            servers = found[1]
        elif self._told_to_others(hop):
            servers = self._known[hop][1]
        else:
            return None
        return addresses(servers, self._draw, TRIED)

    def look_up(self, hops: Iterable[Hop], done: Callable[[], None]) -> None:
        """Look the hops up; `done` is called once, later, when all have an answer or their time is over."""
        waiting = [self._asking(_key(hop)) for hop in hops]
        self._loop.create_task(_all(waiting)).add_done_callback(lambda _task: done())

    def refresh(self, hop: Hop, done: Callable[[], None]) -> None:
        """As look_up() of one hop, whatever is known: DNS is asked again."""
        key = _key(hop)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = self._loop.create_task(self._one(key, known=False))
            task.add_done_callback(lambda _task: self._asked.pop(key, None))
        task.add_done_callback(lambda _task: done())

    def _asking(self, hop: Hop) -> asyncio.Task[None]:
        task = self._asked.get(hop)
        if task is None:
            task = self._asked[hop] = self._loop.create_task(self._one(hop))
            task.add_done_callback(lambda _task: self._asked.pop(hop, None))
        return task

    async def _one(self, hop: Hop, known: bool = True) -> None:
        until = self._clock() + self._seconds
        try:
            await asyncio.wait_for(self._places.acquire(), self._seconds)
        except TimeoutError:
            self._remember(hop, (), FAULT_SECS)  # our own haste: no word about it to the others
            return
        answer = Answer((), FAULT_SECS, faulty=True)
        try:
            if known and self._told_to_others(hop):  # while this waited for its place
                return
            assert self._ares is not None
            look_up = LookUp(self._ares, self._files, self._families, self._draw, self._clock, until)
            answer = await look_up.run(hop)
        finally:
            self._places.release()
        if not answer.faulty or not self._told_to_others(hop):
            self._keep(hop, answer)

    def _told_to_others(self, hop: Hop) -> bool:
        """Take over what another worker was told, if it holds long enough for who asked to find it."""
        found = None if self._answers is None else self._answers.find(hop, self._families)
        if found is None or found.seconds < LEAST_SECS:
            return False
        self._remember(hop, found.servers, min(found.seconds, self._settings.ttl_max))
        return True

    def _keep(self, hop: Hop, answer: Answer) -> None:
        ttl = min(self._settings.ttl_max, answer.ttl)
        if not answer.faulty:
            ttl = max(self._settings.ttl_min, ttl, LEAST_SECS)
        self._remember(hop, answer.servers, ttl)
        if self._answers is not None:
            self._answers.keep(hop, self._families, answer.servers, ttl, answer.faulty)

    def _remember(self, hop: Hop, servers: tuple[Server, ...], ttl: float) -> None:
        self._known.pop(hop, None)
        if len(self._known) >= NAMES:
            del self._known[next(iter(self._known))]
        self._known[hop] = (self._clock() + ttl, servers)


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)


def _key(hop: Hop) -> Hop:
    return hop._replace(host=hop.host.lower())
