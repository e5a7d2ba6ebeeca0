"""The location service: addresses of record in a table that all workers share.

A change is load, compute, compare-and-swap; who loses the race computes again on what the winner stored, so concurrent
REGISTERs are each applied whole and none loses another's contacts:

    worker 1: load v7              compute      commit 7 -> 8
    worker 2:          load v7     compute                     commit 7: conflict; load v8, compute, commit 8 -> 9

Nothing waits but for a mutex, a millisecond at a time (`services.store`). Expired bindings are invisible from their
second on; `end` deletes a record whose last binding has expired, which siphon/engine/sweeping.py finds. A record
without bindings (URIs or routes that a script stored) lives for `max_expires` after its last change.

While `tell` is set, somebody waits for `on_change`: what happened to the bindings is stored with the change itself
(`changes`), and `tell` is given the key of the record afterwards. That is a hint; `changed_keys` finds them all. While
it is None no event is kept.

`save` and `save_pending` answer with a RegisterResult whatever happens. The other calls raise StoreError
(a RuntimeError) when the table does not answer. Each REGISTER may touch two records: the address of record and a hint
for its contact (`index`), plus one for each alias and flow token: siphon/cli/memory.py makes room for them.
All times here are wall time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from shm.table import Table
from siphon.config.settings import Settings
from siphon.services.location._finding import Finding
from siphon.services.location._saves import PlainSaves
from siphon.services.location.accepted import Granted, prepare_accepted
from siphon.services.location.aor import Identity, address_of_record_of
from siphon.services.location.binding import AddressRecord, Binding
from siphon.services.location.changes import Changes, Event
from siphon.services.location.confirm import confirmed, put_aside
from siphon.services.location.facts import RegisterFacts
from siphon.services.location.index import Index, Kind
from siphon.services.location.records import Records, readable
from siphon.services.location.register import RegisterResult, change, prepare
from siphon.services.store import BUSY, CONFLICT_TRIES, FULL, RecordTable, StoreError, read
from siphon.state.store import Wait, when_all

RETRY_AFTER = "5"

Events = tuple[tuple[Event, Binding], ...]
Check = Callable[..., None]
Rewrite = Callable[[AddressRecord | None], RegisterResult]

_FULL = RegisterResult(503, "Location Table Full", (("Retry-After", RETRY_AFTER),))
_FAILED = RegisterResult(500, "Location Store Failed")
_DONE = RegisterResult(200, "OK")


class Change(NamedTuple):
    """An event that waits, with the bindings as they are now. `lost`: how many before it were left out; `runs`: how
    often it has been begun, this time included."""

    aor: str
    number: int
    event: Event
    bindings: list[Binding]
    lost: int = 0
    runs: int = 1


class Location:
    """The registrar's store. One for each process; everything it knows lies in `table`."""

    def __init__(
        self,
        table: RecordTable,
        identity: Identity,
        settings: Settings,
        hash_key: bytes,
        *,
        epoch: str | None = None,
        mirrors: bool = False,
    ) -> None:
        """`epoch` marks the bindings accepted here; it is the instance's id when not given. `mirrors`: the table only
        mirrors another store."""
        self.identity = identity  # whose addresses of record these are: for `register_facts`
        self.tell: Callable[[bytes], None] | None = None
        self.plain: PlainSaves | None = None
        """The short way of most REGISTERs."""
        self.finding: Finding | None = None
        """The same of most look-ups."""
        self._table = table
        self._hash_key = hash_key
        self._settings = settings.registrar
        self._epoch = settings.server.instance_id if epoch is None else epoch
        self._records = Records(table, hash_key, settings.registrar.max_expires, mirrors=mirrors)
        self._index = Index(table, hash_key, mirrors=mirrors)

    def shorten(self, check: Check | None = None) -> None:
        """Take the short ways, where the table is the truth itself; `check` compares REGISTERs with the long one."""
        self.plain = PlainSaves(self, self._hash_key, check)
        if isinstance(self._table, Table):
            self.finding = Finding(self._table, self._records)

    @property
    def damaged(self) -> int:
        """Records that this process could not read."""
        return self._records.damaged

    # -- what a REGISTER does

    def save(self, facts: RegisterFacts, wall: float) -> RegisterResult:
        """Apply a REGISTER: the answer to it. Anything but a 200 means that nothing has changed."""
        prepared = prepare(facts, self._settings)
        if isinstance(prepared, RegisterResult):
            return prepared
        return self._apply(facts, lambda old: change(old, prepared, self._settings, wall, self._epoch), wall)

    def _apply(self, facts: RegisterFacts, rewrite: Rewrite, wall: float) -> RegisterResult:
        """At once, or when what it rests on is confirmed: until then the answer is what would be stored now."""
        if not facts.after:
            return self._try(facts.aor, rewrite, wall)
        try:
            _, old = self._records.load(self._records.key(facts.aor), facts.aor)
        except StoreError:
            return _FAILED
        result = rewrite(old)
        if result.record is None:
            return result
        later = Wait()

        def store(agreed: bool) -> None:
            stored = self._try(facts.aor, rewrite, wall) if agreed else _FAILED
            if isinstance(stored.later, Wait):
                stored.later.then(later.resolve)
            else:
                later.resolve(stored)

        when_all(facts.after, store)
        return replace(result, later=later)

    def save_proxy(self, facts: RegisterFacts, granted: Granted, wall: float) -> RegisterResult:
        """Remember what another registrar has accepted; a result that is not ok means that a later CSeq is known.
        ValueError where the response names no lifetime, StoreError when it could not be stored."""
        prepared = prepare_accepted(facts, granted, self._settings)
        return self._change(
            facts.aor, lambda old: change(old, prepared, self._settings, wall, self._epoch, capped=False), wall
        )

    def save_pending(self, facts: RegisterFacts, wall: float) -> RegisterResult:
        """As save(), but what it changes is put aside until confirm()."""
        prepared = prepare(facts, self._settings)
        if isinstance(prepared, RegisterResult):
            return prepared
        return self._apply(facts, lambda old: put_aside(old, prepared, self._settings, wall, self._epoch), wall)

    def confirm(self, uri: object, wall: float) -> bool:
        """Apply what save_pending() has put aside; False when there is nothing, or nothing that still applies."""
        aor = address_of_record_of(uri)
        if aor is None:
            return False
        return self._change(aor, lambda old: confirmed(old, self._settings, wall, self._epoch), wall).ok

    def remove(self, uri: object, wall: float) -> Events:
        """Drop everything stored of an address of record; an event for each live binding there was."""
        aor = address_of_record_of(uri)
        if aor is None:
            return ()

        def rewrite(old: AddressRecord | None) -> RegisterResult:
            gone = tuple((Event.DEREGISTERED, b) for b in old.live(wall)) if old else ()
            return replace(_DONE, record=AddressRecord(aor, changes=old.changes if old else Changes()), events=gone)

        return self._change(aor, rewrite, wall).events

    def remove_binding(self, aor: str, stamp: tuple[str, str, int, float], wall: float) -> bool:
        """Drop one binding if it is still the one with that stamp; what else there is stays."""

        def rewrite(old: AddressRecord | None) -> RegisterResult:
            live = old.live(wall) if old is not None else []
            gone = tuple((Event.DEREGISTERED, b) for b in live if b.stamp == stamp)
            if old is None or not gone:
                return replace(_DONE, record=None)
            kept = tuple(b for b in old.bindings if b.is_live(wall) and b.stamp != stamp)
            return replace(_DONE, record=replace(old, bindings=kept, aliases=old.aliases if kept else ()), events=gone)

        return bool(self._change(aor, rewrite, wall).events)

    # -- look-ups

    def bound_keys(self, limit: int, cursor: int) -> tuple[list[bytes], int]:
        """Keys of records with bindings among the next `limit` of the table, and where to go on (0: that was all)."""
        return self._records.bound_keys(limit, cursor)

    def bindings_at(self, key: bytes, wall: float) -> tuple[str, list[Binding]]:
        """The address of record and the live bindings of a record."""
        record = self._records.peek(key)
        return ("", []) if record is None else (record.aor, record.live(wall))

    def lookup(self, uri: object, wall: float) -> list[Binding]:
        """Live bindings of an address of record or of an alias of one: highest q first, then the latest refreshed."""
        aor = address_of_record_of(uri)
        if aor is None:
            return []
        record = self._read(aor)
        live = [] if record is None else record.live(wall)
        return live or self._live_as_alias(aor, wall)

    def is_registered(self, uri: object, wall: float) -> bool:
        return bool(self.lookup(uri, wall))

    def lookup_contact(self, uri: object, wall: float) -> list[tuple[str, Binding]]:
        """(address of record, binding) of every live binding with this Contact URI, whosever it is."""
        wanted = address_of_record_of(uri)
        if wanted is None:
            return []
        found = (
            (aor, binding)
            for aor in self._index.find(Kind.CONTACT, wanted, wall)
            for binding in self._live(aor, wall)
            if address_of_record_of(binding.uri) == wanted
        )
        return sorted(found, key=lambda pair: -pair[1].refreshed)

    def lookup_by_token(self, token: str | None, wall: float) -> Binding | None:
        """The live binding saved with this flow token, the latest refreshed if there are several."""
        if token is None:
            return None
        hits = [
            binding
            for aor in self._index.find(Kind.TOKEN, token, wall)
            for binding in self._live(aor, wall)
            if binding.flow_token == token
        ]
        return max(hits, key=lambda binding: binding.refreshed, default=None)

    def count(self, wall: float) -> int:
        """Addresses of record with a live binding."""
        return self._records.bound(wall)

    def _live_as_alias(self, aor: str, wall: float) -> list[Binding]:
        """The live bindings of the address of record that this is an alias of."""
        for primary in self._index.find(Kind.ALIAS, aor, wall):
            other = self._read(primary)
            if other is not None and aor in other.aliases:
                return other.live(wall)
        return []

    def _live(self, aor: str, wall: float) -> list[Binding]:
        record = self._read(aor)
        return [] if record is None else record.live(wall)

    def _read(self, aor: str | None) -> AddressRecord | None:
        records = self._records
        return None if aor is None else records.load(records.key(aor), aor)[1]

    # -- what scripts store beside bindings

    def associated_uris(self, uri: object) -> list[str]:
        record = self._read(address_of_record_of(uri))
        return [] if record is None else list(record.associated_uris)

    def set_associated_uris(self, uri: object, uris: list[str], wall: float) -> None:
        self._edit(uri, lambda record: replace(record, associated_uris=tuple(uris)), wall)

    def service_routes(self, uri: object) -> list[str]:
        record = self._read(address_of_record_of(uri))
        return [] if record is None else list(record.service_routes)

    def set_service_routes(self, uri: object, routes: list[str], wall: float) -> None:
        self._edit(uri, lambda record: replace(record, service_routes=tuple(routes)), wall)

    def _edit(self, uri: object, edit: Callable[[AddressRecord], AddressRecord], wall: float) -> None:
        aor = address_of_record_of(uri)
        if aor is None:
            raise ValueError(f"{uri!s} is no address of record")
        self._change(aor, lambda old: replace(_DONE, record=edit(old or AddressRecord(aor)), adds=True), wall)

    # -- expiry and events

    def end(self, key: bytes, version: int, wall: float) -> tuple[str, Events] | None:
        """Delete a record whose last binding has expired: (address of record, its bindings); None where no binding was
        in it, or it is another version now. What was put aside and may still be confirmed stays, and so do events."""
        found = read(self._table, key)
        if found is None or found[0] != version:
            return None
        record = readable(found[1])
        if record is None:
            self._records.delete(key, version)
            return None
        if any(b.is_live(wall) for b in record.bindings):
            return None
        aor, last = record.aor, record.bindings
        pending = tuple(p for p in record.pending if p.is_live(wall))
        left = self._with_events(record, AddressRecord(aor, pending=pending, changes=record.changes), ())
        if self._records.store(key, version, left, wall, use_reserve=True) <= 0 or not last:
            return None
        self._told(key, left)
        return aor, tuple((Event.EXPIRED, b) for b in last)

    def changed_keys(self) -> list[bytes]:
        """Keys of all records in which events wait."""
        return self._records.changed()

    def begin_change(self, key: bytes, wall: float) -> Change | None:
        """The first event that waits in this record, which is about to be told."""
        lost = 0

        def begin(record: AddressRecord) -> AddressRecord:
            nonlocal lost
            lost = record.changes.lost
            return replace(record, changes=record.changes.begin())

        record = self._rewrite(key, begin, wall)
        if record is None:
            return None
        number, event = record.changes.waiting[0]
        return Change(record.aor, number, event, record.live(wall), lost, record.changes.begun)

    def delivered(self, key: bytes, number: int, wall: float) -> None:
        """Take this event, and what was before it, off the record."""
        self._rewrite(key, lambda record: replace(record, changes=record.changes.delivered(number)), wall)

    def _rewrite(
        self, key: bytes, rewrite: Callable[[AddressRecord], AddressRecord], wall: float
    ) -> AddressRecord | None:
        """What is stored then of a record in which events wait; None when none do."""
        for _ in range(CONFLICT_TRIES):
            version, record = self._records.load(key)
            if record is None or not record.changes.waiting:
                return None
            new = rewrite(record)
            answer = self._records.store(key, version, new, wall, use_reserve=True)
            if answer > 0:
                return new
            if answer in (FULL, BUSY):
                break
        raise StoreError("the location table did not answer in time")

    # -- changing a record

    def _try(self, aor: str, rewrite: Rewrite, wall: float) -> RegisterResult:
        """`_change` as the answer to a REGISTER."""
        try:
            return self._change(aor, rewrite, wall, raises=False)
        except StoreError:
            return _FAILED

    def _change(self, aor: str, rewrite: Rewrite, wall: float, *, raises: bool = True) -> RegisterResult:
        """Store what `rewrite` makes of the record; a result without record changes nothing."""
        key = self._records.key(aor)
        for _ in range(CONFLICT_TRIES):
            version, old = self._records.load(key, aor)
            result = rewrite(old)
            if result.record is None:
                return result
            answer = FULL
            if self._hint(result, aor, wall):
                new = self._with_events(old, result.record, result.events)
                answer = self._records.store(key, version, new, wall, use_reserve=not result.adds)
            if answer > 0:
                self._told(key, new)
                return result
            if answer == FULL and not raises:
                return _FULL
            if answer in (FULL, BUSY):
                break
        raise StoreError("the location table is full (shared.max_bindings) or did not answer in time")

    def _with_events(self, old: AddressRecord | None, new: AddressRecord, events: Events) -> AddressRecord:
        """`new` with what has happened since `old`. Who takes the last bindings away after they have expired does the
        sweep's work."""
        if self.tell is None:
            return replace(new, changes=Changes()) if new.changes.waiting else new
        kinds = [event for event, _ in events]
        if not kinds and old is not None and old.bindings and not new.bindings:
            kinds = [Event.EXPIRED]
        return replace(new, changes=new.changes.add(kinds)) if kinds else new

    def _told(self, key: bytes, stored: AddressRecord) -> None:
        if self.tell is not None and stored.changes.waiting:
            self.tell(key)

    def _hint(self, result: RegisterResult, aor: str, wall: float) -> bool:
        """Write the ways that lead to what is about to be stored; False when the table is full."""
        written = result.written
        ways = [(Kind.CONTACT, address_of_record_of(b.uri), b.expiry) for b in written]
        ways += [(Kind.TOKEN, b.flow_token, b.expiry) for b in written]
        last = max((b.expiry for b in written), default=0.0)
        if last and result.record is not None:
            ways += [(Kind.ALIAS, alias, last) for alias in result.record.aliases]
        return all(
            self._index.point(kind, name, aor, wall, until, is_new=result.adds) for kind, name, until in ways if name
        )
