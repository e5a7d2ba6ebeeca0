"""A lease: which one process of an instance does a thing that must not be done twice at a time.

It is a record in a table that all processes share, with a holder (slot and generation) and an end. The holder renews it
long before; whoever finds it past its end, or held by a generation that is gone, takes it by compare-and-swap:

    worker 1: holds v7 until 12.0 ... killed, or stopped
                                        worker 2, at 12.4: v7 has ended: v7 -> v8, until 15.4
    worker 1, if it is back at 13.0: its lease ran out at 12.0, it holds nothing

A holder whose lease ran out unnoticed loses it even if nobody has taken it, so that it begins anew. Between two calls
of `hold` a process that was stopped in the middle may do one more piece of work: the lease is for what does little
harm when it is done twice. Times are CLOCK_BOOTTIME. A table that is full or does not answer gives the lease to nobody.
"""

from __future__ import annotations

from collections.abc import Callable

from siphon.services.store import BadRecord, RecordTable, StoreError, pack, read, unpack, without_waiting

LEASE_SECS = 3.0
RENEW_SECS = 1.0
"""How often `hold` is to be called."""
OWNER = 9
"""In the header, so that no sweep for anything else finds the record."""
_VERSION = 1
_FIELDS = 4


class Lease:
    """A lease as one process sees it. `key` is its record's, `alive` tells whether a slot still has a generation."""

    def __init__(
        self, table: RecordTable, key: bytes, slot: int, generation: int, alive: Callable[[int, int], bool]
    ) -> None:
        self._table = table
        self._key = key
        self._slot = slot
        self._generation = generation
        self._alive = alive
        self._version = 0
        self._until = 0.0

    @property
    def is_held(self) -> bool:
        """Whether the last `hold` said so."""
        return self._version > 0

    def hold(self, now: float) -> bool:
        """Renew it, or take it if it is free. False once after it was lost; then it may be taken again."""
        if self._version:
            self._version = self._write(self._version, now) if now < self._until else 0
            return self._version > 0
        try:
            found = read(self._table, self._key)
        except StoreError:
            return False
        if found is None or not self._is_taken(found[1], now):
            self._version = self._write(0 if found is None else found[0], now)
        return self._version > 0

    def release(self) -> None:
        """Leave it to others at once; nothing happens where it is not held."""
        if self._version:
            version, self._version = self._version, 0
            without_waiting(lambda: self._table.delete(self._key, version))

    def _is_taken(self, value: bytes, now: float) -> bool:
        try:
            _, slot, generation, until = unpack(value, _VERSION, _FIELDS)
            return bool(now < until <= now + LEASE_SECS) and self._alive(slot, generation)
        except (BadRecord, TypeError):
            return False

    def _write(self, version: int, now: float) -> int:
        """The new version; 0 where somebody was faster or the table does not take it."""
        self._until = now + LEASE_SECS
        value = pack([_VERSION, self._slot, self._generation, self._until])
        return max(0, without_waiting(lambda: self._table.commit(self._key, version, value, owner=OWNER)))
