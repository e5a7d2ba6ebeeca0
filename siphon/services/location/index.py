"""Ways to an address of record from something else: an alias, a contact's URI, a flow token.

Each is a small record in the same table: a list of addresses of record with the wall time until which each may be
there. They are hints. Whoever follows one looks into the record itself, so a hint that is out of date costs a look-up
and shows nothing that is not so. They are written *before* the record that they point to, so that a worker's death
between the two leaves a hint too many, never a binding that cannot be found:

    worker: hint t -> alice      (dies here: the hint leads to a record without t: no answer)
    worker: record of alice with t

Knowingly imperfect: a hint outlives a binding that was removed until its time is over; at most MOST addresses of
record share one hint (one contact registered under more of them is not found under those that expire first); a hint
that must be prolonged while the table is full is not, so a binding refreshed on a full table may be missing from
`lookup_contact` and `lookup_by_token` once the old hint is over. `lookup` is not concerned.
"""

from __future__ import annotations

from enum import Enum

from siphon.services.store import (
    BUSY,
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

MOST = 32
_VERSION = 1
OWNER = 1
DAY_SECS = 86400.0


class Kind(Enum):
    """What leads to an address of record; the value is part of the key."""

    ALIAS = b"a"
    CONTACT = b"c"
    TOKEN = b"t"


class Index:
    """Hints in the table of location. `hash_key` keys the table's keys. `mirrors`: their times are those of another
    clock, so the table keeps them for a day more."""

    def __init__(self, table: RecordTable, hash_key: bytes, *, mirrors: bool = False) -> None:
        self._grace = DAY_SECS if mirrors else 0.0
        self._table = table
        self._hash_key = hash_key

    def find(self, kind: Kind, name: str, wall: float) -> list[str]:
        """The addresses of record that this may lead to, the last one written first."""
        found = read(self._table, self._key(kind, name))
        return [] if found is None else [aor for aor, until in reversed(_entries(found[1])) if until > wall]

    def point(self, kind: Kind, name: str, aor: str, wall: float, until: float, *, is_new: bool) -> bool:
        """Make `name` lead to `aor` until then. False: the table is full (never when it led there already)."""
        key = self._key(kind, name)
        for _ in range(CONFLICT_TRIES):
            version, data = read(self._table, key) or (0, b"")
            entries = [entry for entry in _entries(data) if entry[1] > wall]
            before = next((end for known, end in entries if known == aor), 0.0)
            if before >= until:
                return True
            answer = self._commit(key, version, _with(entries, aor, until + (until - wall) / 2), is_new and not before)
            if answer == FULL:
                return not is_new or before > 0.0
            if answer > 0:
                return True
        raise StoreError("a hint of the location table kept changing")

    def _commit(self, key: bytes, version: int, entries: list[tuple[str, float]], is_new: bool) -> int:
        value = pack([_VERSION, entries])
        expiry = max(until for _, until in entries) + self._grace
        answer = without_waiting(
            lambda: self._table.commit(key, version, value, owner=OWNER, expiry=expiry, use_reserve=not is_new)
        )
        if answer == BUSY:
            raise StoreError("the shared table did not answer in time")
        return answer

    def _key(self, kind: Kind, name: str) -> bytes:
        return record_key(self._hash_key, kind.value, name.encode("utf-8", "surrogateescape"))


def _with(entries: list[tuple[str, float]], aor: str, until: float) -> list[tuple[str, float]]:
    others = [entry for entry in entries if entry[0] != aor]
    if len(others) >= MOST:
        others.remove(min(others, key=lambda entry: entry[1]))
    return [*others, (aor, until)]


def _entries(data: bytes) -> list[tuple[str, float]]:
    """The entries of a hint; one that cannot be read has none, and is replaced when it is written next."""
    try:
        entries = unpack(data, _VERSION, 2)[1] if data else []
    except BadRecord:
        return []
    well_formed = type(entries) is list and all(
        type(e) is list and len(e) == 2 and type(e[0]) is str and type(e[1]) is float for e in entries
    )
    return [(aor, until) for aor, until in entries] if well_formed else []
