"""The location service: addresses of record in a table that all workers share.

A change is load, compute, compare-and-swap; who loses the race computes again on what the winner stored, so concurrent
REGISTERs are each applied whole and none loses another's contacts:

    worker 1: load v7              compute      commit 7 -> 8
    worker 2:          load v7     compute                     commit 7: conflict; load v8, compute, commit 8 -> 9

Nothing waits but for a mutex, a millisecond at a time (`services.store`). A record that cannot be read is counted in
`damaged`, reads as absent, and is replaced by the next REGISTER. Expired bindings are invisible from their second on;
`sweep` deletes records whose last binding has expired and tells which. A record without bindings (URIs or routes that
a script stored) lives for `max_expires` after its last change.

Records are owned by OWNER and carry the expiry of their last binding as deadline, which is what `sweep` looks for; the
table's own expiry comes SWEEP_GRACE_SECS later, in case nobody sweeps. All times here are wall time.

`save` answers with a RegisterResult whatever happens. The other calls raise StoreError (a RuntimeError) when the table
does not answer. Each REGISTER may touch two records: the address of record and a hint for its contact (`index`), plus
one for each alias and flow token: a table for N bindings wants room for 3 N records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from siphon.config.settings import Settings
from siphon.services.location.aor import Identity, address_of_record_of
from siphon.services.location.binding import AddressRecord, Binding
from siphon.services.location.facts import RegisterFacts
from siphon.services.location.index import Index, Kind
from siphon.services.location.register import Event, Prepared, RegisterResult, change, prepare
from siphon.services.store import (
    BUSY,
    CONFLICT_TRIES,
    FULL,
    RECORD_LIMIT,
    BadRecord,
    RecordTable,
    StoreError,
    read,
    record_key,
    without_waiting,
)

OWNER = 0
SWEEP_GRACE_SECS = 300
DECODED = 2048  # records that a process keeps decoded; then it forgets them all
RETRY_AFTER = "5"

Events = tuple[tuple[Event, Binding], ...]

_FULL = RegisterResult(503, "Location Table Full", (("Retry-After", RETRY_AFTER),))
_FAILED = RegisterResult(500, "Location Store Failed")


class Location:
    """The registrar's store. One for each process; everything it knows lies in `table`."""

    def __init__(
        self, table: RecordTable, identity: Identity, settings: Settings, hash_key: bytes, *, epoch: str | None = None
    ) -> None:
        """`epoch` marks the bindings accepted here; it is the instance's id when not given."""
        self.damaged = 0
        self.identity = identity  # whose addresses of record these are: for `register_facts`
        self._table = table
        self._settings = settings.registrar
        self._hash_key = hash_key
        self._epoch = settings.server.instance_id if epoch is None else epoch
        self._index = Index(table, hash_key)
        self._decoded: dict[bytes, tuple[int, AddressRecord]] = {}

    def save(self, facts: RegisterFacts, wall: float) -> RegisterResult:
        """Apply a REGISTER: the answer to it. Anything but a 200 means that nothing has changed."""
        prepared = prepare(facts, self._settings)
        if isinstance(prepared, RegisterResult):
            return prepared
        try:
            return self._save(prepared, wall)
        except StoreError:
            return _FAILED

    def lookup(self, uri: object, wall: float) -> list[Binding]:
        """Live bindings of an address of record or of an alias of one: highest q first, then the latest refreshed."""
        record = self._resolve(uri, wall)
        return [] if record is None else record.live(wall)

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

    def remove(self, uri: object, wall: float) -> Events:
        """Drop everything stored of an address of record; an event for each live binding there was."""
        aor = address_of_record_of(uri)
        if aor is None:
            return ()
        key = self._key(aor)
        for _ in range(CONFLICT_TRIES):
            version, record = self._load(key, aor)
            if not version:
                return ()
            answer = self._delete(key, version)
            if answer == 1:
                return tuple((Event.DEREGISTERED, b) for b in record.live(wall)) if record else ()
            if answer == BUSY:
                break
        raise StoreError("the shared table did not answer in time")

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

    def records(self) -> Iterator[AddressRecord]:
        """Every readable address of record, in no order; for counts, status and sweeps, not for the hot path."""
        cursor = 0
        while True:
            keys, cursor = self._table.keys(1000, cursor)
            for key in keys:
                found = read(self._table, key)
                record = None if found is None else _readable(found[1])
                if record is not None and self._key(record.aor) == key:
                    yield record
            if not cursor:
                return

    def count(self, wall: float) -> int:
        """Addresses of record with a live binding."""
        return sum(any(b.is_live(wall) for b in record.bindings) for record in self.records())

    def sweep(self, wall: float, limit: int = 1000) -> list[tuple[str, Events]]:
        """Delete up to `limit` records whose last binding has expired: (address of record, its last bindings)."""
        gone: list[tuple[str, Events]] = []
        for key, version, _ in self._table.due(OWNER, wall, limit):
            found = read(self._table, key)
            if found is None or found[0] != version:
                continue
            record = _readable(found[1])
            if record is not None and any(b.is_live(wall) for b in record.bindings):
                continue
            if self._table.delete(key, version) == 1 and record is not None and record.bindings:
                gone.append((record.aor, tuple((Event.EXPIRED, b) for b in record.bindings)))
        self._table.expire(wall, limit)
        return gone

    def _save(self, prepared: Prepared, wall: float) -> RegisterResult:
        facts = prepared.facts
        key = self._key(facts.aor)
        for _ in range(CONFLICT_TRIES):
            version, record = self._load(key, facts.aor)
            result = change(record, prepared, self._settings, wall, self._epoch)
            if result.record is None:
                return result
            if not self._hint(result, facts, wall):
                return _FULL
            answer = self._store(key, version, result.record, wall, use_reserve=not result.adds)
            if answer == FULL:
                return _FULL
            if answer == BUSY:
                break
            if answer > 0:
                return result
        return _FAILED

    def _hint(self, result: RegisterResult, facts: RegisterFacts, wall: float) -> bool:
        """Write the ways that lead to what is about to be stored; False when the table is full."""
        written = [b for event, b in result.events if event in (Event.REGISTERED, Event.REFRESHED)]
        ways = [(Kind.CONTACT, address_of_record_of(b.uri), b.expiry) for b in written]
        ways += [(Kind.TOKEN, b.flow_token, b.expiry) for b in written]
        last = max((b.expiry for b in written), default=0.0)
        if last and result.record is not None:
            ways += [(Kind.ALIAS, alias, last) for alias in result.record.aliases]
        return all(
            self._index.point(kind, name, facts.aor, wall, until, is_new=result.adds)
            for kind, name, until in ways
            if name
        )

    def _resolve(self, uri: object, wall: float) -> AddressRecord | None:
        aor = address_of_record_of(uri)
        record = self._read(aor)
        if aor is None or (record is not None and any(b.is_live(wall) for b in record.bindings)):
            return record
        for primary in self._index.find(Kind.ALIAS, aor, wall):
            other = self._read(primary)
            if other is not None and aor in other.aliases:
                return other
        return record

    def _live(self, aor: str, wall: float) -> list[Binding]:
        record = self._read(aor)
        return [] if record is None else record.live(wall)

    def _read(self, aor: str | None) -> AddressRecord | None:
        return None if aor is None else self._load(self._key(aor), aor)[1]

    def _load(self, key: bytes, aor: str) -> tuple[int, AddressRecord | None]:
        """(version, record) for a compare-and-swap; a damaged record has a version and no content.

        Decoded records are kept by version, which is never reused: a header tells whether one still holds.
        """
        head = self._table.head(key)
        if head is None:
            return 0, None
        known = self._decoded.get(key)
        if known is not None and not isinstance(head, int) and known[0] == head.version:
            return known
        found = read(self._table, key)
        if found is None:
            return 0, None
        record = _readable(found[1])
        if record is None or record.aor != aor:
            self.damaged += 1
            return found[0], None
        if len(self._decoded) >= DECODED:
            self._decoded.clear()
        self._decoded[key] = found[0], record
        return found[0], record

    def _store(self, key: bytes, version: int, record: AddressRecord, wall: float, *, use_reserve: bool) -> int:
        if record.is_empty:
            return self._delete(key, version) if version else 1
        last = max((b.expiry for b in record.bindings), default=wall + self._settings.max_expires)
        value = record.to_bytes()
        if len(value) > RECORD_LIMIT:
            return FULL
        return without_waiting(
            lambda: self._table.commit(
                key,
                version,
                value,
                owner=OWNER,
                next_deadline=last,
                expiry=last + SWEEP_GRACE_SECS,
                use_reserve=use_reserve,
            )
        )

    def _delete(self, key: bytes, version: int) -> int:
        return without_waiting(lambda: self._table.delete(key, version))

    def _edit(self, uri: object, edit: Callable[[AddressRecord], AddressRecord], wall: float) -> None:
        aor = address_of_record_of(uri)
        if aor is None:
            raise ValueError(f"{uri!s} is no address of record")
        key = self._key(aor)
        for _ in range(CONFLICT_TRIES):
            version, record = self._load(key, aor)
            answer = self._store(key, version, edit(record or AddressRecord(aor)), wall, use_reserve=False)
            if answer > 0:
                return
            if answer in (FULL, BUSY):
                break
        raise StoreError("the location table is full or did not answer in time")

    def _key(self, aor: str) -> bytes:
        return record_key(self._hash_key, b"r", aor.encode("utf-8", "surrogateescape"))


def _readable(data: bytes) -> AddressRecord | None:
    try:
        return AddressRecord.from_bytes(data)
    except BadRecord:
        return None
