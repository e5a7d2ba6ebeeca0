"""The nodes of one far store, as a process of one of them sees them: who lives, and whose records are to be taken over.

A node is one instance; all its processes give the same token and so renew the same lease. Numbers are the far store's:
a slot of node n is n * SLOTS + slot in claims and records, so that it names one process of all nodes. What a node says
with each renewal is which of its slots are alive in which generation.

A node whose lease has run out gets another number when it comes back: what it owned by the old one is taken over by
whoever is first, itself or another, and what it still believes to own is settled by the compare-and-swap.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from siphon.state.redis.remote import Nodes, Remote

SLOTS = 64
"""Slots of a node."""
LEASE_SECS = 3.0
RENEW_SECS = 0.5
"""Every process renews this often, so a lease survives the stall of any of them."""

_FACT = struct.Struct("<HQ")

Alive = Callable[[int, int], bool]


class Membership:
    """`slots` gives the live (slot, generation) of this node; `joined(number)` is called for each new number,
    `reminded(slot, key)` when another node thinks that the process in a slot of ours should look at a record."""

    def __init__(
        self,
        remote: Remote,
        token: bytes,
        slots: Callable[[], Iterable[tuple[int, int]]],
        clock: Callable[[], float],
        joined: Callable[[int], None],
        reminded: Callable[[int, bytes], None] = lambda slot, key: None,
    ) -> None:
        self._remote = remote
        self._token = token
        self._slots = slots
        self._clock = clock
        self._joined = joined
        self._reminded = reminded
        self._asked = False
        self._former = 0
        self._others: dict[int, dict[int, int]] = {}
        self.number = 0
        """Of this node; 0 before the first answer."""
        self.dead: list[int] = []
        """Numbers whose records are to be taken over."""
        self.until = 0.0
        """Our lease runs until then at least."""
        self.suspended = False
        """Nothing may be committed, member or not: the nodes have not agreed."""
        self.next_at = 0.0

    def tick(self, now: float) -> None:
        """Renew when it is time; one request at a time."""
        if now < self.next_at or self._asked:
            return
        self.next_at = now + RENEW_SECS
        self._asked = True
        facts = b"".join(_FACT.pack(slot, generation) for slot, generation in self._slots())
        self._remote.renew(self._token, LEASE_SECS, facts, self._former).then(lambda answer: self._told(answer, now))

    @property
    def active(self) -> bool:
        """Whether this node may commit. Its lease may have run out unnoticed: the compare-and-swap decides."""
        return self.number > 0 and not self.suspended

    def slot(self, local: int) -> int:
        """A slot of this node by its number among all nodes; the same as it is before the node has one."""
        return self.number * SLOTS + local

    def is_ours(self, slot: int) -> bool:
        """Whether it is a slot of this node by its present number, or of a node alone."""
        return slot // SLOTS in (0, self.number)

    def alive(self, slot: int, generation: int, here: Alive) -> bool:
        """Whether that generation still has the slot, of this node (`here`) or another. A node that we know to live
        has told of its slots half a second ago; a generation that is newer than what it told has started since."""
        if self.is_ours(slot):
            return here(slot % SLOTS, generation)
        if self._clock() > self.until:
            return True  # we know nothing
        slots = self._others.get(slot // SLOTS)
        if slots is None:
            return False
        known = slots.get(slot % SLOTS)
        return known is not None and generation >= known

    def _told(self, answer: object, asked: float) -> None:
        self._asked = False
        if not isinstance(answer, Nodes) or not answer.number:
            return
        self.until = asked + LEASE_SECS
        self._others = {node.number: _slots_of(node.facts) for node in answer.live if node.number != answer.number}
        self.dead = answer.dead
        if answer.number != self.number:
            self._former, self.number = self.number, answer.number
            self._joined(answer.number)
        else:
            self._former = 0
        for reminder in answer.reminders:
            self._reminded(*reminder)


def _slots_of(facts: bytes) -> dict[int, int]:
    """What another node has said; nothing where that is no list of pairs."""
    return dict(_FACT.iter_unpack(facts)) if len(facts) % _FACT.size == 0 else {}
