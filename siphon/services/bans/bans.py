"""The ban list: one record a ban in a table that all processes share and that outlives them.

A ban is of a source (see units.py), or of one user at a source. It has an end, by wall time, since people read it and
other nodes may get it. `holds` is asked for each datagram: a hash that is remembered, and one look at a header.

    worker 1: commits a ban, answers           worker 2: its next datagram of that source finds the record

The table is bounded: when it is full, bans that are over go, else the oldest. Nobody can fill it from addresses that
are not his, except through `security.rate_limit` (docs/security.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from siphon.services.bans.units import unit_of
from siphon.services.store import (
    CONFLICT_TRIES,
    FULL,
    BadRecord,
    RecordTable,
    StoreError,
    oldest,
    pack,
    read,
    record_key,
    unpack,
    without_waiting,
)

SOURCES = 0
USERS = 1
"""Owners of records: which kind of ban it is."""
EVICT = 64
KEYS = 65536
QUIET_SECS = 86400.0
_VERSION = 1
_FIELDS = 7


class BanTable(RecordTable, Protocol):
    """A table that also remembers that something has been in it."""

    @property
    def filled(self) -> bool: ...

    def set_filled(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ban:
    """`source` is a unit; `user` "" where it is of the whole source. Times are epoch seconds. `node` says where it was
    made: "" for this instance."""

    source: str
    user: str
    reason: str
    made_at: float
    until: float
    node: str = ""


class Bans:
    """The list of this instance. `hash_key` keys the table's keys, since peers choose their addresses."""

    def __init__(self, table: BanTable, hash_key: bytes, wall: Callable[[], float], evict: int = EVICT) -> None:
        self.table = self._table = table
        self._hash_key = hash_key
        self._wall = wall
        self._evict = evict
        self._keys: dict[str, bytes] = {}

    @property
    def any_yet(self) -> bool:
        """Whether there has been a ban since the table was made."""
        return self._table.filled

    def holds(self, source: str) -> bool:
        """Whether a numeric address is banned now. A record that is being changed at this moment bans nobody."""
        key = self._keys.get(source)
        if key is None:
            key = self._remember(source)
        head = self._table.head(key)
        return head is not None and not isinstance(head, int) and head.expiry > self._wall()

    def _remember(self, source: str) -> bytes:
        if len(self._keys) >= KEYS:
            self._keys.clear()
        key = self._keys[source] = self._key(unit_of(source), "")
        return key

    def holds_user(self, source: str, user: str) -> bool:
        """Whether this user is banned at this address."""
        if not self._table.filled:
            return False
        head = self._table.head(self._key(unit_of(source), user))
        return head is not None and not isinstance(head, int) and head.expiry > self._wall()

    def add(self, ban: Ban) -> bool:
        """True when it is new; a ban that is there already gets the later end. StoreError when it cannot be kept."""
        key = self._key(ban.source, ban.user)
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, key)
            before = None if found is None else _unpacked(found[1])
            if before is not None and before.until >= ban.until:
                return False
            if before is not None and before.until > self._wall():
                ban = Ban(ban.source, ban.user, before.reason, before.made_at, ban.until, before.node)
            self._table.set_filled()  # first, or a ban of who is killed in between would hold for nobody
            if self._commit(key, 0 if found is None else found[0], ban):
                return before is None or before.until <= self._wall()
        raise StoreError("a ban kept changing")

    def remove(self, source: str, user: str = "") -> bool:
        """Whether there was one. `source` is a unit."""
        key = self._key(source, user)
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, key)
            if found is None:
                return False
            if self._table.delete(key, found[0]) > 0:
                return True
        raise StoreError("a ban kept changing")

    def list(self) -> list[Ban]:
        """All that hold now, the latest first."""
        return sorted(entries(self._table, self._wall()), key=lambda ban: -ban.made_at)

    def _key(self, unit: str, user: str) -> bytes:
        name = f"{unit}\0{user}".encode("utf-8", "surrogateescape")
        return record_key(self._hash_key, b"b", name)

    def _commit(self, key: bytes, version: int, ban: Ban) -> bool:
        value = pack([_VERSION, ban.source, ban.user, ban.reason, ban.made_at, ban.until, ban.node])
        owner = USERS if ban.user else SOURCES

        def commit() -> int:
            return self._table.commit(key, version, value, owner=owner, next_deadline=ban.made_at, expiry=ban.until)

        answer = without_waiting(commit)
        if answer == FULL:
            self._make_room()
            answer = without_waiting(commit)
            if answer == FULL:
                raise StoreError("the table of bans is full (shared.max_transactions)")
        return int(answer) > 0

    def _make_room(self) -> None:
        wall = self._wall()
        if self._table.expire(wall, self._evict):
            return
        for owner in (USERS, SOURCES):
            found = oldest(self._table, owner, wall, QUIET_SECS, self._evict)
            for key, version, _ in found:
                self._table.delete(key, version)
            if found:
                return


def entries(table: RecordTable, wall: float) -> Iterator[Ban]:
    """The bans of a table that hold now, in any order; what cannot be read is left out."""
    cursor = 0
    while True:
        keys, cursor = table.keys(1000, cursor)
        for key in keys:
            found = table.get(key)
            ban = None if found is None or isinstance(found, int) else _unpacked(found[1])
            if ban is not None and ban.until > wall:
                yield ban
        if not cursor:
            return


def _unpacked(value: bytes) -> Ban | None:
    try:
        _, source, user, reason, made_at, until, node = unpack(value, _VERSION, _FIELDS)
    except BadRecord:
        return None
    texts = all(isinstance(text, str) for text in (source, user, reason, node))
    numbers = isinstance(made_at, float) and isinstance(until, float)
    return Ban(source, user, reason, made_at, until, node) if texts and numbers else None
