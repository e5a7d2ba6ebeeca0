"""What the scripts of the far store do, in Python: a Redis with nothing in it but records, indexes and nodes.

Each method is one script of siphon/state/redis/scripts.py, with the same answer to the same question; `now` is what
TIME would say, in seconds. A test runs both, the real ones in a real Redis, on the same random sequences of calls. It
is what the simulator's nodes share (siphon/testing/nodes/far_link.py makes it answer late, or not at all).

Beyond the scripts it can lose what it has acknowledged, as a Redis does whose replica takes over: `mark` says "the
replica has come so far", `fail_over` forgets the rest.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import NamedTuple

from siphon.state.redis.envelope import seal, unseal, writer_of
from siphon.state.redis.names import partition
from siphon.state.redis.remote import LATE_VERSIONS, NODES, SALT_BITS, Found, Node, Nodes, Portion, Taken, Write
from siphon.state.redis.scripts import DEAD_SECS, MOST_REMINDERS


class Stored(NamedTuple):
    """A record or a tombstone, sealed; it is there until `until`, milliseconds of the store's clock."""

    data: bytes
    version: int
    node: int
    record: bool
    until: int


def _is_late(write: Write, gone: Stored) -> bool:
    """Whether it is a copy of the write that made what has been deleted."""
    return 0 < (gone.version >> SALT_BITS) - (write.version >> SALT_BITS) <= LATE_VERSIONS


@dataclass(slots=True)
class Contents:
    """All that lies in the store; times in milliseconds."""

    records: dict[bytes, Stored] = field(default_factory=dict)
    indexes: dict[tuple[int, int], list[tuple[float, bytes]]] = field(default_factory=dict)
    """By partition and node, sorted by deadline."""
    leases: dict[int, int] = field(default_factory=dict)
    tokens: dict[bytes, int] = field(default_factory=dict)
    facts: dict[int, bytes] = field(default_factory=dict)
    dead: dict[int, int] = field(default_factory=dict)
    reminders: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    last: int = 0
    given: int = 0

    def copy(self) -> Contents:
        """What a replica has."""
        indexes = {place: list(entries) for place, entries in self.indexes.items()}
        return Contents(
            dict(self.records),
            indexes,
            dict(self.leases),
            dict(self.tokens),
            dict(self.facts),
            dict(self.dead),
            {number: list(waiting) for number, waiting in self.reminders.items()},
            self.last,
            self.given,
        )


class FarModel:
    """One store. Nothing here waits or fails."""

    def __init__(self) -> None:
        self.contents = Contents()
        self._marked = Contents()

    # -- records ------------------------------------------------------------------------------------------------------

    def load(self, key: bytes, now: float) -> Found | None:
        """See Remote.load."""
        stored = self._there(key, now)
        if stored is None:
            return None
        found = unseal(key, stored.data)
        return None if found is None else found._replace(node=stored.node)

    def write(self, write: Write, now: float) -> bool:
        """See Remote.write."""
        stored = self._there(write.key, now)
        if stored is not None and stored.version == write.version and writer_of(stored.data) == write.writer:
            return True
        lives = stored is not None and stored.record
        if (stored.version if stored is not None and lives else 0) != write.expected:
            return False
        if stored is not None and not lives and _is_late(write, stored):
            return False
        if stored is not None and lives and stored.node != write.node:
            self._drop(stored.node, write.key)
        until = int(now * 1000) + max(1, round(write.lives_secs * 1000))
        self.contents.records[write.key] = Stored(
            seal(write), write.version, write.node, write.value is not None, until
        )
        self._drop(write.node, write.key)
        if write.deadline and write.value is not None:
            insort(
                self.contents.indexes.setdefault((partition(write.key), write.node), []), (write.deadline, write.key)
            )
        return True

    def _there(self, key: bytes, now: float) -> Stored | None:
        stored = self.contents.records.get(key)
        if stored is not None and int(now * 1000) >= stored.until:
            del self.contents.records[key]
            return None
        return stored

    def _drop(self, node: int, key: bytes) -> None:
        place = (partition(key), node)
        left = [entry for entry in self.contents.indexes.get(place, ()) if entry[1] != key]
        if left:
            self.contents.indexes[place] = left
        else:
            self.contents.indexes.pop(place, None)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def renew(self, token: bytes, ttl_secs: float, facts: bytes, former: int, now: float) -> Nodes:
        """See Remote.renew."""
        c, ms, ttl = self.contents, int(now * 1000), round(ttl_secs * 1000)
        if ms - c.last > ttl / 2:
            for number, until in c.leases.items():
                c.leases[number] = max(until, ms + ttl)
        c.last = ms
        mine = c.tokens.get(token)
        for number in [number for number, until in c.leases.items() if until <= ms and number != mine]:
            self._bury(number, ms)
        if mine is None:
            mine = self._free_number()
            if mine is None:
                return Nodes(0, [], [])
            c.tokens[token] = mine
        c.leases[mine] = ms + ttl
        c.facts[mine] = facts
        if former and former != mine and former not in c.leases:
            c.dead[former] = ms
        live = sorted(c.leases.items(), key=lambda lease: (lease[1], str(lease[0])))
        return Nodes(
            mine,
            [Node(number, until / 1000, c.facts.get(number, b"")) for number, until in live],
            sorted(c.dead, key=lambda number: (c.dead[number], str(number))),
            tuple(c.reminders.pop(mine, ())),
        )

    def remind(self, node: int, slot: int, key: bytes, now: float) -> bool:
        """See Remote.remind. They never go by themselves here."""
        waiting = self.contents.reminders.setdefault(node, [])
        waiting.append((slot, key))
        del waiting[:-MOST_REMINDERS]
        return True

    def _bury(self, number: int, ms: int) -> None:
        c = self.contents
        c.leases.pop(number, None)
        c.facts.pop(number, None)
        for token in [token for token, theirs in c.tokens.items() if theirs == number]:
            del c.tokens[token]
        c.dead[number] = ms

    def _free_number(self) -> int | None:
        c = self.contents
        for _ in range(NODES):
            c.given += 1
            number = (c.given - 1) % NODES + 1
            if number not in c.leases and number not in c.dead:
                return number
        return None

    def leave(self, token: bytes, now: float) -> bool:
        """See Remote.leave."""
        mine = self.contents.tokens.get(token)
        if mine is not None:
            self._bury(mine, int(now * 1000))
        return True

    def take(self, dead: int, part: int, node: int, limit: int, now: float) -> Portion:
        """See Remote.take."""
        c = self.contents
        entries = c.indexes.get((part, dead), [])
        taken = []
        for deadline, key in entries[:limit]:
            self._drop(dead, key)
            stored = self._there(key, now)
            if stored is not None and stored.record and stored.node == dead:
                c.records[key] = stored._replace(node=node)
                insort(c.indexes.setdefault((part, node), []), (deadline, key))
                taken.append(Taken(key, stored.version, deadline))
        return Portion(taken, (part, dead) in c.indexes)

    def forget(self, dead: int, now: float) -> bool:
        """See Remote.forget."""
        since = self.contents.dead.get(dead)
        if since is not None and int(now * 1000) - since >= DEAD_SECS * 1000:
            del self.contents.dead[dead]
        return True

    # -- failover -----------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """A replica has all that is here now."""
        self._marked = self.contents.copy()

    def fail_over(self) -> set[bytes]:
        """The replica takes over: what has been written since `mark` is gone. Whose records are another's then."""
        lost, self.contents = self.contents.records, self._marked.copy()
        kept = self.contents.records
        return {
            key
            for key in lost.keys() | kept.keys()
            if (lost[key].data if key in lost else b"") != (kept[key].data if key in kept else b"")
        }

    def empty(self) -> set[bytes]:
        """A replica that had nothing takes over."""
        self._marked = Contents()
        return self.fail_over()

    # -- what the simulator looks at ----------------------------------------------------------------------------------

    def live(self, now: float) -> list[bytes]:
        """Keys of the records (no tombstones) that have not expired."""
        return [key for key, s in self.contents.records.items() if s.record and int(now * 1000) < s.until]
