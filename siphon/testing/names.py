"""Names of the virtual world: each worker has a cache of its own, and a look-up takes its time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from siphon.forwarding.next_hop import Hop
from siphon.services.dns import Address

if TYPE_CHECKING:
    from siphon.testing.simulated import SimulatedWorld
    from siphon.testing.worker import VirtualWorker

SLOWEST_SECS = 0.4


class SlowNames:
    """The resolver of one simulated worker; what is not in `names` has no address."""

    def __init__(
        self, world: SimulatedWorld, worker: VirtualWorker, random: Random, names: dict[str, list[str]]
    ) -> None:
        self._world = world
        self._worker = worker
        self._random = random
        self._names = names
        self._known: dict[Hop, list[Address]] = {}

    def cached(self, hop: Hop) -> list[Address] | None:
        """See Resolver.cached."""
        return self._known.get(hop)

    def look_up(self, names: set[Hop], done: Callable[[], None]) -> None:
        """The answer comes later, to a worker that may have died meanwhile."""
        delay = self._random.random() * SLOWEST_SECS
        self._world.schedule.at(self._world.clock() + delay, self._worker.turn, self._answer, sorted(names), done)

    def refresh(self, hop: Hop, done: Callable[[], None]) -> None:
        """See Resolver.refresh."""
        self.look_up({hop}, done)

    def _answer(self, names: list[Hop], done: Callable[[], None]) -> None:
        for hop in names:
            self._known[hop] = [(ip, hop.port or 5060) for ip in self._names.get(hop.host, [])]
        done()
