"""What the services ask of a table of records, and how they live with its answers.

The shared-memory table and the one in memory both fit `RecordTable`. A service reads a record, computes the next one
and commits it against the version that it read; `CONFLICT` means somebody was faster, so it reads and computes again.
`BUSY` means that the record's mutex was held for the whole millisecond that a call may wait; it is tried again up to
BUSY_TRIES times, 250 ms, whatever `shared.timeout_ms` says. What fails after that raises
StoreError, a RuntimeError, as the script API promises.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Any, Protocol, TypeVar

import msgpack  # type: ignore[import-untyped]

from shm.values import Head, TableStats
from siphon.sip._blake import Keyed
from siphon.state.memory import BUSY, CONFLICT, FULL

__all__ = [
    "BUSY",
    "BUSY_TRIES",
    "CONFLICT",
    "CONFLICT_TRIES",
    "FULL",
    "BadRecord",
    "RecordTable",
    "StoreError",
    "evict_of",
    "oldest",
    "pack",
    "read",
    "record_key",
    "unpack",
    "without_waiting",
]

BUSY_TRIES = 250
CONFLICT_TRIES = 1000
KEY_BYTES = 16
RECORD_LIMIT = 65536  # bytes of one record; what is longer is neither written nor read

T = TypeVar("T")


class StoreError(RuntimeError):
    """The shared state did not answer in time, or could not hold what it was given."""


class BadRecord(ValueError):
    """The bytes are not a record of this release: another format, another version, or damage."""


class RecordTable(Protocol):
    """A table of records: the calls of the shared-memory table that services use."""

    def get(self, key: bytes) -> tuple[int, bytes] | int | None: ...

    def head(self, key: bytes) -> Head | int | None: ...

    def is_past(self, key: bytes, version: int) -> bool: ...

    def commit(
        self,
        key: bytes,
        expected: int,
        value: bytes,
        *,
        owner: int,
        next_deadline: float = 0.0,
        claim_deadline: float = 0.0,
        expiry: float = 0.0,
        use_reserve: bool = True,
    ) -> int: ...

    def delete(self, key: bytes, expected: int) -> int: ...

    def due(self, owner: int, until: float, limit: int) -> list[tuple[bytes, int, float]]: ...

    def owned(self, owner: int) -> list[tuple[bytes, int, float]]: ...

    def expire(self, now: float, limit: int) -> int: ...

    def stats(self) -> TableStats: ...

    def keys(self, limit: int, cursor: int = 0, within: int = 0) -> tuple[list[bytes], int]: ...


def record_key(secret: bytes, kind: bytes, name: bytes) -> bytes:
    """The 16-byte key of a record: a keyed hash, since peers choose the names. Kinds are one letter."""
    return _keyed(secret[:64]).digest(kind + name)


@lru_cache(maxsize=8)
def _keyed(secret: bytes) -> Keyed:
    return Keyed(secret, KEY_BYTES)


def without_waiting(call: Callable[[], T | int]) -> T | int:
    """The answer of `call`, asked again while it is BUSY; BUSY when it still is at the end."""
    answer = call()
    tries = 1
    while isinstance(answer, int) and answer == BUSY:
        if tries == BUSY_TRIES:
            return BUSY
        answer = call()
        tries += 1
    return answer


def read(table: RecordTable, key: bytes) -> tuple[int, bytes] | None:
    """(version, value) or None; StoreError when the record stays busy."""
    found = table.get(key)
    if isinstance(found, int):
        found = without_waiting(lambda: table.get(key))
        if isinstance(found, int):
            raise StoreError("the shared table did not answer in time")
    return found


def oldest(table: RecordTable, owner: int, wall: float, span: float, limit: int) -> list[tuple[bytes, int, float]]:
    """Up to `limit` of an owner's oldest records: (key, version, time). Their deadline is the time at which they were
    made, `span` seconds ago at most, unless the clock was set back since. A sweep finds records in any order, so it is
    asked from the oldest eighth on."""
    for eighths in (7, 6, 5, 4, 3, 2, 1, 0):
        found = table.due(owner, wall - span * eighths / 8, limit)
        if found:
            return found
    return table.due(owner, inf, limit)


def evict_of(records: int, least: int) -> int:
    """How many records of a full table of so many go at a time. Finding them takes some sweeps over all headers: for a
    few at a time that would be most of what a new record costs."""
    return max(least, records // 32)


def pack(fields: list[Any]) -> bytes:
    """Fields as msgpack. Text is UTF-8; what a peer sent as other bytes survives as surrogates."""
    packed: bytes = msgpack.packb(fields, use_bin_type=True, unicode_errors="surrogateescape")
    return packed


def unpack(data: bytes, version: int, count: int) -> list[Any]:
    """The fields of a record of this format version; BadRecord for anything else. Lengths are bounded."""
    if len(data) > RECORD_LIMIT:
        raise BadRecord(f"{len(data)} bytes")
    try:
        fields = msgpack.unpackb(data, raw=False, unicode_errors="surrogateescape", strict_map_key=True)
    except (ValueError, msgpack.exceptions.ExtraData, msgpack.exceptions.StackError) as error:
        raise BadRecord(f"not msgpack: {error}") from error
    if not isinstance(fields, list) or not fields or fields[0] != version:
        raise BadRecord(f"not a record of version {version}")
    if len(fields) != count:
        raise BadRecord(f"{len(fields)} fields, expected {count}")
    return fields
