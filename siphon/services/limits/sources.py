"""How many transactions of one source address live at this moment (`limits.per_source`), told by the transactions
themselves.

A counter that goes up and down is wrong for ever after one kill. Here the record of a source is a list of the keys of
its transactions; a transaction lives when the table of transactions has its record. Nothing is ever taken back: when a
list is full, keys whose record is gone are dropped from it. So whatever dies at whatever moment, a list is right again
the next time that it matters, and a source below its limit costs one read and one compare-and-swap a request.

    worker 1: puts key into the list ... killed before it makes the record
    worker 2: finds the list full: that key has no record, it is dropped

A list has LIST keys at most, so that a change copies little. A higher limit is spread over several lists, chosen by the
transaction's key; PROBES of them are looked at before a request is refused. So the limit is never exceeded, and a
source whose limit is above LIST * PROBES may be refused a little below it, when the lists at hand are full and others
are not. A full list is cleaned at most once in CLEAN_SECS by each worker, so that refusing stays cheap.

The table is that of the windows, and forgets the quietest in the same way when it is full; a source that has started
nothing for FORGET_SECS is forgotten too, with what still lives of it.
"""

from __future__ import annotations

from collections.abc import Callable

from siphon.services.limits.windows import EVICT, OWNER, make_room
from siphon.services.store import FULL, RecordTable, StoreError, read, record_key, without_waiting

KEY = 16
LIST = 128
PROBES = 4
CLEAN_SECS = 0.25
FORGET_SECS = 600.0
TRIES = 50
CLEANED = 4096


class LiveTransactions:
    """The lists of this instance. `lives(key)`: whether the table of transactions has the record of a transaction."""

    def __init__(self, table: RecordTable, hash_key: bytes, lives: Callable[[bytes], bool], evict: int = EVICT) -> None:
        self._table = table
        self._hash_key = hash_key
        self._lives = lives
        self._evict = evict
        self._cleaned: dict[bytes, float] = {}

    def admit(self, source: str, most: int, transaction: bytes, now: float) -> bool:
        """Whether the source may start this transaction, or has already. A table that does not answer refuses nobody:
        the table of transactions has its own bound."""
        lists = -(-most // LIST)
        first = transaction[0] | transaction[1] << 8
        try:
            return any(
                self._put(source, (first + step) % lists, lists, most, transaction, now)
                for step in range(min(lists, PROBES))
            )
        except StoreError:
            return True

    def _put(self, source: str, place: int, lists: int, most: int, transaction: bytes, now: float) -> bool:
        room = most // lists + (place < most % lists)
        key = record_key(self._hash_key, b"s", b"%b %d %d" % (source.encode(), place, lists))
        for _ in range(TRIES):
            found = read(self._table, key)
            version, value = (0, b"") if found is None else found
            keys = [value[at : at + KEY] for at in range(0, len(value), KEY)]
            if transaction in keys:
                return True
            if len(keys) >= room:
                keys = self._cleaned_list(key, keys, now)
                if len(keys) >= room:
                    return False
            answer = self._commit(key, version, b"".join([*keys, transaction]), now)
            if answer > 0:
                return True
        raise StoreError("a source's list kept changing")

    def _cleaned_list(self, key: bytes, keys: list[bytes], now: float) -> list[bytes]:
        """The keys that still live; as they are when this list was cleaned a moment ago."""
        if now < self._cleaned.get(key, 0.0) + CLEAN_SECS:
            return keys
        if len(self._cleaned) >= CLEANED:
            self._cleaned.clear()
        self._cleaned[key] = now
        return [one for one in keys if self._lives(one)]

    def _commit(self, key: bytes, version: int, value: bytes, now: float) -> int:
        def commit() -> int:
            return self._table.commit(key, version, value, owner=OWNER, next_deadline=now, expiry=now + FORGET_SECS)

        answer = int(without_waiting(commit))
        if answer == FULL:
            make_room(self._table, now, self._evict)
            answer = int(without_waiting(commit))
            if answer == FULL:
                raise StoreError("the table of limits is full (shared.max_transactions)")
        return answer
