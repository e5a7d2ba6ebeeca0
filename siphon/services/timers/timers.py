"""The timers of scripts in a table that all workers share (API 15.2): one record a timer, under the hash of its key.

A record waits until its deadline, or it runs: then it names the slot and generation that run it, and its deadline is
when others look whether that one still lives. The owner field of its header says which of these it is, so that a sweep
or a count need not read records. Every change is a compare-and-swap, so whoever is first fires a timer:

    worker 1: reads v7, waiting          worker 2: reads v7, waiting
    v7 -> v8, running (1, gen 4)         v7: conflict, somebody else has it
    runs the handler ... killed
                                         reads v8: generation 4 of slot 1 is gone: v8 -> v9, running (2, gen 1)

Times are CLOCK_BOOTTIME. StoreError (a RuntimeError) where the table is full or does not answer. A record that cannot
be read is removed: nobody could ever run it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from math import inf

from siphon.services.store import (
    BUSY,
    CONFLICT_TRIES,
    FULL,
    BadRecord,
    RecordTable,
    StoreError,
    pack,
    read,
    record_key,
    unpack,
    without_waiting,
)

LONGEST_KEY = 1024
"""Bytes of the key of a one-shot timer."""
CLAIM_SECS = 0.5
"""After this long others look whether the claimant of a timer still lives."""
_VERSION = 1
_FIELDS = 10
_ALL = 1 << 30


class Kind(IntEnum):
    """NAMED: a one-shot timer whose handler is found by name. LOCAL: one whose handler lives in the worker that set it.
    EVERY: a periodic one, of the script's own."""

    NAMED = 1
    LOCAL = 2
    EVERY = 3


class State(IntEnum):
    """What a record is, in the owner field of its header: a waiting one of its kind, or one that runs."""

    NAMED = Kind.NAMED
    LOCAL = Kind.LOCAL
    EVERY = Kind.EVERY
    RUNNING = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One timer. `name` leads to its handler; `planned` is when it was to run. `slot` and `generation` are who runs it
    (NAMED, EVERY; slot -1: nobody) or who has its handler (LOCAL). `runs` counts those that a death cut off. `restart`:
    when an EVERY that runs is to run next, because the script has changed meanwhile."""

    kind: Kind
    key: str
    name: str
    planned: float
    script_version: int = 0
    slot: int = -1
    generation: int = 0
    runs: int = 0
    restart: float = 0.0

    @property
    def runs_now(self) -> bool:
        """Whether somebody has claimed it."""
        return self.kind != Kind.LOCAL and self.slot >= 0


class Timers:
    """The timers of this instance. `hash_key` keys the table's keys."""

    def __init__(self, table: RecordTable, hash_key: bytes) -> None:
        self._table = table
        self._hash_key = hash_key

    def id_of(self, kind: Kind, key: str) -> bytes:
        """The key of its record: one-shot timers share one name space, whatever their handler."""
        letter = b"e" if kind == Kind.EVERY else b"o"
        return record_key(self._hash_key, letter, key.encode("utf-8", "surrogateescape"))

    def put(self, entry: Entry) -> tuple[bytes, int]:
        """Set a one-shot timer, whatever was there before: (id, version)."""
        where = self.id_of(entry.kind, entry.key)
        for _ in range(CONFLICT_TRIES):
            stored = self.write(where, self._version(where), entry)
            if stored:
                return where, stored
        raise StoreError("a timer kept changing")

    def write(self, where: bytes, version: int, entry: Entry, look_at: float = 0.0) -> int:
        """Replace that version (0: none): the new one, or 0 where somebody was faster. `look_at`: of one that runs."""
        state = State.RUNNING if entry.runs_now else State(entry.kind)
        value = pack(
            [
                _VERSION,
                int(entry.kind),
                entry.key,
                entry.name,
                entry.planned,
                entry.script_version,
                entry.slot,
                entry.generation,
                entry.runs,
                entry.restart,
            ]
        )
        answer = without_waiting(
            lambda: self._table.commit(
                where,
                version,
                value,
                owner=state,
                next_deadline=look_at or max(entry.planned, 0.001),
                use_reserve=version > 0,
            )
        )
        if answer == FULL:
            raise StoreError("the table of timers is full (shared.max_timers)")
        if answer == BUSY:
            raise StoreError("the table of timers did not answer in time")
        return answer

    def claim(self, where: bytes, version: int, entry: Entry, slot: int, generation: int, now: float) -> int:
        """Make that version run in a slot: the new version, or 0 where somebody else has it."""
        runs = entry.runs + (1 if entry.runs_now else 0)
        taken = replace(entry, slot=slot, generation=generation, runs=runs)
        return self.write(where, version, taken, now + CLAIM_SECS)

    def remove(self, where: bytes, version: int = 0) -> bool:
        """Delete that version (0: any); False where it is not there any more."""
        answer = without_waiting(lambda: self._table.delete(where, version))
        if answer == BUSY:
            raise StoreError("the table of timers did not answer in time")
        return answer == 1

    def load(self, where: bytes) -> tuple[int, Entry] | None:
        """(version, timer); None where there is none."""
        found = read(self._table, where)
        if found is None:
            return None
        try:
            fields = unpack(found[1], _VERSION, _FIELDS)
            return found[0], Entry(Kind(fields[1]), *fields[2:])
        except (BadRecord, ValueError):
            self.remove(where, found[0])
            return None

    def cancel(self, key: str) -> bool:
        """Remove a one-shot timer that waits; one that runs is no longer pending."""
        where = self.id_of(Kind.NAMED, key)
        for _ in range(CONFLICT_TRIES):
            found = self.load(where)
            if found is None or found[1].runs_now:
                return False
            if self.remove(where, found[0]):
                return True
        raise StoreError("a timer kept changing")

    def exists(self, where: bytes, version: int = 0) -> bool:
        """Whether there is such a record, in that version (0: any)."""
        found = self._version(where)
        return found > 0 and version in (0, found)

    def near(self, until: float, limit: int) -> Iterator[tuple[bytes, int, float]]:
        """(id, version, deadline) of what is due until then, those that run included; without LOCAL ones. Each state
        is a look at every header, so where there is no record nobody looks."""
        if not self._table.stats().records:
            return
        for state in (State.NAMED, State.EVERY, State.RUNNING):
            yield from self._table.due(state, until, limit)

    def waiting(self, kind: Kind) -> list[bytes]:
        """The ids of all timers of a kind that wait."""
        return [where for where, _, _ in self._all(State(kind))]

    def pending(self) -> int:
        """One-shot timers that wait."""
        return len(self._all(State.NAMED)) + len(self._all(State.LOCAL))

    def _all(self, state: State) -> list[tuple[bytes, int, float]]:
        return self._table.due(state, inf, _ALL)

    def _version(self, where: bytes) -> int:
        head = without_waiting(lambda: self._table.head(where))
        if isinstance(head, int):
            raise StoreError("the table of timers did not answer in time")
        return 0 if head is None else head.version
