"""Tells `registrar.on_change` what waits in the records of the location table (API 11.3).

In: keys of records that are worth a look (`hint`), and now and then all records in which events wait (`look`). Each
step takes one event, gives it to the handlers and, when they have finished, takes it off its record. Of one address of
record the next event is not begun before that, so they come one at a time and in order; while an async handler awaits,
those of others go on, at most MOST_RUNNING of them.

What this process knows it may lose: events are in the records until they have been told. StoreError comes out of
`step`; the record is found again by the next `look`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from siphon.services.location import Change
from siphon.services.store import StoreError

MOST_RUNNING = 64


class Source(Protocol):
    """What is asked of the location service."""

    def changed_keys(self) -> list[bytes]: ...
    def begin_change(self, key: bytes, wall: float) -> Change | None: ...
    def delivered(self, key: bytes, number: int, wall: float) -> None: ...


Run = Callable[[Change, Callable[[], None]], None]
"""Runs the handlers on an event and calls back when all have finished, however they did."""


class Deliveries:
    """The events of one instance, in the one process that delivers them."""

    def __init__(self, location: Source, run: Run, wall: Callable[[], float]) -> None:
        self.location = location
        self._run = run
        self._wall = wall
        self._wanted: dict[bytes, None] = {}
        self._running: set[bytes] = set()
        self._told: dict[bytes, int] = {}
        """Events whose handlers have finished, still on their records."""

    def hint(self, keys: Iterable[bytes]) -> None:
        """Have a look at these records."""
        self._wanted.update(dict.fromkeys(keys))

    def look(self) -> None:
        """Have a look at all records in which events wait."""
        self.hint(self.location.changed_keys())

    @property
    def busy(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._wanted) and len(self._running) < MOST_RUNNING

    @property
    def running(self) -> int:
        """Events whose handlers have not finished."""
        return len(self._running)

    def step(self) -> None:
        """Take up the record that has waited longest."""
        key = next(iter(self._wanted))
        del self._wanted[key]
        if key in self._running:
            return  # it is looked at again when its handlers have finished
        if key in self._told:
            self._take_off(key)
            return
        change = self.location.begin_change(key, self._wall())
        if change is not None:
            self._running.add(key)
            self._run(change, lambda: self._finished(key, change.number))

    def _finished(self, key: bytes, number: int) -> None:
        self._running.discard(key)
        self._told[key] = number
        with suppress(StoreError):  # then it stays in `_told`: the next look takes it off before it tells anything more
            self._take_off(key)

    def _take_off(self, key: bytes) -> None:
        self.location.delivered(key, self._told[key], self._wall())
        del self._told[key]
        self._wanted[key] = None
