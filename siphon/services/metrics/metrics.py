"""Counting: what the namespace `metrics` of scripts does, over a table that all processes of an instance share.

Each change is one commit, so a worker that dies has counted or has not. Definitions are checked against each other
within one version of the script: the next version may change a metric's kind or labels, and then begins it anew (a
script that could never correct a label without stopping the instance would help nobody).

RuntimeError for the 129th combination of label values, counted over all processes, and where the table is full or does
not answer. Handlers may run in threads, so what this process remembers is locked.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable

from siphon.services.metrics.definition import GAUGE, MOST_SERIES, Definition
from siphon.services.metrics.records import (
    DEFINITION,
    NO_SLOT,
    SERIES,
    Defined,
    Values,
    definition_key,
    head_of,
    pack_definition,
    pack_numbers,
    seat,
    series_key,
    unpack_definition,
    unpack_series,
)
from siphon.services.store import (
    BUSY,
    CONFLICT_TRIES,
    FULL,
    BadRecord,
    RecordTable,
    StoreError,
    read,
    without_waiting,
)


class _Own:
    """A series as this process wrote it last."""

    __slots__ = ("head", "key", "numbers", "version")

    def __init__(self, key: bytes, head: bytes, count: int) -> None:
        self.key = key
        self.head = head
        self.version = 0
        self.numbers = [0.0] * count


class Metrics:
    """The metrics of this process. `hash_key` keys the table's keys; `slot` tells this process from others."""

    def __init__(self, table: RecordTable, hash_key: bytes, slot: Callable[[], int]) -> None:
        self._table = table
        self._hash_key = hash_key
        self._slot = slot
        self._defined: dict[str, Definition] = {}
        self._stored: set[bytes] = set()
        self._series: dict[tuple[bytes, Values], _Own] = {}
        self._version = 0
        self._lock = threading.Lock()

    def begin(self, script_version: int) -> None:
        """A version of the script is about to be loaded: what it says of metrics holds."""
        self._version = script_version
        self._defined = {}
        self._stored = set()

    def register(self, definition: Definition) -> Definition:
        """The metric of that name; ValueError where the script has already said otherwise. The buckets are those of
        the first registration."""
        with self._lock:
            found = self._defined.get(definition.name)
            if found is not None:
                if not found.is_equal_but_buckets(definition):
                    raise ValueError(f"{definition.name} is already there with another type or other labels")
                return found
            for other in self._defined.values():
                if both := set(other.sample_names) & set(definition.sample_names):
                    raise ValueError(f"{definition.name}: {both.pop()} would be a line of {other.name} too")
            self._store(definition)
            self._defined[definition.name] = definition
        return definition

    # -- counting

    def add(self, definition: Definition, values: Values, amount: float) -> None:
        """Raise a counter, or move a gauge."""

        def change(numbers: list[float]) -> None:
            numbers[0] += amount

        self._change(definition, values, change)

    def set(self, definition: Definition, values: Values, value: float) -> None:
        """Set a gauge."""

        def change(numbers: list[float]) -> None:
            numbers[0] = value

        self._change(definition, values, change)

    def observe(self, definition: Definition, values: Values, value: float) -> None:
        """Count a value in its bucket of a histogram, and in the sum."""
        place = bisect_left(definition.buckets, value)

        def change(numbers: list[float]) -> None:
            numbers[place] += 1
            numbers[-1] += value

        self._change(definition, values, change)

    def _change(self, definition: Definition, values: Values, change: Callable[[list[float]], None]) -> None:
        with self._lock:
            own = self._series.get((definition.id, values))
            if own is None:
                own = self._series[definition.id, values] = self._begin(definition, values)
            for _ in range(CONFLICT_TRIES):
                numbers = own.numbers.copy()
                change(numbers)
                value = own.head + pack_numbers(numbers)
                answer = self._table.commit(own.key, own.version, value, owner=SERIES)
                if answer == BUSY:
                    version = own.version
                    answer = int(
                        without_waiting(lambda: self._table.commit(own.key, version, value, owner=SERIES))  # noqa: B023
                    )
                if answer > 0:
                    own.version, own.numbers = answer, numbers
                    return
                if answer == FULL:
                    raise StoreError("the table of metrics is full: shared.max_metrics")
                self._read(own)
        raise StoreError("a metric kept changing")

    def _begin(self, definition: Definition, values: Values) -> _Own:
        """A series that this process has not written yet; others, or one before it, may have."""
        self._take_seat(definition, values)
        slot = NO_SLOT if definition.kind == GAUGE else self._slot()
        key = series_key(self._hash_key, definition.id, values, slot)
        own = _Own(key, head_of(definition, values, slot), definition.numbers)
        self._read(own)
        return own

    def _read(self, own: _Own) -> None:
        """What is stored now; a record that cannot be read counts from zero."""
        count = len(own.numbers)
        found = read(self._table, own.key)
        own.version, own.numbers = (0 if found is None else found[0]), [0.0] * count
        if found is not None:
            try:
                numbers = unpack_series(found[1]).numbers
            except BadRecord:
                return
            if len(numbers) == count:
                own.numbers = list(numbers)

    # -- definitions

    def _store(self, definition: Definition) -> None:
        """Writes a definition, unless a later version of the script has."""
        if definition.id in self._stored:
            return
        self._edit(definition, lambda found: found)
        self._stored.add(definition.id)

    def _take_seat(self, definition: Definition, values: Values) -> None:
        self._stored.add(definition.id)
        wanted = seat(values)

        def take(found: Defined) -> Defined:
            if wanted in found.seats:
                return found
            if len(found.seats) >= MOST_SERIES:
                raise RuntimeError(f"{definition.name} has {MOST_SERIES} combinations of label values: no more")
            return found._replace(seats=(*found.seats, wanted))

        self._edit(definition, take)

    def _edit(self, definition: Definition, edit: Callable[[Defined], Defined]) -> None:
        key = definition_key(self._hash_key, definition.name)
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, key)
            version, stored = (0, None) if found is None else (found[0], _readable(found[1]))
            if stored is not None and not stored.definition.is_same(definition):
                if stored.script_version > self._version:
                    return  # an old handler still counts what a later version has changed
                stored = None
            if stored is None:
                wanted = edit(Defined(definition, self._version, ()))
            else:
                wanted = edit(stored._replace(script_version=max(stored.script_version, self._version)))
                if definition.help != stored.definition.help and stored.script_version <= self._version:
                    wanted = wanted._replace(definition=definition)
            if wanted == stored:
                return
            answer = self._commit(key, version, pack_definition(wanted))
            if answer > 0:
                return
        raise StoreError("a metric's definition kept changing")

    def _commit(self, key: bytes, version: int, value: bytes) -> int:
        answer = without_waiting(lambda: self._table.commit(key, version, value, owner=DEFINITION))
        if answer == FULL:
            raise StoreError("the table of metrics is full: shared.max_metrics")
        if answer == BUSY:
            raise StoreError("the table of metrics did not answer in time")
        return int(answer)


def _readable(value: bytes) -> Defined | None:
    try:
        return unpack_definition(value)
    except BadRecord:
        return None
