"""What is going to happen at which virtual time: datagrams on their way, timers of user agents, faults.

Calls of one moment happen in the order in which they were entered, so a run depends on nothing but its seed. What only
keeps itself going, as the renewal of a lease does, is entered quietly: a run is at rest when nothing else is left.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Schedule:
    """A heap of calls. Nothing is ever taken back: who is called looks whether it still matters."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., Any], tuple[Any, ...], bool]] = []
        self._serial = 0
        self.loud = 0
        """How many calls are to come that were not entered quietly."""

    def at(self, when: float, call: Callable[..., Any], *args: Any) -> None:
        """Call at that time."""
        self.loud += 1
        self._enter(when, call, args, True)

    def at_quietly(self, when: float, call: Callable[..., Any], *args: Any) -> None:
        """Call at that time, if the run has not come to rest before."""
        self._enter(when, call, args, False)

    def _enter(self, when: float, call: Callable[..., Any], args: tuple[Any, ...], loud: bool) -> None:
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, call, args, loud))

    def next(self) -> float | None:
        """Time of the next call; None when nothing is to come."""
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: float) -> bool:
        """Make the first call that is due; False when none is."""
        if not self._heap or self._heap[0][0] > now:
            return False
        _, _, call, args, loud = heapq.heappop(self._heap)
        self.loud -= loud
        call(*args)
        return True

    def __len__(self) -> int:
        return len(self._heap)


class Shifted:
    """The schedule as somebody sees it whose clock shows `ahead` seconds more."""

    def __init__(self, inner: Schedule, ahead: float) -> None:
        self._inner = inner
        self._ahead = ahead

    def at(self, when: float, call: Callable[..., Any], *args: Any) -> None:
        """See Schedule.at."""
        self._inner.at(when - self._ahead, call, *args)

    def at_quietly(self, when: float, call: Callable[..., Any], *args: Any) -> None:
        """See Schedule.at_quietly."""
        self._inner.at_quietly(when - self._ahead, call, *args)

    def next(self) -> float | None:
        """Nothing: who has the schedule itself asks it."""
        return None

    def run_due(self, now: float) -> bool:
        """Nothing is ever due here."""
        return False
