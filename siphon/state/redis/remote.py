"""The far store as the Store over it needs it: a table on another machine, whose every answer comes late.

Records are kept by compare-and-swap. Who writes names itself and a version of its own choice, so that a write whose
answer was lost can be sent again: the far store says "stands" if that very write is what it holds. Each operation is
one atomic step there (siphon/state/redis/scripts.py); a model of them in memory serves the simulator.

Every Wait of this protocol resolves exactly once, within `shared.timeout_ms`, to the value that the method names, to
Refused (nothing has happened) or to Lost (it may have happened, or may still happen).

Times are seconds of the far store's clock (its TIME); `offset` leads there from the local CLOCK_BOOTTIME.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from siphon.state.redis.names import PARTITIONS
from siphon.state.redis.script import Lost, Refused
from siphon.state.store import Wait

__all__ = ["PARTITIONS", "Found", "Lost", "Node", "Nodes", "Portion", "Refused", "Remote", "Taken", "Write", "Writer"]

NODES = 1022
"""Node numbers are 1 to NODES: with 64 slots each they fit a claim's 16 bits, NO_SLOT left free. 0 is no node."""

TOMBSTONE_SECS = 10.0
"""How long a deletion is remembered, so that it can be told from another's when its answer was lost, and so that the
write that it has undone is not done again by a copy that was on its way."""

SALT_BITS = 24
"""The low bits of a version; those above count the writes of a record, from a random number."""

LATE_VERSIONS = 1000
"""A record that was deleted may not begin by one of so many counts before that of its deletion: that is no new record,
but a late copy of the write that made the deleted one."""


class Writer(NamedTuple):
    """Who writes: one write of one process. Unique, so that a repeated write is known again."""

    node: int
    slot: int
    generation: int
    sequence: int


class Found(NamedTuple):
    """A record as the far store has it. `node`: who owns its deadline (0.0: it has none). `sound` is False when what
    lies there is not what was written: it is nobody's record and is read by nobody."""

    version: int
    value: bytes
    node: int
    deadline: float
    sound: bool = True


class Write(NamedTuple):
    """One compare-and-swap: `expected` 0 inserts if absent, `value` None deletes. `version` is what it will have.

    `node` becomes the owner; the record is entered into that node's index with its deadline, or taken out of it where
    it has none (0.0), and leaves the index of whoever owned it. It lives `lives_secs` from now on.
    """

    key: bytes
    expected: int
    version: int
    writer: Writer
    value: bytes | None
    node: int
    deadline: float
    lives_secs: float


class Node(NamedTuple):
    """A node whose lease runs: `facts` are what it has said with its last renewal."""

    number: int
    until: float
    facts: bytes


class Nodes(NamedTuple):
    """What a renewal tells: our number, all nodes whose leases run (ours too), the numbers of the dead whose records
    may still be in their indexes, and of which records processes of ours are reminded: (slot, key), told once."""

    number: int
    live: list[Node]
    dead: list[int]
    reminders: tuple[tuple[int, bytes], ...] = ()


class Taken(NamedTuple):
    """A record that a take-over has made ours."""

    key: bytes
    version: int
    deadline: float


class Portion(NamedTuple):
    """One step of a take-over; `more`: the index was not empty afterwards."""

    taken: list[Taken]
    more: bool


class Remote(Protocol):
    """The operations of the far store."""

    def offset(self, key: bytes) -> float:
        """The clock of the server that has the key, less the local CLOCK_BOOTTIME, seconds; by the answer that came
        back fastest."""

    @property
    def reachable(self) -> bool:
        """Whether a request would be tried now; False: it would be Refused at once."""

    def back(self) -> Wait:
        """Resolves (to True) when it is reachable; at once when it is."""

    def load(self, key: bytes) -> Wait:
        """Found, or None where there is none (deleted, outlived). Else Refused or Lost, which mean the same here."""

    def write(self, write: Write) -> Wait:
        """True: it stands, now or since it was first sent. False: another version is there. Else Refused or Lost."""

    def renew(self, token: bytes, ttl_secs: float, facts: bytes, former: int) -> Wait:
        """Nodes. Renew the lease of the node that calls itself `token`, or give it a number if it has none (any more).

        A lease that has run out is buried by whoever renews next: its number goes to `dead`, its token is forgotten.
        After a pause in which nobody could renew (the store was away) all leases run anew first. `former`: a number
        that this node has lost; it is `dead`, whatever wrote last by that name.
        """

    def remind(self, node: int, slot: int, key: bytes) -> Wait:
        """True. The process in that slot of a node is to look at a record; told with the next renewal of the node,
        once, and lost with the answer to that."""

    def leave(self, token: bytes) -> Wait:
        """True. The node ends: its number is dead at once."""

    def take(self, dead: int, partition: int, node: int, limit: int) -> Wait:
        """Portion: at most `limit` records of the dead number's index there become `node`'s, versions as they were.
        Entries whose record is gone or another's are dropped."""

    def forget(self, dead: int) -> Wait:
        """True. All partitions of that number are empty."""
