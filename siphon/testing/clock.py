"""A clock that moves only when told to."""

from __future__ import annotations


class VirtualClock:
    """CLOCK_BOOTTIME and wall time of a virtual world, seconds."""

    WALL_OFFSET = 1_700_000_000.0

    def __init__(self, start: float = 1000.0) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        """Epoch seconds."""
        return self.now + self.WALL_OFFSET

    def advance(self, seconds: float) -> None:
        """Move on; who wants timers to fire uses World.advance."""
        self.now += seconds
