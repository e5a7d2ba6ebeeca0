"""Whose turn it is: a number a group and priority that all workers count up together.

A choice commits the number after the one it takes against the version that this process wrote last: with one worker,
or few calls, that is one call of the table, a microsecond. A conflict means that another worker was faster, and the
number is read again. Where the table does not answer or is full the process counts on by itself: a share that is a
little uneven harms less than a call that fails.
"""

from __future__ import annotations

import struct

from siphon.services.store import CONFLICT, RecordTable, record_key

TRIES = 100
_NUMBER = struct.Struct("<Q")
_MASK = (1 << 64) - 1


class Turns:
    """As one process sees them. `owner` is what the records' headers say."""

    def __init__(self, table: RecordTable, hash_key: bytes, owner: int) -> None:
        self._table = table
        self._hash_key = hash_key
        self._owner = owner
        self._known: dict[tuple[str, int], list[int]] = {}
        self._places: dict[tuple[str, int], bytes] = {}

    def next(self, name: str, priority: int) -> int:
        """The number of this choice."""
        asked = (name, priority)
        where = self._places.get(asked)
        if where is None:
            where = self._places[asked] = self._where(name, priority)
            self._known[asked] = self._read(where)
        known = self._known[asked]
        for _ in range(TRIES):
            version, number = known
            after = (number + 1) & _MASK
            answer = self._table.commit(where, version, _NUMBER.pack(after), owner=self._owner)
            if answer != CONFLICT:
                known[1] = after
                if answer > 0:
                    known[0] = answer
                return number
            known[:] = self._read(where)
        return known[1]

    def forget(self, name: str, priority: int) -> None:
        """Its group is gone."""
        self._places.pop((name, priority), None)
        self._known.pop((name, priority), None)
        self._table.delete(self._where(name, priority), 0)

    def _where(self, name: str, priority: int) -> bytes:
        return record_key(self._hash_key, b"t", b"%b %d" % (name.encode("utf-8", "surrogateescape"), priority))

    def _read(self, where: bytes) -> list[int]:
        """[version, number]"""
        found = self._table.get(where)
        if not isinstance(found, tuple) or len(found[1]) != _NUMBER.size:
            return [found[0] if isinstance(found, tuple) else 0, 0]
        return [found[0], _NUMBER.unpack(found[1])[0]]
