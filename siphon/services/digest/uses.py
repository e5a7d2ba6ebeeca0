"""Which nonces have been used, up to which count: one small record a nonce, in a table that all workers share.

A nonce count must exceed the highest one accepted so far by any worker (RFC 7616 §3.4.6). Gaps are fine. The record is
made by the first success, so somebody without a password cannot fill the table. It also remembers which transactions
it accepted in the last REPEAT_SECS, because a handler may check the same request again, or be run again after the
death of its worker; that is the same use. At most KEPT of them: a peer that makes more requests than that within
REPEAT_SECS on one nonce may, after a worker's death, be asked to log in once more.

When the table is full the oldest nonces go, and a *floor* remembers of what age they were: a nonce without a record
that is not younger than the floor counts as expired. The floor is committed before anything is deleted:

    worker 1: raises the floor to t, deletes records of nonces made before t      worker 2: checks a nonce made at t - 1
    any order of the two: worker 2 finds the record (and its count), or no record and the floor. Never neither.

Once in the life of a table, when it is full and has no floor yet, one record has to make room for the floor itself.
"""

from __future__ import annotations

import struct
from enum import Enum
from hashlib import blake2b

from siphon.services.digest.nonce import FUTURE_SECS
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

REPEAT_SECS = 32  # 64 * T1
KEPT = 128
ONCE = 1 << 32  # the count of a use without qop: above every count that a client can send
EVICT = 256  # records that go at once when the table is full
VERSION = 1
NONCE_OWNER = 0  # owner of the records of nonces
_FLOOR = 1  # owner of the floor's record
_ACCEPTED = struct.Struct(">8sI")  # hash of a transaction's id, second of its acceptance


class Use(Enum):
    """What became of a use: accepted, or not to be accepted again."""

    ACCEPTED = 1
    REPLAYED = 2


class NonceUses:
    """The shared record of nonce counts. `hash_key` keys the table's keys, `ttl` is the life of a nonce."""

    def __init__(self, table: RecordTable, hash_key: bytes, ttl: float) -> None:
        self._table = table
        self._hash_key = hash_key
        self._ttl = ttl
        self._floor_key = record_key(hash_key, b"f", b"")

    def use(self, nonce: bytes, made_at: int, count: int | None, transaction: bytes, wall: float) -> Use:
        """Record a use of an authentic, fresh nonce whose digest was right. `count` None: without qop, good once."""
        key = record_key(self._hash_key, b"n", nonce)
        wanted = ONCE if count is None else count
        mine = _short(transaction)
        for _ in range(CONFLICT_TRIES):
            version, highest, accepted = self._load(key)
            if any(name == mine for name, _ in accepted):
                return Use.ACCEPTED
            if (
                wanted <= highest
                or (count is None and version)
                or (not version and self._is_below_floor(made_at, wall))
            ):
                return Use.REPLAYED
            recent = [(name, at) for name, at in accepted if wall - at <= REPEAT_SECS][-KEPT + 1 :]
            recent.append((mine, int(wall)))
            value = pack([VERSION, wanted, b"".join(_ACCEPTED.pack(*entry) for entry in recent)])
            if self._commit(key, version, value, made_at, wall) > 0:
                return Use.ACCEPTED
        raise StoreError("a nonce record kept changing")

    def was_accepted(self, nonce: bytes, transaction: bytes, wall: float) -> bool:
        """Whether this transaction was accepted with this nonce not longer than REPEAT_SECS ago."""
        _, _, accepted = self._load(record_key(self._hash_key, b"n", nonce))
        mine = _short(transaction)
        return any(name == mine and wall - at <= REPEAT_SECS for name, at in accepted)

    def _load(self, key: bytes) -> tuple[int, int, list[tuple[bytes, int]]]:
        found = read(self._table, key)
        if found is None:
            return 0, 0, []
        version, data = found
        try:
            _, highest, accepted = unpack(data, VERSION, 3)
            if not isinstance(highest, int) or not isinstance(accepted, bytes) or len(accepted) % _ACCEPTED.size:
                raise BadRecord("fields of a nonce record")
        except BadRecord:
            return version, ONCE, []  # not readable: as if used up, the client gets a new nonce
        return version, highest, list(_ACCEPTED.iter_unpack(accepted))

    def _commit(self, key: bytes, version: int, value: bytes, made_at: int, wall: float) -> int:
        expiry = made_at + self._ttl + REPEAT_SECS

        def commit() -> int:
            at = float(made_at)
            return self._table.commit(key, version, value, owner=NONCE_OWNER, next_deadline=at, expiry=expiry)

        answer = without_waiting(commit)
        if answer == FULL:
            self._make_room(wall)
            answer = without_waiting(commit)
            if answer == FULL:
                raise StoreError("the table of nonces is full (shared.max_nonces)")
        return int(answer)

    def _make_room(self, wall: float) -> None:
        if self._table.expire(wall, EVICT):
            return
        found = oldest(self._table, NONCE_OWNER, wall, self._ttl, EVICT)
        if found and self._raise_floor(int(max(made_at for _, _, made_at in found)), found.pop(0), wall):
            for key, version, _ in found:
                self._table.delete(key, version)

    def _raise_floor(self, floor: int, first: tuple[bytes, int, float], wall: float) -> bool:
        """Commit the floor; `first` is the record that makes room for it when it has none yet."""
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, self._floor_key)
            version = 0 if found is None else found[0]
            value = pack([VERSION, max(floor, self._floor(wall))])
            answer = self._write_floor(version, value)
            if answer == FULL:
                self._table.delete(first[0], first[1])
            elif answer > 0:
                self._table.delete(first[0], first[1])
                return True
        return False

    def _write_floor(self, version: int, value: bytes) -> int:
        return without_waiting(lambda: self._table.commit(self._floor_key, version, value, owner=_FLOOR))

    def _is_below_floor(self, made_at: int, wall: float) -> bool:
        return made_at <= self._floor(wall)

    def _floor(self, wall: float) -> int:
        """-1 where there is none. One of the future was raised before the clock was set back: the nonces that it is
        about are not fresh any more, and it must not void all new ones until the clock has caught up."""
        found = read(self._table, self._floor_key)
        if found is None:
            return -1
        try:
            floor = unpack(found[1], VERSION, 2)[1]
        except BadRecord:
            return -1
        return floor if isinstance(floor, int) and floor <= wall + FUTURE_SECS else -1


def _short(transaction: bytes) -> bytes:
    return blake2b(transaction, digest_size=8).digest()
