"""Records of INVITE dialogs in a table that all workers share (API 16.5).

Written before the commit that sends the 2xx, removed by the final answer to the BYE or after `dialog.max_age_secs`, the
oldest first when the table is full. A record is a fallback and never the truth: a call whose record is lost goes on by
its signed Record-Route. So nothing here raises: a table that does not answer is a dialog that is not known.

The key is the same for both directions: a keyed hash of the Call-ID and the two tags in order, their case ignored
(they are tokens, RFC 3261 §7.3.1). Times are wall time.

Beside them lie INVITEs that a script has answered under a To tag that does not tell their record: `remember_answer`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from shm.table import Table
from siphon.services.dialogs._plain import PlainDialogs
from siphon.services.store import FULL, BadRecord, RecordTable, StoreError, oldest, pack, read, record_key, unpack

_VERSION = 1
_FIELDS = 11
_ANSWER_FIELDS = 2
OWNER = 0
EVICT = 64
KEPT = 255
"""Bytes of a Call-ID that are kept, for those who list calls; the key is of all of it."""


class Place(NamedTuple):
    """Where one side of a dialog was reached: numeric address, port, index of our listener, our local address or ''."""

    ip: str
    port: int
    listener: int
    local_ip: str


class Known(NamedTuple):
    """A dialog that goes on: `since` is wall time."""

    call_id: bytes
    caller: Place
    callee: Place
    since: float


def listed(table: Table) -> Iterator[Known]:
    """The dialogs in a table, without a lock: what changes meanwhile may be missing."""
    for key, _, since in table.owned(OWNER):
        with contextlib.suppress(BadRecord, StoreError):
            found = read(table, key)
            if found is not None:
                fields = unpack(found[1], _VERSION, _FIELDS)
                yield Known(fields[10], Place(*fields[2:6]), Place(*fields[6:10]), since)


class Dialogs:
    """The dialogs of this instance. `hash_key` keys the table's keys, `max_age` is in seconds; when the table is full
    the `evict` oldest go. `told(key, transaction, secs)` hears of each answer that is remembered."""

    def __init__(
        self,
        table: RecordTable,
        hash_key: bytes,
        max_age: float,
        evict: int = EVICT,
        told: Callable[[bytes, bytes, float], None] | None = None,
    ) -> None:
        self._told = told
        self._table = table
        self._evict = evict
        self._hash_key = hash_key
        self._max_age = max_age
        self.plain = PlainDialogs(table, hash_key, max_age) if isinstance(table, Table) else None
        """The same in C, for the short ways."""

    def remember(
        self, call_id: bytes, caller_tag: bytes, callee_tag: bytes, caller: Place, callee: Place, wall: float
    ) -> None:
        """Note a dialog; repeating it changes nothing."""
        key = self._key(call_id, caller_tag, callee_tag)
        self._store(key, 0, pack([_VERSION, caller_tag, *caller, *callee, call_id[:KEPT]]), wall, self._max_age)

    def remember_answer(
        self, call_id: bytes, from_tag: bytes, to_tag: bytes, transaction: bytes, wall: float, secs: float
    ) -> None:
        """Note the INVITE whose answer, made here, waits for an ACK or a PRACK with these tags; a later one of the
        dialog takes its place."""
        key = self.answer_key(call_id, from_tag, to_tag)
        if self._told is not None:
            self._told(key, transaction, secs)
        try:
            found = read(self._table, key)
        except StoreError:
            return
        self._store(key, 0 if found is None else found[0], pack([_VERSION, transaction]), wall, secs)

    def answered(self, call_id: bytes, from_tag: bytes, to_tag: bytes) -> bytes | None:
        """The INVITE that remember_answer() noted; None when there is none."""
        try:
            found = read(self._table, self.answer_key(call_id, from_tag, to_tag))
            if found is None:
                return None
            transaction: bytes = unpack(found[1], _VERSION, _ANSWER_FIELDS)[1]
        except (BadRecord, StoreError):
            return None
        return transaction

    def _store(self, key: bytes, version: int, value: bytes, wall: float, secs: float) -> None:
        for _ in range(2):
            stored = self._table.commit(key, version, value, owner=OWNER, next_deadline=wall, expiry=wall + secs)
            if stored != FULL:
                return
            self._make_room(wall)

    def peer(self, call_id: bytes, from_tag: bytes, to_tag: bytes) -> Place | None:
        """Where a request with these tags goes: the side that did not send it; None when the dialog is not known."""
        try:
            found = read(self._table, self._key(call_id, from_tag, to_tag))
            if found is None:
                return None
            fields = unpack(found[1], _VERSION, _FIELDS)
        except (BadRecord, StoreError):
            return None
        caller, callee = Place(*fields[2:6]), Place(*fields[6:10])
        return callee if from_tag.lower() == fields[1].lower() else caller

    def forget(self, call_id: bytes, from_tag: bytes, to_tag: bytes) -> None:
        """The dialog has ended."""
        with contextlib.suppress(StoreError):
            self._table.delete(self._key(call_id, from_tag, to_tag), 0)

    def _key(self, call_id: bytes, one: bytes, other: bytes) -> bytes:
        first, second = sorted((one.lower(), other.lower()))
        return record_key(self._hash_key, b"d", b"%d:%b%d:%b%b" % (len(first), first, len(second), second, call_id))

    def answer_key(self, call_id: bytes, from_tag: bytes, to_tag: bytes) -> bytes:
        """Of what remember_answer() notes."""
        tags = from_tag.lower(), to_tag.lower()
        return record_key(
            self._hash_key, b"u", b"%d:%b%d:%b%b" % (len(tags[0]), tags[0], len(tags[1]), tags[1], call_id)
        )

    def _make_room(self, wall: float) -> None:
        if self._table.expire(wall, self._evict):
            return
        for key, version, _ in oldest(self._table, OWNER, wall, self._max_age, self._evict):
            self._table.delete(key, version)
