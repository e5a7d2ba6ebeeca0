"""Taking over what a dead node owned: its index of each partition, portion by portion.

A take-over moves a record into our index before we hear of it. If the process that asked dies then, or the answer is
lost, the record is ours and nobody knows: so each process looks through our own index when it begins, and after an
answer was lost. (To take over from oneself changes nothing and lists what is due first.)

Every process of every node may do it at the same time, since a portion moves in one step and each record once. A number
stays dead for a while after its indexes are empty (a write that was under way enters late), so they are looked at
again every AGAIN_SECS until the far store has forgotten the number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from siphon.state.redis.nodes import Membership
from siphon.state.redis.remote import PARTITIONS, Portion, Remote

PORTION = 200
AGAIN_SECS = 5.0
LOOK_SECS = (0.0, 1.0, AGAIN_SECS)
"""When a process looks through its own index, after its node has got a number: a store that came back empty numbers the
nodes anew, and for a moment another one may still write by what is our number now."""


@dataclass(slots=True)
class _Round:
    """Partitions that are still being asked, and whether all so far were empty in the end."""

    left: int
    empty: bool = True


class TakeOver:
    """`taken(key, version, deadline)` is called for each record that has become ours."""

    def __init__(self, remote: Remote, member: Membership, taken: Callable[[bytes, int, float], None]) -> None:
        self._remote = remote
        self._member = member
        self._taken = taken
        self._again_at: dict[int, float] = {}
        self._rounds: dict[int, _Round] = {}
        self._number = 0
        self._look_at: list[float] = []
        self._own: set[int] = set()
        """Partitions of our own index that are still to be looked through."""
        self.records = 0
        """Taken over by this process."""

    def tick(self, now: float) -> None:
        """Begin a round for each dead number that wants one; look through our own index where that is to be done."""
        if self._member.number != self._number:
            self._number = self._member.number
            self._look_at = [now + later for later in LOOK_SECS]
        if self._look_at and now >= self._look_at[0]:
            del self._look_at[0]
            self._own = set(range(PARTITIONS))
        if self._own:
            partitions, self._own = self._own, set()
            for partition in sorted(partitions):
                self._list(partition)
        for number in [number for number in self._again_at if number not in self._member.dead]:
            del self._again_at[number]
        for number in self._member.dead:
            if now >= self._again_at.get(number, 0.0) and number not in self._rounds:
                self._again_at[number] = now + AGAIN_SECS
                self._rounds[number] = _Round(PARTITIONS)
                for partition in range(PARTITIONS):
                    self._take(number, partition)

    def _take(self, dead: int, partition: int) -> None:
        wait = self._remote.take(dead, partition, self._member.number, PORTION)
        wait.then(lambda answer: self._took(dead, partition, answer))

    def _list(self, partition: int) -> None:
        number = self._member.number
        self._remote.take(number, partition, number, PORTION).then(lambda answer: self._listed(partition, answer))

    def _listed(self, partition: int, answer: object) -> None:
        if not isinstance(answer, Portion):
            self._own.add(partition)
            return
        for record in answer.taken:
            self._taken(*record)

    def _took(self, dead: int, partition: int, answer: object) -> None:
        if not isinstance(answer, Portion):  # the next round will find it, there or in our own index
            self._own.add(partition)
            self._ended(dead, False)
            return
        for record in answer.taken:
            self.records += 1
            self._taken(*record)
        if answer.more:
            self._take(dead, partition)
        else:
            self._ended(dead, True)

    def _ended(self, dead: int, empty: bool) -> None:
        """One partition of this round is done with."""
        turn = self._rounds[dead]
        turn.left -= 1
        turn.empty = turn.empty and empty
        if not turn.left:
            del self._rounds[dead]
            if turn.empty:
                self._remote.forget(dead)
