"""Which relay has the media of a call: one record a Call-ID in a table that all workers share.

A record holds the relay's address and the profile of the offer, so that the answer and the end reach the same relay
from any worker. It is written before the offer goes out, by compare-and-swap: two workers that place one call at the
same moment (a fork, a re-run after a death) agree on the first one's relay. It goes with `delete`, or `life` seconds
after the last command of the call: a script that never deletes fills no table for ever. A full table is a StoreError.
Times are CLOCK_BOOTTIME.
"""

from __future__ import annotations

from typing import NamedTuple

from siphon.services.store import (
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

OWNER = 0
CLEANED = 200
_FIELDS = 3
_VERSION = 1


class Call(NamedTuple):
    """Where a call's media is: the relay's address, the profile of its offer."""

    relay: str
    profile: str


class Calls:
    """The calls of this instance. `hash_key` keys the table's keys, since peers choose Call-IDs."""

    def __init__(self, table: RecordTable, hash_key: bytes, life: float) -> None:
        self._table = table
        self._hash_key = hash_key
        self._life = life

    def find(self, call_id: str) -> Call | None:
        """The call, None where nobody has placed it; StoreError when the table does not answer."""
        found = read(self._table, self._key(call_id))
        return None if found is None else _unpacked(found[1])

    def place(self, call_id: str, call: Call, now: float, instead_of: str | None = None) -> Call:
        """Record the call; one that is placed already keeps its relay, unless that is `instead_of`. What the record
        holds then; its life begins anew."""
        key = self._key(call_id)
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, key)
            known = None if found is None else _unpacked(found[1])
            wanted = call if known is None or known.relay == instead_of else known._replace(profile=call.profile)
            if self._commit(key, 0 if found is None else found[0], wanted, now):
                return wanted
        raise StoreError("the record of a call's media kept changing")

    def remove(self, call_id: str) -> None:
        """Forget a call. One that changes at this moment is let live."""
        key = self._key(call_id)
        found = read(self._table, key)
        if found is not None:
            without_waiting(lambda: self._table.delete(key, found[0]))

    def count(self) -> int:
        """Calls that are placed."""
        return len(self._table.owned(OWNER))

    def _key(self, call_id: str) -> bytes:
        return record_key(self._hash_key, b"m", call_id.encode("utf-8", "surrogateescape"))

    def _commit(self, key: bytes, version: int, call: Call, now: float) -> bool:
        def commit() -> int:
            value, end = pack([_VERSION, *call]), now + self._life
            return self._table.commit(key, version, value, owner=OWNER, next_deadline=now, expiry=end)

        answer = without_waiting(commit)
        if answer == FULL and self._table.expire(now, CLEANED):
            answer = without_waiting(commit)
        if answer == FULL:
            raise StoreError("the table of media calls is full (shared.max_media_calls)")
        return int(answer) > 0


def _unpacked(value: bytes) -> Call | None:
    """What a record holds; one that is not readable is as good as none."""
    try:
        _, relay, profile = unpack(value, _VERSION, _FIELDS)
        return Call(str(relay), str(profile))
    except BadRecord:
        return None
