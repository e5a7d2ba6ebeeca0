"""Fires the timers of scripts (`timer.every`, `timer.set`; API 15.2) in one worker.

Timers lie in a table that all workers share (siphon/services/timers). Every worker sweeps it once a second for what is
due soon and arms that in a heap of its own: the timer's *home*, which its key names, at the deadline, each further
worker a little later. So a timer whose home is dead, stopped or blocked is fired by the next one, at once and without
anybody having noticed; who is first claims the record by compare-and-swap. What is due before the next sweep is armed
by whoever sets it as well. A claim of a generation that is gone is found by the sweep and run again, at most MAX_RUNS
times: at least once when workers die, otherwise once.

Periodic timers are records too, entered by the first worker that loads a script version; they belong to that version,
and the next one begins a new interval. A run that is going on keeps its claim meanwhile: runs never overlap. One-shot
timers whose handler is no function of a module (LOCAL) need no claim, because nobody else can run them: their record
only says that the key is taken. Timers with `per_worker` are no records at all (siphon/engine/periodic.py).

A sweep may come late by what a handler blocks, and a timer with it. `tick` works for TICK_SECS at most, then the worker
serves its sockets. Nothing but the table's state matters: a worker that forgets all of this fires nothing twice.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, NamedTuple

from siphon.config.log import WARN, Log
from siphon.engine._soon import Soon
from siphon.engine.periodic import Every, OwnTimers, Run, declared
from siphon.script.runtime import Runtime
from siphon.script.timer import KIND
from siphon.services.store import StoreError
from siphon.services.timers import Entry, Kind, Timers

SWEEP_SECS = 1.0
HORIZON_SECS = 2.2
"""What is due within it is armed by a sweep: two sweeps see it."""
GRACE_SECS = 0.05
"""So much later the next worker fires what the one before it has not."""
MOST_GRACES = 4
PRUNE_EVERY = 30
"""Sweeps between two in which LOCAL timers that others have replaced are forgotten."""
AGAIN_SECS = 0.05
TICK_SECS = 0.01
SWEEP_LIMIT = 100_000
MAX_RUNS = 2
"""A run that a death cut off is repeated at most so often; then the timer is dropped, a periodic one skips this run."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which worker this is: its slot and generation, its number among `count`. `runs` False: a helper, which sets
    timers and fires none."""

    slot: int
    generation: int
    index: int
    count: int
    runs: bool = True


class Local(NamedTuple):
    """A one-shot timer of this worker."""

    version: int
    at: float
    key: str
    handler: Callable[[str], Any]


class ScriptTimers(Soon):
    """The timers as one process sees them. `run` calls a handler, `chance` draws from [0, 1), `alive` tells whether a
    slot still has a generation."""

    def __init__(
        self,
        timers: Timers,
        runtime: Runtime,
        run: Run,
        place: Place,
        alive: Callable[[int, int], bool],
        clock: Callable[[], float],
        chance: Callable[[], float],
        log: Log,
    ) -> None:
        self.timers = timers
        self.runtime = runtime
        self.run = run
        self.place = place
        self.alive = alive
        self.clock = clock
        self.chance = chance
        self.log = log
        self.next_at = inf
        self._next_sweep = inf
        self._sweeps = 0
        self._version = 0
        self._every: dict[bytes, Every] = {}
        self._own = OwnTimers(run, clock, chance)
        self._local: dict[bytes, Local] = {}
        self._heap: list[tuple[float, bytes, int]] = []
        self._armed: set[tuple[bytes, int]] = set()
        self._again: list[tuple[float, Callable[[], None]]] = []
        self._lock = threading.Lock()
        """Handlers in threads (`script.sync_pool_size`) set timers too."""

    # -- what scripts ask for (siphon/script/timer.py)

    def set(self, key: str, secs: float, name: str | None, handler: Callable[[str], Any]) -> tuple[bytes, int]:
        """Set a one-shot timer: (id, version). `name` None: the handler stays here."""
        at = self.clock() + secs
        if name is None:
            return self._set_local(key, at, handler)
        where, version = self.timers.put(Entry(Kind.NAMED, key, name, at))
        self._arm(where, version, at)
        return where, version

    def _set_local(self, key: str, at: float, handler: Callable[[str], Any]) -> tuple[bytes, int]:
        if not self.place.runs:
            raise ValueError(f"handler={handler!r} is not a module-level function, and this process runs no timers")
        entry = Entry(Kind.LOCAL, key, "", at, slot=self.place.slot, generation=self.place.generation)
        where, version = self.timers.put(entry)
        self._local[where] = Local(version, at, key, handler)
        self._arm(where, version, at)
        return where, version

    def cancel(self, key: str) -> bool:
        """Whether there was a pending timer of that key."""
        return self.timers.cancel(key)

    def remove(self, where: bytes, version: int) -> bool:
        """Whether that very timer was pending."""
        return self.timers.remove(where, version)

    def pending(self) -> int:
        """One-shot timers that wait, of all workers."""
        return self.timers.pending()

    # -- the life of the process

    def load(self) -> None:
        """After a script version was loaded: its periodic timers begin; what lived in this worker only is lost."""
        if not self.place.runs:
            return
        self._version = self.runtime.version
        self._drop_local()
        handlers = list(declared(self.runtime.handlers(KIND)))
        shared = [every for every, per_worker in handlers if not per_worker]
        self._every = {self.timers.id_of(Kind.EVERY, every.key): every for every in shared}
        self._own.load([every for every, per_worker in handlers if per_worker])
        for where in self._every:
            self._kept(self._enter, where)
        self._kept(self._remove_lost)
        self._next_sweep = self.next_at = 0.0

    def look(self, dead: bool) -> None:
        """A worker does not beat, or is dead: what it should have fired is found at the next tick."""
        if self.place.runs:
            if dead:
                self._kept(self._remove_lost)
            self._next_sweep = self.next_at = 0.0

    def tick(self, now: float) -> None:
        """Fire what is due; `next_at` says when to call again."""
        end = self.clock() + TICK_SECS
        if now >= self._next_sweep:
            self._sweep(now)
        for call in self._due(now):
            call()
            if self.clock() > end:
                break
        with self._lock:
            self.next_at = min(
                self._next_sweep,
                self._heap[0][0] if self._heap else inf,
                self._own.next_at(),
                min((at for at, _ in self._again), default=inf),
            )

    @property
    def idle(self) -> bool:
        """Whether there is nothing to come but sweeps that find nothing."""
        return not (self._every or self._own or self._heap or self._again or self._local)

    def _due(self, now: float) -> Iterator[Callable[[], None]]:
        while self._again and self._again[0][0] <= now:
            yield self._again.pop(0)[1]
        yield from self._own.due(now)
        while self._heap and self._heap[0][0] <= now:
            _, where, version = heapq.heappop(self._heap)
            self._armed.discard((where, version))
            yield partial(self._kept, self._fire, where, version)

    def _kept(self, call: Callable[..., object], *args: object) -> None:
        """A table that is full or does not answer costs the call at hand; the sweep comes again."""
        try:
            call(*args)
        except StoreError as error:
            self.log.often(WARN, "timers", 5, error=str(error))

    # -- sweeping

    def _sweep(self, now: float) -> None:
        self._next_sweep = now + SWEEP_SECS
        self._sweeps += 1
        for where in self._every:
            if not self.timers.exists(where):
                self._kept(self._enter, where)
        for where, version, at in self.timers.near(now + HORIZON_SECS, SWEEP_LIMIT):
            distance = (self.place.index - where[0]) % self.place.count
            self._arm(where, version, at + GRACE_SECS * min(distance, MOST_GRACES))
        if self._sweeps % PRUNE_EVERY == 0:
            for where, local in list(self._local.items()):
                if not self.timers.exists(where, local.version):
                    self._local.pop(where, None)
        for where, local in list(self._local.items()):
            self._arm(where, local.version, local.at)

    def _arm(self, where: bytes, version: int, at: float) -> None:
        """Look at a record at a time; what is far away is left to a later sweep."""
        if not self.place.runs or at > self.clock() + HORIZON_SECS or (where, version) in self._armed:
            return
        self._armed.add((where, version))
        with self._lock:
            heapq.heappush(self._heap, (at, where, version))
            self.next_at = min(self.next_at, at)

    # -- firing

    def _fire(self, where: bytes, version: int) -> None:
        """Claim a timer that is due and run it; nothing happens where somebody else has it."""
        local = self._local.get(where)
        if local is not None and local.version == version:
            self._fire_local(where, local)
            return
        found = self.timers.load(where)
        if found is None or found[0] != version:
            return
        entry = found[1]
        if entry.runs_now and self.alive(entry.slot, entry.generation):
            return
        if entry.kind == Kind.EVERY:
            self._fire_every(where, version, entry)
        elif entry.kind == Kind.NAMED:
            self._fire_named(where, version, entry)

    def _fire_local(self, where: bytes, local: Local) -> None:
        del self._local[where]
        if self.timers.remove(where, local.version):
            self.run(local.handler, (local.key,), lambda: None)

    def _fire_named(self, where: bytes, version: int, entry: Entry) -> None:
        function = self.runtime.script().resolve(entry.name)
        if function is None:
            if self.timers.remove(where, version):
                text = f"{entry.name} is not in version {self._version} of the script"
                self.log.often(WARN, "timer.without_handler", key=entry.key, text=text)
            return
        if self._is_spent(entry):
            if self.timers.remove(where, version):
                self._give_up(entry)
            return
        claimed = self._claim(where, version, entry)
        if claimed:
            self.run(function, (entry.key,), partial(self._end_named, where, claimed))

    def _end_named(self, where: bytes, claimed: int) -> None:
        """The handler has ended: its record goes, unless the timer was set again meanwhile."""
        self._surely(partial(self.timers.remove, where, claimed))

    def _fire_every(self, where: bytes, version: int, entry: Entry) -> None:
        every = self._every.get(where)
        if entry.script_version > self._version:
            return  # this worker has not switched yet
        if every is None:  # this version has no such timer
            self.timers.remove(where, version)
            return
        if self._is_spent(entry):
            if self._plan(where, version, entry, every):
                self._give_up(entry)
            return
        if self._claim(where, version, entry):
            self.run(every.function, (), partial(self._end_every, where, every))

    def _end_every(self, where: bytes, ran: Every) -> None:
        """The run has ended: the next one is planned, by the script version that holds now."""

        def end() -> None:
            while (found := self.timers.load(where)) is not None and self._is_mine(found[1]):
                every = self._every.get(where)
                if every is None and found[1].script_version > self._version:
                    every = ran
                if every is None:
                    if self.timers.remove(where, found[0]):
                        return
                elif self._plan(where, found[0], found[1], every):
                    return

        self._surely(end)

    def _plan(self, where: bytes, version: int, entry: Entry, every: Every) -> bool:
        """Let a periodic timer wait for its next run. Intervals are counted from the planned time: they do not drift.
        One that has passed already is not made up for."""
        now = self.clock()
        at = entry.restart if entry.restart > now else every.next(entry.planned, now, self.chance())
        planned = Entry(Kind.EVERY, entry.key, "", at, script_version=entry.script_version)
        stored = self.timers.write(where, version, planned)
        self._arm(where, stored, at)
        return stored > 0

    def _claim(self, where: bytes, version: int, entry: Entry) -> int:
        place = self.place
        return self.timers.claim(where, version, entry, place.slot, place.generation, self.clock())

    def _is_mine(self, entry: Entry) -> bool:
        return (entry.slot, entry.generation) == (self.place.slot, self.place.generation)

    def _is_spent(self, entry: Entry) -> bool:
        return entry.runs_now and entry.runs >= MAX_RUNS

    def _give_up(self, entry: Entry) -> None:
        self.log.error("timer.given_up", key=entry.key, runs=entry.runs + 1)

    def _surely(self, call: Callable[[], object]) -> None:
        """What must not be left undone: a claim of a living worker that nobody ends would never end."""
        try:
            call()
        except StoreError:
            self._again.append((self.clock() + AGAIN_SECS, partial(self._surely, call)))
            self.next_at = min(self.next_at, self._again[0][0])

    # -- a script version begins

    def _enter(self, where: bytes) -> None:
        """A periodic timer of this version has a record: the first worker makes it, the others find it."""
        every = self._every[where]
        stored = 0
        while not stored:
            found = self.timers.load(where)
            version, before = found if found is not None else (0, None)
            if before is not None and before.script_version >= self._version:
                return
            now = self.clock()
            at = every.next(now, now, self.chance())
            if before is not None and before.runs_now and self.alive(before.slot, before.generation):
                entry = replace(before, script_version=self._version, restart=at)
                stored = self.timers.write(where, version, entry, now + SWEEP_SECS)
            else:
                entry = Entry(Kind.EVERY, every.key, "", at, script_version=self._version)
                stored = self.timers.write(where, version, entry)
                self._arm(where, stored, at)

    def _remove_lost(self) -> None:
        """LOCAL timers of workers that are gone."""
        for where in self.timers.waiting(Kind.LOCAL):
            found = self.timers.load(where)
            if found is not None and not self.alive(found[1].slot, found[1].generation):
                self.timers.remove(where, found[0])

    def _drop_local(self) -> None:
        dropped, self._local = self._local, {}
        for where, local in dropped.items():
            self._kept(self.timers.remove, where, local.version)
