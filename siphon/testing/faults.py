"""What goes wrong with workers and their store in a run: deaths at given points, pauses, conflicts, held locks.

A point is a call of the gate of MemoryStore (before a commit, between switch and send, after each send ...), counted
over the whole run. So a death is a number, and the same seed dies at the same instruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(slots=True)
class Faults:
    """The faults of one run. Probabilities are per call of the store; times are seconds after the start."""

    deaths_at_points: tuple[int, ...] = ()
    deaths: tuple[tuple[float, int], ...] = ()
    """(time, slot)."""
    pauses: tuple[tuple[float, float, int], ...] = ()
    """(time, how long, slot)."""
    down_for: float = 0.2
    """From a death to the replacement."""
    conflicts: float = 0.0
    busy: float = 0.0
    slow: float = 0.0
    """Longest answer time of the store; 0.0 = it answers at once."""
    doubt: float = 0.0
    """How long it may take until it is known that a commit stands, because its answers were lost."""
    room: int = 0
    """Blocks of the table beyond the reserve; 0 = more than enough."""
    random: Random | None = None

    @property
    def deadly(self) -> bool:
        """Whether any worker dies."""
        return bool(self.deaths_at_points or self.deaths)

    @property
    def none(self) -> bool:
        """Whether nothing goes wrong with workers and store."""
        return not (self.deadly or self.pauses or self.conflicts or self.busy or self.slow or self.room or self.doubt)

    def happens(self, probability: float) -> bool:
        """Draw."""
        return self.random is not None and probability > 0 and self.random.random() < probability
