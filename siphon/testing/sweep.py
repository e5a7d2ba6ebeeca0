"""Expiry in a table in memory, as shm.expiry.Sweep has it in shared memory: what the real Sweeping is given in tests
and in the simulator. It takes no time, so a turn ends only where enough deadlines have come."""

from __future__ import annotations

from siphon.engine.sweeping import Sweeping, Swept
from siphon.services.location.location import Events, Location
from siphon.state.memory import MemoryTable

HURRIED_SECS = 10.0


class MemorySweep:
    """Of one table. `deadlines`: those of records are told as well."""

    def __init__(self, table: MemoryTable, deadlines: bool = False) -> None:
        self.table = table
        self.deadlines = deadlines
        self.keys: list[bytes] = []

    @property
    def waiting(self) -> int:
        return len(self.keys)

    def look(self, until: float) -> None:
        """Take everything: what is not over stays."""
        if not self.keys:
            self.keys, _ = self.table.keys(1 << 30)

    def give_back(self) -> None:
        self.keys = []

    def turn(self, now: float, until: float, limit: int = 100) -> tuple[int, list[tuple[bytes, int]]]:
        """See shm.expiry.Sweep; `until` never comes."""
        gone = self.table.expire(now, 1 << 30)
        due: list[tuple[bytes, int]] = []
        while self.keys and len(due) < limit:
            key = self.keys.pop(0)
            head = self.table.head(key)
            if head is not None and self.deadlines and 0.0 < head.next_deadline <= now:
                due.append((key, head.version))
        return gone, due


def sweep(location: Location, table: MemoryTable, wall: float) -> list[tuple[str, Events]]:
    """What the timer helper does until all is done that has come: (address of record, its last bindings)."""
    ended: list[tuple[str, Events]] = []
    swept = Swept(MemorySweep(table, deadlines=True), wall=True)
    sweeping = Sweeping([swept], lambda: location, lambda aor, events, _: ended.append((aor, events)))
    now = 0.0
    sweeping.tick(now, wall)
    while swept.sweep.waiting:
        now += HURRIED_SECS
        sweeping.tick(now, wall)
        if swept.sweep.waiting and swept.next_at > now:
            break  # it has looked again
    return ended
