"""What is going to happen at which virtual time: datagrams on their way, timers of user agents, faults.

Calls of one moment happen in the order in which they were entered, so a run depends on nothing but its seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Schedule:
    """A heap of calls. Nothing is ever taken back: who is called looks whether it still matters."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._serial = 0

    def at(self, when: float, call: Callable[..., Any], *args: Any) -> None:
        """Call at that time."""
        self._serial += 1
        heapq.heappush(self._heap, (when, self._serial, call, args))

    def next(self) -> float | None:
        """Time of the next call; None when nothing is to come."""
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: float) -> bool:
        """Make the first call that is due; False when none is."""
        if not self._heap or self._heap[0][0] > now:
            return False
        _, _, call, args = heapq.heappop(self._heap)
        call(*args)
        return True

    def __len__(self) -> int:
        return len(self._heap)
