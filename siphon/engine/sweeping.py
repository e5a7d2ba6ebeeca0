"""Removes what has expired from the tables, in the one process that does it: the timer helper.

Each table has a sweep of its own (shm/expiry.py), which costs what expires and not what the table holds. Once a second
it takes what will be over within the next one and goes through what it took the last time. Where much ends at once it
goes on in the next turn: none takes longer than a few milliseconds, and the tables take turns. A record that is over
reads as absent meanwhile; only its place waits.

Addresses of record are told one by one, since their end may be somebody's business (`ended`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from shm.expiry import Sweep
from siphon.engine.shared import Shared
from siphon.services.location.location import Events, Location
from siphon.services.store import StoreError

EVERY_SECS = 1.0
"""Not below shm.expiry.SETTLE."""
TURN_SECS = 0.0015
"""For all tables, beside the addresses of record that end."""
ENDS = 32
"""Addresses of record of one turn, up to twice as many; some 20 us each."""

Ended = Callable[[str, Events, float], None]


class Expiring(Protocol):
    """What takes records away from one table: shm.expiry.Sweep, or that of a table in memory."""

    @property
    def waiting(self) -> int: ...
    def look(self, until: float) -> None: ...
    def give_back(self) -> None: ...
    def turn(self, now: float, until: float, limit: int = ...) -> tuple[int, list[tuple[bytes, int]]]: ...


class Swept:
    """One table, and when it is looked at next. `wall`: its records expire by wall time."""

    __slots__ = ("next_at", "sweep", "wall")

    def __init__(self, sweep: Expiring, *, wall: bool) -> None:
        self.sweep = sweep
        self.wall = wall
        self.next_at = 0.0


def swept_of(shared: Shared) -> list[Swept]:
    """All that the timer helper sweeps."""
    boot = (shared.transactions, shared.media, shared.limits, shared.caches)
    wall = (shared.nonces, shared.dialogs, shared.cdrs, shared.hints, shared.bans)
    mirrors = shared.mirror is not None  # then another helper sweeps addresses of record
    tables = [Swept(Sweep(table), wall=False) for table in boot]
    tables += [Swept(Sweep(table), wall=True) for table in wall]
    return [*tables, Swept(Sweep(shared.location, not mirrors), wall=True)]


class Sweeping:
    """`now` is CLOCK_BOOTTIME, `location` gives the service as it is configured at the moment."""

    def __init__(self, tables: Sequence[Swept], location: Callable[[], Location], ended: Ended) -> None:
        self._tables = tables
        self._location = location
        self._ended = ended
        self.next_at = 0.0
        """When tick() has something to do."""

    def tick(self, now: float, wall: float) -> None:
        """Remove what is over, for some milliseconds."""
        until = time.monotonic() + TURN_SECS
        next_at = now + EVERY_SECS
        for table in self._tables:
            if table.next_at <= now:
                self._turn(table, now, wall, until)
            next_at = min(next_at, table.next_at)
        self.next_at = next_at

    def _turn(self, table: Swept, now: float, wall: float, until: float) -> None:
        sweep, clock = table.sweep, wall if table.wall else now
        if sweep.waiting:
            _, due = sweep.turn(clock, until, ENDS)
            for key, version in due:
                self._end(key, version, wall)
        if not sweep.waiting:
            sweep.look(clock + EVERY_SECS)
            table.next_at = now + EVERY_SECS

    def _end(self, key: bytes, version: int, wall: float) -> None:
        try:
            found = self._location().end(key, version, wall)
        except StoreError:
            return  # somebody holds it: it comes again
        if found is not None:
            self._ended(*found, wall)

    def stop(self) -> None:
        """Leave the rest to another process."""
        for table in self._tables:
            table.sweep.give_back()
