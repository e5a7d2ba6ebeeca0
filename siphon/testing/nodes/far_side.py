"""The far store as a machine on the network: what it is asked comes to it late, and it may hang, refuse or forget.

One of these for all nodes; each process of a node has a link of its own to it (siphon/testing/nodes/far_link.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from siphon.testing.nodes.far_model import FarModel

AHEAD = 1_700_000_000.0
"""Its clock less the clock of the world."""


@dataclass(slots=True)
class FarFaults:
    """What goes wrong with the far store in a run. Times are seconds of the world's clock."""

    slowest: float = 0.002
    """Longest way of a request or an answer."""
    hangs: tuple[tuple[float, float], ...] = ()
    """(when, how long): it does nothing, and later all that it was sent meanwhile."""
    refuses: tuple[tuple[float, float], ...] = ()
    """(when, how long): it answers every request with an error."""
    lost: float = 0.0
    """Of writes: the answer never comes; half of them are done."""
    empties: tuple[float, ...] = ()
    """A failover to a replica that had nothing."""
    fails_over: tuple[tuple[float, float], ...] = ()
    """(when, how much of the last writes is lost, seconds)."""

    @property
    def forgets(self) -> bool:
        """Whether acknowledged writes are lost."""
        return bool(self.empties or self.fails_over)


class FarSide:
    """The model with a clock, its faults, and a note of what was done when."""

    def __init__(self, clock: Callable[[], float], random: Random, faults: FarFaults) -> None:
        self.model = FarModel()
        self.random = random
        self.faults = faults
        self.forgotten: set[bytes] = set()
        """Keys whose acknowledged writes a failover has lost: of these nothing can be demanded."""
        self._clock = clock

    def now(self) -> float:
        """Its own time."""
        return self._clock() + AHEAD

    def delay(self) -> float:
        """One way of a message."""
        return self.random.random() * self.faults.slowest

    def hangs_until(self) -> float:
        """When it goes on; 0.0 while it runs. Of the world's clock."""
        return self._within(self.faults.hangs)

    @property
    def refuses(self) -> bool:
        """Whether it answers with errors."""
        return self._within(self.faults.refuses) > 0.0

    def _within(self, spans: tuple[tuple[float, float], ...]) -> float:
        now = self._clock()
        return max((at + secs for at, secs in spans if at <= now < at + secs), default=0.0)

    def fail_over(self) -> None:
        """The replica takes over."""
        self.forgotten |= self.model.fail_over()

    def empty(self) -> None:
        """A replica that had nothing takes over."""
        self.forgotten |= self.model.empty()
