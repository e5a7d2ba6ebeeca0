"""Requests admitted in a sliding window: one small record a key, in a table that all workers share (API 5).

A record holds when the window's admitted requests came, as cells of (time, count). Up to CELLS requests in a window
the times are exact. Beyond that the window is cut into SLICES and the requests of a slice count as if all had come with
its last one: they leave the window together, up to a thirty-second of it late. Late is the only direction: every
request admitted in the last `window` seconds is counted, so no window ever holds more than `max`.

A refused request changes nothing, so it costs one read. Each change is a compare-and-swap: a worker that dies has
recorded its request or has not. A transaction that is admitted leaves its name, so that asking again - the same
handler, or a re-run after a worker's death - is the same request. The last KEPT of a key are remembered: when more than
that were admitted between a worker's request and the re-run of it, the re-run counts once more.

The table is bounded. When it is full the keys that have been quiet for longest are forgotten, and such a source begins
anew. Whoever can send from so many addresses is not limited by a count for each of them anyway, and a source that goes
on sending is not among the quiet ones.

Times are CLOCK_BOOTTIME, so that a step of the wall clock neither opens a window nor closes one.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from math import ceil

from siphon.services.store import (
    CONFLICT_TRIES,
    FULL,
    RecordTable,
    StoreError,
    oldest,
    read,
    record_key,
    without_waiting,
)

CELLS = 33
SLICES = 32
KEPT = 16
LONGEST = 86400.0 * 7
"""The longest window, seconds."""
OWNER = 0
EVICT = 64
"""Keys that are forgotten at a time, at least; of a large table more (`evict_of`)."""
QUIET_SECS = 64.0
"""Who has been quiet for longer goes first when the table is full."""
_VERSION = 1
_HEAD = struct.Struct("<BBBQ")  # version, cells, transactions, time of the first cell
_CELL = struct.Struct("<II")  # milliseconds after the first cell, requests
_NAME = 8

Cells = list[tuple[int, int]]  # time in milliseconds, rounded up once when the request comes; requests


class Windows:
    """Counts admitted requests. `hash_key` keys the table's keys, since peers choose their addresses; `evict` keys are
    forgotten at a time."""

    def __init__(self, table: RecordTable, hash_key: bytes, evict: int = EVICT) -> None:
        self._table = table
        self._hash_key = hash_key
        self._evict = evict

    def admit(self, source: str, window: float, most: int, transaction: bytes, now: float) -> bool:
        """Whether this request is within the limit; then it is recorded. `transaction` b"": it is asked about once.
        StoreError when the table does not answer."""
        if not 0 < window <= LONGEST:
            raise ValueError(f"window_secs is above 0 and at most {LONGEST:g}")
        key = record_key(self._hash_key, b"w", b"%b %r %d" % (source.encode(), window, most))
        name = blake2b(transaction, digest_size=_NAME).digest() if transaction else b""
        for _ in range(CONFLICT_TRIES):
            found = read(self._table, key)
            cells, names = ([], []) if found is None else _unpack(found[1])
            if name and name in names:
                return True
            live = [(at, count) for at, count in cells if now * 1000 - at < window * 1000]
            if sum(count for _, count in live) >= most:
                return False
            live.append((max([ceil(now * 1000), *(at for at, _ in live)]), 1))
            value = _pack(_merged(live, window * 1000), [*names, name][-KEPT:] if name else names)
            if self._commit(key, 0 if found is None else found[0], value, now, window):
                return True
        raise StoreError("a window's record kept changing")

    def _commit(self, key: bytes, version: int, value: bytes, now: float, window: float) -> bool:
        def commit() -> int:
            return self._table.commit(key, version, value, owner=OWNER, next_deadline=now, expiry=now + window)

        answer = without_waiting(commit)
        if answer == FULL:
            make_room(self._table, now, self._evict)
            answer = without_waiting(commit)
            if answer == FULL:
                raise StoreError("the table of limits is full (shared.max_transactions)")
        return int(answer) > 0


def make_room(table: RecordTable, now: float, evict: int) -> None:
    """Remove what is over; when nothing is, what has been quiet for longest."""
    if table.expire(now, evict):
        return
    for key, version, _ in oldest(table, OWNER, now, QUIET_SECS, evict):
        table.delete(key, version)


def _merged(cells: Cells, window: float) -> Cells:
    """At most CELLS cells that count for at least as long."""
    if len(cells) <= CELLS:
        return cells
    slices: dict[int, tuple[int, int]] = {}
    for at, count in cells:
        place = int(at // (window / SLICES))
        slices[place] = (at, slices.get(place, (at, 0))[1] + count)
    return list(slices.values())


def _pack(cells: Cells, names: list[bytes]) -> bytes:
    first = cells[0][0]
    body = b"".join(_CELL.pack(at - first, count) for at, count in cells)
    return _HEAD.pack(_VERSION, len(cells), len(names), first) + body + b"".join(names)


def _unpack(value: bytes) -> tuple[Cells, list[bytes]]:
    """What a record holds; one that is not readable is empty."""
    if len(value) < _HEAD.size:
        return [], []
    version, count, kept, first = _HEAD.unpack_from(value)
    names_at = _HEAD.size + count * _CELL.size
    if version != _VERSION or len(value) != names_at + kept * _NAME:
        return [], []
    cells = [(first + after, number) for after, number in _CELL.iter_unpack(value[_HEAD.size : names_at])]
    return cells, [value[at : at + _NAME] for at in range(names_at, len(value), _NAME)]
