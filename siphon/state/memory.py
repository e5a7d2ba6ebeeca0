"""The table of records in this process's memory: for the simulator, the tests and one-process tools.

It has the methods and the meaning of the shared-memory table, so that whoever uses one can use the other: values are
private copies, versions come from a table-wide counter and are never reused, a value lies in blocks and an update
holds its old blocks until the switch, a reserve is kept from those who ask for no reserve. It differs where nobody
else looks on: there are no locks, so BUSY never happens by itself (`busy` makes it happen for tests), and nothing dies.

An action is any object with a `run()` method. It runs after the switch; what it raises reaches the caller, and the new
value stays, as it would after a death between switch and send.

Expiry is compared with the argument of `expire()` and, when the table has a `clock`, on every read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from shm.values import Head, TableStats

CONFLICT = 0
FULL = -1
BUSY = -2
KEY_BYTES = 16
BLOCK_BYTES = 512


class Action(Protocol):
    """What a commit sends: run once, after the switch, before anyone else can commit the record."""

    def run(self) -> object: ...


class _Entry:
    __slots__ = ("head", "value")

    def __init__(self, head: Head, value: bytes) -> None:
        self.head = head
        self.value = value


class MemoryTable:
    """A dict that behaves like the shared table. `records` and `blocks` bound it, `reserve_blocks` are kept back."""

    def __init__(
        self,
        records: int = 1 << 20,
        blocks: int = 1 << 24,
        *,
        reserve_blocks: int = 0,
        reserve_records: int = 0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.slot = 0
        self.filled = False
        self.busy: set[bytes] = set()  # keys that answer BUSY: somebody "holds" their mutex (tests put them here)
        self._entries: dict[bytes, _Entry] = {}
        self._records = records
        self._blocks = blocks
        self._blocks_free = blocks
        self._reserve = reserve_blocks
        self._reserve_records = reserve_records
        self._clock = clock
        self._version = 0
        self._full = 0
        self._conflicts = 0

    def get(self, key: bytes) -> tuple[int, bytes] | int | None:
        """(version, value), None when there is no live record, or BUSY."""
        if key in self.busy:
            return BUSY
        entry = self._live(key)
        return None if entry is None else (entry.head.version, entry.value)

    def head(self, key: bytes) -> Head | None:
        """The header of a live record; needs no lock and is never BUSY."""
        entry = self._live(key)
        return None if entry is None else entry.head

    def is_past(self, key: bytes, version: int) -> bool:
        """Whether the key is absent or in another version; False as well when that cannot be told (`busy`)."""
        entry = self._live(key)
        return key not in self.busy and (entry is None or entry.head.version != version)

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
        action: Action | None = None,
        use_reserve: bool = True,
    ) -> int:
        """Insert if absent (`expected` 0) or compare-and-swap; the new version, CONFLICT, FULL or BUSY."""
        _check_key(key)
        if key in self.busy:
            return BUSY
        entry = self._live(key)
        if (0 if entry is None else entry.head.version) != expected:
            self._conflicts += 1
            return CONFLICT
        if entry is None and key in self._entries:
            self._drop(key)
        needed = _blocks(value)
        room = self._records - len(self._entries) - (0 if use_reserve else self._reserve_records)
        if self._blocks_free - needed < (0 if use_reserve else self._reserve) or (entry is None and room < 1):
            self._full += 1
            return FULL
        self._version += 1
        self._blocks_free -= needed - (0 if entry is None else _blocks(entry.value))
        head = Head(self._version, owner, next_deadline, claim_deadline, expiry)
        self._entries[key] = _Entry(head, bytes(value))
        if action is not None:
            action.run()
        return head.version

    def delete(self, key: bytes, expected: int, *, action: Action | None = None) -> int:
        """Delete that version (0: any that is there); 1, CONFLICT or BUSY."""
        _check_key(key)
        if key in self.busy:
            return BUSY
        entry = self._live(key)
        if entry is None or expected not in (0, entry.head.version):
            self._conflicts += 1
            return CONFLICT
        self._drop(key)
        if action is not None:
            action.run()
        return 1

    def due(self, owner: int, until: float, limit: int) -> list[tuple[bytes, int, float]]:
        """At most `limit` records of `owner` whose earliest deadline is not after `until`, the earliest first."""
        found: list[tuple[bytes, int, float]] = []
        for key, head in self._owned(owner):
            deadline = _earliest(head)
            if 0.0 < deadline <= until:
                found.append((key, head.version, deadline))
                if len(found) == limit:
                    break
        return sorted(found, key=lambda entry: entry[2])

    def owned(self, owner: int) -> list[tuple[bytes, int, float]]:
        """Every record of `owner` with its earliest deadline (0.0 when it has none)."""
        return [(key, head.version, _earliest(head)) for key, head in self._owned(owner)]

    def expire(self, now: float, limit: int) -> int:
        """Delete at most `limit` records whose expiry has come; how many went."""
        gone = [key for key, entry in self._entries.items() if 0.0 < entry.head.expiry <= now][:limit]
        for key in gone:
            self._drop(key)
        return len(gone)

    def set_filled(self) -> None:
        """Note that something has been in it."""
        self.filled = True

    def keys(self, limit: int = 1000, cursor: int = 0, within: int = 0) -> tuple[list[bytes], int]:
        """Up to `limit` keys from `cursor` on and the cursor to go on from (0: that was all). `within` bounds the work
        on a sparse table, which this one never is."""
        every = list(self._entries)
        following = cursor + limit
        return every[cursor:following], following if following < len(every) else 0

    @property
    def empty(self) -> bool:
        """Whether it holds no record."""
        return not self._entries

    def stats(self) -> TableStats:
        """Sizes and counters; what only shared memory can count is 0."""
        return TableStats(
            records=len(self._entries),
            records_max=self._records,
            blocks_free=self._blocks_free,
            blocks_max=self._blocks,
            reserve_blocks=self._reserve,
            corrupt=0,
            quarantined=0,
            full=self._full,
            busy=0,
            conflicts=self._conflicts,
            inherited=0,
            mended=0,
            recovered=0,
            version=self._version,
            bytes=0,
        )

    def _live(self, key: bytes) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None or self._clock is None or not 0.0 < entry.head.expiry <= self._clock():
            return entry
        return None

    def _owned(self, owner: int) -> Iterator[tuple[bytes, Head]]:
        return ((key, entry.head) for key, entry in self._entries.items() if entry.head.owner == owner)

    def _drop(self, key: bytes) -> None:
        self._blocks_free += _blocks(self._entries.pop(key).value)


def _blocks(value: bytes) -> int:
    return -(-len(value) // BLOCK_BYTES)


def _earliest(head: Head) -> float:
    return min((d for d in (head.next_deadline, head.claim_deadline) if d > 0.0), default=0.0)


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, this one has {len(key)}")
