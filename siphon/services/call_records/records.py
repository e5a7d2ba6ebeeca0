"""Call detail records on their way to a file: a table that all processes share, and that outlives each of them.

The owner field of a record's header says what it is:

    SESSION   a call that was answered and goes on: what is known of it already
    FAILED    a call that is said to have failed; its transaction's record tells whether that was committed
    READY     a record that is to be written

A worker makes a SESSION before the commit that sends the 2xx, and makes it READY, by one compare-and-swap, before the
commit that sends the BYE's final. A failure is FAILED before its own commit, which may yet lose against another
worker's: so the writer looks at the transaction a moment later. Repeats find what they would do done:

    worker 1                                   writer
    BYE's final decided: SESSION -> READY
    ... killed before the commit               writes the line, deletes the record
    worker 2: the BYE again, no SESSION left

The writer deletes a record after it has written it. So whoever is killed at whatever moment, no record is lost, and one
that was written and not yet deleted is written again.

Times are wall time. Nothing here raises: what the table refuses is counted as lost and logged by whoever asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, NamedTuple

from siphon.services.call_records.fields import duration, line
from siphon.services.store import (
    CONFLICT,
    CONFLICT_TRIES,
    BadRecord,
    RecordTable,
    StoreError,
    pack,
    read,
    record_key,
    unpack,
    without_waiting,
)

SESSION, FAILED, READY = 1, 2, 3
"""Owners."""
SETTLE_SECS = 0.5
"""So long after it was made a FAILED is compared with its transaction."""
_VERSION = 1
_FIELDS = 5


class Ready(NamedTuple):
    """A record to be written."""

    key: bytes
    version: int
    line: bytes


class Stored(NamedTuple):
    """What lies in the table. `tag` is the caller's; `transaction` that of a FAILED."""

    tag: bytes
    transaction: bytes
    fields: dict[str, Any]
    extra: dict[str, str]


class CallRecords:
    """The records of this instance. `hash_key` keys the table's keys, since callers choose Call-IDs. `most` may wait to
    be written; `waiting()` says how many do, `queued()` counts one more."""

    def __init__(
        self,
        table: RecordTable,
        hash_key: bytes,
        wall: Callable[[], float],
        most: int,
        waiting: Callable[[], int],
        queued: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self._table = table
        self._hash_key = hash_key
        self._wall = wall
        self._most = most
        self._waiting = waiting
        self._queued = queued
        self._lost = lost

    # -- what workers do

    def put(self, fields: Mapping[str, Any], extra: Mapping[str, str], name: bytes = b"") -> bool:
        """Queue a record; False when the queue is full. One of the same `name` that waits already is this one."""
        key = record_key(self._hash_key, b"r", name) if name else os.urandom(16)
        return self._insert(key, READY, Stored(b"", b"", dict(fields), dict(extra)))

    def fail(self, transaction: bytes, fields: Mapping[str, Any]) -> None:
        """A call that is about to be told to have failed."""
        key = record_key(self._hash_key, b"f", transaction)
        self._insert(key, FAILED, Stored(b"", transaction, dict(fields), {}), replaces=True)

    def begin(
        self, call_id: bytes, caller_tag: bytes, callee_tag: bytes, fields: Mapping[str, Any], secs: float
    ) -> None:
        """A call that is about to be told to be answered. It is forgotten after `secs` without an end."""
        key = self._session_key(call_id, caller_tag, callee_tag)
        stored = Stored(caller_tag, b"", dict(fields), {})
        answer = self._commit(key, 0, SESSION, stored, self._wall() + secs)
        if answer < CONFLICT:
            self._lost()

    def note(self, call_id: bytes, from_tag: bytes, to_tag: bytes, reason: str) -> None:
        """The Reason of a BYE that has come."""

        def noted(stored: Stored) -> tuple[int, Stored]:
            return SESSION, stored._replace(fields={**stored.fields, "sip_reason": reason})

        self._change(call_id, from_tag, to_tag, noted)

    def end(self, call_id: bytes, from_tag: bytes, to_tag: bytes) -> None:
        """A BYE of the side with `from_tag` is about to be answered for good."""
        now = self._wall()

        def ended(stored: Stored) -> tuple[int, Stored]:
            caller = from_tag.lower() == stored.tag.lower()
            answered = stored.fields.get("timestamp_answer")
            more = {
                "timestamp": now,
                "timestamp_end": now,
                "duration_secs": duration(answered, now),
                "disconnect_initiator": "caller" if caller else "callee",
            }
            return READY, stored._replace(fields={**stored.fields, **more})

        if self._change(call_id, from_tag, to_tag, ended):
            self._queued()

    # -- what the writer does

    def ready(self, limit: int) -> list[Ready]:
        """Records to be written, the oldest first."""
        found = []
        for key, version, _ in self._table.due(READY, inf, limit):
            stored = self._load(key, version)
            if stored is not None:
                found.append(Ready(key, version, line(stored.fields, stored.extra)))
        return found

    def written(self, record: Ready) -> bool:
        """It is where it belongs."""
        return int(without_waiting(lambda: self._table.delete(record.key, record.version))) > 0

    def settle(self, failed: Callable[[bytes], bool | None], limit: int = 256) -> tuple[int, float]:
        """Compares what is FAILED with its transactions: `failed(id)` True: it has failed, False: it has not, None:
        nobody knows, which counts as having failed. How many have not, and when to come again (inf: nothing waits)."""
        now, gone, following = self._wall(), 0, inf
        for key, version, made_at in self._table.due(FAILED, inf, limit):
            if now < made_at + SETTLE_SECS and made_at <= now:
                following = min(following, made_at + SETTLE_SECS)
                continue
            stored = self._load(key, version)
            if stored is None:
                continue
            if failed(stored.transaction) is False:
                gone += int(without_waiting(lambda: self._table.delete(key, version))) > 0  # noqa: B023
            else:
                self._commit(key, version, READY, stored, 0.0)
        return gone, following

    def sessions(self) -> int:
        """Calls that go on and will be written."""
        return len(self._table.owned(SESSION))

    def is_empty(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._table.due(READY, inf, 1) and not self._table.due(FAILED, inf, 1)

    # -- records

    def _session_key(self, call_id: bytes, one: bytes, other: bytes) -> bytes:
        first, second = sorted((one.lower(), other.lower()))
        name = b"%d:%b%d:%b%b" % (len(first), first, len(second), second, call_id)
        return record_key(self._hash_key, b"s", name)

    def _insert(self, key: bytes, state: int, stored: Stored, replaces: bool = False) -> bool:
        if self._waiting() >= self._most:
            self._lost()
            return False
        version = 0
        for _ in range(CONFLICT_TRIES):
            answer = self._commit(key, version, state, stored, 0.0)
            if answer > 0:
                if not version:
                    self._queued()
                return True
            if answer != CONFLICT:
                break
            if not replaces:
                return True
            found = self._read(key)
            version = 0 if found is None else found[0]
        self._lost()
        return False

    def _change(self, call_id: bytes, one: bytes, other: bytes, edit: Callable[[Stored], tuple[int, Stored]]) -> bool:
        """Whether there was a session."""
        key = self._session_key(call_id, one, other)
        for _ in range(CONFLICT_TRIES):
            head = self._table.head(key)
            if head is None or isinstance(head, int) or head.owner != SESSION:
                return False
            found = self._read(key)
            stored = None if found is None else _unpacked(found[1])
            if found is None or stored is None:
                return False
            if found[0] != head.version:
                continue
            state, changed = edit(stored)
            answer = self._commit(key, found[0], state, changed, head.expiry if state == SESSION else 0.0)
            if answer > 0:
                return True
            if answer != CONFLICT:
                break
        self._lost()
        return False

    def _read(self, key: bytes) -> tuple[int, bytes] | None:
        try:
            return read(self._table, key)
        except StoreError:
            return None

    def _load(self, key: bytes, version: int) -> Stored | None:
        """That version; what cannot be read is removed, for nobody could ever write it."""
        found = self._read(key)
        if found is None or found[0] != version:
            return None
        stored = _unpacked(found[1])
        if stored is None:
            self._table.delete(key, version)
        return stored

    def _commit(self, key: bytes, version: int, state: int, stored: Stored, until: float) -> int:
        value, now = pack([_VERSION, *stored]), self._wall()
        return int(
            without_waiting(
                lambda: self._table.commit(key, version, value, owner=state, next_deadline=now, expiry=until)
            )
        )


def stored_sessions(table: RecordTable) -> Iterator[dict[str, Any]]:
    """What is known of the calls that go on."""
    for key, _, _ in table.owned(SESSION):
        try:
            found = read(table, key)
        except StoreError:
            continue
        stored = None if found is None else _unpacked(found[1])
        if stored is not None:
            yield stored.fields


def _unpacked(value: bytes) -> Stored | None:
    try:
        return Stored(*unpack(value, _VERSION, _FIELDS)[1:])
    except (BadRecord, TypeError):
        return None
