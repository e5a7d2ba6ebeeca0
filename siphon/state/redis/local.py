"""What one node knows of the records that it has at hand: leases and deadlines, in a table that its workers share.

The records themselves lie in the far store. Here lies an entry for each that a worker of this node has committed: who
is just committing it (a lease), the version that the node saw last, and the deadline if this node owns it. The table
is the one that holds whole records where there is no far store (shm/table.py), so its sweep by owner and its expiry
serve both.

A lease keeps the order of datagrams the order of commits: it is taken before a commit is sent to the far store and let
go after the datagrams have left, and nobody else of the node is shown the record meanwhile.

    worker 1                                worker 2
    lease; commit v7 -> v8 (180) sent out
                                            response 200: leased, parked
    v8 stands: 180 leaves, lease let go
                                            load v8, lease, commit v9: 200 leaves

A lease whose holder has died is free, and so is one that has run out: its holder was stopped, and sends nothing when it
finds its lease gone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

_ENTRY = struct.Struct("<HQdQHdd")
NOBODY = 0xFFFF
"""Owner of an entry whose deadline is another node's."""
_TRIES = 3
_BUSY = -2
_FULL = -1


class LocalTable(Protocol):
    """The part of a table that is used here: shm.table.Table, siphon.state.memory.MemoryTable."""

    def get(self, key: bytes) -> tuple[int, bytes] | int | None: ...
    def commit(
        self,
        key: bytes,
        expected: int,
        value: bytes,
        *,
        owner: int,
        next_deadline: float = 0.0,
        expiry: float = 0.0,
        use_reserve: bool = True,
    ) -> int: ...
    def delete(self, key: bytes, expected: int) -> int: ...
    def owned(self, owner: int) -> list[tuple[bytes, int, float]]: ...


class Entry(NamedTuple):
    """An entry as it was read. `row` is its version in the local table, 0: there is none. Times are CLOCK_BOOTTIME;
    `until` 0.0: nobody has the lease. `version` is the far store's."""

    row: int = 0
    slot: int = 0
    generation: int = 0
    until: float = 0.0
    version: int = 0
    owner: int = NOBODY
    deadline: float = 0.0
    expiry: float = 0.0


class Held(NamedTuple):
    """A lease of ours: the row that it made, and what was there before."""

    row: int
    before: Entry


TAKEN = "taken"
FULL = "full"
ABSENT = Entry()


class Local:
    """One process's view. `alive` tells whether a slot of this node still has a generation. A helper, which runs no
    handlers and may own no record, gives as `home` the worker's slot that is to own what it finds to be nobody's."""

    def __init__(
        self,
        table: LocalTable,
        slot: int,
        generation: int,
        alive: Callable[[int, int], bool],
        clock: Callable[[], float],
        home: int | None = None,
    ) -> None:
        self._home = home
        self._table = table
        self._slot = slot
        self._generation = generation
        self._alive = alive
        self._clock = clock

    def read(self, key: bytes) -> Entry | None:
        """The entry, ABSENT where there is none; None while its lock is held."""
        found = self._table.get(key)
        if found is None:
            return ABSENT
        if isinstance(found, int):
            return None
        if len(found[1]) != _ENTRY.size:  # a whole record, of a time without a far store
            return Entry(found[0])
        return Entry(found[0], *_ENTRY.unpack(found[1]))

    def is_leased(self, entry: Entry) -> bool:
        """Whether another process of this node is committing the record."""
        if not entry.until or entry.until <= self._clock():
            return False
        if (entry.slot, entry.generation) == (self._slot, self._generation):
            return False
        return self._alive(entry.slot, entry.generation)

    def lease(self, key: bytes, until: float, expiry: float, new_work: bool) -> Held | str:
        """Take the lease; TAKEN while another has it (or the lock is held), FULL without room. If we die with it, a
        sibling looks after the record at `until`."""
        before = self.read(key)
        if before is None or self.is_leased(before):
            return TAKEN
        owner = self.owner_after(before)  # ours, or nobody would look at `until` when we have died
        look = min(before.deadline or until, until)
        made = before._replace(
            slot=self._slot, generation=self._generation, until=until, owner=owner, expiry=max(before.expiry, expiry)
        )
        row = self._write(key, before.row, made, look, new_work)
        if row > 0:
            return Held(row, before)
        return FULL if row == _FULL else TAKEN

    def owner_after(self, before: Entry) -> int:
        """Who is to fire a deadline that this process arms: itself, unless it is a helper."""
        if self._home is None:
            return self._slot
        return self._home if before.owner == NOBODY else before.owner

    def holds(self, key: bytes, held: Held) -> bool:
        """Whether the lease is still ours: nobody has taken it because it had run out."""
        entry = self.read(key)
        return entry is None or entry.row == held.row

    def settle(self, key: bytes, held: Held, version: int, owner: int, deadline: float, expiry: float) -> None:
        """The commit stands: let go. A lock that is held leaves the lease to run out."""
        made = Entry(version=version, owner=owner, deadline=deadline, expiry=expiry)
        self._again(lambda: self._write(key, held.row, made, deadline))

    def release(self, key: bytes, held: Held) -> None:
        """Nothing was committed: as before, but that the deadline is ours: its owner may have found it leased."""
        before = held.before
        if before.row:
            owner = NOBODY if before.owner == NOBODY else self.owner_after(before)
            made = before._replace(slot=0, generation=0, until=0.0, owner=owner)
            self._again(lambda: self._write(key, held.row, made, before.deadline))
        else:
            self.drop(key, held)

    def drop(self, key: bytes, held: Held) -> None:
        """The record is no more."""
        self._again(lambda: self._table.delete(key, held.row))

    def note(self, key: bytes, before: Entry, version: int, owner: int, deadline: float, expiry: float) -> bool:
        """What was read in the far store, unless somebody of the node has been at it since. Whether it was noted."""
        made = Entry(version=version, owner=owner, deadline=deadline, expiry=max(before.expiry, expiry))
        return self._write(key, before.row, made, deadline) > 0

    def owned(self, slot: int) -> Iterator[tuple[bytes, int, float]]:
        """(key, version, when to look) of what a slot of this node has to fire, or was committing when it died."""
        for key, _, deadline in self._table.owned(slot):
            entry = self.read(key) if deadline > 0.0 else None
            if entry is not None and entry.row:
                yield key, entry.version, deadline

    def _write(self, key: bytes, row: int, entry: Entry, look: float, new_work: bool = False) -> int:
        return self._table.commit(
            key,
            row,
            _ENTRY.pack(*entry[1:]),
            owner=entry.owner,
            next_deadline=0.0 if entry.owner == NOBODY else look,
            expiry=entry.expiry,
            use_reserve=not new_work,
        )

    @staticmethod
    def _again(call: Callable[[], int]) -> None:
        for _ in range(_TRIES):
            if call() != _BUSY:
                return
