"""Addresses of record in the table: load, store and the marks by which scans find them.

A record is marked by its owner: BOUND has bindings, BARE has none (URIs or routes that a script stored, REGISTERs to be
confirmed), CHANGED has events that `on_change` has not been told of yet, whatever else it has. Its deadline is the time
at which the sweep must look at it: the expiry of its last binding, or the end of what a BARE one keeps; a CHANGED one
without bindings has none. The table's own expiry comes SWEEP_GRACE_SECS later, in case nobody sweeps, and
CHANGED_SECS later where events wait.

A record that cannot be read is counted in `damaged`, reads as absent, and is replaced by the next REGISTER.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from siphon.services.location.aor import CACHED_LENGTH
from siphon.services.location.binding import AddressRecord
from siphon.services.location.changes import Changes
from siphon.services.location.pending import PENDING_SECS
from siphon.services.store import FULL, RECORD_LIMIT, BadRecord, RecordTable, read, record_key, without_waiting

BOUND = 0
CHANGED = 2  # 1 marks the hints of siphon/services/location/index.py
BARE = 3
SWEEP_GRACE_SECS = 300.0
CHANGED_SECS = 3600.0
HEADERS = 16384  # a millisecond at most
DECODED = 2048  # records that a process keeps decoded; then it forgets them all
KEYS = 2048  # as many keys of addresses of record of usual length


class _Mark(NamedTuple):
    owner: int
    deadline: float
    expiry: float


class Records:
    """Every address of record by its key. `hash_key` keys the table's keys; `bare_secs` is the life of a BARE one.
    `mirrors`: the truth is elsewhere, and only who follows it removes records."""

    def __init__(self, table: RecordTable, hash_key: bytes, bare_secs: float, *, mirrors: bool = False) -> None:
        self.damaged = 0
        self.table = table
        self._hash_key = hash_key
        self._bare_secs = bare_secs
        self._mirrors = mirrors
        self._decoded: dict[bytes, tuple[int, AddressRecord]] = {}
        self._keys: dict[str, bytes] = {}

    def key(self, aor: str) -> bytes:
        """The key of an address of record in its canonical form."""
        known = self._keys.get(aor)
        if known is not None:
            return known
        key = record_key(self._hash_key, b"r", aor.encode("utf-8", "surrogateescape"))
        if len(aor) <= CACHED_LENGTH:
            if len(self._keys) >= KEYS:
                self._keys.clear()
            self._keys[aor] = key
        return key

    def load(self, key: bytes, aor: str | None = None) -> tuple[int, AddressRecord | None]:
        """(version, record) for a compare-and-swap, version 0 for none; a damaged record, or one of another address of
        record than `aor`, has a version and no content. StoreError when the table does not answer.

        Decoded records are kept by version, which is never reused: a header tells whether one still holds.
        """
        known = self._decoded.get(key)
        if known is not None:
            head = self.table.head(key)
            if head is None:
                return 0, None
            if not isinstance(head, int) and known[0] == head.version:
                return known
        found = read(self.table, key)
        if found is None:
            return 0, None
        record = readable(found[1])
        if record is None or (record.aor != aor if aor is not None else self.key(record.aor) != key):
            self.damaged += 1
            return found[0], None
        if len(self._decoded) >= DECODED:
            self._decoded.clear()
        self._decoded[key] = found[0], record
        return found[0], record

    def bound_keys(self, limit: int, cursor: int) -> tuple[list[bytes], int]:
        """Which of the next `limit` records of the table have bindings, and where to go on (0: that was all). It looks
        at HEADERS places of a sparse table at most."""
        keys, cursor = self.table.keys(limit, cursor, HEADERS)
        return [key for key in keys if self._may_be_bound(key)], cursor

    def _may_be_bound(self, key: bytes) -> bool:
        head = self.table.head(key)
        return head is not None and (isinstance(head, int) or head.owner in (BOUND, CHANGED))

    def peek(self, key: bytes) -> AddressRecord | None:
        """The record; it is not kept decoded, since who goes through all of them would drive out what is used."""
        found = read(self.table, key)
        return None if found is None else readable(found[1])

    def store(self, key: bytes, version: int, record: AddressRecord, wall: float, *, use_reserve: bool) -> int:
        """The new version, 1 for a record that is gone because it was empty, CONFLICT, FULL or BUSY."""
        if record.is_empty:
            return self.delete(key, version) if version else 1
        value = record.to_bytes()
        if len(value) > RECORD_LIMIT:
            return FULL
        return self._commit(key, version, value, self._mark(record, wall), use_reserve=use_reserve)

    def _commit(self, key: bytes, version: int, value: bytes, mark: _Mark, *, use_reserve: bool) -> int:
        return without_waiting(
            lambda: self.table.commit(
                key,
                version,
                value,
                owner=mark.owner,
                next_deadline=mark.deadline,
                expiry=0.0 if self._mirrors else mark.expiry,
                use_reserve=use_reserve,
            )
        )

    def until(self, record: AddressRecord, wall: float) -> float:
        """When the sweep must look at it."""
        return self._mark(replace(record, changes=Changes()), wall).deadline

    def restore(self, key: bytes, record: AddressRecord, value: bytes, deadline: float, wall: float) -> int:
        """As store() of what is not there yet, `value` being the record packed. One without bindings lives no longer
        than it would have."""
        mark = self._mark(record, wall)
        if mark.owner == BARE and not record.pending:
            mark = _Mark(BARE, deadline, deadline + SWEEP_GRACE_SECS)
        return self._commit(key, 0, value, mark, use_reserve=False)

    def _mark(self, record: AddressRecord, wall: float) -> _Mark:
        if record.bindings:
            until = deadline = max(b.expiry for b in record.bindings)
        elif record.associated_uris or record.service_routes:
            until = deadline = wall + self._bare_secs
        else:
            until = deadline = max((p.wall for p in record.pending), default=wall) + PENDING_SECS
        if not record.changes.waiting:
            return _Mark(BOUND if record.bindings else BARE, deadline, until + SWEEP_GRACE_SECS)
        expiry = max(until + SWEEP_GRACE_SECS, wall + CHANGED_SECS)
        return _Mark(CHANGED, deadline if record.bindings else 0.0, expiry)

    def delete(self, key: bytes, version: int) -> int:
        """1, CONFLICT or BUSY."""
        return without_waiting(lambda: self.table.delete(key, version))

    def changed(self) -> list[bytes]:
        """Keys of the records in which events wait: one sweep over the table's headers."""
        return [key for key, _, _ in self.table.owned(CHANGED)]

    def bound(self, wall: float) -> int:
        """How many have a live binding: one sweep over the table's headers."""
        return sum(until > wall for owner in (BOUND, CHANGED) for _, _, until in self.table.owned(owner))


def readable(data: bytes) -> AddressRecord | None:
    """The record, None where it is damaged."""
    try:
        return AddressRecord.from_bytes(data)
    except BadRecord:
        return None
