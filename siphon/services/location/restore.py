"""Puts addresses of record that were kept elsewhere into an empty table.

In: the bytes of a record as they lay in a former table, and its deadline there. They are not trusted. Keys and hints
are made anew from what is in the record, since they depend on the secret. What has expired by wall time is left out;
where somebody waits for `on_change`, it is told of what expired meanwhile. Of one address of record the first that
comes stays, so the latest change is to come first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from enum import Enum

from siphon.services.location.aor import address_of_record_of
from siphon.services.location.binding import AddressRecord, Binding
from siphon.services.location.changes import Changes, Event
from siphon.services.location.index import Index, Kind
from siphon.services.location.records import Records, readable
from siphon.services.store import BUSY, FULL, RecordTable, StoreError


class Fate(Enum):
    """What became of a record."""

    BACK = "back"
    EXPIRED = "expired"
    KNOWN = "known"  # the table has this address of record already
    NO_ROOM = "no room"
    DAMAGED = "damaged"


class Restoration:
    """One refilling of one table. `records` counts fates, `bindings` the live bindings that are back."""

    def __init__(self, table: RecordTable, hash_key: bytes, bare_secs: float, tells_changes: bool) -> None:
        self.records: Counter[Fate] = Counter()
        self.bindings = 0
        self._kept = Records(table, hash_key, bare_secs)
        self._index = Index(table, hash_key)
        self._tells_changes = tells_changes

    def put(self, value: bytes, deadline: float, wall: float) -> Fate:
        """One record."""
        fate = self._put(value, deadline, wall)
        self.records[fate] += 1
        return fate

    def _put(self, value: bytes, deadline: float, wall: float) -> Fate:
        found = readable(value)
        if found is None:
            return Fate.DAMAGED
        record = self._remains(found, deadline, wall)
        if record.is_empty:
            return Fate.EXPIRED
        try:
            has_room = all(self._point(record, binding, wall) for binding in record.bindings)
            data = value if record is found else record.to_bytes()
            answer = self._kept.restore(self._kept.key(record.aor), record, data, deadline, wall) if has_room else FULL
        except StoreError:
            answer = BUSY
        if answer > 0:
            self.bindings += len(record.bindings)
            return Fate.BACK
        return Fate.NO_ROOM if answer in (FULL, BUSY) else Fate.KNOWN

    def _remains(self, record: AddressRecord, deadline: float, wall: float) -> AddressRecord:
        """What is left of it now: mostly all."""
        whole = record.bindings and not record.pending and not record.changes.waiting
        if whole and all(b.is_live(wall) for b in record.bindings):
            return record
        bindings = tuple(b for b in record.bindings if b.is_live(wall))
        changes = record.changes if self._tells_changes else Changes()
        if record.bindings and not bindings and self._tells_changes:
            changes = changes.add([Event.EXPIRED])
        outlived = not bindings and (record.bindings or deadline <= wall)
        return replace(
            record,
            bindings=bindings,
            aliases=record.aliases if bindings else (),
            associated_uris=() if outlived else record.associated_uris,
            service_routes=() if outlived else record.service_routes,
            pending=tuple(p for p in record.pending if p.is_live(wall)),
            changes=changes,
        )

    def _point(self, record: AddressRecord, binding: Binding, wall: float) -> bool:
        """The ways that lead to a binding; False when the table is full."""
        ways = [(Kind.CONTACT, address_of_record_of(binding.uri)), (Kind.TOKEN, binding.flow_token)]
        ways += [(Kind.ALIAS, alias) for alias in record.aliases]
        return all(
            self._index.point(kind, name, record.aor, wall, binding.expiry, is_new=True) for kind, name in ways if name
        )
