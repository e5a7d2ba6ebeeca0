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


class NodeClock(VirtualClock):
    """The clocks of one of several machines: CLOCK_BOOTTIME `ahead` seconds more than the world's, wall time wrong."""

    def __init__(self, world: VirtualClock, ahead: float, skew: float) -> None:
        super().__init__()
        self._world = world
        self.ahead = ahead
        self.skew = skew
        """Of the wall clock; a step changes it."""

    def __call__(self) -> float:
        return self._world.now + self.ahead

    def wall(self) -> float:
        """Epoch seconds, as this machine believes."""
        return self._world.wall() + self.skew
