"""What is known of an address of record, and its form in the store.

An `AddressRecord` is a value: nobody changes one, a change makes another. It is stored as one msgpack array of fixed
length whose first element is the version of the format. Bytes from the store are not trusted: every field's type is
checked, BadRecord says what is wrong, and nothing is evaluated. Text that a peer sent in another encoding than UTF-8
passes through unchanged (surrogates). Times are wall time, since bindings outlive the machine's uptime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from siphon.services.location.changes import Changes, changes_of
from siphon.services.location.pending import MOST as MOST_PENDING
from siphon.services.location.pending import Pending, pending_of
from siphon.services.store import BadRecord, pack, unpack

VERSION = 2
"""Version 1 had neither `pending` nor `changes`; such records are still read."""
LATEST = 1e11  # seconds since the epoch, beyond every time that we store
_FIELDS = 8
_STORED = b"\x01"
"""Begins what mirrors a record of another store: its version there follows, eight bytes, then the record."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of an address of record, with everything that a later request needs to reach it."""

    uri: str  # as sent, with URI parameters
    q: float
    params: tuple[tuple[str, str | None], ...]  # other Contact parameters as sent, in order, without q and expires
    instance: str | None  # the value of +sip.instance, quotes taken off
    reg_id: str | None
    call_id: str
    cseq: int
    expiry: float
    refreshed: float
    path: tuple[str, ...]
    transport: str
    source: tuple[str, int]  # where the REGISTER was observed to come from
    local: tuple[str, int]  # the address of ours that it was sent to
    behind_nat: bool
    flow_token: str | None
    transaction: bytes  # id of the transaction that last wrote this binding
    epoch: str  # start id of the instance that accepted it

    @property
    def stamp(self) -> tuple[str, str, int, float]:
        """Tells this binding from the one that a later REGISTER makes of it."""
        return self.uri, self.call_id, self.cseq, self.refreshed

    def is_live(self, wall: float) -> bool:
        return self.expiry > wall

    def remaining(self, wall: float) -> int:
        """Whole seconds left, at least 1 while the binding lives."""
        return max(1, round(self.expiry - wall))

    def age(self, wall: float) -> int:
        return max(0, int(wall - self.refreshed))


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """Everything stored of one address of record. `pending` are REGISTERs to be confirmed, `changes` what `on_change`
    has still to be told."""

    aor: str
    bindings: tuple[Binding, ...] = ()
    aliases: tuple[str, ...] = ()
    associated_uris: tuple[str, ...] = ()
    service_routes: tuple[str, ...] = ()
    pending: tuple[Pending, ...] = ()
    changes: Changes = Changes()
    stored: int = 0

    @property
    def is_empty(self) -> bool:
        kept = self.bindings or self.associated_uris or self.service_routes or self.pending
        return not (kept or self.changes.waiting)

    def live(self, wall: float) -> list[Binding]:
        """Live bindings, by q descending, then the most recently refreshed first."""
        bindings = self.bindings
        if len(bindings) == 1:
            return [bindings[0]] if bindings[0].expiry > wall else []
        live = [b for b in bindings if b.expiry > wall]
        if len(live) > 1:
            live.sort(key=lambda b: (-b.q, -b.refreshed))
        return live

    def to_bytes(self) -> bytes:
        bindings = [_flat(b) for b in self.bindings]
        pending = [p.flat() for p in self.pending]
        texts = (self.aliases, self.associated_uris, self.service_routes)
        packed = pack([VERSION, self.aor, bindings, *texts, pending, self.changes.flat()])
        return packed if not self.stored else _STORED + self.stored.to_bytes(8) + packed

    @classmethod
    def from_bytes(cls, data: bytes) -> AddressRecord:
        """BadRecord for anything that `to_bytes` of this release or of version 1 has not made."""
        stored = stored_version(data)
        if stored:
            data = data[9:]
        _, aor, bindings, aliases, associated, routes, pending, changes = _fields_of(data)
        if type(aor) is not str or type(bindings) is not list or type(pending) is not list:
            raise BadRecord("address of record or bindings")
        if len(pending) > MOST_PENDING:
            raise BadRecord("number of pending requests")
        texts = (_texts(aliases), _texts(associated), _texts(routes))
        return cls(
            aor, tuple(map(_binding, bindings)), *texts, tuple(map(pending_of, pending)), changes_of(changes), stored
        )


def stored_version(data: bytes) -> int:
    """The version in the store that a record mirrors, 0 where it is of none."""
    return int.from_bytes(data[1:9]) if data[:1] == _STORED and len(data) > 9 else 0


def _fields_of(data: bytes) -> list[Any]:
    if data[1:2] == b"\x01":
        return [*unpack(data, 1, _FIELDS - 2), [], Changes().flat()]
    return unpack(data, VERSION, _FIELDS)


def _flat(b: Binding) -> list[Any]:
    return [
        b.uri,
        b.q,
        b.params,
        b.instance,
        b.reg_id,
        b.call_id,
        b.cseq,
        b.expiry,
        b.refreshed,
        b.path,
        b.transport,
        *b.source,
        *b.local,
        b.behind_nat,
        b.flow_token,
        b.transaction,
        b.epoch,
    ]


_TEXT, _MAYBE_TEXT, _NUMBER, _WHOLE, _LIST = (str,), (str, type(None)), (float,), (int,), (list,)
_TYPES: tuple[tuple[type, ...], ...] = (
    *(_TEXT, _NUMBER, _LIST, _MAYBE_TEXT, _MAYBE_TEXT, _TEXT, _WHOLE, _NUMBER, _NUMBER, _LIST, _TEXT),
    *(_TEXT, _WHOLE, _TEXT, _WHOLE, (bool,), _MAYBE_TEXT, (bytes,), _TEXT),
)


def _binding(fields: object) -> Binding:
    if type(fields) is not list or len(fields) != len(_TYPES):
        raise BadRecord("shape of a binding")
    for value, types in zip(fields, _TYPES, strict=True):
        if type(value) not in types:
            raise BadRecord(f"{type(value).__name__} in a binding")
    uri, q, params, instance, reg_id, call_id, cseq, expiry, refreshed, path, transport = fields[:11]
    source, local = (fields[11], fields[12]), (fields[13], fields[14])
    sound = 0.0 <= q <= 1.0 and 0.0 <= expiry <= LATEST and 0.0 <= refreshed <= LATEST
    if not (sound and 0 <= source[1] <= 65535 and 0 <= local[1] <= 65535):
        raise BadRecord("number in a binding")
    texts = (instance, reg_id, call_id, cseq, expiry, refreshed, _texts(path), transport)
    return Binding(uri, q, tuple(map(_param, params)), *texts, source, local, *fields[15:])


def _param(value: object) -> tuple[str, str | None]:
    if type(value) is not list or len(value) != 2 or type(value[0]) is not str or type(value[1]) not in _MAYBE_TEXT:
        raise BadRecord("parameter of a binding")
    return value[0], value[1]


def _texts(value: object) -> tuple[str, ...]:
    if type(value) is not list or any(type(text) is not str for text in value):
        raise BadRecord("list of texts")
    return tuple(value)
