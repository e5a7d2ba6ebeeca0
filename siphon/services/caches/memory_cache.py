"""A cache in a table that all workers share: values and lists under the names that scripts give them.

Each operation is one compare-and-swap, so lists lose and repeat nothing, whoever pushes and whoever is killed. The
header of a record says to which cache it belongs (a hash of its name, as owner) and when it was used last (as
deadline): a sweep finds the least recently used without reading values. Reading is a use, so it writes the header anew.

A cache holds at most `most` entries. How many it has is a number in a record of its own, which a death or an expiry may
leave wrong for a while: so when it exceeds `most` entries are counted, and the least recently used go, a thirty-second
more than must, since a sweep over the table is not to happen at each store. Where the table itself is full the least
recently used of this cache go too. Times are CLOCK_BOOTTIME. StoreError where the table does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

from siphon.services.store import (
    CONFLICT_TRIES,
    FULL,
    RECORD_LIMIT,
    BadRecord,
    RecordTable,
    StoreError,
    pack,
    read,
    record_key,
    unpack,
    without_waiting,
)

COUNTS = 1
"""Owner of the records that say how many entries a cache has."""
LONGEST_KEY = 512
_TEXT, _LIST = 0, 1
_VERSION = 1
_FIELDS = 6


class Entry(NamedTuple):
    """What a record holds. `until` 0.0: it does not end."""

    cache: str
    key: str
    kind: int
    data: Any
    until: float


class MemoryCache:
    """One cache. `hash_key` keys the table's keys, since peers may choose what scripts use as keys."""

    def __init__(self, name: str, most: int, table: RecordTable, hash_key: bytes, clock: Callable[[], float]) -> None:
        self.name = name
        self._most = most
        self._table = table
        self._hash_key = hash_key
        self._clock = clock
        self._owner = 2 + int.from_bytes(blake2b(name.encode(), digest_size=7).digest(), "big")
        self._count_key = record_key(hash_key, b"n", name.encode())

    # -- values

    def fetch(self, key: str) -> str | None:
        """The value; None where there is none, or a list."""
        where = self._where(key)
        found = self._read(where)
        if found is None or found[1].kind != _TEXT:
            return None
        version, entry = found
        self._write(where, version, entry)  # used now; who is faster has used it as well
        return str(entry.data)

    def store(self, key: str, value: str, ttl: float | None) -> bool:
        """False for a value that is too large."""
        return self._put(key, lambda old: Entry(self.name, key, _TEXT, value, self._until(ttl))) is not None

    def delete(self, key: str) -> bool:
        """Whether there was something."""
        return self._take(key) is not None

    def exists(self, key: str) -> bool:
        """Whether there is a value or a list."""
        return self._read(self._where(key)) is not None

    def expire(self, key: str, ttl: float) -> bool:
        """False where there is nothing that could end."""
        where = self._where(key)
        for _ in range(CONFLICT_TRIES):
            found = self._read(where)
            if found is None:
                return False
            if self._write(where, found[0], found[1]._replace(until=self._until(ttl))) > 0:
                return True
        raise StoreError("an entry of a cache kept changing")

    # -- lists

    def list_push(self, key: str, value: str) -> int | None:
        """The new length; None for a key that has a value, or a list that becomes too large."""

        def longer(old: Entry | None) -> Entry | None:
            if old is None:
                return Entry(self.name, key, _LIST, [value], 0.0)
            return old._replace(data=[*old.data, value]) if old.kind == _LIST else None

        stored = self._put(key, longer)
        return None if stored is None else len(stored.data)

    def list_pop_all(self, key: str) -> list[str]:
        """What the list held, in the order in which it was pushed."""
        entry = self._take(key, _LIST)
        return [] if entry is None else list(entry.data)

    def list_len(self, key: str) -> int:
        """0 where there is no list."""
        found = self._read(self._where(key))
        return len(found[1].data) if found is not None and found[1].kind == _LIST else 0

    def list_len_sum(self, prefix: str) -> int:
        """Of all lists whose keys begin so: reads the whole cache."""
        found = (entry for _, entry in self._entries() if entry.kind == _LIST and entry.key.startswith(prefix))
        return sum(len(entry.data) for entry in found)

    # -- records

    def _where(self, key: str) -> bytes:
        return record_key(self._hash_key, b"e", f"{self.name}\0{key}".encode("utf-8", "surrogateescape"))

    def _until(self, ttl: float | None) -> float:
        return 0.0 if ttl is None else self._clock() + ttl

    def _read(self, where: bytes) -> tuple[int, Entry] | None:
        """Version and entry; what cannot be read, or has ended, is not there."""
        found = read(self._table, where)
        entry = self._live(found)
        return None if found is None or entry is None else (found[0], entry)

    def _live(self, found: tuple[int, bytes] | None) -> Entry | None:
        entry = None if found is None else _unpacked(found[1])
        return None if entry is None or 0 < entry.until <= self._clock() else entry

    def _put(self, key: str, edit: Callable[[Entry | None], Entry | None]) -> Entry | None:
        """Writes what `edit` makes of the entry; None where it makes none, or too much."""
        where = self._where(key)
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, where)
            version = 0 if found is None else found[0]
            entry = edit(self._live(found))
            if entry is None or len(_packed(entry)) > RECORD_LIMIT:
                return None
            answer = self._write(where, version, entry)
            if answer == FULL:
                self._make_room()
                answer = self._write(where, version, entry)
                if answer == FULL:
                    raise StoreError("the table of caches is full: shared.max_cache_entries")
            if answer > 0:
                if not version:
                    self._counted(1)
                return entry
        raise StoreError("an entry of a cache kept changing")

    def _take(self, key: str, kind: int | None = None) -> Entry | None:
        where = self._where(key)
        for _ in range(CONFLICT_TRIES):
            found = self._read(where)
            if found is None or kind not in (None, found[1].kind):
                return None
            version = found[0]
            if int(without_waiting(lambda: self._table.delete(where, version))) > 0:  # noqa: B023
                self._counted(-1)
                return found[1]
        raise StoreError("an entry of a cache kept changing")

    def _write(self, where: bytes, version: int, entry: Entry) -> int:
        value, now = _packed(entry), self._clock()

        def commit() -> int:
            return self._table.commit(
                where, version, value, owner=self._owner, next_deadline=now, expiry=entry.until, use_reserve=False
            )

        return int(without_waiting(commit))

    def _entries(self) -> Iterator[tuple[bytes, Entry]]:
        for where, _, _ in self._table.owned(self._owner):
            found = self._read(where)
            if found is not None:
                yield where, found[1]

    # -- room

    def _counted(self, change: int) -> None:
        """Note that there is one more, or one less; trim where there are too many."""
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, self._count_key)
            count = max(0, (0 if found is None else int.from_bytes(found[1], "little")) + change)
            if change > 0 and count > self._most:
                count = self._trimmed(self._most)
            value = count.to_bytes(8, "little")
            version = 0 if found is None else found[0]
            if self._table.commit(self._count_key, version, value, owner=COUNTS) != 0:
                return  # done, or it is counted anew when there seem to be too many

    def _trimmed(self, most: int) -> int:
        """Lets the least recently used go where there are more than `most`; how many stay."""
        entries = self._table.owned(self._owner)
        excess = len(entries) - most
        if excess <= 0:
            return len(entries)
        oldest = sorted(entries, key=lambda entry: entry[2])[: excess + most // 32]
        return len(entries) - sum(self._table.delete(where, version) > 0 for where, version, _ in oldest)

    def _make_room(self) -> None:
        """In a full table: what has ended goes, else the least recently used of this cache."""
        if not self._table.expire(self._clock(), 256):
            entries = len(self._table.owned(self._owner))
            self._trimmed(entries - max(1, entries // 32))


def _packed(entry: Entry) -> bytes:
    return pack([_VERSION, *entry])


def _unpacked(value: bytes) -> Entry | None:
    try:
        return Entry(*unpack(value, _VERSION, _FIELDS)[1:])
    except (BadRecord, TypeError):
        return None
